#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Facts of a LUN that become capabilities of the export, one by one: rotation,
# physical blocks, the most in one transfer and in one UNMAP, thin but without
# zeroes in what is unmapped, 64 KiB blocks.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
requires nbdsh -c "import nbd"

with () { # OPTION...: serve a LUN that is so
  stop_mpiscsi
  stop_fake
  start_fake 2 "$@"
  start_mpiscsi portals="$(join_portals "${portal[@]}")"
}
preferred () { nbdinfo "$uri" | sed -n 's/.*block_size_preferred: *\([0-9]*\).*/\1/p'; }
rotational () { local s=0; nbdinfo --is rotational "$uri" || s=$?; echo $s; }

say "rotation"
with --rotation 7200
assert_equal "rotational, of 7200 rpm" 0 "$(rotational)"
with --rotation 1
assert_equal "rotational, of an SSD" 2 "$(rotational)"
with --rotation 0
assert_equal "rotational, of a LUN that does not say" 2 "$(rotational)"

say "physical blocks"
with --physical-block-size 512
assert_equal "preferred block" 4096 "$(preferred)"
with --physical-block-size 16384
assert_equal "preferred block" 16384 "$(preferred)"
with --block-size 65536 --size 64M
assert_equal "minimum and preferred block" "65536 65536" \
  "$(nbdinfo "$uri" | sed -n 's/.*block_size_minimum: *\([0-9]*\).*/\1/p') $(preferred)"
nbdsh -u "$uri" -c 'import os
b = os.urandom(192 << 10)
h.pwrite(b, 64 << 10); assert h.pread(192 << 10, 64 << 10) == b
h.zero(64 << 10, 128 << 10); assert h.pread(192 << 10, 64 << 10) == b[:64 << 10] + bytes(64 << 10) + b[128 << 10:]'

say "a maximum transfer length of 24 blocks, which the target enforces"
with --max-transfer 24
nbdsh -u "$uri" -c 'import os
b = os.urandom(4 << 20)
h.pwrite(b, 512); assert h.pread(4 << 20, 512) == b
h.pwrite(b[:13000 // 512 * 512], 20 << 20)
assert h.pread(12800, 20 << 20) == b[:12800]'
assert_not_logged 'I/O error|Failing path'

say "256 blocks in one UNMAP: hundreds of them for one trim"
with --thin --lbprz --max-unmap 256
nbdsh -u "$uri" -c 'b = b"x" * (1 << 20)
for i in range(64): h.pwrite(b, i << 20)
h.trim(62 << 20, 1 << 20)
assert h.pread(1 << 20, 0) == b and h.pread(1 << 20, 63 << 20) == b, "trimmed too much"
assert all(h.pread(1 << 20, i << 20) == bytes(1 << 20) for i in range(1, 63)), "trimmed too little"'
assert_not_logged 'I/O error|Failing path'

say "thin, but what is unmapped does not read as zeroes"
with --thin
nbdsh --base-allocation -u "$uri" -c - <<'PY'
m = 1 << 20
b = b"x" * m
h.pwrite(b, 0)
h.zero(m, 0)
assert h.pread(m, 0) == bytes(m), "zero must give zeroes"
h.pwrite(b, 0)
try:
    h.zero(m, 0, nbd.CMD_FLAG_FAST_ZERO)
except nbd.Error as e:
    assert e.errno in ("ENOTSUP", "EOPNOTSUPP"), e
    assert h.pread(m, 0) == b, "refused, but it changed something"
else:
    raise SystemExit("a fast zero was taken")
h.trim(m, 2 * m)
seen = []
def extent(context, at, entries, error):
    seen.extend(entries)
h.block_status(m, 2 * m, extent)
assert seen[1] == nbd.STATE_HOLE, "a hole that need not be zero: %s" % seen
PY
stop_mpiscsi
