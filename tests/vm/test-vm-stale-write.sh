#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In-doubt write fencing against the kernel's target (LIO), in a virtual
# machine: one portal group and two.  See vm/guest-stale-write.sh.
TEST_TIMEOUT=220
plain_build=1                   # it goes into a VM
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=vm/programs.sh
. "$testsdir/vm/programs.sh"
requires_plugin
proxy=$top_builddir/tests/fake/iscsi-proxy
[ -x "$proxy" ] || fail "no $proxy: run make check"
vm_run "$testsdir/vm/guest-stale-write.sh" -t "$((200 * slow))" -m 1024 \
  "${vm_lio[@]}" "${vm_nbd[@]}" -b dd -b mount -b blockdev -f "$proxy:/usr/bin/iscsi-proxy" \
  -e PROXY=/usr/bin/iscsi-proxy
