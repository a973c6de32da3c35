#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What is said: of targets that want CHAP, refuse us or end a session, of ports
# where something else answers, of secrets and sockets; and that I/O waits for a
# session that the target itself asks to move.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
# shellcheck source=../functions-field.sh
. "$testsdir/functions-field.sh"

# says REGEX TARGET-OPTION... [-- PARAMETER...]: so the start fails.
says () {
  local regex=$1 options=(); shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
  start_field 1 "${options[@]}"
  assert_start_fails "$regex" portals="${portal[0]}" target="$field_iqn" discovery=off "${@:2}"
  assert_no_match "raw text of the library" 'Failed to log in|transport' "$start_error"
  stop_field
}
own='iqn\.[^ ;]*'

say "logins that are refused"
says 'the target wants CHAP, or another initiator name: give user= and password= \(Authentication failure, status 0201h\)' --login-status 0201
says 'did not accept user= and password= .*; check user= and password=' --login-status 0201 -- user=me password=secretsecret
says "allow our initiator name, $own, at the target" --login-status 0202
says "Target not found, status 0203h.*that the target allows our initiator name, $own\$" --login-status 0203
says 'Out of resources, status 0302h' --login-status 0302

say "no iSCSI there"
says 'no iSCSI target answers here, but another service \("SSH-2.0-OpenSSH_9.2"\)' --banner 'SSH-2.0-OpenSSH_9.2\r\n'
says 'no iSCSI target answers here, but another service \("HTTP/1.1 400 Bad Request"\)' \
  --banner 'HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nContent-Length: 157\r\n\r\n'

say "a redirect to a member that is dead: named"
says 'cannot connect to 127.255.255.254:1: Connection refused' --redirect 127.255.255.254:1,1

say "a logout that the target requests is logged as that, and the one path is waited for"
start_field 1 --ask-logout 5
start_mpiscsi portals="${portal[0]}" lun=1
nbdsh -u "$uri" -c 'for i in range(20): h.pwrite(bytes([i]) * 4096, i * 4096)' \
  -c 'for i in range(20): assert h.pread(4096, i * 4096) == bytes([i]) * 4096'
wait_for_log 'session 2 lost: logout requested by the target \(asynchronous message 1' 5
assert_not_logged 'I/O error'
stop_mpiscsi; stop_field

say "a secret file with CR LF"
simple_target 1 32M
tgt_account t 1 me secretsecret12
printf 'secretsecret12\r\n' >"$tmpdir/secret"
start_mpiscsi portals="${portal[0]}" target="$iqn" user=me password=+"$tmpdir/secret"
assert_equal "size" $((32 << 20)) "$(nbd_size)"

say "a socket that is in use: by whom"
ctl=$(echo "$tmpdir"/mpiscsi/*.sock) pid=$(<"$tmpdir/nbdkit.pid")
assert_start_fails "$(quote_re "$ctl") is in use by another server \\(pid $pid, (nbdkit|mpiscsi)\\)" \
  portals="${portal[0]}" target="$iqn" user=me password=+"$tmpdir/secret" control="$ctl"
stop_mpiscsi
printf 'iscsi {\n\tportals %s\n\ttarget %s\n\tuser me\n\tpassword_file %s\n}\nnbd {\n\tunix_socket %s\n}\n' \
  "${portal[0]}" "$iqn" "$tmpdir/secret" "$tmpdir/own.sock" >"$tmpdir/own.conf"
background "$tmpdir/own.log" "$command" serve -c "$tmpdir/own.conf"
own_pid=$!
cleanup_fn end_process "$own_pid"
wait_until 10 nbdinfo --size "nbd+unix:///?socket=$tmpdir/own.sock" || fail "$(<"$tmpdir/own.log")"
assert_fails "$command" serve -c "$tmpdir/own.conf"
assert_match "second server" "$(quote_re "$tmpdir/own.sock"): Address already in use \\(pid [0-9]+, (mpiscsi|nbdkit)\\)" "$(<"$tmpdir/assert_fails.out")"
end_process "$own_pid"

say "check prints all that is in force, and what it prints can be loaded"
cat >"$tmpdir/all.conf" <<'XX'
iscsi {
	portals "10.0.0.1,10.0.0.2:3261"
}
overrides {
	protocol {
		type "scsi:iscsi"
		fast_io_fail_tmo 6
	}
}
devices {
	device {
		vendor "IET"
		product "VIRTUAL.*"
		path_selector "service-time 0"
	}
}
blacklist {
	wwid "!^3600"
	device {
		vendor "X""Y"
	}
}
blacklist_exceptions {
	portal "10[.]"
}
multipaths {
	multipath {
		wwid 3600a
		alias data
	}
}
XX
out=$(mpiscsi check -c "$tmpdir/all.conf" no-path-retry=7)
for line in 'portals "10.0.0.2:3261"' 'no_path_retry 7' 'fast_io_fail_tmo "6"' 'path_selector "service-time 0"' 'wwid "!^3600"' \
            'vendor "X""Y"' 'portal "10[.]"' 'alias "data"'; do
  grep -qF "$line" <<<"$out" || fail "check does not print $line:"$'\n'"$out"
done
echo "$out" >"$tmpdir/again.conf"
assert_equal "check -q" "" "$(mpiscsi check -q -c "$tmpdir/again.conf" 2>&1)"
again=$(mpiscsi check -c "$tmpdir/again.conf")
for line in 'no_path_retry 7' 'wwid "!^3600"' 'vendor "X""Y"' 'alias "data"'; do
  grep -qF "$line" <<<"$again" || fail "the second time check does not print $line:"$'\n'"$again"
done
mpiscsi_fails 1 "unknown parameter 'bogus'" check -q -c "$tmpdir/all.conf" bogus=1
