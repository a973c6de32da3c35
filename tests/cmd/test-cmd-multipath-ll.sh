#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's rows "multipath -ll", "iptables ... DROP" and "after the rule is
# removed": mpiscsi -ll before, during and after, word for word; mpiscsi watch
# tells of each change; the JSON has multipathd's keys.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"

make_net 2
simple_target 2 256M
cat >"$tmpdir/mpiscsi.conf" <<XX
defaults {
	polling_interval 1
	path_checker directio
	failback immediate
}
iscsi {
	portals $(join_portals "${portal[@]}")
	login_timeout 2
}
multipaths {
	multipath {
		wwid $wwid
		alias iscsi_data
	}
}
XX
start_mpiscsi config="$tmpdir/mpiscsi.conf"
wait_connected 10 "${portal[@]}"
wait_shown "${portal[0]} active ready running"
wait_shown "${portal[1]} active ready running"
background "$tmpdir/watch.log" "${client_ns[@]}" "$command" watch
watch_pid=$!
cleanup_fn end_process "$watch_pid"
wait_until 5 grep -q TESTDISK "$tmpdir/watch.log" || fail "watch shows nothing"
expect () { topology_of iscsi_data "$wwid" 256M TEST,TESTDISK 'round-robin 0' "$@"; }

# The exit status is for checks: 0 all paths, 1 some have failed, 2 none, 3 unknown.
ll_status () { local r=0; mpiscsi -ll "$@" >/dev/null 2>&1 || r=$?; echo "$r"; }

say "before"
assert_equal "status of -ll" 0 "$(ll_status)"
before=$(expect active "${portal[0]} active ready" "${portal[1]} active ready")
assert_equal "mpiscsi -ll" "$before" "$(mpiscsi -ll)"
for a in show 'show topology' '-l' '-ll iscsi_data' "show $wwid" 'show topology iscsi_data' '--color=never -ll'; do
  # shellcheck disable=SC2086
  assert_equal "mpiscsi $a" "$before" "$(mpiscsi $a)"
done
assert_match "colours, when asked for" $'\e\\[32mactive ready' "$(mpiscsi -ll --color=always)"

say "during: DROP ${portal[1]}"
drop_portal "${portal[1]}"
wait_shown "${portal[1]} failed faulty running" 15
assert_equal "mpiscsi -ll" "$(expect active "${portal[0]} active ready" "${portal[1]} failed faulty")" "$(mpiscsi -ll)"
assert_match "paths" "${portal[1]} 1 +failed faulty running iscsi_data" "$(mpiscsi show paths)"
assert_match "maps" "iscsi_data map-0 $wwid 256M immediate off +2 +1 " "$(mpiscsi show maps)"
assert_equal "status of -ll" 1 "$(ll_status)"
assert_equal "status of -ll of a map that is not there" 3 "$(ll_status nosuch)"
assert_match "show status" "^down +1 up +1 .*some paths have failed" "$(mpiscsi show status | grep -E "^(up|down|state)" | tr "\n" " ")"
json=$(mpiscsi -ll --json) || :
python3 - "$json" "${portal[@]}" <<'PY' || fail "JSON: $json"
import json, sys
j = json.loads(sys.argv[1])
assert (j["major_version"], j["minor_version"]) == (0, 1)
m, = j["maps"]
assert (m["name"], m["paths"], m["vend"], m["prod"], m["write_prot"]) == \
    ("iscsi_data", 2, "TEST", "TESTDISK", "rw")
g, = m["path_groups"]
assert (g["group"], g["dm_st"], g["selector"]) == (1, "active", "round-robin 0")
states = {p["dev"]: (p["dm_st"], p["chk_st"], p["dev_st"], p["checker"]) for p in g["paths"]}
assert states == {sys.argv[2]: ("active", "ready", "running", "directio"),
                  sys.argv[3]: ("failed", "faulty", "running", "directio")}, states
PY

say "after"
undrop_portal "${portal[1]}"
wait_shown "${portal[1]} active ready running" 15
assert_equal "mpiscsi -ll" "$before" "$(mpiscsi -ll)"
wait_until 5 grep -q "${portal[1]} active ready running, remaining active paths: 2" "$tmpdir/watch.log" ||
  fail "watch: no word of the reinstated path"
assert_match "watch" "iscsi_data: [0-9:]+ ${portal[1]} failed faulty running, remaining active paths: 1 \(" "$(<"$tmpdir/watch.log")"
for f in "iscsi_data: ${portal[1]} - directio checker reports path is up" "${portal[1]}: reinstated" \
         'iscsi_data: remaining active paths: 2'; do
  assert_less "log lines: $f" 0 "$(count_log "$(quote_re "$f")\$")"
done

say "no path is left"
kill_tgt t
wait_shown "status=enabled" 15
wait_shown "${portal[0]} failed faulty running" 15
wait_shown "${portal[1]} failed faulty running" 15
assert_equal "status of -ll" 2 "$(ll_status)"
assert_equal "mpiscsi -ll" "$(expect enabled "${portal[0]} failed faulty" "${portal[1]} failed faulty")" "$(mpiscsi -ll)"

say "no server is left: watch ends, show says so"
stop_mpiscsi
wait_until 5 gone "$watch_pid" || fail "watch does not end with the server"
assert_match "watch" 'the server ended' "$(tail -n 1 "$tmpdir/watch.log")"
mpiscsi_fails 3 'no server is running' -ll
