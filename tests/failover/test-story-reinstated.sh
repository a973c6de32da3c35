#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's row "after the rule is removed": checker reports path is up,
# reinstated, remaining active paths: 2, in that order, each once, within one
# polling interval, whichever portal was dropped and for however long.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"

interval=4
make_net 2
simple_target 2 32M
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=$interval path-checker=directio \
              noop-out-interval=1 noop-out-timeout=1 login-timeout=2
wait_connected 10 "${portal[@]}"
wait_for_log 'remaining active paths: 2$'

round () { # PORTAL SECONDS
  local p; p=$(quote_re "$1")
  say "DROP $1, for $2 s more than it takes to notice"
  mark_log
  drop_portal "$1"
  wait_path_down "$1" 10
  wait_for_log 'remaining active paths: 1$' 2
  sleep "$2"
  assert_not_logged 'checker reports path is up|reinstated'
  mark_log
  local t0; t0=$(now_ms)
  undrop_portal "$1"
  wait_for_log 'remaining active paths: 2$' $((interval + 2))
  local ms=$(($(now_ms) - t0))
  echo "reinstated after $ms ms"
  # wait_for_log looks ten times a second.
  assert_less "milliseconds until it was reinstated" $ms $(((interval * 1000 + 300) * slow_limits))
  assert_equal "the three facts, in order" \
    "$wwid: $1 - directio checker reports path is up"$'\n'"$1: reinstated"$'\n'"$wwid: remaining active paths: 2" \
    "$(new_log | sed -n "s/^mpiscsi: //; /$p - .*checker reports/p; /$p: reinstated/p; /remaining active/p")"
}
round "${portal[1]}" 0
round "${portal[0]}" 5
round "${portal[1]}" 12
