#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A portal that demands CHAP at discovery (tgtd cannot): mpiscsi discover and
# the plugin's own discovery with right, wrong and no credentials, one way and
# mutual.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
# shellcheck source=../functions-fake.sh
. "$testsdir/functions-fake.sh"

printf '%s\n' secret-of-alice >"$tmpdir/right"
printf '%s\n' secret-of-target >"$tmpdir/mutual"
printf '%s\n' not-this-one >"$tmpdir/wrong"
chmod 600 "$tmpdir"/{right,mutual,wrong}
alice=(user=alice "password=+$tmpdir/right")
mutual=("${alice[@]}" mutual-user=bob "mutual-password=+$tmpdir/mutual")
auth='authentication failed: the target did not accept user= and password='
none='authentication failed: the target wants CHAP, .*give user= and password='
proof='authentication failed: the target did not prove itself'

found () { assert_equal "discover $*" "$p,1 $fake_iqn" "$(mpiscsi discover "$p" "$@")"; }
serves () {
  start_mpiscsi portals="$p" "$@"
  assert_equal size $((64 << 20)) "$(nbd_size)"
  stop_mpiscsi || exit 1
}

start_fake 1 --chap alice:secret-of-alice
p=${portal[0]}
say "one way: right"
found "${alice[@]}"
serves "${alice[@]}"
say "wrong secret, wrong user"
for wrong in "user=alice password=+$tmpdir/wrong" "user=mallory password=+$tmpdir/right"; do
  # shellcheck disable=SC2086
  mpiscsi_fails 1 "$p: $auth" discover "$p" $wrong
  # shellcheck disable=SC2086
  assert_start_fails "$p: $auth.*check user= and password=" portals="$p" $wrong
done
say "none"
mpiscsi_fails 1 "$p: $none" discover "$p"
assert_start_fails "$p: $none" portals="$p"
say "mutual asked of a target that cannot"
mpiscsi_fails 1 'authentication failed' discover "$p" "${mutual[@]}"
stop_fake

say "at discovery only: the target itself lets everybody in"
start_fake 1 --chap alice:secret-of-alice --chap-discovery-only
p=${portal[0]}
serves "${alice[@]}"
mpiscsi_fails 1 "$p: $none" discover "$p"
assert_start_fails "$p: $none" portals="$p"
serves target="$fake_iqn"       # needs no discovery
stop_fake

say "mutual: right"
start_fake 1 --chap alice:secret-of-alice --chap-mutual bob:secret-of-target
p=${portal[0]}
found "${mutual[@]}"
found "${alice[@]}"
serves "${mutual[@]}"
say "mutual: the target proves itself with another secret or name"
for wrong in "mutual-user=bob mutual-password=+$tmpdir/wrong" "mutual-user=eve mutual-password=+$tmpdir/mutual"; do
  # shellcheck disable=SC2086
  mpiscsi_fails 1 "$p: $proof" discover "$p" "${alice[@]}" $wrong
  # shellcheck disable=SC2086
  assert_start_fails "$p: $proof" portals="$p" "${alice[@]}" $wrong
done
stop_fake

for role in unproved proof-form proof-zero proof-hidden; do
  say "mutual: the target leaves the security stage out, $role"
  start_fake 1 --chap alice:secret-of-alice --chap-mutual bob:secret-of-target --evil "login-$role"
  p=${portal[0]}
  mpiscsi_fails 1 "$p: $proof" discover "$p" "${mutual[@]}"
  assert_start_fails "$p: $proof" portals="$p" "${mutual[@]}"
  stop_fake
done
