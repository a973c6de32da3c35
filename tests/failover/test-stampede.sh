#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Many sessions lose their portals at one moment and get them back at one
# moment.  Whatever the portals do meanwhile: at each, one login at a time is
# under way, the attempts of a session come at jittered intervals, and in the
# end all sessions are back, soon.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"

n_portals=3 n_targets=8
pick_portals $n_portals
real=() gates=()
for ((i = 0; i < n_portals; i++)); do
  # Of one length, so that the gate can put its own in a discovery answer.
  p=${portal[i]%:*} q=${portal[i]##*:}
  real+=("$p:$((q + 1000))")
  gates+=("${portal[i]}=${real[i]}")
done
start_tgt t "${real[@]}"
for ((t = 1; t <= n_targets; t++)); do
  make_disk "$tmpdir/disk$t" 1M
  tgt_target t "$t" "$iqn.$t"
  tgt_lun t "$t" 1 "$tmpdir/disk$t" vendor_id=TEST "scsi_sn=SN$$.$t"
done

echo up >"$tmpdir/mode"
: >"$tmpdir/gate.txt"
background "$tmpdir/gate.txt" python3 "$testsdir/fake/login-gate.py" "$tmpdir/mode" "${gates[@]}"
cleanup_fn _tgt_end $!
wait_until 5 grep -q '^ready' "$tmpdir/gate.txt" || fail "no gate: $(<"$tmpdir/gate.txt")"
mode () { echo "$1" >"$tmpdir/mode.new"; mv "$tmpdir/mode.new" "$tmpdir/mode"; }

# Back-off ends at half of polling-interval: 1 s.
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=2 login-timeout=1
_all_up () { # SINCE: that many sessions have come up since then
  [ "$(awk -v t="$1" '$3 == "up" && !/discovery/ && $1 >= t' "$tmpdir/gate.txt" | wc -l)" -ge $((n_portals * n_targets)) ]
}
wait_until 20 _all_up 0 || fail "not all sessions are up: $(grep -c ' up ' "$tmpdir/gate.txt")"

mode down
sleep 6
mode silent
sleep 2.5
mode up
wait_until 5 grep -q 'mode up$' "$tmpdir/gate.txt" || fail "the gate does not open"
up_at=$(awk '$3 == "mode" && $4 == "up" { print $1 }' "$tmpdir/gate.txt" | tail -n 1)
wait_until 15 _all_up "$up_at" || fail "not all sessions are back: $(awk -v t="$up_at" '$3 == "up" && $1 >= t' "$tmpdir/gate.txt")"

python3 - "$tmpdir/gate.txt" $n_portals $n_targets <<'PY'
import collections, statistics, sys
n_portals, n_targets = int(sys.argv[2]), int(sys.argv[3])
events = [line.split() for line in open(sys.argv[1]) if line[0].isdigit()]
mode, since = "start", {}
under_way = collections.defaultdict(set)
most = collections.Counter()
last, gaps, came_up = {}, [], {}
for t, portal, event, *who in events:
    t = float(t)
    if event == "mode":
        mode, since[who[0]] = who[0], t
        under_way.clear()
        continue
    if event == "begin":
        under_way[portal].add(who[0])
        if mode != "start":
            most[mode, portal] = max(most[mode, portal], len(under_way[portal]))
    elif event in ("up", "end"):
        under_way[portal].discard(who[0])
    if event == "login" and mode == "down":
        # Its first ones come faster and faster apart: 0.1, 0.2, 0.4, 0.8 s.
        if t - since["down"] > 3 and (portal, who[1]) in last:
            gaps.append(t - last[portal, who[1]])
        last[portal, who[1]] = t
    if event == "up" and mode == "up":
        came_up[portal, who[1]] = t - since["up"]
for m in ("down", "silent", "up"):
    print("%s: most logins at a time: %s" % (m, " ".join(str(v) for k, v in sorted(most.items()) if k[0] == m)))
print("%d intervals between attempts of a session: %.2f to %.2f s, median %.2f s" % (
    len(gaps), min(gaps), max(gaps), statistics.median(gaps)))
print("%d sessions back, the last after %.2f s" % (len(came_up), max(came_up.values())))
wrong = []
if len(last) != n_portals * n_targets:
    wrong.append("only %d sessions have tried" % len(last))
if max(most.values()) > 1 or len(most) != 3 * n_portals:
    wrong.append("more than one login at a time, or none")
# A wait for another's login only makes them longer: the shortest show the jitter.
tenth = statistics.quantiles(gaps, n=10)
print("tenths: " + " ".join("%.2f" % g for g in tenth))
if len(gaps) < n_portals * n_targets or not 0.7 < min(gaps) < 0.9 or tenth[8] - tenth[0] < 0.1:
    wrong.append("intervals without jitter")
if len(came_up) != n_portals * n_targets:
    wrong.append("not all are back")
sys.exit("; ".join(wrong) or None)
PY
assert_not_logged "internal error"
