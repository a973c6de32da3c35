# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Sourced, after guest-lib.sh, by scripts that tests/vm/run starts: an iSCSI
# target of the kernel (LIO), made through configfs alone.
#
#   lio_start
#   lio_disk NAME FILE BYTES [ATTRIBUTE=VALUE]...
#   lio_tpg TPGT PORTAL...         (IPv4:port or [IPv6]:port)
#   lio_lun TPGT LUN NAME [ALUA-GROUP]
#   lio_enable TPGT
#   lio_alua NAME GROUP ID STATE   (before lio_lun names it)
#
# Each TPG is a target portal group with a tag of its own (TPGT): sessions to
# different ones are different nexuses even with the same ISID.  Any initiator
# may log in, without CHAP, and write.  Modules: target_core_mod
# target_core_file iscsi_target_mod, see vm_lio in programs.sh.
lio_iqn=iqn.2026-11.example.mpiscsi:lio
_lio=/sys/kernel/config/target
_lio_target=$_lio/iscsi/$lio_iqn

# configfs answers a refused value with an error of write(2), which says
# nothing about what it was.
_lio_set () { # FILE VALUE
  { echo "$2" >"$1"; } 2>/dev/null || fail "LIO refuses '$2' for ${1#"$_lio"/}"
}

lio_start () {
  modprobe -a target_core_mod target_core_file iscsi_target_mod
  grep -q ' /sys/kernel/config ' /proc/mounts || mount -t configfs configfs /sys/kernel/config
  # Its state files (persistent reservations, ALUA).
  mkdir -p /var/target/pr /var/target/alua "$_lio_target"
}

# A file, sparse at first.  Attributes that matter here: emulate_tpu=1 (thin,
# UNMAP), emulate_tpws=1 (WRITE SAME with UNMAP), emulate_write_cache=0 or 1,
# block_size=4096.  The write cache is on, as the page cache is one, unless an
# attribute says otherwise.
lio_disk () {
  local name=$1 file=$2 bytes=$3 dir=$_lio/core/fileio_0/$1 a; shift 3
  truncate -s "$bytes" "$file"
  mkdir -p "$dir"
  _lio_set "$dir/control" "fd_dev_name=$file,fd_dev_size=$bytes,fd_buffered_io=1"
  # block_size and the like only before it is in use, but after this:
  _lio_set "$dir/enable" 1
  # The WWID is made of this: stable, and not the same for two names.
  _lio_set "$dir/wwn/vpd_unit_serial" "$(printf '%s' "$name" | sha256sum | cut -c1-32)"
  for a; do
    _lio_set "$dir/attrib/${a%%=*}" "${a#*=}"
  done
}

lio_tpg () {
  local dir=$_lio_target/tpgt_$1 p; shift
  mkdir -p "$dir"
  for p; do
    mkdir "$dir/np/$p" || fail "LIO cannot listen on $p"
  done
  _lio_set "$dir/attrib/authentication" 0
  _lio_set "$dir/attrib/generate_node_acls" 1
  _lio_set "$dir/attrib/cache_dynamic_acls" 1
  _lio_set "$dir/attrib/demo_mode_write_protect" 0
}

# STATE: 0 active/optimized, 1 active/non-optimized, 2 standby, 3 unavailable,
# 14 offline, 15 transitioning (SPC-4 table 247).  Called again, it changes
# the state of a group that is in use.
lio_alua () {
  local dir=$_lio/core/fileio_0/$1/alua/$2
  if [ ! -d "$dir" ]; then
    mkdir "$dir"
    _lio_set "$dir/tg_pt_gp_id" "$3"
    _lio_set "$dir/alua_access_type" 3 # implicit and explicit
    local s
    for s in "$dir"/alua_support_*; do _lio_set "$s" 1; done
  fi
  _lio_set "$dir/alua_access_state" "$4"
}

lio_lun () {
  local dir=$_lio_target/tpgt_$1/lun/lun_$2
  mkdir "$dir"
  ln -s "$_lio/core/fileio_0/$3" "$dir/$3"
  [ -z "${4:-}" ] || _lio_set "$dir/alua_tg_pt_gp" "$4"
}

lio_enable () { _lio_set "$_lio_target/tpgt_$1/enable" 1; }
# No new logins, and those that are logged in are thrown out.
lio_disable () { _lio_set "$_lio_target/tpgt_$1/enable" 0; }
