#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The target is busy (SIGSTOP of tgtd; the kernel goes on
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
serve "${quick_times[@]}"

if wanted busy; then
  begin_row busy
  pause_tgt t
  sleep "$(long 20 4)"
  assert_load_runs
  assert_no_loss
  resume_tgt t
  sleep "$(long 3 1)"
  end_row 0
  assert_no_loss
  assert_less "ms of the stall, lower bound" "$(long 19000 3900)" "$(load_value 'round (r["longest_ms"])')"
fi

if wanted busy-short; then
  begin_row busy-short
  for ((i = 0; i < $(long 5 2); i++)); do
    pause_tgt t
    sleep "$(long 4 1.5)"
    resume_tgt t
    sleep "$(long 1 0.5)"
  done
  end_row 0
  assert_no_loss
  assert_less "ms of the stalls, lower bound" "$(long 3900 1400)" "$(load_value 'round (r["longest_ms"])')"
fi

if wanted busy-large; then
  # So much to write that the target's window closes: what is unacknowledged
  # then waits for the target's program, not for the network.
  load_rate=200 begin_row busy-large --block-size 262144 --size 67108864 --read-percent 20
  pause_tgt t
  sleep "$(long 20 4)"
  assert_load_runs
  assert_no_loss
  resume_tgt t
  sleep "$(long 3 1)"
  end_row 0
  assert_no_loss
fi
