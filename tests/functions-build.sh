# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced after functions.sh by tests that need the code built another way.

# build_objects FOLDER FLAG...: server/ and plugin/ as objects, two at a time.
# Only what make has built (by its .o): a file that somebody is just writing is
# none of our business.
build_cc=${CC:-gcc}
build_objects () {
  local dir=$1; shift
  mkdir -p "$dir"
  build_flags=(-std=gnu11 -g -O1 -fPIC -I"$top_builddir" -I"$top_srcdir/server"
               -I"$top_srcdir/plugin" -I"$top_srcdir/tests/unit" "$@")
  (cd "$top_srcdir" && printf '%s\n' server/*/*.c plugin/*.c) |
    xargs -P2 -I{} sh -c '
      src=$1; dir=$2; cc=$3; top=$4; shift 4
      o=$(echo "${src%.c}" | tr / -).o
      exec "$cc" "$@" -c "$top/$src" -o "$dir/$o"
    ' sh {} "$dir" "$build_cc" "$top_srcdir" "${build_flags[@]}" || fail "does not compile with $*"
}
build_libs=(-liscsi -lev -ljansson -lgnutls -lpthread)
# build_plugin FOLDER FLAG...
build_plugin () {
  local dir=$1; shift
  "$build_cc" -shared -Wl,-z,nodelete "$@" -o "$dir/mpiscsi.so" \
    $(ls "$dir"/server-*.o | grep -vE '/server-(cmd|nbd)-') "$dir"/plugin-*.o "${build_libs[@]}" ||
    fail "the plugin does not link"
}
# build_command FOLDER FLAG...
build_command () {
  local dir=$1; shift
  "$build_cc" "$@" -o "$dir/mpiscsi" "$dir"/server-*.o "${build_libs[@]}" ||
    fail "the command does not link"
}
# build_first FOLDER: first.so, to be preloaded after a sanitizer's library.  They
# start at the first malloc.  In nbdkit this is in newlocale, of p11-kit's
# constructor, and the message of dlerror, which they then ask for, unlocks a
# lock that newlocale has: later exit hangs.
build_first () {
  echo 'void *malloc (unsigned long); void free (void *);
    static void __attribute__ ((constructor)) first (void) { free (malloc (1)); }' |
    "$build_cc" -shared -fPIC -O0 -Wl,-z,initfirst -x c - -o "$1/first.so" ||
    fail "first.so does not link"
}
# build_test FOLDER NAME SOURCE...: a unit test over the whole server.
build_test () {
  local dir=$1 name=$2; shift 2
  "$build_cc" "${build_flags[@]}" -o "$dir/$name" "${@/#/$top_srcdir/tests/}" \
    $(ls "$dir"/server-*.o | grep -v /server-cmd-) -lcmocka "${build_libs[@]}" ||
    fail "$name does not link"
}
