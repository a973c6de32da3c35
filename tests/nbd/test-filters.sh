#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdkit's filters on top of the plugin: blocksize, cow, cache, readahead,
# partition, luks, stats, rate, multi-conn, retry.  Each must do what it is
# for, which is looked at from behind: on the file under the LUN.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdsh -c "import nbd"
export ASAN_OPTIONS+=":detect_leaks=0"     # filters leave some memory behind at SIGTERM
requires qemu-img --version
for f in blocksize cow cache readahead partition luks stats rate multi-conn retry; do
  requires "${_nbdkit[@]}" --filter="$f" --dump-plugin null
done
PATH=$PATH:/usr/sbin:/sbin
requires sfdisk --version

pick_portals 2
make_disk "$tmpdir/disk" 64M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk" thin_provisioning=1
all=$(join_portals "${portal[@]}")

# Reads and writes at all offsets and in all sizes from SMALLEST on, trims,
# zeroes and flushes, against a copy in memory.
exercise () { # SMALLEST [OPERATIONS] [BYTES]
  smallest=$1 count=${2:-300} bytes=${3:-$((8 << 20))} nbdsh -u "$uri" -c - <<'PY'
import os, random
unit = int(os.environ["smallest"])
size = min(h.get_size(), int(os.environ["bytes"]))
model = bytearray(h.pread(size, 0))
rng = random.Random(7)
for i in range(int(os.environ["count"])):
    n = rng.choice((1, 3, 8, 17, 128, 1000)) * unit
    at = rng.randrange(0, (size - n) // unit) * unit
    what = rng.random()
    if what < .5:
        data = rng.randbytes(n)
        h.pwrite(data, at, nbd.CMD_FLAG_FUA if what < .1 and h.can_fua() else 0)
        model[at:at + n] = data
    elif what < .6 and h.can_zero():
        h.zero(n, at)
        model[at:at + n] = bytes(n)
    elif what < .65 and h.can_flush():
        h.flush()
    else:
        assert h.pread(n, at) == model[at:at + n], "%d bytes at %d" % (n, at)
if h.can_flush():
    h.flush()
assert h.pread(size, 0) == model, "the last look at everything"
open(os.environ["tmp"], "wb").write(model)
PY
}
export tmp=$tmpdir/seen
on_disk () { cmp -n $((8 << 20)) "$tmp" "$tmpdir/disk" || fail "$1: what the client wrote is not on the disk"; }

say "blocksize"
start_mpiscsi --filter=blocksize portals="$all" minblock=4k
exercise 1
stop_mpiscsi
on_disk blocksize
start_mpiscsi --filter=blocksize portals="$all" maxdata=64k maxlen=128k
exercise 512
stop_mpiscsi
on_disk "blocksize maxdata"

say "cow: nothing gets to the LUN"
before=$(sha256sum <"$tmpdir/disk")
start_mpiscsi --filter=cow portals="$all"
exercise 512
stop_mpiscsi
assert_equal "the LUN under cow" "$before" "$(sha256sum <"$tmpdir/disk")"
start_mpiscsi -r --filter=cow portals="$all"
nbdsh -u "$uri" -c 'assert h.is_read_only()'
stop_mpiscsi

say "cache: written through, and written back at a flush"
for mode in writethrough writeback; do
  start_mpiscsi --filter=cache portals="$all" cache=$mode
  exercise 512
  stop_mpiscsi
  on_disk "cache $mode"
done

say "readahead"
start_mpiscsi --filter=readahead portals="$all"
exercise 512
nbdsh -u "$uri" -c 'a = h.pread(4 << 20, 0)
assert b"".join(h.pread(4096, i * 4096) for i in range(1024)) == a'
stop_mpiscsi
on_disk readahead

say "multi-conn"
for mode in emulate plugin unsafe disable; do
  start_mpiscsi --filter=multi-conn portals="$all" multi-conn-mode=$mode
  can=0; nbdinfo --can multi-conn "$uri" || can=$?
  assert_equal "nbdinfo --can multi-conn, mode $mode" "$([ $mode = disable ] && echo 2 || echo 0)" "$can"
  exercise 512
  stop_mpiscsi
  on_disk "multi-conn $mode"
done

say "stats"
start_mpiscsi --filter=stats portals="$all" statsfile="$tmpdir/stats"
exercise 512
stop_mpiscsi
assert_match "statistics" 'read: [0-9]+ ops.*write: [0-9]+ ops' "$(tr '\n' ' ' <"$tmpdir/stats")"

say "rate"
start_mpiscsi --filter=rate portals="$all" rate=16M burstiness=1
t0=$(now_ms)
nbdsh -u "$uri" -c 'for i in range(8): h.pread(1 << 20, i << 20)'
assert_less "at least so many ms for 8 MiB at 16 Mbit/s, less one second at once" 2500 $(($(now_ms) - t0))
stop_mpiscsi

say "partition"
make_disk "$tmpdir/table" 64M
sfdisk -q "$tmpdir/table" <<'S'
label: gpt
start=2048, size=32768
start=40960, size=65536
S
start_mpiscsi portals="$all"
nbdcopy --flush "$tmpdir/table" "$uri"
stop_mpiscsi
# The filter reads a GPT's entries of 128 bytes one by one.
start_mpiscsi --filter=partition --filter=blocksize minblock=512 portals="$all" partition=2
assert_equal "size of partition 2" $((65536 * 512)) "$(nbd_size)"
exercise 512
stop_mpiscsi
cmp -n $((8 << 20)) -i 0:$((40960 * 512)) "$tmp" "$tmpdir/disk" || fail "partition 2 is elsewhere"
cmp -n $((1 << 20)) "$tmpdir/table" "$tmpdir/disk" || fail "the table was written to"

say "luks, which reads 592 bytes of header"
qemu-img create -q --object secret,id=s,data=sesame -f luks -o key-secret=s,iter-time=10 "$tmpdir/luks" 32M
start_mpiscsi portals="$all"
nbdcopy --flush "$tmpdir/luks" "$uri"
stop_mpiscsi
start_mpiscsi --filter=luks --filter=blocksize minblock=512 portals="$all" passphrase=sesame
# Slow: the filter reads and decrypts sector by sector.
exercise 512 80 $((1 << 20))
plain=$(nbd_size)
stop_mpiscsi
# Read back by another implementation.
qemu-io -r --object secret,id=s,data=sesame --image-opts \
  driver=luks,key-secret=s,file.driver=file,file.filename="$tmpdir/disk" \
  -c "read 0 $((1 << 20))" >/dev/null || fail "qemu cannot read what the luks filter wrote"
qemu-img convert --object secret,id=s,data=sesame --image-opts -O raw \
  driver=luks,key-secret=s,file.driver=file,file.filename="$tmpdir/disk" "$tmpdir/plain"
cmp -n $((1 << 20)) "$tmp" "$tmpdir/plain" || fail "luks: qemu reads something else"
assert_less "plain text's size" 0 "$plain"
# Not a wrong passphrase: nbdkit 1.32's filter crashes then, over any plugin.

say "retry: an error that no_path_retry=fail lets through is not the client's"
start_mpiscsi --filter=retry portals="$all" no-path-retry=fail polling-interval=0.5 \
  retries=20 retry-delay=1 retry-exponential=no
wait_connected 10 "${portal[@]}"
nbdsh -u "$uri" -c 'h.pwrite(b"before" * 256, 0)'
for p in "${portal[@]}"; do wait_for_log "$(quote_re "$p"): reinstated" 10; done
kill_tgt t
for p in "${portal[@]}"; do wait_path_down "$p" 10; done
nbdsh -u "$uri" -c 'import sys
h.pwrite(b"meanwhile" * 512, 0); assert h.pread(4608, 0) == b"meanwhile" * 512' \
  >"$tmpdir/retry.out" 2>&1 &
client=$!
cleanup_fn end_process "$client"
sleep 1
is_running "$client" || fail "the client got an error: $(<"$tmpdir/retry.out")"
run_tgt t
wait "$client" || fail "the client got an error: $(<"$tmpdir/retry.out")"
stop_mpiscsi
