#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A LUN that says it is write protected, and nbdkit -r on one that is not: the
# client is told, and what it writes all the same is refused and never gets to
# the disk; flush and reads work.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdsh -c "import nbd"
requires qemu-io --version
requires nbdcopy --version

pick_portals 2
make_disk "$tmpdir/ro" 32M
make_disk "$tmpdir/rw" 32M
dd if=/dev/urandom of="$tmpdir/ro" bs=1M count=4 conv=notrunc status=none
cp "$tmpdir/ro" "$tmpdir/rw"
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/ro" readonly=1 thin_provisioning=1
tgt_lun t 1 2 "$tmpdir/rw" thin_provisioning=1
before=$(sha256sum <"$tmpdir/ro")

check_readonly () { # FILE
  assert_match "nbdinfo" 'is_read_only: true' "$(nbdinfo "$uri")"
  nbdinfo --can write "$uri" && fail "nbdinfo --can write"
  nbdsh --base-allocation -u "$uri" -c - <<'PY'
assert h.is_read_only()
data = h.pread(4 << 20, 0)
assert data != bytes(4 << 20)
h.set_strict_mode(0)
b = b"x" * 4096
for what, call in (("write", lambda: h.pwrite(b, 0)), ("zero", lambda: h.zero(4096, 0)),
                   ("write FUA", lambda: h.pwrite(b, 0, nbd.CMD_FLAG_FUA)),
                   ("fast zero", lambda: h.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO)),
                   ("trim", lambda: h.trim(4096, 0))):
    try:
        call()
    except nbd.Error as e:
        assert e.errno in ("EPERM", "EINVAL"), "%s: %s" % (what, e)
    else:
        raise SystemExit(what + " was taken")
if h.can_flush():
    h.flush()
assert h.pread(4 << 20, 0) == data
assert h.can_multi_conn()
PY
  assert_fails qemu-io -f raw "$uri" -c 'write 0 4k'
  out=$(qemu-io -r -f raw "$uri" -c 'read 0 4M' 2>&1)
  assert_no_match "qemu-io -r" 'failed|[Ee]rror' "$out"
  assert_fails nbdcopy /dev/null "$uri"
  nbdcopy "$uri" "$tmpdir/copy"
  assert_same_files "$tmpdir/copy" "$1"
  assert_equal "what is on the disk" "$before" "$(sha256sum <"$1")"
}

say "a write protected LUN"
start_mpiscsi portals="$(join_portals "${portal[@]}")" lun=1
wait_for_log 'Write Protect is on' 5
check_readonly "$tmpdir/ro"
assert_not_logged 'Failing path'
stop_mpiscsi

say "nbdkit -r"
start_mpiscsi -r portals="$(join_portals "${portal[@]}")" lun=2
check_readonly "$tmpdir/rw"
stop_mpiscsi

say "the same LUN without -r"
start_mpiscsi portals="$(join_portals "${portal[@]}")" lun=2
nbdsh -u "$uri" -c 'assert not h.is_read_only(); h.pwrite(b"x" * 512, 0); assert h.pread(512, 0) == b"x" * 512'
[ "$before" != "$(sha256sum <"$tmpdir/rw")" ] || fail "the write did not get to the disk"
stop_mpiscsi

say "write protected while it is in use: EPERM, and the path stays up"
start_mpiscsi portals="$(join_portals "${portal[@]}")" lun=2 no-path-retry=fail
wait_connected 10 "${portal[@]}"
cat >"$tmpdir/protect.py" <<'PY'
import subprocess, sys
h.pwrite(b"y" * 512, 0)
print("written", flush=True)
sys.stdin.readline()
try:
    h.pwrite(b"z" * 512, 0)
except nbd.Error as e:
    assert e.errno == "EPERM", e
else:
    raise SystemExit("a write to a write protected LUN was taken")
assert h.pread(512, 0) == b"y" * 512
PY
mkfifo "$tmpdir/go"
nbdsh -u "$uri" -c "exec(open('$tmpdir/protect.py').read())" <>"$tmpdir/go" >"$tmpdir/protect.out" 2>&1 &
client=$!
wait_until 10 grep -q written "$tmpdir/protect.out" || fail "$(<"$tmpdir/protect.out")"
_tgtadm t --mode logicalunit --op update --tid 1 --lun 2 --params readonly=1
echo go >"$tmpdir/go"
wait "$client" || fail "$(<"$tmpdir/protect.out")"
assert_not_logged 'Failing path'
stop_mpiscsi
