#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A client of raw bytes that knows the NBD protocol by itself: every option,
command and flag in right and in wrong form, with simple, structured and extended
replies; clients that vanish at each byte, that are slow, and that do not read.

usage: nbd-protocol.py SOCKET SCENARIO
"""
import os
import random
import select
import socket
import struct
import sys
import threading
import time

(EXPORT_NAME, ABORT, LIST, PEEK, STARTTLS, INFO, GO, STRUCTURED, LIST_META, SET_META,
 EXTENDED) = range(1, 12)
ACK, SERVER, REP_INFO, META = 1, 2, 3, 4
ERR = 1 << 31
UNSUP, POLICY, INVALID, TLS_REQD, UNKNOWN, TOO_BIG, EXT_REQD = (ERR | n for n in (1, 2, 3, 5, 6, 9, 10))
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST, PAYLOAD = 1, 2, 4, 8, 16, 32
EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP = 1, 5, 12, 22, 28, 75, 95
BASE = b"base:allocation"


class Client:
    def __init__(self, path, flags=3):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20)
        self.s.connect(path)
        hello = self.get(18)
        assert hello == b"NBDMAGICIHAVEOPT\0\3", hello
        if flags is not None:
            self.s.sendall(struct.pack(">I", flags))
        self.mode = "simple"
        self.cookie = 0

    def get(self, n):
        b = bytearray()
        while len(b) < n:
            more = self.s.recv(min(n - len(b), 1 << 20))
            if not more:
                raise EOFError
            b += more
        return bytes(b)

    def closed(self):
        """Nothing comes any more."""
        try:
            return self.s.recv(1) == b""
        except ConnectionError:
            return True

    # ---- handshake ----

    def put_option(self, number, data=b"", length=None):
        self.s.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(data) if length is None else length) + data)

    def replies(self, number):
        out = []
        while True:
            magic, option, kind, n = struct.unpack(">QIII", self.get(20))
            assert magic == 0x3e889045565a9 and option == number, (hex(magic), option)
            out.append((kind, self.get(n)))
            if kind not in (SERVER, REP_INFO, META):
                return out

    def option(self, number, data=b""):
        self.put_option(number, data)
        return self.replies(number)

    def refused(self, error, number, data=b""):
        r = self.option(number, data)
        assert r[-1][0] == error and len(r) == 1, (number, data[:40], [(hex(k), d) for k, d in r])
        r[-1][1].decode()               # says why

    def name_data(self, name, infos=()):
        return struct.pack(">I", len(name)) + name + struct.pack(">H", len(infos)) + \
            b"".join(struct.pack(">H", i) for i in infos)

    def meta_data(self, name, *queries):
        return struct.pack(">I", len(name)) + name + struct.pack(">I", len(queries)) + \
            b"".join(struct.pack(">I", len(q)) + q for q in queries)

    def go(self, mode="simple", meta=False, name=b"", infos=(3,)):
        self.mode = mode
        if mode != "simple":
            assert self.option(STRUCTURED if mode == "structured" else EXTENDED) == [(ACK, b"")]
        if meta:
            r = self.option(SET_META, self.meta_data(name, BASE))
            assert [k for k, _ in r] == [META, ACK] and r[0][1][4:] == BASE, r
            self.context, = struct.unpack(">I", r[0][1][:4])
        r = self.option(GO, self.name_data(name, infos))
        assert r[-1] == (ACK, b""), r
        info = {struct.unpack(">H", d[:2])[0]: d[2:] for k, d in r[:-1] if k == REP_INFO}
        self.size, self.flags = struct.unpack(">QH", info[0])
        if 3 in info:
            self.sizes = struct.unpack(">III", info[3])
        return self, info

    # ---- transmission ----

    def request(self, kind, offset=0, count=0, data=b"", flags=0, length=None, magic=None):
        self.cookie += 1
        length = count if length is None else length
        if self.mode == "extended":
            if kind == WRITE and not flags & 0x8000000:
                flags |= PAYLOAD
            head = struct.pack(">IHHQQQ", magic or 0x21e41c71, flags & 0xffff, kind, self.cookie, offset, length)
        else:
            head = struct.pack(">IHHQQI", magic or 0x25609513, flags & 0xffff, kind, self.cookie, offset, length)
        self.kind, self.at, self.n = kind, offset, count
        return head + data

    def reply(self, n=None):
        """(error, data or extents)"""
        magic, = struct.unpack(">I", self.get(4))
        if magic == 0x67446698:
            assert self.mode != "extended" and (self.mode == "simple" or self.kind not in (READ, STATUS))
            error, cookie = struct.unpack(">IQ", self.get(12))
            assert cookie == self.cookie
            return error, self.get(self.n if n is None else n) if self.kind == READ and not error else b""
        if self.mode == "extended":
            assert magic == 0x6e8a278c, hex(magic)
            flags, form, cookie, offset, length = struct.unpack(">HHQQQ", self.get(28))
            assert offset == self.at, "the offset of the request"
        else:
            assert magic == 0x668e33ef and self.mode == "structured", hex(magic)
            assert self.kind in (READ, STATUS)
            flags, form, cookie, length = struct.unpack(">HHQI", self.get(16))
        assert cookie == self.cookie and flags == 1, (cookie, flags)
        payload = self.get(length)
        if form & 0x8000:
            error, k = struct.unpack(">IH", payload[:6])
            assert length == 6 + k and error
            return error, b""
        if form == 0:
            assert length == 0 and self.kind not in (READ,)
            return 0, b""
        if form == 1:
            assert self.kind == READ and struct.unpack(">Q", payload[:8])[0] == self.at
            return 0, payload[8:]
        assert self.kind == STATUS and form == (6 if self.mode == "extended" else 5), form
        assert struct.unpack(">I", payload[:4])[0] == self.context
        if form == 6:
            assert struct.unpack(">I", payload[4:8])[0] * 16 + 8 == length
            return 0, list(struct.iter_unpack(">QQ", payload[8:]))
        return 0, list(struct.iter_unpack(">II", payload[4:]))

    def ask(self, *args, **kw):
        self.s.sendall(self.request(*args, **kw))
        return self.reply()

    def good(self, *args, **kw):
        error, data = self.ask(*args, **kw)
        assert error == 0, (args[:3], kw, error)
        return data

    def bad(self, errors, *args, **kw):
        errors = errors if isinstance(errors, tuple) else (errors,)
        error, _ = self.ask(*args, **kw)
        assert error in errors, "%s %s: error %d, not %s" % (args[:3], {k: v for k, v in kw.items() if k != "data"}, error, errors)


def connect(mode="simple", meta=False, **kw):
    return Client(path).go(mode, meta, **kw)[0]


# ---- scenarios ----------------------------------------------------------------------

def handshake():
    for flags in (4, 1 << 31, 0xffffffff):
        assert Client(path, flags).closed(), "unknown client flags"
    c = Client(path)
    exports = c.option(LIST)
    assert exports[-1] == (ACK, b"") and len(exports) == 2
    n, = struct.unpack(">I", exports[0][1][:4])
    name, description = exports[0][1][4:4 + n], exports[0][1][4 + n:]
    assert b"TEST TESTDISK" in description
    c.refused(INVALID, LIST, b"x")
    c.refused(POLICY, STARTTLS)
    c.refused(UNSUP, PEEK)
    c.refused(UNSUP, 12345, b"data")
    c.refused(INVALID, STRUCTURED, b"x")
    c.refused(INVALID, EXTENDED, b"x")
    c.refused(INVALID, SET_META, c.meta_data(name, BASE))     # before structured replies
    for option in (INFO, GO):
        c.refused(UNKNOWN, option, c.name_data(b"no such export"))
        c.refused(INVALID, option, c.name_data(b"bad\0name"))
        good = c.name_data(name, (0, 1, 2, 3, 77))
        for cut in range(len(good)):
            c.refused(INVALID, option, good[:cut])
        c.refused(INVALID, option, good + b"x")
        c.refused(INVALID, option, struct.pack(">I", 0xffffffff) + good[4:])
        c.refused(INVALID, option, c.name_data(b"x" * 4097))
    # Too long: refused, and the connection is still in step.
    c.put_option(GO, b"x" * 100000)
    assert c.replies(GO)[-1][0] == TOO_BIG
    r = c.option(INFO, c.name_data(name, (0, 1, 2, 3, 77)))
    info = {struct.unpack(">H", d[:2])[0]: d[2:] for k, d in r if k == REP_INFO}
    assert r[-1] == (ACK, b"") and set(info) == {0, 1, 2, 3}, r
    assert info[1] == name and info[2] == description
    assert c.option(STRUCTURED) == [(ACK, b"")]
    assert c.option(LIST_META, c.meta_data(name)) == [(META, struct.pack(">I", 0) + BASE), (ACK, b"")]
    assert c.option(LIST_META, c.meta_data(name, b"base:"))[0][1][4:] == BASE
    assert c.option(LIST_META, c.meta_data(name, b"qemu:")) == [(ACK, b"")]
    assert c.option(SET_META, c.meta_data(name)) == [(ACK, b"")]
    assert c.option(SET_META, c.meta_data(name, b"base:", b"x-nonsense:y")) == [(ACK, b"")]
    c.refused(UNKNOWN, SET_META, c.meta_data(b"no such export", BASE))
    good = c.meta_data(name, BASE, b"another:one")
    for cut in range(len(good)):
        c.refused(INVALID, SET_META, good[:cut])
    c.refused(INVALID, SET_META, good + b"x")
    c.refused(INVALID, SET_META, good[:-19] + struct.pack(">I", 1 << 31) + good[-15:])
    assert [k for k, _ in c.option(SET_META, c.meta_data(name, BASE))] == [META, ACK]
    # Chosen for another name than the one that is opened: not chosen.
    c.mode = "structured"
    c.go("structured", name=b"")
    c.bad(EINVAL, STATUS, 0, 4096)
    # ABORT, in the middle of it.
    c = Client(path)
    assert c.option(ABORT) == [(ACK, b"")] and c.closed()
    c = Client(path)
    c.put_option(ABORT, b"data")
    assert c.replies(ABORT) == [(ACK, b"")] and c.closed()
    # Extended headers win over structured replies, and not the other way round.
    c = Client(path)
    c.option(STRUCTURED)
    c.option(EXTENDED)
    c.refused(EXT_REQD, STRUCTURED)
    c.put_option(EXPORT_NAME, b"")
    assert c.closed(), "EXPORT_NAME with extended headers"
    # The oldest way in.
    for flags, zeroes in ((3, 0), (1, 124), (0, 124)):
        c = Client(path, flags)
        c.put_option(EXPORT_NAME, name)
        size, transmission = struct.unpack(">QH", c.get(10))
        assert c.get(zeroes) == bytes(zeroes) and size == 32 << 20
        assert transmission & 0x80 == 0, "DF without structured replies"
        c.good(READ, 0, 4096)
        c.s.sendall(c.request(DISC))
        assert c.closed()
    c = Client(path)
    c.put_option(EXPORT_NAME, b"no such export")
    assert c.closed()
    # Not an option at all.
    c = Client(path)
    c.s.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert c.closed()
    # All at once, without waiting: option and first request in one segment.
    c = Client(path, None)
    c.mode = "extended"
    go = c.name_data(name)
    c.s.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", EXTENDED, 0) +
                b"IHAVEOPT" + struct.pack(">II", GO, len(go)) + go + c.request(READ, 0, 512))
    assert c.replies(EXTENDED) == [(ACK, b"")]
    assert c.replies(GO)[-1] == (ACK, b"")
    assert c.reply()[0] == 0


def commands():
    for mode in ("simple", "structured", "extended"):
        c, info = Client(path).go(mode, mode != "simple")
        rng = random.Random(1)
        size, block = c.size, c.sizes[0]
        assert c.sizes == (512, 4096, 32 << 20) and size == 32 << 20
        for bit, name in ((0, "flags"), (2, "flush"), (3, "fua"), (5, "trim"), (6, "zeroes"), (8, "multi"),
                          (10, "cache"), (11, "fast zero")):
            assert c.flags >> bit & 1, name
        assert bool(c.flags & 0x80) == (mode != "simple"), "DF"
        assert bool(c.flags & 0x1000) == (mode == "extended"), "payload of block status"
        data = rng.randbytes(1 << 20)
        c.good(WRITE, 1 << 20, 1 << 20, data=data)
        assert c.good(READ, 1 << 20, 1 << 20) == data
        c.good(WRITE, 1 << 20, 4096, data=data[4096:8192], flags=FUA)
        assert c.good(READ, 1 << 20, 8192) == data[4096:8192] * 2
        c.good(FLUSH)
        c.good(FLUSH, flags=FUA)
        c.good(CACHE, 0, 1 << 20)
        for flags in range(0, FUA | NO_HOLE | FAST + 1):
            if flags & ~(FUA | NO_HOLE | FAST):
                continue
            c.good(WRITE, 2 << 20, 65536, data=data[:65536])
            error, _ = c.ask(ZEROES, 2 << 20, 65536, flags=flags)
            if flags & FAST and flags & NO_HOLE:
                assert error == ENOTSUP, (flags, error)
            else:
                assert error == 0 and c.good(READ, 2 << 20, 65536) == bytes(65536), flags
        for flags in (0, FUA):
            c.good(WRITE, 3 << 20, 65536, data=data[:65536])
            c.good(TRIM, 3 << 20, 65536, flags=flags)
            assert c.good(READ, 3 << 20, 65536) == bytes(65536)
        # Half blocks: served.
        c.good(WRITE, 4 << 20, 65536, data=data[:65536])
        want = bytearray(data[:65536])
        for at, n in ((1, 1), (511, 2), (100, 300), (0, 1), (513, 5000), (1000, 512), (512, 513), (60001, 5535)):
            new = rng.randbytes(n)
            c.good(WRITE, (4 << 20) + at, n, data=new, flags=rng.choice((0, FUA)))
            want[at:at + n] = new
            assert c.good(READ, (4 << 20) + at, n) == new
            c.good(ZEROES, (4 << 20) + 30000 + at, n)
            want[30000 + at:30000 + at + n] = bytes(n)
            want += b"" if len(want) == 65536 else want[65536:]
            c.good(TRIM, (4 << 20) + at, min(n, 300))           # half a block: nothing
            assert c.good(READ, 4 << 20, 65536) == bytes(want[:65536]), (at, n)
            del want[65536:]
            c.good(WRITE, (4 << 20) + 65536, 65536, data=bytes(65536))
            c.good(WRITE, 4 << 20, 65536, data=bytes(want))
        # What must not be.
        before = c.good(READ, 0, 4096), c.good(READ, size - 4096, 4096)
        for kind, errors in ((READ, EINVAL), (WRITE, ENOSPC), (TRIM, EINVAL), (ZEROES, ENOSPC), (CACHE, EINVAL),
                             (STATUS, EINVAL)):
            for at, n in ((size, 512), (size - 512, 1024), (1 << 62, 512), ((1 << 64) - 512, 512), ((1 << 64) - 512, 1024)):
                c.bad(errors, kind, at, n, data=bytes(n) if kind == WRITE else b"")
            c.bad(EINVAL, kind, 0, 0)
        allowed = {READ: FUA | (DF if mode != "simple" else 0), WRITE: FUA | (PAYLOAD if mode == "extended" else 0),
                   FLUSH: FUA, TRIM: FUA, CACHE: FUA, ZEROES: FUA | NO_HOLE | FAST,
                   STATUS: FUA | REQ_ONE | (PAYLOAD if mode == "extended" else 0)}
        for kind in allowed:
            for bit in range(16):
                if allowed[kind] >> bit & 1 or (mode == "extended" and 1 << bit == PAYLOAD):
                    continue
                c.bad(EINVAL, kind, 0, 512, data=bytes(512) if kind == WRITE else b"", flags=1 << bit)
        for kind in (8, 9, 99, 0xffff):
            c.bad(EINVAL, kind, 0, 512)
        c.bad((EINVAL, EOVERFLOW), READ, 0, 0xffffffff)
        big = bytes((32 << 20) + 512)
        c.bad((EINVAL, ENOSPC, EOVERFLOW), WRITE, 0, len(big), data=big)   # read, and refused
        del big
        assert (c.good(READ, 0, 4096), c.good(READ, size - 4096, 4096)) == before
        c.good(READ, 0, 32 << 20)
        if mode != "simple":
            c.good(READ, 0, 65536, flags=DF)
            c.good(TRIM, 0, size)
            c.good(WRITE, 1 << 20, 65536, data=data[:65536])
            assert c.good(STATUS, 0, size) == [(1 << 20, 3), (65536, 0), (size - (1 << 20) - 65536, 3)]
            assert c.good(STATUS, 0, size, flags=REQ_ONE) == [(1 << 20, 3)]
            assert c.good(STATUS, (1 << 20) + 100, 1000) == [(1000, 0)]
            assert sum(n for n, _ in c.good(STATUS, 777, 5000)) == 5000
        if mode == "extended":
            extended(c, size, data)
        # Good-bye, with something in flight.
        c.s.sendall(c.request(READ, 0, 1 << 20))
        first = c.cookie
        bye = c.request(DISC)
        c.s.sendall(bye)
        c.kind, c.at, c.n, c.cookie = READ, 0, 1 << 20, first
        assert c.reply()[0] == 0 and c.closed()
    # The wrong magic number: nothing can be said any more.
    for mode in ("simple", "extended"):
        c = connect(mode)
        c.s.sendall(c.request(READ, 0, 512, magic=0x12345678))
        assert c.closed()


def extended(c, size, data):
    # A write without its flag has no payload.
    c.bad(EINVAL, WRITE, 0, 512, flags=0x8000000)
    # The flag where there must not be a payload: it is read, and refused.
    for kind in (READ, TRIM, ZEROES, CACHE, FLUSH, 99):
        c.bad(EINVAL, kind, 0, 512, data=bytes(512), flags=PAYLOAD)
    # All of the disk in one request.
    c.good(ZEROES, 0, size)
    c.good(TRIM, 0, size)
    c.bad(EINVAL, TRIM, 0, 1 << 40)
    c.bad(ENOSPC, ZEROES, 0, 1 << 63)
    c.bad(EOVERFLOW, READ, 0, size + (1 << 40)) if False else c.bad((EINVAL, EOVERFLOW), READ, 0, 1 << 40)
    # Block status for some contexts.
    def status(length, *ids):
        payload = struct.pack(">Q", length) + b"".join(struct.pack(">I", i) for i in ids)
        return dict(kind=STATUS, offset=0, count=length, data=payload, flags=PAYLOAD, length=len(payload))
    assert c.good(**status(size, c.context)) == [(size, 3)]
    assert c.good(**status(size)) == b"", "no context, no status"
    c.bad(EINVAL, **status(size, c.context, c.context))
    c.bad(EINVAL, **status(size, c.context + 1))
    c.bad(EINVAL, **status(size, *range(1000, 1200)))
    c.bad(EINVAL, **status(size + 512, c.context))
    c.bad(EINVAL, **status(0, c.context))
    for n in (1, 7, 9, 10):
        c.bad(EINVAL, STATUS, 0, size, data=bytes(n), flags=PAYLOAD, length=n)
    c.good(READ, 0, 512)


def model():
    """Random requests in odd pieces, many at a time, with extended headers,
    against a bytearray."""
    c = connect("extended", True)
    rng = random.Random(int(os.environ.get("SEED", "7")))
    want = bytearray(8 << 20)
    base = 8 << 20
    c.good(WRITE, base, len(want), data=bytes(want))
    for _ in range(60):
        out, asked, busy = b"", {}, []
        for _ in range(rng.randrange(1, 40)):
            kind = rng.choice((READ, READ, WRITE, WRITE, ZEROES, STATUS, FLUSH, CACHE))
            n = rng.choice((1, 100, 512, 4096, 4096, 65536, 300000))
            at = rng.randrange(len(want) - n)
            if kind in (READ, WRITE, ZEROES) and any(at < e and s < at + n for s, e in busy):
                continue
            data = rng.randbytes(n) if kind == WRITE else b""
            flags = rng.choice((0, FUA)) | (rng.choice((0, NO_HOLE)) if kind == ZEROES else 0)
            out += c.request(kind, base + at, 0 if kind == FLUSH else n, data=data, flags=flags)
            asked[c.cookie] = kind, at, n
            if kind in (READ, WRITE, ZEROES):
                busy.append((at - 512, at + n + 512))
            if kind == READ:
                asked[c.cookie] += (bytes(want[at:at + n]),)
            elif kind in (WRITE, ZEROES):
                want[at:at + n] = data or bytes(n)
        def dribble(out=out):
            while out:
                k = rng.choice((1, 31, 32, 33, 5000, 70000, 500000))
                c.s.sendall(out[:k])
                out = out[k:]
        sender = threading.Thread(target=dribble)
        sender.start()
        while asked:
            magic, flags, form, cookie, offset, length = struct.unpack(">IHHQQQ", c.get(32))
            kind, at, n, *read = asked.pop(cookie)
            payload = c.get(length)
            assert magic == 0x6e8a278c and flags == 1 and form < 0x8000, (kind, at, n, form, payload)
            assert offset == base + at
            if kind == READ:
                assert payload[8:] == read[0], "wrong data at %d" % at
            if kind == STATUS:
                assert sum(x for x, _ in struct.iter_unpack(">QQ", payload[8:])) <= n
        sender.join()
    assert c.good(READ, base, len(want)) == bytes(want)


def vanish():
    """Clients that are gone after each byte of a handshake and some requests."""
    c = Client(path)
    go = struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", STRUCTURED, 0) + \
        b"IHAVEOPT" + struct.pack(">II", GO, 6) + bytes(6)
    c.mode = "simple"
    tail = c.request(READ, 0, 65536) + c.request(WRITE, 1 << 20, 64, data=bytes(64)) + c.request(TRIM, 0, 4096)
    for out in (go + tail,):
        for cut in range(len(out)):
            s = socket.socket(socket.AF_UNIX)
            s.connect(path)
            s.sendall(out[:cut])
            if cut % 3 == 0:
                s.recv(18)
            if cut % 5 == 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
    connect().good(READ, 0, 512)


def fast(seconds, c=None):
    """How many reads of 4 KiB, and the longest one."""
    c = c or connect()
    until, n, longest = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until:
        t = time.monotonic()
        c.good(READ, 4096 * (n % 1000), 4096)
        longest = max(longest, time.monotonic() - t)
        n += 1
    return n, longest


def unfair():
    """Clients that do not read their answers, that are silent anywhere in a request,
    that send a byte now and then: beside them one is served as if it was alone."""
    bad = []
    for _ in range(16):                 # reads, and no reading
        c = connect("structured")
        c.s.setblocking(False)
        out = b"".join(c.request(READ, 0, 1 << 20) for _ in range(300))
        try:
            c.s.send(out)
        except BlockingIOError:
            pass
        bad.append(c)
    for cut in (0, 3, 4, 10, 20, 30):   # half a handshake
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        s.sendall((struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", GO, 6) + bytes(5))[:cut])
        bad.append(s)
    for cut in (1, 27, 28, 29, 1000):   # half a request
        c = connect()
        c.s.sendall(c.request(WRITE, 0, 1 << 20, data=bytes(1 << 20))[:cut])
        bad.append(c)
    n, longest = fast(1.0)
    print("%d reads beside %d bad clients, the longest %.0f ms" % (n, len(bad), longest * 1000))
    assert n > 200 and longest < 0.5, (n, longest)


def idle():
    """Says "idle" and stays, in all kinds of places, until the server ends it: without
    an error reply."""
    some = [connect(), connect("structured"), connect("extended")]
    half = connect()
    half.s.sendall(half.request(WRITE, 0, 65536, data=bytes(65536))[:5000])
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(path)
    raw.recv(18)
    slow = connect()
    slow.s.sendall(b"".join(slow.request(READ, 0, 1 << 20) for _ in range(200)))
    print("idle", flush=True)
    for c in [*some, half]:
        assert c.closed(), "something was said"
    assert raw.recv(1) == b""
    n, done = 0, False
    while not done:                     # whole answers, without an error
        try:
            error, cookie = struct.unpack(">IQ", slow.get(16)[4:])
            assert error == 0, error
            slow.get(1 << 20)
            n += 1
        except (EOFError, ConnectionError):
            done = True
    print("%d answers" % n)


def many():
    """A thousand clients."""
    cs = [connect() for _ in range(int(sys.argv[3]))]
    for c in cs:
        c.s.sendall(c.request(READ, 0, 4096))
    for c in cs:
        assert c.reply()[0] == 0
    print("%d clients" % len(cs))


def ghosts():
    """8000 reads, one answer taken, gone."""
    c = connect()
    c.s.settimeout(0.2)
    try:
        for i in range(8000):
            c.s.sendall(c.request(READ, 4096 * (i % 1000), 4096))
    except TimeoutError:
        pass
    c.get(16)


path, scenario = sys.argv[1:3]
globals()[scenario]()
