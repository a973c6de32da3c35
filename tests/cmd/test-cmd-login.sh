#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's row "iscsiadm --login, node.startup = automatic": one session per
# portal, logged in again by itself after each loss; mpiscsi show sessions
# counts.
TEST_TIMEOUT=${TEST_TIMEOUT:-60}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"

simple_target 2 32M
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1
wait_connected 10 "${portal[@]}"
# column N of the line of a portal's session
session () { mpiscsi show sessions | awk -v p="$1" -v n="$2" 'index($2, p ",") == 1 { print $n }'; }
state_is () { [ "$(session "$1" 3)" = "$2" ]; }

for p in "${portal[@]}"; do
  wait_until 5 state_is "$p" up || fail "$p is not up"
  assert_equal "logins, losses of $p" "1 0" "$(session "$p" 4) $(session "$p" 5)"
  assert_equal "connections of $p" 1 "$(connections "$p")"
done
for round in 1 2 3; do
  say "the target is killed and starts again, $round"
  kill_tgt t
  for p in "${portal[@]}"; do wait_until 5 state_is "$p" wait || fail "$p is still $(session "$p" 3)"; done
  assert_match "why" 'cannot connect: Connection refused|connection closed by the target' "$(mpiscsi show sessions)"
  run_tgt t
  for p in "${portal[@]}"; do
    wait_until 10 state_is "$p" up || fail "$p is not up again"
    assert_equal "logins, losses of $p" "$((round + 1)) $round" "$(session "$p" 4) $(session "$p" 5)"
  done
done
for p in "${portal[@]}"; do assert_equal "connections of $p" 1 "$(connections "$p")"; done
