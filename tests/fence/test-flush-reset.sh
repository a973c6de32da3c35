#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The target says that it was reset (UNIT ATTENTION 29/00..04, but not 03, in a session that
# goes on): what was acknowledged and not flushed may be gone, so the next flush of
# each connection fails, once.  Seen by NBD clients; the proxy plays the
# target's part.
TEST_TIMEOUT=${TEST_TIMEOUT:-60}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-stale.sh
. "$testsdir/functions-stale.sh"
requires python3 -c "import nbd"

pick_portals 2
make_disk "$tmpdir/disk" 16M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk" thin_provisioning=1
start_proxy "${portal[@]}"
# No checker: the client's own commands hear of it.
start_mpiscsi "portals=${proxied[0]},${proxied[1]}" discovery=off "target=$iqn" lun=1 path-checker=none
wait_for_log 'remaining active paths: 2$'

cat >"$tmpdir/clients.py" <<'EOF2'
import errno, os, subprocess, time
import nbd

proxy, sock = os.environ["PROXY"].split()

def ctl(*words):
    subprocess.run([proxy, "ctl", sock, *words], check=True, stdout=subprocess.DEVNULL)

def reset(ascq, what="any"):
    ctl("inject", "02", "06", "29", ascq, "1", what)

def connect():
    c = nbd.NBD()
    c.connect_uri(os.environ["URI"])
    return c

def end(*clients):
    """And wait until the server has ended the connections, too."""
    fds = "/proc/%s/fd" % os.environ["PID"]
    before = len(os.listdir(fds))
    for c in clients:
        c.shutdown()
    for _ in range(100):
        if len(os.listdir(fds)) <= before - len(clients):
            time.sleep(0.05)
            return
        time.sleep(0.05)
    raise SystemExit("connections do not end")

def flushes(c, fails, what):
    try:
        c.flush()
        failed = False
    except nbd.Error as e:
        assert e.errnum == errno.EIO, "%s: %s" % (what, e)
        failed = True
    assert failed == fails, "%s: flush %s" % (what, "failed" if failed else "did not fail")

a, b = connect(), connect()
writers = {
    "write": lambda: a.pwrite(b"x" * 65536, 0),
    "trim": lambda: a.trim(65536, 1 << 20),
    "zero": lambda: a.zero(65536, 2 << 20),
}
for ascq in "00", "01", "02", "04":
    for name, write in writers.items():
        write()
        reset(ascq, "sync")             # the flush itself hears it
        flushes(a, True, name + ", 29/" + ascq)
        ctl("inject", "off")
        flushes(a, False, "again")
        flushes(b, True, "the other connection")
        flushes(b, False, "the other connection again")
    writers["write"]()
    reset(ascq, "read")                 # a read of the other client does
    b.pread(4096, 0)
    ctl("inject", "off")
    flushes(a, True, "heard by a read, 29/" + ascq)
    flushes(b, True, "heard by a read, the other connection")
    c = connect()
    flushes(c, False, "a connection made later")
    c.shutdown()
    # Nothing is lost when all was flushed.
    reset(ascq, "read")
    b.pread(4096, 0)
    ctl("inject", "off")
    for x in a, b:
        flushes(x, False, "all was flushed")
for ascq in "03", "05", "06", "07":     # nothing that a cache would be lost by
    writers["write"]()
    reset(ascq, "sync")
    for x in a, b:
        flushes(x, False, "29/" + ascq)
    ctl("inject", "off")
# The client is gone before its flush, and connects again: who comes next is told,
# until one was.
writers["write"]()
reset("01", "read")
b.pread(4096, 0)
ctl("inject", "off")
# At once: its old connection may not have ended yet.
a.shutdown()
a, c = connect(), connect()
flushes(a, True, "connected again")
flushes(a, False, "connected again, again")
end(c)
flushes(b, True, "the one that has stayed")
c = connect()
flushes(c, True, "after one that was not told")
end(a, b, c)
c = connect()
flushes(c, False, "all were told")
c.shutdown()
EOF2
PROXY="$proxy $tmpdir/proxy.sock" URI=$uri PID=$mpiscsi_pid timeout 40 python3 "$tmpdir/clients.py" ||
  fail "see above; the log: $(tail -n 20 "$mpiscsi_log")"
assert_equal "resets that were noticed" 17 "$(count_log 'the target was reset or restarted: writes that were not flushed may be lost')"
assert_not_logged 'Failing path|internal error'
stop_mpiscsi
