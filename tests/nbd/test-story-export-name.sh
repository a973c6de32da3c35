#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's row "the result is /dev/mapper/iscsi_data": an NBD export named
# iscsi_data that also answers to its WWID, is listed, and is used by what uses
# disks: nbdcopy, qemu-img, a qemu-io drive "nbd:".  (/dev/nbd0 of a kernel:
# test-vm-nbd.sh.)
TEST_TIMEOUT=${TEST_TIMEOUT:-60}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdinfo --version
requires qemu-io --version

simple_target 2 16M
cat >"$tmpdir/mpiscsi.conf" <<XX
iscsi {
	portals $(join_portals "${portal[@]}")
}
multipaths {
	multipath {
		wwid $wwid
		alias iscsi_data
	}
}
XX
start_mpiscsi config="$tmpdir/mpiscsi.conf"
at () { echo "nbd+unix:///$1?socket=$sock"; }

say "listed"
assert_equal "exports" iscsi_data "$(nbdinfo --list --json "$(at "")" | jq -r '.exports[]."export-name"')"
say "the same disk by alias, by WWID and by no name"
head -c 16M /dev/urandom >"$tmpdir/random"
nbdcopy "$tmpdir/random" "$(at iscsi_data)"
for name in iscsi_data "$wwid" ""; do
  assert_equal "size of '$name'" $((16 << 20)) "$(nbdinfo --size "$(at "$name")")"
  nbdcopy "$(at "$name")" "$tmpdir/copy"
  assert_same_files "$tmpdir/random" "$tmpdir/copy"
  rm "$tmpdir/copy"
done
assert_same_files "$tmpdir/random" "$tmpdir/disk"
for name in iscsi_dat iscsi_data2 ISCSI_DATA mpatha "${wwid%?}"; do
  assert_fails nbdinfo --size "$(at "$name")"
done

say "qemu's nbd: drive"
drive="nbd:unix:$sock:exportname=iscsi_data"
assert_equal "qemu-img info" $((16 << 20)) "$(qemu-img info --output=json "$drive" | jq '."virtual-size"')"
qemu-io -f raw -c 'write -P 0x5a 1M 64k' -c flush "$drive" >"$tmpdir/qemu.out" || fail "$(<"$tmpdir/qemu.out")"
qemu-io -f raw -r -c 'read -P 0x5a 1M 64k' "nbd:unix:$sock:exportname=$wwid" >"$tmpdir/qemu.out" || fail "$(<"$tmpdir/qemu.out")"
assert_no_match "qemu-io" 'Pattern verification failed' "$(<"$tmpdir/qemu.out")"
