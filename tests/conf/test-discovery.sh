#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# SendTargets: one portal is given, the others are found and used;
# discovery=off keeps to the list; target= chooses.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"

pick_portals 4
all=("${portal[@]}")
front=${all[2]} dead=${all[3]}
portal=("${all[0]}" "${all[1]}")
make_disk "$tmpdir/disk" 32M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk"
# tgtd tells only the address that was asked, so the asked one is a relay.
discovery_proxy () { # LISTEN ADDRESS...
  background "$tmpdir/proxy.log" python3 "$testsdir/fake/discovery-proxy.py" \
             "$1" "${portal[0]}" "${@:2}"
  proxy_pid=$!
  cleanup_fn end_process "$proxy_pid"
  wait_until 10 grep -q listening "$tmpdir/proxy.log" || fail "the relay does not listen"
}
uses () { # PORTAL...: a connection each, and I/O over each
  local p n=()
  wait_connected 10 "$@"
  for p; do n+=("$(path_bytes "$p")"); done
  nbdsh -u "$uri" -c 'b = bytes(65536)
for i in range(256): h.pwrite(b, i * 65536)'
  for p; do
    assert_less "bytes over $p before and after" $((n[0] + (2 << 20))) "$(path_bytes "$p")"
    n=("${n[@]:1}")
  done
}

# The server's: the relay has some to the first portal, too.
own_connections () { _ss "$1" -p | grep -c "pid=$mpiscsi_pid," || :; }

say "one portal is given, two are found"
discovery_proxy "$front" "${portal[0]},1" "${portal[1]},1"
iscsi-ls "iscsi://$front" | grep -qF "${portal[1]}" || fail "the relay does not tell of the second portal"
start_mpiscsi portals="$front" rr-min-io=1
uses "${portal[@]}"
stop_mpiscsi

say "given and found: one session each"
start_mpiscsi portals="$front,${portal[0]},${portal[1]}" rr-min-io=1
uses "${portal[@]}"
for p in "${portal[@]}"; do assert_equal "connections to $p" 1 "$(own_connections "$p")"; done
stop_mpiscsi

say "target= with discovery: further portals of just that one"
tgt_target t 2 "$iqn-other"
make_disk "$tmpdir/other" 16M
tgt_lun t 2 1 "$tmpdir/other"
start_mpiscsi portals="$front" target="$iqn" rr-min-io=1
assert_equal "size" $((32 << 20)) "$(nbd_size)"
uses "${portal[@]}"
stop_mpiscsi
say "no target=: both targets, an export each"
start_mpiscsi portals="$front"
list=$(nbdinfo --list "$uri")
assert_match "list" "$(tgt_wwid 1 1)" "$list"
assert_match "list" "$(tgt_wwid 2 1)" "$list"
stop_mpiscsi
say "a target that is not there"
assert_start_fails 'nonesuch' portals="$front" target="$iqn-nonesuch"

say "discovery=off"
start_mpiscsi portals="${portal[0]}" target="$iqn" discovery=off
uses "${portal[0]}"
assert_equal "connections to the second portal" 0 "$(connections "${portal[1]}")"
stop_mpiscsi
start_mpiscsi portals="$front" target="$iqn" discovery=off
uses "$front"
for p in "${portal[@]}"; do
  assert_equal "the server's connections to $p" 0 "$(own_connections "$p")"
done
stop_mpiscsi

say "one of the found portals is dead, one is nonsense: the others serve"
end_process "$proxy_pid"
: >"$tmpdir/proxy.log"
discovery_proxy "$front" "$dead,1" "${portal[0]},1" "[::1:99999,1" "${portal[1]},1"
start_mpiscsi portals="$front" target="$iqn" rr-min-io=1
uses "${portal[@]}"
wait_for_log "$(quote_re "$dead")" 5
