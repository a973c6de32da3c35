#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Hedged reads: of the reads on one path three in a hundred come 400 ms late.
# Without hedging the client waits for each; with it the longest read is short,
# the data is right, also when the path that is late is cut again and again.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=functions.sh
. "${srcdir:-$(dirname "$0")}/functions.sh"
# shellcheck source=functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows off on cut
late_ms=400

# hedges KEY: a counter of the map.
hedges () {
  timeout 10 "$mpiscsi" -s "$tmpdir/c.sock" -j show topology | python3 -c 'import json, sys
print(json.load(sys.stdin)["maps"][0][sys.argv[1]])' "$1"
}

# row NAME SECONDS: with so many late reads.
late_row () {
  begin_row "$1"
  ctl 0 delay-answers "$late_ms" read 30
  if [ "$1" = cut ]; then
    for ((i = 0; i < $2; i++)); do sleep 1; ctl 0 cut rst; done
    wait_path_up "${paths[0]}" 20
  else
    sleep "$2"
  fi
  ctl 0 delay-answers 0
  end_row 0
}

proxied_target 2
for mode in off on cut; do
  wanted "$mode" || continue
  hedged=on; [ "$mode" != off ] || hedged=off
  serve hedged-reads="$hedged" control="$tmpdir/c.sock" "$@"
  late_row "$mode" 4
  stop_mpiscsi
done
