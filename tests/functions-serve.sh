# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by tests in which nbdkit listens on something else than the Unix
# socket of start_mpiscsi.

# tcp_port: a free one, on any address.  It is below those that the kernel
# gives to clients, and made of our pid, so that tests at once differ.
tcp_port () {
  local p=$((12000 + $$ % 10000))
  while [ -n "$(ss -Htln "sport = :$p")" ]; do p=$((p + 1)); done
  echo "$p"
}
# serve [NBDKIT OPTION | PARAMETER]...: as start_mpiscsi, without a socket.
serve () {
  requires_plugin
  rm -f "$tmpdir/nbdkit.pid"
  mark_log
  if is_own && own_arguments "$@"; then
    background "$mpiscsi_log" "${_nbdkit[@]:0:${#_nbdkit[@]}-1}" "$own_command" serve front_end=own "pid_file=$tmpdir/nbdkit.pid" "${own_args[@]}"
  else
    background "$mpiscsi_log" "${_nbdkit[@]}" -f --pidfile "$tmpdir/nbdkit.pid" "$@"
  fi
  mpiscsi_pid=$!
  wait_until 20 _mpiscsi_is_up || fail "nbdkit does not serve after 20 s"
  if gone "$mpiscsi_pid"; then fail "nbdkit ended at once: $*"; fi
}
