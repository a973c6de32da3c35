#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The server is stopped for longer than command_timeout, noop_out_timeout and all
# else (SIGSTOP; a container that is frozen, a VM that is paused): the time in
# which it did not run counts for no deadline, and the answers that lie in its
# sockets are read first.  No error, no session lost.
TEST_TIMEOUT=60
. "$(dirname "$0")/../functions.sh"
requires fio --version

simple_target 2 64M
start_mpiscsi portals="$(join_portals "${portal[@]}")" command-timeout=2 noop-out-timeout=1 \
              fast-io-fail-tmo=1
fio_start load --size=32M --iodepth=16 --bs=4k --time_based --runtime=7 --rate_iops=2000
sleep 0.7
assert_fio_runs
mark_log
kill -STOP "$mpiscsi_pid"
sleep 3.5
kill -CONT "$mpiscsi_pid"
fio_finish
assert_not_logged 'session [0-9]+ lost'
assert_not_logged 'timeout'
wait_for_log 'did not run for [0-9.]+ s' 1
