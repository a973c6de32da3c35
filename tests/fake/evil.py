#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Each hostile role of fake-iscsi-target, played to a real server.

usage: evil.py DIRECTORY SLOW GROUP [ROLE...]

From the environment: FAKE_TARGET, NBDKIT (a command line, without the
plugin), PLUGIN, JOBS; SEE=1 prints the log of each run.  SLOW multiplies the limits.

A role is played on the only path ("alone"), and on one of two ("pair": the
other target is honest, and has the same disk).  Whatever happens, what is
read is either an error or exactly what is on the disk (the buffers of the
server have had other sectors in them before), each request ends in bounded
time, nobody crashes, SIGTERM ends the server with status 0, the log has the
line that the table names, and what was acknowledged is on the disk.  In a
pair no request may fail, unless the table says that the target's own answer
is an honest "no".
"""
import ctypes
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time

import nbd

SIZE = 8 << 20
SECTOR = 512
IQN = "iqn.2026-11.example.mpiscsi:fake"
BAD_LOG = re.compile(r"Sanitizer|runtime error:|[Aa]ssertion|unexpected event|"
                     r"internal error|==\d+== (Invalid|Conditional|Use of)")
LOST = "session [0-9]+ lost: "
K, M = 1 << 10, 1 << 20


class Wrong(Exception):
    pass


def role(name, log=None, **how):
    """log: what the only path's log must have.  alone: its reads and writes:
    "ok" all well, "error" at least one failed, "any".  start: False: the only
    path cannot be used at all, and log is in the error; None: either.
    pair: "ok" or "any".  lies: writes are acknowledged that were not done.
    options, fake: more of the server's, of the target's."""
    how.setdefault("alone", "any")
    how.setdefault("pair", "ok")
    how.setdefault("start", True)
    how.setdefault("modes", ("alone", "pair"))
    how.update(name=name, log=log)
    return how


def table():
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "evil-roles.py")) as f:
        code = compile(f.read(), "evil-roles.py", "exec")
    names = {"role": role, "LOST": LOST}
    exec(code, names)
    return names["GROUPS"]


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Model:
    """What is on the disk: bytes, and for sectors of a failed write also what
    they may be instead."""
    def __init__(self):
        self.data = bytearray(random.Random(7).randbytes(SIZE))
        self.maybe = {}

    def check(self, at, buf, what):
        if self.data[at:at + len(buf)] == buf:
            return
        for i in range(0, len(buf), SECTOR):
            a = (at + i) // SECTOR
            have = bytes(buf[i:i + SECTOR])
            if self.data[at + i:at + i + SECTOR] != have and \
               have not in self.maybe.get(a, ()):
                where = "nowhere"
                found = self.data.find(have)
                if not any(have):
                    where = "zeroes"
                elif found != -1:
                    where = "sector %d" % (found // SECTOR)
                raise Wrong("%s: wrong bytes in sector %d (found: %s)"
                            % (what, a, where))

    def wrote(self, at, buf, well):
        for i in range(0, len(buf), SECTOR):
            a = (at + i) // SECTOR
            if well:
                self.maybe.pop(a, None)
            else:
                self.maybe.setdefault(a, set()).add(bytes(buf[i:i + SECTOR]))
        if well:
            self.data[at:at + len(buf)] = buf


class Run:
    def __init__(self, top, slow, how, mode):
        self.how, self.mode, self.slow = how, mode, slow
        self.dir = os.path.join(top, "%s-%s" % (how["name"], mode))
        os.mkdir(self.dir)
        self.log = os.path.join(self.dir, "log")
        self.image = os.path.join(self.dir, "disk")
        self.sock = os.path.join(self.dir, "sock")
        self.children = []
        self.server = None
        self.errors = self.goods = 0
        self.random = random.Random(how["name"] + mode)
        self.model = Model()
        with open(self.image, "wb") as f:
            f.write(self.model.data)

    def start(self, args, log, pipe=False):
        with open(log, "a") as f:
            child = subprocess.Popen(
                args, stdin=subprocess.DEVNULL, stderr=f,
                stdout=subprocess.PIPE if pipe else f, text=True,
                preexec_fn=die_with_parent)
        self.children.append(child)
        return child

    def start_fake(self, args):
        fake = self.start(
            [os.environ["FAKE_TARGET"], "--listen", "127.0.0.1:0", "--file",
             self.image, "--size", str(SIZE)] + self.how.get("facts", []) + args,
            os.path.join(self.dir, "fake.log"), pipe=True)
        words = fake.stdout.readline().split()
        if words[:1] != ["ready"]:
            raise Wrong("fake-iscsi-target does not start: %s" % words)
        return words[1]

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def start_server(self, portals):
        how = self.how
        options = {
            "portals": ",".join(portals), "target": IQN, "discovery": "off",
            "rr-min-io": "1", "login-timeout": "%g" % (4 * self.slow),
            "noop-out-interval": "1", "noop-out-timeout": "%g" % self.slow,
            "command-timeout": "%g" % (2 * self.slow), "no-path-retry": "fail",
            "polling-interval": "0.2",
        }
        options.update(how.get("options", {}))
        if self.mode == "pair":
            options.update(how.get("pairoptions", {}))
        pidfile = os.path.join(self.dir, "pid")
        self.server = self.start(
            shlex.split(os.environ["NBDKIT"]) +
            ["-f", "-U", self.sock, "--pidfile", pidfile, os.environ["PLUGIN"]] +
            ["%s=%s" % kv for kv in options.items() if kv[1] is not None],
            self.log)
        end = time.monotonic() + 15 * self.slow
        while not (os.path.exists(pidfile) and os.path.getsize(pidfile)):
            if self.server.poll() is not None:
                return False
            if time.monotonic() > end:
                raise Wrong("the server does not start")
            time.sleep(0.01)
        return True

    def request(self, what, call):
        """False: it failed."""
        t = time.monotonic()
        try:
            call()
            well = True
        except nbd.Error as e:
            if self.server.poll() is not None:
                raise Wrong("%s: the server ended with status %d"
                            % (what, self.server.returncode)) from e
            well = False
        t = time.monotonic() - t
        if t > 6 * self.slow:
            raise Wrong("%s took %.1f s" % (what, t))
        if well:
            self.goods += 1
        else:
            self.errors += 1
            if self.mode == "pair" and self.how["pair"] == "ok":
                raise Wrong("%s failed although the other path is good" % what)
            # It comes back, usually: the next request is to reach it.
            time.sleep(0.3)
        return well

    def read(self, h, at, n):
        buf = []
        what = "read of %d at %d" % (n, at)
        if self.request(what, lambda: buf.append(h.pread(n, at))):
            self.model.check(at, buf[0], what)

    def write(self, h, at, n):
        buf = self.random.randbytes(n)
        well = self.request("write of %d at %d" % (n, at),
                            lambda: h.pwrite(buf, at))
        self.model.wrote(at, buf, well)

    def extents(self, h):
        seen = []

        def cb(_context, offset, entries, _error):
            at = offset
            for n, flags in zip(entries[::2], entries[1::2]):
                seen.append((at, n, flags))
                at += n
        if not self.request("block status",
                            lambda: h.block_status(SIZE, 0, cb)):
            return
        for at, n, flags in seen:
            if flags & nbd.STATE_ZERO and \
               any(self.model.data[at:min(at + n, SIZE)]):
                raise Wrong("extents: data at %d called zero" % at)

    def connect(self, h):
        """On a busy machine the second login may not be through yet."""
        end = time.monotonic() + 10 * self.slow
        while True:
            try:
                h.connect_unix(self.sock)
                return
            except nbd.Error:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def io(self, h):
        how = self.how
        for at in 0, 1 * M, 2 * M:
            self.read(h, at, 320 * K)
        self.write(h, 3 * M, 320 * K)
        for _ in range(how.get("rounds", 2 if self.mode == "pair" else 1)):
            for op in how.get("io", ("r4k", "r64k", "r300k", "w4k", "w512k",
                                     "check", "flush")):
                if op == "pause":
                    time.sleep(2.5)
                elif op == "relogin":
                    time.sleep(0.6)
                elif op[0] == "r":
                    self.read(h, 4 * M + self.random.randrange(4) * 64 * K,
                              int(op[1:-1]) * K)
                elif op[0] == "w":
                    self.write(h, 5 * M + self.random.randrange(4) * 64 * K,
                               int(op[1:-1]) * K)
                elif op == "check":
                    self.read(h, 5 * M, 700 * K)
                elif op == "flush":
                    self.request("flush", h.flush)
                elif op == "extents":
                    self.extents(h)

    def stop(self):
        if self.server.poll() is None:
            self.server.terminate()
        try:
            status = self.server.wait(8 * self.slow)
        except subprocess.TimeoutExpired:
            raise Wrong("the server does not end") from None
        if status != 0:
            raise Wrong("the server ended with status %d" % status)

    def play(self):
        how = self.how
        after = how.get("after", "4" if self.mode == "alone" else "2")
        spec = how["name"]
        if after is not None and (how["start"] is True or "after" in how):
            spec += ":" + after
        evil = ["--evil", spec] + how.get("fake", [])
        portals = [self.start_fake(evil)]
        if self.mode == "pair":
            portals.append(self.start_fake([]))
        up = self.start_server(portals)
        if self.mode == "alone" and not up:
            if how["start"] is True:
                raise Wrong("the server did not start")
            if self.server.returncode != 1:
                raise Wrong("the server ended with status %d at the start"
                            % self.server.returncode)
            if len(re.findall("^nbdkit: .*error: ", self.text(), re.M)) != 1:
                raise Wrong("not one error line")
        elif not up:
            raise Wrong("the server did not start, although there is a good path")
        elif self.mode == "alone" and how["start"] is False:
            raise Wrong("the server started")
        else:
            h = nbd.NBD()
            h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
            self.connect(h)
            if h.get_size() != SIZE:
                raise Wrong("the size is %d" % h.get_size())
            self.io(h)
            try:
                h.shutdown()
            except nbd.Error:
                pass
            self.stop()
            self.check_disk()
            self.check_counts()
        text = self.text()
        if how["log"] and self.mode == "alone" and not re.search(how["log"], text):
            raise Wrong("not in the log: %s" % how["log"])
        if "pairlog" in how and self.mode == "pair" and \
           not re.search(how["pairlog"], text):
            raise Wrong("not in the log: %s" % how["pairlog"])
        if BAD_LOG.search(text):
            raise Wrong("in the log: %s" % BAD_LOG.search(text).group())
        if len(text) > 200000:
            raise Wrong("the log has %d bytes" % len(text))

    def check_disk(self):
        if self.how.get("lies"):
            return
        with open(self.image, "rb") as f:
            self.model.check(0, f.read(SIZE), "the disk at the end")

    def check_counts(self):
        if self.mode == "alone" and self.how["alone"] == "ok" and self.errors:
            raise Wrong("%d requests failed" % self.errors)
        if self.mode == "alone" and self.how["alone"] == "error" and not self.errors:
            raise Wrong("no request failed")

    def end(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()


def run(top, slow, how, mode):
    """In a process of its own: its status says it all."""
    die_with_parent()
    r = Run(top, slow, how, mode)
    t = time.monotonic()
    status = 0
    try:
        r.play()
    except Exception as e:              # nbd.Error too
        status = 1
        print("FAIL: %s, %s: %s: %s" % (how["name"], mode, type(e).__name__, e))
    finally:
        r.end()
    t = time.monotonic() - t
    if status or os.environ.get("SEE"):
        try:
            print("".join("    " + x + "\n" for x in r.text().splitlines()[-40:]))
        except OSError:
            pass
    if not status:
        print("ok: %s, %s: %d good, %d failed, %.1f s"
              % (how["name"], mode, r.goods, r.errors, t))
    sys.stdout.flush()
    os._exit(status)


def main():
    top, slow, group = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    groups = table()
    text = subprocess.run([os.environ["FAKE_TARGET"], "--help"], text=True,
                          stdout=subprocess.PIPE, check=True).stdout
    there = set(re.findall(r"^  ([a-z0-9-]+) ", text[text.index("Roles:"):], re.M))
    mine = [how for g in groups.values() for how in g]
    names = {how["name"] for how in mine}
    if there != names or len(names) != len(mine):
        sys.exit("roles that no group, or two groups, have: %s"
                 % (there ^ names or "twice"))
    todo = [(how, mode) for how in (mine if group == "all" else groups[group])
            if not sys.argv[4:] or how["name"] in sys.argv[4:]
            for mode in how["modes"]]
    # The long ones first.
    todo.sort(key=lambda x: x[0].get("long", 0))
    running, failed, n = {}, 0, len(todo)
    limit = 40 * slow
    while todo or running:
        while todo and len(running) < int(os.environ.get("JOBS", "3")):
            how, mode = todo.pop()
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                run(top, slow, how, mode)
            running[pid] = (how["name"], mode, time.monotonic())
        for pid in list(running):
            name, mode, since = running[pid]
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del running[pid]
                failed += status != 0
            elif time.monotonic() - since > limit:
                print("FAIL: %s, %s: hangs" % (name, mode))
                os.kill(pid, signal.SIGKILL)    # and its children with it
        time.sleep(0.01)
    print("%d runs, %d failed" % (n, failed))
    sys.exit(failed != 0 or n == 0)


main()
