#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nr-sessions: two sessions to one group address, which redirects the first login
# to another member: two paths at two members, and one is enough.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-stale.sh
. "$testsdir/functions-stale.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"

simple_target 2 32M
start_proxy "${portal[@]}"
group=${proxied[0]} member=${proxied[1]}
ctl at "$group" redirect "$member" 1
# At nbdkit's start a first look is such a login; our own front end has none.
start_mpiscsi portals="$group" discovery=off target="$iqn" lun=1 nr-sessions=2 rr-min-io=1 polling-interval=1
wait_for_log 'remaining active paths: 2$'
# Wherever they are, both ask the group again.
mark_log
ctl at "$group" redirect "$member" 1
kill_tcp "$group" || fail "no session is at the group's address"
kill_tcp "$member" || :
wait_for_log "redirects to $(quote_re "$member")"
both_up () { [ "$(mpiscsi -ll | grep -cE "$(quote_re "$group")(#2)?  *active ready  *running")" = 2 ]; }
wait_until 10 both_up || fail "not both are back: $(mpiscsi -ll)"
assert_equal "redirects" 1 "$(count_log "redirects to $(quote_re "$member")")"
assert_equal "connections to the group's address" 1 "$(connections "$group")"
assert_equal "connections to the other member" 1 "$(connections "$member")"
shown=$(mpiscsi -ll)
assert_match "paths" "$(quote_re "$group")  +active ready +running" "$shown"
assert_match "paths" "$(quote_re "$group")#2 +active ready +running" "$shown"
fio_verify both --size=8m --rw=randrw --runtime=1

say "one member is lost: its session asks the group again"
mark_log
ctl at "$member" refuse on
ctl at "$member" cut rst
wait_for_log 'remaining active paths: 1$' 5
fio_verify one --size=8m --rw=randrw --runtime=1
wait_for_log 'remaining active paths: 2$'
assert_equal "connections to the group's address" 2 "$(connections "$group")"
