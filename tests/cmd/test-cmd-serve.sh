#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's rows "/etc/multipath.conf" and "the result is /dev/mapper/...":
# mpiscsi check and mpiscsi serve with a configuration file; the export has the
# alias' name; a Unix socket, TCP, and both.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires nbdinfo --version

simple_target 2 64M
port=$((20000 + $$ % 10000))
while [ -n "$(ss -Htln "sport = :$port")" ]; do port=$((port + 1)); done

# conf [LINE OF THE NBD SECTION]...
conf () {
  {
    printf 'iscsi {\n\tportals %s\n\tlun 1\n}\n' "$(join_portals "${portal[@]}")"
    printf 'multipaths {\n\tmultipath {\n\t\twwid %s\n\t\talias iscsi_data\n\t}\n}\n' "$wwid"
    printf 'nbd {\n'
    [ $# = 0 ] || printf '\t%s\n' "$@"
    printf '}\n'
  } >"$tmpdir/mpiscsi.conf"
}
serve () { # starts it, waits until it serves
  background "$tmpdir/serve.log" "${server_env[@]}" "$command" serve -c "$tmpdir/mpiscsi.conf" "front_end=$front_end" "pid_file=$tmpdir/serve.pid"
  serve_pid=$!
  cleanup_fn end_process "$serve_pid"
  wait_until 20 test -s "$tmpdir/serve.pid" || fail "it does not serve: $(tail "$tmpdir/serve.log")"
}
stop_serve () {
  local status=0
  end_process "$serve_pid" 10 || fail "it does not end"
  wait "$serve_pid" || status=$?
  assert_equal "status of mpiscsi serve" 0 "$status"
  rm -f "$tmpdir/serve.pid"
}

say "check and --dry-run"
conf "unix_socket $tmpdir/n.sock" 'threads 24' 'read_only yes' 'filters "stats readahead"'
out=$(mpiscsi check -c "$tmpdir/mpiscsi.conf")
assert_match "check" "^# $tmpdir/mpiscsi.conf is good" "$out"
assert_match "check" "# export iscsi_data: the LUN with the WWID $wwid" "$out"
assert_match "check" 'path_selector "round-robin 0"' "$out"
line="-f -U $tmpdir/n.sock -t 24 -r --filter=stats --filter=readahead -v $plugin config=$tmpdir/mpiscsi.conf"
assert_equal "serve -n" "$line" "$(mpiscsi serve -n -c "$tmpdir/mpiscsi.conf" -- -v | cut -d' ' -f2-)"
printf 'defaults {\n\tpoling_interval 5\n}\n' >"$tmpdir/bad.conf"
mpiscsi_fails 1 "bad.conf:2: .*polling_interval" check -c "$tmpdir/bad.conf"
mpiscsi_fails 1 "bad.conf:2: .*polling_interval" serve -c "$tmpdir/bad.conf"
mpiscsi_fails 1 'nosuch.conf' serve -c "$tmpdir/nosuch.conf"

conf "unix_socket $tmpdir/n.sock"
assert_equal "serve -n, without filters" "# serves on $tmpdir/n.sock" "$(mpiscsi serve -n -c "$tmpdir/mpiscsi.conf")"
assert_equal "serve -n, KEY=VALUE wins" "# serves on $tmpdir/m.sock" \
             "$(mpiscsi serve -n -c "$tmpdir/mpiscsi.conf" "unix_socket=$tmpdir/m.sock")"
assert_match "serve -n, nbdkit on demand" "nbdkit -f -U $tmpdir/n.sock -t 64 $plugin" \
             "$(mpiscsi serve -n -c "$tmpdir/mpiscsi.conf" front_end=nbdkit)"
mpiscsi_fails 1 'filters.*nbdkit' serve -n -c "$tmpdir/mpiscsi.conf" front_end=own filters=stats

for front_end in own nbdkit; do
say "a Unix socket, $front_end"
conf "unix_socket $tmpdir/n.sock"
serve
assert_equal "size, by alias" $((64 << 20)) "$(nbdinfo --size "nbd+unix:///iscsi_data?socket=$tmpdir/n.sock")"
assert_equal "size, by WWID" $((64 << 20)) "$(nbdinfo --size "nbd+unix:///$wwid?socket=$tmpdir/n.sock")"
assert_match "-ll" "^iscsi_data \\($wwid\\) map-0 TEST,TESTDISK" "$(mpiscsi -ll)"
stop_serve

say "TCP"
conf "port $port" 'address 127.0.0.1'
serve
assert_equal "size" $((64 << 20)) "$(nbdinfo --size "nbd://127.0.0.1:$port/iscsi_data")"
stop_serve

say "both at once, twice: what the first one left is in nobody's way"
conf "unix_socket $tmpdir/n.sock" "port $port" 'address 127.0.0.1'
for _ in 1 2; do
  serve
  assert_equal "size" $((64 << 20)) "$(nbdinfo --size "nbd://127.0.0.1:$port/iscsi_data")"
  assert_equal "size" $((64 << 20)) "$(nbdinfo --size "nbd+unix:///iscsi_data?socket=$tmpdir/n.sock")"
  stop_serve
done

say "neither: below the runtime directory"
conf
serve
assert_equal "size" $((64 << 20)) "$(nbdinfo --size "nbd+unix:///iscsi_data?socket=$tmpdir/mpiscsi/mpiscsi.nbd")"
[ "$front_end" != own ] || stop_serve
done
front_end=own
say "two servers: -ll shows both, a verb finds the one that has the map"
make_disk "$tmpdir/disk2" 32M
tgt_lun t 1 2 "$tmpdir/disk2" vendor_id=OTHER product_id=SECOND
start_mpiscsi portals="${portal[0]}" lun=2
wait_shown OTHER,SECOND
assert_equal "maps" 2 "$(mpiscsi show maps --json | grep -c '"uuid"')"
assert_equal "one map" 1 "$(mpiscsi -ll iscsi_data | grep -c map-0)"
assert_match "verb" "^$(tgt_wwid 1 2): " "$(mpiscsi disablequeueing "$(tgt_wwid 1 2)")"
mpiscsi_fails 1 'is at several servers, choose with --socket' fail "${portal[0]}"
mpiscsi_fails 1 'servers are running: choose one with --socket' add "${portal[0]}"
stop_mpiscsi
stop_serve
