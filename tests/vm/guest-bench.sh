#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest of tests/vm/run -i: how fast is /dev/nbd0 over the plugin, beside
# dm-multipath over open-iscsi and qemu-nbd?  One target, one LUN, two portals,
# one kernel for all.  Started by tests/bench/bench-kernel, with PLUGIN, ROUNDS,
# SECONDS_EACH, THREADS, and PLUGIN_ARGS, SERVERS and ROWS (with spaces between
# words) in the environment.
#
# Prints "RESULT ROUND SERVER ROW IOPS KIB/S MEAN-US ERRORS".
# shellcheck source=guest-lib.sh
. /guest-lib.sh

alias=iscsi_data mib=192
start_tgt $((mib << 20))
# No holes: a read of one would cost the target less.
dd if=/dev/zero of="$disk" bs=1M count=$mib conv=notrunc status=none

start_udev () {
  mkdir -p /usr/lib/systemd
  ln -s ../../bin/udevadm /usr/lib/systemd/systemd-udevd
  /usr/lib/systemd/systemd-udevd --daemon 2>/run/udevd.log
  udevadm trigger --type=subsystems --action=add
  udevadm trigger --type=devices --action=add
  udevadm settle -t 60 || fail "udev does not settle"
}
our_disks () { # their names, sda ...
  local s
  for s in /sys/class/iscsi_session/session*/device/target*/*/block/*; do
    [ ! -d "$s" ] || echo "${s##*/}"
  done
}
both_active () { [ "$(multipathd show paths format %t | grep -c active)" = 2 ]; }

# The kernel's stack with the defaults of both, but what this plugin does by
# default: I/O over both paths, in turn.
start_dm () {
  local p first
  modprobe -a iscsi_tcp sd_mod sg dm_multipath dm_round_robin
  mkdir -p /etc/iscsi /var/lib/iscsi /run/lock/iscsi
  echo "InitiatorName=iqn.2026-11.example.mpiscsi:kernel" >/etc/iscsi/initiatorname.iscsi
  # It would start iscsid through systemd.
  sed -i '/^iscsid.startup/d' /etc/iscsi/iscsid.conf
  iscsid -f >/run/iscsid.log 2>&1 &
  wait_until 20 grep -q ISCSIADM_ABSTRACT /proc/net/unix || fail "iscsid does not answer"
  for p in "${portals[@]}"; do
    iscsiadm -m node -T "$IQN" -p "$p" -o new >>/run/iscsiadm.log 2>&1 || fail "iscsiadm -o new $p"
    iscsiadm -m node -T "$IQN" -p "$p" --login >>/run/iscsiadm.log 2>&1 || fail "iscsiadm --login $p"
  done
  udevadm settle -t 60
  read -r first < <(our_disks | sort)
  cat >/etc/multipath.conf <<CONF
defaults {
    path_selector        "round-robin 0"
    path_grouping_policy multibus
    find_multipaths      no
}
multipaths {
    multipath {
        wwid  $(/usr/lib/udev/scsi_id -g -u "/dev/$first")
        alias $alias
    }
}
CONF
  multipathd -d -v 2 >/run/multipathd.log 2>&1 &
  wait_until 60 test -b "/dev/mapper/$alias" || fail "there is no /dev/mapper/$alias"
  wait_until 60 both_active || fail "not both paths are active"
  udevadm settle -t 60
}

nbds=0
# nbd_of NAME SOCKET SERVER...: starts it and attaches the next /dev/nbdN;
# device[NAME]
declare -A device
nbd_of () {
  local name=$1 socket=$2; shift 2
  "$@" >>"/run/$name.log" 2>&1 &
  wait_until 60 test -S "$socket" || fail "$name does not serve"
  nbd-client -unix "$socket" "/dev/nbd$nbds" >>/run/nbd-client.log 2>&1 || fail "nbd-client for $name"
  wait_until 20 has_size "/dev/nbd$nbds" || fail "/dev/nbd$nbds has no size"
  device[$name]=/dev/nbd$nbds
  nbds=$((nbds + 1))
}
with_own () { # NAME [PARAMETER]...
  local name=$1 list more; shift
  read -ra more <<<"$PLUGIN_ARGS"
  list=$(IFS=,; echo "${portals[*]}")
  nbd_of "$name" "/run/$name.sock" "$COMMAND" serve front_end=own unix_socket="/run/$name.sock" \
    portals="$list" discovery=off target="$IQN" lun=1 control=none "$@" "${more[@]}"
}
with_plugin () { # NAME [PARAMETER]...
  local name=$1 list more; shift
  read -ra more <<<"$PLUGIN_ARGS"
  list=$(IFS=,; echo "${portals[*]}")
  nbd_of "$name" "/run/$name.sock" nbdkit -f -t "$THREADS" -U "/run/$name.sock" \
    "$PLUGIN" portals="$list" discovery=off target="$IQN" lun=1 control=none "$@" "${more[@]}"
}
start () { # SERVER
  case $1 in
    dm) start_dm; device[dm]=/dev/mapper/$alias ;;
    mpiscsi) with_own mpiscsi ;;
    plugin) with_plugin plugin ;;
    hedged) with_own hedged hedged-reads=on ;;
    bare) with_own bare fence=off path-checker=none noop-out-interval=0 ;;
    qemu-nbd)
      nbd_of qemu-nbd /run/qemu-nbd.sock qemu-nbd -t -f raw -k /run/qemu-nbd.sock -e 8 \
        --cache=none "iscsi://${portals[0]}/$IQN/1" ;;
    memory)
      nbd_of memory /run/memory.sock nbdkit -f -t "$THREADS" -U /run/memory.sock memory ${mib}M ;;
    *) fail "what is $1?" ;;
  esac
  say "$1: ${device[$1]}"
}

# One fio for all rows: it takes seconds to start here.
job_file () { # DEVICE
  local r
  printf '%s\n' '[global]' "filename=$1" direct=1 ioengine=libaio time_based \
    "runtime=${SECONDS_EACH}s" ramp_time=300ms "size=${mib}M" randrepeat=0 norandommap stonewall
  for r in $ROWS; do
    # 4k-randread-d32
    IFS=- read -r bs rw depth <<<"$r"
    printf '%s\n' "[$r]" "bs=$bs" "rw=$rw" "iodepth=${depth#d}"
  done
}
# fio's terse output, version 3: 3 name, 5 error; of reads 7 KiB/s, 8 IOPS,
# 40 mean us; writes 41 fields later.
measure () { # ROUND SERVER
  cpu_by_name >/run/before
  measure_rows "$@"
  # Where the time went: for whoever looks into it (bench-kernel -v).
  cpu_by_name | awk 'NR == FNR { old[$1] = $2; next }
      { ms = ($2 - old[$1]) / 1e6; if (ms > 20) printf " %s %.0f", $1, ms }
      END { print " ms" }' /run/before - | sed "s/^/CPU $2:/"
}
# NAME NANOSECONDS of all threads that live, by the name of their process.
cpu_by_name () {
  local d name ns
  for d in /proc/[0-9]*; do
    { read -r name <"$d/comm"; } 2>/dev/null || continue
    case $name in kworker*) name=kworker ;; esac
    cat "$d"/task/*/schedstat 2>/dev/null | while read -r ns _; do
      echo "${name// /_} $ns"
    done
  done | awk '{ n[$1] += $2 } END { for (k in n) print k, n[k] }' | sort
}
measure_rows () { # ROUND SERVER
  job_file "${device[$2]}" >/run/fio.job
  fio --output-format=terse --terse-version=3 /run/fio.job >/run/fio.out 2>/run/fio.log ||
    fail "fio on $2"
  awk -F';' -v round="$1" -v server="$2" '$1 == "3" {
      n = $3 ~ /write/ ? 41 : 0
      print "RESULT", round, server, $3, $(n + 8), $(n + 7), $(n + 40), $5 }' /run/fio.out
}

modprobe nbd nbds_max=8 max_part=0
case " $SERVERS " in *" dm "*) start_udev ;; esac
for s in $SERVERS; do start "$s"; done
for ((i = 0; i < ROUNDS; i++)); do
  # Every other round backwards, as in tests/bench/bench.
  order=$SERVERS
  [ $((i % 2)) = 0 ] || order=$(tr ' ' '\n' <<<"$SERVERS" | tac | tr '\n' ' ')
  for s in $order; do measure "$i" "$s"; done
done
assert_no_io_errors
say "done"
