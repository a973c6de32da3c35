#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The target is killed and started again under load, with both portals, and is
# frozen for a while: with no_path_retry = queue no error reaches the client.
# (The page cache keeps what tgtd wrote: nothing acknowledged is lost with it.)
TEST_TIMEOUT=${TEST_TIMEOUT:-75}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires fio --version

simple_target 2 64M
start_mpiscsi portals="$(join_portals "${portal[@]}")" no-path-retry=queue polling-interval=1 \
              noop-out-interval=1 noop-out-timeout=2 command-timeout=5
wait_connected 10 "${portal[@]}"

fio_limit=60
fio_start load --size=64M --time_based --runtime=32 --rate_iops=4000
sleep 1
for i in 1 2; do
  say "tgtd killed, down for 2 s ($i)"
  mark_log
  kill_tgt t
  wait_for_log 'remaining active paths: 0$' 5
  sleep 2
  run_tgt t
  wait_for_log 'remaining active paths: 2$' 15
  assert_fio_runs
done

say "tgtd frozen for 1 s: shorter than any timeout"
mark_log
pause_tgt t
sleep 1
resume_tgt t
sleep 1
assert_not_logged 'Failing path'
assert_fio_runs

# All paths are silent alike: the target is busy, and failing them gains
# nothing (health.h), until the command timeout.
say "tgtd frozen for 4 s, less than command-timeout=5"
pause_tgt t
sleep 4
resume_tgt t
sleep 1
assert_not_logged 'Failing path'
assert_fio_runs

say "tgtd frozen for longer: the paths fail, and come back"
mark_log
pause_tgt t
wait_for_log 'remaining active paths: 0$' 9
sleep 1
mark_log
resume_tgt t
wait_for_log 'remaining active paths: 2$' 15
fio_finish
