#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's rows "the kernel log shows what was found" and "multipath groups
# them by WWID": mpiscsi scan lists each LUN with its facts and its portals.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"

simple_target 2 32M
make_disk "$tmpdir/disk2" 48M
tgt_lun t 1 2 "$tmpdir/disk2" vendor_id=OTHER product_id=SECOND readonly=1 thin_provisioning=1
wwid2=$(tgt_wwid 1 2)

say "as text"
out=$(mpiscsi scan "${portal[@]}")
assert_match "LUN 1" "(^|"$'\n'")$wwid TEST,TESTDISK rev=0001"$'\n'"size=32M blocks=65536 block_size=512 physical_block_size=[0-9]+ wp=rw cache=write-back fua=yes thin=no" "$out"
assert_match "LUN 2" "(^|"$'\n'")$wwid2 OTHER,SECOND rev=0001"$'\n'"size=48M blocks=98304 block_size=512 physical_block_size=[0-9]+ wp=ro cache=[a-z-]+ fua=yes thin=yes" "$out"
for p in "${portal[@]}"; do
  assert_equal "lines of $p" 2 "$(grep -Ec -- "^[|\`]- $p,1 $iqn LUN [12]\$" <<<"$out")"
done

say "as JSON"
json=$(mpiscsi scan --json "${portal[@]}")
python3 - "$json" "$wwid" "$wwid2" "${portal[@]}" <<'PY' || fail "$json"
import json, sys
wwids, portals = sys.argv[2:4], sys.argv[4:]
luns = {l["wwid"]: l for l in json.loads(sys.argv[1])["luns"]}
assert sorted(luns) == sorted(wwids)
one, two = (luns[w] for w in wwids)
assert (one["size"], one["write_prot"], one["thin"]) == (32 << 20, "rw", False)
assert (two["size"], two["write_prot"], two["thin"]) == (48 << 20, "ro", True)
for l in one, two:
    assert sorted(p["portal"] for p in l["portals"]) == sorted(portals)
    assert {p["lun"] for p in l["portals"]} == {1 if l is one else 2}
PY

say "one of them; an alias from the file; nobody stays logged in"
assert_match "wwid=" "^$wwid2 OTHER" "$(mpiscsi scan "${portal[0]}" wwid="$wwid2")"
cat >"$tmpdir/a.conf" <<XX
iscsi {
	portals ${portal[0]}
	lun 1
}
multipaths {
	multipath {
		wwid $wwid
		alias iscsi_data
	}
}
XX
assert_match "alias" "^iscsi_data \\($wwid\\) TEST,TESTDISK" "$(mpiscsi scan -c "$tmpdir/a.conf")"
assert_equal "connections left" 0 "$(connections "${portal[0]}")"
mpiscsi_fails 1 'has no LUN 7; check lun=' scan "${portal[0]}" lun=7
