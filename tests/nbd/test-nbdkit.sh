#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Tests that run with our own front end, once more with nbdkit and the plugin:
# the short ones of each kind (`make check-nbdkit` runs all).
TEST_TIMEOUT=200
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
export FRONT_END=nbdkit

for t in nbd/test-basic.sh nbd/test-nbd-flags.sh nbd/test-model.sh nbd/test-readonly.sh nbd/test-resize.sh \
         nbd/test-thin.sh nbd/test-two-luns.sh nbd/test-facts.sh nbd/test-tls.sh nbd/test-sockets.sh \
         failover/test-two-portals.sh fence/test-flush-reset.sh conf/test-chap.sh conf/test-errors.sh \
         cmd/test-cmd-reconfigure.sh; do
  say "$t"
  status=0
  "$testsdir/$t" >"$tmpdir/out" 2>&1 || status=$?
  [ "$status" = 0 ] || fail "$t with nbdkit ended with status $status:"$'\n'"$(tail -n 60 "$tmpdir/out")"
done
