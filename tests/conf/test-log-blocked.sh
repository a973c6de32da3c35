#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Nobody reads nbdkit's stderr, and the pipe is full: a path is lost, I/O goes
# on, the path is back; the lines come when they are read; and with nobody to
# read them at the end nbdkit ends all the same.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires nbdsh -c "import nbd"
requires_plugin

simple_target 2 64M
requires_kill_tcp "${portal[0]}"
mkfifo "$tmpdir/stderr"
exec {pipe}<>"$tmpdir/stderr"
fill () {
  python3 -c 'import os, sys
fd = int(sys.argv[1])
os.set_blocking(fd, False)
n = 0
try:
    while True:
        n += os.write(fd, b"x" * 512)
except BlockingIOError:
    pass
os.set_blocking(fd, True)
print(n, "bytes fill the pipe")' "$pipe"
}

# As launch_mpiscsi does, but for stderr.
serve () {
  rm -f "$sock" "$tmpdir/nbdkit.pid"
  setpriv --pdeathsig KILL "${_nbdkit[@]}" -f -U "$sock" --pidfile "$tmpdir/nbdkit.pid" "$plugin" \
    portals="$(join_portals "${portal[@]}")" polling-interval=1 </dev/null >>"$tmpdir/out.log" 2>&"$pipe" &
  mpiscsi_pid=$!
  wait_until 20 _mpiscsi_is_up || fail "nbdkit does not serve"
  for p in "${portal[@]}"; do wait_shown "$p active ready running"; done
}
read_and_write () {
  timeout 20 nbdsh -u "$uri" -c 'for i in range(64):
    h.pwrite(b"%04d" % i * 1024, i * 4096)
    assert h.pread(4096, i * 4096) == b"%04d" % i * 1024'
}

serve
fill
for _ in 1 2 3; do
  for p in "${portal[@]}"; do
    lose_portal t "$p"
    wait_shown "$p failed faulty running" 5
    read_and_write || fail "I/O hangs"
    tgt_add_portal t "$p"
    wait_shown "$p active ready running" 10
  done
done
say "the lines are read"
# shellcheck disable=SC2094
timeout 20 cat <"$tmpdir/stderr" >"$mpiscsi_log" &
reader=$!
cleanup_fn _tgt_end "$reader"
_all_there () { [ "$(grep -c 'Failing path' "$mpiscsi_log")" = 6 ]; }
wait_until 10 _all_there || fail "not all lines came: $(tr -d x <"$mpiscsi_log")"
end_process "$reader"

say "all paths lost, and I/O that fails, with nobody who reads"
fill
cat >"$tmpdir/failing.py" <<'PY'
import time
# The first ones are nbdkit's, whose own threads may hang in its log; ours must
# not, and paths must come back.
h.pread(4096, 0)
h.pread(4096, 0)
print("ready", flush=True)
end = time.monotonic() + 15
failed = good = 0
while time.monotonic() < end and good < 3:
    try:
        h.pread(4096, 4096)
        good = good + 1 if failed else 0
    except nbd.Error:
        failed += 1
        time.sleep(0.02)
print("%d failed, then %d good" % (failed, good))
PY
background "$tmpdir/failing.log" timeout 40 nbdsh -u "$uri" -c "$(<"$tmpdir/failing.py")"
failing=$!
cleanup_fn end_process "$failing"
wait_until 10 grep -q ready "$tmpdir/failing.log" || fail "no reads: $(<"$tmpdir/failing.log")"
for p in "${portal[@]}"; do lose_portal t "$p"; done
for p in "${portal[@]}"; do wait_shown "$p failed faulty running" 8; done
sleep 0.5
for p in "${portal[@]}"; do tgt_add_portal t "$p"; done
for p in "${portal[@]}"; do wait_shown "$p active ready running" 10; done
end_process "$failing" 1 || :

say "the end, with nobody who reads"
timeout 5 cat <"$tmpdir/stderr" >/dev/null || :
fill
lose_portal t "${portal[0]}"
wait_shown "${portal[0]} failed faulty running" 5
t0=$(now_ms)
stop_mpiscsi 10 || exit 1
assert_less "ms until it ended" $(($(now_ms) - t0)) 6000
