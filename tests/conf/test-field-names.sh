#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Names and addresses as people have them: host names with several addresses,
# target names that are not in RFC form, link-local portals without a zone,
# addresses that cannot be reached from here, one portal by two names, a file
# with an odd initiator name.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
# shellcheck source=../functions-field.sh
. "$testsdir/functions-field.sh"
requires_root

# Our own /etc/hosts, and no other file of the host is different.
start_field 2
a=${portal[0]} b=${portal[1]} port=${portal[0]##*:} ip=${portal[0]%:*} ip2=${portal[1]%:*}
printf '::1 two.example\n%s two.example\n%s one.example\n' "$ip" "$ip" >"$tmpdir/hosts"
client_ns=(unshare -m bash -c 'mount --bind "$0" "$1" && shift && exec "$@"' "$tmpdir/hosts" /etc/hosts)
requires "${client_ns[@]}" true

say "a name with several addresses: all of them before giving up"
start_mpiscsi portals="two.example:$port" target="$field_iqn" discovery=off lun=1
assert_equal "size" $((32 << 20)) "$(nbd_size)"
stop_mpiscsi
assert_match "what was tried" "two.example:$port: cannot connect to \\[::1\\]:$port: Connection refused; next is $ip:$port" "$(<"$mpiscsi_log")"
stop_field
assert_start_fails "two.example:$port: cannot connect to $ip:$port: Connection refused" \
  portals="two.example:$port" target="$field_iqn" discovery=off

say "the same portal by name and by address is one path"
run_field "$a $b"
start_mpiscsi portals="one.example:$port,$a,$b" lun=1 discovery=off target="$field_iqn"
wait_for_log "is the same portal as .*\\($ip:$port, portal group 1 of $field_iqn\\): one path" 5
wait_for_log 'remaining active paths: 2' 5
two () { [ "$(mpiscsi show paths | grep -c 'active *ready')" = 2 ]; }
wait_until 5 two || fail "$(mpiscsi show paths)"
assert_not_logged 'remaining active paths: 3'
[ "$(count_log "is the same portal as")" -le 2 ] || fail "said too often (the trial and the server say it once)"
stop_mpiscsi; stop_field

say "target names that are not in RFC form are taken, with one remark; and without case"
for name in iqn.2015-1.workgroup:x iqn.com.vendor; do
  run_field "$a $b" --name "$name"
  start_mpiscsi portals="$a,$b" lun=1
  wait_for_log 'remaining active paths: 2' 5
  assert_equal "remarks of $name" 1 "$(count_log "warning: .*target name $name is not in the form of RFC 7143")"
  stop_mpiscsi
  start_mpiscsi portals="$a" target="${name^^}" lun=1
  assert_equal "size" $((32 << 20)) "$(nbd_size)"
  stop_mpiscsi; stop_field
done

say "discovery tells only what cannot be reached: the portal that answered is tried"
for told in 127.255.255.254:1 no-such-host.invalid:3260; do
  run_field "$a" --tell "$field_iqn=$told"
  start_mpiscsi portals="$a" lun=1 login-timeout=3
  assert_equal "size" $((32 << 20)) "$(nbd_size)"
  wait_for_log "$(quote_re "$told"): .*\\(told by $(quote_re "$a"); discovery=off uses only portals=\\)" 5
  stop_mpiscsi; stop_field
done
run_field "$a" --tell "$field_iqn=127.255.255.254:1" --login-status 0203
assert_start_fails "127.255.255.254:1.*told by .*discovery=off|Target not found" portals="$a"
stop_field

say "link-local portals: told without a zone they get that of the portal that was asked"
assert_start_fails 'needs a zone' portals='[fe80::1]:3260'
netns=(unshare -n bash -c 'ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip link set lo up
  ip addr add fe80::1234/64 dev v0 nodad; exec "$@"' --)
cat >"$tmpdir/zone.sh" <<'XX'
python3 "$1" --listen '[fe80::1234%v0]:3260' --tell 'iqn.2026-11.example.mpiscsi:field=[fe80::1234]:3260' >"$4" & t=$!
until grep -q ^ready "$4"; do kill -0 $t || exit 1; done
"$2" discover '[fe80::1234%v0]:3260' 2>&1
"$2" scan '[fe80::1234%v0]:3260' 2>&1
kill $t
XX
out=$("${netns[@]}" bash "$tmpdir/zone.sh" "$testsdir/fake/field-target.py" "${MPISCSI_COMMAND:-$top_builddir/server/mpiscsi}" x "$tmpdir/zone.log" || :)
assert_match "discover" "\\[fe80::1234%v0\\]:3260,1 $field_iqn" "$out"
assert_match "scan" '`- \[fe80::1234%v0\]:3260' "$out"

say "more portals and targets than fit in one answer of old: all of them"
tell=()
for i in $(seq 300); do tell+=(--tell "iqn.2026-11.example:t$i=127.9.$((i / 250)).$((i % 250 + 1)):3260"); done
run_field "$a" "${tell[@]}"
assert_equal "targets" 300 "$(mpiscsi discover "$a" | sort -u | wc -l)"
stop_field
many=
for i in $(seq 200); do many+=";127.9.0.$i:3260"; done
run_field "$a" --tell "$field_iqn=${many#;}"
assert_equal "portals" 200 "$(mpiscsi discover "$a" | sort -u | wc -l)"
stop_field

say "an initiator name that is odd is said, and used (unit-settings has the others)"
printf '\xef\xbb\xbfInitiatorName="iqn.2015-1.host:x"\n' >"$tmpdir/initiatorname.iscsi"
run_field "$a"
start_mpiscsi portals="$a" lun=1 initiator-name="+$tmpdir/initiatorname.iscsi"
assert_match "said" "warning: .*initiatorname.iscsi: .*: our name is taken to be iqn.2015-1.host:x" "$(new_log)"
stop_mpiscsi
