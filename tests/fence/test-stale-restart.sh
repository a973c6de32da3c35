#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In-doubt write fencing between two processes: a write is held in the network
# when nbdkit is killed (kill -9), the next nbdkit serves the disk, the client
# comes back and overwrites the block, then the old write is let go.
#
# With fence=off the old data must win: else this test would prove nothing.
TEST_TIMEOUT=120
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-stale.sh
. "$testsdir/functions-stale.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires jq --version
requires qemu-io --version

pick_portals 2
make_disk "$tmpdir/disk" 64M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk"
start_proxy "${portal[@]}"
state=$STATE_DIRECTORY
# serve_on PORTAL,... [PARAMETER]...
serve_on () {
  start_mpiscsi "portals=$1" discovery=off "target=$iqn" lun=1 rr-min-io=1 "${@:2}"
  wait_for_log "remaining active paths: $(tr , '\n' <<<"$1" | wc -l)\$"
}
both=${proxied[0]},${proxied[1]}
# leave_behind [PARAMETER]...: a killed server, and its write in the proxy.
leave_behind () {
  reset_proxy
  serve_on "$both" "$@"
  stale killed "$mpiscsi_pid"
  forget_killed
}
files () { find "$state" -name 'nexus-*' | wc -l; }
dirty () { cat "$state"/nexus-?????? | grep -c ^nexus || :; }

say "without fencing the old write wins"
leave_behind fence=off
serve_on "$both" fence=off
stale successor 3
assert_match "without fencing" 'at once.*released=1 good=1.*block has old' "$out"
[ ! -e "$state" ] || fail "fence=off keeps a state"
stop_mpiscsi

say "with fencing it does not"
leave_behind
assert_equal "files" 1 "$(files)"
assert_equal "nexuses of the killed server" 2 "$(dirty)"
serve_on "$both"
wait_for_log 'a server before was killed while it had 2 sessions here' 1
assert_equal "no reset while nobody writes" 0 "$(count_log 'LOGICAL UNIT RESET')"
stale successor 5
assert_match "with fencing" 'released=0 .*lost=1.*block has new' "$out"
assert_no_match "reads that wait" 'read after' "$out"
number 'overwritten after %d ms'
assert_less "the wait, ms" "$value" "$((2000 * slow_limits))"
wait_for_log 'session reinstated through' 1
fenced_by 'LOGICAL UNIT RESET'
assert_equal "sessions that were fenced" 2 "$(count_log 'of the server before: unanswered writes of')"
one_file () { [ "$(files)" = 1 ]; }
wait_until 3 one_file || fail "$(files) files are left: $(ls "$state")"
assert_equal "nexuses of the new server" 2 "$(dirty)"
stop_mpiscsi

say "after a clean end there is nothing to fence"
assert_equal "files" 1 "$(files)"
assert_equal "nexuses" 0 "$(dirty)"
name=$(ls "$state"/nexus-??????)
serve_on "$both"
stale successor 1 none
assert_match "after a clean end" 'at once.*block has new' "$out"
assert_not_logged 'a server before|reinstated through|RESET|cannot fence'
assert_equal "the same ISID again" "$name" "$(ls "$state"/nexus-??????)"
stop_mpiscsi

say "the old portal is not configured any more: through another one of its group"
leave_behind
serve_on "${proxied[1]}"
stale successor 5
assert_match "the other portal" 'released=0 .*lost=1.*block has new' "$out"
wait_for_log "${proxied[0]} of the server before: session reinstated through ${proxied[1]}" 1
fenced_by 'LOGICAL UNIT RESET'
stop_mpiscsi

say "nobody writes: fenced at the end, before somebody else uses the disk"
leave_behind
serve_on "$both"
stop_mpiscsi
fenced_by 'LOGICAL UNIT RESET'
assert_equal "nexuses" 0 "$(dirty)"

say "a server that lives is not fenced by another one, and has another ISID"
reset_proxy
serve_on "$both"
stale successor 1 none
assert_equal "files" 1 "$(files)"
background "$tmpdir/second.log" "${_nbdkit[@]}" -f -U "$tmpdir/second.sock" \
  --pidfile "$tmpdir/second.pid" "$plugin" "portals=$both" discovery=off "target=$iqn" lun=1
second_pid=$!
cleanup_fn end_process "$second_pid"
wait_until 10 test -s "$tmpdir/second.pid" || fail "no second server"
wait_until 5 grep -q 'remaining active paths: 2' "$tmpdir/second.log" || fail "no second server"
assert_equal "files" 2 "$(files)"
assert_equal "sessions lost" 0 "$(count_log 'session [0-9]+ lost')"
if grep -E 'server before|cannot fence' "$tmpdir/second.log"; then fail "the second server fences"; fi
end_process "$second_pid" || fail "the second server did not end"
stop_mpiscsi

say "no place to write to: reads are served, writes fail, until there is one"
leave_behind                    # what it leaves is fenced then, too
mv "$state" "$state.away"
echo >"$state"                  # root may write everywhere else
io () { timeout -k 5 20 qemu-io -f raw -t none -c "$1" "$uri"; }
record () { mpiscsi show maps --json | jq -r .maps[0].fence.state_file; }
check () { # [OPTION...]
  printf 'iscsi {\n\tportals %s\n%s}\n' "$both" "${1:+	$*
}" >"$tmpdir/check.conf"
  mpiscsi -c "$tmpdir/check.conf" check 2>&1 | grep '^# state directory'
}
serve_on "$both"
io 'read 0 4k' >/dev/null || fail "reads do not go on"
for i in 1 2; do
  if io 'write -P 7 1M 4k' >"$tmpdir/io.log" 2>&1; then fail "a write went out without a record"; fi
  assert_match "the error" 'Input/output error' "$(cat "$tmpdir/io.log")"
done
assert_equal "said" 1 "$(count_log 'nexus.lock: .*: if this server is killed, the next one cannot fence .*: until that is mended writes fail')"
assert_match "-ll" "features='1 no_state_writes_fail'" "$(mpiscsi -ll)"
assert_equal "JSON" missing "$(record)"
assert_match "check" 'cannot be written: Not a directory: .*writes fail .fence_without_state deny.' "$(check)"
rm "$state"
mv "$state.away" "$state"
kept () { [ "$(record)" = kept ]; }
io 'write -P 7 1M 4k' >"$tmpdir/io.log" 2>&1 || :
wait_until 5 kept || fail "the state directory is there again"
stale successor 5
assert_match "with a late state" 'released=0 .*lost=1.*block has new' "$out"
wait_for_log 'a server before was killed while it had 2 sessions here' 1
assert_match "-ll" "features='0'" "$(mpiscsi -ll)"
assert_match "check" "^# state directory: $state\$" "$(check)"
stop_mpiscsi

say "... or with fence-without-state=allow: one warning, and the disk is served"
reset_proxy
rm -rf "$state"
echo >"$state"
serve_on "$both" fence-without-state=allow
stale successor 1 none
assert_match "without a state" 'at once.*block has new' "$out"
assert_equal "warnings" 1 "$(count_log 'nexus.lock: .*: if this server is killed, the next one cannot fence its unanswered writes$')"
assert_match "-ll" "features='1 fence_without_state'" "$(mpiscsi -ll)"
assert_equal "JSON" without "$(record)"
assert_match "check" 'accepted .fence_without_state allow.' \
  "$(check fence_without_state allow)"
stop_mpiscsi
rm "$state"

say "... full: a file that was written stays, and writes go on as soon as there is room"
mkdir "$state"
mount -t tmpfs -o size=16k,nr_inodes=10 none "$state" || fail "cannot mount a tmpfs"
unmount () { umount "$state" 2>/dev/null || :; }
cleanup_fn unmount
dd if=/dev/zero of="$state/fill" bs=4k 2>/dev/null || :
serve_on "$both"
if io 'write -P 7 1M 4k' >"$tmpdir/io.log" 2>&1; then fail "a write went out without a record"; fi
wait_for_log 'cannot write .*/nexus-[0-9a-f]*: No space left on device: if this server is killed' 1
rm "$state/fill"
io 'write -P 7 1M 4k' >/dev/null 2>&1 || :
wait_until 5 kept || fail "there is room again"
io 'write -P 7 1M 4k' >/dev/null || fail "a write fails, with room for the record"
assert_equal "nexuses" 2 "$(dirty)"
wait_for_log 'the sessions are noted there now: writes go on' 1
stop_mpiscsi
unmount
rmdir "$state"

say "the first write waits until the file is on the disk, but not for ever; reads do not"
cat >"$tmpdir/slow.c" <<'XX'
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
/* Of the file, and of the directory. */
int fsync (int fd) { usleep (atoi (getenv ("SLOW_FSYNC")) * 1000); (void) fd; return 0; }
XX
"${CC:-cc}" -shared -fPIC -o "$tmpdir/slow.so" "$tmpdir/slow.c" || fail "cannot compile slow.c"
plain=("${_nbdkit[@]}")
for ms in 600 60000; do
  _nbdkit=("${plain[@]}")
  preload "$tmpdir/slow.so" "SLOW_FSYNC=$ms"
  rm -rf "$state"
  serve_on "$both" fence-without-state=allow
  stale successor 5 none
  assert_no_match "reads that wait" 'read after' "$out"
  number 'overwritten after %d ms'
  if [ $ms = 600 ]; then
    # Our own front end has the file before it serves.
    is_own || assert_less "the wait, ms" 599 "$value"
    assert_not_logged 'cannot fence'
  else
    assert_less "the wait, ms" 2900 "$value"
    wait_for_log 'cannot be written in time: if this server is killed' 1
    assert_equal "JSON" kept "$(record)" # perhaps it will be: nothing has failed
  fi
  assert_less "the wait, ms" "$value" "$((4500 * slow_limits))"
  since=$(date +%s%N)
  stop_mpiscsi
  assert_less "the end, ms" $((($(date +%s%N) - since) / 1000000)) "$((9000 * slow_limits))"
  [ $ms = 600 ] || wait_for_log 'the server ends without it' 1
done
_nbdkit=("${plain[@]}")
rm -rf "$state"

say "a damaged file: said once, put aside"
mkdir "$state"
echo 'mpiscsi-nexus 1' >"$state/nexus-0a0b0c"
for want in 1 0; do
  serve_on "$both"
  assert_equal "warnings" $want "$(count_log 'nexus-0a0b0c is damaged: .* not fenced .file renamed.')"
  stop_mpiscsi
done
[ -e "$state/nexus-0a0b0c.bad" ] || fail "it is gone"
