#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest of tests/vm/run: the plugin against the kernel's own target,
# two portal groups with a portal each.  Started by tests/vm/test-vm-lio.sh.
# shellcheck source=guest-lib.sh
. /guest-lib.sh
# shellcheck source=lio.sh
. /lio.sh

size=$((64 << 20)) disk=/run/lun/disk
IQN=$lio_iqn
mkdir -p /run/lun
mount -t tmpfs -o size=50% tmpfs /run/lun
lio_start
lio_disk data "$disk" "$size" emulate_tpu=1
lio_alua data near 11 0
lio_alua data far 12 1
lio_tpg 1 "${portals[0]}"
lio_tpg 2 "${portals[1]}"
lio_lun 1 1 data near
lio_lun 2 1 data far
lio_enable 1
lio_enable 2
modprobe nbd nbds_max=2
start_server
wait_for_log 10 'remaining active paths: 2$'
attach /dev/nbd0
[ "$(blockdev --getsize64 /dev/nbd0)" = "$size" ] || fail "wrong size"

dd if=/dev/urandom of=/run/random bs=1M count=64 status=none
dd if=/run/random of=/dev/nbd0 bs=1M count=16 conv=fsync status=none
mark_log
say "portal group 1 thrown out"
lio_disable 1
wait_for_log 20 "Failing path ${portals[0]//./\\.}(:|\$)"
dd if=/run/random of=/dev/nbd0 bs=1M skip=16 seek=16 count=16 conv=fsync status=none
lio_enable 1
wait_for_log 30 "${portals[0]//./\\.}: reinstated\$"
say "cut portal of group 2"
mark_log
dd if=/run/random of=/dev/nbd0 bs=1M skip=32 seek=32 count=16 conv=fsync status=none &
cut_portal "${portals[1]}"
wait $! || fail "a write failed"
wait_for_log 20 "Failing path ${portals[1]//./\\.}(:|\$)"
dd if=/run/random of=/dev/nbd0 bs=1M skip=48 seek=48 conv=fsync status=none
repair_portal "${portals[1]}"
wait_for_log 30 "${portals[1]//./\\.}: reinstated\$"
drop_caches
cmp /dev/nbd0 /run/random || fail "reading back through the plugin differs"
cmp "$disk" /run/random || fail "the target's file differs"
detach /dev/nbd0
assert_no_io_errors
stop_server
say "all passed"
