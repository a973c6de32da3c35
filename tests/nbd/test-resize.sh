#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A LUN that grows, and one that shrinks: new connections see the new size
# without a restart of nbdkit; those that are open keep the size they were
# told, and what they then ask for beyond the end is an error, not a hang.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdsh -c "import nbd"

pick_portals 2
make_disk "$tmpdir/disk" 64M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk"
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1 no-path-retry=queue
pid=$mpiscsi_pid
for p in "${portal[@]}"; do wait_for_log "$(quote_re "$p"): reinstated" 10; done
assert_equal "size at first" $((64 << 20)) "$(nbd_size)"

# A client that stays, and does what it is told: one line of Python at a time.
mkfifo "$tmpdir/in"
exec {in}<>"$tmpdir/in"
nbdsh -u "$uri" -c 'import sys
for line in sys.stdin:
    try:
        exec(line)
        print("done", flush=True)
    except Exception as e:
        print("exception:", e, flush=True)' <"$tmpdir/in" >"$tmpdir/client.out" 2>&1 &
client=$!
cleanup_fn end_process "$client"
lines=0
_told () { [ "$(wc -l <"$tmpdir/client.out")" -ge "$lines" ]; }
tell () { # sets $told
  echo "$*" >&"$in"
  lines=$((lines + 1))
  wait_until 20 _told || fail "the client hangs: $*"
  told=$(tail -n 1 "$tmpdir/client.out")
}
size_is () { [ "$(nbd_size)" = "$1" ]; }

tell 'h.pwrite(b"old" * 512, 0)'
assert_equal "client" "done" "$told"

say "grown while the target was down for a moment"
mark_log
kill_tgt t
truncate -s 96M "$tmpdir/disk"
run_tgt t
wait_for_log "capacity changed from $((64 << 11)) to $((96 << 11)) blocks" 15
wait_until 5 size_is $((96 << 20)) || fail "a new connection sees $(nbd_size)"
nbdsh -u "$uri" -c 'h.pwrite(b"new" * 512, 80 << 20)
assert h.pread(1536, 80 << 20) == b"new" * 512
assert h.pread(1536, 0) == b"old" * 512'
tell 'assert h.get_size() == 64 << 20; assert h.pread(1536, 0) == b"old" * 512; h.pwrite(b"1" * 512, (64 << 20) - 512)'
assert_equal "the old connection" "done" "$told"
for p in "${portal[@]}"; do wait_for_log "$(quote_re "$p"): reinstated" 15; done

say "grown with the sessions up: the LUN is taken away and mapped again"
mark_log
_tgtadm t --mode logicalunit --op delete --tid 1 --lun 1
truncate -s 128M "$tmpdir/disk"
_tgtadm t --mode logicalunit --op new --tid 1 --lun 1 -b "$tmpdir/disk" --bstype rdwr
# tgt says nothing (no UNIT ATTENTION): the new connection looks by itself.
assert_equal "size for the first new connection" $((128 << 20)) "$(nbd_size)"
wait_for_log "capacity changed from $((96 << 11)) to $((128 << 11)) blocks" 5
nbdsh -u "$uri" -c 'h.pwrite(b"end" * 512, (128 << 20) - 1536)
assert h.pread(1536, (128 << 20) - 1536) == b"end" * 512'
tell 'assert h.pread(1536, 0) == b"old" * 512'
assert_equal "the old connection" "done" "$told"
wait_connected 10 "${portal[@]}"
sleep 1

say "shrunk: an error beyond the new end, and all else goes on"
mark_log
kill_tgt t
truncate -s 32M "$tmpdir/disk"
run_tgt t
wait_for_log "capacity changed from $((128 << 11)) to $((32 << 11)) blocks" 15
wait_until 10 size_is $((32 << 20)) || fail "a new connection sees $(nbd_size)"
tell 'h.pread(512, 48 << 20)'
assert_match "read beyond the end" '^exception:.*(EIO|EINVAL|ENOSPC)' "$told"
tell 'h.pwrite(b"x" * 512, 48 << 20)'
assert_match "write beyond the end" '^exception:.*(EIO|EINVAL|ENOSPC)' "$told"
tell 'assert h.pread(1536, 0) == b"old" * 512'
assert_equal "within it" "done" "$told"
assert_equal "process of nbdkit, to the end" "$pid" "$mpiscsi_pid"
is_running "$pid" || fail "nbdkit has ended"
