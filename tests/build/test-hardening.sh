#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What the plugin and the command are built with: full RELRO, no executable stack,
# nothing to be relocated in the text, stack protector, fortified functions.
# shellcheck source=../functions.sh
plain_build=1                   # it looks at the file
. "$(dirname "$0")/../functions.sh"
requires readelf --version

flags=$(sed -n 's/^MPISCSI_CFLAGS = //p' "$top_builddir/Makefile")
cflags=$(sed -n 's/^CFLAGS = //p' "$top_builddir/Makefile")
assert_match "MPISCSI_CFLAGS" '-fstack-protector-strong' "$flags"
case "$flags $cflags" in
  *-fsanitize=*|*-O0*) fortified=no ;;
  *) fortified=yes; assert_match "MPISCSI_CFLAGS" '-D_FORTIFY_SOURCE=3' "$flags" ;;
esac

# Both may be libtool's wrappers.
plain () { local real=${1%/*}/.libs/${1##*/}; if [ -f "$real" ]; then echo "$real"; else echo "$1"; fi; }
for file in "$(plain "$plugin")" "$(plain "$top_builddir/server/mpiscsi")"; do
  say "${file##*/}"
  dynamic=$(readelf -dW "$file")
  segments=$(readelf -lW "$file")
  symbols=$(readelf -sW "$file" | awk '$7 == "UND" { sub (/@.*/, "", $8); print $8 }')
  assert_match "dynamic section" 'BIND_NOW|Flags:.* NOW' "$dynamic"
  assert_no_match "dynamic section" 'TEXTREL' "$dynamic"
  assert_match "segments" 'GNU_RELRO' "$segments"
  assert_match "segments" 'GNU_STACK .* RW +0x' "$segments"
  [ "$file" = "$(plain "$plugin")" ] || assert_match "type" 'DYN ' "$(readelf -hW "$file")"
  assert_match "symbols" '(^|[[:space:]])__stack_chk_fail([[:space:]]|$)' "$symbols"
  if [ $fortified = yes ]; then
    n=$(grep -c '^__.*_chk$' <<<"$symbols")
    echo "$n fortified functions"
    assert_less "fortified functions" 7 "$n"
  fi
done
