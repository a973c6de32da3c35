#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# AddressSanitizer and UndefinedBehaviorSanitizer: each unit test, the random
# schedules, and some of the integration tests with the plugin in nbdkit.
TEST_TIMEOUT=280
. "$(dirname "$0")/functions.sh"
# shellcheck source=functions-build.sh
. "$testsdir/functions-build.sh"

build_objects "$tmpdir/asan" -fsanitize=address,undefined -fno-sanitize-recover=all
build_plugin "$tmpdir/asan" -fsanitize=address,undefined
fake=(fake-libiscsi.c fake-libiscsi-target.c)
for source in "$testsdir"/unit-*.c; do
  name=$(basename "$source" .c)
  [ "$name" != unit-session ] || continue       # half a minute; the next has all of it
  extra=()
  case $name in unit-random | unit-hedge) extra=("${fake[@]}") ;; esac
  # Its wrapped malloc must not get into the others.
  flags=("${build_flags[@]}")
  [ "$name" != unit-indoubt ] || build_flags+=("-Wl,--wrap=malloc")
  case $name in
    unit-alloc-*)
      build_flags+=(-include "$testsdir/alloc-real.h" "-Wl,@$testsdir/alloc-fail.wrap")
      extra=(alloc-fail.c alloc-fail-iscsi.c "${fake[@]}") ;;
  esac
  [ "$name" != unit-alloc-engine ] || build_flags+=("$tmpdir/asan/plugin-exports.o")
  build_test "$tmpdir/asan" "$name" "$name.c" "${extra[@]}"
  build_flags=("${flags[@]}")
  say "$name"
  srcdir=$testsdir SECONDS=8 timeout 100 "$tmpdir/asan/$name" >"$tmpdir/$name.log" 2>&1 ||
    { tail -n 60 "$tmpdir/$name.log"; fail "$name"; }
done

export MPISCSI_PLUGIN=$tmpdir/asan/mpiscsi.so
MPISCSI_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
export MPISCSI_PRELOAD
# nbdkit itself leaves its open connections behind at SIGTERM.
export ASAN_OPTIONS=detect_leaks=0
for t in basic kill-tcp thin evil-data evil-facts hedge; do
  say "test-$t.sh"
  args=()
  [ "$t" != hedge ] || args=(cut)
  top_builddir=$top_builddir "$testsdir/test-$t.sh" "${args[@]}" >"$tmpdir/$t.log" 2>&1 ||
    { tail -n 60 "$tmpdir/$t.log"; fail "test-$t.sh with sanitizers"; }
done
