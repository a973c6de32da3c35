#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# All paths are lost under load and come back in time: recovery mode with the
# known log lines, no error, what was queued goes out in order; too late: errors.
# Then path groups: switch, failback immediate, manual and after some seconds.
TEST_TIMEOUT=${TEST_TIMEOUT:-180}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows in-time too-late order failover-immediate failover-manual failover-deferred

lose_both () { for i in 0 1; do ctl $i refuse on; ctl $i cut rst; done; }
both_back () { for i in 0 1; do ctl $i refuse off; done; }

if wanted in-time || wanted too-late; then proxied_target 2; fi
if wanted in-time; then
  serve no-path-retry=5
  begin_row in-time
  lose_both
  wait_for_log "$wwid: Entering recovery mode: max_retries=5\$" 5
  assert_equal "times that recovery mode was entered" 1 "$(count_log "Entering recovery mode")"
  wait_for_log "remaining active paths: 0\$" 5
  sleep 6
  assert_load_runs
  both_back
  repaired
  wait_for_log "$wwid: Recovered to normal mode\$" 10
  wait_reinstated "${paths[0]}"
  wait_reinstated "${paths[1]}"
  assert_not_logged "Disable queueing"
  # As long as the loss, and then as long as it takes to log in.
  end_row 9000 6000
  stop_mpiscsi
fi

if wanted too-late; then
  serve no-path-retry=2 polling-interval=1
  begin_row too-late
  lose_both
  wait_for_log "$wwid: Entering recovery mode: max_retries=2\$" 5
  entered=$(now_ms)
  wait_for_log "$wwid: Disable queueing\$" 10
  queued=$(($(now_ms) - entered))
  sleep 1
  stop_load
  echo "row too-late: queueing ended after $queued ms, errors $(load_value 'r["errors"]'), longest $(load_value 'r["longest_ms"]') ms"
  assert_less "ms of queueing, 2 intervals of 1 s" 1500 "$queued"
  assert_less "ms of queueing, 2 intervals of 1 s" "$queued" $((4000 * slow_limits))
  assert_less "errors after that" 0 "$(load_value 'r["errors"]')"
  assert_equal "requests without an answer" 0 "$(load_value 'r["unanswered"]')"
  mark_log
  both_back
  wait_path_up "${paths[0]}" 10
  wait_path_up "${paths[1]}" 10
  nbdsh -u "$uri" -c 'h.pwrite(b"x" * 4096, 0); assert h.pread(4096, 0) == b"x" * 4096'
  stop_mpiscsi
fi

if wanted order; then
  # Write number i covers the blocks i, i + 1, ... up to the last: block i has
  # the i-th at the end only if all went out in order.  This target executes
  # one command after the other, as they come.
  say "row order"
  fake_target=${FAKE_TARGET:-$top_builddir/tests/fake/fake-iscsi-target}
  [ -x "$fake_target" ] || fail "there is no $fake_target: run make check"
  run_fake () {
    : >"$tmpdir/fake.log"
    background "$tmpdir/fake.log" "$fake_target" --listen "${portal[0]}" --file "$tmpdir/fake.disk"
    fake_pid=$!
    cleanup_fn _tgt_end "$fake_pid"
    wait_until 5 grep -q '^ready' "$tmpdir/fake.log" || fail "fake-iscsi-target: $(<"$tmpdir/fake.log")"
  }
  pick_portals 1
  run_fake
  start_mpiscsi portals="${portal[0]}" no-path-retry=queue polling-interval=1
  wait_connected 10 "${portal[0]}"
  mark_log
  kill -KILL "$fake_pid"
  wait "$fake_pid" 2>/dev/null || :
  wait_for_log 'remaining active paths: 0$' 5
  cat >"$tmpdir/order.py" <<'PY'
import nbd, sys, time
h = nbd.NBD()
h.connect_uri(sys.argv[1])
n = 15                                  # nbdkit has 16 threads
cookies = []
for i in range(n):
    data = bytes([i + 1]) * (4096 * (n - i))
    cookies.append(h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), 4096 * i))
    end = time.time() + 0.05            # so that nbdkit has taken this one
    while time.time() < end:
        h.poll(10)
print("queued", flush=True)
end = time.time() + 30
while not all(h.aio_command_completed(c) for c in list(cookies)):
    if time.time() > end:
        sys.exit("not answered")
    h.poll(100)
    cookies = [c for c in cookies if not h.aio_command_completed(c)]
found = [h.pread(4096, 4096 * i) for i in range(n)]
print("order:", " ".join(str(b[0]) if len(set(b)) == 1 else "mixed" for b in found))
PY
  background "$tmpdir/order.out" python3 "$tmpdir/order.py" "$uri"
  order_pid=$!
  cleanup_fn _tgt_end "$order_pid"
  wait_until 10 grep -q queued "$tmpdir/order.out" || fail "client: $(<"$tmpdir/order.out")"
  sleep 0.5
  is_running "$order_pid" || fail "queued writes ended: $(<"$tmpdir/order.out")"
  run_fake
  wait_until 30 gone "$order_pid" || fail "queued writes do not go out"
  cat "$tmpdir/order.out"
  assert_match "writes that were queued" "order: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\$" "$(<"$tmpdir/order.out")"
  stop_mpiscsi
fi

#---- path groups --------------------------------------------------------------
one_group=yes                   # only one of the paths carries the load
group_of () { # which path carries the load now: sets $used
  local a b
  a=$(path_ios 0); b=$(path_ios 1)
  sleep 0.5
  a=$(($(path_ios 0) - a)); b=$(($(path_ios 1) - b))
  used=neither
  if [ "$a" -gt 50 ] && [ "$b" = 0 ]; then used=0; fi
  if [ "$b" -gt 50 ] && [ "$a" = 0 ]; then used=1; fi
  if [ "$a" -gt 0 ] && [ "$b" -gt 0 ]; then used=both; fi
}
start_groups () {
  if [ ${#proxied[@]} = 0 ]; then proxied_target 2; fi
  serve path-grouping-policy=failover failback="$1"
  wait_for_log 'remaining active paths: 2$' 5
  mark_log
}
lose_first () {
  group_of; first=$used
  assert_match "path that is used at first" '^[01]$' "$first"
  second=$((1 - first))
  ctl "$first" refuse on
  ctl "$first" cut rst
  wait_for_log "$wwid: switch to path group #2\$" 5
  group_of
  assert_equal "path that is used after the first was lost" $second "$used"
  ctl "$first" refuse off
  repaired
  wait_reinstated "${paths[first]}"
}
if wanted failover-immediate; then
  start_groups immediate
  begin_row failover-immediate
  lose_first
  wait_for_log "$wwid: switch to path group #1\$" 2
  group_of
  assert_equal "path that is used after failback" "$first" "$used"
  end_row 50 6000
  stop_mpiscsi
fi
if wanted failover-manual; then
  start_groups manual
  begin_row failover-manual
  lose_first
  sleep 2
  group_of
  assert_equal "path that is used without failback" $second "$used"
  assert_not_logged "switch to path group #1"
  end_row 50 6000
  stop_mpiscsi
fi
if wanted failover-deferred; then
  start_groups 3
  begin_row failover-deferred
  lose_first
  sleep 1.5
  group_of
  assert_equal "path that is used before the failback" $second "$used"
  wait_for_log "$wwid: switch to path group #1\$" 4
  group_of
  assert_equal "path that is used after failback" "$first" "$used"
  end_row 50 6000
fi
