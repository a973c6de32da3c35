# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by functions.sh: portals that no other test has, what is counted and
# killed per TCP connection, and network namespaces.

# pick_portals N: sets portal[0..N-1], e.g. 127.3.21.8:3260.  The address is
# made of our pid, so that tests that run at once differ even if they choose
# at the same moment; the port is free on every address.
portal=()
pick_portals () {
  local i a=$(($$ * 4 & 0xfffffc)) port=3260
  while [ -n "$(ss -Htln "sport = :$port")" ]; do port=$((port + 1)); done
  portal=()
  for ((i = 0; i < $1; i++)); do
    portal+=("127.$((a >> 16)).$((a >> 8 & 255)).$((a & 255 | i % 4)):$((port + i / 4))")
  done
}
# join_portals PORTAL...: as the parameter portals= wants them.
join_portals () { local IFS=,; echo "$*"; }

# Commands in front of the server's and the target's; empty: where we are.
client_ns=()
target_ns=()

# The sockets of the client's side of a portal.
_ss () { # PORTAL SS-OPTION...
  local p=$1; shift
  "${client_ns[@]}" ss -Htn "$@" state established dst "${p%:*}" dport = ":${p##*:}" 2>/dev/null
}
connections () { _ss "$1" | wc -l; }
_all_connected () { local p; for p; do [ "$(connections "$p")" -gt 0 ] || return 1; done; }
wait_connected () { # SECONDS PORTAL...
  local s=$1; shift
  wait_until "$s" _all_connected "$@" || fail "not all connected within $s s: $*"
}
# path_bytes PORTAL: sent and received on its present connections, as TCP
# counts them.
path_bytes () {
  _ss "$1" -i | grep -oE 'bytes_(acked|received):[0-9]+' |
    awk -F: '{ n += $2 } END { printf "%d\n", n }'
}
# kill_tcp PORTAL: the kernel ends the connection, both sides see a reset.
# False if there was none.
kill_tcp () { [ -n "$(_ss "$1" -K)" ]; }
# Can this kernel do that?  PORTAL must be listening.
requires_kill_tcp () {
  local gone=no
  exec {_fd}<>"/dev/tcp/${1%:*}/${1##*:}"
  kill_tcp "$1" || :
  [ "$(connections "$1")" != 0 ] || gone=yes
  exec {_fd}>&-
  [ $gone = yes ] || skip "ss -K does not work with this kernel"
}

#---- namespaces -----------------------------------------------------------------
# A namespace has no name: it is the one of a process that sleeps in it, and it
# ends with that process.
_new_netns () { # sets $netns_pid
  local self
  background "$tmpdir/netns.log" unshare -n sleep infinity
  netns_pid=$!
  cleanup_fn end_process "$netns_pid"
  self=$(readlink /proc/self/ns/net)
  wait_until 5 _netns_differs "$netns_pid" "$self" || skip "no network namespaces here"
  nsenter -t "$netns_pid" -n ip link set lo up
}
_netns_differs () { [ "$(readlink "/proc/$1/ns/net")" != "$2" ] && grep -qx sleep "/proc/$1/comm"; }

# make_net N: one namespace for the target and one for the server, with N
# cables between them: c0-t0, c1-t1, ...  Sets client_ns, target_ns, and
# portal[i] = 10.99.i.2:3260 (the target's end of cable i).
make_net () {
  local i c t
  requires_root
  requires ip -V
  requires iptables --version
  _new_netns; c=$netns_pid
  _new_netns; t=$netns_pid
  client_ns=(nsenter -t "$c" -n --)
  target_ns=(nsenter -t "$t" -n --)
  portal=()
  for ((i = 0; i < $1; i++)); do
    "${client_ns[@]}" ip link add "c$i" type veth peer name "t$i" netns "$t" ||
      skip "no veth in this kernel"
    "${client_ns[@]}" ip addr add "10.99.$i.1/24" dev "c$i"
    "${target_ns[@]}" ip addr add "10.99.$i.2/24" dev "t$i"
    "${client_ns[@]}" ip link set "c$i" up
    "${target_ns[@]}" ip link set "t$i" up
    portal+=("10.99.$i.2:3260")
  done
}
# The rules act in the client's namespace, as in the how-to.
drop_portal () { "${client_ns[@]}" iptables -w -I OUTPUT -d "${1%:*}" -j DROP; }
undrop_portal () { "${client_ns[@]}" iptables -w -D OUTPUT -d "${1%:*}" -j DROP; }
# Answered with a reset, as by a host whose daemon is gone.
reject_portal () {
  "${client_ns[@]}" iptables -w -I OUTPUT -p tcp -d "${1%:*}" -j REJECT --reject-with tcp-reset
}
unreject_portal () {
  "${client_ns[@]}" iptables -w -D OUTPUT -p tcp -d "${1%:*}" -j REJECT --reject-with tcp-reset
}
cable_down () { "${target_ns[@]}" ip link set "t$1" down; }
cable_up () { "${target_ns[@]}" ip link set "t$1" up; }
