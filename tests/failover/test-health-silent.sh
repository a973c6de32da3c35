#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# One portal takes what TCP brings, and never answers: the proxy in front of it
# is stopped (SIGSTOP), or goes on reading and swallows every PDU.  Limits: no
# request takes longer than 3 s; reinstated within 6 s of the repair.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows stopped swallowed

proxied_target 2
serve

if wanted stopped; then
  begin_row stopped
  kill -STOP "${proxy_pid[0]}"
  wait_path_down "${paths[0]}" 10
  sleep "$(long 8 1.5)"         # a login or two find nobody
  assert_load_runs
  assert_not_logged "$(quote_re "${paths[0]}"): reinstated"
  mark_log
  kill -CONT "${proxy_pid[0]}"
  repaired
  wait_reinstated "${paths[0]}"
  end_row 3000 6000
fi

if wanted swallowed; then
  begin_row swallowed
  ctl 1 drop both on
  wait_path_down "${paths[1]}" 10
  sleep "$(long 8 1.5)"
  assert_load_runs
  assert_not_logged "$(quote_re "${paths[1]}"): reinstated"
  mark_log
  ctl 1 drop both off
  repaired
  wait_reinstated "${paths[1]}"
  end_row 3000 6000
fi
