#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Asymmetric arrays that are odd, or that want to be told (explicit access); and
# a start while no port takes I/O.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
# shellcheck source=../functions-array.sh
. "$testsdir/functions-array.sh"
read_ok () { nbdsh -u "$uri" -c 'h.pread(4096, 0)'; }

# No port is active at the start: it waits, warns, and serves.
array 11:standby,12:standby --tpgs 1
t0=$(now_ms)
start_mpiscsi "${params[@]}" login-timeout=0.7
waited=$(($(now_ms) - t0))
assert_less "ms that the start waited" 700 "$waited"
assert_less "and at most" "$waited" $((2500 * slow_limits))
wait_for_log 'the array takes no I/O on any of its ports now \(standby\): served, but I/O waits' 1
load
sleep 0.2
fake_ctl state 12 ao
wait_until 2 _group_is 50 active || fail "$(mpiscsi -ll)"
load_ended "start in standby" 300
assert_match "listing" "prio=50 status=active" "$(mpiscsi -ll)"
# ... and if their size is not even known: it is served once it is.
stop_mpiscsi
array 11:unavailable,12:transitioning --tpgs 1 --unavailable-qualifier
launch_mpiscsi "${params[@]}" login-timeout=3
sleep 0.5
fake_ctl state 11 ao
wait_until 5 read_ok || fail "not served: $(<"$mpiscsi_log")"
wait_until 3 _path_is "${portal[1]}" "active ghost" || fail "the other one: $(mpiscsi -ll)"
fake_ctl state 12 ano
wait_until 8 _path_is "${portal[1]}" "active ready" || fail "the other one: $(mpiscsi -ll)"

# Explicit access only: no group is active, so one is asked for, at once.
served 11:standby,12:standby --tpgs 2
wait_for_log 'port group 1[12]: SET TARGET PORT GROUPS to active/optimized: no group that is reached is active' 2
wait_until 2 _group_is 50 active || fail "$(mpiscsi -ll)"
assert_equal "commands for that" 1 "$(fake_commands stpg)"
read_ok
# The active port is gone: the other one is asked for.
mark_log
active=$(mpiscsi -ll | awk '/prio=50/ { getline; print $(NF - 3) }')
load
mpiscsi fail "$active" >"$tmpdir/fail.out"
wait_for_log 'SET TARGET PORT GROUPS' 2
wait_until 2 _group_is 50 active
load_ended "the other port is asked for" 0
mpiscsi reinstate "$active" >"$tmpdir/fail.out"
wait_until 3 _path_is "$active" "active ghost" || fail "$(mpiscsi -ll)"
# By hand, under load.
load
out=$(mpiscsi switchgroup "$map" 2)
assert_match "switchgroup" "was asked to make path group 2 active/optimized" "$out"
wait_until 2 _path_is "$active" "active ready" || fail "$(mpiscsi -ll)"
load_ended switchgroup 0
run_error=$(mpiscsi switchgroup "$map" 7 2>&1 || :)
assert_match "no such group" "has no path group 7: it has 2" "$run_error"
# Another host takes it, and we reach only this one: no ping-pong.
served 11:ao --alua-more 1 --tpgs 2 -- no-path-retry=queue
before=$(fake_commands stpg)
fake_ctl state 11 standby 1000 ao
background "$tmpdir/read.log" nbdsh -u "$uri" -c 'h.pread(4096, 0)'
read_pid=$!
wait_for_log 'port group 11: active/optimized -> standby' 3
sleep 1
assert_equal "SET TARGET PORT GROUPS against another host" "$before" "$(fake_commands stpg)"
fake_ctl state 11 ao
wait "$read_pid"
# It fails: again, less and less often, and the log says why.
served 11:standby --tpgs 3 --stpg-others ano
fake_ctl stpg fail
wait_for_log 'SET TARGET PORT GROUPS failed: HARDWARE ERROR 67/0A \(set target port groups command failed\)' 4
fake_ctl stpg ok
wait_until 5 _group_is 50 active || fail "$(mpiscsi -ll)"

# Odd lists.  Each: where I/O goes, and a failover under load.
odd () { # NAME TARGET OPTION...
  local name=$1; shift
  served 11:ao,12:ano --tpgs 1 "$@"
  scene "$name" 0 "state 12 ao 11 standby" 0.2
  wait_until 2 _group_is 50 active || fail "$name: $(mpiscsi -ll)"
  assert_match "$name" "${portal[0]} active ghost running" "$(mpiscsi -ll)"
}
odd "no extended header" --rtpg plain
odd "72 groups" --alua-more 70
odd "nobody is told" --alua-ua none --rtpg busy
scene "and does not say that it is in transition" 300 "state 12 transitioning" 0.3 "state 12 ao"

# Without an answer, or without a group in page 83h, all ports are used alike.
served 11:ao,12:ao --rtpg refused --tpgs 1
assert_match "no such command" "hwhandler='1 alua'.*prio=50 status=active.*active ready.*active ready" \
             "$(mpiscsi -ll | tr '\n' ' ')"
assert_equal "said" 1 "$(count_log 'does not know REPORT TARGET PORT GROUPS: all its ports count as active/optimized')"
scene "no such command" 0 0.2
served 11:ao,12:ao --no-type5 --tpgs 1
assert_match "no group" "hwhandler='0'.*prio=1 status=active.*active ready.*active ready" \
             "$(mpiscsi -ll | tr '\n' ' ')"
wait_for_log 'does not say in which this port is \(no type 5 in VPD page 83h\)' 1
scene "no group in page 83h" 0 0.2
# Switched off, it is as it was.
served 11:ao,12:ano -- detect-prio=no
assert_match "detect_prio no" "hwhandler='0'.*prio=1 status=active.*active ready.*active ready" \
             "$(mpiscsi -ll | tr '\n' ' ')"
# A preferred group that is optimized, in a group of its own.
served 11:ao+,12:ao -- prio-args=exclusive_pref_bit
assert_match "exclusive_pref_bit" "prio=130 status=active.*prio=50 status=enabled" "$(mpiscsi -ll | tr '\n' ' ')"

# States that lie.  Called active, refuses: the other one is used.
served 11:ao,12:ano --tpgs 1
scene "a lie" 0 "report 11 ao" "state 11 standby" 0.7
assert_less "and it is not tried all the time" "$(count_log 'port group 11: standby -> active/optimized')" 5
# Called standby, would take I/O: nothing goes there.
served 11:ao,12:standby --tpgs 1
fake_ctl report 12 standby
fake_ctl state 12 ao
before=$(fake_count 1)
scene "the other lie" 0 0.3
assert_equal "I/O there" "$before" "$(fake_count 1)"
