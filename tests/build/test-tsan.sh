#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# ThreadSanitizer: the whole server over the fake libiscsi, with workers that
# read and write while paths die and come back; then the plugin in nbdkit, with
# clients on four connections, paths that are reset, refused and silent, hedged
# reads, and the command at the same time.
TEST_TIMEOUT=240
plain_build=1                   # it has a build of its own
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-build.sh
. "$testsdir/functions-build.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires fio --version
requires nbdcopy --version

build_objects "$tmpdir/tsan" -fsanitize=thread
build_plugin "$tmpdir/tsan" -fsanitize=thread &
build=$!
build_first "$tmpdir/tsan"
read -ra sources < <(make -s -C "$top_builddir/tests" list-unit-sources | sed -n 's/^unit-random //p')
build_test "$tmpdir/tsan" unit-random "${sources[@]}"
wait "$build"
for seed in 1 2; do
  say "random schedules from seed $seed"
  SEED=$seed SECONDS=8 timeout 100 "$tmpdir/tsan/unit-random" >"$tmpdir/random.log" 2>&1 ||
    { tail -n 60 "$tmpdir/random.log"; fail "unit-random, seed $seed"; }
  grep 'schedules:' "$tmpdir/random.log"
done

plugin=$tmpdir/tsan/mpiscsi.so
_nbdkit=(env "LD_PRELOAD=$("$build_cc" -print-file-name=libtsan.so):$tmpdir/tsan/first.so" "${_nbdkit[@]}")
slow=3
fio_limit=90
make_net 2
make_disk "$tmpdir/disk" 64M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk" vendor_id=TEST product_id=TESTDISK thin_provisioning=1

needs_nbdkit                    # our own front end has one thread
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1 hedged-reads=on
for p in "${portal[@]}"; do wait_for_log "$(quote_re "$p"): reinstated" 20; done
say "four connections, and the command"
_ask () {
  while :; do mpiscsi -ll || :; mpiscsi show paths --json; mpiscsi reconfigure || :; sleep 0.3; done
}
_ask >"$tmpdir/ask.log" 2>&1 &
ask=$!
cleanup_fn _tgt_end "$ask"
fio_start load --size=16M --numjobs=4 --offset_increment=16M --group_reporting=0 --bsrange=4k-64k \
          --time_based --runtime=25
sleep 2
for fault in killed refused silent failed; do
  p=${portal[0]}
  [ $fault != refused ] || p=${portal[1]}
  say "$p is $fault"
  mark_log
  case $fault in
    killed) kill_tcp "$p" || fail "no connection to $p" ;;
    refused) reject_portal "$p" ;;
    silent) drop_portal "$p" ;;
    failed) mpiscsi fail "$p" ;;
  esac
  wait_path_down "$p" 10
  case $fault in
    refused) unreject_portal "$p" ;;
    silent) undrop_portal "$p" ;;
    failed) mpiscsi reinstate "$p" ;;
  esac
  wait_for_log "$(quote_re "$p"): reinstated" 15
  assert_fio_runs
done
fio_finish
kill "$ask"
wait "$ask" || :
grep -q "${portal[0]}" "$tmpdir/ask.log" || fail "the command got no answer: $(tail "$tmpdir/ask.log")"

say "trim, zero, flush; large requests"
dd if=/dev/urandom of="$tmpdir/source" bs=1M count=24 status=none
truncate -s 64M "$tmpdir/source"
nbdcopy --flush --connections=4 --requests=16 "$tmpdir/source" "$uri"
nbdcopy --connections=4 --requests=16 --request-size=4194304 "$uri" "$tmpdir/copy"
assert_same_files "$tmpdir/source" "$tmpdir/copy"

say "the end, with clients"
fio_verify end --size=16M --numjobs=4 --offset_increment=16M --time_based --runtime=20 >"$tmpdir/end.out" 2>&1 &
end=$!
cleanup_fn _fio_kill "$end"
sleep 3
is_running "$end" || fail "no load: $(<"$tmpdir/end.out")"
stop_mpiscsi 20
wait "$end" && fail "fio did not see the end"
exit 0
