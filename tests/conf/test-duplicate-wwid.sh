#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Two targets that both made up the same WWID (tgt's comes from tid and lun)
# for different disks are never one map: not at start, and not when the second
# appears later, or when a LUN becomes another behind a path that was lost.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"

simple_target 1 32M
a=${portal[0]}
other=$iqn-other
# b: another tgtd, another size, the same tid and lun.
pick_portals 5; b=${portal[1]} b2=${portal[2]} b3=${portal[3]} b4=${portal[4]}
make_disk "$tmpdir/disk-b" 48M
start_tgt b "$b"
tgt_target b 1 "$other"
tgt_lun b 1 1 "$tmpdir/disk-b"

say "another capacity: one error that names WWID and both"
assert_start_fails "$wwid" portals="$a,$b"
line=$(grep error: "$tmpdir/refuse.err")
assert_match "first target or portal" "$(quote_re "$a")|$(quote_re "$iqn")([^-]|\$)" "$line"
assert_match "second target or portal" "$(quote_re "$b")|$(quote_re "$other")" "$line"
assert_match "what differs" '33554432|32 ?M|65536' "$line"
assert_match "what differs" '50331648|48 ?M|98304' "$line"

say "one of them alone is fine"
start_mpiscsi portals="$a,$b" target="$other"
assert_equal "size" $((48 << 20)) "$(nbd_size)"
stop_mpiscsi

say "equal capacity, another block size"
make_disk "$tmpdir/disk-b2" 32M
start_tgt b2 "$b2"
tgt_target b2 1 "$other"
tgt_lun b2 1 1 "$tmpdir/disk-b2" blocksize=4096
assert_start_fails "$wwid" portals="$a,$b2"
assert_match "what differs" '4096' "$start_error"

say "equal capacity and block size: a WWID that was made up is no proof"
make_disk "$tmpdir/disk-b5" 32M
start_tgt b5 "$b4"
tgt_target b5 1 "$other"
tgt_lun b5 1 1 "$tmpdir/disk-b5"
assert_start_fails "the WWID $wwid is no proof .* at two targets, .*company id is 000000; .*trust-wwid=yes" portals="$a,$b4"
before=$(sha256sum <"$tmpdir/disk-b5")
kill_tgt b5
start_mpiscsi portals="$a,$b4" polling-interval=1
run_tgt b5
wait_for_log "warning: the WWID $wwid is no proof" 15
nbdsh -u "$uri" -c 'b = b"z" * 4096
for i in range(256): h.pwrite(b, i * 4096)
h.flush()'
assert_equal "the other disk" "$before" "$(sha256sum <"$tmpdir/disk-b5")"
assert_not_logged "$(quote_re "$b4"): reinstated"
stop_mpiscsi
say "unless an option says that it is one disk"
start_mpiscsi portals="$a,$b4" trust-wwid=yes
wait_connected 10 "$a" "$b4"
wait_for_log "$wwid: the same WWID at two targets" 5
wait_for_log "$wwid: remaining active paths: 2" 5
stop_mpiscsi
kill_tgt b5

say "a second path that is another disk joins later: never"
make_disk "$tmpdir/disk-b3" 48M
start_tgt b3 "$b3"
tgt_target b3 1
tgt_lun b3 1 1 "$tmpdir/disk-b3"
kill_tgt b3
start_mpiscsi portals="$a,$b3" target="$iqn" discovery=off polling-interval=1
before=$(sha256sum <"$tmpdir/disk-b3")
run_tgt b3
wait_for_log "$(quote_re "$b3").*(capacity|size|blocks)" 15
sleep 1
assert_not_logged "$(quote_re "$b3"): reinstated"
nbdsh -u "$uri" -c 'b = b"x" * 4096
for i in range(256): h.pwrite(b, i * 4096)
h.flush()
assert h.pread(4096, 255 * 4096) == b'
assert_equal "the other disk" "$before" "$(sha256sum <"$tmpdir/disk-b3")"
stop_mpiscsi

say "the LUN behind a lost path comes back as another disk: not reinstated"
tgt_adm b3 --mode logicalunit --op delete --tid 1 --lun 1
make_disk "$tmpdir/disk-b3" 32M
tgt_lun b3 1 1 "$tmpdir/disk-b3"
start_mpiscsi portals="$a,$b3" target="$iqn" discovery=off polling-interval=1
wait_connected 10 "$a" "$b3"
mark_log
kill_tgt b3
wait_path_down "$b3" 5
# The same portal, target and LUN number; but tid 2, so another WWID.
start_tgt b3 "$b3"
tgt_target b3 2
make_disk "$tmpdir/disk-b4" 32M
tgt_lun b3 2 1 "$tmpdir/disk-b4"
wait_for_log "$(quote_re "$b3").*$(tgt_wwid 2 1)" 15
sleep 1
assert_not_logged "$(quote_re "$b3"): reinstated"
nbdsh -u "$uri" -c 'b = b"y" * 4096
for i in range(256): h.pwrite(b, i * 4096)
h.flush()'
cmp -n $((32 << 20)) "$tmpdir/disk-b4" /dev/zero || fail "the other disk was written to"
