#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# AddressSanitizer, UndefinedBehaviorSanitizer and LeakSanitizer: each unit
# test, the random schedules, and some of the integration tests with the plugin
# in nbdkit, if not all of them run with it already (run-all, check-asan).
TEST_TIMEOUT=280
plain_build=1
. "$(dirname "$0")/../functions.sh"

dir=${MPISCSI_SANITIZED:-$tmpdir/asan}
if [ -z "${MPISCSI_SANITIZED:-}" ]; then
  mkdir "$dir"
  top_builddir=$top_builddir "$testsdir/build-sanitized" "$dir" || fail "it cannot be built"
fi
for source in "$testsdir"/unit/unit-*.c; do
  name=$(basename "$source" .c)
  # Half a minute, and unit-random has all of it.
  [ "$name" != unit-session ] || [ -n "${MPISCSI_SANITIZED:-}" ] || continue
  say "$name"
  ASAN_OPTIONS=exitcode=66 UBSAN_OPTIONS=print_stacktrace=1 \
    srcdir=$testsdir SECONDS=8 timeout 100 "$dir/$name" >"$tmpdir/$name.log" 2>&1 ||
    { tail -n 60 "$tmpdir/$name.log"; fail "$name"; }
done

[ -z "${MPISCSI_SANITIZED:-}" ] || exit 0
for t in basic kill-tcp thin evil-data evil-facts hedge; do
  say "test-$t.sh"
  args=()
  [ "$t" != hedge ] || args=(cut)
  MPISCSI_SANITIZED=$dir top_builddir=$top_builddir "$testsdir"/*/test-"$t".sh "${args[@]}" >"$tmpdir/$t.log" 2>&1 ||
    { tail -n 60 "$tmpdir/$t.log"; fail "test-$t.sh with sanitizers"; }
done
