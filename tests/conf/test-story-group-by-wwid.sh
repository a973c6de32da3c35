#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's row "multipath groups them by WWID": with two portals, each of two
# LUNs is one map of two paths, under the string that scsi_id prints from VPD
# page 0x83; the how-to's own 32017001378a8a9ff in multipaths { } and blacklist { }
# still names that LUN.
TEST_TIMEOUT=${TEST_TIMEOUT:-60}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"

simple_target 2 32M
make_disk "$tmpdir/disk2" 48M
tgt_lun t 1 2 "$tmpdir/disk2" vendor_id=OTHER product_id=SECOND
wwid2=$(tgt_wwid 1 2)

say "two maps of two paths"
start_mpiscsi portals="$(join_portals "${portal[@]}")"
wait_connected 10 "${portal[@]}"
both () { [ "$(mpiscsi show paths | grep -c 'active *ready *running')" = 4 ]; }
wait_until 10 both || fail "not four paths: $(mpiscsi show paths)"
assert_equal "maps" "$(printf '%s\n' "$wwid" "$wwid2" | sort)" \
             "$(mpiscsi show maps | awk 'NR > 1 { print $3 }' | sort)"
python3 - "$(mpiscsi -ll --json)" "$wwid" "$wwid2" "${portal[@]}" <<'PY' || fail "$(mpiscsi -ll --json)"
import json, sys
wwids, portals = sys.argv[2:4], sys.argv[4:]
maps = {m["uuid"]: m for m in json.loads(sys.argv[1])["maps"]}
assert sorted(maps) == sorted(wwids)
for lun, w in enumerate(wwids, 1):
    paths = [p for g in maps[w]["path_groups"] for p in g["paths"]]
    assert sorted(p["dev"] for p in paths) == sorted(portals)
    assert {p["lun"] for p in paths} == {lun}
PY
stop_mpiscsi

say "the how-to's WWID, made of page 0x83: NAA 2, 8 bytes"
# The fake adds the number of the LUN.
start_fake 2 --wwid 2017001378a8a9fe --vendor PROMISE --product "VTrak E610f"
howto=32017001378a8a9ff
cat >"$tmpdir/mpiscsi.conf" <<XX
iscsi {
	portals $(join_portals "${portal[@]}")
}
multipaths {
	multipath {
		wwid $howto
		alias iscsi_data
	}
}
XX
start_mpiscsi config="$tmpdir/mpiscsi.conf"
two () { [ "$(mpiscsi show paths | grep -c 'active *ready *running *iscsi_data')" = 2 ]; }
wait_until 10 two || fail "not two paths of iscsi_data: $(mpiscsi show paths)"
assert_equal "mpiscsi -ll" \
  "$(topology_of iscsi_data $howto 64M "PROMISE,VTrak E610f" 'round-robin 0' active "${portal[0]} active ready" "${portal[1]} active ready")" \
  "$(mpiscsi -ll)"
assert_match "log" "WWID $howto"$'\n' "$(<"$mpiscsi_log")"
stop_mpiscsi
printf 'blacklist {\n\twwid %s\n}\n' $howto >>"$tmpdir/mpiscsi.conf"
assert_start_fails 'no LUN to serve is left by the blacklist: .*mpiscsi.conf:[0-9]' config="$tmpdir/mpiscsi.conf"
