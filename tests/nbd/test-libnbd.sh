#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# libnbd's tools: all that nbdinfo can ask, and nbdcopy in, out and from LUN
# to LUN, with many connections and many requests each.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdinfo --version
requires nbdcopy --version
requires jq --version

pick_portals 2
make_disk "$tmpdir/one" 128M
make_disk "$tmpdir/two" 128M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/one" thin_provisioning=1 vendor_id=TEST product_id=ONE
tgt_lun t 1 2 "$tmpdir/two" vendor_id=TEST product_id=TWO
start_mpiscsi portals="$(join_portals "${portal[@]}")"
one="nbd+unix:///$(tgt_wwid 1 1)?socket=$sock"
two="nbd+unix:///$(tgt_wwid 1 2)?socket=$sock"

say "nbdinfo --can, --is"
can () { # URI EXPECTED CAPABILITY...
  local u=$1 want=$2 c status; shift 2
  for c; do
    status=0
    nbdinfo --can "$c" "$u" || status=$?
    assert_equal "nbdinfo --can $c $u" "$want" "$status"
  done
}
can "$one" 0 connect read write flush fua trim zero fast-zero df multi-conn structured-reply
can "$one" "$(is_own && echo 0 || echo 2)" cache
can "$two" 0 connect read write flush fua zero fast-zero df multi-conn
can "$two" 2 trim
for u in "$one" "$two"; do
  for is in read-only rotational tls; do
    status=0; nbdinfo --is "$is" "$u" || status=$?
    assert_equal "nbdinfo --is $is" 2 "$status"
  done
done

say "nbdinfo --list, --json, --size"
list=$(nbdinfo --list --json "$uri")
assert_equal "exports" "$(tgt_wwid 1 1) $(tgt_wwid 1 2)" \
  "$(jq -r '[.exports[]."export-name"] | sort | join(" ")' <<<"$list")"
assert_match "description" 'TEST ONE, 128 MiB, 2 of 2 paths active, WWID' \
  "$(jq -r '.exports[].description' <<<"$list")"
json=$(nbdinfo --json "$one" | jq -c '.exports[0]')
for f in '"export-size":134217728' '"contexts":["base:allocation"]' '"block_size_minimum":512' \
         '"block_size_preferred":4096' '"block_size_maximum":33554432' '"can_fast_zero":true' \
         '"can_multi_conn":true' '"is_read_only":false'; do
  [[ $json == *"$f"* ]] || fail "nbdinfo --json has no $f: $json"
done
assert_equal "size" $((128 << 20)) "$(nbd_size "$one")"
# Two exports, and no name: refused, with the names in the log.
mark_log
assert_fails nbdinfo --size "$uri"
wait_for_log "$(tgt_wwid 1 2)" 2

say "nbdinfo --map"
nbdsh -u "$one" -c 'h.pwrite(b"1" * 65536, 1 << 20); h.flush()'
assert_equal "map" "0 $((1 << 20)) 3 hole,zero|$((1 << 20)) 65536 0 data|$(((1 << 20) + 65536)) $(((127 << 20) - 65536)) 3 hole,zero" \
  "$(nbdinfo --map "$one" | awk '{ print $1, $2, $3, $4 }' | paste -sd '|')"
assert_match "map of the thick LUN" "0 +$((128 << 20)) +0 +data" "$(nbdinfo --map "$two")"

make_disk "$tmpdir/source" 128M
for at in 1 2 3 60 127; do dd if=/dev/urandom of="$tmpdir/source" bs=1M count=1 seek=$at conv=notrunc status=none; done

# Options after each other, so that few and many of each are seen.
for options in "--connections=1 --requests=1" "--connections=4 --requests=64 --threads=2" \
               "--connections=16 --requests=4 --request-size=1048576" "--connections=2 --request-size=33554432 --requests=2" \
               "--synchronous"; do
  say "nbdcopy $options"
  # shellcheck disable=SC2086
  nbdcopy --flush $options "$tmpdir/source" "$one"
  assert_same_files "$tmpdir/source" "$tmpdir/one"
  # shellcheck disable=SC2086
  nbdcopy --flush $options "$one" "$two"
  assert_same_files "$tmpdir/source" "$tmpdir/two"
  # shellcheck disable=SC2086
  nbdcopy --flush $options "$two" "$tmpdir/copy"
  assert_same_files "$tmpdir/source" "$tmpdir/copy"
  rm "$tmpdir/copy"
  # Something else, so that the next round has to write all of it.
  nbdsh -u "$one" -c 'for i in range(128): h.pwrite(b"\xee" * (1 << 20), i << 20)
h.flush()'
  nbdcopy --flush "$one" "$two"
  assert_same_files "$tmpdir/one" "$tmpdir/two"
done

say "nbdcopy --allocated --destination-is-zero, to a pipe"
nbdcopy --allocated --flush "$tmpdir/source" "$one"
assert_same_files "$tmpdir/source" "$tmpdir/one"
nbdsh -u "$one" -c 'h.trim(h.get_size(), 0)'
nbdcopy --destination-is-zero --flush "$tmpdir/source" "$one"
assert_equal "through a pipe" "$(sha256sum <"$tmpdir/source")" "$(nbdcopy "$one" - | sha256sum)"
nbdcopy --flush - "$two" <"$tmpdir/source"
assert_same_files "$tmpdir/source" "$tmpdir/two"
assert_not_logged 'Failing path'
