#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What is wrong at the start is said in one line that names it, before nbdkit
# goes to the background; in bounded time.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"

pick_portals 3
nobody=${portal[2]}
portal=("${portal[@]:0:2}")
make_disk "$tmpdir/disk" 32M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk"
tgt_lun t 1 3 "$tmpdir/disk" device-type=cd
# Only a host with this name may use the second target.
tgt_adm t --mode target --op new --tid 2 -T "$iqn-acl"
tgt_adm t --mode target --op bind --tid 2 --initiator-name iqn.2026-11.example:friend
make_disk "$tmpdir/acl" 16M
tgt_lun t 2 1 "$tmpdir/acl"
p=${portal[0]}

say "parameters"
assert_start_fails 'portals'                 # none at all
assert_start_fails 'no_such_thing|no-such-thing' portals="$p" no-such-thing=1
assert_start_fails 'rr.min.io' portals="$p" rr-min-oi=1      # the nearest one is named
assert_start_fails 'portals' portals=
assert_start_fails '99999' portals=127.0.0.1:99999
assert_start_fails '\[::1' portals='[::1'
assert_start_fails '127.0.0.1:port' portals=127.0.0.1:port
assert_start_fails 'lun' portals="$p" lun=one
assert_start_fails 'lun' portals="$p" lun=-1
assert_start_fails 'lun' portals="$p" lun=99999999999
assert_start_fails 'no.path.retry' portals="$p" no-path-retry=maybe
assert_start_fails 'polling.interval' portals="$p" polling-interval=-1
assert_start_fails 'polling.interval' portals="$p" polling-interval=5x
assert_start_fails 'rr.min.io' portals="$p" rr-min-io=0
assert_start_fails 'header.digest' portals="$p" header-digest=md5
assert_start_fails 'discovery' portals="$p" discovery=perhaps
assert_start_fails 'target' portals="$p" target=not-an-iscsi-name
assert_start_fails 'initiator.name' portals="$p" initiator-name=nonsense

say "refused"
assert_start_fails "$(quote_re "$nobody").*[Rr]efused" portals="$nobody" target="$iqn"
assert_start_fails "$(quote_re "$nobody").*[Rr]efused" portals="$nobody"
assert_less "ms until the error" "$start_ms" $((6000 * slow_limits))
say "a host name that does not exist"
assert_start_fails 'no-such-host.invalid' portals=no-such-host.invalid

say "no such target, no such LUN, no disk"
assert_start_fails "$(quote_re "$iqn-none")" portals="$p" target="$iqn-none"
assert_start_fails "$(quote_re "$iqn-none")" portals="$p" target="$iqn-none" discovery=off
assert_start_fails '(LUN|lun) ?=?9' portals="$p" target="$iqn" lun=9
assert_start_fails '(LUN|lun) ?=?3.*(disk|type)' portals="$p" target="$iqn" lun=3
assert_start_fails '(LUN|lun) ?=?0.*(disk|type)' portals="$p" target="$iqn" lun=0

say "an nbdkit that ends with one of its clients"
needs_nbdkit
version=$("${NBDKIT:-nbdkit}" --version | sed -n 's/^nbdkit \([0-9.]*\).*/\1/p')
before=$front_end
needs_nbdkit
start_mpiscsi portals="$p" target="$iqn" lun=1
front_end=$before
case $version in
  1.32.4 | 1.32.5) wait_for_log "warning: nbdkit $version may end" 5 ;;
  *) assert_no_match "the log" 'nbdkit .* may end' "$(new_log)" ;;
esac
stop_mpiscsi

say "initiator name"
assert_start_fails "$(quote_re "$iqn-acl")|initiator" portals="$p" target="$iqn-acl" discovery=off \
                   initiator-name=iqn.2026-11.example:stranger
start_mpiscsi portals="$p" target="$iqn-acl" initiator-name=iqn.2026-11.example:friend
assert_equal "size" $((16 << 20)) "$(nbd_size)"
stop_mpiscsi

say "a target that takes the connection and says nothing: login-timeout"
pause_tgt t
assert_start_fails "$(quote_re "$p")" portals="$p" target="$iqn" login-timeout=2
assert_less "ms until the error" "$start_ms" $((8000 * slow_limits))
resume_tgt t

say "hyphen or underscore"
start_mpiscsi portals="$p" target="$iqn" rr_min_io=7 no_path_retry=queue polling_interval=1
stop_mpiscsi

say "one portal down at start is a warning, and it joins later"
tgt_del_portal t "${portal[1]}"
start_mpiscsi portals="$(join_portals "${portal[@]}")" target="$iqn" polling-interval=1
wait_for_log "$(quote_re "${portal[1]}").*[Rr]efused" 5
assert_equal "size" $((32 << 20)) "$(nbd_size)"
mark_log
tgt_add_portal t "${portal[1]}"
wait_for_log "$(quote_re "${portal[1]}") - [a-z]+ checker reports path is up\$" 15
wait_for_log 'remaining active paths: 2$' 2
wait_connected 2 "${portal[@]}"
stop_mpiscsi

# In namespaces, if this may be done here; the rest of the test is done.
[ "$(id -u)" = 0 ] || exit 0
say "unreachable: a host that does not answer, and no route"
make_net 1
drop_portal "${portal[0]}"
assert_start_fails "$(quote_re "${portal[0]}")" portals="${portal[0]}" target="$iqn" login-timeout=2
assert_match "why" '[Tt]im(ed|eout)|not? (answer|reach)' "$start_error"
assert_less "ms until the error" "$start_ms" $((8000 * slow_limits))
assert_start_fails "192[.]0[.]2[.]1:3260.*[Uu]nreachable" portals=192.0.2.1 target="$iqn" login-timeout=2
assert_less "ms until the error" "$start_ms" $((8000 * slow_limits))
