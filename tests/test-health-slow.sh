#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# One path answers everything, but 100 times slower.  After 5 s the tail (99 %)
# must be within 3 times that of the healthy path; the slow path is not failed,
# since it answers; and when it is fast again, it is used again.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=functions.sh
. "${srcdir:-$(dirname "$0")}/functions.sh"
# shellcheck source=functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows slow

proxied_target 2
serve
begin_row slow --interval 0.5
sleep 1.5
# 100 times what a request takes now, in milliseconds.
before_from=$broken_at
ctl 0 stats >/dev/null
ios=$(path_ios 0)
broken_at=$(now_ms)
ctl 0 delay-answers "${SLOW_MS:-30}"
sleep 10
slow_to=$(now_ms)
used=$(($(path_ios 0) - ios))
assert_not_logged "Failing path"
ctl 0 delay-answers 0
ios=$(path_ios 0)
sleep 12
again=$(($(path_ios 0) - ios))
end_row 0
before=$(load_tail 99 "$before_from" "$broken_at")
after=$(load_tail 99 $((broken_at + 5000)) "$slow_to")
echo "RESULT row=slow-tail tail_us=$after healthy_us=$before limit_us=$((3 * before))" \
     "median_us=$(load_tail 50 $((broken_at + 5000)) "$slow_to")" \
     "tail99_9_us=$(load_tail 99.9 $((broken_at + 5000)) "$slow_to") slow_path_ios=$used after_repair_ios=$again"
assert_not_logged "Failing path"
assert_less "99 % tail in us beside a slow path, after 5 s" "$after" $((3 * before * slack))
assert_less "requests on the path that is fast again" 1000 "$again"
