#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# TCP connections are killed under load, once by the kernel (ss -K: a reset)
# and once together with the listening socket: no error, the path fails, comes
# back by itself and is used again.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires fio --version

simple_target 2 64M
requires_kill_tcp "${portal[0]}"
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1
wait_connected 10 "${portal[@]}"

fio_limit=50
fio_start load --size=64M --time_based --runtime=12
sleep 1
for p in "${portal[@]}"; do
  say "reset of the connection to $p"
  mark_log
  kill_tcp "$p" || fail "there was no connection to $p"
  wait_path_down "$p" 5
  wait_for_log 'remaining active paths: 1$' 2
  wait_path_up "$p" 10
  wait_for_log 'remaining active paths: 2$' 2
  assert_fio_runs
done

say "portal gone for 2 s: refused, then back"
mark_log
lose_portal t "${portal[0]}"
wait_path_down "${portal[0]}" 5
sleep 2
assert_equal "connections to the lost portal" 0 "$(connections "${portal[0]}")"
assert_fio_runs
tgt_add_portal t "${portal[0]}"
wait_path_up "${portal[0]}" 10
before=$(path_bytes "${portal[0]}")
sleep 1
assert_less "bytes over the path before and after it was reinstated" \
            $((before + (1 << 20))) "$(path_bytes "${portal[0]}")"
fio_finish
# The login back-off must not be felt by the client: the other path took over.
assert_less "longest stall in ms" "$(fio_stall_ms load)" $((2000 * slow_limits))
