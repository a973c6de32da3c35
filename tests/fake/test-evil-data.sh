#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A target that moves the wrong data: Data-In out of the buffer, out of order,
# for what is no read; R2T for what is no write, too much or again; reads with
# a good status that came short, where old memory must not reach the client.
# shellcheck source=../functions-evil.sh
. "$(dirname "$0")/../functions-evil.sh"

play data "$@"

say "qemu-io: a pattern, and a target that leaves half of each read out"
requires qemu-io --version
make_disk "$tmpdir/disk" 8M
start_fake 1 --file "$tmpdir/disk" --size 8M
good=${portal[0]}
start_fake 1 --file "$tmpdir/disk" --size 8M --evil short-read-silent:2
start_mpiscsi portals="$good,${portal[0]}" target="$fake_iqn" discovery=off rr-min-io=1 polling-interval=0.2
io=(timeout -k 5 "$((30 * slow))" qemu-io -f raw "$uri")
"${io[@]}" -c 'write -P 0xa5 0 4M' -c 'write -P 0x5a 4M 4M' -c flush >"$tmpdir/qemu.log"
# What is not there must not be what was read before.
"${io[@]}" -c 'read -P 0xa5 0 1M' -c 'read -P 0x5a 4M 1M' -c 'read -P 0xa5 1M 64k' \
  -c 'read -P 0x5a 5M 64k' -c 'read -P 0xa5 2M 4k' -c 'read -P 0x5a 6M 4k' >"$tmpdir/qemu.log" 2>&1 ||
  { cat "$tmpdir/qemu.log"; fail "qemu-io"; }
assert_no_match "qemu-io" 'failed|error' "$(<"$tmpdir/qemu.log")"
wait_for_log "$(quote_re "${portal[0]}"): session [0-9]+ lost: short transfer with GOOD status"
stop_mpiscsi
