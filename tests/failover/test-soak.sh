#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Random writes, read back and verified (crc32c), for SOAK_SECONDS, while a
# path is killed every 2 s: no error, no mismatch.
SOAK_SECONDS=${SOAK_SECONDS:-15}
TEST_TIMEOUT=${TEST_TIMEOUT:-$((SOAK_SECONDS * 2 + 45))}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires fio --version

simple_target 2 128M
requires_kill_tcp "${portal[0]}"
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1
wait_connected 10 "${portal[@]}"

fio_limit=$((SOAK_SECONDS + 40))
fio_start soak --size=128M --time_based --runtime="$SOAK_SECONDS" --bsrange=4k-64k --iodepth=16
sleep 1
kills=0
end=$(($(now_ms) + (SOAK_SECONDS - 4) * 1000))
while [ "$(now_ms)" -lt "$end" ]; do
  p=${portal[kills % 2]}
  mark_log
  t0=$(now_ms)
  # In turn: a reset, and a portal that also refuses for a second.
  if [ $((kills / 2 % 2)) = 0 ]; then
    kill_tcp "$p" || fail "no connection to $p"
  else
    lose_portal t "$p"
    sleep 1
    tgt_add_portal t "$p"
  fi
  kills=$((kills + 1))
  wait_path_down "$p" 5
  # The other one is next, so this one must be back.
  wait_path_up "$p" 10
  assert_fio_runs
  rest=$((2000 - ($(now_ms) - t0)))
  if [ $rest -gt 0 ]; then sleep "$((rest / 1000)).$(printf %03d $((rest % 1000)))"; fi
done
fio_finish
echo "paths killed: $kills"
assert_less "kills, one every 2 s with some room" $(((SOAK_SECONDS - 4) / 4 / slow_limits)) "$kills"
