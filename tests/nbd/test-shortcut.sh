#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Reads and writes that nbdkit does not see (plugin/stream.h): that they take the
# shortcut when they should and only then, and what a client may do meanwhile.
TEST_TIMEOUT=120
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-serve.sh
. "$testsdir/functions-serve.sh"
needs_nbdkit
requires nbdsh -c "import nbd"

simple_target 2 32M thin_provisioning=1
portals=$(join_portals "${portal[@]}")
client () { "$testsdir/fake/raw-nbd.py" "$sock" "$@" || fail "$*"; }
# closed N: requests that took the shortcut, of the Nth connection that was closed.
closed () {
  wait_until 5 enough_closed "$1" || fail "connection $1 is not closed"
  new_log | grep -E 'NBD socket [0-9]+ closed' | sed -n "$1s/.* closed: \([0-9]*\) requests.*/\1/p"
}
# shellcheck disable=SC2317 # by wait_until
enough_closed () { [ "$(count_log 'NBD socket [0-9]+ closed')" -ge "$1" ]; }
some_io='for i in range(500):
    h.pwrite(bytes([i % 256]) * 4096, i * 4096)
    assert h.pread(4096, i * 4096) == bytes([i % 256]) * 4096
h.flush()'

for form in structured simple; do
  say "$form replies"
  extra=()
  [ "$form" = structured ] || extra=(--no-sr)
  start_mpiscsi -v "${extra[@]}" portals="$portals"
  client "$form" prepare
  assert_less "few requests took the shortcut" 16 "$(closed 1)"
  for scenario in pieces mixed lazy clean_end vanish pieces; do
    client "$form" "$scenario"
  done
  nbdsh -u "$uri" -c "$some_io"
  # Each is gone, with all that was in flight.
  connected () { [ "$(find "/proc/$mpiscsi_pid/fd" -lname 'socket:*' | wc -l)" -gt "$1" ]; }
  sockets=$(find "/proc/$mpiscsi_pid/fd" -lname 'socket:*' | wc -l)
  client "$form" vanish
  wait_until 5 eval "! connected $sockets" || fail "connections that the clients have left are still there"
  assert_not_logged 'Failing path .*: [^l]'    # "logged out": at the start
  stop_mpiscsi
done

say "over TCP"
port=$(tcp_port)
serve -v -i 127.0.0.1 -p "$port" "$plugin" portals="$portals"
for scenario in prepare pieces mixed lazy vanish clean_end; do
  "$testsdir/fake/raw-nbd.py" "tcp:$port" structured "$scenario" || fail "$scenario"
done
stop_mpiscsi

say "a server that is read only"
start_mpiscsi -v -r portals="$portals"
client structured readonly
client simple readonly
assert_less "few reads took the shortcut" 10 "$(closed 1)"
stop_mpiscsi

no_shortcut () { # WHAT [NBDKIT OPTION | PARAMETER]...
  say "none $1"; shift
  start_mpiscsi -v portals="$portals" "$@"
  nbdsh -u "$uri" -c "$some_io"
  stop_mpiscsi
  # No stream at all, or one that nothing went through.
  assert_equal "requests that took the shortcut" 0 \
    "$(new_log | sed -n 's/.* closed: \([0-9]*\) requests.*/\1/p' | grep -cvx 0 || :)"
}
no_shortcut "with a filter" --filter=stats statsfile=/dev/null
no_shortcut "with a filter that moves the disk" --filter=offset offset=1M
no_shortcut "with one thread" -t 1
no_shortcut "with shortcut=off" shortcut=off

say "SIGTERM while clients read and write as fast as they can"
start_mpiscsi -v portals="$portals"
for i in 1 2 3; do
  background "$tmpdir/client$i.log" "$testsdir/fake/raw-nbd.py" "$sock" structured busy
  clients[i]=$!
  wait_until 10 grep -q busy "$tmpdir/client$i.log" || fail "client $i did not connect"
done
sleep 0.5
stop_mpiscsi 5
for i in 1 2 3; do
  wait_until 5 gone "${clients[i]}" || fail "client $i still runs"
  wait "${clients[i]}" || fail "client $i: $(<"$tmpdir/client$i.log")"
  assert_match "client $i" "[0-9]{4,} answers" "$(<"$tmpdir/client$i.log")"
done
