# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by test-field-*.sh: targets as people have them (fake/field-target.py).
requires python3 --version
field_iqn=iqn.2026-11.example.mpiscsi:field
field_pid=

# start_field N [OPTION]...: on N new portals, portal[0..N-1]; its lines are in
# $tmpdir/field.log.
start_field () {
  local i n=$1; shift
  pick_portals "$n"
  run_field "${portal[*]:0:n}" "$@"
}
# run_field "PORTAL..." [OPTION]...
run_field () {
  local p args=(); for p in $1; do args+=(--listen "$p"); done; shift
  : >"$tmpdir/field.log"
  background "$tmpdir/field.log" "${target_ns[@]}" python3 "$testsdir/fake/field-target.py" "${args[@]}" "$@"
  field_pid=$!
  cleanup_fn _tgt_end "$field_pid"
  wait_until 5 grep -q '^ready' "$tmpdir/field.log" || fail "field-target.py: $(<"$tmpdir/field.log")"
}
stop_field () { [ -z "$field_pid" ] || { kill -KILL "$field_pid"; wait "$field_pid" 2>/dev/null || :; }; field_pid=; }
