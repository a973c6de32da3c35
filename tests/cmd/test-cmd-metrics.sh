#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What Prometheus sees: `mpiscsi metrics` of one server and of two, and the HTTP
# listener, each read by the reference parser of OpenMetrics; the numbers are
# those of what was done; and scrapers that are slow, wrong, or too many.
TEST_TIMEOUT=60
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires /usr/bin/python3 -c 'import prometheus_client.openmetrics.parser, nbd'

cat >"$tmpdir/ask.py" <<'PY'
# ask.py FILE NAME [LABEL=VALUE]...: the values of that sample, one a line.
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
wanted = dict(a.split("=", 1) for a in sys.argv[3:])
n = 0
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    for s in family.samples:
        n += 1
        if s.name == sys.argv[2] and all(s.labels.get(k) == v for k, v in wanted.items()):
            print("%.15g" % s.value)
assert n > 50, n
PY
ask () { /usr/bin/python3 "$tmpdir/ask.py" "$@" || fail "no OpenMetrics: $(head -n 5 "$1")"; }
is () { # WANTED FILE SAMPLE...
  local want=$1; shift
  assert_equal "$2 ${*:3}" "$want" "$(ask "$@")"
}

mkdir -p "$tmpdir/mpiscsi"
simple_target 2 64M
at=${portal[0]%:*}:9123            # that address is ours
start_mpiscsi portals="$(join_portals "${portal[@]}")" rr-min-io=1 metrics-listen="$at" \
              control="$tmpdir/mpiscsi/a.sock"
nbdsh -u "$uri" -c 'for i in range(100): h.pwrite(b"x" * 4096, 4096 * i)' -c 'h.flush()'
url=http://$at/metrics

say "over HTTP"
curl -sSf -D "$tmpdir/head" -o "$tmpdir/one" "$url" || fail "curl"
assert_match "type" 'application/openmetrics-text; version=1.0.0' "$(<"$tmpdir/head")"
is 2 "$tmpdir/one" mpiscsi_map_active_paths
is 67108864 "$tmpdir/one" mpiscsi_map_size_bytes
is 1 "$tmpdir/one" mpiscsi_map_info map="$wwid" wwid="$wwid" vendor=TEST product=TESTDISK
total=0
for p in "${portal[@]}"; do
  is 1 "$tmpdir/one" mpiscsi_path_state portal="$p" mpiscsi_path_state=up
  is 0 "$tmpdir/one" mpiscsi_path_state portal="$p" mpiscsi_path_state=down
  n=$(ask "$tmpdir/one" mpiscsi_path_written_bytes_total portal="$p")
  total=$(python3 -c "print(int($total + $n))")
  assert_equal "count and +Inf" "$(ask "$tmpdir/one" mpiscsi_path_latency_seconds_count portal="$p")" \
    "$(ask "$tmpdir/one" mpiscsi_path_latency_seconds_bucket portal="$p" le=+Inf)"
done
assert_equal "bytes written" 409600 "$total"

say "the command says the same; a second server is one more label"
mpiscsi metrics >"$tmpdir/two"
is 2 "$tmpdir/two" mpiscsi_map_active_paths server=a
sock_a=$sock
sock=$tmpdir/b.nbd
background "$tmpdir/b.log" "${server_env[@]}" nbdkit -f -U "$sock" "$plugin" portals="${portal[0]}" \
  discovery=off target="$iqn" control="$tmpdir/mpiscsi/b.sock" metrics-listen="$tmpdir/metrics.sock"
cleanup_fn end_process $! 5
wait_until 10 test -S "$sock" || fail "no second server: $(<"$tmpdir/b.log")"
mpiscsi metrics >"$tmpdir/both"
is 2 "$tmpdir/both" mpiscsi_map_active_paths server=a
is 1 "$tmpdir/both" mpiscsi_map_active_paths server=b
curl -sSf --unix-socket "$tmpdir/metrics.sock" -o "$tmpdir/b" http://localhost/metrics || fail "curl, Unix socket"
is 1 "$tmpdir/b" mpiscsi_map_active_paths server=b
mpiscsi_fails 2 'metrics takes no --json' metrics --json
sock=$sock_a

say "a path that is lost"
mpiscsi fail "${portal[0]}" -s "$tmpdir/mpiscsi/a.sock" >/dev/null
curl -sSf -o "$tmpdir/lost" "$url"
is 1 "$tmpdir/lost" mpiscsi_map_active_paths
is 0 "$tmpdir/lost" mpiscsi_path_usable portal="${portal[0]}"
is 1 "$tmpdir/lost" mpiscsi_path_faults_total portal="${portal[0]}"

say "what is no scrape"
status () { curl -s -o /dev/null -w '%{http_code}' "$@" || :; }
assert_equal "another path" 404 "$(status "${url%/metrics}/")"
assert_equal "POST" 405 "$(status -d x=1 "$url")"
assert_equal "HEAD" 200 "$(status -I "$url")"
assert_equal "a long request" 431 "$(status -H "X: $(printf '%5000s' | tr ' ' x)" "$url")"

say "eight that say nothing hold the ninth up for five seconds at most, and no I/O"
for i in 1 2 3 4 5 6 7 8; do
  background /dev/null socat -u "TCP:$at" /dev/null
  cleanup_fn end_process $! 1
done
nbdsh -u "$uri" -c 'h.pread(4096, 0)'
curl -sSf -m "$((8 * slow))" -o "$tmpdir/again" "$url" || fail "slow clients keep others out"
stop_mpiscsi
assert_start_fails "metrics-listen.*:no" portals="${portal[0]}" lun=1 metrics-listen=127.0.0.1:no

say "alerts and dashboard name what is there"
# shellcheck disable=SC2013
for name in $(grep -ohE 'mpiscsi_[a-z_]+' "$top_srcdir/conf/mpiscsi-alerts.yml" "$top_srcdir/conf/mpiscsi-dashboard.json" | sort -u); do
  grep -qE "^$name\{" "$tmpdir/one" || fail "$name is not counted"
done
python3 -m json.tool "$top_srcdir/conf/mpiscsi-dashboard.json" >/dev/null || fail "the dashboard is no JSON"
