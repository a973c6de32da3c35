#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A kernel that takes and gives a few KiB at a time, as on a slow line: commands,
# data and answers go in odd pieces, each of which may end in the middle of
# anything.  All sizes, immediate data and R2Ts, and a path is lost meanwhile:
# what is read back must be what was written.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires fio --version

make_net 2
for ns in client_ns target_ns; do
  declare -n enter=$ns
  for memory in tcp_wmem tcp_rmem; do
    "${enter[@]}" sh -c "echo 4096 8192 8192 >/proc/sys/net/ipv4/$memory"
  done
done
simple_target 2 32M
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1
wait_connected 10 "${portal[@]}"

# Of our sockets; without the sysctl it grows to megabytes.
buffers () { "${client_ns[@]}" ss -tmnH state established | grep -o 'tb[0-9]*' | tr -d tb; }

for job in 'mixed --rw=randwrite --bsrange=512-256k --time_based --runtime=4' 'large --rw=write --bs=1m' \
           'small --rw=randwrite --bs=4k'; do
  # shellcheck disable=SC2086  # options
  set -- $job
  say "$job"
  fio_start "$@" --size=32M --iodepth=32 --verify=crc32c --do_verify=1 --verify_fatal=1
  if [ "$1" = mixed ]; then
    sleep 0.5
    mark_log
    kill_tcp "${portal[0]}" || fail "there was no connection to ${portal[0]}"
    wait_path_down "${portal[0]}" 5
    wait_path_up "${portal[0]}" 10
    assert_fio_runs
  fi
  fio_finish
  sizes=$(buffers)
  assert_equal "our sockets" 2 "$(wc -w <<<"$sizes")"
  for bytes in $sizes; do
    assert_less "bytes that a socket takes" "$bytes" 65536
  done
done
