#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# LUNs that are no disk for NBD: another device type, no medium, size 0, block
# sizes of 520 and 4160, protection information, not connected.  Each is a
# clear refusal at the start, in one line that names target, LUN and reason;
# and beside a good LUN it is a warning and no export.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
requires nbdinfo --version

refused () { # REGEX OPTION...
  local regex=$1; shift
  start_fake 1 "$@"
  assert_start_fails "LUN 1.*($regex)" portals="${portal[0]}" lun=1
  assert_match "the line names the target" "$(quote_re "$fake_iqn")" "$start_error"
  assert_less "ms until the error" "$start_ms" $((20000 * slow_limits))
  # The same when nobody asked for that LUN in particular.
  assert_start_fails "LUN 1.*($regex)" portals="${portal[0]}"
  stop_fake
}

say "device types"
refused 'tape' --device-type 1
refused 'processor' --device-type 3
refused 'CD' --device-type 5
refused 'changer' --device-type 8
refused 'enclosure' --device-type 0x0d
refused 'zoned' --device-type 0x14
say "no medium, nothing on it"
refused 'medium' --removable --no-medium
refused 'size is 0' --size 0
say "block sizes"
refused '520' --block-size 520 --size 52000000
refused '528' --block-size 528 --size 52800000
refused '4160' --block-size 4160 --size 41600000
say "protection information"
for type in 1 2 3; do refused 'rotection' --protection "$type"; done
say "not there"
start_fake 1 --qualifier 3 --device-type 0x1f
assert_start_fails 'no LUN' portals="${portal[0]}" lun=1
stop_fake

say "no identity at all"
refused "WWID|identi" --no-vpd

say "removable, with a medium: served"
start_fake 1 --removable
start_mpiscsi portals="${portal[0]}"
assert_equal "size" $((64 << 20)) "$(nbd_size)"
stop_mpiscsi
stop_fake
say "old: no READ CAPACITY(16)"
start_fake 1 --no-rc16
start_mpiscsi portals="${portal[0]}"
assert_equal "size" $((64 << 20)) "$(nbd_size)"
stop_mpiscsi
stop_fake

say "beside a good LUN"
pick_portals 1
make_disk "$tmpdir/disk" 32M
make_disk "$tmpdir/cd" 32M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/cd" device-type=cd
tgt_lun t 1 2 "$tmpdir/disk"
start_mpiscsi portals="${portal[0]}"
assert_equal "exports" "$(tgt_wwid 1 2)" "$(nbdinfo --list --json "$uri" | jq -r '.exports[]."export-name"')"
assert_match "warning" 'warning: .*LUN 1 cannot be served: ' "$(<"$mpiscsi_log")"
assert_equal "size" $((32 << 20)) "$(nbd_size)"
say "an export that there is not"
status=0
out=$(nbdinfo "nbd+unix:///no-such-disk?socket=$sock" 2>&1) || status=$?
[ "$status" != 0 ] || fail "opened: $out"
wait_for_log 'no-such-disk' 2
stop_mpiscsi
