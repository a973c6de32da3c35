# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced, after functions.sh, by the tests that use tests/vm/run: what the
# guests need, by topic, as options of it.
# Without root these folders are not searched.
PATH=$PATH:/usr/sbin:/sbin

_libdir=/usr/lib/$(gcc -print-multiarch 2>/dev/null || echo x86_64-linux-gnu)
vm_iptables=(-k nf_tables -k nft_compat -k xt_tcpudp -b iptables
             -b "$_libdir/xtables/libxt_tcp.so" -b "$_libdir/xtables/libxt_standard.so")
vm_tgt=(-b tgtd -b tgtadm)
vm_lio=(-k target_core_mod -k target_core_file -k iscsi_target_mod
        -f "$testsdir/vm/lio.sh:/lio.sh")
vm_nbd=(-k nbd -b nbdkit -b nbd-client)
vm_fs=(-b dd -b cmp -b mount -b umount -b blockdev -b blkdiscard -b fstrim -b sfdisk
       -b mkfs.ext4 -b e2fsck -b mkfs.xfs -b xfs_repair -f /etc/mke2fs.conf:/etc/mke2fs.conf)

# vm_run SCRIPT [OPTION OF vm/run]...: with the plugin, which the script finds
# as $PLUGIN.  A sanitizer or valgrind stays outside: the guest is emulated.
vm_run () {
  local script=$1 status=0; shift
  TMPDIR=$tmpdir "$testsdir/vm/run" "$@" -b "$plugin" -f "$(realpath "$plugin"):/mpiscsi.so" -e PLUGIN=/mpiscsi.so \
    -f "$testsdir/vm/guest-lib.sh:/guest-lib.sh" "$script" || status=$?
  [ "$status" != 77 ] || skip "no virtual machine here"
  [ "$status" = 0 ] || fail "${script##*/} ended with status $status"
}
