#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In-doubt write fencing, when the old write is inside the target already: its
# backing store hangs for that one write (frozen-store.c), the path dies, the
# write is sent again on the other path and acknowledged, the client
# overwrites, and then the store goes on with the old one.
#
# tgt does not wait for such a write when the session is reinstated, but its
# answer to LOGICAL UNIT RESET does.
TEST_TIMEOUT=120
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-stale.sh
. "$testsdir/functions-stale.sh"
requires command -v "${CC:-cc}"

freeze=$tmpdir/store
mkdir "$freeze"
"${CC:-cc}" -O2 -Wall -Werror -shared -fPIC -o "$tmpdir/frozen-store.so" \
  "$testsdir/fake/frozen-store.c" -ldl || fail "cannot compile frozen-store.c"

pick_portals 2
make_disk "$tmpdir/disk" 64M
target_ns=(env "LD_PRELOAD=$tmpdir/frozen-store.so" "FROZEN_STORE=$freeze" FROZEN_OFFSET=4096)
start_tgt t "${portal[@]}"
target_ns=()
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk"
# The portal group stays unknown, so that nothing but the lost portal itself will
# do (server/iscsi/portal-group.c).
start_proxy --hide-group "${portal[@]}"
start () {
  reset_proxy
  # A alone is used until it dies: it is there first.
  ctl at "${proxied[1]}" refuse on >/dev/null
  start_mpiscsi "portals=${proxied[0]},${proxied[1]}" discovery=off "target=$iqn" lun=1 \
                path-grouping-policy=failover "$@"
  ctl reset >/dev/null
  wait_for_log 'remaining active paths: 2$'
}

say "without fencing the old write wins"
start fence=off
stale overwrite 3
assert_match "without fencing" 'at once.*block has old' "$out"
stop_mpiscsi

say "reinstatement is not enough for this target"
start fence=reinstate
stale overwrite 3
assert_match "fence=reinstate" 'at once.*block has old' "$out"
stop_mpiscsi

say "by default the unit is reset, and the overwrite waits for the answer"
start
stale overwrite 3
assert_match "by default" 'waited.*block has new' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" 2999 "$value"
wait_for_log 'LOGICAL UNIT RESET through' 1
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "fence=lun-reset does it too"
start fence=lun-reset
stale overwrite 3
assert_match "fence=lun-reset" 'waited.*block has new' "$out"
assert_not_logged 'reinstated through'
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "other I/O stops for the reset, but not for longer than 5 s"
start fence-timeout=20
stale frozen_flow 8
assert_match "the end" 'block has new' "$out"
number 'slowest %d ms'
assert_less "delay of what overlaps nothing, ms" "$value" "$((6500 * slow_limits))"
number 'meanwhile %d requests'
assert_less "requests meanwhile" 100 "$value"
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "fence-timeout is for who waits: it does not end while nobody does"
start fence-timeout=3
stale patient 5
assert_match "patient" 'waited.*block has new' "$out"
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "a store that hangs for longer than fence-timeout"
start fence-timeout=2
stale overwrite 30
assert_match "fence-timeout" 'at once' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" 1700 "$value"
assert_less "the wait, ms" "$value" "$((3500 * slow_limits))"
wait_for_log 'gave up fencing after 2 s: an old write might still come' 1
stop_mpiscsi

say "the server is killed while the store hangs: the next one waits for it"
start
stale killed "$mpiscsi_pid"
forget_killed
start
stale successor 3
assert_match "killed" 'waited.*block has new' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" 2999 "$value"
wait_for_log 'a server before was killed' 1
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "... but not without fencing"
start
stale killed "$mpiscsi_pid"
forget_killed
start fence=off
stale successor 3
assert_match "fence=off" 'at once.*block has old' "$out"
stop_mpiscsi
