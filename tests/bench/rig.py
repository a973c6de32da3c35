# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark runs on: a private tgtd, the servers, one measurement.

Every process is a child that dies with us (PR_SET_PDEATHSIG), every file is
in one temporary directory.  Nothing is left when Rig.close returns.
"""
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")
IQN = "iqn.2026-11.example.mpiscsi:bench"
LUN_SIZE = 1 << 30                      # bytes, of the tmpfs LUN and of null
BACKENDS = {"null": 1, "tmpfs": 2}      # name: LUN
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number=signal.SIGKILL):
    _libc.prctl(1, number)              # PR_SET_PDEATHSIG


def wait_for(what, seconds, ready, *procs):
    end = time.monotonic() + seconds
    while not ready():
        for p in procs:
            if p.poll() is not None:
                raise RuntimeError("%s ended with status %d" % (what, p.returncode))
        if time.monotonic() > end:
            raise RuntimeError("%s is not ready after %d s" % (what, seconds))
        time.sleep(0.05)


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    try:
        for s in socks:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in socks]
    finally:
        for s in socks:
            s.close()


def busy_fraction(seconds):
    """Of all CPUs, how much was not idle."""
    def read():
        with open("/proc/stat") as f:
            v = [int(x) for x in f.readline().split()[1:9]]
        return sum(v), v[3] + v[4]      # idle, iowait
    t0, i0 = read()
    time.sleep(seconds)
    t1, i1 = read()
    return 1 - (i1 - i0) / max(1, t1 - t0)


class Quiet:
    """Waits for a quiet machine, but not for ever: budget is in seconds for
    the whole run."""
    def __init__(self, budget, limit=0.10):
        self.left, self.limit = budget, limit

    def wait(self):
        """Returns how busy the machine was just before the measurement."""
        while True:
            busy = busy_fraction(0.2)
            if busy <= self.limit or self.left <= 0:
                return busy
            time.sleep(0.8)
            self.left -= 1


def usage(pid):
    """Now, CPU seconds (user + system, all threads, also ended ones), context
    switches (of the living threads) and number of threads of a process."""
    with open("/proc/%d/stat" % pid) as f:
        v = f.read().rsplit(")", 1)[1].split()
    cpu = (int(v[11]) + int(v[12])) / TICK
    switches = 0
    tasks = os.listdir("/proc/%d/task" % pid)
    for task in tasks:
        try:
            with open("/proc/%d/task/%s/status" % (pid, task)) as f:
                switches += sum(int(x) for x in re.findall(
                    r"ctxt_switches:\s+(\d+)", f.read()))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return time.monotonic(), cpu, switches, len(tasks)


def per_io(samples, end, runtime, iops):
    """CPU us and context switches per I/O.  samples of usage() were taken all
    the time, as fio takes long to start on a busy machine, so that only its
    end is known: its last RUNTIME seconds are the measured ones.  The threads
    of a connection end with it, and their counters go; so a little before."""
    inside = [s for s in samples if end - runtime <= s[0] <= end - 0.25]
    inside = [s for s in inside if s[3] >= inside[0][3]]
    if len(inside) < 2:
        return None, None
    a, b = inside[0], inside[-1]
    ios = iops * (b[0] - a[0])
    return (b[1] - a[1]) * 1e6 / ios, (b[2] - a[2]) / ios


class Server:
    """One NBD server, or (uri None) a direct initiator."""
    def __init__(self, name, proc=None, uri=None):
        self.name, self.proc, self.uri = name, proc, uri


class Rig:
    def __init__(self, nr_portals=4):
        self.dir = tempfile.mkdtemp(prefix="mpiscsi-bench.")
        self.procs = []
        self.servers = {}
        self.target = None
        # A tmpfs that is not ours to mount: /dev/shm needs no root.
        fd, self.lun_file = tempfile.mkstemp(prefix="mpiscsi-bench.", dir="/dev/shm")
        # Written, not sparse: else a read would measure tmpfs's zero page.
        try:
            block = os.urandom(1 << 20)
            for _ in range(LUN_SIZE >> 20):
                os.write(fd, block)
        finally:
            os.close(fd)
        self.portals = ["127.0.0.1:%d" % p for p in free_ports(nr_portals)]

    def start(self, name, argv, **kw):
        log = open(os.path.join(self.dir, name + ".log"), "ab")
        try:
            p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, preexec_fn=die_with_parent, **kw)
        finally:
            log.close()
        self.procs.append(p)
        return p

    def log_tail(self, name):
        try:
            with open(os.path.join(self.dir, name + ".log"), errors="replace") as f:
                return "".join(f.readlines()[-8:])
        except FileNotFoundError:
            return ""

    #---- target
    def tgtadm(self, *args):
        return subprocess.run(["tgtadm", "-C", self.control, "--lld", "iscsi"] + list(args),
                              env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=20)

    def start_target(self, portals=None, prefix=(), luns=None):
        """After stop ().  prefix: a command in front of tgtd's; luns: {number:
        back end}."""
        self.control = str(os.getpid() % 32768)
        self.env = dict(os.environ, TGT_IPC_SOCKET=os.path.join(self.dir, "tgt"))
        p = self.start("tgtd", list(prefix)
                       + ["tgtd", "-f", "-C", self.control, "--iscsi",
                          ",".join("portal=" + x for x in portals or self.portals)],
                       env=self.env)
        self.target = p
        wait_for("tgtd", 10,
                 lambda: self.tgtadm("--mode", "sys", "--op", "show").returncode == 0, p)
        lun = ["--mode", "logicalunit", "--op", "new", "--tid", "1"]
        luns = luns or {BACKENDS[b]: {"tmpfs": "rdwr"}.get(b, b) for b in BACKENDS}
        for a in ([["--mode", "target", "--op", "new", "--tid", "1", "-T", IQN]]
                  # Of null the file is not read: it only gives the size.
                  + [lun + ["--lun", str(n), "--bstype", b, "-b", self.lun_file]
                     for n, b in luns.items()]
                  + [["--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL"]]):
            r = self.tgtadm(*a)
            if r.returncode:
                raise RuntimeError("tgtadm %s: %s" % (" ".join(a), r.stdout.strip()))

    def url(self, backend):
        return "iscsi://%s/%s/%d" % (self.portals[0], IQN, BACKENDS[backend])

    #---- servers
    def sock(self, name):
        return os.path.join(self.dir, name.replace("/", "-") + ".sock")

    def serve(self, name, argv, sock, ask="--size"):
        if os.path.exists(sock):        # of the run in another mode
            os.unlink(sock)
        p = self.start(name.replace("/", "-"), argv)
        uri = "nbd+unix:///?socket=" + sock

        def answers():
            return os.path.exists(sock) and subprocess.run(
                ["nbdinfo", ask, uri], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, timeout=20).returncode == 0
        try:
            wait_for(name, 20, answers, p)
        except RuntimeError as e:
            raise RuntimeError("%s\n%s" % (e, self.log_tail(name.replace("/", "-"))))
        return Server(name, p, uri)

    def server(self, kind, backend, args):
        """kind: mpiscsi/N (N portals; mpiscsi serve), plugin/N (nbdkit with the
        plugin), qemu-nbd, memory, direct.  Started when first asked for."""
        key = (kind, None if kind == "memory" else backend)
        if key in self.servers:
            return self.servers[key]
        label = kind if kind == "memory" else "%s-%s" % (kind, backend)
        sock = self.sock(label)
        if kind.startswith(("mpiscsi/", "plugin/")):
            n = int(kind.split("/")[1])
            who = ["nbdkit", "-f", "-U", sock, "-t", str(args.threads)] + args.nbdkit_args \
                + [args.plugin] if kind.startswith("plugin/") else \
                [args.command, "serve", "front_end=own", "unix_socket=" + sock]
            s = self.serve(label, who + ["portals=" + ",".join(self.portals[:n]),
                                         "discovery=off", "target=" + IQN, "control=none",
                                         "lun=%d" % BACKENDS[backend]] + args.plugin_args, sock)
        elif kind == "qemu-nbd":
            s = self.serve(label, ["qemu-nbd", "-t", "-f", "raw", "-k", sock, "-e", "16",
                                   "--cache=none", self.url(backend)], sock)
        elif kind == "memory":
            s = self.serve(label, ["nbdkit", "-f", "-U", sock, "-t", str(args.threads),
                                   "memory", str(LUN_SIZE)], sock)
        else:
            s = Server(label)
        self.servers[key] = s
        return s

    #---- one measurement
    def fio(self, row, server, args):
        """Returns a dict: iops, mib (MiB/s), p99 and mean (us), and, of the
        server, cpu (us per I/O) and switches (per I/O)."""
        out = os.path.join(self.dir, "fio.json")
        argv = ["fio", "--name=bench", "--ioengine=nbd", "--uri=" + server.uri,
                "--rw=" + row.rw, "--bs=" + row.bs, "--iodepth=%d" % row.depth,
                "--numjobs=%d" % row.jobs, "--size=%d" % LUN_SIZE, "--thread",
                "--group_reporting", "--time_based", "--runtime=%dms" % (args.runtime * 1000),
                "--ramp_time=%dms" % (args.ramp * 1000), "--norandommap", "--randrepeat=0",
                "--percentile_list=50:99", "--output-format=json", "--output=" + out]
        if row.rw == "randrw":
            argv.append("--rwmixread=70")
        if row.jobs > 1 and not row.rw.startswith("rand"):
            argv.append("--offset_increment=%d" % (LUN_SIZE // row.jobs))
        p = self.start("fio", argv)
        samples, limit = [], time.monotonic() + args.ramp + args.runtime + 30
        while p.poll() is None and time.monotonic() < limit:
            samples.append(usage(server.proc.pid))
            time.sleep(0.1)
        end, status = time.monotonic(), p.returncode
        if status is None:
            p.kill()
            p.wait()
            status = "none: it hung"
        self.procs.remove(p)
        if status != 0:
            raise RuntimeError("fio %s on %s: status %s\n%s%s" % (
                row.name, server.name, status, self.log_tail("fio"),
                self.log_tail(server.name.replace("/", "-"))))
        with open(out) as f:
            text = f.read()
        job = json.loads(text[text.index("{"):])["jobs"][0]
        if job["error"]:
            raise RuntimeError("fio %s on %s: error %d" % (row.name, server.name, job["error"]))
        both = [job[k] for k in ("read", "write") if job[k]["total_ios"]]
        iops = sum(x["iops"] for x in both)
        if not iops:
            raise RuntimeError("fio %s on %s did no I/O" % (row.name, server.name))
        cpu, switches = per_io(samples, end, args.runtime, iops)
        return {"iops": iops,
                "mib": sum(x["bw_bytes"] for x in both) / 2**20,
                "mean": sum(x["clat_ns"]["mean"] * x["iops"] for x in both) / iops / 1e3,
                "p99": max(x["clat_ns"]["percentile"]["99.000000"] for x in both) / 1e3,
                "cpu": cpu, "switches": switches}

    def iscsi_perf(self, row, backend, args):
        """The direct limit: no NBD at all.  Reads only."""
        blocks = row.bytes // 512
        argv = ["iscsi-perf", "-m", str(row.depth), "-b", str(blocks),
                "-t", str(max(1, round(args.runtime)))]
        if row.rw == "randread":
            argv.append("-r")
        p = subprocess.run(argv + [self.url(backend)], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, errors="replace", timeout=args.runtime + 30,
                           preexec_fn=die_with_parent)
        found = re.findall(r"iops average (\d+) \((\d+) MB/s\)", p.stdout)
        if not found:
            raise RuntimeError("iscsi-perf: no figures in: " + p.stdout[-300:])
        iops = float(found[-1][0])
        return {"iops": iops, "mib": iops * row.bytes / 2**20, "mean": None,
                "p99": None, "cpu": None, "switches": None}

    def stop(self):
        """Servers and target; Rig can start again, on other CPUs say."""
        self.servers = {}
        while self.procs:               # the target after its initiators
            self.end(self.procs[-1])

    def end(self, p):
        if p.poll() is None:
            p.terminate()
            try:
                # tgtd does not end while it has targets.
                p.wait(timeout=0.2 if p is self.target else 5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.procs.remove(p)

    def close(self):
        try:
            self.stop()
        finally:
            os.unlink(self.lun_file)
            for f in os.listdir(self.dir):
                os.unlink(os.path.join(self.dir, f))
            os.rmdir(self.dir)
