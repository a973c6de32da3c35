#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# For `tests/fresh RELEASE cross`, in a bare system, in a clone: built for Debian's
# architecture $1 with warnings as errors; the unit tests run under qemu-user.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
arch=$1
fail () { echo "FAIL: $*"; exit 1; }
quiet () { "$@" >/tmp/quiet.log 2>&1 || { tail -n 25 /tmp/quiet.log; fail "$*"; }; }
quiet tests/bootstrap-debian build
quiet dpkg --add-architecture "$arch"
quiet apt-get -q update
triplet=$(apt-get -qy install --no-install-recommends dpkg-dev >/dev/null 2>&1; dpkg-architecture -a "$arch" -q DEB_HOST_MULTIARCH)
# Of the libraries only what links; nbdkit's header is the same everywhere.
quiet apt-get -qy install --no-install-recommends "gcc-$triplet" "libc6-dev-$arch-cross" qemu-user-static \
  libiscsi-dev:"$arch" libev-dev:"$arch" libjansson-dev:"$arch" libgnutls28-dev:"$arch" libcmocka-dev:"$arch"
autoreconf -i >/dev/null 2>&1
mkdir cross
cd cross
native=$(gcc -print-multiarch)
export PKG_CONFIG_LIBDIR=/usr/lib/$triplet/pkgconfig:/usr/share/pkgconfig:/usr/lib/$native/pkgconfig
quiet ../configure --host="$triplet" PKG_CONFIG=pkg-config
flags='-g -O2 -std=gnu11 -Wall -Wextra -Werror'
quiet make -j"$(nproc)" CFLAGS="$flags"
quiet make -C tests -j"$(nproc)" CFLAGS="$flags" check TESTS=
file=server/mpiscsi
[ -f server/.libs/mpiscsi ] && file=server/.libs/mpiscsi
readelf -h "$file" | grep -E 'Data|Machine'
qemu=$(compgen -c qemu- | grep -E "^qemu-(${triplet%%-*})-static$" | head -n 1)
# Those with thousands of schedules take minutes each there.
tests=$(cd tests && make -s list-tests | tr ' ' '\n' | grep '^unit/' | grep -vE 'unit-(random|alloc-engine)$')
make -C tests -k check TESTS="$(tr '\n' ' ' <<<"$tests")" LOG_COMPILER="$qemu" >/tmp/check.log 2>&1 || :
grep -E '^(FAIL|ERROR|SKIP|XPASS)|^# (TOTAL|PASS)' /tmp/check.log || :
for t in $(grep -lE '^:test-result: *(FAIL|ERROR|SKIP)' tests/unit/*.trs || :); do tail -n 15 "${t%.trs}.log"; done
! grep -qE '^(FAIL|ERROR|SKIP)' /tmp/check.log || fail "unit tests on $arch"
grep -q '^# PASS: *[1-9]' /tmp/check.log || fail "no unit test ran"
