#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Random operations against a model (model-test.py), on 512 and 4096 byte
# blocks, over one and four connections, thin and thick, while paths fail: by
# reset packets, with the connection killed, all at once, and silently.
#
# OPS=N: operations in all (default 8000).  SEED=N: the same choice again.
OPS=${OPS:-8000}
SEED=${SEED:-$RANDOM}
TEST_TIMEOUT=${TEST_TIMEOUT:-$((120 + OPS / 50))}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires nbdsh -c "import nbd"
make_net 2
say "$OPS operations, SEED=$SEED"

# Each ends when both paths are up again.
fault () {
  local p=${portal[$1 % 2]} q
  mark_log
  case $1 in
    0) say "fault: resets on $p"
       reject_portal "$p"; wait_path_down "$p" 15; unreject_portal "$p"; wait_path_up "$p" 20 ;;
    1) say "fault: the connection to $p is killed"
       if kill_tcp "$p"; then wait_path_down "$p" 15; wait_path_up "$p" 20; fi ;;
    2) say "fault: no path is left"
       for q in "${portal[@]}"; do reject_portal "$q"; done
       for q in "${portal[@]}"; do wait_path_down "$q" 15; done
       for q in "${portal[@]}"; do unreject_portal "$q"; done
       for q in "${portal[@]}"; do wait_path_up "$q" 20; done ;;
    3) say "fault: silence on $p"
       drop_portal "$p"; wait_path_down "$p" 15; undrop_portal "$p"; wait_path_up "$p" 20 ;;
  esac
}

tgts=0
run_model () { # BLOCKSIZE CONNECTIONS THIN OPERATIONS FAULT...
  local bs=$1 conns=$2 thin=$3 ops=$4 word rest client status=0; shift 4
  local faults=() i
  # The list once for each 5000 operations, and at least once.
  for ((i = 0; i == 0 || i < ops / 5000; i++)); do faults+=("$@"); done
  i=0
  say "$bs byte blocks, $conns connections, $([ "$thin" = 1 ] && echo thin || echo thick), ${#faults[@]} faults"
  tgts=$((tgts + 1))
  make_disk "$tmpdir/disk" 16M
  start_tgt "t$tgts" "${portal[@]}"
  tgt_target "t$tgts" 1
  tgt_lun "t$tgts" 1 1 "$tmpdir/disk" blocksize="$bs" thin_provisioning="$thin"
  start_mpiscsi portals="$(join_portals "${portal[@]}")" polling-interval=1 no-path-retry=queue
  for p in "${portal[@]}"; do wait_for_log "$(quote_re "$p"): reinstated" 10; done
  coproc MODEL { exec python3 "$testsdir/fake/model-test.py" "$uri" "$conns" "$ops" "$((SEED + tgts))" \
                      "${#faults[@]}" "$tmpdir/model" 2>&1; }
  client=$MODEL_PID
  # bash forgets these when the process ends, and its last words with them.
  exec {from}<&"${MODEL[0]}" {to}>&"${MODEL[1]}"
  cleanup_fn end_process "$client"
  while read -r word rest; do
    if [ "$word" = fault ]; then
      fault "${faults[i++]}"
      echo >&"$to"
    else
      echo "$word $rest"
    fi
  done <&"$from"
  wait "$client" || status=$?
  exec {from}<&- {to}>&-
  [ "$status" = 0 ] || fail "the model and the disk differ (SEED=$SEED)"
  stop_mpiscsi
  kill_tgt "t$tgts"
  cmp "$tmpdir/model" "$tmpdir/disk" || fail "the file behind the LUN is not what clients read (SEED=$SEED)"
}

run_model 512 1 1 $((OPS / 4)) 0 1
run_model 4096 4 1 $((OPS / 4)) 2 0
run_model 512 4 0 $((OPS / 4)) 1 2
run_model 4096 1 1 $((OPS / 4)) 3
