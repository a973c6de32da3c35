#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Large LUNs: 16 TiB on a sparse file, just over 2 TiB (where 32 bit block
# numbers end), and the largest there is, 2^63 - 512 bytes: data at both ends,
# trim and block status of it; nothing wraps around.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
requires nbdsh -c "import nbd"
requires qemu-io --version

check_ends () { # SIZE BLOCKSIZE
  assert_equal "size" "$1" "$(nbd_size)"
  size=$1 bs=$2 nbdsh --base-allocation -u "$uri" -c - <<'PY'
import os
size, bs = int(os.environ["size"]), int(os.environ["bs"])
m = 1 << 20
first, last, two_tib = os.urandom(m), os.urandom(m), os.urandom(m)
h.pwrite(first, 0)
h.pwrite(last, size - m)
at = []
for t in (1 << 32, 1 << 41, 1 << 43):         # bytes; LBA 2^32 at 2 TiB or 16 TiB
    if t + m < size:
        at.append(t - m // 2)
        h.pwrite(two_tib, t - m // 2, nbd.CMD_FLAG_FUA)
h.pwrite(last[-bs:], size - bs, nbd.CMD_FLAG_FUA)
h.flush()
assert h.pread(m, 0) == first, "the first block was overwritten: a block number wrapped around"
assert h.pread(m, size - m) == last
for t in at:
    assert h.pread(m, t) == two_tib, "around %d" % t
if h.can_trim() and h.can_meta_context("base:allocation"):
    seen = []
    def extent(context, offset, entries, error):
        seen.extend(entries)
    h.block_status(32 * m, size - 32 * m, extent)
    assert seen == [31 * m, 3, m, 0], seen
    h.trim(32 * m, size - 32 * m, nbd.CMD_FLAG_FUA)
    assert h.pread(m, size - m) == bytes(m)
    assert h.pread(m, 0) == first
else:
    h.zero(m, size - m)
    assert h.pread(m, size - m) == bytes(m)
h.set_strict_mode(0)
for call in (lambda: h.pread(bs, size), lambda: h.pread(2 * bs, size - bs),
             lambda: h.pwrite(bytes(bs), size)):
    try:
        call()
    except nbd.Error as e:
        assert e.errno in ("EINVAL", "ENOSPC"), e
    else:
        raise SystemExit("taken beyond the end")
PY
}

# ext4 has no files of 16 TiB; tmpfs has.
shm=$(mktemp -d /dev/shm/mpiscsi.XXXXXX)
cleanup_fn rm -rf "$shm"
for size in $((16 << 40)) $(((2 << 40) + (64 << 20))); do
  for bs in 512 4096; do
    say "tgt, a sparse file of $size bytes in blocks of $bs"
    pick_portals 2
    disk=$shm/disk
    make_disk "$disk" "$size"
    start_tgt "t$size$bs" "${portal[@]}"
    tgt_target "t$size$bs" 1
    tgt_lun "t$size$bs" 1 1 "$disk" blocksize="$bs" thin_provisioning=1
    start_mpiscsi portals="$(join_portals "${portal[@]}")"
    check_ends "$size" "$bs"
    out=$(qemu-io -f raw "$uri" -c "write -P 0x33 $((size - 65536)) 64k" -c "read -P 0x33 $((size - 65536)) 64k" 2>&1)
    assert_no_match "qemu-io at the end" 'failed|[Ee]rror' "$out"
    assert_not_logged 'Failing path'
    stop_mpiscsi
    kill_tgt "t$size$bs"
    assert_less "KiB that the sparse file takes" "$(du -k "$disk" | cut -f1)" $((16 << 10))
    rm "$disk"
  done
done

for size in $((16 << 40)) $(((1 << 63) - (1 << 20))); do
  say "a LUN of $size bytes in memory"
  start_fake 2 --size "$size" --thin --lbprz
  start_mpiscsi portals="$(join_portals "${portal[@]}")"
  check_ends "$size" 512
  assert_not_logged 'Failing path'
  stop_mpiscsi
  stop_fake
done
