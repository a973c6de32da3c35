#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The network to one portal is silent: iptables -j DROP of what goes out, of
# what comes in, and of both, under load.  Limits: no request takes longer than
# 1.5 s; reinstated within 6 s of the end of the rule.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows drop-outgoing drop-incoming drop-both

make_net 2
health_target
paths=("${portal[@]}")
serve

rules () { # -I|-D DIRECTION PORTAL
  local ip=${3%:*}
  if [ "$2" != incoming ]; then "${client_ns[@]}" iptables -w "$1" OUTPUT -d "$ip" -j DROP; fi
  if [ "$2" != outgoing ]; then "${client_ns[@]}" iptables -w "$1" INPUT -s "$ip" -j DROP; fi
}
i=0
for direction in outgoing incoming both; do
  wanted drop-$direction || continue
  p=${paths[i]}
  begin_row drop-$direction
  rules -I $direction "$p"
  wait_path_down "$p" 10
  sleep 6
  assert_load_runs
  assert_not_logged "$(quote_re "$p"): reinstated"
  mark_log
  rules -D $direction "$p"
  repaired
  wait_reinstated "$p"
  end_row 1500 6000
  i=$((1 - i))
done
