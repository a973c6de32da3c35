#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The plugin against the kernel's target (LIO) in a virtual machine: two
# portal groups, ALUA, one thrown out, one cut.  See vm/guest-lio.sh.
TEST_TIMEOUT=180
plain_build=1                   # it goes into a VM
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=vm/programs.sh
. "$testsdir/vm/programs.sh"
requires_plugin
vm_run "$testsdir/vm/guest-lio.sh" -t "$((160 * slow))" -m 1024 \
  "${vm_iptables[@]}" "${vm_lio[@]}" "${vm_nbd[@]}" -b dd -b cmp -b mount -b blockdev
