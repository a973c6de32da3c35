#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The device table: what is built in for an array holds, `mpiscsi check` shows
# it, and the file beats it; arrays without ALUA are recognised, told once, and
# their passive paths are left alone instead of being tried again and again.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
requires nbdsh -c "import nbd"

start () { # [PARAMETER]...
  start_mpiscsi portals="$(join_portals "${portal[@]}")" discovery=off target="$fake_iqn" polling-interval=0.3 \
    rr-min-io=1 "$@"
}
queueing () { mpiscsi show maps | awk 'NR == 2 { print $6 }'; }
write () { nbdsh -u "$uri" -c 'for i in range(8): h.pwrite(b"x" * 4096, 4096 * i)'; }

say "an array that is in the table"
start_fake 1 --vendor NETAPP --product "LUN C-Mode"
start
assert_equal "queueing" on "$(queueing)"
stop_mpiscsi
printf '%s\n' "iscsi {" " portals ${portal[0]}" "}" "devices {" " device {" "  vendor NETAPP" "  no_path_retry 3" " }" "}" \
  >"$tmpdir/file.conf"
start config="$tmpdir/file.conf"
assert_equal "queueing, by the file" "3 chk" "$(mpiscsi show maps | awk 'NR == 2 { print $6, $7 }')"
stop_mpiscsi

say "mpiscsi check"
out=$(mpiscsi check -c "$tmpdir/file.conf" "NETAPP,LUN C-Mode")
assert_match "check" '# built in: NetApp ONTAP' "$out"
assert_match "check" $'\n#\tno_path_retry queue\n' "$out"
assert_match "check" "# device of .*file.conf:5" "$out"
assert_match "check" $'\nno_path_retry 3\n' "$out"
assert_match "check" 'nothing is built in' "$(mpiscsi check -c "$tmpdir/file.conf" "IET,VIRTUAL-DISK")"
mpiscsi_fails 2 'VENDOR,PRODUCT' check -c "$tmpdir/file.conf" rubbish
{ printf 'iscsi {\n portals 127.0.0.1\n}\n'; mpiscsi check -c "$tmpdir/file.conf" | sed -n '/^devices {/,$p'; } >"$tmpdir/all.conf"
mpiscsi check -c "$tmpdir/all.conf" >/dev/null || fail "what check prints is no good file"

for kind in "201 DELL MD36xxi host.type" "192 DGC VRAID failover.mode.4"; do
  read -r page vendor product remedy <<<"$kind"
  say "$vendor without ALUA"
  start_fake 2 --vendor "$vendor" --product "$product" --owner-page "$page"
  start
  wait_for_log "$(quote_re "${portal[0]}"): reinstated" 5
  wait_shown "${portal[1]} active ghost" 5
  write
  # Said once; and two rounds of the checker change nothing.
  assert_match "what is said" "$remedy" "$(new_log | grep 'is not set to ALUA')"
  mark_log
  sleep 0.7
  write
  assert_not_logged 'reinstated|Failing path|ALUA'
  stop_mpiscsi
  stop_fake
done
