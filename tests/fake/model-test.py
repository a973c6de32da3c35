#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The NBD server against a model that is too simple to be wrong.

usage: model-test.py URI CONNECTIONS OPERATIONS SEED FAULTS DUMP

Random reads, writes, zeroes, trims, flushes and block status, with all flags,
many at a time over CONNECTIONS, against a byte array.  Requests that are in
flight together never overlap (what they should give is nobody's business) but
reads.  The same SEED gives the same choice of operations.

What the model knows of each block: its bytes; and after a trim that it may
also be zeroes, until it is read (or its status is "zero"): from then on it is
what was seen.

FAULTS times in the run, evenly, it prints "fault N" and goes on; whoever runs
it does harm to the paths then, and answers with a line when all is well
again.  The run does not end before.  At the end everything is read once more,
and the model is written to DUMP.
"""
import collections
import os
import random
import select
import sys
import time

import nbd

DEPTH = 12                      # per connection
STALL = 60                      # seconds without any answer: give up


class Wrong(Exception):
    pass


class Model:
    def __init__(self, size, block):
        self.data = bytearray(size)
        self.block = block
        self.trimmed = bytearray(size // block)

    def blocks(self, at, n):
        return at // self.block, (at + n) // self.block

    def write(self, at, buf):
        self.data[at:at + len(buf)] = buf
        a, b = self.blocks(at, len(buf))
        self.trimmed[a:b] = bytes(b - a)

    def trim(self, at, n):
        a, b = self.blocks(at, n)
        self.trimmed[a:b] = b"\1" * (b - a)

    def seen(self, at, buf, what):
        """buf was read at that place: right?"""
        a, b = self.blocks(at, len(buf))
        if self.trimmed.find(1, a, b) == -1:
            if self.data[at:at + len(buf)] == buf:
                return
        bs = self.block
        for i in range(a, b):
            new = buf[i * bs - at:(i + 1) * bs - at]
            if new == self.data[i * bs:(i + 1) * bs]:
                pass
            elif self.trimmed[i] and new == bytes(bs):
                self.data[i * bs:(i + 1) * bs] = new
            else:
                first = next(k for k in range(bs) if new[k] != self.data[i * bs + k])
                raise Wrong("%s: byte %d is %#x, must be %#x%s"
                            % (what, i * bs + first, new[first], self.data[i * bs + first],
                               " (or a block of zeroes, trimmed)" if self.trimmed[i] else ""))
            self.trimmed[i] = 0

    def is_zero(self, at, n, what):
        """The server says that these read as zeroes."""
        self.seen(at, bytes(n), what)


class Run:
    def __init__(self, uri, connections, operations, seed, faults):
        self.uri = uri
        self.rng = random.Random(seed)
        self.handles = [self.connect() for _ in range(connections)]
        h = self.handles[0]
        self.block = h.get_block_size(nbd.SIZE_MINIMUM)
        self.size = h.get_size()
        self.model = Model(self.size, self.block)
        self.busy = [0] * connections
        self.ranges = []                # [at, end, modifies] in flight
        self.operations = operations
        self.faults = faults
        self.count = collections.Counter()
        self.moved = 0
        self.error = None
        self.last = time.monotonic()
        self.longest = 0

    def connect(self):
        h = nbd.NBD()
        h.add_meta_context("base:allocation")
        h.connect_uri(self.uri)
        return h

    # ---- choosing ----

    def pick_range(self, limit):
        total = self.size // self.block
        kind = self.rng.random()
        most = 8 if kind < .6 else 65536 // self.block if kind < .9 else 2048
        if kind > .99:
            most = (3 << 20) // self.block
        n = min(self.rng.randint(1, most), total, limit // self.block)
        # Often at the same few places, so that requests meet.
        if self.rng.random() < .5:
            start = self.rng.randrange(0, min(total, 1024))
        else:
            start = self.rng.randrange(0, total)
        start = min(start, total - n)
        return start * self.block, n * self.block

    def free(self, at, n, modifies):
        return not any(at < e and s < at + n and (modifies or m) for s, e, m in self.ranges)

    def flags(self, *flags):
        return sum(f for f in flags if self.rng.random() < .3)

    def submit(self, c):
        h = self.handles[c]
        what = self.rng.choices(("read", "write", "zero", "trim", "flush", "status"),
                                (35, 35, 8, 8, 4, 10))[0]
        modifies = what in ("write", "zero", "trim")
        at, n = self.pick_range(1 << 30)
        flags = 0
        if what == "flush":
            at = n = 0
        for _ in range(20):
            if what == "flush" or self.free(at, n, modifies):
                break
            at, n = self.pick_range(1 << 30)
        else:
            return False
        fua = nbd.CMD_FLAG_FUA if h.can_fua() else 0
        mine = [at, at + n, modifies]
        started = time.monotonic()
        extents = []

        def finish(error, apply=None):
            self.ranges.remove(mine)
            self.busy[c] -= 1
            now = time.monotonic()
            self.longest = max(self.longest, now - started)
            self.last = now
            name = "%s of %d bytes at %d, flags %#x" % (what, n, at, flags)
            try:
                if error.value == 0:
                    if apply:
                        apply(name)
                elif not (what == "zero" and flags & nbd.CMD_FLAG_FAST_ZERO and
                          error.value in (95, 45)):          # ENOTSUP: it would be slow
                    raise Wrong("%s: error %s" % (name, os.strerror(error.value)))
                else:
                    self.count["fast zero refused"] += 1
            except Exception as e:      # libnbd swallows exceptions of callbacks
                self.error = self.error or e
            return 1

        self.ranges.append(mine)
        self.busy[c] += 1
        self.count[what] += 1
        self.moved += n if what in ("read", "write") else 0
        if what == "read":
            flags = self.flags(nbd.CMD_FLAG_DF if h.can_df() else 0)
            buf = nbd.Buffer(n)

            def seen(e):
                return finish(e, lambda name: self.model.seen(at, buf.to_bytearray(), name))

            if flags:
                h.aio_pread_structured(buf, at, lambda *chunk: 0, seen, flags)
            else:
                h.aio_pread(buf, at, seen)
        elif what == "write":
            flags = self.flags(fua)
            # Now and then zeroes, and data of which each block differs.
            data = bytes(n) if self.rng.random() < .05 else self.rng.randbytes(n)
            h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), at,
                         lambda e: finish(e, lambda name: self.model.write(at, data)), flags)
        elif what == "zero":
            flags = self.flags(fua, nbd.CMD_FLAG_NO_HOLE,
                               nbd.CMD_FLAG_FAST_ZERO if h.can_fast_zero() else 0)
            h.aio_zero(n, at, lambda e: finish(
                e, lambda name: self.model.write(at, bytes(n))), flags)
        elif what == "trim":
            if not h.can_trim():
                self.count["trim"] -= 1
                self.ranges.remove(mine)
                self.busy[c] -= 1
                return True
            flags = self.flags(fua)
            h.aio_trim(n, at, lambda e: finish(e, lambda name: self.model.trim(at, n)), flags)
        elif what == "flush":
            h.aio_flush(lambda e: finish(e))
        elif what == "status":
            flags = self.flags(nbd.CMD_FLAG_REQ_ONE)

            def extent(context, offset, entries, error):
                extents.append((context, offset, entries))
                return 0

            h.aio_block_status(n, at, extent, lambda e: finish(
                e, lambda name: self.check_status(extents, at, n, flags, name)), flags)
        return True

    def check_status(self, extents, at, n, flags, name):
        if len(extents) != 1 or extents[0][:2] != ("base:allocation", at):
            raise Wrong("%s: answer %s" % (name, extents))
        entries = list(zip(extents[0][2][::2], extents[0][2][1::2]))
        if not entries or any(length == 0 for length, _ in entries):
            raise Wrong("%s: empty extents: %s" % (name, entries))
        if flags & nbd.CMD_FLAG_REQ_ONE and (len(entries) != 1 or entries[0][0] > n):
            raise Wrong("%s: more than one extent: %s" % (name, entries))
        pos = at
        for i, (length, kind) in enumerate(entries):
            if pos >= at + n:
                raise Wrong("%s: extents behind the end: %s" % (name, entries))
            if kind & nbd.STATE_ZERO:
                # Only the part that was asked for: the rest is not locked.
                end = min(pos + length, at + n)
                self.model.is_zero(pos, end - pos, name + ", status zero")
                self.count["zero extents"] += 1
            pos += length

    # ---- the loop ----

    def wait(self, timeout):
        """Let libnbd work until something can be done, at most so long."""
        poll = select.poll()
        by_fd = {}
        for h in self.handles:
            want = h.aio_get_direction()
            mask = 0
            if want & nbd.AIO_DIRECTION_READ:
                mask |= select.POLLIN
            if want & nbd.AIO_DIRECTION_WRITE:
                mask |= select.POLLOUT
            by_fd[h.aio_get_fd()] = h
            poll.register(h.aio_get_fd(), mask)
        if self.pending_fault:
            poll.register(0, select.POLLIN)
        for fd, event in poll.poll(timeout * 1000):
            if fd == 0:
                if not sys.stdin.readline():
                    raise Wrong("nobody answers faults any more")
                self.pending_fault = False
                continue
            h = by_fd[fd]
            if event & (select.POLLIN | select.POLLHUP) and \
               h.aio_get_direction() & nbd.AIO_DIRECTION_READ:
                h.aio_notify_read()
            elif event & select.POLLOUT and h.aio_get_direction() & nbd.AIO_DIRECTION_WRITE:
                h.aio_notify_write()
            if h.aio_is_dead():
                raise Wrong("the connection died")

    def run(self):
        done = faults = 0
        self.pending_fault = False
        while done < self.operations or faults < self.faults or self.pending_fault:
            if not self.pending_fault and faults < self.faults and \
               done * (self.faults + 1) >= self.operations * (faults + 1):
                print("fault", faults, flush=True)
                faults += 1
                self.pending_fault = True
            c = self.rng.randrange(len(self.handles))
            if self.busy[c] == 0 and self.rng.random() < .003:
                self.handles[c].shutdown()
                self.handles[c] = self.connect()
                self.count["reconnect"] += 1
            if self.busy[c] < DEPTH and self.submit(c):
                done += 1
                if done % 4:
                    continue            # several before anything is sent
            self.wait(.5 if sum(self.busy) else 0)
            if self.error:
                raise self.error
            if sum(self.busy) and time.monotonic() - self.last > STALL:
                raise Wrong("no answer for %d s" % STALL)
        while sum(self.busy):
            self.wait(1)
            if time.monotonic() - self.last > STALL:
                raise Wrong("no answer for %d s" % STALL)
        if self.error:
            raise self.error
        self.handles[0].flush()
        for at in range(0, self.size, 1 << 20):
            n = min(1 << 20, self.size - at)
            self.model.seen(at, self.handles[-1].pread(n, at), "the last look at everything")
        for h in self.handles:
            h.shutdown()
        return done


def main():
    uri, connections, operations, seed, faults, dump = sys.argv[1:]
    r = Run(uri, int(connections), int(operations), int(seed), int(faults))
    t = time.monotonic()
    try:
        done = r.run()
    except (Wrong, nbd.Error) as e:
        print("DIFFERENCE:", e, flush=True)
        print("after", dict(r.count), flush=True)
        sys.exit(1)
    with open(dump, "wb") as f:
        f.write(r.model.data)
    print("model: %d operations on %d byte blocks over %d connections, %d MiB, %.1f s, longest %.1f s, "
          "no difference: %s"
          % (done, r.block, len(r.handles), r.moved >> 20, time.monotonic() - t, r.longest,
             ", ".join("%d %s" % (n, w) for w, n in sorted(r.count.items()))), flush=True)


main()
