#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# One that has much to do does not starve the others: two LUNs behind the same
# sessions, a target that takes 10 ms for each command, and 400 reads of one
# LUN queued.  A read of the other LUN waits for its turn, not for the end of
# all that.
TEST_TIMEOUT=60
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"
requires /usr/bin/python3 -c 'import nbd'

start_fake 2 --lun 1 --lun 2 --delay 10
start_mpiscsi portals="$(join_portals "${portal[@]}")" target="$fake_iqn" queue-depth=4 \
              noop-out-interval=0 path-checker=none
mapfile -t exports < <(nbdinfo --list "$uri" | sed -n 's/^export="\(.*\)":$/\1/p' | sort)
assert_equal "number of exports" 2 "${#exports[@]}"

cat >"$tmpdir/fair.py" <<'PY'
import nbd, sys, time
base, noisy, quiet = sys.argv[1:4]
backlog = 400
def connect(name):
    h = nbd.NBD()
    h.connect_uri(base.replace("?", name + "?", 1))
    return h
a, b = connect(noisy), connect(quiet)
left = backlog
def done(*args):
    global left
    left -= 1
    return 1
for i in range(backlog):
    a.aio_pread(nbd.Buffer(4096), 4096 * (i % 1000), done)
# Let the server have it all.
end = time.monotonic() + 0.3
while time.monotonic() < end:
    a.poll(20)
waits = []
for i in range(5):
    t = time.monotonic()
    cookie = b.aio_pread(nbd.Buffer(4096), 4096 * i)
    while not b.aio_command_completed(cookie):
        b.poll(5)
        a.poll(0)
    waits.append(time.monotonic() - t)
queued = left
while left > 0:
    a.poll(100)
total = time.monotonic()
print("waits of the quiet one: %s s; %d of the noisy one's were still queued"
      % (" ".join("%.3f" % w for w in waits), queued))
# All in one line it would have been the rest of the backlog, some seconds.
if queued < backlog / 4:
    sys.exit("the backlog was over too early to tell anything")
if sorted(waits)[2] > 0.5 or max(waits) > 1.5:
    sys.exit("one LUN waited for another's backlog")
PY
say "a LUN beside a busy one"
/usr/bin/python3 "$tmpdir/fair.py" "$uri" "${exports[0]}" "${exports[1]}" || fail "unfair"
