#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mpiscsi reconfigure: rr_min_io, no_path_retry, an alias and a portal that
# were changed in the file are in force at once, and no I/O fails; a file with
# a mistake changes nothing, and the answer says file and line.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires fio --version
requires nbdsh -c "import nbd"

simple_target 3 32M
conf () { # ALIAS RR_MIN_IO NO_PATH_RETRY PORTAL...
  cat >"$tmpdir/mpiscsi.conf" <<XX
iscsi {
	portals $(join_portals "${@:4}")
	discovery off
	target $iqn
}
defaults {
	polling_interval 1
	rr_min_io $2
	no_path_retry $3
}
multipaths {
	multipath {
		wwid $wwid
		alias $1
	}
}
XX
}
# Columns are as wide as the longest portal, so not wait_shown.
_is () { mpiscsi show paths | awk -v p="$1" '$2 == p' | tr -s ' ' | grep -q " $2 "; }
wait_is () { # PORTAL STATES [SECONDS]
  wait_until "${3:-15}" _is "$1" "$2" || fail "$1 is not $2: $(mpiscsi -ll)"
}
ios_of () { # PORTAL: answered on its path so far
  mpiscsi show maps --json | jq -r --arg p "$1" '.maps[].path_groups[].paths[] | select(.portal == $p or .dev == $p) | .counters.ios'
}
# spread N: N reads one after another; how many more each of portal[0],
# portal[1] has answered.
spread () {
  local a=("$(ios_of "${portal[0]}")" "$(ios_of "${portal[1]}")")
  nbdsh -u "$uri" -c "
for i in range($1):
    h.pread(4096, i * 4096)"
  echo "$(($(ios_of "${portal[0]}") - a[0])) $(($(ios_of "${portal[1]}") - a[1]))"
}
# Reads with a bounded wait; prints good or error.
read_once () {
  timeout 20 nbdsh -u "$uri" -c 'h.pread(4096, 0)' >"$tmpdir/read.out" 2>&1 && echo good || echo error
}

conf one 1000 fail "${portal[0]}" "${portal[1]}"
start_mpiscsi config="$tmpdir/mpiscsi.conf"
wait_connected 10 "${portal[0]}" "${portal[1]}"
wait_is "${portal[0]}" "active ready running"
wait_is "${portal[1]}" "active ready running"
assert_match "alias" "^one \\($wwid\\)" "$(mpiscsi -ll)"

say "rr_min_io 1000: one path takes them all; 1: in turn"
read -r a b < <(spread 60)
assert_less "the other path's part ($a, $b)" $((a < b ? a : b)) 5
conf one 1 fail "${portal[0]}" "${portal[1]}"
assert_equal "answer" reconfigured "$(mpiscsi reconfigure)"
read -r a b < <(spread 60)
assert_less "half, with rr_min_io 1 ($a, $b)" 25 $((a < b ? a : b))

say "alias and a new portal, under load"
fio_start load --size=16M --time_based --runtime=8 --rate_iops=1000
sleep 1
mark_log
conf two 1 fail "${portal[0]}" "${portal[1]}" "${portal[2]}"
assert_equal "answer" reconfigured "$(mpiscsi reconfigure)"
wait_for_log "one: is now named two\$" 2
wait_shown "two ($wwid)"
wait_is "${portal[2]}" "active ready running" 10
wait_for_log 'two: remaining active paths: 3$' 5
assert_equal "maps" 1 "$(mpiscsi show maps --json | jq '.maps | length')"
before=$(ios_of "${portal[2]}")
assert_equal "size, by the new name" $((32 << 20)) "$(nbdinfo --size "nbd+unix:///two?socket=$sock")"
assert_fails nbdinfo --size "nbd+unix:///one?socket=$sock"
sleep 1
assert_less "I/O over the new portal" "$before" "$(ios_of "${portal[2]}")"
for p in "${portal[@]}"; do
  assert_equal "connections of $p" 1 "$(connections "$p")"
  assert_equal "losses of $p" 0 "$(mpiscsi show sessions | awk -v p="$p" '$2 == p || index($2, p ",") == 1 { print $5 }')"
done
assert_fio_runs

say "files with a mistake change nothing"
good=$(<"$tmpdir/mpiscsi.conf")
was=$(mpiscsi -ll || :; mpiscsi show maps)
bad () { # LINE REGEX SED-COMMAND
  sed "$3" <<<"$good" >"$tmpdir/mpiscsi.conf"
  mark_log
  mpiscsi_fails 1 "$(quote_re "$tmpdir/mpiscsi.conf"):$1: .*$2" reconfigure
  assert_equal "after a mistake in line $1" "$was" "$(mpiscsi -ll; mpiscsi show maps)"
  assert_not_logged 'reconfigured by the administrator'
}
renamed='s/alias two/alias three/'
bad 7 "polling_interval" "$renamed; s/polling_interval/poling_interval/"
bad 8 "rr_min_io" "$renamed; s/rr_min_io 1/rr_min_io many/"
bad 9 "no_path_retry" "$renamed; s/no_path_retry fail/no_path_retry perhaps/"
bad 2 "portal" "$renamed; s/portals .*/portals 127.0.0.1:99999/"
bad 14 "" "$renamed; s/alias three/\"alias/; s/alias two/alias \"two/"
rm "$tmpdir/mpiscsi.conf"
mpiscsi_fails 1 "$(quote_re "$tmpdir/mpiscsi.conf")" reconfigure
assert_equal "without a file" "$was" "$(mpiscsi -ll; mpiscsi show maps)"
assert_fio_runs
fio_finish

say "no_path_retry: fail, then queue"
for p in "${portal[@]}"; do wait_is "$p" "active ready running"; done
kill_tgt t
for p in "${portal[@]}"; do wait_is "$p" "failed faulty running" 15; done
assert_equal "I/O without a path, no_path_retry fail" error "$(read_once)"
conf two 1 queue "${portal[@]}"
assert_equal "answer" reconfigured "$(mpiscsi reconfigure)"
assert_match "features" "features='1 queue_if_no_path'" "$(mpiscsi -ll)"
read_once >"$tmpdir/queued.out" &
reader=$!
sleep 2
[ ! -s "$tmpdir/queued.out" ] || fail "a read without a path, no_path_retry queue: $(<"$tmpdir/queued.out") at once"
run_tgt t
wait "$reader"
assert_equal "the read, with a path again" good "$(<"$tmpdir/queued.out")"

say "and back to fail, while I/O waits"
for p in "${portal[@]}"; do wait_is "$p" "active ready running" 15; done
kill_tgt t
for p in "${portal[@]}"; do wait_is "$p" "failed faulty running" 15; done
read_once >"$tmpdir/queued.out" &
reader=$!
sleep 1
[ ! -s "$tmpdir/queued.out" ] || fail "it did not wait: $(<"$tmpdir/queued.out")"
conf two 1 fail "${portal[@]}"
t0=$(now_ms)
assert_equal "answer" reconfigured "$(mpiscsi reconfigure)"
wait "$reader"
assert_equal "the read that waited" error "$(<"$tmpdir/queued.out")"
assert_less "milliseconds until it failed" $(($(now_ms) - t0)) $((5000 * slow_limits))
