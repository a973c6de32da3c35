#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# For `tests/fresh RELEASE deb`, in a bare system, in a clone: the archive and the
# packages are made, twice, and have the same bytes; lintian and rpmlint are
# content; and then an upgrade.  They end in the folder $1.
set -euo pipefail
export LC_ALL=C
out=$1
fail () { echo "FAIL: $*"; exit 1; }
here=$PWD
tests/bootstrap-debian build
apt-get -qy install --no-install-recommends build-essential debhelper libcmocka-dev lintian rpm rpmlint >/dev/null
export DEB_BUILD_OPTIONS=nocheck    # run by others

same=$(mktemp -d)
make_packages () { # FOLDER
  cd "$1"
  { autoreconf -i && ./configure && make -j"$(nproc)" && make deb; } >"$same/log" 2>&1 ||
    { tail -n 40 "$same/log"; fail "make deb"; }
  cd "$here"
}
cp -a "$here" "$same/elsewhere"
make_packages "$here"
sed -n '/^[WEIX]: /p' "$same/log"
( umask 077; TZ=Pacific/Auckland make_packages "$same/elsewhere" )
sums () { (cd "$1/deb.build" && sha256sum ./*.tar.gz ./*.deb ./*.dsc ./*.tar.xz); }
diff <(sums "$here") <(sums "$same/elsewhere") || fail "the second build has other bytes"
sums "$here"
rpmlint --version
rpmlint -r conf/mpiscsi.rpmlintrc conf/mpiscsi.spec >"$same/rpmlint" || :
cat "$same/rpmlint"
grep -q ' 0 errors, 0 warnings' "$same/rpmlint" || fail "rpmlint"
cp deb.build/*.deb "$out"

# What an upgrade would be.
cd deb.build/mpiscsi-*/
sed -i '1s/-1)/-2)/' debian/changelog
dpkg-buildpackage -us -uc -b -nc >"$same/log" 2>&1 || { tail -n 40 "$same/log"; fail "the next version"; }
cp ../*-2_*.deb "$out"
cd "$here"

# As a user: no root, no folder of the system is written to.
useradd -m builder
cp -a "$same/elsewhere" /home/builder/clone
chown -R builder: /home/builder/clone
su builder -c "cd ~/clone && make -j$(nproc) distcheck TESTS=unit/unit-scsi" >"$same/log" 2>&1 ||
  { tail -n 40 "$same/log"; fail "make distcheck, as a user"; }
echo "make distcheck: $(tail -n 3 "$same/log" | head -n 1)"
