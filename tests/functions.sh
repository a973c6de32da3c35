# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: BSD-3-Clause
# Shell functions of the integration tests: sourced first by each test-*.sh.
#
# A test is a bash script that exits with 0 (passed), 77 (skipped: something
# that it requires is not there) or anything else (failed).  Whatever it
# starts through these functions is gone when it ends, however it ends:
# processes get SIGKILL from the kernel if this shell is killed (setpriv
# --pdeathsig), namespaces live only as long as such a process, and the files
# are in one temporary directory.
#
# From the environment (all optional):
#   top_builddir      where mpiscsi.so is (default: the parent of tests/)
#   MPISCSI_PLUGIN    another file to test instead of it
#   MPISCSI_COMMAND   and instead of server/mpiscsi
#   MPISCSI_PRELOAD   LD_PRELOAD for nbdkit alone, e.g. libasan.so for a plugin
#                     with AddressSanitizer
#   MPISCSI_SANITIZED  the folder of tests/build-sanitized: all three from there,
#                     but not in a test that sets plain_build=1 before it sources
#                     this file
#   NBDKIT            another nbdkit
#   FRONT_END         own (the default) or nbdkit: who speaks NBD in start_mpiscsi
#   VALGRIND=1        run nbdkit, and mpiscsi, under valgrind; an error fails the test
#   KEEP=1            keep the temporary directory
#   TEST_TIMEOUT      seconds for one test; a test may set its own default
#                     before it sources this file
set -e
set -u
set -o pipefail
export LC_ALL=C
# nbdsh runs the first python3 it finds; only Debian's own has its module.
if ! python3 -c 'import nbd; nbd.NBD' 2>/dev/null && /usr/bin/python3 -c 'import nbd; nbd.NBD' 2>/dev/null; then
  PATH=/usr/bin:$PATH
fi

testsdir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top_srcdir=$(dirname "$testsdir")
# automake gives it relative to the folder where the test runs.
top_builddir=$(cd "${top_builddir:-$top_srcdir}" && pwd)
if [ -n "${MPISCSI_SANITIZED:-}" ] && [ -z "${plain_build:-}" ]; then
  export MPISCSI_PLUGIN=$MPISCSI_SANITIZED/mpiscsi.so MPISCSI_COMMAND=$MPISCSI_SANITIZED/mpiscsi
  MPISCSI_PRELOAD=$("${CC:-gcc}" -print-file-name=libasan.so):$MPISCSI_SANITIZED/first.so
  export MPISCSI_PRELOAD
fi
plugin=${MPISCSI_PLUGIN:-$top_builddir/mpiscsi.so}
slow=1                          # how much longer a test waits before it gives up
slow_limits=1                   # what the time limits are multiplied with that it is about
if [ -n "${VALGRIND:-}" ]; then
  slow=6 slow_limits=6
elif [ -n "${MPISCSI_SANITIZED:-}" ] && [ -z "${plain_build:-}" ]; then
  slow=2                        # a failover takes no longer
elif [ -n "${MPISCSI_PRELOAD:-}" ]; then
  slow=2 slow_limits=2
fi

# One limit for the whole test.  timeout signals the process group, so that a
# foreground command ends too and the trap below runs at once.
if [ -z "${MPISCSI_TEST_TIMED:-}" ]; then
  export MPISCSI_TEST_TIMED=1
  exec timeout -k 20 "$((${TEST_TIMEOUT:-60} * slow))" bash "$0" "$@"
fi
unset MPISCSI_TEST_TIMED

say () { echo "=== $(date +%T) $*"; }
fail () { echo "FAIL: $*"; exit 1; }
skip () { echo "SKIP: $*"; exit 77; }

# requires COMMAND...: skip the test when it does not succeed.
requires () { "$@" </dev/null >/dev/null 2>&1 || skip "'$*' does not work here"; }
requires_root () { [ "$(id -u)" = 0 ] || skip "needs root, for network namespaces"; }
requires_plugin () { [ -f "$plugin" ] || fail "there is no $plugin: run make"; }

#---- cleanup ------------------------------------------------------------------
cleanups=()
# cleanup_fn COMMAND...: run it when the test ends; the last one given is first.
cleanup_fn () { cleanups+=("$(printf '%q ' "$@")"); }

show_logs () {
  local f
  for f in "$tmpdir"/*.log; do
    [ -s "$f" ] || continue
    echo "--- ${f##*/}, last lines:"
    case $f in
      "$mpiscsi_log") tail -n 60 "$f" ;;
      *) tail -n 15 "$f" | grep -v 'RDMA\|oom_score_adj\|nr_open' || : ;;
    esac
  done
}
_end_test () {
  local status=$? i
  trap '' INT TERM HUP PIPE
  set +e
  if [ "$status" != 0 ] && [ "$status" != 77 ]; then show_logs; fi
  for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do
    eval "${cleanups[i]}" || { [ "$status" != 0 ] || status=1; }
  done
  for i in "$tmpdir"/sanitizer.*; do
    [ -s "$i" ] || continue
    echo "FAIL: a sanitizer, or valgrind, reports:"
    head -n 80 "$i"
    status=1
  done
  if [ -n "${KEEP:-}" ]; then echo "kept: $tmpdir"; else rm -rf "$tmpdir"; fi
  trap - EXIT
  exit "$status"
}
trap _end_test EXIT
trap 'echo "FAIL: interrupted, or over the time limit of the test"; exit 1' INT TERM HUP
# "test-x.sh | head" must clean up too.
trap 'exit 1' PIPE

# Short, since a Unix socket's name has at most 107 bytes.
tmpdir=$(mktemp -d /tmp/mpiscsi.XXXXXX)
mpiscsi_log=$tmpdir/mpiscsi.log
# Control sockets of this test's servers, and what they keep; no others.
export XDG_RUNTIME_DIR=$tmpdir
export STATE_DIRECTORY=$tmpdir/state
# A sanitizer's report fails the test, whichever process it is of and whether
# or not its status is looked at.
_san="log_path=$tmpdir/sanitizer:exitcode=66"
export ASAN_OPTIONS="$_san" UBSAN_OPTIONS="print_stacktrace=1:$_san"
export LSAN_OPTIONS="suppressions=$testsdir/lsan.supp:print_suppressions=0"
export TSAN_OPTIONS="$_san:suppressions=$testsdir/tsan.supp"

# background LOG COMMAND...: start it so that it cannot outlive this shell; $!
# is its pid.  Not in a subshell: that would be the parent whose death kills.
background () {
  local log=$1; shift
  setpriv --pdeathsig KILL "$@" </dev/null >>"$log" 2>&1 &
}
is_running () { # PID: false for a zombie too
  local stat
  # Not $(<FILE): bash 5.2 ends the script when there is no FILE.
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) }
  [ "${stat:0:1}" != Z ]
}
gone () { ! is_running "$1"; }
# end_process PID [SECONDS]: TERM, and KILL if that is not enough; false then.
end_process () {
  is_running "$1" || return 0
  kill -CONT "$1" 2>/dev/null
  kill -TERM "$1" 2>/dev/null
  wait_until "${2:-5}" gone "$1" && return 0
  kill -KILL "$1" 2>/dev/null
  return 1
}

#---- waiting and asserting ----------------------------------------------------
now_ms () { local t=$EPOCHREALTIME; echo "$((${t/./} / 1000))"; }
# wait_until SECONDS COMMAND...: false when it did not succeed in that time.
wait_until () {
  local end=$(($(now_ms) + $1 * slow * 1000)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$(now_ms)" -lt "$end" ] || return 1
    sleep 0.1
  done
}
assert_equal () { # WHAT EXPECTED FOUND
  [ "$2" = "$3" ] || fail "$1:"$'\n'"  expected: $2"$'\n'"  found:    $3"
}
assert_match () { # WHAT REGEX TEXT
  [[ $3 =~ $2 ]] || fail "$1:"$'\n'"  expected a match of: $2"$'\n'"  found: $3"
}
assert_no_match () { # WHAT REGEX TEXT
  [[ ! $3 =~ $2 ]] || fail "$1:"$'\n'"  must not match: $2"$'\n'"  found: $3"
}
assert_less () { # WHAT A B: A < B, integers
  [ "$2" -lt "$3" ] || fail "$1: $2 is not less than $3"
}
assert_fails () { # COMMAND...: ends by itself, and not with success
  local status=0
  "$@" >"$tmpdir/assert_fails.out" 2>&1 || status=$?
  [ "$status" != 0 ] || fail "succeeded, but must not: $*"$'\n'"$(<"$tmpdir/assert_fails.out")"
  [ "$status" -lt 124 ] || fail "ended with status $status: $*"
}
assert_same_files () { # A B
  cmp "$1" "$2" || fail "$1 and $2 differ"
}

# The functions of the target and of the network.
# shellcheck source=functions-net.sh
. "$testsdir/functions-net.sh"
# shellcheck source=functions-tgt.sh
. "$testsdir/functions-tgt.sh"

#---- the server under test ----------------------------------------------------
sock=$tmpdir/nbd.sock
uri="nbd+unix:///?socket=$sock"
mpiscsi_pid=
_log_from=1

# The command line in front of every nbdkit.  Initiator names differ, as they
# would between hosts, unless the test gives its own.
_nbdkit=("${NBDKIT:-nbdkit}")
valgrind=()                     # in front of the command
if [ -n "${VALGRIND:-}" ]; then
  requires valgrind --version
  valgrind=(valgrind -q --suppressions="$testsdir/valgrind.supp" --leak-check=full --show-leak-kinds=definite
            --errors-for-leak-kinds=definite --error-exitcode=119 --log-file="$tmpdir/sanitizer.%p")
  _nbdkit=("${valgrind[@]}" "${_nbdkit[@]}")
fi
if [ -n "${MPISCSI_PRELOAD:-}" ]; then
  _nbdkit=(env "LD_PRELOAD=$MPISCSI_PRELOAD" "${_nbdkit[@]}")
fi

# Our own NBD front end, or nbdkit with the plugin.
front_end=${FRONT_END:-own}
own_command=${MPISCSI_COMMAND:-$top_builddir/server/mpiscsi}
is_own () { [ "$front_end" = own ]; }
# needs_nbdkit: what this test is about is nbdkit's.
needs_nbdkit () { front_end=nbdkit; }
# preload LIBRARY [NAME=VALUE]...: into the server, after a sanitizer's.
preload () {
  local rest=("${_nbdkit[@]}") library=$1; shift
  # The inner one of two would win.
  [ -z "${MPISCSI_PRELOAD:-}" ] || rest=("${rest[@]:2}")
  _nbdkit=(env "LD_PRELOAD=${MPISCSI_PRELOAD:+$MPISCSI_PRELOAD:}$library" "$@" "${rest[@]}")
}
# What mpiscsi serve gets besides.
own_extra=()
# own_arguments [NBDKIT OPTION | PARAMETER]...: sets own_args, the same for
# mpiscsi serve; false if there is something that only nbdkit can do.
own_arguments () {
  own_args=()
  while [ $# != 0 ]; do
    case $1 in
      -v) own_args+=(-v) ;;
      -r) own_args+=(read_only=yes) ;;
      -t) own_args+=("threads=$2"); shift ;;
      -i) own_args+=("address=$2"); shift ;;
      -p) own_args+=("port=$2"); shift ;;
      --tls=*) own_args+=("tls=${1#*=}") ;;
      --tls-psk=*) own_args+=("tls_psk=${1#*=}") ;;
      --tls-certificates=*) own_args+=("tls_certificates=${1#*=}") ;;
      --tls-verify-peer) own_args+=(tls_verify_peer=yes) ;;
      "$plugin") ;;
      -*) return 1 ;;
      *) own_args+=("$1") ;;
    esac
    shift
  done
}
# launch_mpiscsi [NBDKIT OPTION | PARAMETER]...: start, do not wait.
launch_mpiscsi () {
  requires_plugin
  rm -f "$sock" "$tmpdir/nbdkit.pid"
  mark_log
  if is_own && own_arguments "$@"; then
    background "$mpiscsi_log" "${client_ns[@]}" "${_nbdkit[@]:0:${#_nbdkit[@]}-1}" "$own_command" serve front_end=own "unix_socket=$sock" \
               "pid_file=$tmpdir/nbdkit.pid" "${own_extra[@]}" "${own_args[@]}"
  else
    background "$mpiscsi_log" "${client_ns[@]}" "${_nbdkit[@]}" -f -U "$sock" \
               --pidfile "$tmpdir/nbdkit.pid" "$plugin" "$@"
  fi
  mpiscsi_pid=$!
}
_mpiscsi_is_up () { [ -s "$tmpdir/nbdkit.pid" ] || gone "$mpiscsi_pid"; }
# start_mpiscsi [NBDKIT OPTION | PARAMETER]...: start, wait until it serves.
start_mpiscsi () {
  launch_mpiscsi "$@"
  wait_until 20 _mpiscsi_is_up || fail "nbdkit does not serve after 20 s"
  if gone "$mpiscsi_pid"; then
    wait "$mpiscsi_pid" || fail "nbdkit ended with status $?: $*"
    fail "nbdkit ended at once: $*"
  fi
}
# stop_mpiscsi [SECONDS]: must end by itself, with status 0 (sanitizers and
# valgrind report through it).
stop_mpiscsi () {
  local pid=$mpiscsi_pid status=0
  [ -n "$pid" ] || return 0
  mpiscsi_pid=
  is_running "$pid" && kill -TERM "$pid"
  if ! wait_until "${1:-5}" gone "$pid"; then
    kill -KILL "$pid"
    echo "FAIL: nbdkit did not end within ${1:-5} s of SIGTERM"
    return 1
  fi
  wait "$pid" || status=$?
  [ "$status" = 0 ] || { echo "FAIL: nbdkit ended with status $status"; tail -n 40 "$mpiscsi_log"; return 1; }
}
cleanup_fn stop_mpiscsi 10

assert_start_fails () { # REGEX [NBDKIT OPTION | PARAMETER]...
  # nbdkit must refuse to start: a status that is an exit and not a signal or
  # our timeout, and exactly one error line, which matches.  $start_error has
  # all that it printed, $start_ms how long it took.
  local regex=$1 status=0 t0; shift
  requires_plugin
  local pattern='^nbdkit: \([^ ]*: \)\?error: '
  local start=("${_nbdkit[@]}" -f -U "$tmpdir/refuse.sock" "$plugin" "$@")
  if is_own && own_arguments "$@"; then
    pattern='^mpiscsi: \(error: \|[^w]\)'
    start=("${valgrind[@]}" "$own_command" serve front_end=own "unix_socket=$tmpdir/refuse.sock" "${own_args[@]}")
  fi
  t0=$(now_ms)
  timeout -k 5 "$((25 * slow))" "${client_ns[@]}" "${start[@]}" </dev/null >"$tmpdir/refuse.err" 2>&1 || status=$?
  start_ms=$(($(now_ms) - t0))
  start_error=$(<"$tmpdir/refuse.err")
  rm -f "$tmpdir/refuse.sock"
  [ "$status" != 0 ] || fail "nbdkit started and ended well with: $*"$'\n'"$start_error"
  [ "$status" -lt 119 ] || fail "nbdkit ended with status $status (124: still ran after 25 s) with: $*"$'\n'"$start_error"
  assert_equal "error lines of nbdkit $*"$'\n'"$start_error" 1 \
               "$(grep -c "$pattern" "$tmpdir/refuse.err" || :)"
  assert_match "error of nbdkit $*" "$regex" "$(grep "$pattern" "$tmpdir/refuse.err")"
  echo "ok: $(grep "$pattern" "$tmpdir/refuse.err")"
}

# mark_log: from here on wait_for_log and count_log see new lines only.
mark_log () {
  _log_from=1
  [ ! -f "$mpiscsi_log" ] || _log_from=$(($(wc -l <"$mpiscsi_log") + 1))
}
new_log () { tail -n "+$_log_from" "$mpiscsi_log"; }
count_log () { new_log | grep -Ec -- "$1" || :; }
_in_log () { [ "$(count_log "$1")" -gt 0 ]; }
wait_for_log () { # REGEX [SECONDS]
  wait_until "${2:-10}" _in_log "$1" ||
    fail "not logged within ${2:-10} s: $1"$'\n'"$(new_log | tail -n 30)"
}
assert_not_logged () { # REGEX
  [ "$(count_log "$1")" = 0 ] || fail "logged, but must not be: $1"$'\n'"$(new_log | grep -E -- "$1" | head)"
}
# A regular expression for just that text.
# shellcheck disable=SC2001
quote_re () { sed 's/[][\.*^$+?(){}|]/\\&/g' <<<"$1"; }
wait_path_down () { wait_for_log "Failing path $(quote_re "$1")(: |\$)" "${2:-10}"; }
wait_path_up () { # PORTAL [SECONDS]: the facts that administrators look for
  local re; re=$(quote_re "$1")
  wait_for_log "$re - [a-z]+ checker reports path is up\$" "${2:-10}"
  wait_for_log "$re: reinstated\$" 2
}

#---- I/O over NBD -------------------------------------------------------------
nbd_size () { nbdinfo --size "${1:-$uri}"; }

# fio_verify NAME [FIO OPTION]...: writes, and reads back and checks what was
# written (crc32c in every block), both all the time.  Prints one line; fails
# on any error.  $tmpdir/NAME.json has the details.
fio_verify () {
  local name=$1 status=0; shift
  timeout -k 5 "$((${fio_limit:-45} * slow))" \
  fio --name="$name" --ioengine=nbd --uri="$uri" --rw=randwrite --bs=4k --iodepth=16 \
      --verify=crc32c --verify_fatal=1 --verify_state_save=0 --verify_backlog=128 --do_verify=1 \
      --randrepeat=0 --output-format=json --output="$tmpdir/$name.json" \
      "$@" >"$tmpdir/$name.fio.log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    echo "fio $name ended with status $status"
    tail -n 20 "$tmpdir/$name.fio.log"
    return 1
  fi
  python3 - "$tmpdir/$name.json" <<'PY'
import json, sys
text = open(sys.argv[1]).read()
job = json.loads(text[text.index("{"):])["jobs"]
r = [j["read"] for j in job]; w = [j["write"] for j in job]
stall = max(x["clat_ns"]["max"] for x in r + w) / 1e6
err = sum(j["error"] for j in job) + sum(j.get("total_err", 0) for j in job)
ios = [sum(x["total_ios"] for x in y) for y in (r, w)]
print("fio %s: errors %d, reads %d, writes %d, longest stall %d ms"
      % (job[0]["jobname"], err, ios[0], ios[1], stall))
if err or not ios[0] or not ios[1]:
    sys.exit("fio: errors, or nothing was read back")
PY
}
# fio_start NAME [FIO OPTION]...: the same in the background; fio_finish waits.
fio_start () {
  _fio_name=$1
  fio_verify "$@" >"$tmpdir/$1.out" 2>&1 &
  fio_pid=$!
  cleanup_fn _fio_kill "$fio_pid"
}
_fio_kill () { pkill -TERM -P "$1" 2>/dev/null || :; }
fio_finish () {
  local status=0
  wait "$fio_pid" || status=$?
  cat "$tmpdir/$_fio_name.out"
  [ "$status" = 0 ] || fail "I/O errors reached the client"
}
assert_fio_runs () { is_running "$fio_pid" || { cat "$tmpdir/$_fio_name.out"; fail "fio ended too early"; }; }
fio_stall_ms () { # NAME: the longest time one request took
  sed -n 's/.*longest stall \([0-9]*\) ms$/\1/p' "$tmpdir/$1.out"
}
