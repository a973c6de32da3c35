# SPDX-License-Identifier: BSD-3-Clause
"""Measurements that are no row of servers against each other: portals of a
limited rate, many idle exports, the price of what makes it safe.

Each function yields report.Goal.  They share the Rig with the rows: its
processes and files, with other servers and targets on it.
"""
import json
import os
import socket
import statistics
import struct
import subprocess
import time

import rig
from report import Goal

MIB = 1 << 20
# All that watches over healthy paths and can be switched off.  The counters
# (latency of each path, in-doubt ranges while there are any) cannot.
UNSAFE = ["fence=off", "path-checker=none", "noop-out-interval=0"]
UNSAFE_IF_THERE = ["hedged-reads=off"]


def pairs(args):
    return max(PAIRS_MIN, PAIRS * args.rounds)


def seconds(name, args, each):
    """About how long one takes."""
    return {"limited": 4 * args.rounds * each + 5,
            "idle": 3 * (IDLE_SECONDS + 6),
            "safety": 6 * pairs(args) * (each + 0.2) + 10}[name]


def serve(args, portals, params, sock, prefix=()):
    return (list(prefix) + [args.command, "serve", "front_end=own", "unix_socket=" + sock,
                            "portals=" + ",".join(portals), "discovery=off",
                            "target=" + rig.IQN]
            + params + args.plugin_args)


# ---- portals of 50 MiB/s each ------------------------------------------------

RATE = 50 * MIB                         # bytes per second
MTU = 9000          # with 1500 the headers alone leave 95.3 of 100 MiB/s


class Wires:
    """One network namespace for the servers and one for the target, with N
    cables between them, each limited by tc tbf in both directions.  They end
    with the processes that sleep in them."""
    def __init__(self, r, n):
        self.client, self.target = ([], [])
        pids = []
        for name in ("client-netns", "target-netns"):
            p = r.start(name, ["unshare", "-n", "sleep", "infinity"])
            rig.wait_for(name, 5, lambda p=p: self.inside(p.pid), p)
            pids.append(p.pid)
        self.client, self.target = (["nsenter", "-t", str(p), "-n", "--"] for p in pids)
        self.portals = []
        for i in range(n):
            self.run(self.client, "ip link add c%d mtu %d type veth peer name t%d mtu %d netns %d"
                     % (i, MTU, i, MTU, pids[1]))
            for ns, end, host in ((self.client, "c", 1), (self.target, "t", 2)):
                dev = "%s%d" % (end, i)
                self.run(ns, "ip addr add 10.99.%d.%d/24 dev %s" % (i, host, dev))
                self.run(ns, "ip link set %s up" % dev)
                # tc's "bps" is bytes per second.  Nothing is ever dropped: the
                # queue holds more than TCP keeps on the way.
                self.run(ns, "tc qdisc add dev %s root tbf rate %dbps burst 128kb limit 16mb"
                         % (dev, RATE))
            self.portals.append("10.99.%d.2:3260" % i)
        for ns in (self.client, self.target):
            self.run(ns, "ip link set lo up")

    @staticmethod
    def inside(pid):
        try:
            with open("/proc/%d/comm" % pid) as f:
                return f.read() == "sleep\n" and \
                    os.readlink("/proc/%d/ns/net" % pid) != os.readlink("/proc/self/ns/net")
        except OSError:
            return False

    @staticmethod
    def run(ns, words):
        p = subprocess.run(ns + words.split(), stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=20)
        if p.returncode:
            raise RuntimeError("%s: %s" % (words, p.stdout.strip()))


def limited(r, args, make_row, quiet):
    """One sequential reader over two portals of 50 MiB/s."""
    if os.geteuid() != 0:
        yield Goal.left_out("limited", "needs root, for network namespaces")
        return
    r.stop()
    w = Wires(r, 2)
    r.start_target(w.portals, w.target, {1: "null"})
    servers = {n: r.serve("limited-%d" % n,
                          serve(args, w.portals[:n], ["lun=1"], r.sock("limited-%d" % n), w.client),
                          r.sock("limited-%d" % n)) for n in (1, 2)}
    for name, size, depth, must in (("256k-d4", 256 << 10, 4, 95), ("8m-d1", 8 * MIB, 1, 80)):
        row = make_row("limited-" + name, size, depth)
        samples = {n: [] for n in servers}
        for _ in range(args.rounds):
            for n, s in servers.items():
                quiet.wait()            # a late timer of tbf's is rate lost
                samples[n].append(r.fio(row, s, args)["mib"])
        yield Goal("limited-" + name, "2 portals of 50 MiB/s, 1 reader", "MiB/s",
                   statistics.median(samples[2]), ">=", must, samples[2],
                   "one portal: %.1f" % statistics.median(samples[1]))


# ---- 64 idle exports ---------------------------------------------------------

EXPORTS, PORTALS = 64, 2
IDLE_SECONDS = 20
# Left when nothing is checked: 1 ms of CPU time per second.
IDLE_MUST = 0.1                         # per cent of one CPU
MEMORY_MUST = 2.0                       # MiB per path


class Client:
    """A NBD connection that is there and does nothing."""
    def __init__(self, path, export):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20)
        self.s.connect(path)
        if self.get(16) != b"NBDMAGICIHAVEOPT":
            raise RuntimeError("not a NBD server")
        self.get(2)
        # Fixed newstyle, no zeroes; NBD_OPT_EXPORT_NAME.
        name = export.encode()
        self.s.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, len(name)) + name)
        self.get(8 + 2)

    def get(self, n):
        out = b""
        while len(out) < n:
            got = self.s.recv(n - len(out))
            if not got:
                raise RuntimeError("the NBD server closed the connection")
            out += got
        return out

    def read(self, offset, n):
        self.s.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 1, offset, n))
        magic, error, _ = struct.unpack(">IIQ", self.get(16))
        if magic != 0x67446698 or error:
            raise RuntimeError("NBD read: error %d" % error)
        return self.get(n)


def cpu_ns(pid):
    """Of the living threads: with nothing to do none of them ends."""
    total = 0
    for t in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, t)) as f:
            total += int(f.read().split()[0])
    return total


def memory_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        v = dict(line.split(":", 1) for line in f)
    return sum(int(v[k].split()[0]) for k in ("RssAnon", "RssShmem"))


def export_names(sock):
    p = subprocess.run(["nbdinfo", "--list", "--json", "nbd+unix:///?socket=" + sock],
                       stdout=subprocess.PIPE, timeout=60, check=True)
    return [e["export-name"] for e in json.loads(p.stdout)["exports"]]


def idle_server(r, args, name, portals, params, exports):
    """Started, each export read once by a client that stays: (CPU per cent,
    KiB before the clients, KiB with them)."""
    sock = r.sock(name)
    s = r.serve(name, serve(args, portals, params, sock), sock, "--list")
    names = export_names(sock)
    if len(names) != exports:
        raise RuntimeError("%s: %d exports, not %d" % (name, len(names), exports))
    before = memory_kib(s.proc.pid)
    clients = [Client(sock, n) for n in names]
    for c in clients:
        for i in range(PORTALS):        # so that all paths were in use
            c.read(i * MIB, MIB)
    time.sleep(2)
    start, cpu = time.monotonic(), cpu_ns(s.proc.pid)
    time.sleep(IDLE_SECONDS)
    percent = (cpu_ns(s.proc.pid) - cpu) / 1e7 / (time.monotonic() - start)
    used = memory_kib(s.proc.pid)
    for c in clients:
        c.s.close()
    r.end(s.proc)
    return percent, before, used


def idle(r, args):
    """64 exports in one process, a client connected to each, nothing to do."""
    portals = ["127.0.0.1:%d" % p for p in rig.free_ports(PORTALS)]
    r.stop()
    r.start_target(portals, [], {i: "null" for i in range(1, EXPORTS + 1)})
    paths = EXPORTS * PORTALS
    one = idle_server(r, args, "idle-1", portals, ["lun=1"] + UNSAFE, 1)
    bare = idle_server(r, args, "idle-bare", portals, UNSAFE, EXPORTS)
    usual = idle_server(r, args, "idle-64", portals, [], EXPORTS)
    yield Goal("idle-64-cpu", "%d exports, %d paths, checkers off" % (EXPORTS, paths), "% CPU",
               bare[0], "<=", IDLE_MUST, [bare[0]],
               "with the checkers %.2f %%; 1 export without %.3f %%" % (usual[0], one[0]))
    # Nothing is taken off for the process itself.  Most of it is nbdkit's: each
    # of its threads that ever answered a request keeps a buffer of that size,
    # here 1 MiB, until its client goes.
    yield Goal("idle-64-memory", "with a client on each export", "MiB/path",
               usual[2] / 1024 / paths, "<=", MEMORY_MUST, [usual[2] / 1024],
               "%.0f MiB in all; before the clients %.0f; 1 export %.0f"
               % (usual[2] / 1024, usual[1] / 1024, one[2] / 1024))


# ---- what safety costs -------------------------------------------------------

SAFETY_MUST = 2.0                       # per cent
PAIRS, PAIRS_MIN = 4, 8                 # of measurements, for each round and in all


def same_cpu():
    """cpu-affinity=auto takes a CPU by process number: two servers on different
    ones differ by more than what is looked for."""
    cpus = os.sched_getaffinity(0)
    return ["taskset", "-c", str(max(cpus))] if 2 <= len(cpus) <= 4 else []


def taken(r, args, param):
    """Is there such a parameter?"""
    argv = serve(args, r.portals[:1], ["lun=1", param], "-")
    return subprocess.run(argv + ["--run", "true"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          timeout=60).returncode == 0


def safety(r, args, make_row, quiet):
    """Default settings, and hedged reads besides, against the same with all of it
    off."""
    r.stop()
    r.start_target(r.portals, [], {1: "null"})
    off = UNSAFE + [p for p in UNSAFE_IF_THERE if taken(r, args, p)]
    kinds = [("usual", []), ("bare", off)]
    if "hedged-reads=off" in off:
        kinds.append(("hedged", ["hedged-reads=on"]))
    servers = {}
    for name, params in kinds:
        sock = r.sock("safety-" + name)
        servers[name] = r.serve("safety-" + name,
                                serve(args, r.portals[:2], ["lun=1"] + params, sock,
                                       same_cpu()), sock)
    for rw in ("randread", "randwrite"):
        row = make_row("safety-4k-%s-d32" % rw, 4096, 32, rw)
        rounds = []
        for i in range(pairs(args)):
            got = {}
            for name, _ in kinds if i % 2 == 0 else kinds[::-1]:
                quiet.wait()
                got[name] = r.fio(row, servers[name], args)
            rounds.append(got)
        # Only reads are hedged.
        for name, _ in kinds[::2] if rw == "randread" else kinds[:1]:
            yield safety_goal(row.name + ("" if name == "usual" else "-" + name), name,
                              rounds, off)


def safety_goal(title, name, rounds, off):
    ratios = [100 * (1 - got[name]["iops"] / got["bare"]["iops"]) for got in rounds]
    cpus = [100 * (got[name]["cpu"] / got["bare"]["cpu"] - 1) for got in rounds
            if got[name]["cpu"] and got["bare"]["cpu"]]
    spread = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 0
    what = [p.split("=")[0] for p in off if name == "hedged" or p not in UNSAFE_IF_THERE]
    return Goal(title, "cost of %s" % ", ".join(what), "% of IOPS",
                statistics.median(ratios), "<=", SAFETY_MUST, ratios,
                "standard error %.1f; CPU per I/O %+.1f %%"
                % (spread, statistics.median(cpus) if cpus else 0), spread)
