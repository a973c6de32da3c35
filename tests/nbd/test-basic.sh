#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# One client, the whole of the NBD side: size, block sizes, read, write, FUA,
# flush, zero, multi-conn, exports, --dump-plugin, read-only.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdinfo --version
requires nbdsh -c "import nbd"

simple_target 2 64M

say "--dump-plugin"
requires_plugin
dump=$("${_nbdkit[@]}" --dump-plugin "$plugin")
grep -qx 'name=mpiscsi' <<<"$dump" || fail "no name=mpiscsi in:"$'\n'"$dump"
grep -qx 'max_thread_model=parallel' <<<"$dump" || fail "not parallel:"$'\n'"$dump"

say "serve"
own_extra=(unaligned=refuse)
start_mpiscsi portals="$(join_portals "${portal[@]}")" target="$iqn" lun=1
assert_equal "size" $((64 << 20)) "$(nbd_size)"
info=$(nbdinfo "$uri")
for f in 'is_read_only: false' 'can_flush: true' 'can_fua: true' 'can_multi_conn: true'; do
  grep -q "$f" <<<"$info" || fail "nbdinfo does not say '$f':"$'\n'"$info"
done
assert_equal "smallest block" 512 "$(sed -n 's/.*block_size_minimum: *\([0-9]*\).*/\1/p' <<<"$info")"
assert_match "list of exports" "$wwid" "$(nbdinfo --list "$uri")"
assert_equal "size of the export named by its WWID" $((64 << 20)) \
             "$(nbd_size "nbd+unix:///$wwid?socket=$sock")"

say "the facts of the disk are logged"
wait_for_log 'TEST +TESTDISK' 5
wait_for_log "$wwid" 5

say "read, write, FUA, flush, zero, odd offsets, edges, several connections"
nbdsh -u "$uri" -c - <<'PY'
import os
size = h.get_size()
a = os.urandom(1 << 20)
h.pwrite(a, 3 << 20)
assert h.pread(1 << 20, 3 << 20) == a, "1 MiB came back different"
h.pwrite(a[:512], 512)
assert h.pread(512, 512) == a[:512]
assert h.pread(512, 0) == bytes(512), "the block before was touched"
assert h.pread(512, 1024) == bytes(512), "the block behind was touched"
h.pwrite(a[:4096], size - 4096, nbd.CMD_FLAG_FUA)      # the very end
assert h.pread(4096, size - 4096) == a[:4096]
h.zero(64 << 10, 3 << 20)
assert h.pread(64 << 10, 3 << 20) == bytes(64 << 10), "not zeroed"
assert h.pread(512, (3 << 20) + (64 << 10)) == a[64 << 10:(64 << 10) + 512]
h.zero(64 << 10, 4 << 20, nbd.CMD_FLAG_FUA)
h.flush()
big = os.urandom(8 << 20)                              # more than one command
h.pwrite(big, 8 << 20)
assert h.pread(len(big), 8 << 20) == big, "8 MiB came back different"

# Whatever one connection was told is written, another reads.
h2 = nbd.NBD(); h2.connect_uri(h.get_uri())
h2.pwrite(a[:65536], 32 << 20)
assert h.pread(65536, 32 << 20) == a[:65536]
h.flush(); h2.shutdown()

# A request that is not aligned must be refused, not rounded (strict mode off,
# so that libnbd sends it).
h.set_strict_mode(0)
for call in (lambda: h.pread(100, 0), lambda: h.pread(512, 7),
             lambda: h.pwrite(bytes(100), 0)):
    try:
        call()
    except nbd.Error as e:
        assert e.errno == "EINVAL", "misaligned: %s" % e
    else:
        raise SystemExit("a misaligned request was taken")
assert h.pread(512, 0) == bytes(512)
PY

say "the file behind the LUN has it"
cmp -n 4096 -i "$(((64 << 20) - 4096)):0" "$tmpdir/disk" \
  <(nbdsh -u "$uri" -c 'import sys; sys.stdout.buffer.write(h.pread(4096, h.get_size() - 4096))') ||
  fail "the end of the disk differs"
stop_mpiscsi

say "-r"
before=$(sha256sum <"$tmpdir/disk")
start_mpiscsi -r portals="$(join_portals "${portal[@]}")"
assert_match "nbdinfo" 'is_read_only: true' "$(nbdinfo "$uri")"
assert_fails nbdsh -u "$uri" -c 'h.set_strict_mode(0); h.pwrite(b"x" * 512, 0)'
nbdsh -u "$uri" -c 'assert h.pread(512, 512) != bytes(512)'
stop_mpiscsi
assert_equal "the disk after -r" "$before" "$(sha256sum <"$tmpdir/disk")"

say "a write-protected LUN"
make_disk "$tmpdir/ro" 16M
tgt_lun t 1 2 "$tmpdir/ro" readonly=1
start_mpiscsi portals="${portal[0]}" lun=2
assert_match "nbdinfo" 'is_read_only: true' "$(nbdinfo "$uri")"
stop_mpiscsi

say "4096 byte blocks"
make_disk "$tmpdir/4k" 16M
tgt_lun t 1 3 "$tmpdir/4k" blocksize=4096
start_mpiscsi portals="$(join_portals "${portal[@]}")" lun=3
assert_equal "size" $((16 << 20)) "$(nbd_size)"
assert_equal "smallest block" 4096 "$(nbdinfo "$uri" | sed -n 's/.*block_size_minimum: *\([0-9]*\).*/\1/p')"
nbdsh -u "$uri" -c 'b = bytes(range(256)) * 16; h.pwrite(b, 4096); assert h.pread(4096, 4096) == b'
nbdsh -u "$uri" -c '
h.set_strict_mode(0)
try:
    h.pread(512, 0)
except nbd.Error as e:
    assert e.errno == "EINVAL", str(e)
else:
    raise SystemExit("512 bytes of a 4096 byte block were taken")'
