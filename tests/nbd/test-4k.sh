#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A LUN of 4096 byte blocks: sizes, every kind of request, clients, and that
# 512 byte requests are refused, or served by reading, changing and writing: by
# our own front end, or nbdkit's filter.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdsh -c "import nbd"
requires qemu-io --version
requires fio --version

pick_portals 2
make_disk "$tmpdir/disk" 128M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk" blocksize=4096 thin_provisioning=1
own_extra=(unaligned=refuse)
start_mpiscsi portals="$(join_portals "${portal[@]}")"
wait_connected 10 "${portal[@]}"

say "sizes"
assert_equal "size" $((128 << 20)) "$(nbd_size)"
wait_for_log '32768 4096-byte logical blocks' 5
assert_equal "minimum, preferred, maximum" "4096 4096 $((32 << 20))" \
  "$(nbdinfo "$uri" | sed -n 's/.*block_size_[a-z]*: *\([0-9]*\).*/\1/p' | tr '\n' ' ' | sed 's/ $//')"

say "requests"
nbdsh --base-allocation -u "$uri" -c - <<'PY'
import os
size, bs = h.get_size(), 4096
a = os.urandom(3 * bs)
for at in (0, bs, size - len(a)):
    h.pwrite(a, at, nbd.CMD_FLAG_FUA)
    assert h.pread(len(a), at) == a
big = os.urandom(5 << 20)
h.pwrite(big, (16 << 20) + bs)
assert h.pread(len(big), (16 << 20) + bs) == big
h.zero(2 * bs, (17 << 20))
h.zero(bs, (18 << 20), nbd.CMD_FLAG_NO_HOLE)
h.trim(2 << 20, 19 << 20)
want = bytearray(big)
for at, n in ((17 << 20, 2 * bs), (18 << 20, bs), (19 << 20, 2 << 20)):
    at -= (16 << 20) + bs
    want[at:at + n] = bytes(n)
assert h.pread(len(big), (16 << 20) + bs) == want, "zero or trim hit the wrong blocks"
seen = []
def extent(context, at, entries, error):
    seen.extend(entries)
h.block_status(4 << 20, 18 << 20, extent)
assert sum(seen[::2]) >= 4 << 20
assert (2 << 20, 3) in zip(seen[::2], seen[1::2]), seen
h.set_strict_mode(0)
before = h.pread(2 * bs, 0)
for call in (lambda: h.pread(512, 0), lambda: h.pwrite(bytes(512), 512), lambda: h.zero(512, 0),
             lambda: h.trim(512, 4096), lambda: h.pread(bs, 512)):
    try:
        call()
    except nbd.Error as e:
        assert e.errno == "EINVAL", e
    else:
        raise SystemExit("512 bytes of 4096 byte blocks were taken")
assert h.pread(2 * bs, 0) == before
PY
said='4096 byte blocks: use --filter=blocksize minblock=4096'
if is_own; then said='4096 byte blocks: see the option unaligned'; fi
assert_less "messages that say what to do" 0 "$(count_log "$said")"

say "clients that look at the block size"
out=$(qemu-io -f raw -t none "$uri" -c 'write -P 7 512 1024' -c 'read -P 7 512 1024' -c 'write -z 4k 4k' -c 'read -P 0 4k 4k' 2>&1)
assert_no_match "qemu-io" 'failed|[Ee]rror' "$out"
fio_verify fio4k --size=128M --bs=4k --time_based --runtime=3
stop_mpiscsi

say "half blocks served"
own_extra=()
start_mpiscsi portals="$(join_portals "${portal[@]}")"
if is_own; then nbdsh -u "$uri" -c - <<'PY'
import os, random, threading
h.set_strict_mode(0)
a = os.urandom(777)
h.pwrite(b"x" * 16384, 1 << 20); h.pwrite(a, (1 << 20) + 4000)
assert h.pread(777, (1 << 20) + 4000) == a
assert h.pread(4000, 1 << 20) == b"x" * 4000 and h.pread(512, (1 << 20) + 4777) == b"x" * 512
h.zero(5000, (1 << 20) + 100)
assert h.pread(6000, 1 << 20) == b"x" * 100 + bytes(5000) + b"x" * 900
# A small LUN's worth of bytes, each written by one of four connections at
# the same time: nobody takes back what another has written beside it.
pieces = 512
want = bytearray(16384)
order = list(range(0, 16384, 16384 // pieces))
random.shuffle(order)
for at in order:
    want[at:at + 32] = os.urandom(32)
want = bytes(want)
def writer(part):
    c = nbd.NBD(); c.connect_uri(h.get_uri()); c.set_strict_mode(0)
    cookies = []
    for at in part:
        buf = nbd.Buffer.from_bytearray(bytearray(want[at:at + 32]))
        cookies.append(c.aio_pwrite(buf, (2 << 20) + at))
    while cookies:
        c.poll(-1)
        cookies = [k for k in cookies if not c.aio_command_completed(k)]
    c.shutdown()
threads = [threading.Thread(target=writer, args=(order[i::4],)) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
assert h.pread(16384, 2 << 20) == want, "a write took back another one"
# Aligned ones beside half ones.
h.pwrite(bytes(8192), 3 << 20)
for _ in range(50):
    one, two = os.urandom(4096), os.urandom(100)
    cookies = [h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(two)), (3 << 20) + 4090),
               h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(one[:4000])), (3 << 20) + 4190)]
    while cookies:
        h.poll(-1)
        cookies = [k for k in cookies if not h.aio_command_completed(k)]
    got = h.pread(4200, (3 << 20) + 4090)
    assert got[:100] == two and got[100:4100] == one[:4000], "mixed up"
PY
wait_for_log 'writes parts of the LUN.s 4096 byte blocks: they are read, changed and written back.*said once' 5
fi
stop_mpiscsi

say "with --filter=blocksize minblock=4096"
start_mpiscsi --filter=blocksize portals="$(join_portals "${portal[@]}")" minblock=4096
assert_equal "minimum behind the filter" 1 "$(nbdinfo "$uri" | sed -n 's/.*block_size_minimum: *\([0-9]*\).*/\1/p')"
nbdsh -u "$uri" -c 'import os
a = os.urandom(777)
h.pwrite(bytes(16384), 1 << 20); h.pwrite(a, (1 << 20) + 4000)
assert h.pread(777, (1 << 20) + 4000) == a
assert h.pread(4000, 1 << 20) == bytes(4000) and h.pread(512, (1 << 20) + 4777) == bytes(512)'
