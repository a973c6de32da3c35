#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Our own NBD server, by a client of raw bytes (nbd-protocol.py): every option,
# command and flag, right and wrong, in all three forms of headers; clients that
# vanish, are silent, slow, or do not read; a thousand of them; show clients; few
# descriptors; SIGTERM with clients in all states; --run, --exit-when-idle,
# --single; several addresses, mode and group of the socket, socket activation.
TEST_TIMEOUT=90
front_end=own
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-serve.sh
. "$testsdir/functions-serve.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires jq --version
front_end=own

pick_portals 2
make_disk "$tmpdir/disk" 32M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk" vendor_id=TEST product_id=TESTDISK thin_provisioning=1
portals=$(join_portals "${portal[@]}")
client () { timeout 60 "$testsdir/fake/nbd-protocol.py" "$sock" "$@" || fail "$*"; }
memory () { awk '/VmRSS/ { print int($2 / 1024) }' "/proc/$mpiscsi_pid/status"; }
descriptors () { find "/proc/$mpiscsi_pid/fd" -mindepth 1 | wc -l; }

start_mpiscsi portals="$portals" total_memory=64 threads=256
for scenario in handshake commands model; do say "$scenario"; client "$scenario"; done

say "clients that vanish after each byte"
before=$(descriptors)
client vanish
no_more () { [ "$(descriptors)" -le "$before" ]; }
wait_until 5 no_more || fail "descriptors: $before before, $(descriptors) after"

say "beside bad clients"
before=$(memory)
client unfair
assert_less "memory, MiB, with 64 for all clients" "$(memory)" $((before + 64 + 16 * 2 + 40 * slow))

say "what a vanished client wanted is not read"
ios () { mpiscsi show paths -j | jq '[.paths[].counters.ios] | add'; }
before=$(ios)
client ghosts
none_in_flight () { [ "$(mpiscsi show paths -j | jq '[.paths[].counters.in_flight] | add')" = 0 ]; }
wait_until 5 none_in_flight || fail "still in flight"
assert_less "reads of 8000, one answered" $(($(ios) - before)) 700

say "show clients"
background "$tmpdir/idle.log" "$testsdir/fake/nbd-protocol.py" "$sock" idle
idle_pid=$!
wait_until 5 grep -q idle "$tmpdir/idle.log" || fail "no idle clients: $(<"$tmpdir/idle.log")"
assert_equal "clients" "6 1" "$(mpiscsi show clients -j |
  jq -r '[.clients | length, (map(select(.extended_headers)) | length)] | join(" ")')"
assert_equal "handshakes, writes half done" "1 1" "$(mpiscsi show clients -j | jq -r '[(.clients |
  map(select(.state == "handshake")) | length), (.clients | map(select(.writes == 0 and .in_flight == 1)) | length)] | join(" ")')"
assert_match "text" "unix:pid=$idle_pid,uid=0 +$(tgt_wwid 1 1)" "$(mpiscsi show clients)"

say "SIGTERM beside idle, silent and slow clients: no error reply"
t0=$(now_ms)
stop_mpiscsi 5
assert_less "ms until the end" $(($(now_ms) - t0)) $((2000 * slow_limits))
wait "$idle_pid" || fail "a client was told something: $(<"$tmpdir/idle.log")"
wait_for_log 'SIGTERM: the server ends' 1

say "SIGTERM with I/O that waits for a path"
start_mpiscsi portals="$portals" no-path-retry=queue
pause_tgt t
background "$tmpdir/queued.log" nbdsh -u "$uri" -c 'h.pread(4096, 0)'
queued=$!
in_flight () { [ "$(mpiscsi show clients -j | jq '[.clients[].in_flight] | add // 0')" -ge "$1" ]; }
sleep 0.5
t0=$(now_ms)
stop_mpiscsi 10
assert_less "ms until the end, the target silent" $(($(now_ms) - t0)) $((2600 * slow_limits))
assert_fails wait "$queued"
assert_no_match "what the client was told" 'ESHUTDOWN' "$(<"$tmpdir/queued.log")"
resume_tgt t

say "a thousand clients, then more than there are descriptors for"
start_mpiscsi portals="$portals"
client many 1000
stop_mpiscsi
mark_log
plain=("${_nbdkit[@]}")
_nbdkit=(prlimit --nofile=100:100 "${_nbdkit[@]}")
start_mpiscsi portals="$portals" polling-interval=1
_nbdkit=("${plain[@]}")
python3 - "$sock" <<'PY'
import socket, sys, time
some = []
for _ in range(150):
    s = socket.socket(socket.AF_UNIX); s.setblocking(False)
    s.connect(sys.argv[1]); some.append(s)
time.sleep(0.3)
PY
wait_for_log 'new clients have to wait' 5
assert_equal "lines about it" 1 "$(count_log 'new clients have to wait')"
cpu () { awk '{ print $14 + $15 }' "/proc/$mpiscsi_pid/stat"; }
client handshake
before=$(cpu)
kill_tcp "${portal[0]}" || :
client commands
wait_path_up "${portal[0]}" 10
assert_less "CPU, hundredths of a second" $(($(cpu) - before)) $((300 * slow))
stop_mpiscsi

say "--run, --exit-when-idle, --single"
serve_own () { timeout -k 5 30 "$command" serve front_end=own "$@" 2>>"$mpiscsi_log"; }
# shellcheck disable=SC2016
size=$(serve_own --run 'nbdinfo --size "$uri"; exit 7' portals="$portals") && fail "status of --run is lost"
assert_equal "size" $((32 << 20)) "$size"
status=0; serve_own --run 'exit 7' portals="$portals" || status=$?
assert_equal "status of --run" 7 "$status"
assert_equal "what --run leaves" "" "$(find /tmp -maxdepth 1 -name 'mpiscsi.??????' -newer "$tmpdir/t-none" 2>/dev/null || :)"
background "$mpiscsi_log" "$command" serve front_end=own --exit-when-idle "unix_socket=$sock" portals="$portals"
idle_pid=$!
wait_until 10 nbdinfo --size "$uri" || fail "it does not serve"
wait_until 5 gone "$idle_pid" || fail "it goes on when idle"
wait "$idle_pid" || fail "status of --exit-when-idle"
python3 - "$command" "$portals" <<'PY'
import socket, subprocess, sys
a, b = socket.socketpair()
p = subprocess.Popen([sys.argv[1], "serve", "front_end=own", "--single", "portals=" + sys.argv[2]], stdin=b)
b.close()
assert a.recv(18) == b"NBDMAGICIHAVEOPT\0\3"
a.close()
assert p.wait(10) == 0
PY

say "TCP on several addresses; mode and group of the Unix socket"
port=$(tcp_port)
serve portals="$portals" "unix_socket=$sock" unix_mode=0660 unix_group=daemon "address=127.0.0.1,127.0.0.2,::1" "port=$port"
assert_equal "mode and group" "660 daemon" "$(stat -c '%a %G' "$sock")"
for at in 127.0.0.1 127.0.0.2 '[::1]'; do
  assert_equal "size over $at" $((32 << 20)) "$(nbd_size "nbd://$at:$port")"
done
assert_equal "size over the Unix socket" $((32 << 20)) "$(nbd_size)"
stop_mpiscsi
[ ! -e "$sock" ] || fail "the socket is still there"

say "sockets of systemd's"
background "$mpiscsi_log" systemd-socket-activate -l "$sock" -l "127.0.0.1:$port" \
  "$command" serve front_end=own portals="$portals"
mpiscsi_pid=$!
wait_until 5 test -S "$sock" || fail "no socket"
assert_equal "size, the first socket" $((32 << 20)) "$(nbd_size)"
assert_equal "size, the second socket" $((32 << 20)) "$(nbd_size "nbd://127.0.0.1:$port")"
stop_mpiscsi
