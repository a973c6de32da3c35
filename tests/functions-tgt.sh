# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by functions.sh: private instances of tgtd, each with a name.
#
# All that is said with tgt_adm is written down, so that an instance that was
# killed can be started again as it was.  tgtd is spoken to over a socket in
# our directory (TGT_IPC_SOCKET), so instances of other tests are not in the
# way, whatever their control number is.
requires tgtadm --version
requires command -v tgtd

declare -A _tgt_pid _tgt_portals
iqn=iqn.2026-11.example.mpiscsi:data

_tgtadm () { # NAME ...
  local name=$1; shift
  TGT_IPC_SOCKET=$tmpdir/tgt-$name timeout 20 tgtadm -C "$(($$ % 32768))" --lld iscsi "$@"
}
# tgt_adm NAME ...: change something, for this run and those after it.
tgt_adm () {
  _tgtadm "$@" || fail "tgtadm: $*"
  printf '%q ' "${@:2}" >>"$tmpdir/tgt-$1.setup"
  echo >>"$tmpdir/tgt-$1.setup"
}
_tgt_answers () { _tgtadm "$1" --mode sys --op show; }

# start_tgt NAME PORTAL...: with no target yet.
start_tgt () {
  local name=$1; shift
  _tgt_portals[$name]=$*
  : >"$tmpdir/tgt-$name.setup"
  run_tgt "$name"
}
# run_tgt NAME: again, after kill_tgt or stop_tgt, with what it had.
run_tgt () {
  local name=$1 p opt='' pid words
  for p in ${_tgt_portals[$name]}; do opt+=",portal=$p"; done
  rm -f "$tmpdir/tgt-$name".[0-9]*
  background "$tmpdir/tgt-$name.log" env "TGT_IPC_SOCKET=$tmpdir/tgt-$name" \
    "${target_ns[@]}" tgtd -f -C "$(($$ % 32768))" --iscsi "${opt#,}"
  pid=$!
  _tgt_pid[$name]=$pid
  cleanup_fn _tgt_end "$pid"
  wait_until 10 _tgt_answers "$name" ||
    fail "tgtd does not answer:"$'\n'"$(tail "$tmpdir/tgt-$name.log")"
  while read -r words; do
    eval "_tgtadm $name $words" || fail "tgtadm: $words"
  done <"$tmpdir/tgt-$name.setup"
}
_tgt_end () { if is_running "$1"; then kill -KILL "$1"; wait "$1" 2>/dev/null; fi; return 0; }
kill_tgt () { kill -KILL "${_tgt_pid[$1]}"; wait "${_tgt_pid[$1]}" 2>/dev/null || :; }
pause_tgt () { kill -STOP "${_tgt_pid[$1]}"; }
resume_tgt () { kill -CONT "${_tgt_pid[$1]}"; }

# tgt_target NAME TID [IQN]: any initiator may log in.
tgt_target () {
  tgt_adm "$1" --mode target --op new --tid "$2" -T "${3:-$iqn}"
  tgt_adm "$1" --mode target --op bind --tid "$2" -I ALL
}
# tgt_lun NAME TID LUN FILE [OPTION=VALUE]...: bstype= (rdwr), blocksize=,
# device-type=; any other is a parameter of the LUN: vendor_id, product_id,
# scsi_sn, scsi_id, readonly, thin_provisioning, online ...
tgt_lun () {
  local name=$1 tid=$2 lun=$3 file=$4 o bstype=rdwr params='' args=(); shift 4
  for o; do
    case $o in
      bstype=*) bstype=${o#*=} ;;
      blocksize=*|device-type=*) args+=("--${o%%=*}" "${o#*=}") ;;
      *) params+=",$o" ;;
    esac
  done
  # Other device types choose their own back end.
  case " ${args[*]} " in
    *' --device-type '*) ;;
    *) args+=(--bstype "$bstype") ;;
  esac
  tgt_adm "$name" --mode logicalunit --op new --tid "$tid" --lun "$lun" -b "$file" "${args[@]}"
  [ -z "$params" ] ||
    tgt_adm "$name" --mode logicalunit --op update --tid "$tid" --lun "$lun" --params "${params#,}"
}
# tgt_account NAME TID USER PASSWORD [--outgoing]: outgoing is what the target
# proves itself with.
tgt_account () {
  tgt_adm "$1" --mode account --op new --user "$3" --password "$4"
  tgt_adm "$1" --mode account --op bind --tid "$2" --user "$3" "${@:5}"
}
# The listening socket only; its connections stay, see lose_portal.
tgt_del_portal () { _tgtadm "$1" --mode portal --op delete --param "portal=$2"; }
tgt_add_portal () { _tgtadm "$1" --mode portal --op new --param "portal=$2"; }
lose_portal () { # NAME PORTAL: refuses new connections, the old ones are reset
  tgt_del_portal "$1" "$2"
  kill_tcp "$2" || :
}

# The WWID that tgt gives to a LUN unless scsi_id= changes it: NAA, made of the
# hex digits of its default scsi_id, "IET     TTTTLLLL" (tid and lun).
tgt_wwid () { printf '360000000000000000e%06x%08x\n' 0 $(($1 << 16 | $2)); }

# make_disk FILE SIZE: sparse.
make_disk () { rm -f "$1"; truncate -s "$2" "$1"; }

# The usual: one target with LUN 1 of SIZE, on N portals of 127.0.0.0/8 or, if
# make_net was called, on the cables.
simple_target () { # N [SIZE]
  [ ${#client_ns[@]} != 0 ] || pick_portals "$1"
  make_disk "$tmpdir/disk" "${2:-64M}"
  start_tgt t "${portal[@]}"
  tgt_target t 1
  tgt_lun t 1 1 "$tmpdir/disk" \
          vendor_id=TEST product_id=TESTDISK "scsi_sn=SN$$"
  wwid=$(tgt_wwid 1 1)
}
