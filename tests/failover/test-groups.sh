#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# group_by_prio with weightedpath: the group with the higher priority carries
# the I/O, the other one takes over when it is lost, and failback goes back.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
simple_target 2 64M
p=${portal[0]} q=${portal[1]}
ios () { mpiscsi show paths --json | python3 -c 'import json, sys
print(sum(x["counters"]["ios"] for x in json.load(sys.stdin)["paths"] if x["dev"] == sys.argv[1]))' "$1"; }

start_mpiscsi portals="$p,$q" path-grouping-policy=group_by_prio prio=weightedpath \
  prio-args="devname $p 50 $q 10" failback=immediate polling-interval=1
wait_shown "$q active ready running" 10
out=$(mpiscsi -ll); echo "$out"
assert_match "two groups, the better one first" \
  "prio=50 status=active"$'\n'"[^a-z]*$(quote_re "$p").*prio=10 status=enabled"$'\n'"[^a-z]*$(quote_re "$q")" "$out"

nbdsh -u "$uri" -c 'for i in range(500): h.pwrite(b"g" * 4096, i * 4096)'
assert_less "I/Os on the better path" 499 "$(ios "$p")"
assert_equal "I/Os on the other one" 0 "$(ios "$q")"

say "the better group is lost, and comes back"
mark_log
lose_portal t "$p"
nbdsh -u "$uri" -c 'for i in range(500): assert h.pread(4096, i * 4096) == b"g" * 4096'
wait_for_log "switch to path group #2" 5
assert_less "I/Os on the other one" 400 "$(ios "$q")"
tgt_add_portal t "$p"
wait_for_log "switch to path group #1" 10
before=$(ios "$q")
nbdsh -u "$uri" -c 'for i in range(500): assert h.pread(4096, i * 4096) == b"g" * 4096'
assert_equal "I/Os on the other one, since" "$before" "$(ios "$q")"
stop_mpiscsi

say "a mistake in the arguments is said, and all paths are alike"
start_mpiscsi portals="$p,$q" path-grouping-policy=group_by_prio prio=weightedpath \
  prio-args="device x 1"
wait_for_log 'prio_args .device x 1.: must begin with hbtl, devname, serial or wwn' 5
wait_shown "prio=1 status=active" 5
