#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# mpiscsi persist: two gateways in front of one LUN register, reserve and fence
# each other, by the calls that pacemaker's fence_mpath makes; who was fenced
# gets errors until it is registered again; paths that come back are registered.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires nbdsh -c "import nbd"

simple_target 2 32M
mkdir -p "$MPISCSI_RUNTIME_DIR"
declare -A gateway_pid
# gateway NAME [PARAMETER]...: its NBD socket is NAME.nbd, its log NAME.log.
gateway () {
  local name=$1; shift
  rm -f "$tmpdir/$name.nbd" "$tmpdir/$name.pid"
  background "$tmpdir/$name.log" "${_nbdkit[@]}" -f -U "$tmpdir/$name.nbd" --pidfile "$tmpdir/$name.pid" "$plugin" \
    "control=$MPISCSI_RUNTIME_DIR/$name.sock" "initiator-name=iqn.2026-11.example.mpiscsi:$name" \
    "portals=$(join_portals "${portal[@]}")" discovery=off "target=$iqn" lun=1 polling-interval=1 rr-min-io=1 "$@"
  gateway_pid[$name]=$!
  cleanup_fn end_process "${gateway_pid[$name]}"
  wait_until 20 test -s "$tmpdir/$name.pid" || fail "no gateway $name: $(<"$tmpdir/$name.log")"
  wait_until 10 two_paths "$name" || fail "gateway $name: $(mpiscsi -ll -s "$MPISCSI_RUNTIME_DIR/$name.sock")"
}
two_paths () { [ "$(mpiscsi -ll -s "$MPISCSI_RUNTIME_DIR/$1.sock" | grep -Ec 'active ready|failed fenced')" = 2 ]; }
log_of () { grep -Ec -- "$2" "$tmpdir/$1.log" || :; }
# at NAME OPTION...: mpathpersist on that host.
at () { local name=$1; shift; mpiscsi persist --socket "$MPISCSI_RUNTIME_DIR/$name.sock" "$@"; }
# at_fails STATUS NAME OPTION...
at_fails () {
  local expected=$1 status=0; shift
  at "$@" >"$tmpdir/at.out" 2>&1 || status=$?
  assert_equal "status of $*: $(<"$tmpdir/at.out")" "$expected" "$status"
}
# io NAME EXPECTED: four writes and reads, through both paths.
io () {
  local got
  got=$(nbdsh -u "nbd+unix:///?socket=$tmpdir/$1.nbd" -c '
def outcome(f):
    try:
        f()
    except nbd.Error as e:
        return e.errno
    return "good"
got = {outcome(lambda: h.pwrite(b"x" * 512, 0)) for i in range(4)}
got |= {outcome(lambda: h.pread(512, 0)) for i in range(4)}
print(*sorted(got))')
  assert_equal "I/O of $1" "$2" "$got"
}
# The calls of fence_mpath, and what it reads in their output.
register_dev () { at "$1" -o --register --param-sark="$2" -d "$w"; }
reserve_dev () { at "$1" -o --reserve --prout-type=5 --param-rk="$2" -d "$w"; }
keys () { at "$1" -i -k -d "$w" | grep -oP '\s+0x\K(\S+)' | sort -u | tr '\n' ' '; }
holder () { at "$1" -i -r -d "$w" | grep -ioP '\s+key\s*=\s*0x\K(\S+)'; }

say "nobody is registered"
gateway a
gateway b
w=$(mpiscsi -s "$MPISCSI_RUNTIME_DIR/a.sock" show maps | awk 'NR == 2 { print $3 }')
assert_equal "keys" "" "$(keys a)"
assert_match "reservation" 'there is NO reservation held' "$(at a -i -r "$w")"

say "unfencing: both register and one reserves; both write, on both paths"
register_dev a a1
assert_match "keys" 'PR generation=0x[0-9a-f]+, .2 registered reservation keys follow:' "$(at a -i -k "$w")"
register_dev b b1
reserve_dev a a1
assert_equal "keys" "a1 b1 " "$(keys b)"
assert_equal "holder" a1 "$(holder b)"
assert_match "reservation" 'scope = LU_SCOPE, type = Write Exclusive, registrants only' "$(at b -i -r "$w")"
io a good
io b good
at_fails 11 b -o --register --param-sark=b2 -d "$w"           # without the old key
at_fails 11 b -o --reserve --prout-type=6 --param-rk=b1 -d "$w"
at_fails 0 b -i -c -d "$w"
assert_match "capabilities" 'Write Exclusive, registrants only: 1' "$(<"$tmpdir/at.out")"

say "a path that comes back is registered before it is used"
kill_tcp "${portal[1]}" || :
wait_until 10 two_paths a; wait_until 10 two_paths b
io a good
io b good

say "a fences b: errors there, at once, until b is registered again; a writes"
at a -o --preempt --prout-type=5 --param-rk=a1 --param-sark=b1 -d "$w"
assert_equal "keys" "a1 " "$(keys a)"
wait_until 5 grep -q 'fenced: the reservation key 0xb1' "$tmpdir/b.log" || fail "b does not know"
io b EPERM
io a good
kill -TERM "${gateway_pid[b]}"
wait "${gateway_pid[b]}" || :
gateway b
io b EPERM
assert_equal "keys" "a1 " "$(keys b)"
register_dev b b1
wait_until 5 two_paths b
ready () { [ "$(mpiscsi -ll -s "$MPISCSI_RUNTIME_DIR/b.sock" | grep -c 'active ready')" = 2 ]; }
wait_until 10 ready || fail "b is not back: $(mpiscsi -ll -s "$MPISCSI_RUNTIME_DIR/b.sock")"
io b good

say "and b fences a"
at b -o --preempt --prout-type=5 --param-rk=b1 --param-sark=a1 -d "$w"
wait_until 5 grep -q 'fenced: the reservation key 0xa1' "$tmpdir/a.log" || fail "a does not know"
io a EPERM
io b good
assert_equal "holder" b1 "$(holder a)"

say "what tgt does not know is said"
at_fails 5 b -o --preempt-abort --prout-type=5 --param-rk=b1 --param-sark=a1 -d "$w"
at_fails 5 b -i -s -d "$w"

say "released, though the nexus that holds it is gone; another key, none at all"
for p in "${portal[@]}"; do kill_tcp "$p" || :; done
wait_until 10 ready || fail "b is not back"
assert_equal "holder" b1 "$(holder b)"
n=$(log_of b 'fenced: the reservation key')
at b -o --release --prout-type=5 --param-rk=b1 -d "$w"
assert_equal "holder" "" "$(holder b || :)"
io b good
wait_until 10 ready || fail "b is not whole"
assert_equal "fenced" "$n" "$(log_of b 'fenced: the reservation key')"
at b -o --register --param-rk=b1 --param-sark=b2 "$w"
assert_equal "keys" "b2 " "$(keys b)"
at a -o --register-ignore --param-sark=0 "$w"
wait_until 10 two_paths a
io a good
at b -o -C --param-rk=b2 "$w"
assert_equal "keys" "" "$(keys b)"
kill_tcp "${portal[0]}" || :
wait_until 10 two_paths b
io b good
assert_equal "keys" "" "$(keys b)"
assert_equal "files" 0 "$(find "$STATE_DIRECTORY" -name 'key-*' | wc -l)"

say "mpathpersist by its name, a device of the kernel, mistakes"
ln -s "$command" "$tmpdir/mpathpersist"
mkdir -p "$tmpdir/root/sys/block/nbd0" "$tmpdir/root/sys/block/nbd1" "$tmpdir/root/proc/77"
echo 77 >"$tmpdir/root/sys/block/nbd0/pid"
printf '%s\0' nbd-client -unix "$tmpdir/a.nbd" -N "$w" /dev/nbd0 >"$tmpdir/root/proc/77/cmdline"
for d in nbd0 nbd1 sda; do : >"$tmpdir/$d"; done
persist () { MPISCSI_SYSTEM_ROOT=$tmpdir/root "$tmpdir/mpathpersist" --socket "$MPISCSI_RUNTIME_DIR/a.sock" "$@"; }
assert_match "by device" 'PR generation' "$(persist -i -k -d "$tmpdir/nbd0")"
echo "$w" >"$tmpdir/root/sys/block/nbd1/backend"
assert_match "by backend" 'PR generation' "$(persist -i -k "$tmpdir/nbd1")"
say_status () { local s=0; "$@" >/dev/null 2>&1 || s=$?; echo "$s"; }
assert_equal "another device" 12 "$(say_status persist -i -k "$tmpdir/sda")"
assert_equal "in and out" 1 "$(say_status persist -i -o -k "$w")"
assert_equal "no key" 1 "$(say_status persist -o --register --param-sark=xyz "$w")"
assert_equal "no type" 1 "$(say_status persist -o --reserve --param-rk=1 "$w")"
