#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In-doubt write fencing: an unanswered write of a dead path must not land on
# top of what the client wrote later.  The proxy holds a write back on path A,
# A dies, the write is sent again on B and acknowledged, the client overwrites
# the block, then the old write is let go.
#
# With fence=off the old data must win: else this test would prove nothing.
. "$(dirname "$0")/functions.sh"
requires command -v python3
proxy=$top_builddir/tests/iscsi-proxy
[ -x "$proxy" ] || fail "no $proxy: run make check"

# start_proxy TARGET_PORTAL...: $proxied has the portals of the proxy.
start_proxy () {
  local p args=()
  for p; do args+=(--listen "127.0.0.1:0=$p"); done
  rm -f "$tmpdir/proxy.log"
  background "$tmpdir/proxy.log" "$proxy" --control "$tmpdir/proxy.sock" "${args[@]}"
  proxy_pid=$!
  wait_until 5 grep -q '^ready' "$tmpdir/proxy.log" || fail "no proxy"
  read -ra proxied <<<"$(sed -n 's/^ready //p' "$tmpdir/proxy.log")"
}
ctl () { "$proxy" ctl "$tmpdir/proxy.sock" "$@"; }

# Which path a write takes is the selector's business: write the block until
# one was caught.  Then the client's side of A dies, the client overwrites, and
# only after that (or, if the overwrite waits for the fence, meanwhile) the old
# write is released.  Prints what the block has in the end, and the release.
overwrite () { # SECONDS BEFORE RELEASE
  /usr/bin/python3 - "$uri" "$proxy" "$tmpdir/proxy.sock" "${proxied[0]}" "$1" <<'PY'
import nbd, subprocess, sys, time
uri, proxy, sock, portal_a, delay = sys.argv[1:]
def ctl(*words):
    r = subprocess.run([proxy, "ctl", sock, *words], capture_output=True,
                       text=True)
    if r.returncode:
        sys.exit("proxy: %s: %s%s" % (words, r.stdout, r.stderr))
    return r.stdout.strip()
h = nbd.NBD()
h.connect_uri(uri)
old, new = b"o" * 4096, b"n" * 4096
ctl("at", portal_a, "hold-write", "8", "8")
pending = []
def submit(data):
    c = h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), 4096)
    pending.append(c)
    return c
def wait(cookies, seconds):
    end = time.time() + seconds
    while time.time() < end:
        if all(h.aio_command_completed(c) for c in cookies):
            return True
        h.poll(100)
    return False
# One at a time, until one is not answered: that one is held.
for i in range(64):
    c = submit(old)
    done = False
    end = time.time() + 1
    while time.time() < end and not done:
        h.poll(50)
        done = h.aio_command_completed(c)
    if not done:
        break
else:
    sys.exit("no write went to path A")
ctl("at", portal_a, "cut", "rst", "client")
t0 = time.time()
end = time.time() + 10
while not h.aio_command_completed(c):
    if time.time() > end:
        sys.exit("the write was not sent again")
    h.poll(50)
print("resent after %d ms" % ((time.time() - t0) * 1000))
# The client knows its write is done, and overwrites.
t0 = time.time()
n = submit(new)
end = time.time() + float(delay)
done = False
while time.time() < end and not done:
    h.poll(50)
    done = h.aio_command_completed(n)
if done:
    print("overwritten after %d ms" % ((time.time() - t0) * 1000))
released = ctl("release", "3000")
print(released)
end = time.time() + 40
while not done:
    if time.time() > end:
        sys.exit("the overwrite was never done")
    h.poll(50)
    done = h.aio_command_completed(n)
    if done:
        print("overwritten after %d ms" % ((time.time() - t0) * 1000))
time.sleep(0.3)
data = h.pread(4096, 4096)
print("block has " + {old: "old", new: "new"}.get(bytes(data), "mixed"))
PY
}

pick_portals 2
make_disk "$tmpdir/disk" 64M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk"
start_proxy "${portal[@]}"
common=("portals=${proxied[0]},${proxied[1]}" discovery=off "target=$iqn" lun=1 rr-min-io=1)

say "without fencing the old write wins"
start_mpiscsi "${common[@]}" fence=off
out=$(overwrite 5); echo "$out"
assert_match "without fencing" "released=1 good=1.*block has old" "${out//$'\n'/ }"
stop_mpiscsi

say "with fencing it does not, in one portal group"
start_mpiscsi "${common[@]}"
out=$(overwrite 8); echo "$out"
assert_match "with fencing" "block has new" "${out//$'\n'/ }"
wait_for_log "session reinstated through" 5
wait_for_log "fenced" 5
assert_not_logged "gave up fencing"
stop_mpiscsi
