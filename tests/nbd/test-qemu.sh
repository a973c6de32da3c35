#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# qemu's tools: qemu-img convert, compare, map, measure, bench; qemu-io with
# asynchronous requests and all flags; and reconnect-delay while nbdkit is
# restarted.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires qemu-img --version
requires qemu-io --version
requires jq --version

pick_portals 2
make_disk "$tmpdir/one" 128M
make_disk "$tmpdir/two" 128M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/one" thin_provisioning=1
tgt_lun t 1 2 "$tmpdir/two" thin_provisioning=1
start_mpiscsi portals="$(join_portals "${portal[@]}")"
one="nbd+unix:///$(tgt_wwid 1 1)?socket=$sock"
two="nbd+unix:///$(tgt_wwid 1 2)?socket=$sock"

make_disk "$tmpdir/source" 128M
for at in 1 40 41 127; do dd if=/dev/urandom of="$tmpdir/source" bs=1M count=1 seek=$at conv=notrunc status=none; done

say "convert: from a file, from LUN to LUN out of order, from and to qcow2"
qemu-img convert -n -t none -f raw -O raw "$tmpdir/source" "$one"
assert_same_files "$tmpdir/source" "$tmpdir/one"
qemu-img convert -n -W -m 16 -f raw -O raw "$one" "$two"
assert_same_files "$tmpdir/source" "$tmpdir/two"
qemu-img convert -c -f raw -O qcow2 "$one" "$tmpdir/small.qcow2"
qemu-io -f raw "$two" -c "write -P 1 0 128M" >/dev/null
qemu-img convert -n -f qcow2 -O raw "$tmpdir/small.qcow2" "$two"
assert_same_files "$tmpdir/source" "$tmpdir/two"

say "a qcow2 image in the LUN itself"
qemu-img create -q -f qcow2 "$two" 64M
qemu-io -f qcow2 "$two" -c 'write -P 0x77 1M 8M' -c 'discard 2M 1M' -c flush >/dev/null
qemu-img check -q -f qcow2 "$two"
out=$(qemu-io -r -f qcow2 "$two" -c 'read -P 0x77 1M 1M' -c 'read -P 0 2M 1M' -c 'read -P 0x77 3M 6M' 2>&1)
assert_no_match "qcow2 in the LUN" 'failed|[Ee]rror' "$out"
qemu-img convert -n -f raw -O raw "$one" "$two"

say "compare"
qemu-img compare -f raw -F raw "$one" "$two"
qemu-io -f raw "$two" -c 'write -P 9 77M 512' >/dev/null
status=0; qemu-img compare -f raw -F raw "$one" "$two" >"$tmpdir/compare" || status=$?
assert_equal "status of compare when they differ" 1 "$status"
assert_match "compare" "offset $((77 << 20))" "$(<"$tmpdir/compare")"

say "map, measure, info"
assert_equal "qemu-img map" "[[$((1 << 20)),$((1 << 20))],[$((40 << 20)),$((2 << 20))],[$((127 << 20)),$((1 << 20))]]" \
  "$(qemu-img map -f raw --output=json "$one" | jq -c '[.[] | select(.data) | [.start, .length]]')"
need=$(qemu-img measure -f raw -O qcow2 --output=json "$one" | jq .required)
assert_less "qemu-img measure: bytes of 4 MiB in qcow2" "$need" $((6 << 20))
assert_equal "qemu-img info" $((128 << 20)) "$(qemu-img info -f raw --output=json "$one" | jq '."virtual-size"')"

say "bench: reads, writes, writes with a flush every 50"
qemu-img bench -f raw -t none -c 3000 -d 32 -s 4k "$one" | tail -n 1
qemu-img bench -f raw -t none -c 3000 -d 32 -s 8k -S 64k -w --pattern=0x42 "$two" | tail -n 1
qemu-img bench -f raw -t none -c 1000 -d 8 -s 4k -w --flush-interval=50 --pattern=0x42 "$two" | tail -n 1

say "qemu-io: all flags, synchronous and asynchronous"
qio () {
  local out args=()
  while IFS= read -r line; do args+=(-c "$line"); done
  out=$(qemu-io -f raw -t none -d unmap "$two" "${args[@]}" 2>&1) || fail "qemu-io: $out"
  assert_no_match "qemu-io" 'verification failed|[Ee]rror|failed|not supported' "$out"
}
qio <<'Q'
write -P 0x11 0 4M
write -f -P 0x12 512 512
write -z -u 1M 1M
write -z -f 2M 64k
write -z -u -f 2176k 64k
write -z -u -n 2304k 64k
discard 3M 512k
flush
read -P 0x11 0 512
read -P 0x12 512 512
read -P 0x11 1k 1023k
read -P 0 1M 1M
read -P 0 2M 64k
read -P 0x11 2112k 64k
read -P 0 2176k 64k
read -P 0x11 2240k 64k
read -P 0 2304k 64k
read -P 0x11 2368k 704k
read -P 0 3M 512k
read -P 0x11 3584k 512k
Q
qio <<'Q'
aio_write -q -P 1 8M 1M
aio_write -q -P 2 9M 64k
aio_write -q -f -P 3 10M 4k
aio_write -q -z -u 11M 1M
aio_write -q -z 12M 64k
aio_write -q -P 4 16M 32M
aio_flush
aio_read -q -P 1 8M 1M
aio_read -q -P 2 9M 64k
aio_read -q -P 3 10M 4k
aio_read -q -P 0 11M 1M
aio_read -q -P 4 16M 32M
aio_flush
Q
# Written out it would be slow: refused.
status=0
out=$(qemu-io -f raw "$two" -c 'write -z -n 0 64k' 2>&1) || status=$?
assert_match "write -z -n (fast, but without -u)" 'not supported|Operation not' "$out"

say "reconnect-delay: nbdkit is restarted under a client that goes on"
mkfifo "$tmpdir/in"
exec {in}<>"$tmpdir/in"
qemu-io -t none --image-opts "driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=$sock,file.export=$(tgt_wwid 1 2),file.reconnect-delay=30" \
  <"$tmpdir/in" >"$tmpdir/qemu-io.out" 2>&1 &
client=$!
cleanup_fn end_process "$client"
answers () { grep -c 'ops; ' "$tmpdir/qemu-io.out"; }
answered () { [ "$(answers)" -ge "$1" ]; }
echo 'write -P 0x61 0 1M' >&"$in"
wait_until 10 answered 1 || fail "qemu-io: $(<"$tmpdir/qemu-io.out")"
# KILL: told to end in peace, nbdkit waits until its clients are gone.
kill -KILL "$mpiscsi_pid"
wait "$mpiscsi_pid" 2>/dev/null || :
mpiscsi_pid=
echo 'write -P 0x62 1M 1M' >&"$in"
sleep 1
assert_equal "requests that were answered while there was no server" 1 "$(answers)"
start_mpiscsi portals="$(join_portals "${portal[@]}")"
wait_until 30 answered 2 || fail "qemu-io did not come back: $(<"$tmpdir/qemu-io.out")"
# One by one: it reads ahead, and then waits for what it has.
echo 'read -P 0x61 0 1M' >&"$in"
wait_until 10 answered 3 || fail "qemu-io: $(<"$tmpdir/qemu-io.out")"
echo 'read -P 0x62 1M 1M' >&"$in"
wait_until 10 answered 4 || fail "qemu-io: $(<"$tmpdir/qemu-io.out")"
echo 'quit' >&"$in"
wait "$client" || fail "qemu-io: $(<"$tmpdir/qemu-io.out")"
assert_equal "requests that were answered" 4 "$(answers)"
assert_no_match "qemu-io" 'verification failed|failed' "$(<"$tmpdir/qemu-io.out")"
