#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# dev_loss_tmo: a path that is lost for so long is removed from its map, and is
# a new one when its portal is back; never while I/O may queue without end.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"

nr_paths () { mpiscsi show paths --json | python3 -c 'import json, sys
print(len(json.load(sys.stdin)["paths"]))'; }
read_block () { timeout 20 nbdsh -u "$uri" -c 'h.pread(4096, 0)'; }
serve () {
  start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=0.5 max-polling-interval=1 \
    fast-io-fail-tmo=0.5 dev-loss-tmo=1 "$@"
  for x in "${portal[@]}"; do wait_shown "$x active ready running"; done
}

simple_target 2 64M
requires_kill_tcp "${portal[0]}"
p=${portal[0]} q=${portal[1]}

serve
say "one of two"
mpiscsi watch >"$tmpdir/watch.log" 2>&1 &
watcher=$!
cleanup_fn _tgt_end "$watcher"
sleep 0.3
mark_log
t0=$(now_ms)
lose_portal t "$p"
wait_shown "$p failed faulty running" 3
assert_equal "removed already" 0 "$(count_log 'remove path')"
wait_for_log "^mpiscsi: warning: $wwid: remove path $(quote_re "$p"): its session has been lost for [1-3] s \(dev_loss_tmo\)\$" 6
ms=$(($(now_ms) - t0))
assert_less "ms until it was removed" 900 "$ms"
wait_hidden "$p" 1
assert_equal "paths" 1 "$(nr_paths)"
assert_match "sessions" "${p}[,0-9]* +(wait|connect|resolve|login) " "$(mpiscsi show sessions)"
assert_match "watch" "remove path $p \(dev_loss_tmo\)" "$(<"$tmpdir/watch.log")"
read_block || fail "the other path does not serve"
sleep 1.5
assert_equal "times it was removed" 1 "$(count_log 'remove path')"

say "and back: a new path"
mark_log
tgt_add_portal t "$p"
wait_shown "$p active ready running" 5
wait_for_log "$(quote_re "$p"): LUN 1: Attached SCSI disk" 1
assert_equal "paths" 2 "$(nr_paths)"
assert_equal "faults of the new path" 0 "$(mpiscsi show paths --json | python3 -c 'import json, sys
print([x["path_faults"] for x in json.load(sys.stdin)["paths"] if x["portal"] == sys.argv[1]][0])' "$p")"

say "what the administrator has failed is still failed when it is back"
mpiscsi fail "$p" >/dev/null
lose_portal t "$p"
sleep 2
wait_shown "$p failed" 1
tgt_add_portal t "$p"
wait_shown "$p failed ready running" 5
mpiscsi reinstate "$p" >/dev/null
wait_shown "$p active ready running" 5

say "both: the map stays, with I/O errors, and comes back"
mark_log
for x in "$p" "$q"; do lose_portal t "$x"; done
wait_hidden policy= 8
assert_equal "times a path was removed" 2 "$(count_log 'remove path')"
assert_match "the map" "$wwid" "$(mpiscsi -ll)"
t0=$(now_ms)
assert_fails read_block
assert_less "ms until the error" $(($(now_ms) - t0)) 3000
for x in "$p" "$q"; do tgt_add_portal t "$x"; done
for x in "$p" "$q"; do wait_shown "$x active ready running" 5; done
read_block || fail "no I/O after all came back"
stop_mpiscsi || exit 1

say "I/O that queues without end keeps its paths"
serve no-path-retry=queue
mark_log
for x in "$p" "$q"; do lose_portal t "$x"; done
read_block &
reader=$!
sleep 2
is_running "$reader" || fail "a read without a path did not wait"
assert_equal "times a path was removed" 0 "$(count_log 'remove path')"
for x in "$p" "$q"; do wait_shown "$x failed faulty running" 1; done
tgt_add_portal t "$p"
wait_until 5 gone "$reader" || fail "the read does not end"
wait "$reader" || fail "the read failed"
tgt_add_portal t "$q"
wait_shown "$q active ready running" 5
stop_mpiscsi || exit 1

say "a limited time of queueing ends before the path does"
serve no-path-retry=3           # 1.5 s
mark_log
for x in "$p" "$q"; do lose_portal t "$x"; done
assert_fails read_block
wait_for_log "$wwid: Disable queueing" 1
assert_equal "removed while I/O was queued" 0 "$(new_log | sed '/Disable queueing/,$d' | grep -c 'remove path' || :)"
wait_for_log 'remove path' 3
