# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by tests in which another host (reserve.py, by libiscsi) holds a
# persistent reservation.
requires python3 -c 'import ctypes; ctypes.CDLL("libiscsi.so.7")'

# start_other_host: with a session to LUN 1 through the first portal.
start_other_host () {
  coproc OTHER { exec python3 "$testsdir/fake/reserve.py" "${portal[0]}" "$iqn" 1 2>"$tmpdir/other.log"; }
  cleanup_fn end_process "$OTHER_PID"
}
# reserve VERB...: what it is to do; see reserve.py.
reserve () {
  local answer=''
  echo "$@" >&"${OTHER[1]}"
  read -r -t 10 answer <&"${OTHER[0]}" || :
  [ "$answer" = "done" ] || fail "reserve.py: $*: $(<"$tmpdir/other.log")"
}
# reserve_ask VERB: prints what it says.
reserve_ask () {
  local answer=''
  echo "$@" >&"${OTHER[1]}"
  read -r -t 10 answer <&"${OTHER[0]}" || fail "reserve.py: $*: $(<"$tmpdir/other.log")"
  echo "$answer"
}
