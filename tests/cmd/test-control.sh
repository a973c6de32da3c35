#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The control socket and those who mean it no good: garbage, half lines, too
# long lines, a thousand connects, clients that never read, and too many of
# them.  The server answers others all the while, I/O goes on, and memory does
# not grow.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires fio --version

export XDG_RUNTIME_DIR=$tmpdir
simple_target 2 64M
start_mpiscsi portals="$(join_portals "${portal[@]}")"
wait_connected 10 "${portal[@]}"

say "the file"
nbdkit_pid=$(<"$tmpdir/nbdkit.pid")
control=$tmpdir/mpiscsi/nbdkit.sock
assert_equal "mode of the directory" 700 "$(stat -c %a "$tmpdir/mpiscsi")"
assert_equal "mode of the socket" 600 "$(stat -c %a "$control")"

say "hostile clients, under load"
fio_start load --size=32M --time_based --runtime=30 --rate_iops=500
python3 - "$control" "$nbdkit_pid" "${portal[1]}" <<'PY' || fail "see above"
import json, os, socket, sys, time

path, pid = sys.argv[1], int(sys.argv[2])
SHOW = b'{"version":1,"command":"show"}\n'

def connect(timeout=10):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)             # blocking: a full backlog is waited for
    s.settimeout(timeout)
    return s

def line(s):
    text = b""
    while not text.endswith(b"\n"):
        part = s.recv(65536)
        if not part:
            return None
        text += part
    return json.loads(text)

def ask(s, request):
    s.sendall(request)
    return line(s)

def must(what, good):
    print(("ok: " if good else "FAILED: ") + what, flush=True)
    if not good:
        sys.exit(1)

def clients():
    """The server's ends that are connected."""
    with open("/proc/net/unix") as f:
        return sum(l.split()[-1] == path and l.split()[5] == "03" for l in f)

def resident():
    with open("/proc/%d/status" % pid) as f:
        return [int(l.split()[1]) for l in f if l.startswith("VmRSS")][0]

def wait(what, condition):
    end = time.time() + 10
    # Asked once more it might say no again: what it did has changed things.
    good = condition()
    while not good and time.time() < end:
        time.sleep(0.05)
        good = condition()
    must(what, good)

with connect() as s:
    must("show", "TESTDISK" in ask(s, SHOW)["output"])
    must("one client is seen", clients() == 1)
resident_before = resident()

# Garbage is answered, one line each, and the connection goes on.
with connect() as s:
    for bad in (b"\n", b"\0\n", b"garbage\n", b"[" * 4000 + b"\n", b"\xff\xfe\n", b"{}\n",
                b'{"version":1,"command":"' + b"A" * 3000 + b'"}\n', b"GET / HTTP/1.0\r\n"):
        must("refused: %r" % bad[:20], ask(s, bad)["ok"] is False)
    must("still answers", ask(s, SHOW)["ok"] is True)

# One byte at a time; several in one write, answered in order.
with connect() as s:
    for i in range(len(SHOW)):
        s.sendall(SHOW[i:i + 1])
    must("byte by byte", line(s)["ok"] is True)
    s.sendall(b'{"version":1,"command":"version"}\n' + b"x\n" + SHOW)
    with s.makefile("rb") as f:
        must("pipelined", [json.loads(f.readline())["ok"] for _ in range(3)] == [True, False, True])

# A line may have 4096 bytes with its end, not one more.
with connect() as s:
    head, tail = b'{"version":1,"command":"version"', b"}\n"
    must("4096 bytes", ask(s, head + b" " * (4096 - len(head + tail)) + tail)["ok"] is True)
with connect() as s:
    s.sendall(b" " * 5000)
    must("too long", line(s)["ok"] is False)
    # EOF, or a reset since not all that we sent was read.
    try:
        end = s.recv(1)
    except ConnectionResetError:
        end = b""
    must("and closed", end == b"")

# Half a line, and gone.
for i in range(20):
    with connect() as s:
        s.sendall(SHOW[:10])

# A thousand connects, each with a request that nobody waits for.
for i in range(1000):
    with connect() as s:
        s.sendall(SHOW)
wait("no client is left after 1000 connects", lambda: clients() == 0)

# No more than 16; a place that becomes free is taken.
many = [connect() for i in range(16)]
for s in many:
    must("one of 16", ask(s, SHOW)["ok"] is True) if s is many[-1] else ask(s, SHOW)
with connect() as s:
    answer = line(s)
    must("the 17th is told so", answer["ok"] is False and "too many" in answer["error"])
many.pop().close()
def free_place():
    with connect() as s:
        try:
            answer = ask(s, SHOW)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return bool(answer) and answer["ok"]
wait("a free place", free_place)
for s in many:
    s.close()
wait("no client is left after too many", lambda: clients() == 0)

# Requests without end, and never reading an answer: the server stops reading,
# answers others, and drops the client after a while.
deaf = []
for i in range(8):
    s = connect()
    s.setblocking(False)
    deaf.append(s)
watching = connect()
must("watching", ask(watching, b'{"version":1,"command":"watch"}\n')["watching"] is True)
sent = 0
end = time.time() + 15
slowest = 0
open_ones = list(deaf)
while time.time() < end and open_ones:
    for s in list(open_ones):
        try:
            sent += s.send(SHOW * 100)
        except BlockingIOError:
            pass
        except OSError:
            open_ones.remove(s)
    t = time.time()
    with connect() as other:
        must("others are answered", ask(other, SHOW)["ok"] is True) if slowest == 0 \
            else ask(other, SHOW)
    slowest = max(slowest, time.time() - t)
    time.sleep(0.05)
must("%d bytes sent by 8 deaf clients, the slowest answer to another took %.2f s"
     % (sent, slowest), slowest < 5)
must("deaf clients were dropped", not open_ones)
for s in deaf:
    s.close()

# Two watch hundreds of changes: one reads them, in order and without a gap;
# the other does not, and is dropped.
deaf = connect()
must("a deaf one watches, too", ask(deaf, b'{"version":1,"command":"watch"}\n')["watching"] is True)
portal = sys.argv[3].encode()
events = b""
with connect() as s:
    for i in range(800):
        if not ask(s, b'{"version":1,"command":"fail","path":"%s"}\n' % portal)["ok"]:
            must("fail", False)
        if not ask(s, b'{"version":1,"command":"reinstate","path":"%s"}\n' % portal)["ok"]:
            must("reinstate", False)
        watching.settimeout(0)
        try:
            events += watching.recv(1 << 20)
        except BlockingIOError:
            pass
    watching.settimeout(1)
    try:
        while True:
            events += watching.recv(1 << 20)
    except TimeoutError:
        pass
states = [(e["from"], e["to"]) for e in map(json.loads, events.splitlines())
          if e["event"] == "path" and e["portal"] == sys.argv[3]]
must("%d changes were seen" % len(states), len(states) >= 1600)
must("each begins where the last one ended",
     all(a[1] == b[0] for a, b in zip(states, states[1:])))
total = 0
try:
    while True:
        part = deaf.recv(1 << 20)
        if not part:
            break
        total += len(part)
except ConnectionResetError:
    pass
must("the deaf one was dropped after %d of %d bytes" % (total, len(events)), total < len(events))
deaf.close()

# One that watches has nothing more to say.
watching.sendall(SHOW)
try:
    end = watching.recv(65536)
except ConnectionResetError:
    end = b""
must("a watching client that talks is closed", end == b"")
watching.close()
wait("no client is left at the end", lambda: clients() == 0)
# Address and thread sanitizers keep what was freed for a while.
grown = resident() - resident_before
must("memory grew by %d KiB" % grown, grown < (8192 if "MPISCSI_PRELOAD" not in os.environ else 10**6))
PY
assert_fio_runs
fio_finish
# 500 a second at 16 deep, on a machine that is shared with others.
assert_less "longest stall in ms, under attack" "$(fio_stall_ms load)" $((2000 * slow_limits))

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
  say "another user is not let in, even if the file lets him"
  chmod 755 "$tmpdir" "$tmpdir/mpiscsi"
  chmod 666 "$control"
  answer=$(setpriv --reuid 65534 --regid 65534 --clear-groups python3 - "$control" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
try:
    s.sendall(b'{"version":1,"command":"show"}\n')
    print(s.recv(100))
except (BrokenPipeError, ConnectionResetError):
    print(b"")
PY
  )
  assert_equal "answer to another user" "b''" "$answer"
  chmod 700 "$tmpdir" "$tmpdir/mpiscsi"
  chmod 600 "$control"
fi

say "the socket is gone with the server"
stop_mpiscsi
[ ! -e "$control" ] || fail "$control is still there"

say "control=none, control=PATH, and a name that is in use"
start_mpiscsi portals="${portal[0]}" control=none
assert_equal "sockets" "" "$(ls "$tmpdir/mpiscsi")"
stop_mpiscsi
start_mpiscsi portals="${portal[0]}" control="$tmpdir/c.sock"
assert_equal "mode of the socket" 600 "$(stat -c %a "$tmpdir/c.sock")"
before=$(stat -c %i "$tmpdir/c.sock")
# A socket that was asked for and cannot be had: not served without.
status=0
timeout 20 "${_nbdkit[@]}" -f -U "$tmpdir/second.sock" -P "$tmpdir/second.pid" \
  "$plugin" portals="${portal[0]}" control="$tmpdir/c.sock" >"$tmpdir/second.log" 2>&1 || status=$?
assert_match "log of the second server" 'c.sock is in use by another server' "$(<"$tmpdir/second.log")"
assert_equal "status of the second server" 1 "$status"
assert_equal "the first one's socket" "$before" "$(stat -c %i "$tmpdir/c.sock")"
kill -KILL "$(<"$tmpdir/nbdkit.pid")"
wait_until 5 gone "$mpiscsi_pid"
wait "$mpiscsi_pid" || :
say "what a killed server left is in nobody's way"
start_mpiscsi portals="${portal[0]}" control="$tmpdir/c.sock"
stop_mpiscsi
[ ! -e "$tmpdir/c.sock" ] || fail "c.sock is still there"

# The name is that of the configuration, and not of the process, which is 1 in
# each pod.
say "named after the configuration; what was left there; a second server; others who may ask"
printf 'iscsi {\n\tportals %s\n}\n' "${portal[0]}" >"$tmpdir/disks.conf"
control=$tmpdir/mpiscsi/disks.sock
start_mpiscsi config="$tmpdir/disks.conf"
[ -S "$control" ] || fail "no disks.sock: $(ls "$tmpdir/mpiscsi")"
kill -KILL "$(<"$tmpdir/nbdkit.pid")"
wait_until 5 gone "$mpiscsi_pid"
wait "$mpiscsi_pid" || :
chmod 755 "$tmpdir" "$tmpdir/mpiscsi"
start_mpiscsi config="$tmpdir/disks.conf" control-mode=0660 control-group=nogroup
assert_equal "sockets" disks.sock "$(ls "$tmpdir/mpiscsi")"
assert_equal "its mode and group" "660 nogroup" "$(stat -c '%a %G' "$control")"
as () { setpriv --reuid daemon --regid "$1" --clear-groups python3 -c "
import socket
s = socket.socket (socket.AF_UNIX); s.settimeout (10); s.connect ('$control')
s.sendall (b'{\"version\":1,\"command\":\"version\"}\n'); print (s.recv (4096).decode ())" 2>&1; }
assert_match "answer to a member of the group" '"ok":true' "$(as nogroup)"
assert_match "answer to others" 'Permission denied' "$(as daemon || :)"
background "$tmpdir/second.log" "${_nbdkit[@]}" -f -U "$tmpdir/third.sock" "$plugin" config="$tmpdir/disks.conf"
second=$!
cleanup_fn end_process "$second"
wait_until 20 test -S "$tmpdir/mpiscsi/disks-2.sock" || fail "no second socket: $(<"$tmpdir/second.log")"
end_process "$second"
assert_equal "sockets" disks.sock "$(ls "$tmpdir/mpiscsi")"
stop_mpiscsi
status=0
timeout 20 "${_nbdkit[@]}" -f -U "$tmpdir/fourth.sock" "$plugin" portals="${portal[0]}" \
  control-group=nosuchgroup >"$tmpdir/second.log" 2>&1 || status=$?
assert_match "log" "there is no group 'nosuchgroup'" "$(<"$tmpdir/second.log")"
assert_equal "status" 1 "$status"
