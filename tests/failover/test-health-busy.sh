#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The target is busy for 20 s (SIGSTOP of tgtd; the kernel goes on
# acknowledging): no path is failed, no session is lost, nothing but a stall
# reaches the client.  Then several short ones, since the moment in which it
# wakes up, and one path answers before the others, is the dangerous one.
TEST_TIMEOUT=${TEST_TIMEOUT:-200}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows busy busy-short busy-large

pick_portals 2
health_target
paths=("${portal[@]}")
serve

if wanted busy; then
  begin_row busy
  pause_tgt t
  sleep 20
  assert_load_runs
  assert_no_loss
  resume_tgt t
  sleep 3
  end_row 0
  assert_no_loss
  assert_less "ms of the stall, lower bound" 19000 "$(load_value 'round (r["longest_ms"])')"
fi

if wanted busy-short; then
  begin_row busy-short
  for _ in 1 2 3 4 5; do
    pause_tgt t
    sleep 4
    resume_tgt t
    sleep 1
  done
  end_row 0
  assert_no_loss
  assert_less "ms of the stalls, lower bound" 3900 "$(load_value 'round (r["longest_ms"])')"
fi

if wanted busy-large; then
  # So much to write that the target's window closes: what is unacknowledged
  # then waits for the target's program, not for the network.
  load_rate=200 begin_row busy-large --block-size 262144 --size 67108864 --read-percent 20
  pause_tgt t
  sleep 20
  assert_load_runs
  assert_no_loss
  resume_tgt t
  sleep 3
  end_row 0
  assert_no_loss
fi
