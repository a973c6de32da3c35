#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's row "blacklist": by WWID and by vendor and product, with an
# exception; what is kept out is not served and not listed.
TEST_TIMEOUT=${TEST_TIMEOUT:-60}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"

simple_target 2 32M
for lun in 2 3 4; do
  make_disk "$tmpdir/disk$lun" 16M
  tgt_lun t 1 $lun "$tmpdir/disk$lun" vendor_id=VENDOR$lun "product_id=PRODUCT$lun"
done
conf () {
  printf 'iscsi {\n\tportals %s\n}\n' "$(join_portals "${portal[@]}")"
  printf '%s\n' "$@"
}
expect () { # WHAT RULES LUN...
  local what=$1 rules=$2 lun want=''; shift 2
  say "$what"
  for lun; do want+="$(tgt_wwid 1 "$lun")"$'\n'; done
  conf "$rules" >"$tmpdir/b.conf"
  assert_equal "$what: scan" "${want%$'\n'}" \
               "$(mpiscsi scan --json -c "$tmpdir/b.conf" | sed -n 's/.*"wwid": "\(.*\)",/\1/p' | sort)"
  start_mpiscsi config="$tmpdir/b.conf"
  wait_until 10 _has_maps $# || fail "$what: $(mpiscsi show maps)"
  assert_equal "$what: show maps" "${want%$'\n'}" "$(mpiscsi show maps | awk 'NR > 1 { print $3 }' | sort)"
  stop_mpiscsi
}
_has_maps () { [ "$(mpiscsi show maps | awk 'NR > 1' | wc -l)" -ge "$1" ]; }

expect "nothing is kept out" "" 1 2 3 4
expect "by WWID" "blacklist {
	wwid \"$(tgt_wwid 1 2)\"
}" 1 3 4
expect "by device" 'blacklist {
	device {
		vendor VENDOR[23]
	}
}' 1 4
expect "all, with an exception" "blacklist {
	wwid .*
}
blacklist_exceptions {
	wwid $(tgt_wwid 1 4)
}" 4

say "all: the error names the line of the blacklist"
conf 'blacklist {' '	wwid .*' '}' >"$tmpdir/b.conf"
line=$(grep -n 'wwid' "$tmpdir/b.conf" | cut -d: -f1)
assert_start_fails "no LUN to serve is left by the blacklist: .*: LUN [1-4] is blacklisted, wwid: $tmpdir/b.conf:$line" \
                   config="$tmpdir/b.conf"
mpiscsi_fails 1 "no LUN to serve is left by the blacklist: .*:$line" scan -c "$tmpdir/b.conf"
