#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# LUNs that differ in their write cache: off, without a mode page that tells,
# and on but without DPO and FUA.  FUA and flush are offered and work on each.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
requires nbdsh -c "import nbd"

check () { # LOGGED
  start_mpiscsi portals="$(join_portals "${portal[@]}")"
  wait_for_log "$1" 5
  nbdsh -u "$uri" -c - <<'PY'
import os
assert h.can_flush() and h.can_fua() and h.can_multi_conn()
a = os.urandom(1 << 20)
h.pwrite(a, 0, nbd.CMD_FLAG_FUA)
h.pwrite(a[:4096], 1 << 20)
h.flush()
assert h.pread(1 << 20, 0) == a and h.pread(4096, 1 << 20) == a[:4096]
h.zero(4096, 8192, nbd.CMD_FLAG_FUA)
assert h.pread(4096, 8192) == bytes(4096)
if h.can_trim():
    h.trim(65536, 65536, nbd.CMD_FLAG_FUA)
PY
  assert_not_logged 'Failing path|I/O error'
  stop_mpiscsi
}

say "write cache off"
start_fake 2 --no-write-cache --thin --lbprz
check 'Write cache: disabled, supports DPO and FUA'
stop_fake
start_fake 2 --no-write-cache --no-dpofua
check "Write cache: disabled, doesn't support DPO and FUA"
stop_fake

say "no caching mode page"
start_fake 2 --no-caching-page
check 'Write cache: unknown, assumed enabled'
stop_fake

say "a write cache, but no FUA: nbdkit flushes instead"
start_fake 2 --no-dpofua
check "Write cache: enabled, doesn't support DPO and FUA"
stop_fake
