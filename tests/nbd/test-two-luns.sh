#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A target with two disks: an export each, named by WWID; no default export,
# but a list; lun= and wwid= choose one.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdinfo --version

simple_target 2 32M
make_disk "$tmpdir/disk2" 48M
tgt_lun t 1 2 "$tmpdir/disk2" vendor_id=OTHER product_id=SECOND
wwid2=$(tgt_wwid 1 2)
portals=$(join_portals "${portal[@]}")
export_uri () { echo "nbd+unix:///$1?socket=$sock"; }

say "both"
start_mpiscsi portals="$portals"
list=$(nbdinfo --list "$uri")
for w in "$wwid" "$wwid2"; do grep -q "export=\"$w\"" <<<"$list" || fail "$w is not listed:"$'\n'"$list"; done
assert_match "description" 'description: .*TEST.*TESTDISK' "$list"
assert_match "description" 'description: .*OTHER.*SECOND' "$list"
assert_match "description, paths" '2 (of 2 )?paths' "$list"
assert_equal "size of LUN 1" $((32 << 20)) "$(nbd_size "$(export_uri "$wwid")")"
assert_equal "size of LUN 2" $((48 << 20)) "$(nbd_size "$(export_uri "$wwid2")")"

say "the default export is refused, and the log says what there is"
mark_log
assert_fails nbdinfo --size "$uri"
wait_for_log "$wwid" 2
wait_for_log "$wwid2" 2
say "an export that does not exist"
mark_log
assert_fails nbdinfo --size "$(export_uri 36000000000000000)"
wait_for_log '36000000000000000([^0-9a-f]|$)' 2

say "writes go to the disk that was named"
nbdsh -u "$(export_uri "$wwid")" -c 'h.pwrite(b"1" * 4096, 0); h.flush()'
nbdsh -u "$(export_uri "$wwid2")" -c 'h.pwrite(b"2" * 4096, 0); h.flush()'
assert_equal "first byte of LUN 1" 1 "$(head -c1 "$tmpdir/disk")"
assert_equal "first byte of LUN 2" 2 "$(head -c1 "$tmpdir/disk2")"

say "a path lost counts for both"
mark_log
kill_tgt t
wait_for_log "$wwid: remaining active paths: 0\$" 5
wait_for_log "$wwid2: remaining active paths: 0\$" 5
run_tgt t
wait_for_log "$wwid: remaining active paths: 2\$" 20
wait_for_log "$wwid2: remaining active paths: 2\$" 20
stop_mpiscsi

say "lun="
start_mpiscsi portals="$portals" lun=2
assert_equal "size" $((48 << 20)) "$(nbd_size)"
assert_no_match "list" "$wwid([^0-9a-f]|\$)" "$(nbdinfo --list "$uri")"
stop_mpiscsi
say "wwid="
start_mpiscsi portals="$portals" wwid="$wwid"
assert_equal "size" $((32 << 20)) "$(nbd_size)"
assert_no_match "list" "$wwid2" "$(nbdinfo --list "$uri")"
stop_mpiscsi
say "neither is there"
assert_start_fails '(LUN|lun) ?=?7' portals="$portals" lun=7
assert_start_fails 36000000000000000 portals="$portals" wwid=36000000000000000
assert_start_fails "$wwid2" portals="$portals" lun=1 wwid="$wwid2"
