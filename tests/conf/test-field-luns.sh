#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# LUNs as targets have them: an INQUIRY whose residual is wrong, REPORT LUNS
# refused, numbers in other forms, sizes that cannot be told, LUNs that are the
# array's own.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
# shellcheck source=../functions-field.sh
. "$testsdir/functions-field.sh"

w=36000144000000000
scan () { mpiscsi scan "${portal[0]}" "$@" 2>&1 || :; }

say "74 bytes of INQUIRY data with a residual of 74: what came counts"
start_field 1 --residual-lies --inquiry-bytes 74 --luns 0
assert_match "scan" "^$w FIELD,DISK" "$(scan)"
start_mpiscsi portals="${portal[0]}" lun=0
assert_equal "size" $((32 << 20)) "$(nbd_size)"
stop_mpiscsi; stop_field

say "REPORT LUNS refused on LUN 0: the well-known LUN is asked, then LUN 0 is meant"
start_field 1 --no-report-luns --luns 3
assert_match "scan" '`- .* LUN 3$' "$(scan)"
stop_field
start_field 1 --no-report-luns --no-wlun --luns 0
assert_match "scan" '`- .* LUN 0$' "$(scan)"
stop_field

say "numbers in flat form, and no other is taken; with lun= as well"
start_field 1 --form flat --luns 2,300
assert_match "scan" 'LUN 2'$'\n'.*'LUN 300$' "$(scan)"
start_mpiscsi portals="${portal[0]}" lun=2
nbdsh -u "$uri" -c 'h.pwrite(b"a" * 4096, 0); h.flush(); assert h.pread(4096, 0) == b"a" * 4096'
stop_mpiscsi
assert_match "another" 'has no LUN 7; check lun=' "$(scan lun=7)"
stop_field

say "over 2 TiB without READ CAPACITY(16)"
start_field 1 --no-rc16 --rc10-last 0xffffffff
assert_start_fails 'LUN 1 cannot be served: it is larger than READ CAPACITY\(10\) can tell .* refuses READ CAPACITY\(16\)' portals="${portal[0]}"
stop_field

say "LUNs of the array itself are no exports"
for product in 'Universal Xport' LUNZ; do
  start_field 1 --vendor DGC --product "$product" --luns 31
  assert_start_fails 'no LUN to serve .*31 is not served, .*(access LUN|LUNZ)' portals="${portal[0]}"
  assert_match "with lun= it is what was asked for" "^${w%00}1f DGC" "$(scan lun=31)"
  printf 'blacklist_exceptions {\n\tdevice {\n\t\tvendor DGC\n\t\tproduct ".*"\n\t}\n}\n' >"$tmpdir/x.conf"
  assert_match "with an exception as well" "^${w%00}1f DGC" "$(mpiscsi scan -c "$tmpdir/x.conf" "${portal[0]}" 2>&1)"
  stop_field
done

say "block status refused once: for that range, and asked for again"
start_field 1 --thin --refuse-status 2
start_mpiscsi portals="${portal[0]}" lun=1
nbdsh -u "$uri" -c 'h.pwrite(b"a" * 65536, 0); h.flush()'
# The first answer is data, the second request is refused, the third is a hole again.
map=$(nbdinfo --map "$uri")
assert_match "a hole is found after the refusal" 'hole' "$map"
assert_match "data first" '^ *0 +[0-9]+ +0 +data' "$map"
before=$(grep -c ^status "$tmpdir/field.log")
nbdinfo --map "$uri" >/dev/null
assert_less "asked for again" "$before" "$(grep -c ^status "$tmpdir/field.log")"
stop_mpiscsi; stop_field
