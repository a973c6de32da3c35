# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark says: table, JSON, chart.  Pure, but for the files."""
import collections
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

CPU_MUST = 0.40         # server CPU per 4k I/O at depth 32, to qemu-nbd's
PATHS_MUST = 0.95       # four paths against one


class Goal(collections.namedtuple(
        "Goal", "name what unit value op must samples more noise", defaults=(0,))):
    """What is no row: the value, in unit, must be op ("<=" or ">=") must.  noise:
    standard error of the value; more: in words."""
    @property
    def reached(self):
        """None: nobody can tell."""
        if self.value is None or abs(self.value - self.must) < 2 * self.noise:
            return None
        return self.value <= self.must if self.op == "<=" else self.value >= self.must

    @classmethod
    def left_out(cls, name, why):
        return cls(name, "left out", "", None, None, None, [], why)


class Result:
    """One row on one backend in one mode: samples of each kind of server."""
    def __init__(self, mode, backend, row, size, must, samples, us, them):
        self.mode, self.backend, self.row, self.size = mode, backend, row, size
        self.must, self.samples, self.us, self.them = must, samples, us, them
        self.group = (mode, backend)

    def median(self, kind, key):
        v = [s[key] for s in self.samples[kind] if s[key] is not None]
        return statistics.median(v) if v else None

    def ratio(self, kind, key="iops", to=None):
        """To qemu-nbd: the median of the rounds' ratios, since the machine is not
        equally fast in all of them.  The limits are no part of the rounds."""
        to = to or self.them
        if len(self.samples[kind]) != len(self.samples[to]):
            a, b = self.median(kind, key), self.median(to, key)
            return a / b if a is not None and b else None
        v = [a[key] / b[key] for a, b in zip(self.samples[kind], self.samples[to])
             if a[key] is not None and b[key]]
        return statistics.median(v) if v else None

    def checks(self):
        """(what, found, must, reached) of all that the row must reach."""
        out = []
        if self.must is not None:
            r = self.ratio(self.us)
            out.append(("speed", r, ">= %.2f" % self.must, r >= self.must))
        if self.size == 4096 and self.row.endswith("-d32"):
            r = self.ratio(self.us, "cpu")
            if r is not None:
                out.append(("cpu", r, "<= %.2f" % CPU_MUST, r <= CPU_MUST))
        r = self.ratio(self.us, "p99")
        if r is not None:
            out.append(("p99", r, "<= 1.00", r <= 1.0))
        if "mpiscsi/4" in self.samples and "mpiscsi/1" in self.samples:
            r = self.ratio("mpiscsi/4", to="mpiscsi/1")
            out.append(("4 paths/1", r, ">= %.2f" % PATHS_MUST, r >= PATHS_MUST))
        return out


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return "%s, %d CPUs, Linux %s, %s, load %.2f" % (
        model, os.cpu_count(), os.uname().release,
        time.strftime("%F %R"), os.getloadavg()[0])


def number(x, fmt="%.1f"):
    return "-" if x is None else fmt % x


HEAD = "%-17s %-10s %9s %8s %7s %6s %8s %8s %7s" % (
    "row", "server", "IOPS", "MiB/s", "ratio", "must", "cpu us/IO", "ctxsw/IO", "p99 us")


def print_result(res, first):
    if first:
        print("\n%s LUN, %s\n%s" % (res.backend, res.mode, HEAD))
    for kind in res.samples:
        must = mark = ""
        if kind == res.us and res.must is not None:
            must = "%.2f" % res.must
            mark = "" if res.ratio(kind) >= res.must else "  BELOW"
        print(("%-17s %-10s %9.0f %8.0f %7s %6s %9s %8s %7s%s" % (
            res.row, kind, res.median(kind, "iops"), res.median(kind, "mib"),
            number(res.ratio(kind), "%.2f"), must, number(res.median(kind, "cpu")),
            number(res.median(kind, "switches"), "%.2f"),
            number(res.median(kind, "p99"), "%.0f"), mark)).rstrip(), flush=True)


def print_goal(g, first):
    if first:
        print("\nsituations\n%-24s %9s %-9s %8s" % ("name", "measured", "unit", "must"))
    if g.value is None:
        print("%-24s %s: %s" % (g.name, g.what, g.more), flush=True)
        return
    print("%-24s %9.2f %-9s %2s %5g  %s%s; %s" % (
        g.name, g.value, g.unit, g.op, g.must,
        {True: "", False: "MISSED  ", None: "TOO NOISY  "}[g.reached],
        g.what, g.more), flush=True)


def print_summary(results, goals):
    """Which goals are reached, and which are not."""
    lines = [("%s, %s LUN, %s: %s %.2f, must be %s" % (
                r.row, r.backend, r.mode, what, found, must), ok)
             for r in results for what, found, must, ok in r.checks()]
    lines += [("%s: %.2f %s, must be %s %g" % (g.name, g.value, g.unit, g.op, g.must), g.reached)
              for g in goals if g.value is not None]
    print("\n%d of %d goals reached:" % (sum(ok is True for _, ok in lines), len(lines)))
    for state, word in ((True, "reached"), (None, "too noisy to tell"), (False, "NOT REACHED")):
        for text, ok in lines:
            if ok is state:
                print("  %s: %s" % (word, text))
    noisy, n = noisy_samples(results)
    if noisy:
        print("Before %d of %d measurements the machine was over 10%% busy with "
              "something else: take these figures with care." % (noisy, n))


def noisy_samples(results):
    """How many, of how many."""
    busy = [s["busy_before"] for r in results for k in r.samples.values() for s in k]
    return sum(b > 0.10 for b in busy), len(busy)


def write_json(path, results, goals, args, seconds):
    doc = {"machine": machine(), "seconds": round(seconds),
           "runtime": args.runtime, "rounds": args.rounds, "threads": args.threads,
           "plugin_args": args.plugin_args, "nbdkit_args": args.nbdkit_args,
           "results": [],
           "situations": [dict(g._asdict(), reached=g.reached) for g in goals]}
    for r in results:
        doc["results"].append({
            "mode": r.mode, "backend": r.backend, "row": r.row, "must": r.must,
            "servers": {k: {
                "samples": v,
                "median": {m: r.median(k, m) for m in
                           ("iops", "mib", "mean", "p99", "cpu", "switches")},
                "ratio": r.ratio(k)} for k, v in r.samples.items()},
            "checks": [{"what": c[0], "ratio": c[1], "must": c[2], "reached": c[3]}
                       for c in r.checks()]})
    with open(path, "w") as f:
        json.dump(doc, f, indent=1)
        f.write("\n")
    print("wrote %s" % path)


def merge(paths, sizes, us, them):
    """What write_json wrote in several runs on one machine, as if it had been one:
    results, goals, the number of rounds, the seconds of each, and the machine.
    sizes: bytes of each row.  ValueError: they do not belong together."""
    docs = []
    for p in paths:
        with open(p) as f:
            docs.append(json.load(f))
    alike = [(d["machine"].rsplit(", ", 2)[0], d["runtime"],
              [(r["mode"], r["backend"], r["row"], list(r["servers"])) for r in d["results"]])
             for d in docs]
    for p, a in zip(paths, alike):
        if a != alike[0]:
            raise ValueError("%s: another machine, runtime, rows or servers than in %s"
                             % (p, paths[0]))
    results, goals = {}, {}
    for d in docs:
        for r in d["results"]:
            key = r["mode"], r["backend"], r["row"]
            res = results.setdefault(key, Result(*key, sizes[r["row"]], r["must"], {}, us, them))
            for kind, v in r["servers"].items():
                res.samples.setdefault(kind, []).extend(v["samples"])
        for g in d["situations"]:
            if g["value"] is not None:
                goals.setdefault(g["name"], []).append(
                    Goal(*(g[k] for k in Goal._fields)))
    return list(results.values()), [
        g[0]._replace(
            # With noise each is a mean, and so is theirs.
            value=(statistics.mean if g[0].noise else statistics.median)(x.value for x in g),
            noise=sum(x.noise ** 2 for x in g) ** 0.5 / len(g),
            samples=sum((x.samples for x in g), []))
        for g in goals.values()], sum(d["rounds"] for d in docs), docs[0]["runtime"], \
        "%s, %s" % (alike[0][0], " and ".join(d["machine"].rsplit(", ", 2)[1] for d in docs))


def table(rows):
    """Markdown; the first row is the heading."""
    return "".join("| %s |\n" % " | ".join(r) for r in
                   [rows[0], ["---"] * len(rows[0])] + rows[1:])


def markdown(results, goals, args):
    """For tests/bench/README.md: the ratios with what they must be, and the situations."""
    groups = []
    for r in results:
        if r.group not in groups:
            groups.append(r.group)
    by = {(r.group, r.row): r for r in results}

    def cell(r):
        if r is None:
            return "-"
        return number(r.ratio(r.us), "%.2f") + (
            "" if r.must is None else " (%.2f)" % r.must)
    plugin = "plugin/2"

    def plugin_cell(r):
        return number(r.ratio(plugin), "%.2f") if r is not None and plugin in r.samples else "-"
    rows = [["to qemu-nbd (must)"] + ["%s LUN, %s" % (g[1], g[0]) for g in groups]
            + ["CPU per I/O (%.2f at 4k d32)" % CPU_MUST, "p99 (1.00)"]
            + ["nbdkit: %s LUN, %s" % (g[1], g[0]) for g in groups]]
    for name in dict.fromkeys(r.row for r in results):
        first = by.get((groups[0], name))
        rows.append([name] + [cell(by.get((g, name))) for g in groups]
                    + [number(first and first.ratio(first.us, k), "%.2f")
                       for k in ("cpu", "p99")]
                    + [plugin_cell(by.get((g, name))) for g in groups])
    out = "%s.\nMedians of up to %d rounds of %g s" % (
        args.machine or machine(), args.rounds, args.runtime)
    noisy, n = noisy_samples(results)
    out += "; before %d of %d measurements other work kept over 10 %% of the CPUs busy.\n\n" % (
        noisy, n) if noisy else ".\n\n"
    if results:
        out += table(rows) + "\n"
    if goals:
        out += table([["situation", "measured", "must"]] + [
            ["%s: %s" % (g.name, g.what),
             "%.2f%s %s" % (g.value, " ± %.2f" % g.noise if g.noise else "", g.unit),
             "%s %g" % (g.op, g.must)]
            for g in goals if g.value is not None])
    return out.rstrip() + "\n"


def put_in_readme(path, name, text):
    """Between the comments of that name, instead of what is there."""
    begin, end = "<!-- %s -->\n" % name, "<!-- end of %s -->\n" % name
    with open(path, encoding="utf-8") as f:
        before, rest = f.read().split(begin)
    after = rest.split(end)[1]
    with open(path, "w", encoding="utf-8") as f:
        f.write(before + begin + text + end + after)
    print("wrote %s" % path)


def write_svg(prefix, results):
    """The ratios to qemu-nbd, a group of bars per row, and what must be reached
    as a dash over each bar."""
    if not shutil.which("gnuplot"):
        print("no gnuplot, no chart")
        return
    groups, rows = [], []
    for r in results:
        if r.group not in groups:
            groups.append(r.group)
        if r.row not in rows:
            rows.append(r.row)
    by = {(r.group, r.row): r for r in results}
    top = max([r.ratio(r.us) for r in results] + [r.must or 0 for r in results] + [1])
    width = 0.8 / len(groups)
    with tempfile.TemporaryDirectory(prefix="mpiscsi-bench.") as d:
        plots = []
        for i, g in enumerate(groups):
            bars, dashes = (os.path.join(d, "%s%d" % (n, i)) for n in ("bars", "must"))
            with open(bars, "w") as b, open(dashes, "w") as m:
                for x, row in enumerate(rows):
                    r = by.get((g, row))
                    if r:
                        at = x - 0.4 + width * (i + 0.5)
                        b.write("%g %g\n" % (at, r.ratio(r.us)))
                        if r.must is not None:
                            m.write("%g %g %g\n" % (at, r.must, width / 2))
            plots.append("'%s' using 1:2 with boxes lc %d title '%s LUN, %s'"
                         % (bars, i + 1, g[1], g[0]))
            if os.path.getsize(dashes):
                plots.append("'%s' using 1:2:3 with xerrorbars pt -1 lw 2 lc 'black' %s"
                             % (dashes, "notitle" if i else "title 'must'"))
        tics = ", ".join('"%s" %d' % (r.replace("-", "\\n"), x) for x, r in enumerate(rows))
        script = "\n".join([
            "set terminal svg size 960,440 background 'white' font 'sans,11'",
            "set output '%s.svg'" % prefix.replace("'", "''"),
            # Double quotes: the \n is gnuplot's.
            'set title "mpiscsi (2 portals): speed, qemu-nbd = 1\\n%s" noenhanced'
            % machine().replace('"', ""),
            "set style fill solid 0.75 border lc 'black'",
            "set boxwidth %g" % (width * 0.9),
            "set xtics (%s) noenhanced" % tics, "set bmargin 4",
            "set xrange [-0.6:%g]" % (len(rows) - 0.4),
            "set yrange [0:%g]" % (top * 1.25),
            "set grid ytics", "set key top left horizontal noenhanced",
            "plot 1 with lines lc 'gray40' dt 2 notitle, " + ", ".join(plots)]) + "\n"
        r = subprocess.run(["gnuplot"], input=script, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if r.returncode:
            raise RuntimeError("gnuplot: " + r.stdout.strip())
    print("wrote %s.svg" % prefix)
