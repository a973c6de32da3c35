#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Another disk is put behind the LUN, without a word from the target (tgt says
# none when a LUN is deleted and made again).  The checker finds out within
# its interval: the paths go out, loudly, and no more is written there.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdsh -c "import nbd"

simple_target 2 64M
start_mpiscsi portals="$(IFS=,; echo "${portal[*]}")" polling-interval=1 max-polling-interval=1
for p in "${portal[@]}"; do wait_for_log "$(quote_re "$p"): reinstated" 10; done
nbdsh -u "$uri" -c 'h.pwrite(b"m" * 4096, 0)'

say "another disk under the same number"
mark_log
make_disk "$tmpdir/other" 64M
tgt_adm t --mode logicalunit --op delete --tid 1 --lun 1
tgt_lun t 1 1 "$tmpdir/other" scsi_id=0000000000000BAD
for p in "${portal[@]}"; do
  wait_for_log "$(quote_re "$p"): path is not used any more: another disk answers here now" 10
done
assert_fails nbdsh -u "$uri" -c 'h.pwrite(b"w" * 4096, 8192)'
[ "$(tr -d '\0' <"$tmpdir/other" | wc -c)" = 0 ] || fail "the other disk was written to"

say "the right one again"
tgt_adm t --mode logicalunit --op delete --tid 1 --lun 1
tgt_lun t 1 1 "$tmpdir/disk"
for p in "${portal[@]}"; do wait_path_up "$p" 15; done
nbdsh -u "$uri" -c 'assert h.pread(4096, 0) == b"m" * 4096; h.pwrite(b"n" * 4096, 8192)'
