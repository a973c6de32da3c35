# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced after functions-fake.sh by tests of asymmetric arrays: the fake
# target with --alua, a load over NBD, and scenes that are played under it.
# shellcheck source=functions-cmd.sh
. "$testsdir/functions-cmd.sh"
stall=$top_builddir/tests/fake/stall
map=3600fa4e0000000000000000000000001
load_pid=

# array GROUP:STATE,... [TARGET OPTION]...: a portal for each.
array () {
  local groups=$1 commas; shift
  commas=${groups//[^,]/}
  stop_fake
  start_fake "$((${#commas} + 1))" --alua "$groups" --control "$fake_fifo" "$@"
  params=(discovery=off "target=$fake_iqn" "wwid=$map")
  for p in "${portal[@]}"; do params+=("portals=$p"); done
}
# served GROUP:STATE,... [TARGET OPTION]... [-- PARAMETER]...: and the server.
served () {
  local options=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
  [ $# = 0 ] || shift
  stop_mpiscsi
  array "${options[@]}"
  start_mpiscsi "${params[@]}" "$@"
  wait_until 5 _all_listed || fail "not all paths: $(mpiscsi -ll)"
}
_all_listed () { [ "$(mpiscsi show paths | grep -c "$map")" = ${#portal[@]} ]; }
load () { # [STALL OPTION]...
  background "$tmpdir/load.json" "$stall" --depth 16 --rate 1500 --runtime 30 "$@" "$uri"
  load_pid=$!
  cleanup_fn _tgt_end "$load_pid"
  sleep 0.2
}
# load_ended SCENE GAP [SLACK]: 0 errors, right data, and no request took more than
# the array's own GAP and SLACK (ms; 500).
load_ended () {
  local numbers
  sleep 0.15
  kill -TERM "$load_pid"
  wait "$load_pid" || :
  numbers=$(python3 - "$tmpdir/load.json" <<'PY'
import json, sys
text = open(sys.argv[1]).read()
r = json.loads(text[text.rindex("{\"start_epoch_ms"):])
print(r["errors"] + r["mismatches"] + r["unanswered"], round(max([w["ms"] for w in r["worst"]] + [0])),
      round(r["noise_ms"]), r["reads"] + r["writes"], r["first_error"] or "-")
PY
) || fail "$1: the load has no result: $(<"$tmpdir/load.json")"
  : >"$tmpdir/load.json"
  read -r errors longest noise requests first <<<"$numbers"
  echo "RESULT $1: errors $errors, longest $longest ms (the array's own $2), requests $requests, noise $noise ms"
  assert_equal "$1: errors of the client ($first)" 0 "$errors"
  assert_less "$1: requests" 50 "$requests"
  assert_less "$1: ms of the longest request" "$longest" $((($2 + ${3:-500}) * slow_limits + noise))
}
# scene NAME GAP STEP...: a load, and in it fake_ctl STEPs; a number is a pause (s).
scene () {
  local name=$1 gap=$2 step; shift 2
  mark_log
  load
  for step; do
    # shellcheck disable=SC2086
    case $step in [0-9]*) sleep "$step" ;; *) fake_ctl $step ;; esac
  done
  load_ended "$name" "$gap"
}
_group_is () { grep -qF -- "prio=$1 status=$2" <<<"$(mpiscsi -ll)"; }
_path_is () { grep -qE -- "$1 +$2" <<<"$(mpiscsi -ll)"; }
