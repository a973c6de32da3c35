# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by tests that need facts about a LUN which tgt cannot be told to
# have: fake-iscsi-target, on portals of 127.0.0.0/8.
fake_target=${FAKE_TARGET:-$top_builddir/tests/fake/fake-iscsi-target}
fake_iqn=iqn.2026-11.example.mpiscsi:fake
fake_pid=

# start_fake N [OPTION]...: on N new portals, portal[0..N-1].
start_fake () {
  local i n=$1 args=(); shift
  [ -x "$fake_target" ] || fail "there is no $fake_target: run make check"
  pick_portals "$n"
  for ((i = 0; i < n; i++)); do args+=(--listen "${portal[i]}"); done
  : >"$tmpdir/fake.log"
  background "$tmpdir/fake.log" "${target_ns[@]}" "$fake_target" "${args[@]}" "$@"
  fake_pid=$!
  cleanup_fn _tgt_end "$fake_pid"
  wait_until 5 grep -q '^ready' "$tmpdir/fake.log" || fail "fake-iscsi-target: $(<"$tmpdir/fake.log")"
}
stop_fake () { [ -z "$fake_pid" ] || end_process "$fake_pid" 5 || :; fake_pid=; }
# fake_ctl WORD...: a line for a target that has --control "$fake_fifo"; what it
# does is listed in fake-iscsi-target-alua.c.  Back when it is done.
fake_fifo=$tmpdir/fake.fifo
fake_ctl () {
  local before i
  before=$(grep -c '^\(done\|WRONG\)' "$tmpdir/fake.log" || :)
  echo "$*" >"$fake_fifo"
  for ((i = 0; i < 500; i++)); do
    [ "$(grep -c '^\(done\|WRONG\)' "$tmpdir/fake.log" || :)" = "$before" ] || break
    sleep 0.01
  done
  [ "$(grep '^\(done\|WRONG\)' "$tmpdir/fake.log" | tail -n 1)" = "done $*" ] || fail "fake target: $*"
}
# fake_count FIELD: after `count`: READs and WRITEs of portal 0, 1 ... (1, 2 ...).
fake_count () { fake_ctl count; grep '^count' "$tmpdir/fake.log" | tail -n 1 | cut -d' ' -f"$(($1 + 2))"; }
fake_commands () { fake_ctl count; grep '^count' "$tmpdir/fake.log" | tail -n 1 | sed "s/.* $1 \([0-9]*\).*/\1/"; }
