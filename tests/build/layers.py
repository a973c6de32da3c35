#!/usr/bin/env python3
"""usage: layers.py [--table] [--all] SRCDIR BUILDDIR

The rules of server/README, held against what includes what (the sources) and
what calls what (nm on the objects): one line for each that is broken; exit
status 1 if there is any.  --table: what there is, in numbers;
--all: also what is known."""

import os
import re
import subprocess
import sys

ORDER = ["base", "scsi", "conf", "rules", "engine", "iscsi", "multipath",
         "fence", "service", "control", "nbd", "cmd"]
PURE = ["base", "scsi", "conf", "rules"]
# Front ends see the service and what is pure, nothing between.
FRONT = {"nbd", "cmd", "plugin"}
FRONT_SEES = PURE + ["service", "control"]
IMPURE = re.compile(r'#\s*include\s*<(nbdkit|ev\.h|iscsi/)')
MAX_LINES = 500

# What is known to be wrong still, each a part of the line that says so.  The
# list only gets shorter: one that is not needed any more is wrong, too.
KNOWN = """
a circle: server/iscsi/guard
a circle: server/conf/
a circle: server/multipath/
a circle: server/service/default-export.c
a circle: server/service/io.c
a circle: server/control/control-events.c
a circle: plugin/exports.c
a circle: server/cmd/
a circle: server/nbd/
a circle: server/iscsi/ffp-out.c
server/cmd/cmd-check.c: includes "conf/conf-internal.h"
server/cmd/cmd-scan.c: uses engine_enter
server/cmd/cmd-scan.c: uses engine_leave
plugin/plugin.c: uses guard_is_installed
plugin/plugin.c: uses engine_start_thread
plugin/exports.c: uses engine_leave
plugin/exports.c: uses engine_enter
plugin/exports.c: uses engine_bind_thread
server/multipath/probe.c: 8
server/iscsi/ffp-in.c: 5
server/fence/nexus.c: 5
server/conf/values.c: 5
"""


def folders(src):
    """{folder: [source file, relative to SRC]}"""
    found = {}
    for folder in ORDER + ["plugin"]:
        path = folder if folder == "plugin" else "server/" + folder
        if os.path.isdir(os.path.join(src, path)):
            found[folder] = sorted(
                path + "/" + f for f in os.listdir(os.path.join(src, path))
                if f.endswith((".c", ".h")))
    return found


def may_see(user, used):
    if user == used or (user, used) == ("cmd", "nbd"):
        return True
    if user in FRONT:
        return used in FRONT_SEES
    return used in ORDER and ORDER.index(used) < ORDER.index(user)


def includes(src, path):
    with open(os.path.join(src, path)) as f:
        return re.findall(r'^#\s*include\s*"([^"]+)"', f.read(), re.M)


def objects(build, paths):
    """{source: (defined, undefined) global symbols of its object}"""
    source_of = {}
    for path in paths:
        folder, name = os.path.split(path[:-2])
        for obj in (f"{folder}/{name}.o", f"{folder}/.libs/{name}.o"):
            if os.path.exists(os.path.join(build, obj)):
                source_of[obj] = path
                break
    found = {path: (set(), set()) for path in source_of.values()}
    out = subprocess.run(["nm", "-P", "-g", "-A", *source_of], check=True,
                         cwd=build, capture_output=True, text=True).stdout
    for line in out.splitlines():
        obj, symbol, kind = line.split()[:3]
        found[source_of[obj.rstrip(":")]][kind in "Uw"].add(symbol)
    return found


def circles(graph):
    """strongly connected components of more than one node (Tarjan)"""
    index, low, stack, on, found = {}, {}, [], set(), []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        on.add(v)
        for w in graph.get(v, ()):
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in on:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            part = []
            while True:
                w = stack.pop()
                on.discard(w)
                part.append(w)
                if w == v:
                    break
            if len(part) > 1:
                found.append(sorted(part))

    sys.setrecursionlimit(10000)
    for v in sorted(graph):
        if v not in index:
            visit(v)
    return found


def main():
    table = "--table" in sys.argv
    src, build = [a for a in sys.argv[1:] if not a.startswith("--")]
    wrong, upward, arrows = [], set(), set()
    files = folders(src)
    folder_of = {f: k for k, v in files.items() for f in v}
    defines, uses = {}, {}

    for path, folder in folder_of.items():
        with open(os.path.join(src, path)) as f:
            text = f.read()
        if text.count("\n") > MAX_LINES:
            wrong.append(f"{path}: {text.count(chr(10))} lines; a file has at "
                         f"most {MAX_LINES}")
        if folder in PURE and IMPURE.search(text):
            wrong.append(f"{path}: {folder}/ is pure, but it includes "
                         f"{IMPURE.search(text).group(0)}")
        for inc in includes(src, path):
            used = inc.split("/")[0] if "/" in inc else folder
            if used not in files:
                continue
            if not may_see(folder, used):
                upward.add((path, inc))
                wrong.append(f'{path}: includes "{inc}", but {folder}/ does '
                             f"not see {used}/")
            if inc.endswith("-internal.h") and used != folder:
                wrong.append(f'{path}: includes "{inc}", which is only for '
                             f"{used}/")

    sources = [p for p in folder_of if p.endswith(".c")]
    symbols = objects(build, sources)
    missing = [p for p in sources if p not in symbols]
    for path, (defined, undefined) in symbols.items():
        for s in defined:
            defines.setdefault(s, path)
        uses[path] = undefined

    graph = {}
    for path, symbols in uses.items():
        for s in sorted(symbols):
            to = defines.get(s)
            if to is None or to == path:
                continue
            graph.setdefault(path, set()).add(to)
            arrows.add((path, to))
            if not may_see(folder_of[path], folder_of[to]):
                upward.add((path, to))
                wrong.append(f"{path}: uses {s} of {to}, but "
                             f"{folder_of[path]}/ does not see "
                             f"{folder_of[to]}/")
    for part in circles(graph):
        wrong.append("these files call each other in a circle: " +
                     " ".join(part))
    if missing and not table:
        wrong.append("no object of " + " ".join(missing))

    if table:
        def lines(f):
            with open(os.path.join(src, f)) as fp:
                return sum(1 for _ in fp)
        headers = [(lines(f), f) for f in folder_of if f.endswith(".h")]
        parts = circles(graph)
        print(f"files {len(folder_of)}, arrows between files {len(arrows)}, "
              f"upward {len(upward)}")
        print("circles", len(parts), "of", [len(p) for p in parts], "files")
        print("largest header %d lines: %s" % max(headers))
        print("largest file %d lines: %s"
              % max((lines(f), f) for f in folder_of))
    else:
        known = KNOWN.strip().splitlines() if "--all" not in sys.argv else []
        used = {k for k in known for line in wrong if k in line}
        wrong = [line for line in wrong if not any(k in line for k in known)]
        wrong += [f"layers.py: '{k}' is right now: take it off the list"
                  for k in known if k not in used]
        for line in wrong:
            print(line)
    sys.exit(1 if wrong and not table else 0)


if __name__ == "__main__":
    main()
