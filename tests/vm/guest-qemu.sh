#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest of tests/vm/run: a file system on /dev/vda, a virtio disk that
# qemu's own NBD client takes from the plugin on the host.  Started by
# tests/vm/test-vm-qemu.sh, which cuts portals on the other side and then looks at
# the target's file.
#
# It prints "round N" when all files were written and read back N times, and
# goes on until the first sector of /dev/vdb says "enough" (a word that the
# host writes there).
# Then come the sums the host compares: "md5 NAME SUM".
# shellcheck source=guest-lib.sh
. /guest-lib.sh

files=4
mkdir -p /run/data /mnt
modprobe virtio_pci
modprobe virtio_blk
wait_until 20 test -b /dev/vdb || fail "no /dev/vda and /dev/vdb"
size=$(blockdev --getsize64 /dev/vda)
say "vda: $size bytes, discard_max_bytes $(cat /sys/block/vda/queue/discard_max_bytes), $(cat /sys/block/vda/queue/write_cache)"
[ "$size" = "$DISK_BYTES" ] || fail "vda has $size bytes and not $DISK_BYTES"
[ "$(cat /sys/block/vda/queue/write_cache)" = "write back" ] || fail "no flushes would be sent to vda"

# Each of another length; those written last decide what the host must find.
for ((i = 0; i < files; i++)); do
  dd if=/dev/urandom of=/run/data/$i bs=4096 count=$((300 + i * 37)) status=none
done
enough () { [ "$(dd if=/dev/vdb bs=512 count=1 iflag=direct status=none | tr -d '\0')" = enough ]; }

mkfs.ext4 -q -F /dev/vda >/run/mkfs.log 2>&1 || fail "mkfs.ext4"
mount /dev/vda /mnt
rounds=0
until enough; do
  for ((i = 0; i < files; i++)); do
    # Small ones too: each is a journal commit and a flush of its own.
    dd if=/run/data/$i of="/mnt/f$i" bs=64k conv=fsync status=none
    dd if=/run/data/$i of="/mnt/s$i" bs=4k count=3 conv=fsync status=none
    drop_caches
    cmp "/run/data/$i" "/mnt/f$i" || fail "f$i differs in round $rounds"
  done
  rounds=$((rounds + 1))
  say "round $rounds"
done
umount /mnt
e2fsck -fn /dev/vda >/run/fsck.log 2>&1 || fail "e2fsck"

drop_caches
mount -o ro /dev/vda /mnt
for ((i = 0; i < files; i++)); do
  cmp "/run/data/$i" "/mnt/f$i" || fail "f$i differs after the file system was mounted again"
  cmp -n 12288 "/run/data/$i" "/mnt/s$i" || fail "s$i differs after the file system was mounted again"
  echo "md5 f$i $(md5sum <"/run/data/$i" | cut -d' ' -f1)"
done
umount /mnt
drop_caches
echo "md5 disk $(dd if=/dev/vda bs=1M status=none | md5sum | cut -d' ' -f1)"
assert_no_io_errors
say "all passed"
