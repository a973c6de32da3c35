#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A thin provisioned LUN on a sparse file: space comes back after trim and
# zero (du says so), block status tells the holes, and what is sparse stays
# sparse on its way in and out.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdsh -c "import nbd"
requires nbdcopy --version
requires qemu-img --version

kib () { du -k "$1" | cut -f1; }

pick_portals 2
make_disk "$tmpdir/disk" 256M
dd if=/dev/urandom of="$tmpdir/probe" bs=64k count=1 status=none
fallocate -p -o 0 -l 64k "$tmpdir/probe" 2>/dev/null || skip "no holes in files of $tmpdir"
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk" thin_provisioning=1
start_mpiscsi portals="$(join_portals "${portal[@]}")"

say "written, then given back"
nbdsh -u "$uri" -c 'import os
for at in range(64):
    h.pwrite(os.urandom(1 << 20), at << 20)
h.flush()'
assert_less "KiB used after 64 MiB were written" $((64 << 10)) $(($(kib "$tmpdir/disk") + 64))
nbdsh -u "$uri" -c 'h.trim(16 << 20, 0); h.flush()'
assert_less "KiB used after 16 of 64 MiB were trimmed" "$(kib "$tmpdir/disk")" $((49 << 10))
nbdsh -u "$uri" -c 'h.trim(16 << 20, 16 << 20, nbd.CMD_FLAG_FUA)'
assert_less "KiB used after trim with FUA" "$(kib "$tmpdir/disk")" $((33 << 10))
nbdsh -u "$uri" -c 'h.zero(16 << 20, 32 << 20); h.flush()'
assert_less "KiB used after zero, holes allowed" "$(kib "$tmpdir/disk")" $((17 << 10))
nbdsh -u "$uri" -c 'h.zero(8 << 20, 48 << 20, nbd.CMD_FLAG_FAST_ZERO); h.flush()'
assert_less "KiB used after fast zero" "$(kib "$tmpdir/disk")" $((9 << 10))
before=$(kib "$tmpdir/disk")
nbdsh -u "$uri" -c 'h.zero(8 << 20, 0, nbd.CMD_FLAG_NO_HOLE); h.flush()
assert h.pread(8 << 20, 0) == bytes(8 << 20)'
assert_less "KiB used after zero without holes: it allocates" $((before + (7 << 10))) "$(kib "$tmpdir/disk")"
nbdsh -u "$uri" -c '
assert h.pread(32 << 20, 8 << 20) == bytes(32 << 20), "trimmed blocks are not zero"
assert h.pread(8 << 20, 48 << 20) == bytes(8 << 20)
assert h.pread(8 << 20, 56 << 20) != bytes(8 << 20), "trimmed too much"'

say "one trim of everything, more than one command's worth"
nbdsh -u "$uri" -c 'h.trim(h.get_size(), 0); h.flush()'
assert_less "KiB used after all was trimmed" "$(kib "$tmpdir/disk")" 1024

say "block status"
nbdsh -u "$uri" -c 'h.pwrite(b"x" * (1 << 20), 100 << 20); h.pwrite(b"y" * 4096, 200 << 20); h.flush()'
map=$(nbdinfo --map "$uri" | awk '{ print $1, $2, $3 }')
assert_equal "nbdinfo --map" "$(printf '%s\n' "0 $((100 << 20)) 3" "$((100 << 20)) $((1 << 20)) 0" \
  "$((101 << 20)) $((99 << 20)) 3" "$((200 << 20)) 4096 0" "$(((200 << 20) + 4096)) $(((56 << 20) - 4096)) 3")" "$map"
assert_match "nbdinfo --map --totals" "$(((1 << 20) + 4096)) +0.4% +0 data" "$(nbdinfo --map --totals "$uri")"
# By itself the kernel would tell the holes of the backing file; here it is
# GET LBA STATUS over two paths.
assert_equal "qemu-img map: bytes with data" $(((1 << 20) + 4096)) \
  "$(qemu-img map -f raw --output=json "$uri" | jq '[.[] | select(.data) | .length] | add')"

say "sparse in, sparse out"
make_disk "$tmpdir/source" 256M
for at in 3 77 255; do dd if=/dev/urandom of="$tmpdir/source" bs=1M count=1 seek=$at conv=notrunc status=none; done
for how in "nbdcopy --destination-is-zero" nbdcopy qemu-img; do
  nbdsh -u "$uri" -c 'import os
h.trim(h.get_size(), 0); h.flush()'
  if [ "$how" = nbdcopy ]; then    # over old data, so that zeroes are sent
    nbdsh -u "$uri" -c 'h.pwrite(b"old" * (1 << 20) + bytes(1 << 20), 10 << 20); h.flush()'
  fi
  case $how in
    qemu-img) qemu-img convert -n -f raw -O raw -t none "$tmpdir/source" "$uri" ;;
    *) $how --flush "$tmpdir/source" "$uri" ;;
  esac
  assert_same_files "$tmpdir/source" "$tmpdir/disk"
  assert_less "KiB used by the LUN after $how" "$(kib "$tmpdir/disk")" $((4 << 10))
done
nbdcopy "$uri" "$tmpdir/out"
assert_same_files "$tmpdir/source" "$tmpdir/out"
assert_less "KiB of the copy by nbdcopy" "$(kib "$tmpdir/out")" $((4 << 10))
# What block status calls a hole is not even read.
qemu-img convert -f raw -O qcow2 "$uri" "$tmpdir/out.qcow2"
assert_less "KiB of the copy by qemu-img" "$(kib "$tmpdir/out.qcow2")" $((5 << 10))
qemu-img compare -f raw -F qcow2 "$tmpdir/source" "$tmpdir/out.qcow2"

say "a thick LUN: no trim, no block status; zero still works"
stop_mpiscsi
make_disk "$tmpdir/thick" 32M
tgt_lun t 1 2 "$tmpdir/thick"
start_mpiscsi portals="$(join_portals "${portal[@]}")" lun=2
nbdinfo --can trim "$uri" && fail "trim is offered, but the LUN cannot"
nbdsh --base-allocation -u "$uri" -c 'import os
h.pwrite(os.urandom(1 << 20), 0)
h.zero(1 << 20, 0)
assert h.pread(1 << 20, 0) == bytes(1 << 20)
def extent(context, at, entries, error):
    assert entries[1::2] == [0] * (len(entries) // 2), "a thick LUN has holes: %s" % entries
if h.can_meta_context("base:allocation"):
    h.block_status(h.get_size(), 0, extent)'
