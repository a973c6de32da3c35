# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced after functions.sh by the tests of the command mpiscsi.
command=${MPISCSI_COMMAND:-$top_builddir/server/mpiscsi}
[ -x "$command" ] || fail "there is no $command: run make"
# Servers of this test only.
export XDG_RUNTIME_DIR=$tmpdir MPISCSI_RUNTIME_DIR=$tmpdir/mpiscsi
export MPISCSI_PLUGIN=$plugin
server_env=()
if [ -n "${MPISCSI_PRELOAD:-}" ]; then server_env=(env "LD_PRELOAD=$MPISCSI_PRELOAD"); fi

# mpiscsi ARGUMENT...: in the client's namespace, if there is one.
mpiscsi () { "${client_ns[@]}" timeout -k 5 "$((30 * slow))" "${valgrind[@]}" "$command" "$@"; }
# mpiscsi_fails STATUS REGEX ARGUMENT...: ends with that status and says that.
mpiscsi_fails () {
  local expected=$1 regex=$2 status=0 out; shift 2
  out=$(mpiscsi "$@" 2>&1 >/dev/null) || status=$?
  assert_equal "status of mpiscsi $*: $out" "$expected" "$status"
  assert_match "error of mpiscsi $*" "$regex" "$out"
}
# The column H:C:I:L of a portal's path; sessions are numbered as they come.
hcil_of () { mpiscsi show paths | awk -v p="$1" '$2 == p { print $1 }'; }
_shows () { grep -qF -- "$1" <<<"$(mpiscsi -ll)"; }
# wait_shown TEXT [SECONDS]: until the topology has it.
wait_shown () {
  wait_until "${2:-10}" _shows "$1" || fail "not shown within ${2:-10} s: $1"$'\n'"$(mpiscsi -ll)"
}
_hides () { ! _shows "$1"; }
wait_hidden () { # TEXT [SECONDS]
  wait_until "${2:-10}" _hides "$1" || fail "still shown after ${2:-10} s: $1"$'\n'"$(mpiscsi -ll)"
}

# topology_of ALIAS WWID SIZE VENDOR,PRODUCT POLICY GROUP-STATUS LINE...: the
# text that mpiscsi -ll must print for one group; LINE: "PORTAL DM CHECKER".
topology_of () {
  local alias=$1 w=$2 size=$3 disk=$4 policy=$5 status=$6 line portal dm checker n=0
  local hw=0 pw=0 cw=0 h; shift 6
  local -A hcil
  local sorted=()
  for line; do
    read -r portal dm checker <<<"$line"
    h=$(hcil_of "$portal"); hcil[$portal]=$h
    [ ${#h} -le "$hw" ] || hw=${#h}
    [ ${#portal} -le "$pw" ] || pw=${#portal}
    [ ${#checker} -le "$cw" ] || cw=${#checker}
  done
  # In order of sessions.
  mapfile -t sorted < <(for line; do echo "${hcil[${line%% *}]} $line"; done | sort -V)
  if [ "$alias" = "$w" ]; then echo "$w map-0 $disk"; else echo "$alias ($w) map-0 $disk"; fi
  echo "size=$size features='0' hwhandler='0' wp=rw"
  # shellcheck disable=SC2016
  echo '`-+- policy='"'$policy' prio=1 status=$status"
  for line in "${sorted[@]}"; do
    read -r h portal dm checker <<<"$line"
    n=$((n + 1))
    # shellcheck disable=SC2016
    if [ $n = ${#sorted[@]} ]; then printf '  `- '; else printf '  |- '; fi
    printf "%-${hw}s %-${pw}s %s %-${cw}s running\n" "$h" "$portal" "$dm" "$checker"
  done
}
