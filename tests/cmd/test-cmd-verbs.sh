#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# multipathd's verbs on a running server, under load: fail, reinstate, del, add,
# disablequeueing, restorequeueing; no I/O error, and what is shown follows.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires fio --version

simple_target 2 64M
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1 no-path-retry=queue
wait_connected 10 "${portal[@]}"
wait_shown "${portal[0]} active ready running"
wait_shown "${portal[1]} active ready running"
fio_start load --size=32M --time_based --runtime=14 --rate_iops=1000
p=${portal[0]} q=${portal[1]}

say "fail and reinstate, by portal and by H:C:I:L"
for name in "$p" "$(hcil_of "$p")"; do
  mark_log
  assert_match "fail" "^$wwid: $p: failed ready running, remaining active paths: 1\$" "$(mpiscsi fail "$name")"
  wait_for_log "$wwid: Failing path $(quote_re "$p"): by the administrator" 2
  # The checker finds it well, which changes nothing.
  sleep 1.5
  wait_shown "$p failed ready running" 1
  before=$(path_bytes "$p")
  sleep 0.5
  assert_less "bytes over a failed path in half a second" "$(($(path_bytes "$p") - before))" 20000
  mpiscsi reinstate "$name" "$wwid" >/dev/null
  wait_shown "$p active ready running" 5
done
sleep 1                         # a turn over each path
say "counters"
read -r ios written < <(mpiscsi show paths --json | python3 -c 'import json, sys
c = [p["counters"] for p in json.load(sys.stdin)["paths"]]
assert all(x["latency_mean_us"] > 0 and x["latency_p99_us"] >= x["latency_mean_us"] / 2 for x in c), c
assert sum(x["errors"] for x in c) == 0, c
print(sum(x["ios"] for x in c), sum(x["bytes_written"] for x in c))')
assert_less "I/Os" 1000 "$ios"
assert_less "bytes written" $((1 << 20)) "$written"

say "del and add, over and over"
for _ in 1 2 3; do
  assert_match "del" "^$p: logging out\$" "$(mpiscsi del "$p")"
  wait_hidden "$p" 5
  assert_fio_runs
  assert_match "add" "^$p: asking it" "$(mpiscsi add "${p%:3260}")"
  wait_shown "$p active ready running" 5
done
assert_equal "sessions of $p" 1 "$(mpiscsi show sessions | grep -cF "$p,1 ")"
fio_finish

say "the last path is deleted: I/O waits, and goes on when one is there again"
mpiscsi del "$q" >/dev/null
assert_match "del" '1 map is without a path now' "$(mpiscsi del "$p")"
wait_hidden "policy=" 5
nbdsh -u "$uri" -c 'h.pread(4096, 0)' &
reader=$!
sleep 1
is_running "$reader" || fail "a read without a path did not wait"
mpiscsi add "$p" >/dev/null
wait_until 5 gone "$reader" || fail "the read does not end"
wait "$reader" || fail "the read failed"

say "disablequeueing: what waits fails at once; restorequeueing"
mpiscsi fail "$p" >/dev/null
nbdsh -u "$uri" -c 'h.pread(4096, 0)' 2>"$tmpdir/read.err" &
reader=$!
sleep 0.5
is_running "$reader" || fail "a read without a path did not wait"
assert_match "features" "features='1 queue_if_no_path'" "$(mpiscsi -ll)"
mpiscsi disablequeueing "$wwid" >/dev/null
wait_until 5 gone "$reader" || fail "the read does not end"
if wait "$reader"; then fail "a read without a path succeeded"; fi
assert_match "error" 'Input/output error' "$(<"$tmpdir/read.err")"
assert_match "features" "features='0'" "$(mpiscsi -ll)"
mpiscsi restorequeueing "$wwid" >/dev/null
assert_match "features" "features='1 queue_if_no_path'" "$(mpiscsi -ll)"
mpiscsi reinstate "$p" >/dev/null
wait_shown "$p active ready running" 5

say "a portal that does not answer is tried again until it is deleted"
dead=127.0.0.1:9
mpiscsi add $dead >/dev/null
_is_waiting () { mpiscsi show sessions | grep -qE "^[0-9]+ +$dead +wait "; }
wait_until 5 _is_waiting || fail "no session: $(mpiscsi show sessions)"
mpiscsi_fails 1 "$dead is already there" add $dead
mpiscsi del $dead >/dev/null
mpiscsi_fails 1 "there is no session at $dead" del $dead
assert_no_match "sessions" "$dead" "$(mpiscsi show sessions)"
say "but not any number of them"
mpiscsi show sessions >"$tmpdir/sessions"
python3 - "$XDG_RUNTIME_DIR"/mpiscsi/*.sock <<'PY' || fail "see above"
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rw")
def ask(command, port):
    f.write(json.dumps({"version": 1, "command": command, "portal": "127.0.0.1:%d" % port}) + "\n")
    f.flush()
    return json.loads(f.readline())
answers = [ask("add", 10 + i) for i in range(300)]
good = [a["ok"] for a in answers].index(False)
print(good, "were added; then:", answers[good]["error"])
assert 200 < good < 256 and not any(a["ok"] for a in answers[good:])
assert all(ask("del", 10 + i)["ok"] for i in range(good))
PY
assert_equal "sessions afterwards" "$(wc -l <"$tmpdir/sessions")" "$(mpiscsi show sessions | wc -l)"

say "alive and ready"
mpiscsi add "$q" || :
wait_shown "$p active ready running"
wait_shown "$q active ready running"
mpiscsi alive
mpiscsi ready
mpiscsi fail "$p"
mpiscsi ready
mpiscsi fail "$q"
mpiscsi alive
mpiscsi_fails 1 "$wwid has no active path" ready
mpiscsi reinstate "$q"
wait_shown "$q active ready running"
mpiscsi ready
mpiscsi reinstate "$p"
mpiscsi_fails 1 'No such file or directory' alive -s "$tmpdir/nosuch.sock"

say "suspend and resume: what comes waits, and is done then"
stop_mpiscsi
make_disk "$tmpdir/disk2" 8M
tgt_lun t 1 2 "$tmpdir/disk2" vendor_id=OTHER product_id=SECOND
wwid2=$(tgt_wwid 1 2)
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1
wait_until 10 eval '[ "$(mpiscsi show paths | grep -c "active ready")" = 4 ]' || fail "$(mpiscsi -ll)"
export_of () { echo "nbd+unix:///$1?socket=$sock"; }
assert_match "suspend" "^$wwid: suspended: " "$(mpiscsi suspend "$wwid")"
nbdsh -u "$(export_of "$wwid")" -c 'h.pwrite(b"s" * 512, 0)' &
writer=$!
nbdsh -u "$(export_of "$wwid2")" -c 'h.pread(512, 0)'   # another map goes on
sleep 0.5
is_running "$writer" || fail "a suspended map has answered"
assert_equal "state" suspended "$(mpiscsi show maps --json | jq -r ".maps[] | select(.uuid == \"$wwid\") | .dm_st")"
mpiscsi resume "$wwid" >/dev/null
wait "$writer" || fail "the write has failed"
assert_equal "first byte" s "$(head -c1 "$tmpdir/disk")"

say "fail and reinstate by portal: the paths of all LUNs there"
assert_equal "lines" 2 "$(mpiscsi fail "${portal[0]}" | grep -c 'failed ready running, remaining active paths: 1')"
mpiscsi reinstate "${portal[0]}" >/dev/null
wait_until 5 eval '[ "$(mpiscsi show paths | grep -c "active ready")" = 4 ]' || fail "$(mpiscsi -ll)"
assert_equal "disablequeueing maps" "2 maps: without a path, I/O fails at once" "$(mpiscsi disablequeueing maps)"
assert_match "restorequeueing maps" '^2 maps: ' "$(mpiscsi restorequeueing maps)"

say "rescan finds a LUN that nobody has told of, resize a size"
make_disk "$tmpdir/disk3" 8M
tgt_lun t 1 3 "$tmpdir/disk3" vendor_id=THIRD product_id=NEW
assert_match "rescan" 'sessions are looked at again' "$(mpiscsi rescan)"
wait_shown "$(tgt_wwid 1 3)" 5
assert_match "resize" 'are read again over 2 paths' "$(mpiscsi resize "$wwid")"

say "mistakes"
mpiscsi_fails 2 "there is no command 'rescna': did you mean 'rescan'" rescna
mpiscsi_fails 1 "no map is named 'nosuch'" suspend nosuch
mpiscsi_fails 1 "no path is named '10.9.9.9'" fail 10.9.9.9
mpiscsi_fails 1 "no map is named 'nosuch'" disablequeueing nosuch
mpiscsi_fails 1 'there is no session at 10.9.9.9:3260' del 10.9.9.9
mpiscsi_fails 1 'is no portal' del 10.9.9
mpiscsi_fails 2 "there is no command 'frob'" frob
mpiscsi_fails 2 'usage: mpiscsi fail PATH' fail
mpiscsi_fails 2 'serve takes no --json' serve --json
mpiscsi_fails 2 'unrecognized option' --frob
mpiscsi_fails 3 'No such file or directory' -ll -s "$tmpdir/nosuch.sock"
assert_equal "version" "mpiscsi $(sed -n 's/^AC_INIT(\[mpiscsi\], \[\([^]]*\)\].*/\1/p' "$top_srcdir/configure.ac")" "$(mpiscsi --version)"
