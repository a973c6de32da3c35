#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The rules of server/README hold: who includes and calls whom (layers.py), a
# program with all of a layer and of those below it links, each header compiles
# alone; and each of these checks finds what it is for.
# shellcheck source=../functions.sh
plain_build=1                   # it looks at sources and objects
. "$(dirname "$0")/../functions.sh"
requires python3 --version
requires nm --version

layers=$testsdir/build/layers.py
make_var () { sed -n "s/^$1 = //p" "$top_builddir/server/Makefile"; }
read -ra cc <<<"${CC:-$(make_var CC)}"
# shellcheck disable=SC2046,SC2207
flags=(-DHAVE_CONFIG_H -D_GNU_SOURCE -I"$top_builddir" -I"$top_srcdir/server"
       -I"$top_srcdir/plugin" $(make_var CFLAGS | tr ' ' '\n' | grep -e ^-std -e ^-fsanitize)
       $(make_var LIBISCSI_CFLAGS) $(make_var JANSSON_CFLAGS) $(make_var NBDKIT_CFLAGS))

say "who sees whom"
"$layers" "$top_srcdir" "$top_builddir" > "$tmpdir/wrong" || fail "$(cat "$tmpdir/wrong")"

say "a program per layer"
printf 'int main (void) { return 0; }\n' > "$tmpdir/layer.c"
# shellcheck disable=SC2207
libs=($(make_var LIBISCSI_LIBS) $(make_var LIBEV_LIBS) $(make_var JANSSON_LIBS) $(make_var GNUTLS_LIBS) -lpthread)
# links LIBRARY...: a program of those, whole, and nothing else of ours.
links () {
  "${cc[@]}" "${flags[@]}" -o "$tmpdir/layer" "$tmpdir/layer.c" -Wl,--no-undefined,--whole-archive \
    "$@" -Wl,--no-whole-archive "${libs[@]}" 2> "$tmpdir/err"
}
all=()
for library in base scsi conf rules engine iscsi multipath fence service control nbd; do
  case $library in
    iscsi) files=(libffp.a libiscsi-session.a) ;;
    control) files=(libcontrolcore.a libcontrol.a) ;;
    nbd) files=(libnbdcore.a libnbdserver.a) ;;
    *) files=("lib$library.a") ;;
  esac
  for file in "${files[@]}"; do all+=("$top_builddir/server/.libs/$file"); done
  links "${all[@]}" || fail "$library/ calls what is above it: $(grep -m3 undefined "$tmpdir/err" || cat "$tmpdir/err")"
done

say "no file changes another program's memory"
# But one, until our own full feature phase makes it needless: what libiscsi reads
# and writes is watched (iscsi/guard.h).  nbdkit's side does nothing of the kind.
writers=$(cd "$top_srcdir" && grep -lE 'mprotect *\(|DT_JMPREL|R_SYM *\(|hook_library *\(' -r plugin server --include='*.[ch]' | sort | tr '\n' ' ')
assert_equal "files that write into another object's import table" \
             "server/iscsi/guard-hook.c server/iscsi/hook.c server/iscsi/hook.h " "$writers"
for file in "$top_srcdir"/plugin/*.c; do
  nm -P "$top_builddir/plugin/.libs/$(basename "$file" .c).o"
done >"$tmpdir/plugin.nm"
if grep -E '^(hook_|mprotect|dl_iterate_phdr|dladdr)' "$tmpdir/plugin.nm"; then fail "the plugin reaches into its host"; fi

say "each header alone"
alone () { "${cc[@]}" "${flags[@]}" -include config.h -fsyntax-only -x c "$1" 2> "$tmpdir/err"; }
for header in "$top_srcdir"/server/*/*.h "$top_srcdir"/plugin/*.h; do
  alone "$header" || fail "$header does not compile alone: $(head -3 "$tmpdir/err")"
done

say "what they are for is found"
copy=$tmpdir/copy
mkdir "$copy"
(cd "$top_srcdir" && find server plugin -name '*.[ch]' -print0 | tar -c --null -T -) | tar -x -C "$copy"
(cd "$top_builddir" && find server plugin -name '*.o' -print0 | tar -c --null -T -) | tar -x -C "$copy"
# finds TEXT: layers.py says so of the copy, in which $file is wrong.
finds () {
  if "$layers" "$copy" "$copy" > "$tmpdir/wrong"; then fail "not found: $1"; fi
  grep -qF "$1" "$tmpdir/wrong" || fail "not found: $1; but: $(cat "$tmpdir/wrong")"
  cp "$top_srcdir/$file" "$copy/$file"
  [ -z "$object" ] || cp "$top_builddir/$object" "$copy/$object"
  object=
}
object=
file=server/rules/flap.c
echo '#include "multipath/multipath.h"' >> "$copy/$file"
finds "rules/ does not see multipath/"
file=server/scsi/cdb.c
echo '#include <ev.h>' >> "$copy/$file"
finds "scsi/ is pure"
file=server/service/exports.c
echo '#include "fence/fence-internal.h"' >> "$copy/$file"
finds "which is only for fence/"
file=server/rules/prio.c
for ((i = 0; i < 500; i++)); do echo; done >> "$copy/$file"
finds "a file has at most"
file=server/engine/affinity.c
# compiled TEXT: appended to $file.
compiled () {
  object=${file%.c}.o
  [ -f "$top_builddir/$object" ] || object=${file%/*}/.libs/$(basename "$file" .c).o
  printf '%s\n' "$1" >> "$copy/$file"
  "${cc[@]}" "${flags[@]}" -I"$copy/server" -c -o "$copy/$object" "$copy/$file"
}
compiled 'extern void session_kill (void); void upward (void) { session_kill (); }'
cp "$top_builddir/server/.libs/libengine.a" "$copy/engine.a"
ar d "$copy/engine.a" affinity.o
links "${all[@]:0:4}" "$copy/engine.a" "$top_builddir/$object" || fail "$(cat "$tmpdir/err")"
if links "${all[@]:0:4}" "$copy/engine.a" "$copy/$object"; then fail "a call upward links"; fi
finds "engine/ does not see iscsi/"
# engine.c calls affinity.c.
compiled 'void circle (struct engine *e) { engine_kick (e); }'
finds "in a circle: server/engine/affinity.c server/engine/engine.c"
file=server/rules/flap.h
sed '/#include/d' "$top_srcdir/$file" > "$copy/$file"
if alone "$copy/$file"; then fail "a header that needs others compiles alone"; fi
