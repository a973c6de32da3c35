#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# No path is left: no_path_retry = fail, queue, and a number of polling
# intervals.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"

simple_target 2 32M
portals=$(join_portals "${portal[@]}")

write_block () { # N: a block of bytes N at offset N * 4096; the errno if refused
  nbdsh -u "$uri" -c "
try:
    h.pwrite(bytes([$1]) * 4096, $1 * 4096); h.flush()
    print('written')
except nbd.Error as e:
    print(e.errno)" 2>&1
}
assert_block () { # N
  nbdsh -u "$uri" -c "assert h.pread(4096, $1 * 4096) == bytes([$1]) * 4096"
}
lose_all () {
  kill_tgt t
  wait_for_log 'remaining active paths: 0$' 5
}
heal () {
  mark_log
  run_tgt t
  wait_for_log 'reinstated$' 10
}

say "fail: an error at once, and good again when a path is back"
start_mpiscsi portals="$portals" no-path-retry=fail polling-interval=1
assert_equal "write with all paths" written "$(write_block 1)"
lose_all
t0=$(now_ms)
assert_equal "write without a path" EIO "$(write_block 2)"
assert_less "ms until the error" $(($(now_ms) - t0)) $((3000 * slow_limits))
heal
assert_equal "write after a path came back" written "$(write_block 3)"
assert_block 1; assert_block 3
stop_mpiscsi

say "queue: waits as long as it takes"
start_mpiscsi portals="$portals" no-path-retry=queue polling-interval=1
assert_equal "write with all paths" written "$(write_block 4)"
lose_all
write_block 5 >"$tmpdir/queued" &
queued=$!
sleep 4
is_running $queued || fail "a queued write ended without a path: $(<"$tmpdir/queued")"
heal
wait_until 10 gone $queued || fail "the queued write did not go on"
assert_equal "queued write" written "$(<"$tmpdir/queued")"
assert_block 4; assert_block 5
stop_mpiscsi

say "3: waits three polling intervals of 1 s, then fails; later ones fail at once"
start_mpiscsi portals="$portals" no-path-retry=3 polling-interval=1
assert_equal "write with all paths" written "$(write_block 6)"
lose_all
t0=$(now_ms)
assert_equal "write without a path" EIO "$(write_block 7)"
ms=$(($(now_ms) - t0))
assert_less "ms of queueing, lower bound" 1500 "$ms"
assert_less "ms of queueing, upper bound" "$ms" $((6000 * slow_limits))
t0=$(now_ms)
assert_equal "write after the queueing has ended" EIO "$(write_block 8)"
assert_less "ms until the error" $(($(now_ms) - t0)) $((1500 * slow_limits))
heal
assert_equal "write after a path came back" written "$(write_block 9)"

say "3: a path that comes back in time is no error"
mark_log
lose_all
write_block 10 >"$tmpdir/queued" &
queued=$!
sleep 1
run_tgt t
wait_until 10 gone $queued || fail "the queued write did not go on"
assert_equal "queued write" written "$(<"$tmpdir/queued")"
assert_block 6; assert_block 9; assert_block 10
