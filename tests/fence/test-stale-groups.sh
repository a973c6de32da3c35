#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In-doubt write fencing and portal groups: the lost session can be reinstated
# through any portal of its own group, and through no other.  And a target that
# refuses the credentials that fencing makes up (see act_connect).
TEST_TIMEOUT=120
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
# shellcheck source=../functions-stale.sh
. "$testsdir/functions-stale.sh"

# start_groups TPGT-OF-A TPGT-OF-B
start_groups () {
  : >"$tmpdir/fake.log"
  pick_portals 2
  background "$tmpdir/fake.log" "$fake_target" --thin \
    --listen "${portal[0]},$1" --listen "${portal[1]},$2"
  fake_pid=$!
  cleanup_fn _tgt_end "$fake_pid"
  wait_until 5 grep -q '^ready' "$tmpdir/fake.log" || fail "fake-iscsi-target: $(<"$tmpdir/fake.log")"
  start_proxy "${portal[@]}"
}
stop_groups () {
  end_process "$proxy_pid" || :
  stop_fake
}
# With discovery, which tells the groups.
start () {
  reset_proxy
  start_mpiscsi "portals=${proxied[0]}" "target=$fake_iqn" lun=1 rr-min-io=1 "$@"
  wait_for_log 'remaining active paths: 2$'
}
a_re () { quote_re "${proxied[0]}"; }
b_re () { quote_re "${proxied[1]}"; }

start_groups 1 1
say "one group: without fencing the old write wins"
start fence=off
stale overwrite 3
assert_match "without fencing" 'at once.*released=1 good=1.*block has old' "$out"
stop_mpiscsi

say "one group: A stays away, B stands in for it"
start
stale hold yes
assert_match "one group" 'released=0 .*lost=1.*block has new' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" "$value" "$((2500 * slow_limits))"
wait_for_log "$(a_re): session reinstated through $(b_re)" 1
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "one group, without discovery: known from the login"
reset_proxy
start_mpiscsi "portals=$(join_portals "${proxied[@]}")" discovery=off "target=$fake_iqn" lun=1 rr-min-io=1
wait_for_log 'remaining active paths: 2$'
stale hold yes
assert_match "one group, without discovery" 'released=0 .*lost=1.*block has new' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" "$value" "$((2500 * slow_limits))"
wait_for_log "$(a_re): session reinstated through $(b_re)" 1
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "one group, and the server is killed: B stands in for A at the next one"
start
stale killed "$mpiscsi_pid"
forget_killed
ctl at "${proxied[0]}" refuse on >/dev/null
start_mpiscsi "portals=${proxied[1]}" "target=$fake_iqn" lun=1
wait_for_log 'remaining active paths: 1$'
keep_faults=1
stale successor 5
keep_faults=
assert_match "one group" 'released=0 .*lost=1.*block has new' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" "$value" "$((2500 * slow_limits))"
wait_for_log "$(a_re) of the server before: session reinstated through $(b_re)" 1
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi
stop_groups

start_groups 1 2
say "two groups: nothing but the old portal will do"
start
stale flow 3
assert_match "waiting" 'waiting write zero trim, ' "$out"
assert_match "the end" 'released=0 .*lost=1.*blocks have new zero zero old' "$out"
number 'waited %d ms'
assert_less "the wait, ms" 2999 "$value"
wait_for_log "$(a_re): session reinstated through $(a_re)" 1
assert_not_logged "session reinstated through $(b_re)"
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "two groups: the old write comes while the overwrite waits"
start
stale late 2
assert_match "the end" 'released=1 good=1.*still old.*block has new' "$out"
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "two groups: bounded by fence-timeout"
start fence-timeout=2
stale hold yes
assert_match "the end" 'released=1 good=1.*block has new' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" 1700 "$value"
assert_less "the wait, ms" "$value" "$((2800 * slow_limits))"
wait_for_log "$(a_re): gave up fencing after 2 s: an old write might still come" 1
assert_not_logged 'LOGICAL UNIT RESET through'
stop_mpiscsi

say "two groups, fence=reinstate"
start fence=reinstate
stale late 2
assert_match "the end" 'released=1 good=1.*block has new' "$out"
fenced_by 'session reinstatement'
assert_not_logged 'LOGICAL UNIT RESET'
stop_mpiscsi
# The next server has B alone.
after_kill () { # [PARAMETER]...
  start
  stale killed "$mpiscsi_pid"
  forget_killed
  [ -z "${dead:-}" ] || ctl at "${proxied[0]}" refuse on >/dev/null
  start_mpiscsi "portals=${proxied[1]}" discovery=off "target=$fake_iqn" lun=1 "$@"
  wait_for_log 'remaining active paths: 1$'
  keep_faults=1
  stale successor 10 "${dead:+none}"
  keep_faults=
  assert_no_match "reads that wait" 'read after' "$out"
}
say "two groups, and the server is killed: through the old portal, which is not configured any more"
after_kill
assert_match "the end" 'released=0 .*lost=1.*block has new' "$out"
wait_for_log "$(a_re) of the server before: session reinstated through $(a_re)" 1
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "... and that is dead: bounded, with a warning, and said once"
dead=yes
after_kill fence-timeout=3
dead=
number 'overwritten after %d ms'
assert_less "the wait, ms" 300 "$value"
assert_less "the wait, ms" "$value" "$((4000 * slow_limits))"
wait_for_log "$(a_re) of the server before: gave up fencing after 3 s: an old write might still come" 1
assert_equal "given up" 1 "$(count_log 'gave up fencing')"
wait_for_log "$(b_re) of the server before: .* are fenced .LOGICAL UNIT RESET" 1
assert_equal "said" 1 "$(count_log 'fencing through .* failed')"
ctl reset >/dev/null
stop_mpiscsi
end_process "$proxy_pid" || :

say "a target that has no CHAP: fenced by logins without it"
background "$tmpdir/picky.log" python3 "$testsdir/fake/picky-login.py" "${portal[@]}"
picky_pid=$!
cleanup_fn end_process "$picky_pid"
wait_until 5 grep -q '^ready' "$tmpdir/picky.log" || fail "picky-login.py: $(<"$tmpdir/picky.log")"
read -ra picky <<<"$(sed -n 's/^ready //p' "$tmpdir/picky.log")"
start_proxy "${picky[@]}"
reset_proxy
start_mpiscsi "portals=${proxied[0]},${proxied[1]}" discovery=off "target=$fake_iqn" lun=1 \
              rr-min-io=1
wait_for_log 'remaining active paths: 2$'
stale overwrite 8
assert_match "no CHAP" 'released=0 .*lost=1.*block has new' "$out"
grep -q refused "$tmpdir/picky.log" || fail "no login offered CHAP"
number 'overwritten after %d ms'
assert_less "the wait, ms" "$value" "$((5000 * slow_limits))"
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi
