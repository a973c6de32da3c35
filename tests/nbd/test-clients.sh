#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The NBD clients that people use: nbdcopy, qemu-img, qemu-io, fio.
# (nbd-client needs the kernel's nbd module: that test runs in a VM.)
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdcopy --version
requires qemu-img --version
requires qemu-io --version
requires fio --version

simple_target 2 64M
start_mpiscsi portals="$(join_portals "${portal[@]}")"
wait_connected 10 "${portal[@]}"

# Random data with holes, so that zeroes and trims are sent too.
make_disk "$tmpdir/source" 64M
for at in 0 5 17 63; do
  dd if=/dev/urandom of="$tmpdir/source" bs=1M count=1 seek=$at conv=notrunc status=none
done

say "nbdcopy in and out"
nbdcopy --flush "$tmpdir/source" "$uri"
assert_same_files "$tmpdir/source" "$tmpdir/disk"
nbdcopy "$uri" "$tmpdir/copy"
assert_same_files "$tmpdir/source" "$tmpdir/copy"
rm "$tmpdir/copy"

say "qemu-img convert and compare, both ways"
dd if=/dev/urandom of="$tmpdir/source" bs=1M count=9 seek=20 conv=notrunc status=none
qemu-img convert -n -f raw -O raw "$tmpdir/source" "$uri"
assert_same_files "$tmpdir/source" "$tmpdir/disk"
qemu-img compare -f raw -F raw "$tmpdir/source" "$uri"
qemu-img convert -f raw -O qcow2 "$uri" "$tmpdir/copy.qcow2"
qemu-img compare -f raw -F qcow2 "$tmpdir/source" "$tmpdir/copy.qcow2"
assert_fails qemu-img compare -f raw -F raw /dev/null "$uri"

say "qemu-io: patterns, FUA, zeroes, discard, flush"
qio () {
  local out
  out=$(qemu-io -f raw -t none "$uri" "$@" 2>&1) || fail "qemu-io $*: $out"
  assert_no_match "qemu-io $*" 'verification failed|[Ee]rror|failed' "$out"
}
qio -c 'write -P 0x5a 1M 2M' -c 'read -P 0x5a 1M 2M'
qio -c 'write -f -P 0xa5 512 1536' -c 'read -P 0xa5 512 1536'
qio -c 'write -z 1M 1M' -c 'read -P 0 1M 1M' -c 'read -P 0x5a 2M 1M'
qio -c 'discard 2M 1M' -c 'flush'
qio -c 'aio_write -P 1 4M 64k' -c 'aio_write -P 2 5M 64k' -c 'aio_flush' -c 'read -P 1 4M 64k' -c 'read -P 2 5M 64k'

say "fio, several connections and sizes"
fio_verify small --size=64M --time_based --runtime=3
fio_verify large --size=64M --bs=256k --iodepth=8 --time_based --runtime=3
fio_verify mixed --size=32M --bsrange=512-128k --bs_unaligned=0 --ba=512 --iodepth=16 --time_based --runtime=3
