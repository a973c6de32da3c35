#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A client of NBD that does what libraries do not: requests in odd pieces, many
without reading an answer, half ones, wrong ones.  For test-shortcut.sh.

usage: raw-nbd.py SOCKET structured|simple SCENARIO
"""
import os
import random
import socket
import struct
import sys
import threading
import time

READ, WRITE, DISC, FLUSH, TRIM = range(5)
EPERM, EIO, EINVAL, ENOSPC = 1, 5, 22, 28


class Client:
    def __init__(self, path, structured):
        if path.startswith("tcp:"):
            self.s = socket.create_connection(("127.0.0.1", int(path[4:])))
            self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.s = socket.socket(socket.AF_UNIX)
            self.s.connect(path)
        self.s.settimeout(30)
        assert self.read(16) == b"NBDMAGICIHAVEOPT"
        self.read(2)
        self.s.sendall(struct.pack(">I", 3))    # fixed newstyle, no zeroes
        self.structured = structured
        if structured:
            assert self.option(8, b"") == [(1, b"")]
        info = self.option(7, struct.pack(">IH", 0, 0))
        assert info[-1][0] == 1, info
        export = [d for t, d in info if t == 3 and d[:2] == b"\0\0"][0]
        self.size, self.flags = struct.unpack(">QH", export[2:12])
        self.waiting = {}               # cookie: (type, offset, count or data)
        self.cookie = 0

    def read(self, n):
        b = bytearray()
        while len(b) < n:
            more = self.s.recv(n - len(b))
            if not more:
                raise EOFError
            b += more
        return bytes(b)

    def option(self, number, data):
        self.s.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data)
        out = []
        while True:
            magic, opt, kind, n = struct.unpack(">QIII", self.read(20))
            assert magic == 0x3e889045565a9 and opt == number
            out.append((kind, self.read(n)))
            if kind != 3:
                return out

    def request(self, kind, offset, count, data=b"", flags=0):
        self.cookie += 1
        self.waiting[self.cookie] = (kind, offset, count)
        return struct.pack(">IHHQQI", 0x25609513, flags, kind, self.cookie, offset, count) + data

    def reply(self):
        """(type, offset, count, error, data)"""
        magic, = struct.unpack(">I", self.read(4))
        if magic == 0x67446698:
            error, cookie = struct.unpack(">IQ", self.read(12))
            kind, offset, count = self.waiting.pop(cookie)
            assert not (self.structured and kind == READ), "a simple reply to a read"
            return kind, offset, count, error, \
                self.read(count) if kind == READ and not error else b""
        assert magic == 0x668e33ef, "%x" % magic
        flags, form, cookie, n = struct.unpack(">HHQI", self.read(16))
        kind, offset, count = self.waiting.pop(cookie)
        assert self.structured and kind == READ and flags == 1
        if form == 0x8001:
            error, length = struct.unpack(">IH", self.read(6))
            assert n == 6 + length
            self.read(length)
            return kind, offset, count, error, b""
        assert form == 1 and n == count + 8, (form, n, count)
        assert struct.unpack(">Q", self.read(8))[0] == offset
        return kind, offset, count, 0, self.read(count)

    def do(self, *args, **kw):
        """One request, answered with success; what was read."""
        self.s.sendall(self.request(*args, **kw))
        r = self.reply()
        assert r[3] == 0, r
        return r[4]

    def begin(self):
        """Until the server knows us: it needs a read, and its answer."""
        for _ in range(3):
            self.do(READ, 0, 4096)


def pattern(offset, count):
    """What prepare () has written there."""
    out = bytearray()
    for at in range(offset - offset % 4096, offset + count, 4096):
        out += struct.pack(">Q", at * 0x9e3779b97f4a7c15 % 2**64) * 512
    return bytes(out[offset % 4096:offset % 4096 + count])


def prepare(c):
    for at in range(0, c.size, 1 << 20):
        c.do(WRITE, at, 1 << 20, pattern(at, 1 << 20))


def check(replies):
    for kind, offset, count, error, data in replies:
        assert error == 0, (kind, offset, error)
        if kind == READ:
            assert data == pattern(offset, count), "wrong data at %d" % offset


def dribble(c, rng, out):
    while out:
        k = rng.choice((1, 3, 27, 28, 29, 500, 4124, 20000))
        c.s.sendall(out[:k])
        out = out[k:]
        if rng.random() < 0.05:
            time.sleep(0.01)


def pieces(c, rng):
    """Requests cut anywhere, many at a time, writes among them."""
    for _ in range(12):
        out = b""
        n = rng.randrange(1, 60)
        for _ in range(n):
            count = 512 * rng.choice((1, 2, 8, 8, 8, 33, 200))
            offset = 512 * rng.randrange((c.size - count) // 512)
            if rng.random() < 0.4:
                out += c.request(WRITE, offset, count, pattern(offset, count),
                                 flags=rng.choice((0, 1)))
            else:
                out += c.request(READ, offset, count)
        sender = threading.Thread(target=dribble, args=(c, rng, out))
        sender.start()
        check(c.reply() for _ in range(n))
        sender.join()


def mixed(c, rng):
    """Those that nbdkit has to answer, between many that it has not."""
    errors = 0
    for _ in range(10):
        out, wrong = b"", {}
        for _ in range(50):
            offset = 4096 * rng.randrange(c.size // 4096)
            what = rng.randrange(8)
            if what == 0:
                out += c.request(FLUSH, 0, 0)
            elif what == 1:
                out += c.request(READ, c.size - 512, 1024)
                wrong[c.cookie] = (EINVAL,)
            elif what == 2:
                out += c.request(WRITE, c.size, 4096, bytes(4096))
                wrong[c.cookie] = (ENOSPC, EPERM)
            elif what == 3:
                out += c.request(READ, offset + 1, 512)
                wrong[c.cookie] = (EINVAL,)
            elif what == 4:
                out += c.request(77, offset, 512)
                wrong[c.cookie] = (EINVAL,)
            else:
                out += c.request(READ, offset, 4096)
        c.s.sendall(out)
        for _ in range(50):
            before = set(c.waiting)
            kind, offset, count, error, data = c.reply()
            cookie = (before - set(c.waiting)).pop()
            if cookie in wrong:
                assert error in wrong[cookie], (kind, offset, count, error)
                errors += 1
            else:
                check([(kind, offset, count, error, data)])
    assert errors > 50


def readonly(c):
    """All writes are refused, reads go on."""
    for i in range(20):
        c.s.sendall(c.request(WRITE, 4096 * i, 4096, bytes(4096)) + c.request(READ, 4096 * i, 4096))
        r = {x[0]: x for x in (c.reply(), c.reply())}
        assert r[WRITE][3] == EPERM, r[WRITE][:4]
        check([r[READ]])


def lazy(c, rng):
    """Asks for much more than the socket takes, and does not read.  Nobody else
    may have to wait for it; then all of it comes, and a flush in its turn."""
    n = 600
    out = b"".join(c.request(READ, 65536 * rng.randrange(c.size // 65536), 65536)
                   for _ in range(n))
    sender = threading.Thread(target=c.s.sendall, args=(out + c.request(FLUSH, 0, 0),))
    sender.start()
    time.sleep(0.5)
    longest = 0
    with_others = Client(sys.argv[1], c.structured)
    with_others.begin()
    for i in range(300):
        t = time.monotonic()
        check([(READ, 4096 * i, 4096, 0, with_others.do(READ, 4096 * i, 4096))])
        longest = max(longest, time.monotonic() - t)
    print("longest wait of the other client: %.0f ms" % (longest * 1e3))
    assert longest < 1, "one client's replies hold up another"
    check(c.reply() for _ in range(n + 1))
    sender.join()


def vanish(c, rng):
    """Goes with requests in flight, and in the middle of one."""
    out = b"".join(c.request(READ, 65536 * i, 65536) for i in range(100))
    end = rng.randrange(5)
    if end == 1:
        out += c.request(WRITE, 0, 65536, pattern(0, 65536))[:rng.randrange(1, 60000)]
    elif end == 2:
        out += c.request(READ, 0, 65536)[:rng.randrange(1, 28)]
    elif end == 3:
        out += bytes(28)                # not a request
    elif end == 4:
        out += c.request(DISC, 0, 0)
    c.s.settimeout(0.3)
    try:
        c.s.sendall(out)
        if rng.random() < 0.5:
            c.reply()
    except (socket.timeout, OSError, EOFError):
        pass                            # it is not read any more
    c.s.close()


def clean_end(c):
    """A disconnect is after all that was asked before it."""
    n = 100
    c.s.sendall(b"".join(c.request(READ, 4096 * i, 4096) for i in range(n))
                + c.request(DISC, 0, 0))
    check(c.reply() for _ in range(n))
    c.s.shutdown(socket.SHUT_WR)        # which nbdkit waits for since 1.42
    try:
        c.read(1)
    except EOFError:
        return
    raise AssertionError("still connected")


def busy(c, rng):
    """16 requests in flight, until the server ends: then some fail, as such."""
    n = failed = 0
    for i in range(16):
        c.s.sendall(c.request(READ, 4096 * i, 4096))
    try:
        while failed < 16:
            kind, offset, count, error, data = c.reply()
            n += 1
            if error:
                assert error == 108, error      # ESHUTDOWN
                failed += 1
                continue
            assert len(data) == count
            c.s.sendall(c.request(READ, offset, count))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    print("%d answers, %d of them that the server ends" % (n, failed))


def main():
    path, structured, scenario = sys.argv[1], sys.argv[2] == "structured", sys.argv[3]
    seed = int(os.environ.get("SEED") or time.time())
    print("%s, %s replies, SEED=%d" % (scenario, sys.argv[2], seed), flush=True)
    rng = random.Random(seed)
    if scenario == "vanish":
        for _ in range(15):
            c = Client(path, structured)
            c.begin()
            vanish(c, rng)
        return
    c = Client(path, structured)
    c.begin()
    if scenario == "prepare":
        prepare(c)
    elif scenario in ("readonly", "clean_end"):
        globals()[scenario](c)
    else:
        globals()[scenario](c, rng)
    if scenario not in ("clean_end", "busy"):
        c.s.sendall(c.request(DISC, 0, 0))


main()
