#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdfuse: the LUN as a file, written, read, and cut over to the other path.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdfuse --version
requires command -v fusermount3
requires test -c /dev/fuse

simple_target 2 64M
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1
wait_connected 10 "${portal[@]}"
for p in "${portal[@]}"; do wait_for_log "$(quote_re "$p"): reinstated" 10; done

mkdir "$tmpdir/mnt"
unmount () { ! mountpoint -q "$tmpdir/mnt" || fusermount3 -u "$tmpdir/mnt" || umount -l "$tmpdir/mnt"; }
cleanup_fn unmount
background "$tmpdir/fuse.log" nbdfuse "$tmpdir/mnt/lun" "$uri"
fuse=$!
cleanup_fn end_process "$fuse"
is_mounted () { [ -f "$tmpdir/mnt/lun" ]; }
wait_until 10 is_mounted || { gone "$fuse" && skip "FUSE does not work here: $(<"$tmpdir/fuse.log")"; fail "nbdfuse does not mount"; }

say "as a file"
assert_equal "size" $((64 << 20)) "$(stat -c %s "$tmpdir/mnt/lun")"
dd if=/dev/urandom of="$tmpdir/source" bs=1M count=64 status=none
dd if="$tmpdir/source" of="$tmpdir/mnt/lun" bs=256k count=128 conv=notrunc,fsync status=none
cmp -n $((32 << 20)) "$tmpdir/source" "$tmpdir/disk" || fail "what was written is not on the LUN"
say "a path fails while it is written"
mark_log
requires_kill_tcp "${portal[0]}"
dd if="$tmpdir/source" of="$tmpdir/mnt/lun" bs=64k conv=notrunc,fsync status=none &
writer=$!
tgt_del_portal t "${portal[0]}"
kill_tcp "${portal[0]}" || :
wait_path_down "${portal[0]}" 10
wait "$writer" || fail "the writer got an error"
tgt_add_portal t "${portal[0]}"
assert_same_files "$tmpdir/source" "$tmpdir/disk"
assert_same_files "$tmpdir/source" "$tmpdir/mnt/lun"
unmount
wait_until 10 gone "$fuse" || fail "nbdfuse does not end"
