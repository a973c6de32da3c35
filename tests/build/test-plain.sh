#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Where tests run with sanitizers (run-all): some of them with the plugin as
# it is shipped, since the optimizer and another timing find other mistakes, and
# test-control.sh sees how much memory is used.
TEST_TIMEOUT=280
plain_build=1
if [ -z "${MPISCSI_SANITIZED:-}${MPISCSI_TEST_TIMED:-}" ]; then
  echo "all tests run with the shipped plugin"
  exit 0
fi
. "$(dirname "$0")/../functions.sh"

unset MPISCSI_SANITIZED
for t in basic two-portals kill-tcp clients stale-write control; do
  say "test-$t.sh"
  top_builddir=$top_builddir "$testsdir"/*/test-"$t".sh >"$tmpdir/$t.log" 2>&1 ||
    { tail -n 60 "$tmpdir/$t.log"; fail "test-$t.sh"; }
done
