#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Each fuzz target, a few seconds from its seeds: every parser of bytes from
# outside.  FUZZ_SECONDS=600 for a long run of each.
TEST_TIMEOUT=${FUZZ_SECONDS:+$((FUZZ_SECONDS * 8 + 120))}
: "${TEST_TIMEOUT:=180}"
plain_build=1                   # it has a build of its own
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-build.sh
. "$testsdir/functions-build.sh"
requires clang --version

build_cc=clang
mkdir -p "$tmpdir/fuzz"
# Only the pure core is fuzzed: no libev, no libiscsi.
core=()
for c in $(make -s -C "$top_builddir/server" core-sources); do
  [[ $c != *.c ]] || core+=("$top_srcdir/server/$c")
done
[ ${#core[@]} -gt 20 ] || fail "the list of the core's sources is not there"
printf '%s\n' "${core[@]}" | xargs -P2 -I{} sh -c '
  exec clang -std=gnu11 -g -O1 -I"$2" -I"$3/server" -fsanitize=fuzzer-no-link,address,undefined \
    -fno-sanitize-recover=all -c "$1" -o "$4/$(basename "$1" .c).o"
' sh {} "$top_builddir" "$top_srcdir" "$tmpdir/fuzz" || fail "the core does not compile with clang"
for source in "$testsdir"/fuzz/fuzz-*.c; do
  name=$(basename "$source" .c)
  clang -std=gnu11 -g -O1 -I"$top_builddir" -I"$top_srcdir/server" \
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    "$source" "$tmpdir"/fuzz/*.o -ljansson -o "$tmpdir/$name" || fail "$name does not build"
  mkdir -p "$tmpdir/new-$name"
  seeds=("$testsdir/fuzz/corpus-${name#fuzz-}")
  [ -d "${seeds[0]}" ] || seeds=()
  say "$name"
  "$tmpdir/$name" -max_total_time="${FUZZ_SECONDS:-5}" -timeout=10 -artifact_prefix="$tmpdir/" \
    "$tmpdir/new-$name" "${seeds[@]}" >"$tmpdir/$name.log" 2>&1 ||
    { tail -n 40 "$tmpdir/$name.log"; fail "$name has found something"; }
  tail -n 1 "$tmpdir/$name.log"
done
