#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# One portal refuses (REJECT with a reset, REJECT with an ICMP error), or its
# host is gone (veth down), under load.  Limits: no request takes longer than
# 1.5 s; reinstated within 6 s of the repair.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows reject-reset reject-icmp cable

make_net 2
health_target
paths=("${portal[@]}")
serve

break_reject_reset () { reject_portal "$1"; }
repair_reject_reset () { unreject_portal "$1"; }
break_reject_icmp () { "${client_ns[@]}" iptables -w -I OUTPUT -p tcp -d "${1%:*}" -j REJECT; }
repair_reject_icmp () { "${client_ns[@]}" iptables -w -D OUTPUT -p tcp -d "${1%:*}" -j REJECT; }
break_cable () { cable_down 0; }
repair_cable () { cable_up 0; }
i=0
for how in reject-reset reject-icmp cable; do
  p=${paths[i]}
  i=$((1 - i))
  wanted $how || continue
  [ $how != cable ] || p=${paths[0]}
  begin_row $how
  "break_${how/-/_}" "$p"
  wait_path_down "$p" 10
  sleep 6
  assert_load_runs
  assert_not_logged "$(quote_re "$p"): reinstated"
  mark_log
  "repair_${how/-/_}" "$p"
  repaired
  wait_reinstated "$p"
  end_row 1500 6000
done
