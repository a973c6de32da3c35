#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# reservation_key: another host holds a reservation of the type "exclusive
# access, registrants only"; with a key our paths are registrants.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-reserve.sh
. "$testsdir/functions-reserve.sh"
requires nbdsh -c "import nbd"

simple_target 2 32M
start_other_host
reserve reserve 6
portals=$(IFS=,; echo "${portal[*]}")

say "without a key nothing passes"
start_mpiscsi portals="$portals"
nbdsh -u "$uri" -c '
try: h.pwrite(b"x" * 512, 0)
except nbd.Error as e: assert e.errno == "EPERM", e
else: raise SystemExit("was not refused")'
stop_mpiscsi

say "with one it does, on both paths, also after a new login"
start_mpiscsi portals="$portals" reservation-key=0xabc rr-min-io=1
for p in "${portal[@]}"; do wait_for_log "$(quote_re "$p"): reinstated" 10; done
nbdsh -u "$uri" -c '
for i in range(8): h.pwrite(b"%04d" % i * 128, i * 512)
for i in range(8): assert h.pread(512, i * 512) == b"%04d" % i * 128'
mark_log
kill_tcp "${portal[1]}" || :
wait_path_up "${portal[1]}"
nbdsh -u "$uri" -c '
for i in range(8): h.pwrite(b"again" * 100 + b"%012d" % i, i * 512)'
assert_not_logged 'RESERVATION CONFLICT|cannot register'
stop_mpiscsi

say "bad keys"
for key in xyz 0 0x 12345678901234567 ab:cd; do
  assert_start_fails "reservation.key.*$key" portals="$portals" "reservation-key=$key"
done
