#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# SIGTERM ends the server within 5 s: when idle, with a client connected, and
# with all paths dead and I/O queued for ever.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"

simple_target 2 32M
portals=$(join_portals "${portal[@]}")
client () { # connects, says so, reads until it fails
  background "$tmpdir/$1.log" nbdsh -u "$uri" -c '
import sys
print("connected", flush=True)
while True:
    h.pread(4096, 0)'
  client_pid=$!
  cleanup_fn end_process "$client_pid"
  wait_until 10 grep -q connected "$tmpdir/$1.log" || fail "the client did not connect"
}
timed_stop () {
  local t0
  t0=$(now_ms)
  stop_mpiscsi 5
  echo "ended after $(($(now_ms) - t0)) ms"
}

say "idle"
start_mpiscsi portals="$portals" no-path-retry=queue
timed_stop

say "client at work"
start_mpiscsi portals="$portals" no-path-retry=queue
client busy
timed_stop
wait_until 5 gone "$client_pid" || fail "the client still runs"

say "all paths refused, I/O queued"
start_mpiscsi portals="$portals" no-path-retry=queue polling-interval=1
client queued
kill_tgt t
wait_for_log 'remaining active paths: 0$' 5
sleep 1
is_running "$client_pid" || fail "the client's request was not queued"
timed_stop
run_tgt t

say "target frozen: no answer and no reset either"
start_mpiscsi portals="$portals" no-path-retry=queue
client frozen
pause_tgt t
sleep 0.5
timed_stop
resume_tgt t

say "target frozen, all paths failed, logins under way"
start_mpiscsi portals="$portals" no-path-retry=queue command-timeout=2 polling-interval=1
client logins
pause_tgt t
wait_for_log 'remaining active paths: 0$' 8
sleep 1
is_running "$client_pid" || fail "the client's request was not queued"
timed_stop
resume_tgt t
