#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Another host holds a persistent reservation: what it forbids is EPERM for
# the client at once, the paths stay up, it is logged once and not for each
# request, and all is well again when it is released.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-reserve.sh
. "$testsdir/functions-reserve.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
requires nbdsh -c "import nbd"

# refused N VERB...: N requests of each get EPERM, in no time.
refused () {
  n=$1 verbs=${*:2} nbdsh -u "$uri" -c - <<'PY'
import os, time
n = int(os.environ["n"])
calls = {"write": lambda i: h.pwrite(b"no" * 256, i * 512),
         "read": lambda i: h.pread(512, i * 512)}
t = time.monotonic()
for verb in os.environ["verbs"].split():
    for i in range(n):
        try:
            calls[verb](i)
        except nbd.Error as e:
            assert e.errno == "EPERM", "%s: %s" % (verb, e)
        else:
            raise SystemExit(verb + " was not refused")
assert time.monotonic() - t < 10, "that took %.1f s" % (time.monotonic() - t)
PY
}

simple_target 2 32M
start_other_host
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1 no-path-retry=queue
wait_connected 10 "${portal[@]}"
for p in "${portal[@]}"; do wait_for_log "$(quote_re "$p"): reinstated" 10; done
nbdsh -u "$uri" -c 'h.pwrite(b"ours" * 128, 0)'

say "write exclusive: reads pass, writes do not"
mark_log
reserve reserve 1
# Not zero: tgt lets WRITE SAME pass.
refused 20 write
nbdsh -u "$uri" -c 'assert h.pread(512, 0) == b"ours" * 128'
sleep 2         # checkers
assert_not_logged 'Failing path|checker reports'
assert_equal "lines about the conflict" 1 "$(count_log 'RESERVATION CONFLICT')"
assert_equal "lines of nbdkit about it" 0 "$(count_log 'nbdkit: .*error: write')"
assert_equal "connections to ${portal[0]}, with the other host" 2 "$(connections "${portal[0]}")"
assert_equal "connections to ${portal[1]}" 1 "$(connections "${portal[1]}")"

say "released: as before"
reserve release 1
nbdsh -u "$uri" -c 'h.pwrite(b"back" * 128, 512); assert h.pread(512, 512) == b"back" * 128'

say "exclusive access: nothing passes; it is news again"
mark_log
reserve reserve 3
refused 20 write read
sleep 2
assert_not_logged 'Failing path|checker reports'
n=$(count_log 'RESERVATION CONFLICT')
[ "$n" = 1 ] || [ "$n" = 2 ] || fail "$n lines about the conflict, not one for writes and one for reads"

say "a new client can connect meanwhile"
assert_equal "size" $((32 << 20)) "$(nbd_size)"
reserve clear
nbdsh -u "$uri" -c 'assert h.pread(512, 512) == b"back" * 128; h.pwrite(b"more" * 128, 1024)'
cmp <(head -c 1536 "$tmpdir/disk") <(printf 'ours%.0s' {1..128}; printf 'back%.0s' {1..128}; printf 'more%.0s' {1..128}) ||
  fail "a refused write got to the disk"
stop_mpiscsi

say "reserved already when we come"
start_fake 2 --reserved
start_mpiscsi portals="$(join_portals "${portal[@]}")"
assert_equal "size" $((64 << 20)) "$(nbd_size)"
mark_log
refused 20 read write
assert_not_logged 'Failing path'
n=$(count_log 'RESERVATION CONFLICT')
[ "$n" = 1 ] || [ "$n" = 2 ] || fail "$n lines about the conflict, not one for writes and one for reads"
