#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's row "/etc/multipath.conf": the how-to's own file, with the WWID of
# our LUN and with the portals, is taken as it is: today's spelling is named
# for each old one, and there is an export iscsi_data with its options.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires nbdinfo --version

simple_target 2 64M
cat >"$tmpdir/howto.conf" <<XX
defaults {
    udev_dir                /dev
    polling_interval        5
    selector                "round-robin 0"
    path_grouping_policy    multibus
    getuid_callout          "/lib/udev/scsi_id --whitelisted --device=/dev/%n"
    prio_callout            /bin/true
    path_checker            directio
    prio                    const
    rr_min_io               100
    rr_weight               priorities
    failback                immediate
    no_path_retry           fail
    user_friendly_name      yes
}
blacklist {
    devnode "^(ram|sda|raw|loop|fd|md|dm-|sr|scd|st)[0-9]*"
}
multipaths {
    multipath {
        wwid $wwid
        alias iscsi_data
    }
}
iscsi {
    portals $(join_portals "${portal[@]}")
    bindings_file $tmpdir/bindings
}
nbd {
    unix_socket $tmpdir/n.sock
}
XX

say "check: each old spelling gets one warning that names today's"
mpiscsi check -c "$tmpdir/howto.conf" >"$tmpdir/check.out" 2>"$tmpdir/check.err" ||
  fail "check: $(<"$tmpdir/check.err")"
while read -r line old today; do
  assert_equal "warnings about $old" 1 \
               "$(grep -Ec "warning: .*howto.conf:$line: .*$old.*$today" "$tmpdir/check.err")"
done <<'XX'
2 udev_dir
4 selector path_selector
6 getuid_callout
7 prio_callout prio
14 user_friendly_name user_friendly_names
XX
for line in 'polling_interval 5' 'path_checker directio' 'rr_min_io 100' 'rr_weight priorities' 'failback immediate' 'user_friendly_names yes'; do
  grep -qx "$(printf '\t')$line" "$tmpdir/check.out" || fail "check does not print $line:"$'\n'"$(<"$tmpdir/check.out")"
done

say "serve"
background "$tmpdir/serve.log" "${server_env[@]}" "$command" serve -c "$tmpdir/howto.conf" "pid_file=$tmpdir/serve.pid"
serve_pid=$!
cleanup_fn end_process "$serve_pid"
wait_until 20 test -s "$tmpdir/serve.pid" || fail "it does not serve: $(tail "$tmpdir/serve.log")"
assert_equal "size" $((64 << 20)) "$(nbdinfo --size "nbd+unix:///iscsi_data?socket=$tmpdir/n.sock")"
wait_shown "${portal[0]} active ready running"
wait_shown "${portal[1]} active ready running"
assert_equal "mpiscsi -ll" \
  "$(topology_of iscsi_data "$wwid" 64M TEST,TESTDISK 'round-robin 0' active "${portal[0]} active ready" "${portal[1]} active ready")" \
  "$(mpiscsi -ll)"
assert_match "maps" "iscsi_data map-0 $wwid 64M +immediate off " "$(mpiscsi show maps)"
end_process "$serve_pid" 10 || fail "it does not end"
