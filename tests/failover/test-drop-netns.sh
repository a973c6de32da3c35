#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The how-to's own failure: iptables -j DROP of one portal under load, in a
# network namespace; then a pulled cable.  No error; the stall is bounded; the
# path is reinstated when the network is back.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires fio --version

make_net 2
simple_target 2 64M
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1 \
              noop-out-interval=1 noop-out-timeout=2 login-timeout=2
wait_connected 10 "${portal[@]}"

fio_limit=70
fio_start load --size=64M --time_based --runtime=40 --rate_iops=1500
sleep 1
say "DROP ${portal[0]}"
mark_log
drop_portal "${portal[0]}"
wait_path_down "${portal[0]}" 8
wait_for_log 'remaining active paths: 1$' 2
sleep 4
assert_fio_runs
assert_not_logged "$(quote_re "${portal[0]}"): reinstated"
say "the rule is removed"
mark_log
undrop_portal "${portal[0]}"
wait_path_up "${portal[0]}" 10
wait_for_log 'remaining active paths: 2$' 2
assert_fio_runs

say "cable of ${portal[1]} pulled"
mark_log
cable_down 1
wait_path_down "${portal[1]}" 8
sleep 2
assert_fio_runs
say "plugged in again"
mark_log
cable_up 1
wait_path_up "${portal[1]}" 10
assert_fio_runs

say "REJECT with a reset"
mark_log
reject_portal "${portal[0]}"
wait_path_down "${portal[0]}" 8
unreject_portal "${portal[0]}"
wait_path_up "${portal[0]}" 10
fio_finish
# noop-out-interval + noop-out-timeout, and then the commands go elsewhere.
assert_less "longest stall in ms" "$(fio_stall_ms load)" $((6000 * slow_limits))
