#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What nbdkit listens on: a Unix socket, TCP over IPv4 and IPv6, sockets that
# systemd hands over, standard input, a command of its own (--run), and vsock
# where there is one.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-serve.sh
. "$testsdir/functions-serve.sh"
requires nbdsh -c "import nbd"
requires nbdcopy --version

simple_target 2 32M
all=$(join_portals "${portal[@]}")
dd if=/dev/urandom of="$tmpdir/disk" bs=1M count=4 conv=notrunc status=none

check () { # URI
  local n=$((RANDOM % 16 + 8))
  assert_equal "size of $1" $((32 << 20)) "$(nbd_size "$1")"
  at=$n nbdsh -u "$1" -c 'import os
b = os.urandom(1 << 20); at = int(os.environ["at"]) << 20
h.pwrite(b, at); h.flush(); assert h.pread(1 << 20, at) == b'
  nbdcopy "$1" "$tmpdir/copy"
  assert_same_files "$tmpdir/disk" "$tmpdir/copy"
}

say "Unix"
start_mpiscsi portals="$all"
check "$uri"
stop_mpiscsi

say "TCP, on one address"
port=$(tcp_port)
serve -i 127.0.0.1 -p "$port" "$plugin" portals="$all"
check "nbd://127.0.0.1:$port"
assert_fails nbdinfo --size "nbd://127.0.0.2:$port"
stop_mpiscsi
if grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 2>/dev/null; then
  say "TCP, IPv6"
  port=$(tcp_port)
  serve -i ::1 -p "$port" "$plugin" portals="$all"
  check "nbd://[::1]:$port"
  stop_mpiscsi
fi

say "socket activation"
requires command -v systemd-socket-activate
rm -f "$sock"
background "$mpiscsi_log" systemd-socket-activate -l "$sock" "${_nbdkit[@]}" -f "$plugin" portals="$all"
mpiscsi_pid=$!
wait_until 5 test -S "$sock" || fail "no socket"
assert_equal "connections to the target before there is a client" 0 \
  "$(($(connections "${portal[0]}") + $(connections "${portal[1]}")))"
check "$uri"
wait_connected 5 "${portal[@]}"
stop_mpiscsi
rm -f "$sock"
port=$(tcp_port)
background "$mpiscsi_log" systemd-socket-activate -l "127.0.0.1:$port" -l "$sock" \
  "${_nbdkit[@]}" -f "$plugin" portals="$all"
mpiscsi_pid=$!
wait_until 5 test -S "$sock" || fail "no socket"
check "nbd://127.0.0.1:$port"
check "$uri"
stop_mpiscsi

say "-s: one client on standard input"
nbdsh -c - <<PY
h.connect_command(["${_nbdkit[0]}", *"${_nbdkit[*]:1}".split(), "-s", "--exit-with-parent", "$plugin", "portals=$all"])
assert h.get_size() == 32 << 20
assert h.pread(1 << 20, 0) == open("$tmpdir/disk", "rb").read(1 << 20)
h.shutdown()
PY

say "--run"
# shellcheck disable=SC2016
size=$("${_nbdkit[@]}" -U - "$plugin" portals="$all" --run 'nbdinfo --size "$uri"' 2>>"$mpiscsi_log")
assert_equal "size with --run" $((32 << 20)) "$size"

say "vsock"
if python3 -c 'import socket; s = socket.socket(socket.AF_VSOCK); s.bind((1, socket.VMADDR_PORT_ANY)); s.listen()
c = socket.socket(socket.AF_VSOCK); c.settimeout(3); c.connect((1, s.getsockname()[1]))' 2>/dev/null; then
  port=$(tcp_port)
  serve --vsock -p "$port" "$plugin" portals="$all"
  check "nbd+vsock://1:$port"
  stop_mpiscsi
else
  echo "this kernel has no vsock of its own (vsock_loopback): that part is left out"
fi
