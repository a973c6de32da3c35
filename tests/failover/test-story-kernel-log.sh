#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The story's row "the kernel log shows what was found": vendor, product,
# revision, LUN size in blocks and both units, write protect, write cache,
# DPO/FUA, "Attached SCSI disk": once per path, also when the path is lost and
# comes back; and what was read is honoured.
TEST_TIMEOUT=${TEST_TIMEOUT:-60}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdsh -c "import nbd"

simple_target 2 256M
make_disk "$tmpdir/disk2" 48M
tgt_lun t 1 2 "$tmpdir/disk2" vendor_id=OTHER product_id=SECOND readonly=1 thin_provisioning=1
requires_kill_tcp "${portal[0]}"
start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1
wait_for_log "$(quote_re "${portal[0]}"): LUN 2: Attached SCSI disk\$"
wait_for_log "$(quote_re "${portal[1]}"): LUN 2: Attached SCSI disk\$"

# facts PORTAL LUN: what is logged of it, without the name.
facts () { sed -n "s/^mpiscsi: $(quote_re "$1"): LUN $2: //p" "$mpiscsi_log"; }
disk () { # LUN WWID LINE...: exactly these lines, on each portal
  local lun=$1 p want; shift
  want=$(printf '%s\n' "$@")
  for p in "${portal[@]}"; do
    assert_equal "what is logged of LUN $lun at $p" "$want" "$(facts "$p" "$lun")"
  done
}
all () {
  disk 1 "Direct-Access TEST TESTDISK 0001, ANSI 5, WWID $wwid" \
    '524288 512-byte logical blocks: (268 MB/256 MiB)' '4096-byte physical blocks' \
    'Write Protect is off' 'Write cache: enabled, supports DPO and FUA' 'Attached SCSI disk'
  disk 2 "Direct-Access OTHER SECOND 0001, ANSI 5, WWID $(tgt_wwid 1 2)" \
    '98304 512-byte logical blocks: (50.3 MB/48 MiB)' '4096-byte physical blocks' \
    'Write Protect is on' 'Write cache: enabled, supports DPO and FUA' 'Attached SCSI disk'
}
say "once per path"
all
say "not again when a path has been away"
mark_log
lose_portal t "${portal[1]}"
wait_path_down "${portal[1]}"
tgt_add_portal t "${portal[1]}"
wait_path_up "${portal[1]}"
all

say "honoured"
# ask WWID: size, read only, FUA, block sizes, as a client is told
ask () {
  nbdsh -c "
h.set_export_name('$1')
h.connect_unix('$sock')
print(h.get_size(), h.is_read_only(), h.can_fua(), h.can_flush(), h.get_block_size(nbd.SIZE_MINIMUM), h.get_block_size(nbd.SIZE_PREFERRED))"
}
assert_equal "LUN 1" "$((256 << 20)) False True True 512 4096" "$(ask "$wwid")"
assert_match "LUN 2" "^$((48 << 20)) True " "$(ask "$(tgt_wwid 1 2)")"
