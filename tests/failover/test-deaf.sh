#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A path that answers pings but not commands, while another one does: new I/O
# avoids it within a second, what it has goes another way within a few, long
# before command_timeout (60 s); nothing fails, and the path comes back.
TEST_TIMEOUT=60
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
requires fio --version

start_fake 2 --evil deaf:500:1
start_mpiscsi portals="$(join_portals "${portal[@]}")" target="$fake_iqn"
fio_start load --size=32M --iodepth=16 --bs=4k --time_based --runtime=12 --rate_iops=1000 \
          --write_lat_log="$tmpdir/lat" --log_avg_msec=0
wait_for_log 'answers pings, but no commands for [0-9.]+ s, and another path does' $((15 * slow))
wait_for_log 'session [0-9]+ lost: commands are not answered for [0-9.]+ s, while pings are' $((8 * slow))
wait_for_log 'reinstated' $((8 * slow))
fio_finish
ms=$(fio_stall_ms load)
assert_less "longest wait in ms" "$ms" $((4500 * slow))
# What was on the deaf path when it fell silent, half of 16, and what went there
# until that was noticed; not one more.
late=$(cat "$tmpdir"/lat_clat*.log | awk -F, '$2 > 1e9' | wc -l)
echo "requests of more than 1 s: $late"
assert_less "requests of more than 1 s" "$late" 25
assert_not_logged 'command timeout'
