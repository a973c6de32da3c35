#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A path that comes and goes is put aside, is tried again later, and costs
# nothing meanwhile; the last one is never put aside.  san_path_err_* and
# marginal_path_* as in multipath.conf.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows san-path-err marginal last-path

aside () { _in_log "$(quote_re "${paths[$1]}"): path is up, but has failed too often: put aside"; }
cut_once () { # PATH
  mark_log
  ctl "$1" cut rst
  wait_path_down "${paths[$1]}" 5
}
# Until it is put aside; sets $cuts.
flap () { # PATH MOST
  for ((cuts = 1; cuts <= $2; cuts++)); do
    cut_once "$1"
    wait_until 10 aside_or_up "$1" || fail "the path is neither up nor aside"
    if aside "$1"; then return 0; fi
  done
  fail "not put aside after $2 failures"
}
aside_or_up () { aside "$1" || _in_log "$(quote_re "${paths[$1]}"): reinstated\$"; }
assert_idle () { # PATH SECONDS
  local n
  n=$(path_ios "$1")
  sleep "$2"
  assert_equal "I/O of the load on the path that is aside" "$n" "$(path_ios "$1")"
}

proxied_target 2
if wanted san-path-err; then
  serve san-path-err-threshold=2 san-path-err-forget-rate=10 san-path-err-recovery-time=6
  begin_row san-path-err
  flap 0 6
  t0=$(now_ms)
  assert_equal "failures until it is put aside, with a threshold of 2" 3 "$cuts"
  assert_idle 0 3
  wait_for_log "$(quote_re "${paths[0]}"): reinstated\$" 10
  ms=$(($(now_ms) - t0))
  echo "put aside for $ms ms"
  assert_less "ms aside, of 6000" 5000 "$ms"
  end_row 50
  stop_mpiscsi
fi

if wanted marginal; then
  serve marginal-path-double-failed-time=30 marginal-path-err-sample-time=3 \
        marginal-path-err-rate-threshold=100 marginal-path-err-recheck-gap-time=3
  begin_row marginal
  flap 1 4
  assert_equal "failures until it is put aside" 2 "$cuts"
  # While it is measured the reads fail: it stays aside, and is
  # measured again when they are good.
  ctl 1 inject 02 0b 00 00 -1 read
  assert_load_runs
  sleep 4
  assert_not_logged "$(quote_re "${paths[1]}"): reinstated"
  ctl 1 inject off
  wait_for_log "$(quote_re "${paths[1]}"): reinstated\$" 15
  end_row 50
  stop_mpiscsi
fi

if wanted last-path; then
  serve san-path-err-threshold=1 san-path-err-forget-rate=100 san-path-err-recovery-time=60 no-path-retry=queue
  begin_row last-path
  ctl 1 refuse on
  ctl 1 cut rst
  for _ in 1 2 3 4; do
    cut_once 0
    wait_for_log "$(quote_re "${paths[0]}"): reinstated\$" 10
  done
  assert_load_runs
  # Put aside while another one was there, and then that one goes.
  mark_log
  ctl 1 refuse off
  wait_until 10 aside_or_up 1 || fail "path 1 does not come back"
  cut_once 0
  wait_until 10 aside 0 || fail "path 0 is not put aside, with path 1 there"
  ctl 1 refuse on
  cut_once 1
  wait_for_log "$(quote_re "${paths[0]}"): reinstated\$" 10
  # Without a path the load has to wait: as long as a login takes.
  end_row 3000
fi
