#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Every NBD command with every flag, on a LUN that can do all of it; then what
# a client must not send: unaligned, beyond the end, of no length, with
# unknown flags, too large, and an unknown command.  Each is answered with an
# error that fits, none of them changes the disk, and the connection (or, if
# the server chose to close it, the server) goes on.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdsh -c "import nbd"

pick_portals 2
make_disk "$tmpdir/disk" 128M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk" vendor_id=TEST product_id=THIN thin_provisioning=1
own_extra=(unaligned=refuse)
start_mpiscsi portals="$(join_portals "${portal[@]}")"

say "all commands, all flags"
nbdsh --base-allocation -u "$uri" -c - <<'PY'
import itertools, os
for name in ("flush", "fua", "multi_conn", "trim", "zero", "fast_zero", "df"):
    assert getattr(h, "can_" + name)(), "can_%s is false" % name
assert not h.is_read_only()
assert h.can_meta_context("base:allocation")
minimum, preferred, maximum = (h.get_block_size(x) for x in
    (nbd.SIZE_MINIMUM, nbd.SIZE_PREFERRED, nbd.SIZE_MAXIMUM))
assert (minimum, maximum) == (512, 32 << 20), (minimum, maximum)
assert preferred >= 4096 and preferred & (preferred - 1) == 0

def expect(errnos, call, *args):
    try:
        call(*args)
    except nbd.Error as e:
        assert e.errno in errnos, "%s instead of %s" % (e.errno, errnos)
        return e
    raise SystemExit("taken, but must not be: %s %s" % (call.__name__, args[-3:]))

def combinations(flags):
    for n in range(len(flags) + 1):
        for c in itertools.combinations(flags, n):
            yield sum(c), c

m = 1 << 20
for flags, _ in combinations((nbd.CMD_FLAG_FUA,)):
    data = os.urandom(m)
    h.pwrite(data, m, flags)
    assert h.pread(m, m) == data
buf = os.urandom(m)
h.pwrite(buf, 2 * m)
for flags in (0, nbd.CMD_FLAG_DF):
    got = bytearray(m)
    def chunk(data, offset, status, error):
        assert error.value == 0
        if status != nbd.READ_HOLE:
            got[offset - 2 * m:offset - 2 * m + len(data)] = data
    assert h.pread_structured(m, 2 * m, chunk, flags) == buf and got == buf

for flags, c in combinations((nbd.CMD_FLAG_FUA, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FAST_ZERO)):
    data = os.urandom(m)
    h.pwrite(data, 4 * m)
    want = data[:4096] + bytes(m - 8192) + data[-4096:]
    if nbd.CMD_FLAG_NO_HOLE in c and nbd.CMD_FLAG_FAST_ZERO in c:
        # Written out, it would not be fast: refused at once, nothing changed.
        expect(("ENOTSUP", "EOPNOTSUPP"), h.zero, m - 8192, 4 * m + 4096, flags)
        want = data
    else:
        h.zero(m - 8192, 4 * m + 4096, flags)
    assert h.pread(m, 4 * m) == want, "zero with flags %#x" % flags

for flags in (0, nbd.CMD_FLAG_FUA):
    h.pwrite(buf, 6 * m)
    h.trim(m, 6 * m, flags)
    assert h.pread(m, 6 * m) == bytes(m), "trim did not unmap, or not to zeroes"
h.flush()
h.cache(m, 0) if h.can_cache() else expect(("EINVAL",), lambda: (h.set_strict_mode(0), h.cache(m, 0)))
h.set_strict_mode(nbd.STRICT_MASK)

def status(count, offset, flags=0):
    seen = []
    def extent(context, at, entries, error):
        assert at == offset and error.value == 0
        seen.extend(entries)
        return 0
    h.block_status(count, offset, extent, flags)
    seen = list(zip(seen[::2], seen[1::2]))
    # Without REQ_ONE the last one may go on behind what was asked for.
    over = sum(n for n, _ in seen) - count
    if over > 0 and not flags:
        seen[-1] = (seen[-1][0] - over, seen[-1][1])
    return seen
h.trim(64 * m, 64 * m)
h.pwrite(buf, 80 * m)
both = nbd.STATE_HOLE | nbd.STATE_ZERO
assert status(32 * m, 64 * m) == [(16 * m, both), (m, 0), (15 * m, both)], status(32 * m, 64 * m)
assert status(32 * m, 64 * m, nbd.CMD_FLAG_REQ_ONE) == [(16 * m, both)]
assert status(512, 80 * m, nbd.CMD_FLAG_REQ_ONE) == [(512, 0)]
PY

say "bad requests"
nbdsh --base-allocation -u "$uri" -c - <<'PY'
import os
size = h.get_size()
h.pwrite(os.urandom(1 << 20), 0); h.pwrite(os.urandom(1 << 20), size - (1 << 20))
before = h.pread(1 << 20, 0), h.pread(1 << 20, size - (1 << 20))
h.set_strict_mode(0)
def extent(*a):
    return 0
def bad(what, errnos, call, *args):
    try:
        call(*args)
    except nbd.Error as e:
        assert e.errno in errnos, "%s: %s instead of %s" % (what, e.errno, errnos)
        return
    raise SystemExit("%s: taken" % what)

b = lambda n: b"\xa5" * n
inval, space = ("EINVAL",), ("ENOSPC", "EINVAL")
for what, n, at in (("unaligned length", 100, 0), ("unaligned offset", 512, 7),
                    ("both unaligned", 513, 1), ("half a block at the end", 256, size - 256)):
    bad("read, " + what, inval, h.pread, n, at)
    bad("write, " + what, inval, h.pwrite, b(n), at)
    bad("zero, " + what, inval, h.zero, n, at)
    bad("zero NO_HOLE, " + what, inval, h.zero, n, at, nbd.CMD_FLAG_NO_HOLE)
    bad("trim, " + what, inval, h.trim, n, at)
for what, n, at in (("at the end", 512, size), ("over the end", 1024, size - 512),
                    ("far beyond", 512, 1 << 62), ("offset + length overflows", 4096, (1 << 63) - 4096)):
    bad("read, " + what, inval, h.pread, n, at)
    bad("write, " + what, space, h.pwrite, b(n), at)
    bad("zero, " + what, space, h.zero, n, at)
    bad("trim, " + what, inval, h.trim, n, at)
    bad("block status, " + what, inval, h.block_status, n, at, extent)
# Undefined by the protocol; "must not crash" and "must not write" are.
for call in (lambda: h.pread(0, 0), lambda: h.pwrite(b"", 0), lambda: h.zero(0, 0),
             lambda: h.trim(0, 0), lambda: h.block_status(0, 0, extent), lambda: h.pread(0, size)):
    try:
        call()
    except nbd.Error as e:
        assert e.errno in space, "zero length: %s" % e
for flag in (0x8000, nbd.CMD_FLAG_DF, nbd.CMD_FLAG_FAST_ZERO, nbd.CMD_FLAG_REQ_ONE):
    bad("write with flag %#x" % flag, inval, h.pwrite, b(512), 0, flag)
    bad("trim with flag %#x" % flag, inval, h.trim, 512, 0, flag)
for flag in (0x8000, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_REQ_ONE):
    bad("read with flag %#x" % flag, inval, h.pread, 512, 0, flag)
bad("flush with FUA and more", inval, h.flush, 0x8000)
assert (h.pread(1 << 20, 0), h.pread(1 << 20, size - (1 << 20))) == before, "a bad request changed the disk"

# 32 MiB is what we offer, and must work; above it is the server's choice.
big = os.urandom(32 << 20)
h.pwrite(big, 32 << 20)
assert h.pread(32 << 20, 32 << 20) == big, "32 MiB came back different"
more = b(33 << 20)
try:
    h.pwrite(more, 32 << 20)
    big = more
except nbd.Error as e:
    assert e.errno in ("EINVAL", "ERANGE", "ENOMEM"), e
try:
    got = h.pread(33 << 20, 32 << 20)
except nbd.Error as e:
    assert e.errno in ("EINVAL", "ERANGE", "ENOMEM"), e
    got = h.pread(32 << 20, 32 << 20)
assert got[:32 << 20] == big[:32 << 20]
PY

say "raw: an unknown command, and more than any server takes"
python3 - "$sock" "$front_end" <<'PY'
import os, socket, struct, sys
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
    get(s, 18)
    s.sendall(struct.pack(">IQII", 3, 0x49484156454F5054, 7, 6) + struct.pack(">IH", 0, 0))   # NBD_OPT_GO
    while True:
        _, _, reply, n = struct.unpack(">QIII", get(s, 20)); get(s, n)
        assert reply < 1 << 31, "NBD_OPT_GO refused: %#x" % reply
        if reply == 1:
            return s
def get(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data
def ask(s, kind, flags, offset, n, payload=b""):
    s.sendall(struct.pack(">IHHQQI", 0x25609513, flags, kind, 7, offset, n) + payload)
    magic, error, cookie = struct.unpack(">IIQ", get(s, 16))
    assert (magic, cookie) == (0x67446698, 7), (hex(magic), cookie)
    return error
EINVAL, ENOMEM, ENOSPC, EOVERFLOW = 22, 12, 28, 75
s = connect()
assert ask(s, 99, 0, 0, 0) == EINVAL, "unknown command"
if sys.argv[2] == "nbdkit":
    assert ask(s, 5, 0, 0, 4096) == EINVAL, "cache, which was not offered"
assert ask(s, 0, 0, 0, 0xffffffff) in (EINVAL, ENOMEM, EOVERFLOW), "read of 4 GiB"
assert ask(s, 0, 0, 0, 65 << 20) in (EINVAL, ENOMEM, EOVERFLOW), "read of 65 MiB"
assert ask(s, 0, 0, 0, 512) == 0 and len(get(s, 512)) == 512, "the connection is out of step"
# A write that is too large is read and refused, or the connection is closed.
try:
    error = ask(s, 1, 0, 0, 65 << 20, bytes(65 << 20))
    assert error in (EINVAL, ENOMEM, ENOSPC, EOVERFLOW), "write of 65 MiB: %d" % error
except (EOFError, ConnectionError):
    pass
s = connect()
assert ask(s, 0, 0, 0, 512) == 0 and len(get(s, 512)) == 512
# Not NBD at all.
s.sendall(os.urandom(64))
try:
    while s.recv(65536):
        pass
except ConnectionError:
    pass
s = connect()
assert ask(s, 0, 0, 0, 512) == 0
PY

say "the message says what to do"
if is_own; then         # one in a second
  n=$(count_log 'not aligned to the LUN.s 512 byte blocks: see the option unaligned')
  assert_less "messages that name the option" 0 "$n"
else
  n=$(count_log 'not aligned to the LUN.s 512 byte blocks: use --filter=blocksize')
  assert_less "messages that name the filter" 10 "$n"
fi
assert_not_logged 'Failing path'
