# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the test-health-*.sh: a failure under load is a "row", with a name.
# Each row prints one line, which bench/bench-failover collects:
#
#   RESULT row=NAME stall_ms=N limit_ms=N errors=N ...
#
# stall_ms is the longest time that any request took, by the clock of the load
# generator (stall.c), from the failure on; before_ms the same until then.  A test may be given the names of the rows to run.
#
# The machines that run this are shared, so a row fails only beyond its limit
# times HEALTH_SLACK (2), plus what the load's own idle thread was kept from
# running (noise_ms).  The number itself is printed; bench-failover gives
# medians against the bare limits.  A row that is beyond its bare limit prints
# its log with times, and every row does with HEALTH_EXPLAIN=1.
stall=${STALL:-$top_builddir/tests/fake/stall}
iscsi_proxy=${ISCSI_PROXY:-$top_builddir/tests/fake/iscsi-proxy}
slack=${HEALTH_SLACK:-2}
[ -x "$stall" ] || fail "there is no $stall: run make check"

_rows_wanted=("$@")
wanted () { # NAME: was that row asked for, or none at all?
  local r
  [ ${#_rows_wanted[@]} != 0 ] || return 0
  for r in "${_rows_wanted[@]}"; do [ "$r" != "$1" ] || return 0; done
  return 1
}
# How long failures last: as long as a row is for bench-failover, when it was asked
# for by name.  Else only what a real kernel and network have to show, with times
# that are a quarter of the defaults; that the rules hold for long is seen in
# unit-session, in virtual time.
if [ ${#_rows_wanted[@]} = 0 ]; then
  quick_times=(noop-out-interval=0.5 noop-out-timeout=0.5 fast-io-fail-tmo=1.25 polling-interval=1)
else
  quick_times=()
fi
long () { if [ ${#quick_times[@]} = 0 ]; then echo "$1"; else echo "$2"; fi; } # FULL QUICK
_check_rows () { # NAME...: those that this test has
  local r
  for r in "${_rows_wanted[@]}"; do
    case " $* " in *" $r "*) ;; *) fail "there is no row $r: $*" ;; esac
  done
}

#---- the load ------------------------------------------------------------------
load_pid=
# start_load [STALL OPTION]...: mixed 4k reads and writes at depth 16, with
# verification.  2000 a second, in bursts of the depth, leave some of two
# processors to the target.  16 MiB, so that most of what is read was written
# before, and that writes meet those that are in doubt.
start_load () {
  rm -f "$tmpdir/load.json" "$tmpdir/load.txt"
  setpriv --pdeathsig KILL "$stall" --rate "${load_rate:-2000}" --size 16777216 --drain 90 --log "$tmpdir/load.txt" "$@" "$uri" \
    </dev/null >"$tmpdir/load.json" 2>"$tmpdir/load.log" &
  load_pid=$!
  cleanup_fn _end_load "$load_pid"
  wait_until 10 test -s "$tmpdir/load.txt" || fail "no load: $(cat "$tmpdir/load.log" "$tmpdir/load.json")"
}
_end_load () { if is_running "$1"; then kill -KILL "$1"; wait "$1" 2>/dev/null; fi; return 0; }
assert_load_runs () {
  is_running "$load_pid" || fail "the load ended too early: $(cat "$tmpdir/load.log" "$tmpdir/load.json")"
}
# stop_load: errors are looked at by who called.
stop_load () {
  assert_load_runs
  kill -TERM "$load_pid"
  wait_until 100 gone "$load_pid" || fail "the load does not end"
  wait "$load_pid" 2>/dev/null || :
  load_pid=
  [ -s "$tmpdir/load.json" ] || fail "the load has no result: $(<"$tmpdir/load.log")"
}
# load_value EXPRESSION: of the result, a dictionary r.
load_value () {
  python3 -c 'import json, sys
r = json.load(open(sys.argv[1]))
print(eval(sys.argv[2]))' "$tmpdir/load.json" "$1"
}
# load_tail PERCENT FROM TO: latency in microseconds that PERCENT of the
# requests stayed below which were sent in that time (now_ms () clock).
load_tail () {
  python3 - "$tmpdir/load.json" "$tmpdir/load.txt" "$@" <<'PY'
import json, sys
start = json.load(open(sys.argv[1]))["start_epoch_ms"]
percent, begin, end = (float(x) for x in sys.argv[3:])
ms = sorted(float(w[1]) for w in (line.split() for line in open(sys.argv[2]))
            if begin <= start + 1000 * float(w[0]) < end)
if len(ms) < 100:
    sys.exit("only %d requests in that time" % len(ms))
print(round(1000 * ms[min(len(ms) - 1, int(len(ms) * percent / 100))]))
PY
}

# load_longest EXPRESSION: of the request that took longest (w: start and end in
# ms of the epoch, ms, op) among those that were not over before the failure;
# b is the longest before it.
load_longest () {
  python3 - "$tmpdir/load.json" "$tmpdir/load.txt" "$broken_at" "$1" <<'PY'
import json, sys
start = json.load(open(sys.argv[1]))["start_epoch_ms"]
broken_at = int(sys.argv[3])
w, b = dict(start=0, ms=0.0, op="none"), 0.0
for line in open(sys.argv[2]):
    t, ms, op = line.split()[:3]
    t, ms = start + 1000 * float(t), float(ms)
    if t + ms < broken_at:
        b = max(b, ms)
    elif ms > w["ms"]:
        w = dict(start=t, ms=ms, op=op)
print(eval(sys.argv[4]))
PY
}

#---- rows ----------------------------------------------------------------------
# begin_row NAME: load on all paths, and some time of it.
begin_row () {
  row=$1; shift
  reinstated_ms=
  say "row $row"
  wait_connected 10 "${paths[@]}"
  start_load "$@"
  sleep 1.5
  assert_load_runs
  # A failure of a path that has nothing to do would prove nothing.
  [ -n "${one_group:-}" ] || wait_until 15 _all_carry "${paths[@]}" ||
    fail "not all paths carry I/O: $(grep slow "$mpiscsi_log" | tail -n 3)"
  mark_log
  broken_at=$(now_ms)
}
_all_carry () { # PORTAL...: many requests on each in the same 0.4 s
  local p
  local -A bytes_then
  for p; do bytes_then[$p]=$(path_bytes "$p"); done
  sleep 0.4
  for p; do [ $(($(path_bytes "$p") - ${bytes_then[$p]})) -gt 20000 ] || return 1; done
}
repaired () { repaired_at=$(now_ms); }
# wait_reinstated PORTAL [SECONDS]: how long since the repair.
wait_reinstated () {
  wait_path_up "$1" "${2:-20}"
  reinstated_ms=$(($(now_ms) - ${repaired_at:-$broken_at}))
}
# end_row STALL_LIMIT_MS [REINSTATE_LIMIT_MS]: 0: no limit of its own.
end_row () {
  local ms noise errors mismatches
  sleep 0.5
  stop_load
  ms=$(load_longest 'round (w["ms"])')
  noise=$(load_value 'round (r["noise_ms"])')
  errors=$(load_value 'r["errors"] + r["unanswered"]')
  mismatches=$(load_value 'r["mismatches"]')
  echo "RESULT row=$row stall_ms=$ms limit_ms=$1 errors=$errors mismatches=$mismatches" \
       "reinstated_ms=${reinstated_ms:--} reinstate_limit_ms=${2:--} noise_ms=$noise" \
       "before_ms=$(load_longest 'round (b)')" \
       "longest=$(load_longest '"%s@%d" % (w["op"], w["start"] - broken_at)')ms" \
       "requests=$(load_value 'r["reads"] + r["writes"]')"
  if [ -n "${HEALTH_EXPLAIN:-}" ] || [ "$errors" != 0 ] || { [ "$1" != 0 ] && [ "$ms" -gt "$1" ]; } ||
     { [ -n "${2:-}" ] && [ "${reinstated_ms:-0}" -gt "$2" ]; }; then explain_row; fi
  assert_equal "$row: errors that reached the client ($(load_value 'r["first_error"]'))" 0 "$errors"
  assert_equal "$row: wrong data ($(load_value 'r["first_error"]'))" 0 "$mismatches"
  if [ "$1" != 0 ]; then
    assert_less "$row: longest stall in ms, limit $1 with slack" "$ms" $(($1 * slack * slow_limits + noise))
  fi
  if [ -n "${2:-}" ] && [ -n "$reinstated_ms" ]; then
    assert_less "$row: ms from the repair until reinstated, limit $2 with slack" \
                "$reinstated_ms" $(($2 * slack * slow_limits))
  fi
  unset repaired_at
}

#---- a proxy in front of each portal ----------------------------------------------
proxied=() proxy_pid=()
# start_proxies N: one process each; proxied[i] is where it listens, and what
# discovery gives.  portal[i] becomes the target's own.
start_proxies () {
  local i j map
  [ -x "$iscsi_proxy" ] || fail "there is no $iscsi_proxy: run make check"
  pick_portals $((2 * $1))
  proxied=("${portal[@]:0:$1}")
  portal=("${portal[@]:$1}")
  for ((i = 0; i < $1; i++)); do
    map=()
    for ((j = 0; j < $1; j++)); do map+=(--map "${portal[j]}=${proxied[j]}"); done
    : >"$tmpdir/proxy$i.log"
    background "$tmpdir/proxy$i.log" "$iscsi_proxy" --control "$tmpdir/proxy$i.sock" \
               --listen "${proxied[i]}=${portal[i]}" "${map[@]}"
    proxy_pid[i]=$!
    cleanup_fn _tgt_end "${proxy_pid[i]}"
    wait_until 5 grep -q '^ready' "$tmpdir/proxy$i.log" || fail "no proxy: $(<"$tmpdir/proxy$i.log")"
  done
}
# ctl I COMMAND...
ctl () {
  local i=$1 out; shift
  out=$(timeout 10 "$iscsi_proxy" ctl "$tmpdir/proxy$i.sock" "$@") || fail "proxy $i: $*: $out"
  echo "$out"
}
# proxy_stat I NAME: a counter of its portal, 0 if it was never counted.
proxy_stat () {
  local out
  out=$(ctl "$1" stats)
  out=$(grep -oE "(^| )$2=[0-9]+" <<<"$out" || :)
  echo "${out##*=}" | grep . || echo 0
}
assert_no_loss () {
  assert_not_logged "Failing path|session [0-9]+ lost|checker reports path is down"
}
# Reads and writes that were sent to path I.
path_ios () { echo $(($(proxy_stat "$1" scsi-28) + $(proxy_stat "$1" scsi-2a) + $(proxy_stat "$1" scsi-88) + $(proxy_stat "$1" scsi-8a))); }

# health_target: LUN 1 on the portals of portal[].
# In memory: a file system that waits for its disk stalls the target, for up to
# a second on a busy machine, and that is not what is measured.
health_target () {
  local disk=$tmpdir/disk
  if [ -w /dev/shm ]; then
    disk=$(mktemp /dev/shm/mpiscsi.XXXXXX)
    cleanup_fn rm -f "$disk"
    ln -s "$disk" "$tmpdir/disk"
  fi
  make_disk "$disk" 64M
  start_tgt t "${portal[@]}"
  tgt_target t 1
  tgt_lun t 1 1 "$tmpdir/disk" vendor_id=TEST product_id=TESTDISK "scsi_sn=SN$$"
  wwid=$(tgt_wwid 1 1)
}
# proxied_target N: the same behind N proxies.
proxied_target () {
  start_proxies "$1"
  health_target
  paths=("${proxied[@]}")
}
# serve [PARAMETER]...: on all of paths, with default settings.
serve () {
  start_mpiscsi portals="$(join_portals "${paths[@]}")" target="$iqn" lun=1 "$@"
  wait_connected 10 "${paths[@]}"
  follow_log
}
# The log has no times: $tmpdir/timed has, in ms of the epoch, within 10 ms.
follow_log () {
  background "$tmpdir/follow.log" python3 -c '
import sys, time
f = open(sys.argv[1], errors="replace")
out = open(sys.argv[2], "w", buffering=1)
while True:
    line = f.readline()
    if line:
        out.write("%d %s" % (time.time() * 1000, line))
    else:
        time.sleep(0.01)' "$mpiscsi_log" "$tmpdir/timed"
  cleanup_fn _tgt_end $!
}
# explain_row: what was logged, in ms since the failure.
explain_row () {
  echo "--- log of row $row, ms since the failure; the longest requests:"
  awk -v t0="$broken_at" '$1 >= t0 - 100 { t = $1 - t0; $1 = ""; printf "%7d%s\n", t, $0 }' "$tmpdir/timed"
  load_value '"\n".join ("  %s of block %d sent at %d: %d ms" % (w["op"], w["block"], r["start_epoch_ms"] + 1000 * w["t"] - '"$broken_at"', w["ms"]) for w in r["worst"])'
}
