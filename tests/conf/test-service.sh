#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# As systemd runs it: the units are good and hardened; READY=1 comes from the
# main process, and not before I/O works; STATUS counts paths; the journal gets
# levels; stop, kill -9 and start again; ExecReload's command.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires nbdsh -c "import nbd"
systemd-analyze --version >/dev/null || fail "no systemd-analyze: run tests/bootstrap-debian"

#---- the units ------------------------------------------------------------------
say "systemd-analyze verify and security"
mkdir -p "$tmpdir/units" "$tmpdir/man/man8" "$tmpdir/man/man1"
man=--man=no
if command -v man >/dev/null; then
  man=--man=yes
  pod2man "$top_srcdir/server/cmd/mpiscsi.pod" >"$tmpdir/man/man8/mpiscsi.8"
  pod2man "$top_srcdir/plugin/nbdkit-mpiscsi-plugin.pod" >"$tmpdir/man/man1/nbdkit-mpiscsi-plugin.1"
fi
verify () { # UNIT
  MANPATH=$tmpdir/man systemd-analyze verify --recursive-errors=no "$man" "$tmpdir/units/$1" \
    >"$tmpdir/verify.out" 2>&1
}
for unit in mpiscsi.service mpiscsi@.service; do
  [ -f "$top_builddir/conf/$unit" ] || fail "there is no conf/$unit: run make"
  assert_equal "what is not substituted in $unit" "" "$(grep '@[a-z]*@' "$top_builddir/conf/$unit" || :)"
  # It need not be installed for this.
  sed "s|=/[^ ]*/mpiscsi |=$command |" "$top_builddir/conf/$unit" >"$tmpdir/units/$unit"
  verify $unit || fail "$unit: $(<"$tmpdir/verify.out")"
  assert_equal "what verify says of $unit" "" "$(<"$tmpdir/verify.out")"
  systemd-analyze security --offline=true --threshold=20 --no-pager "$tmpdir/units/$unit" \
    >"$tmpdir/security.out" 2>&1 || fail "$unit is not hardened: $(<"$tmpdir/security.out")"
  tail -n 1 "$tmpdir/security.out"
  for line in Type=notify User=mpiscsi NoNewPrivileges=yes PrivateTmp=yes ProtectSystem=strict \
      ProtectHome=yes 'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6' CapabilityBoundingSet= \
      SystemCallFilter=@system-service RuntimeDirectory=mpiscsi StateDirectory=mpiscsi LimitCORE=0; do
    grep -qxF -- "$line" "$tmpdir/units/$unit" || fail "$unit has no line $line"
  done
done
# A mistake is found.
echo 'ExecStart=/nonexistent/x' | cat - "$tmpdir/units/mpiscsi.service" >"$tmpdir/units/bad.service"
assert_fails verify bad.service
systemd-sysusers --dry-run "$top_srcdir/conf/mpiscsi.sysusers" >"$tmpdir/sysusers.out" 2>&1 ||
  fail "sysusers: $(<"$tmpdir/sysusers.out")"

#---- ready ----------------------------------------------------------------------
# portal[0] is late: late-portal.py in front of portal[2]; portal[1] joins after.
pick_portals 3
make_disk "$tmpdir/disk" 32M
start_tgt t "${portal[1]}" "${portal[2]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk" vendor_id=TEST product_id=TESTDISK
wwid=$(tgt_wwid 1 1)
nbd_uri="nbd+unix:///iscsi_data?socket=$tmpdir/n.sock"

conf () { # PORTAL...
  cat >"$tmpdir/mpiscsi.conf" <<XX
iscsi {
	portals $(join_portals "$@")
	discovery off
	target $iqn
	login_timeout 2
}
defaults {
	polling_interval 1
}
multipaths {
	multipath {
		wwid $wwid
		alias iscsi_data
	}
}
nbd {
	unix_socket $tmpdir/n.sock
}
XX
}
listen () { # ADDRESS [URI]: a manager; what it hears is in notify.log
  rm -f "$tmpdir/notify.log"
  background "$tmpdir/notify.log" python3 "$testsdir/fake/notify-listener.py" "$@"
  manager_pid=$!
  cleanup_fn end_process "$manager_pid"
  wait_until 10 grep -q listening "$tmpdir/notify.log" || fail "no manager: $(<"$tmpdir/notify.log")"
}
serve () { # VARIABLE=VALUE...
  background "$tmpdir/serve.log" env "$@" "${server_env[@]}" "$command" serve -c "$tmpdir/mpiscsi.conf"
  serve_pid=$!
  cleanup_fn end_process "$serve_pid"
}
stop () { # [SIGNAL]: ends well
  local status=0
  kill "-${1:-TERM}" "$serve_pid"
  wait_until 10 gone "$serve_pid" || fail "it does not end"
  wait "$serve_pid" || status=$?
  assert_equal "status of mpiscsi serve" 0 "$status"
}
hears () { # LINE [SECONDS]
  wait_until "${2:-10}" grep -qxF -- "$serve_pid $1" "$tmpdir/notify.log" ||
    fail "the manager does not hear $1:"$'\n'"$(<"$tmpdir/notify.log")"$'\n'"$(tail "$tmpdir/serve.log")"
}
heard () { grep -cxF -- "$serve_pid $1" "$tmpdir/notify.log" || :; }
reads () { timeout 15 nbdsh -u "$nbd_uri" -c 'h.pread(4096, 0)'; }

say "READY=1 not before I/O works"
background "$tmpdir/late.log" python3 "$testsdir/fake/late-portal.py" "${portal[0]}" "${portal[2]}" 0 "$tmpdir/go"
cleanup_fn end_process $!
wait_until 10 grep -q listening "$tmpdir/late.log" || fail "no late portal"
conf "${portal[0]}"
listen "$tmpdir/notify.sock" "$nbd_uri"
serve NOTIFY_SOCKET="$tmpdir/notify.sock"
hears 'STATUS=no path yet' 15
wait_until 10 grep -q 'connection 1' "$tmpdir/late.log" || fail "no connection"
sleep 0.5
assert_equal "READY=1 so far" 0 "$(heard READY=1)"
touch "$tmpdir/go"
hears READY=1 15
hears 'STATUS=iscsi_data: 1 of 1 paths active'
wait_until 15 grep -q '^io' "$tmpdir/notify.log" || fail "no answer to I/O"
assert_equal "I/O at the moment of READY=1" "io good" "$(grep '^io' "$tmpdir/notify.log")"

say "STATUS counts paths"
mpiscsi add "${portal[1]}"
hears 'STATUS=iscsi_data: 2 of 2 paths active'
lose_portal t "${portal[1]}"
hears 'STATUS=iscsi_data: 1 of 2 paths active'
tgt_add_portal t "${portal[1]}"
both () { [ "$(heard 'STATUS=iscsi_data: 2 of 2 paths active')" = 2 ]; }
wait_until 10 both || fail "no word of the path that is back: $(<"$tmpdir/notify.log")"
assert_equal "STOPPING=1 so far" 0 "$(heard STOPPING=1)"
stop
hears STOPPING=1
assert_equal "READY=1" 1 "$(heard READY=1)"
assert_equal "messages of other processes" "" "$(grep '^[0-9]' "$tmpdir/notify.log" | grep -v "^$serve_pid " || :)"

say "again where it was, and after kill -9; another address; SIGHUP is reconfigure"
[ ! -e "$tmpdir/n.sock" ] || fail "it leaves its socket behind"
conf "${portal[1]}" "${portal[2]}"
listen "@mpiscsi-test-$$" "$nbd_uri"
tried=0
_has_tried () { [ "$(grep -c '^io' "$tmpdir/notify.log")" = $tried ]; }
for signal in KILL HUP; do
  serve NOTIFY_SOCKET="@mpiscsi-test-$$"
  hears READY=1 20
  tried=$((tried + 1))
  wait_until 10 _has_tried || fail "no I/O at READY=1"
  if [ $signal = KILL ]; then
    kill -KILL "$serve_pid"; wait "$serve_pid" 2>/dev/null || :
    [ -S "$tmpdir/n.sock" ] || fail "no socket is left: this tests nothing"
  else
    kill -HUP "$serve_pid"
    wait_until 5 grep -q 'SIGHUP: reconfigured' "$tmpdir/serve.log" || fail "SIGHUP does nothing"
    stop
  fi
done
assert_equal "I/O at READY=1" $'io good\nio good' "$(grep '^io' "$tmpdir/notify.log")"

say "no manager: it serves all the same"
for address in "" "$tmpdir/nobody.sock" not-an-address; do
  : >"$tmpdir/serve.log"
  serve NOTIFY_SOCKET="$address"
  wait_until 15 reads || fail "it does not serve with NOTIFY_SOCKET=$address: $(<"$tmpdir/serve.log")"
  [ "$address" = not-an-address ] || assert_no_match "log" NOTIFY_SOCKET "$(<"$tmpdir/serve.log")"
  stop
done
assert_match "log" "warning: NOTIFY_SOCKET: 'not-an-address' is not the address of a Unix socket" "$(<"$tmpdir/serve.log")"

#---- reload, logs -----------------------------------------------------------------
say "the journal gets levels; ExecReload"
: >"$tmpdir/serve.log"
serve JOURNAL_STREAM=8:1234
wait_until 15 reads || fail "it does not serve"
reload=$(sed -n 's/^ExecReload=//p' "$tmpdir/units/mpiscsi.service")
reload=${reload//\${MAINPID\}/$serve_pid}
$reload >"$tmpdir/reload.out" 2>&1 && fail "it reloads a server elsewhere: $reload"
reload=${reload//=\/run\//=$tmpdir/}
$reload >"$tmpdir/reload.out" 2>&1 || fail "$reload: $(<"$tmpdir/reload.out")"
is_running "$serve_pid" || fail "the reload has ended it"
lose_portal t "${portal[1]}"
level () { # LEVEL REGEX: there is such a line, with that level
  wait_until 10 grep -q "mpiscsi: .*$2" "$tmpdir/serve.log" || fail "not logged: $2"
  assert_equal "level of $2" "<$1>" "$(sed -n "s/^\(<.>\)\{0,1\}mpiscsi: .*$2.*/\1/p" "$tmpdir/serve.log" | sort -u)"
}
level 4 "Failing path ${portal[1]}"
level 6 "remaining active paths: 1"
tgt_add_portal t "${portal[1]}"
level 6 "${portal[1]}: reinstated"
level 6 "Write Protect is off"
reads || fail "no I/O after the reload"
stop
assert_equal "lines of ours without a level" "" "$(sed '1,/Attached SCSI disk/d' "$tmpdir/serve.log" | grep '^mpiscsi: ' || :)"
