#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# qemu's own NBD client: nbdkit with the plugin runs here, and its disk is the
# virtio disk of a virtual machine.  While the guest writes a file system one
# portal is lost and comes back, and the TCP connection of the other is killed.
# See vm/guest-qemu.sh for what the guest does.
TEST_TIMEOUT=120
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=vm/programs.sh
. "$testsdir/vm/programs.sh"
requires e2fsck -V
requires debugfs -V

size=$((64 << 20))
simple_target 2 "$size"
requires_kill_tcp "${portal[0]}"
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1
wait_connected 10 "${portal[@]}"

# The second disk is how we tell the guest that it has written enough.
signal=$tmpdir/signal
truncate -s 1M "$signal"
background "$tmpdir/vm.log" env "TMPDIR=$tmpdir" "$testsdir/vm/run" \
  -t "$((100 * slow))" -m 512 -k virtio_pci -k virtio_blk -k ext4 \
  -q -drive -q "file=nbd:unix:$sock,format=raw,if=virtio,discard=unmap" \
  -q -drive -q "file=$signal,format=raw,if=virtio" \
  "${vm_fs[@]}" -f "$testsdir/vm/guest-lib.sh:/guest-lib.sh" -e "DISK_BYTES=$size" \
  "$testsdir/vm/guest-qemu.sh"
vm=$!
cleanup_fn end_process "$vm" 10

vm_rounds () { grep -c '\] round ' "$tmpdir/vm.log" || :; }
vm_end () { # the guest ended: sets $vm_status
  vm_status=0
  wait "$vm" || vm_status=$?
  [ "$vm_status" != 77 ] || { cat "$tmpdir/vm.log"; skip "no virtual machine here"; }
}
# guest_rounds N SECONDS: all files written with fsync and read back, N times
# from now on.  The one that is under way does not count.
_rounds_or_end () { [ "$(vm_rounds)" -ge "$1" ] || gone "$vm"; }
guest_rounds () {
  local to=$(($(vm_rounds) + 1 + $1))
  wait_until "$2" _rounds_or_end "$to" || fail "the guest did not get to round $to within $2 s"
  if gone "$vm"; then vm_end; fail "the guest ended while it was to write: status $vm_status"; fi
}
# assert_written PORTAL...: 1 MiB is sent over each path; the guest's qemu is
# the only client.
bytes_sent () {
  _ss "$1" -i | grep -oE 'bytes_acked:[0-9]+' | awk -F: '{ n += $2 } END { printf "%d\n", n }'
}
sent_more () { [ "$(bytes_sent "$1")" -gt "$2" ]; }
assert_written () {
  local p before
  for p; do
    before=$(bytes_sent "$p")
    wait_until 15 sent_more "$p" "$((before + (1 << 20)))" || fail "the guest does not write over $p"
  done
}
guest_rounds 1 60
assert_written "${portal[@]}"

say "portal ${portal[1]} is lost while the guest writes"
mark_log
lose_portal t "${portal[1]}"
wait_path_down "${portal[1]}" 5
assert_written "${portal[0]}"
guest_rounds 2 30
assert_equal "connections to the lost portal" 0 "$(connections "${portal[1]}")"
tgt_add_portal t "${portal[1]}"
wait_path_up "${portal[1]}" 15
assert_written "${portal[1]}"

say "reset of the connection to ${portal[0]}"
mark_log
kill_tcp "${portal[0]}" || fail "there was no connection to ${portal[0]}"
wait_path_down "${portal[0]}" 5
wait_path_up "${portal[0]}" 10
assert_written "${portal[@]}"
guest_rounds 1 30

printf enough | dd of="$signal" conv=notrunc status=none
wait_until 60 gone "$vm" || fail "the guest did not end after it was told to"
vm_end
assert_equal "exit status of the guest" 0 "$vm_status"
echo "the guest wrote and compared every file $(vm_rounds) times"
grep -E '\] (vda|all passed)' "$tmpdir/vm.log"
stop_mpiscsi || fail "nbdkit did not end well"

say "the target's file"
# guest_sum NAME: as the guest printed it.
guest_sum () { tr -d '\r' <"$tmpdir/vm.log" | sed -n "s/^md5 $1 \([0-9a-f]\{32\}\)\$/\1/p"; }
sum () { md5sum <"$1" | cut -d' ' -f1; }
assert_match "md5 of the disk, by the guest" '^[0-9a-f]{32}$' "$(guest_sum disk)"
assert_equal "md5 of the disk" "$(guest_sum disk)" "$(sum "$tmpdir/disk")"
e2fsck -fn "$tmpdir/disk" >"$tmpdir/fsck.log" 2>&1 || fail "e2fsck of the target's file"
for f in f0 f1 f2 f3; do
  debugfs -R "dump /$f $tmpdir/$f" "$tmpdir/disk" >>"$tmpdir/debugfs.log" 2>&1
  assert_match "md5 of $f, by the guest" '^[0-9a-f]{32}$' "$(guest_sum "$f")"
  assert_equal "md5 of $f in the target's file" "$(guest_sum "$f")" "$(sum "$tmpdir/$f")"
done
