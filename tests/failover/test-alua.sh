#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# An asymmetric array, with nothing configured: its controllers take over from
# each other under load, and the client sees no error, and no stall longer than
# the array's own.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
# shellcheck source=../functions-array.sh
. "$testsdir/functions-array.sh"

# As Linux's target has it: its extended header 4 bytes short, and only the
# sessions of the group that changes are told.
served 11:ao,12:ano --rtpg cut --tpgs 1
out=$(mpiscsi -ll)
assert_equal "listing" "$map map-0 FAKE,FAKEDISK
size=64M features='0' hwhandler='1 alua' wp=rw
|-+- policy='round-robin 0' prio=50 status=active
| \`- 1:0:1:1 ${portal[0]} active ready running
\`-+- policy='round-robin 0' prio=10 status=enabled
  \`- 2:0:1:1 ${portal[1]} active ready running" "$out"

# The non-optimized one is there all the time, and gets nothing.
before=$(fake_count 1)
scene "non-optimized unused" 0 0.3
assert_equal "I/O to the non-optimized port" "$before" "$(fake_count 1)"

# Make before break, and nothing in between.
scene swap 0 "state 11 standby 12 ao" 0.3
wait_until 2 _group_is 50 active || fail "no optimized group: $(mpiscsi -ll)"
assert_match "the one in standby" "${portal[0]} active ghost running" "$(mpiscsi -ll)"
assert_not_logged 'Failing path|reinstated|remaining active'
assert_equal "lines for a change of a group" 1 "$(count_log 'port group 11: active/optimized -> standby$')"

# A controller failover without a transition: 144 errors once.
scene "0.7 s between" 700 "state 12 standby" 0.7 "state 11 ao"
assert_not_logged 'Failing path|reinstated'
scene transition 700 "state 11 transitioning 12 transitioning" 0.7 "state 11 standby 12 ao"
scene "and back" 300 "state 12 transitioning" 0.3 "state 12 ao"
scene "all unavailable" 700 "state 11 unavailable 12 unavailable" 0.7 "state 11 ao 12 ano"
assert_not_logged 'Failing path|reinstated|size is 0'
assert_equal "capacity after all that" 67108864 "$(nbd_size)"
assert_match "the wait is said once" '^1$' "$(count_log 'I/O waits for the array, for 60 s at most')"
assert_match "JSON" '"port_group": 11, "port_group_st": "active/optimized"' \
             "$(mpiscsi --json show paths | tr -d '\n' | tr -s ' ')"

# TEST UNIT READY alone reinstates nothing: no flapping while one is in standby.
fake_ctl state 12 standby
stop_mpiscsi
start_mpiscsi "${params[@]}" polling-interval=0.2 max-polling-interval=0.2
wait_for_log "${portal[1]} - tur checker reports path is ghost" 2
scene "standby beside it" 0 1
assert_not_logged "${portal[1]}: (reinstated|.*Failing)"

# A transition that is longer than command-timeout; and the array's own time is
# all that I/O waits for.
served 11:ao,12:standby --transition-time 2 --tpgs 1 -- command-timeout=0.5
scene "longer than command-timeout" 1200 "state 11 transitioning" 1.2 "state 12 ao 11 standby"
mark_log
fake_ctl state 12 standby
t0=$(now_ms)
assert_fails nbdsh -u "$uri" -c 'h.pread(4096, 0)'
waited=$(($(now_ms) - t0))
assert_less "waited for the array at least ms" 1700 "$waited"
assert_less "and at most" "$waited" $((3000 * slow_limits))
wait_for_log 'Disable queueing' 2
fake_ctl state 12 ao
wait_until 3 nbdsh -u "$uri" -c 'h.pread(4096, 0)' || fail "no I/O after the array is back"

# What repeats for 0.4 s, in any mixture, is waited for.
scene "06/04/0A" 400 "answers 400 6/04/0a" 0.4
scene quiescence 400 "answers 400 6/8b/02" 0.4
scene mixture 400 "answers 400 busy full b/47/00 aborted 2/04/01 6/29/00 6/38/07" 0.4
assert_not_logged 'Failing path|giving up'
