#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# The client of test-stale-*.sh: makes a write be caught (in the proxy, or in
# the target's store) on path A, lets A die, waits until the write was
# acknowledged over another path, overwrites, and lets the old write go.
#
#   stale-write.py URI [--proxy PROGRAM SOCKET PORTAL-A] [--freeze FOLDER]
#                  SCENARIO [ARGUMENT]...
#
# Prints what it saw, one fact a line; the script that called it asserts.
import argparse
import os
import subprocess
import sys
import time

import nbd

BLOCK = 4096
FIRST = 4096                    # byte where the caught write begins
LIMIT = 40                      # seconds that anything may take


def fail(text):
    sys.exit("stale-write: " + text)


def pattern(char, blocks=1):
    return nbd.Buffer.from_bytearray(bytearray(char * (BLOCK * blocks)))


class Op:
    """One asynchronous request; its completion is looked at by Client."""

    def __init__(self, client, what, call):
        self.what, self.start, self.ms, self.error = what, time.time(), -1, 0
        self.cookie = call(self._done)
        client.ops.append(self)

    def _done(self, error):
        self.ms = int((time.time() - self.start) * 1000)
        self.error = error.value if hasattr(error, "value") else error
        return 1


class Client:
    def __init__(self, args):
        self.args = args
        self.ops = []
        self.h = nbd.NBD()
        self.h.connect_uri(args.uri)

    def ctl(self, *words):
        program, sock, _ = self.args.proxy
        r = subprocess.run([program, "ctl", sock, *words],
                           capture_output=True, text=True)
        if r.returncode:
            fail("proxy: %s: %s%s" % (words, r.stdout, r.stderr))
        return r.stdout.strip()

    def at_a(self, *words):
        return self.ctl("at", self.args.proxy[2], *words)

    # libnbd keeps the buffer alive as long as the command.
    def write(self, char, at=FIRST, blocks=1):
        buf = pattern(char, blocks)
        return Op(self, "write", lambda f: self.h.aio_pwrite(buf, at, completion=f))

    def zero(self, at, blocks=1):
        return Op(self, "zero",
                  lambda f: self.h.aio_zero(BLOCK * blocks, at, completion=f))

    def trim(self, at, blocks=1):
        return Op(self, "trim",
                  lambda f: self.h.aio_trim(BLOCK * blocks, at, completion=f))

    def read(self, at):
        buf = nbd.Buffer(BLOCK)
        return Op(self, "read", lambda f: self.h.aio_pread(buf, at, completion=f))

    def wait(self, ops, seconds):
        """Until all are done; false when they were not in that time."""
        end = time.time() + seconds
        while any(o.ms < 0 for o in ops):
            if time.time() > end:
                return False
            try:
                self.h.poll(20)
            except nbd.Error:   # the server closed the connection
                return all(o.ms >= 0 for o in ops)
        return True

    def must(self, ops, what, seconds=LIMIT):
        if not self.wait(ops, seconds):
            fail(what)
        for o in ops:
            if o.error:
                fail("%s: %s failed with errno %d" % (what, o.what, o.error))

    def frozen(self):
        return os.path.exists(os.path.join(self.args.freeze, "frozen"))

    # Which path a write takes is the selector's business: write until one was
    # caught.  A store catches the first one, whatever path it takes.
    def catch(self, char, at=FIRST, blocks=1):
        end = time.time() + 10  # A may not be back yet from the last time
        while time.time() < end:
            op = self.write(char, at, blocks)
            if not self.wait([op], 1):
                return op
            time.sleep(0.01)
        fail("no write was caught")

    def look(self, at=FIRST):
        data = bytes(self.h.pread(BLOCK, at))
        names = {b"o": "old", b"n": "new", b"\0": "zero"}
        return names.get(data[:1], "other") \
            if data == data[:1] * BLOCK else "mixed"

    def kill_a(self, *extra):
        self.at_a("cut", "rst", *extra)

    def release(self):
        if self.args.freeze:
            os.unlink(os.path.join(self.args.freeze, "frozen"))
            print("released")
        else:
            print(self.ctl("release", "3000"))


def arm(c, times=1, blocks=1):
    if c.args.freeze:
        open(os.path.join(c.args.freeze, "freeze"), "w").close()
    else:
        c.at_a("hold-write", str(FIRST // 512), str(8 * blocks), str(times))


def caught_and_resent(c, blocks=1, refuse=False):
    """The old write is caught on A, A is dead, the write was sent again."""
    arm(c, blocks=blocks)
    old = c.catch(b"o", blocks=blocks)
    if c.args.freeze:
        if not c.frozen():
            fail("the store has not caught the write")
    if refuse:
        c.at_a("refuse", "on")
    start = time.time()
    # Of a command that is in the network the target's side lives on.
    c.kill_a(*([] if c.args.freeze else ["client"]))
    c.must([old], "the write was not sent again", 15)
    print("resent after %d ms" % ((time.time() - start) * 1000))


def finish(c):
    time.sleep(0.3)
    print("block has " + c.look())


def overwrite(c, delay):
    """Overwrites; the old write goes DELAY seconds later at the latest."""
    caught_and_resent(c)
    new = c.write(b"n")
    print("waited" if not c.wait([new], float(delay)) else "at once")
    c.release()
    c.must([new], "the overwrite was never done")
    print("overwritten after %d ms" % new.ms)
    finish(c)




def flow(c, seconds):
    """A cannot be reached: overlapping writes, zeroes and trims wait, all
    else goes on as if nothing were the matter."""
    caught_and_resent(c, blocks=4, refuse=True)
    waiting = [c.write(b"n"), c.zero(FIRST + BLOCK), c.trim(FIRST + 2 * BLOCK)]
    slowest, n = 0, 0
    end = time.time() + float(seconds)
    while time.time() < end:
        at = (100 + n % 50) * BLOCK
        some = [c.read(FIRST + n % 4 * BLOCK), c.write(b"x", at), c.read(at),
                c.zero(at + 100 * BLOCK), c.trim(at + 200 * BLOCK)]
        c.must(some, "a request that overlaps nothing")
        slowest = max(slowest, *(o.ms for o in some))
        n += len(some)
    print("meanwhile %d requests, slowest %d ms" % (n, slowest))
    print("waiting " + " ".join(o.what for o in waiting if o.ms < 0))
    for i in range(4):
        if c.look(FIRST + i * BLOCK) != "old":
            fail("block %d changed while its writer waited" % i)
    c.at_a("refuse", "off")
    c.must(waiting, "what waited was never done")
    print("waited %d ms" % min(o.ms for o in waiting))
    c.release()
    time.sleep(0.3)
    print("blocks have " + " ".join(c.look(FIRST + i * BLOCK) for i in range(4)))


def frozen_flow(c, seconds):
    """The reset is not answered while the store hangs."""
    caught_and_resent(c)
    new = c.write(b"n")
    slowest, n = 0, 0
    end = time.time() + float(seconds)
    while time.time() < end:
        some = [c.read(FIRST), c.write(b"x", (100 + n % 50) * BLOCK)]
        c.must(some, "a request that overlaps nothing", 20)
        slowest = max(slowest, *(o.ms for o in some))
        n += len(some)
    print("meanwhile %d requests, slowest %d ms" % (n, slowest))
    if new.ms >= 0:
        fail("the overwrite has not waited")
    c.release()
    c.must([new], "the overwrite was never done")
    finish(c)


def patient(c, seconds):
    """Nobody overwrites for so long; the old write is still in the store."""
    caught_and_resent(c)
    time.sleep(float(seconds))
    new = c.write(b"n")
    print("waited" if not c.wait([new], 1) else "at once")
    c.release()
    c.must([new], "the overwrite was never done")
    finish(c)


def hold(c, release):
    """A never comes back; nothing fences but time.  With RELEASE the old
    write goes before that time is over."""
    caught_and_resent(c, refuse=True)
    new = c.write(b"n")
    if release == "yes":
        c.wait([new], 0.5)
        c.release()
    c.must([new], "the overwrite was never done")
    print("overwritten after %d ms" % new.ms)
    finish(c)
    if release == "no":         # later than that: it was only time
        c.release()
        print("then block has " + c.look())
    c.at_a("refuse", "off")


def late(c, seconds):
    """A cannot be reached, and the old write comes meanwhile."""
    caught_and_resent(c, refuse=True)
    new = c.write(b"n")
    c.wait([new], float(seconds))
    c.release()
    if new.ms >= 0:
        fail("the overwrite has not waited")
    print("still " + c.look())
    c.at_a("refuse", "off")
    c.must([new], "the overwrite was never done")
    print("overwritten after %d ms" % new.ms)
    finish(c)


def refused(c, seconds):
    """No portal takes the connection that is to fence, for a while."""
    caught_and_resent(c, refuse=True)
    c.ctl("refuse", "on")
    new = c.write(b"n")
    print("waited" if not c.wait([new], float(seconds)) else "at once")
    c.ctl("refuse", "off")
    c.must([new], "the overwrite was never done")
    print("overwritten after %d ms" % new.ms)
    finish(c)


def again(c, portal_b):
    """While one write waits for a fence, the other path dies too, with a
    write in flight."""
    caught_and_resent(c, refuse=True)
    new = c.write(b"n")
    c.ctl("at", portal_b, "hold-write", "80", "8")
    second = c.catch(b"o", at=80 * 512)
    c.ctl("at", portal_b, "cut", "rst", "client")
    c.at_a("refuse", "off")
    c.must([second], "the second write was not sent again")
    third = c.write(b"n", at=80 * 512)
    c.must([new, third], "the overwrites were never done")
    c.release()
    time.sleep(0.3)
    print("blocks have %s %s" % (c.look(), c.look(80 * 512)))


def unanswered(c, portal_b):
    """A write is still on its way to the target, on B, when the unit is reset
    because of A: the reset has not aborted it.  What was sent behind it is
    behind it, as on any TCP connection: ABORT TASK (path-abort.c), too."""
    a, first, second = FIRST, 160 * 512, 80 * 512
    c.at_a("hold-write", str(a // 512), "48")
    # Two of them: the first to come gets the UNIT ATTENTION of the reset.
    c.ctl("at", portal_b, "hold-write", str(first // 512), "48")
    c.ctl("at", portal_b, "hold-write", str(second // 512), "48", "1", "all")
    # At once, on all paths: a path that is silent for 0.5 s is avoided, and is to
    # be when A dies, or what A had is sent again on B.  Each
    # has its own block, or one would wait for the other to be fenced.
    ops = {at: [c.write(b"o", at + i * BLOCK) for i in range(6)]
           for at in (a, first, second)}
    c.wait(sum(ops.values(), []), 1)
    at = {}
    for k, some in ops.items():
        left = [i for i in range(6) if some[i].ms < 0]
        if not left:
            fail("no write was caught at %d" % k)
        at[k] = k + left[0] * BLOCK
    c.kill_a("client")
    c.must(ops[a], "the write was not sent again", 15)
    c.ctl("at", portal_b, "refuse", "on")
    new = c.write(b"n", at[a])
    c.must([new], "the overwrite was never done")
    # B is given up in a few seconds; it must not have been before.
    print("in flight at the reset" if any(o.ms < 0 for o in ops[second])
          else "too late")
    c.must(ops[first] + ops[second],
           "what was in flight at the reset was not sent again")
    third = c.write(b"n", at[second])
    print("waited" if not c.wait([third], 1.5) else "at once")
    c.release()
    print("still " + c.look(at[second]))
    c.ctl("at", portal_b, "refuse", "off")
    c.must([third], "the second overwrite was never done")
    time.sleep(0.3)
    print("blocks have %s %s" % (c.look(at[a]), c.look(at[second])))


def many(c, writes):
    """Many writes in doubt at once; each is overwritten."""
    n = int(writes)
    arm(c, times=1000, blocks=n)
    old = [c.write(b"o", FIRST + i * BLOCK) for i in range(n)]
    c.wait(old, 1)
    print("caught %d" % sum(o.ms < 0 for o in old))
    c.at_a("refuse", "on")
    c.kill_a("client")
    c.ctl("at", c.args.proxy[2], "reset")       # nothing more is caught
    c.at_a("refuse", "on")
    c.must(old, "not all was sent again", 15)
    new = [c.write(b"n", FIRST + i * BLOCK) for i in range(n)]
    c.wait(new, 1)
    print("waiting %d" % sum(o.ms < 0 for o in new))
    c.at_a("refuse", "off")
    c.must(new, "the overwrites were never done")
    c.release()
    time.sleep(0.3)
    print("blocks have " +
          " ".join(sorted({c.look(FIRST + i * BLOCK) for i in range(n)})))


def ends(c, pid, parked, back="no"):
    """The server gets SIGTERM with a write in doubt, PARKED: and with another
    one that waits for it; BACK: A can be reached again."""
    caught_and_resent(c, refuse=back == "no")
    if back == "yes":
        time.sleep(1)           # and is
    new = [c.write(b"n")] if parked == "yes" else []
    if new and c.wait(new, 0.5):
        fail("the overwrite did not wait")
    os.kill(int(pid), 15)
    if not new:
        try:
            c.h.shutdown()
        except nbd.Error:       # the server was first
            pass
    elif not c.wait(new, 10):
        fail("the overwrite was neither done nor refused")
    for o in new:
        print("overwrite ended after %d ms with errno %d" % (o.ms, o.error))
    print("told to end")


def killed(c, pid):
    """The server is killed while a write is caught.  What comes after is
    'successor', at the next server."""
    arm(c)
    c.catch(b"o")
    os.kill(int(pid), 9)
    print("killed")


def successor(c, delay, release=""):
    """Another server serves the disk now, and the client overwrites; the old
    write goes DELAY seconds later at the latest.  Reads go on."""
    start = time.time()
    new = c.write(b"n")
    done = c.wait([new], 0.2)
    for i in range(4):
        r = c.read(FIRST + i * BLOCK)
        c.must([r], "a read")
        print("read after %d ms" % r.ms) if r.ms > 500 else None
    print("waited" if not done and
          not c.wait([new], start + float(delay) - time.time()) else "at once")
    if release != "none":       # there is something
        c.release()
    c.must([new], "the overwrite was never done")
    print("overwritten after %d ms" % new.ms)
    finish(c)


SCENARIOS = {f.__name__: f for f in
             (overwrite, flow, frozen_flow, hold, late, refused, again, many, ends,
              patient, unanswered, killed, successor)}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("uri")
    p.add_argument("--proxy", nargs=3, metavar=("PROGRAM", "SOCKET", "PORTAL"))
    p.add_argument("--freeze", metavar="FOLDER")
    p.add_argument("scenario", choices=sorted(SCENARIOS))
    p.add_argument("argument", nargs="*")
    args = p.parse_args()
    SCENARIOS[args.scenario](Client(args), *args.argument)


main()
