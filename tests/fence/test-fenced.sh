#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A server that another host has fenced (PREEMPT with its reservation key) stays
# fenced: also after its sessions were cut, and after a restart.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-reserve.sh
. "$testsdir/functions-reserve.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires nbdsh -c "import nbd"

# io EXPECTED: of one write and one read, "good good" or "EPERM EPERM".
io () {
  local got
  got=$(nbdsh -u "$uri" -c '
def outcome(f):
    try:
        f()
    except nbd.Error as e:
        return e.errno
    return "good"
print(outcome(lambda: h.pwrite(b"x" * 512, 0)), outcome(lambda: h.pread(512, 0)))')
  assert_equal "write, read" "$1" "$got"
}
keys () { reserve_ask keys; }   # that are registered at the target

# The other host has a portal of its own: its connection stays.
simple_target 3 32M
start_other_host
ours=("${portal[@]:1}")
start () {
  start_mpiscsi portals="$(join_portals "${ours[@]}")" discovery=off target="$iqn" lun=1 \
    polling-interval=1 no-path-retry=queue "$@"
  wait_connected 10 "${ours[@]}"
}

say "registered, the other host fences us: EPERM, at once, said once"
start reservation-key=0xabc
for p in "${ours[@]}"; do wait_for_log "$(quote_re "$p"): reinstated" 10; done
io "good good"
assert_match "keys" '0xabc' "$(keys)"
mark_log
reserve register
reserve reserve 5
io "good good"
reserve preempt 5 0xabc
wait_for_log 'fenced: the reservation key 0xabc is not registered' 5
io "EPERM EPERM"
assert_no_match "keys" '0xabc' "$(keys)"
assert_equal "lines about it" 1 "$(count_log 'fenced: the reservation key')"
assert_match "show" "$(quote_re "${ours[0]}") +failed fenced running" "$(mpiscsi -ll)"
assert_match "metrics" 'mpiscsi_map_fenced\{[^}]*\} 1' "$(mpiscsi metrics)"
assert_match "json" '"fenced": ?true' "$(mpiscsi show maps --json)"
assert_match "json" '"reservation_key": ?"0xabc"' "$(mpiscsi show maps --json)"
assert_equal "paths that are fenced" 2 "$(mpiscsi -ll --json | grep -o '"path_st": *"fenced"' | wc -l)"

say "its connections are cut, and come back: still fenced"
for p in "${ours[@]}"; do kill_tcp "$p" || :; done
wait_connected 10 "${ours[@]}"
io "EPERM EPERM"
assert_no_match "keys" '0xabc' "$(keys)"

say "it is started again, after a clean end and after kill -9: still fenced"
start_again () { # [PARAMETER]...
  start reservation-key=0xabc "$@"
  wait_for_log 'fenced: the reservation key 0xabc is not registered' 5
  io "EPERM EPERM"
  assert_no_match "keys" '0xabc' "$(keys)"
}
stop_mpiscsi
start_again
kill -KILL "$mpiscsi_pid"
{ wait "$mpiscsi_pid"; } 2>/dev/null || :     # and what bash says of it
mpiscsi_pid=
start_again
stop_mpiscsi

say "also if the file says only that it was registered, or nothing that can be read"
file=("$STATE_DIRECTORY"/key-*)
assert_equal "files" 1 ${#file[@]}
says_fenced () { [ "$(tail -n 1 "${file[0]}")" = "state fenced" ]; }
says_fenced || fail "the file says: $(<"${file[0]}")"
sed -i 's/^state fenced/state registered/' "${file[0]}"
start_again
wait_until 5 says_fenced || fail "the file says: $(<"${file[0]}")"
stop_mpiscsi
echo rubbish >"${file[0]}"
start_again
wait_for_log 'key-[0-9a-f]{16} is damaged' 1
stop_mpiscsi

say "who was not fenced is registered again after a restart"
rm "${file[0]}"
reserve clear
start reservation-key=0xabc
io "good good"
reserve register
reserve reserve 5
stop_mpiscsi
start reservation-key=0xabc
io "good good"
assert_not_logged 'fenced'
assert_match "keys" '0xabc' "$(keys)"
