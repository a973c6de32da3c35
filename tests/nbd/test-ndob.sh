#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A LUN that knows WRITE SAME without a data-out buffer is sent none; one that
# does not, or only says so, gets a block of zeroes.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
requires nbdsh -c "import nbd"

# In the middle of what was written, with and without holes.
write_and_zero () {
  start_mpiscsi portals="${portal[0]}"
  nbdsh -u "$uri" -c 'h.pwrite(b"x" * (4 << 20), 0)
h.zero(1 << 20, 1 << 20, nbd.CMD_FLAG_NO_HOLE)
h.zero(1 << 20, 2 << 20)
b = h.pread(4 << 20, 0)
assert b[:1 << 20] == b"x" * (1 << 20) and b[3 << 20:] == b"x" * (1 << 20)
assert b[1 << 20:3 << 20] == bytes(2 << 20)'
  stop_mpiscsi || exit 1
  assert_no_match "log" 'Failing path|error' "$(<"$mpiscsi_log")"
}
same () { grep -Ec -- "$1" "$tmpdir/fake.log" || :; }

say "known: not a byte is sent"
start_fake 1 --ndob --thin --lbprz
write_and_zero
assert_equal "without data and holes" 1 "$(same 'ndob 1, unmap 0, LBA 2048, 2048 blocks, 0 bytes')"
assert_equal "without data" 1 "$(same 'ndob 1, unmap 1, LBA 4096, 2048 blocks, 0 bytes')"
assert_equal "all commands" 2 "$(same 'write same')"
stop_fake

say "not thin"
start_fake 1 --ndob
write_and_zero
assert_equal "without data" 2 "$(same 'ndob 1, unmap 0, .* 2048 blocks, 0 bytes')"
stop_fake

say "it only says so: asked once, then with data"
start_fake 1 --ndob --evil ndob-lying
write_and_zero
assert_equal "without data" 1 "$(same 'ndob 1, ')"
assert_equal "with data" 2 "$(same 'ndob 0, unmap 0, .* 2048 blocks, 512 bytes')"
stop_fake

say "not known: it refuses the question"
start_fake 1
write_and_zero
