#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In-doubt write fencing: an unanswered write of a dead path must not land on
# top of what the client wrote later.  The proxy holds a write back on path A,
# A dies, the write is sent again on B and acknowledged, the client overwrites
# the block, then the old write is let go.
#
# With fence=off the old data must win: else this test would prove nothing.
TEST_TIMEOUT=120
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-stale.sh
. "$testsdir/functions-stale.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires jq --version

pick_portals 3
make_disk "$tmpdir/disk" 64M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk" thin_provisioning=1
# The portal group stays unknown, so that nothing but the lost portal itself will
# do (server/iscsi/portal-group.c).
start_proxy --hide-group "${portal[@]}"
start () {
  reset_proxy
  start_mpiscsi "portals=${proxied[0]},${proxied[1]}" discovery=off "target=$iqn" lun=1 \
                rr-min-io=1 no-path-retry=10 "$@"
  wait_for_log 'remaining active paths: 2$'
}

say "without fencing the old write wins"
start fence=off
stale overwrite 5
assert_match "without fencing" 'at once.*released=1 good=1.*block has old' "$out"
stop_mpiscsi

say "with fencing it does not"
start
stale overwrite 8
assert_match "with fencing" 'at once.*released=0 .*lost=1.*block has new' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" "$value" "$((2000 * slow_limits))"
wait_for_log 'session reinstated through' 5
fenced_by 'LOGICAL UNIT RESET'
# Every step is counted.
counted () { mpiscsi show maps --json | jq -r "[.maps[0].fence | $1] | join(\" \")"; }
assert_match "in doubt, had to wait, reinstated, resets" '^([1-9][0-9]* ?){4}$' \
  "$(counted '.in_doubt, .parked, .reinstated, .resets')"
assert_equal "expired inherited pending waiting" "0 0 0 0" "$(counted '.expired, .inherited, .pending, .waiting')"
stop_mpiscsi

say "writes, zeroes and trims that overlap wait; nothing else does"
start
stale flow 2
assert_match "waiting" 'waiting write zero trim, ' "$out"
assert_match "the end" 'released=0 .*blocks have new zero zero old' "$out"
number 'slowest %d ms'
assert_less "delay of what overlaps nothing, ms" "$value" "$((400 * slow_limits))"
number 'meanwhile %d requests'
assert_less "requests meanwhile" 100 "$value"
number 'waited %d ms'
assert_less "the wait, ms" 1999 "$value"
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "fence=reinstate resets nothing"
start fence=reinstate
stale overwrite 8
assert_match "fence=reinstate" 'at once.*lost=1.*block has new' "$out"
fenced_by 'session reinstatement'
assert_not_logged 'LOGICAL UNIT RESET'
stop_mpiscsi

say "fence=hold waits, and says that this is no proof"
start fence=hold fence-timeout=2
stale hold no
number 'overwritten after %d ms'
assert_less "the wait, ms" 1700 "$value"
assert_less "the wait, ms" "$value" "$((2500 * slow_limits))"
# Which is why the ladder has other rungs.
assert_match "fence=hold" 'block has new, ok released=1 good=1.*then block has old' "$out"
wait_for_log 'gave up fencing after 2 s: an old write might still come' 1
assert_not_logged 'LOGICAL UNIT RESET|reinstated through'
say "... but is good for an old write that comes within that time"
stale hold yes
assert_match "fence=hold" 'released=1 good=1.*block has new' "$out"
stop_mpiscsi

say "auto with a portal that never comes back: bounded, with a warning"
start fence-timeout=2
stale hold yes
assert_match "auto" 'released=1 good=1.*block has new' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" "$value" "$((2500 * slow_limits))"
wait_for_log 'gave up fencing after 2 s' 1
assert_equal "sessions given up" 1 "$(counted .expired)"
stop_mpiscsi

say "new connections are refused for a while: a reset needs none"
start fence=lun-reset
stale refused 2
assert_match "refused" 'block has new' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" "$value" "$((1500 * slow_limits))"
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "the other path dies as well, with a write of its own in doubt"
start
stale again "${proxied[1]}"
assert_match "both" 'blocks have new new' "$out"
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "a write that had not reached the target when the unit was reset"
# On a machine that is slow B may have been given up before the reset: once more.
for try in 1 2 3; do
  reset_proxy
  start_mpiscsi "portals=${proxied[0]},${proxied[1]},${proxied[2]}" discovery=off "target=$iqn" \
                lun=1 rr-min-io=1 noop-out-timeout=5
  wait_for_log 'remaining active paths: 3$'
  stale unanswered "${proxied[1]}"
  assert_match "unanswered" 'waited.*released=2 good=[12] .*still old.*blocks have new new' "$out"
  fenced_by 'LOGICAL UNIT RESET'
  stop_mpiscsi
  [[ $out != *"in flight at the reset"* ]] || break
  [ $try != 3 ] || fail "B was given up before the reset, three times"
done

say "many writes in doubt"
start queue-depth=64 rr-min-io=1
stale many 40
assert_match "many" 'blocks have new$' "$out"
number 'caught %d'
assert_less "writes in doubt" 9 "$value"
caught=$value
number 'waiting %d'
assert_equal "writes that wait" "$caught" "$value"
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "SIGTERM with a write in doubt"
start
stale ends "$mpiscsi_pid" no
t0=$(now_ms)
stop_mpiscsi
echo "  ended after $(($(now_ms) - t0)) ms"
wait_for_log 'ends with writes in doubt' 1
say "... and with another one that waits for it"
start
stale ends "$mpiscsi_pid" yes
# ESHUTDOWN; our own front end closes the connection (ENOTCONN) if that is sooner.
assert_match "refused" 'overwrite ended after [0-9]+ ms with errno 10[78]' "$out"
stop_mpiscsi

say "... and with the lost session's portal there: fenced before the end"
start
stale ends "$mpiscsi_pid" no yes
stop_mpiscsi
fenced_by 'LOGICAL UNIT RESET'

say "with CHAP"
tgt_account t 1 someone secret-of-12-chars
start user=someone password=secret-of-12-chars
stale overwrite 8
assert_match "with CHAP" 'at once.*lost=1.*block has new' "$out"
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi
