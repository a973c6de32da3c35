#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Hedged reads: of the reads on one path three in a hundred come 400 ms late.
# Without hedging the client waits for each; with it all but very few are short
# (the longest is printed), and the data is right, also when the path that is
# late is cut again and again.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows off on cut
late_ms=400

# hedges KEY: a counter of the map.
hedges () {
  timeout 10 "${MPISCSI_COMMAND:-$top_builddir/server/mpiscsi}" -s "$tmpdir/c.sock" -j show maps | python3 -c 'import json, sys
print(json.load(sys.stdin)["maps"][0][sys.argv[1]])' "$1"
}

# late_row NAME SECONDS
late_row () {
  local to i tail sent won reads waited
  begin_row "$1"
  ctl 0 delay-answers "$late_ms" read 30 >/dev/null
  if [ "$1" = cut ]; then
    for ((i = 0; i < $2; i++)); do sleep 1; ctl 0 cut rst >/dev/null; done
    wait_path_up "${paths[0]}" 20
  else
    sleep "$2"
  fi
  ctl 0 delay-answers 0 >/dev/null
  to=$(now_ms)
  end_row 0
  sent=$(hedges hedges) won=$(hedges hedges_won)
  reads=$(load_value 'r["reads"]')
  waited=$(awk -v ms="$late_ms" '$3 == "read" && $2 >= ms { n++ } END { print n + 0 }' "$tmpdir/load.txt")
  tail=$(load_tail 99.9 "$broken_at" "$to")
  echo "RESULT row=$1-tail p50_us=$(load_tail 50 "$broken_at" "$to") p99_us=$(load_tail 99 "$broken_at" "$to")" \
       "p99_9_us=$tail late_ms=$late_ms reads=$reads hedges=$sent won=$won refused=$(hedges hedges_refused) waited=$waited"
  if [ "$1" = off ]; then
    assert_equal "hedges without hedged_reads" 0 "$sent"
    assert_less "99.9 % tail in us without hedging" $((late_ms * 900)) "$tail"
    return
  fi
  # All that are won were late; without the second path they would have waited.
  assert_less "reads that the second path has answered first" 10 "$won"
  assert_less "hedges, at most 16 and one in 20 reads" "$sent" $((reads / 20 + 17))
  # On a busy machine late is later, and some are not hedged: not many.
  [ "$1" != on ] || assert_less "reads that waited for the late answer, $won did not" "$waited" $((won / 2))
}

proxied_target 2
# Without hedging (off) only when it is asked for by name, to compare with.
[ $# != 0 ] || set -- on cut
for mode; do
  hedged=on; [ "$mode" != off ] || hedged=off
  serve hedged-reads="$hedged" control="$tmpdir/c.sock"
  late_row "$mode" 3
  stop_mpiscsi
done
