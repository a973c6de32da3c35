#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The LUN behind one path is unmapped (25/00 LOGICAL UNIT NOT SUPPORTED), or
# another disk answers there (the WWID changed: told by UNIT ATTENTION 3F/0E, or
# found at the next login).  No stall, no error, the path is out, loudly, nothing
# is written there any more; and it is back when all is right again.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows unmapped identity identity-login unmapped-late

proxied_target 2
serve
other=600000000000000000000000deadbeef
assert_unused () { # PATH: nothing is sent there
  local n
  n=$(path_ios "$1")
  sleep "$(long 2 0.5)"
  assert_equal "I/O on the path that is out" "$n" "$(path_ios "$1")"
  assert_load_runs
}

if wanted unmapped; then
  begin_row unmapped
  ctl 0 inject 02 05 25 00 -1
  wait_path_down "${paths[0]}" 5
  assert_unused 0
  mark_log
  ctl 0 inject off
  repaired
  wait_reinstated "${paths[0]}" 30
  end_row 50 6000
fi

if wanted identity; then
  begin_row identity
  # As a target does it: the new data, and a UNIT ATTENTION.
  ctl 1 wwid $other
  ctl 1 inject 02 06 3f 0e 1
  wait_path_down "${paths[1]}" 5
  wait_for_log "$(quote_re "${paths[1]}").*(another disk|not used any more)" 2
  assert_unused 1
  mark_log
  ctl 1 wwid off
  repaired
  wait_reinstated "${paths[1]}" 30
  end_row 50 6000
fi

if wanted identity-login; then
  begin_row identity-login
  ctl 0 wwid $other
  ctl 0 cut rst
  wait_path_down "${paths[0]}" 5
  wait_for_log "$(quote_re "${paths[0]}").*(another disk|not used any more)" 10
  assert_not_logged "$(quote_re "${paths[0]}"): reinstated"
  assert_unused 0
  mark_log
  ctl 0 wwid off
  repaired
  wait_reinstated "${paths[0]}" 30
  end_row 50 6000
fi

if wanted unmapped-late; then
  # The adaptive interval of the checker has grown from 1 s to 16 s: a change
  # makes it short again.
  stop_mpiscsi
  serve polling-interval=1 max-polling-interval=20
  sleep "$(long 15 5)"
  begin_row unmapped-late
  ctl 0 inject 02 05 25 00 -1
  wait_path_down "${paths[0]}" 5
  sleep 0.5
  mark_log
  ctl 0 inject off
  repaired
  wait_reinstated "${paths[0]}" 30
  # One polling interval, and the identification.
  end_row 50 2000
fi
