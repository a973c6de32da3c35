# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the scripts that tests/vm/run starts: what they share.
#
# A guest is thrown away, so nothing here cleans up.  Time is the guest's own
# (/proc/uptime): with vm/run -i it has little to do with the clock outside.
set -euo pipefail

now () { cut -d' ' -f1 /proc/uptime; }
now_ms () { local t; t=$(now); echo "$((10#${t%.*} * 1000 + 10#${t#*.} * 10))"; }
say () { printf '[%7.2f] %s\n' "$(now)" "$*"; }
fail () {
  echo "FAIL: $*"
  for f in /run/*.log; do
    [ -s "$f" ] || continue
    echo "--- ${f##*/}, last lines:"
    tail -n 40 "$f"
  done
  echo "--- kernel:"
  dmesg | tail -n 15
  exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
set -E

wait_until () { # SECONDS COMMAND...
  local end=$(($(now_ms) + $1 * 1000)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$(now_ms)" -lt "$end" ] || return 1
    sleep 0.1
  done
}

#---- the target: tgtd with one thin LUN on two portals --------------------------
IQN=iqn.2026-11.example.mpiscsi:vm
portals=(127.0.0.1:3260 127.0.0.2:3261)
disk=/run/lun/disk

adm () { tgtadm --lld iscsi "$@"; }
start_tgt () { # SIZE
  mkdir -p /run/lun
  mount -t tmpfs -o size=90% tmpfs /run/lun
  truncate -s "$1" "$disk"
  tgtd -f --iscsi "portal=${portals[0]},portal=${portals[1]}" >/run/tgtd.log 2>&1 &
  wait_until 30 adm --mode sys --op show || fail "tgtd does not answer"
  adm --mode target --op new --tid 1 -T "$IQN"
  adm --mode logicalunit --op new --tid 1 --lun 1 -b "$disk" --bstype rdwr
  adm --mode logicalunit --op update --tid 1 --lun 1 \
      --params vendor_id=TEST,product_id=VMDISK,thin_provisioning=1
  adm --mode target --op bind --tid 1 -I ALL
}
used_kib () { du -k "$disk" | cut -f1; }

# DROP both ways, as when a switch dies: no RST, no FIN, nothing.
portal_rules () { # -I|-D PORTAL
  iptables "$1" INPUT -p tcp -d "${2%:*}" --dport "${2#*:}" -j DROP
  iptables "$1" INPUT -p tcp -s "${2%:*}" --sport "${2#*:}" -j DROP
}
cut_portal () { portal_rules -I "$1"; say "cut $1"; }
repair_portal () { portal_rules -D "$1"; say "repaired $1"; }

#---- the server under test ------------------------------------------------------
sock=/run/nbd.sock
server_log=/run/mpiscsi.log
server_pid=
start_server () { # [PARAMETER]...
  local list
  rm -f "$sock" /run/nbdkit.pid
  list=$(IFS=,; echo "${portals[*]}")
  nbdkit -f -t 16 -U "$sock" -P /run/nbdkit.pid "$PLUGIN" \
         portals="$list" target="$IQN" lun=1 "$@" >>"$server_log" 2>&1 &
  server_pid=$!
  wait_until 30 test -s /run/nbdkit.pid || fail "nbdkit does not serve"
}
# With no client left: nbdkit itself waits for idle ones.  It has 5 s, by the
# issue; twice that under emulation.
stop_server () {
  kill -TERM "$server_pid"
  wait_until 10 gone "$server_pid" || fail "nbdkit did not end within 10 s of SIGTERM"
  wait "$server_pid" || fail "nbdkit ended with status $?"
}
# PID: a zombie is gone too.
gone () { ! grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null; }
log_mark=0
count_log () { tail -n "+$((log_mark + 1))" "$server_log" | grep -cE -- "$1" || :; }
mark_log () { log_mark=$(wc -l <"$server_log"); }
_new_log () { [ "$(count_log "$1")" -gt 0 ]; }
wait_for_log () { # SECONDS REGEX
  wait_until "$1" _new_log "$2" || fail "not logged within $1 s: $2"
}

#---- the kernel's client --------------------------------------------------------
attach () { # /dev/nbdN [NBD-CLIENT-OPTION]...
  nbd-client -unix "$sock" "$@" >>/run/nbd-client.log 2>&1 || fail "nbd-client $*"
  wait_until 20 has_size "$1" || fail "$1 has no size"
}
has_size () { [ "$(blockdev --getsize64 "$1")" -gt 0 ]; }
has_no_size () { ! has_size "$1"; }
detach () { # /dev/nbdN
  nbd-client -d "$1" >>/run/nbd-client.log 2>&1 || fail "nbd-client -d $1"
  wait_until 20 has_no_size "$1" || fail "$1 still has a size after it was detached"
}
drop_caches () { sync; echo 3 >/proc/sys/vm/drop_caches; }
# No request may have failed, whatever the paths did meanwhile.
assert_no_io_errors () {
  ! dmesg | grep -E 'I/O error|Buffer I/O|nbd[0-9]+: .*(timed out|[Cc]onnection|[Rr]eceive|[Dd]ead)|EXT4-fs error|XFS .*(error|corrupt)' ||
    fail "the kernel saw errors"
}
