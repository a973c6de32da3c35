#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# CHAP, one way and mutual: right, wrong, missing; the password from a file and
# from a file descriptor; seen by nobody.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"

iqn2=$iqn-mutual
secret=s3cret-of-host-7
secret2=s3cret-of-target-9
pick_portals 1
make_disk "$tmpdir/disk" 32M
make_disk "$tmpdir/disk2" 48M
start_tgt t "${portal[0]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk"
tgt_account t 1 hostuser "$secret"
tgt_target t 2 "$iqn2"
tgt_lun t 2 1 "$tmpdir/disk2"
tgt_adm t --mode account --op bind --tid 2 --user hostuser
tgt_account t 2 targetuser "$secret2" --outgoing

echo "$secret" >"$tmpdir/secret"
echo "$secret2" >"$tmpdir/secret2"
echo not-this-one >"$tmpdir/wrong"
chmod 600 "$tmpdir"/secret* "$tmpdir/wrong"

assert_unseen () { # nothing that others can read has a secret in it
  local f s
  for f in "/proc/$mpiscsi_pid/cmdline" "/proc/$mpiscsi_pid/environ" "$mpiscsi_log"; do
    for s in "$secret" "$secret2"; do
      if tr '\0' ' ' <"$f" | grep -q -- "$s"; then fail "the password is in $f"; fi
    done
  done
}
write_and_read () {
  nbdsh -u "$uri" -c 'b = bytes([7]) * 4096; h.pwrite(b, 4096); assert h.pread(4096, 4096) == b'
}
one=(portals="${portal[0]}" target="$iqn")
two=(portals="${portal[0]}" target="$iqn2" user=hostuser password=+"$tmpdir/secret")

say "right, +FILE, also with -v"
start_mpiscsi -v "${one[@]}" user=hostuser password=+"$tmpdir/secret"
assert_equal size $((32 << 20)) "$(nbd_size)"
write_and_read
assert_unseen
stop_mpiscsi

say "right, -FD"
start_mpiscsi "${one[@]}" user=hostuser password=-7 7<"$tmpdir/secret"
write_and_read
assert_unseen

say "logs in again after a restart of the target"
mark_log
kill_tgt t
wait_for_log 'Failing path' 5
run_tgt t
wait_for_log 'reinstated$' 15
write_and_read
stop_mpiscsi

auth='[Aa]uth|CHAP'
say "wrong password, wrong user, none"
assert_start_fails "$auth" "${one[@]}" user=hostuser password=+"$tmpdir/wrong"
assert_match "the error names the portal" "$(quote_re "${portal[0]}")" "$start_error"
assert_start_fails "$auth" "${one[@]}" user=nobody password=+"$tmpdir/secret"
assert_start_fails "$auth" "${one[@]}"
assert_start_fails 'user|password' "${one[@]}" user=hostuser
assert_start_fails 'user|password' "${one[@]}" password=+"$tmpdir/secret"
assert_start_fails 'no-such-file' "${one[@]}" user=hostuser password=+"$tmpdir/no-such-file"

say "mutual: right"
start_mpiscsi "${two[@]}" mutual-user=targetuser mutual-password=+"$tmpdir/secret2"
assert_equal size $((48 << 20)) "$(nbd_size)"
write_and_read
assert_unseen
stop_mpiscsi

say "mutual: the target proves itself with another secret or name"
assert_start_fails "$auth" "${two[@]}" mutual-user=targetuser mutual-password=+"$tmpdir/wrong"
assert_match "which side failed" 'target' "$(grep error: "$tmpdir/refuse.err")"
assert_start_fails "$auth" "${two[@]}" mutual-user=someone mutual-password=+"$tmpdir/secret2"

say "mutual asked of a target that cannot"
assert_start_fails "$auth" "${one[@]}" user=hostuser password=+"$tmpdir/secret" \
                   mutual-user=targetuser mutual-password=+"$tmpdir/secret2"
