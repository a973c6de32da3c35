#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest of tests/vm/run: a real /dev/nbd0 over the plugin.  Started by
# tests/vm/test-vm-nbd.sh, with PLUGIN in the environment.
# shellcheck source=guest-lib.sh
. /guest-lib.sh

size=$((320 << 20))             # mkfs.xfs refuses less than 300 MiB
files=6
mkdir -p /run/data /mnt
start_tgt "$size"
modprobe nbd nbds_max=2 max_part=8
start_server
mark_log

# /run/data/N: what is written, all of it random and each of another length.
for ((i = 0; i < files; i++)); do
  dd if=/dev/urandom of=/run/data/$i bs=4096 count=$((700 + i * 37)) status=none
done

# write_files: one after the other, each with fsync, round and round until
# /run/enough exists and all were written at least once.
write_files () {
  local i round=0
  while :; do
    for ((i = 0; i < files; i++)); do
      dd if=/run/data/$i of="/mnt/f$i" bs=64k conv=fsync status=none
    done
    round=$((round + 1))
    [ ! -e /run/enough ] || break
  done
  say "wrote every file $round times"
}
compare_files () {
  local i
  drop_caches
  for ((i = 0; i < files; i++)); do
    cmp "/run/data/$i" "/mnt/f$i" || fail "/mnt/f$i differs"
  done
}

# file_system MKFS-COMMAND -- FSCK-COMMAND
file_system () {
  local mkfs=() writer cut=${portals[1]} before after
  while [ "$1" != -- ]; do mkfs+=("$1"); shift; done
  shift
  say "file system: ${mkfs[0]}"
  "${mkfs[@]}" /dev/nbd0 >/run/mkfs.log 2>&1 || fail "${mkfs[*]}"
  mount -o discard /dev/nbd0 /mnt
  mark_log
  rm -f /run/enough
  write_files &
  writer=$!
  sleep 1
  cut_portal "$cut"
  # NOP interval 1 s + timeout 2 s by default.
  wait_for_log 20 "Failing path ${cut//./\\.}(:|\$)"
  sleep 2
  is_writing "$writer" || fail "nothing was being written while the portal was cut"
  repair_portal "$cut"
  wait_for_log 30 "${cut//./\\.}: reinstated\$"
  touch /run/enough
  wait "$writer" || fail "a write failed while a portal was cut"
  compare_files
  # Deleted files of a file system mounted with discard, and then all that is
  # free: the space must be gone from the target's file.
  sync
  before=$(used_kib)
  rm /mnt/f[1-9]
  drop_caches
  fstrim -v /mnt
  after=$(used_kib)
  say "backing file: $before KiB, after rm and fstrim $after KiB"
  [ "$after" -lt $((before - 8192)) ] || fail "fstrim gave nothing back"
  drop_caches
  cmp /run/data/0 /mnt/f0 || fail "fstrim changed /mnt/f0"
  umount /mnt
  "$@" /dev/nbd0 >/run/fsck.log 2>&1 || fail "$*"
  whole_disk_same
}
is_writing () { ! gone "$1"; }
# Every byte: what the kernel reads through the plugin is what the target has.
whole_disk_same () { # [BYTES]
  drop_caches
  # 128 KiB a request is all that the kernel does; so let it do many at once.
  blockdev --setra 4096 /dev/nbd0
  cmp -n "${1:-$size}" /dev/nbd0 "$disk" || fail "/dev/nbd0 is not what the target holds"
}

say "one connection"
attach /dev/nbd0
[ "$(blockdev --getsize64 /dev/nbd0)" = "$size" ] || fail "wrong size"
[ "$(cat /sys/block/nbd0/queue/discard_max_bytes)" -gt 0 ] || fail "nbd0 cannot discard"
file_system mkfs.ext4 -q -F -- e2fsck -fn
detach /dev/nbd0

say "four connections"
attach /dev/nbd0 -C 4
# The listening socket and the accepted ones.  (The kernel refuses to start
# more than one without multi-conn.)
[ "$(grep -c " $sock\$" /proc/net/unix)" = 5 ] || fail "there are not four connections"
file_system mkfs.xfs -q -f -- xfs_repair -n

say "blkdiscard"
blkdiscard /dev/nbd0
sync
[ "$(used_kib)" -lt 1024 ] || fail "after blkdiscard the target still uses $(used_kib) KiB"
cmp -n "$size" /dev/nbd0 /dev/zero || fail "discarded blocks do not read as zeroes"

say "partitions"
sfdisk -q /dev/nbd0 <<'TABLE'
label: gpt
size=32MiB
size=64MiB
TABLE
wait_until 20 test -b /dev/nbd0p2 || fail "no /dev/nbd0p2"
[ "$(blockdev --getsize64 /dev/nbd0p2)" = $((64 << 20)) ] || fail "wrong size of nbd0p2"
mkfs.ext4 -q -F /dev/nbd0p2
mount /dev/nbd0p2 /mnt
cp /run/data/1 /mnt/f1
umount /mnt
dd if=/run/data/2 of=/dev/nbd0p1 bs=64k conv=fsync status=none
e2fsck -fn /dev/nbd0p2 >/run/fsck.log 2>&1 || fail "e2fsck of a partition"
whole_disk_same $((104 << 20))

say "detach"
detach /dev/nbd0
assert_no_io_errors

# -persist needs the old interface, and nbd-client 3.24 connects again only when
# NBD_DO_IT fails; since Linux 4 it returns 0 when the server is gone, and then
# nbd-client ends ("Kernel call returned.").  So it needs what a systemd unit
# with Restart=always does.
say "-persist: attach, kill nbdkit, start it again"
keep_attached () {
  while [ ! -e /run/detach ]; do
    nbd-client -nonetlink -persist -nofork -unix "$sock" /dev/nbd0 >>/run/nbd-client.log 2>&1 || :
    sleep 0.5
  done
}
keep_attached &
keeper=$!
wait_until 20 has_size /dev/nbd0 || fail "nbd-client -persist: no size"
reads_back () {
  drop_caches
  timeout 10 dd if=/dev/nbd0 bs=64k iflag=skip_bytes,count_bytes \
    skip=$((1 << 20)) count="$(stat -c %s /run/data/2)" of=/run/back status=none 2>/dev/null &&
    cmp -s /run/back /run/data/2
}
reads_back || fail "wrong data with -persist"
# Not SIGTERM: nbdkit waits until an idle client goes by itself.
kill -KILL "$server_pid"
wait "$server_pid" || :
! reads_back || fail "read something while no server was running"
start_server
wait_until 30 reads_back || fail "nbd0 did not come back after nbdkit was restarted"
dd if=/run/data/3 of=/dev/nbd0 bs=64k oflag=seek_bytes seek=$((1 << 20)) conv=fsync status=none
touch /run/detach
detach /dev/nbd0
wait_until 20 gone "$keeper" || fail "nbd-client did not end after it was told to detach"
cmp -n "$(stat -c %s /run/data/3)" "$disk" /run/data/3 -i $((1 << 20)):0 ||
  fail "what was written after the restart is not on the target"
stop_server
say "all passed"
