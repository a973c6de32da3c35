#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The connection of one path ends under load: RST, FIN, target process killed,
# and "ss -K" where the kernel can do that.  Limits: no request takes longer
# than 50 ms; reinstated within 2 s.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-health.sh
. "$testsdir/functions-health.sh"

_check_rows cut-rst cut-fin ss-k killed

if wanted cut-rst || wanted cut-fin || wanted ss-k; then
  proxied_target 2
  serve
fi
for how in rst fin; do
  wanted "cut-$how" || continue
  begin_row "cut-$how"
  ctl 0 cut $how
  wait_path_down "${paths[0]}" 5
  wait_reinstated "${paths[0]}"
  end_row 50 2000
done

if wanted ss-k; then
  begin_row ss-k
  # A kernel without it says "Invalid argument", and does nothing.
  kill_tcp "${paths[1]}" || :
  if wait_until 2 _in_log "Failing path $(quote_re "${paths[1]}")"; then
    wait_reinstated "${paths[1]}"
    end_row 50 2000
  else
    stop_load
    echo "ss -K does not work with this kernel: row left out"
  fi
fi

if wanted killed; then
  # Two target processes share the disk; one of them dies.
  stop_mpiscsi
  pick_portals 2
  make_disk "$tmpdir/shared" 64M
  for t in a b; do
    if [ $t = a ]; then start_tgt a "${portal[0]}"; else start_tgt b "${portal[1]}"; fi
    tgt_target $t 1
    tgt_lun $t 1 1 "$tmpdir/shared" vendor_id=TEST product_id=TESTDISK "scsi_sn=SN$$"
  done
  paths=("${portal[@]}")
  serve
  begin_row killed
  kill_tgt a
  wait_path_down "${paths[0]}" 5
  sleep 4
  assert_load_runs
  mark_log
  run_tgt a
  repaired
  wait_reinstated "${paths[0]}"
  end_row 50 2000
fi
