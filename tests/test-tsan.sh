#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# ThreadSanitizer: the whole server over the fake libiscsi, with workers that
# read and write while paths die and come back.
TEST_TIMEOUT=240
plain_build=1                   # it has a build of its own
. "$(dirname "$0")/functions.sh"
# shellcheck source=functions-build.sh
. "$testsdir/functions-build.sh"

build_objects "$tmpdir/tsan" -fsanitize=thread
fake=(fake-libiscsi.c fake-libiscsi-target.c)
build_test "$tmpdir/tsan" unit-random unit-random.c "${fake[@]}"
export TSAN_OPTIONS=halt_on_error=0:exitcode=66
for seed in 1 2; do
  say "random schedules from seed $seed"
  SEED=$seed SECONDS=8 timeout 100 "$tmpdir/tsan/unit-random" >"$tmpdir/random.log" 2>&1 ||
    { tail -n 60 "$tmpdir/random.log"; fail "unit-random, seed $seed"; }
  grep 'schedules:' "$tmpdir/random.log"
  ! grep -q 'WARNING: ThreadSanitizer' "$tmpdir/random.log" || fail "$(cat "$tmpdir/random.log")"
done
