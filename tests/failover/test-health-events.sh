#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What a target does by itself, under load: asks for a logout, drops a session,
# redirects a login, raises UNIT ATTENTIONs, answers BUSY and TASK SET FULL,
# changes its capacity.  No error reaches the client.
TEST_TIMEOUT=${TEST_TIMEOUT:-180}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows logout drop-session attention busy-status task-set-full redirect capacity

proxied_target 2
serve

if wanted logout; then
  begin_row logout
  ctl 0 async 1
  wait_path_down "${paths[0]}" 5
  wait_reinstated "${paths[0]}"
  end_row 50 2000
fi

if wanted drop-session; then
  begin_row drop-session
  ctl 1 async 3
  wait_path_down "${paths[1]}" 5
  wait_reinstated "${paths[1]}"
  end_row 50 2000
fi

if wanted attention; then
  begin_row attention
  for ua in "29 00" "2a 09" "2a 06" "3f 0e" "3f 03"; do
    for i in 0 1; do
      # shellcheck disable=SC2086
      ctl $i inject 02 06 $ua 3 write
      sleep 0.3
    done
  done
  sleep 1
  for i in 0 1; do
    assert_equal "UNIT ATTENTIONs of path $i" 15 "$(proxy_stat $i injected)"
  done
  end_row 50
  assert_no_loss
fi

if wanted busy-status; then
  begin_row busy-status
  before=$(proxy_stat 0 injected)
  ctl 0 inject 08 0 0 0 40
  sleep 3
  assert_equal "BUSY that was sent" 40 $(($(proxy_stat 0 injected) - before))
  assert_no_loss
  # Each of the 16 outstanding may get it a few times, 100 ms apart.
  end_row 1000
fi

if wanted task-set-full; then
  # With every answer 20 ms late, what is done in a second tells how many are
  # in flight.  As fast as possible, since the depth is what is looked at.
  for i in 0 1; do ctl $i delay-answers 20 any; done
  load_rate=0 begin_row task-set-full
  sleep 1
  in_flight () { # FROM TO: average, of both sessions (now_ms () clock)
    python3 - "$tmpdir/load.json" "$tmpdir/load.txt" "$@" <<'PY'
import json, sys
start = json.load(open(sys.argv[1]))["start_epoch_ms"]
begin, end = (float(x) for x in sys.argv[3:])
n = 0
for line in open(sys.argv[2]):
    t, ms = (float(x) for x in line.split()[:2])
    n += begin <= start + 1000 * t + ms < end
print(round(n * 20 / (end - begin)))
PY
  }
  full_at=$(now_ms)
  for i in 0 1; do ctl $i inject 28 0 0 0 30 any; done
  sleep 6
  assert_no_loss
  for i in 0 1; do ctl $i delay-answers 0; done
  over=$(now_ms)
  end_row 2000
  before=$(in_flight $((full_at - 1000)) "$full_at")
  least=$(in_flight $((full_at + 100)) $((full_at + 500)))
  after=$(in_flight $((over - 1500)) "$over")
  echo "in flight: $before before, $least after TASK SET FULL, $after 4.5 s later"
  assert_less "in flight after TASK SET FULL (before: $before)" "$least" $((before * 7 / 10))
  assert_less "in flight later (before: $before)" $((before * 7 / 10)) "$after"
fi

if wanted redirect; then
  begin_row redirect
  ctl 0 redirect "${portal[0]}" 1
  ctl 0 cut rst
  wait_path_down "${paths[0]}" 5
  wait_for_log "$(quote_re "${paths[0]}"): target .* redirects to $(quote_re "${portal[0]}")" 5
  wait_reinstated "${paths[0]}"
  assert_equal "connections to where it was sent" 1 "$(("$(connections "${portal[0]}")"))"
  end_row 50 2000
  # And after the next loss it is the configured portal again.
  mark_log
  tgt_del_portal t "${portal[0]}"
  kill_tcp "${portal[0]}" || :
  tgt_add_portal t "${portal[0]}"
  if [ "$(count_log "Failing path $(quote_re "${paths[0]}")")" != 0 ]; then
    wait_path_up "${paths[0]}" 10
    wait_connected 5 "${paths[0]}"
  fi
fi

both_active () { [[ $(grep 'remaining active paths' "$mpiscsi_log" | tail -n 1) = *' 2' ]]; }
if wanted capacity; then
  stop_mpiscsi
  serve
  begin_row capacity
  assert_equal "size at first" $((64 << 20)) "$(nbd_size)"
  for i in 0 1; do ctl $i capacity $((48 << 11)); done
  for i in 0 1; do ctl $i inject 02 06 2a 09 1; done
  wait_for_log "capacity changed from $((64 << 11)) to $((48 << 11)) blocks" 10
  assert_equal "size for a new connection" $((48 << 20)) "$(nbd_size)"
  # Until it was read through both, one of them may be out.
  wait_until 10 both_active || fail "a path does not come back"
  for i in 0 1; do ctl $i capacity off; done
  for i in 0 1; do ctl $i inject 02 06 2a 09 1; done
  wait_for_log "capacity changed from $((48 << 11)) to $((64 << 11)) blocks" 10
  assert_equal "size for a new connection" $((64 << 20)) "$(nbd_size)"
  wait_until 10 both_active || fail "a path does not come back"
  end_row 50
fi
