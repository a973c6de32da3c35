#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A real kernel's /dev/nbd0 over the plugin, in a virtual machine without KVM:
# file systems, a portal cut while they are written, discard, partitions,
# nbdkit restarted.  See vm/guest-nbd.sh.
TEST_TIMEOUT=300
plain_build=1                   # it goes into a VM
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=vm/programs.sh
. "$testsdir/vm/programs.sh"
requires_plugin
vm_run "$testsdir/vm/guest-nbd.sh" \
  -t "$((270 * slow))" -m 1536 \
  -k xfs -k ext4 "${vm_iptables[@]}" "${vm_tgt[@]}" "${vm_nbd[@]}" "${vm_fs[@]}"
