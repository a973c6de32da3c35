#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's row "iscsiadm -m discovery -t sendtargets": the same lines; asking
# one portal reveals the others; CHAP; what goes wrong.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"

pick_portals 4
all=("${portal[@]}")
front=${all[2]} dead=${all[3]}
make_disk "$tmpdir/disk" 32M
start_tgt t "${all[0]}" "${all[1]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk"

say "one portal, as tgtd tells it"
assert_equal "discover" "${all[0]},1 $iqn" "$(mpiscsi discover "${all[0]}")"
say "asking one reveals the others; twice the same is printed once"
background "$tmpdir/proxy.log" python3 "$testsdir/fake/discovery-proxy.py" "$front" "${all[0]}" "${all[0]},1" "${all[1]},1"
cleanup_fn end_process $!
wait_until 10 grep -q listening "$tmpdir/proxy.log" || fail "the relay does not listen"
both="${all[0]},1 $iqn"$'\n'"${all[1]},1 $iqn"
assert_equal "discover" "$both" "$(mpiscsi discover "$front")"
assert_equal "discover, two portals" "$both" "$(mpiscsi discover "$front" "${all[1]}")"
assert_equal "discover --json" "[{\"portal\":\"${all[0]}\",\"tpgt\":1,\"target\":\"$iqn\"},{\"portal\":\"${all[1]}\",\"tpgt\":1,\"target\":\"$iqn\"}]" \
             "$(mpiscsi discover --json "$front" | tr -d ' \n')"

say "a portal that is dead: the others are printed all the same"
status=0
out=$(mpiscsi discover "$dead" "${all[0]}" 2>"$tmpdir/err") || status=$?
assert_equal "status" 1 "$status"
assert_equal "what is found" "${all[0]},1 $iqn" "$out"
assert_match "what is said" "${dead}: cannot connect: Connection refused" "$(<"$tmpdir/err")"
mpiscsi_fails 1 'an IPv6 address must be in brackets' discover ::1
mpiscsi_fails 1 'none.conf: cannot be read' discover -c "$tmpdir/none.conf"
mpiscsi_fails 1 "did you mean 'login-timeout'" discover "${all[0]}" login-timout=1

say "CHAP at discovery, which tgtd does not ask for"
start_tgt chap "${all[3]}"
tgt_target chap 1
tgt_account chap 1 alice secret-of-alice
echo secret-of-alice >"$tmpdir/secret"
assert_equal "discover with CHAP" "${all[3]},1 $iqn" \
             "$(mpiscsi discover "${all[3]}" user=alice "password=+$tmpdir/secret")"
mpiscsi_fails 1 "password: $tmpdir/nosuch: No such file" discover "${all[3]}" user=alice "password=+$tmpdir/nosuch"
