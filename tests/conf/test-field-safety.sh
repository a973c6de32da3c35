#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What others must not be able to do: forge log lines with the names that they
# send, steer what root writes by links in the state directory; and what must
# not take files away from the service: who only looks.  And one more LUN takes
# nobody's disk away.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires nbdsh --version

simple_target 1 32M

say "a client's export name makes no line of its own, and no terminal escape"
start_mpiscsi portals="${portal[0]}"
assert_fails python3 - "$sock" <<'PY'
import nbd, sys
h = nbd.NBD()
h.set_export_name("x'\nmpiscsi: iscsi_data: Failing path 10.0.0.1:3260: forged\x1b[2J \u009b2J \u202e")
h.connect_unix(sys.argv[1])
PY
wait_for_log "no export is named 'x'\\\\x0ampiscsi: iscsi_data: Failing path" 2
assert_not_logged '^mpiscsi: iscsi_data'
[ "$(new_log | LC_ALL=C tr -d '\n\t -~' | wc -c)" = 0 ] || fail "not printable: $(new_log | cat -v)"
stop_mpiscsi

say "nor what is in a file, or on the command line"
printf 'iscsi {\n\tpor\033[2J\xff 10.0.0.1\n}\n' >"$tmpdir/odd.conf"
assert_fails mpiscsi check -c "$tmpdir/odd.conf"
[ "$(LC_ALL=C tr -d '\n -~' <"$tmpdir/assert_fails.out" | wc -c)" = 0 ] || fail "$(cat -v "$tmpdir/assert_fails.out")"
assert_start_fails 'x\\x1b\[2J' portals="${portal[0]}" lun=$'x\e[2J'

say "nobody can forget it: nbdkit prints names as they come"
assert_equal "users of nbdkit_error" "$top_srcdir/plugin/log-sink.c" \
  "$(grep -l 'nbdkit_error (' "$top_srcdir"/plugin/*.c)"

say "scan, discover and the trial at the start write nothing"
friendly=(user-friendly-names=yes)
state=$tmpdir/state
assert_match "scan" "^$wwid TEST" "$(mpiscsi scan "${portal[0]}" "${friendly[@]}")"
mpiscsi discover "${portal[0]}" "${friendly[@]}" >/dev/null
[ ! -e "$state/bindings" ] || fail "there is a bindings file"
rm -rf "$state"
mkdir "$state"
chown nobody "$tmpdir"             # nbdkit makes its pid file as that user
chown nobody "$state"
mpiscsi scan "${portal[0]}" "${friendly[@]}" >/dev/null
assert_equal "files after a scan by root" "" "$(ls "$state")"
start_mpiscsi -u nobody portals="${portal[0]}" "${friendly[@]}"
wait_for_log 'is now named mpatha|mpatha: remaining active paths: 1' 5
stop_mpiscsi
assert_equal "owner" nobody "$(stat -c %U "$state/bindings")"
assert_match "scan" "^mpatha \\($wwid\\) TEST" "$(mpiscsi scan "${portal[0]}" "${friendly[@]}")"
assert_equal "the file" "mpatha $wwid" "$(<"$state/bindings")"

say "a link there is not followed"
echo untouched >"$tmpdir/shadow"
rm -rf "$state"
mkdir "$state"
ln -s "$tmpdir/shadow" "$state/bindings"
start_mpiscsi portals="${portal[0]}" "${friendly[@]}"
wait_for_log "no friendly name: cannot open bindings file $state/bindings: is a symbolic link" 5
stop_mpiscsi
assert_equal "where it leads" untouched "$(<"$tmpdir/shadow")"

say "one more LUN: the default export stays what it was"
rm -rf "$state"
# The new LUN is listed first.
tgt_adm t --mode logicalunit --op delete --tid 1 --lun 1
tgt_lun t 1 5 "$tmpdir/disk"
wwid=$(tgt_wwid 1 5)
start_mpiscsi portals="${portal[0]}" polling-interval=0.2
assert_match "at the start" "warning: without lun= or wwid= the default export is only unambiguous with one LUN: it is, and stays, $wwid; wwid=$wwid" \
  "$(new_log)"
assert_equal "size" $((32 << 20)) "$(nbd_size)"
background "$tmpdir/client.log" nbdsh -u "$uri" -c '
import os, time
while not os.path.exists("'"$tmpdir/go"'"): time.sleep(0.05)
h.pwrite(b"1" * 4096, 0); h.flush()'
client=$!
make_disk "$tmpdir/disk2" 48M
tgt_lun t 1 1 "$tmpdir/disk2"
wwid2=$(tgt_wwid 1 1)
mpiscsi reconfigure                     # asks for what there is
two () { [ "$(nbdinfo --list "$uri" | grep -c '^export=')" = 2 ]; }
find_second () { nbdsh -u "$uri" -c 'h.pread(512, 0)' && two; }
wait_until 10 find_second || fail "the second LUN is not found: $(new_log)"
assert_equal "size for who connects now" $((32 << 20)) "$(nbd_size)"
assert_equal "and by name" $((48 << 20)) "$(nbd_size "nbd+unix:///$wwid2?socket=$sock")"
touch "$tmpdir/go"
wait "$client" || fail "who was connected: $(<"$tmpdir/client.log")"
stop_mpiscsi
say "after a restart as well"
start_mpiscsi portals="${portal[0]}"
assert_match "at the start" "warning: without lun= or wwid= .*: it is, and stays, $wwid; wwid=$wwid" "$(new_log)"
assert_equal "size" $((32 << 20)) "$(nbd_size)"
assert_equal "first byte" 1 "$(head -c1 "$tmpdir/disk")"
stop_mpiscsi
say "not for a server of another configuration, nor without what was written down"
start_mpiscsi portals="${portal[0]}" target="$iqn"
assert_fails nbdinfo --size "$uri"
stop_mpiscsi
rm "$state/default-export"
start_mpiscsi portals="${portal[0]}"
assert_fails nbdinfo --size "$uri"
assert_match "at the start" 'warning: without lun= or wwid= .*several LUNs were found' "$(new_log)"
stop_mpiscsi
