# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by test-stale-*.sh: the proxy, and the client that lets old writes
# come late (stale-write.py).
requires command -v python3
proxy=$top_builddir/tests/fake/iscsi-proxy
[ -x "$proxy" ] || fail "no $proxy: run make check"

# start_proxy [OPTION] TARGET_PORTAL...: $proxied has the portals of the proxy.
start_proxy () {
  local p args=()
  while [[ $1 = --* ]]; do args+=("$1"); shift; done
  for p; do args+=(--listen "127.0.0.1:0=$p"); done
  rm -f "$tmpdir/proxy.log"
  background "$tmpdir/proxy.log" "$proxy" --control "$tmpdir/proxy.sock" "${args[@]}"
  proxy_pid=$!
  cleanup_fn end_process "$proxy_pid"
  wait_until 5 grep -q '^ready' "$tmpdir/proxy.log" || fail "no proxy"
  read -ra proxied <<<"$(sed -n 's/^ready //p' "$tmpdir/proxy.log")"
}
ctl () { "$proxy" ctl "$tmpdir/proxy.sock" "$@"; }
# As it was at first: what an earlier case has left behind comes now or never.
reset_proxy () {
  ctl release 2000 >/dev/null 2>&1 || : # "nothing is held"
  ctl reset >/dev/null
}

# stale SCENARIO [ARGUMENT]...: sets $out, one line.  keep_faults=1: those that
# the proxy has.
keep_faults=
stale () {
  [ -n "$keep_faults" ] || ctl reset >/dev/null
  out=$(timeout -k 5 "$((50 * slow))" python3 "$testsdir/fake/stale-write.py" "$uri" \
        --proxy "$proxy" "$tmpdir/proxy.sock" "${proxied[0]}" \
        ${freeze:+--freeze "$freeze"} "$@") || fail "$*: $out"
  echo "  ${out//$'\n'/$'\n'  }"
  out=${out//$'\n'/, }
}
# number TEXT: TEXT has a %d; sets $value to the number that $out has there.
number () {
  local re=${1/\%d/([0-9]+)}
  [[ $out =~ $re ]] || fail "no '$1' in: $out"
  value=${BASH_REMATCH[1]}
}
# What was fenced by time alone proves nothing, and no test may wait for it
# without knowing.
fenced_by () { # HOW
  wait_for_log "unanswered writes of the lost session are fenced \($1\)" 5
  assert_not_logged 'gave up fencing'
  assert_not_logged 'internal error|out of memory'
}
# The server was killed, as the test wanted.
forget_killed () {
  { wait "$mpiscsi_pid"; } 2>/dev/null || : # and what bash says of it
  mpiscsi_pid=
}
