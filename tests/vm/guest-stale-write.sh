#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# In the guest of tests/vm/run: in-doubt write fencing with the kernel's client
# (nbd) and the kernel's target (LIO), one portal group and two.  The proxy
# holds a write back on path A, as in tests/fence/test-stale-write.sh.  Started by
# tests/vm/test-vm-stale-write.sh.
# shellcheck source=guest-lib.sh
. /guest-lib.sh
# shellcheck source=lio.sh
. /lio.sh

size=$((64 << 20)) disk=/run/lun/disk
lio_portals=(127.0.0.1:3260 127.0.0.2:3260 127.0.0.1:3261 127.0.0.2:3261)
block=4096
IQN=$lio_iqn
mkdir -p /run/lun
mount -t tmpfs -o size=50% tmpfs /run/lun
lio_start
lio_disk data "$disk" "$size"
modprobe nbd nbds_max=1
: >"$server_log"
head -c $block /dev/zero | tr '\0' o >/run/old
head -c $block /dev/zero | tr '\0' n >/run/new

proxy_pid=
# The portal group stays unknown, so that nothing but the lost portal itself will
# do (server/iscsi/portal-group.c).
start_proxy () { # TARGET-PORTAL-A TARGET-PORTAL-B: sets portals
  "$PROXY" --hide-group --control /run/proxy.sock --listen "127.0.0.1:0=$1" --listen "127.0.0.1:0=$2" \
    >/run/proxy.log 2>&1 &
  proxy_pid=$!
  wait_until 10 grep -q '^ready' /run/proxy.log || fail "no proxy"
  read -ra portals <<<"$(sed -n 's/^ready //p' /run/proxy.log)"
}
stop_proxy () { kill "$proxy_pid"; wait "$proxy_pid" || :; rm -f /run/proxy.sock; }
ctl () { "$PROXY" ctl /run/proxy.sock "$@" || fail "proxy: $*"; }
start () { # [PARAMETER]...
  mark_log
  start_server discovery=off rr-min-io=1 "$@"
  wait_for_log 20 'remaining active paths: 2$'
  attach /dev/nbd0
}
stop () { detach /dev/nbd0; stop_server; }

# put FILE: in the background, straight to the disk; $put_pid
put () {
  dd if="$1" of=/dev/nbd0 bs=$block seek=1 count=1 oflag=direct conv=notrunc status=none &
  put_pid=$!
}
done_within () { wait_until "$1" gone "$put_pid"; }
caught () { # The old write is held on A.
  local i
  ctl at "${portals[0]}" hold-write 8 8 >/dev/null
  for i in {1..40}; do
    put /run/old
    done_within 2 || break
    [ "$i" != 40 ] || fail "no write went to path A"
  done
}
# ..., A is dead, the write was sent again on B.
caught_and_resent () { # [REFUSE]
  caught
  [ -z "${1:-}" ] || ctl at "${portals[0]}" refuse on >/dev/null
  ctl at "${portals[0]}" cut rst client >/dev/null
  wait "$put_pid" || fail "the old write failed"
}
what_is_there () {
  local data
  data=$(dd if=/dev/nbd0 bs=$block skip=1 count=1 iflag=direct status=none | tr -d '\0' | head -c 1)
  case $data in
    o) echo old ;;
    n) echo new ;;
    *) echo other ;;
  esac
}
expect () { # WHAT
  local found
  sleep 0.5
  found=$(what_is_there)
  [ "$found" = "$1" ] || fail "the block has $found data, expected $1"
  say "  the block has $1 data"
}
# overwrite WAITS|AT-ONCE [REFUSE]: the client overwrites, and the old write
# comes 2 s later or as soon as that is done.
overwrite () {
  caught_and_resent "${2:-}"
  put /run/new
  if done_within 2; then
    [ "$1" = at-once ] || fail "the overwrite did not wait"
  else
    [ "$1" = waits ] || { done_within 10 || fail "the overwrite is not done after 12 s"; }
  fi
  released=$(ctl release 3000)
  say "  $released"
  [ -z "${2:-}" ] || ctl at "${portals[0]}" refuse off >/dev/null
  done_within 30 || fail "the overwrite was never done"
  wait "$put_pid" || fail "the overwrite failed"
}

lio_tpg 1 "${lio_portals[0]}" "${lio_portals[1]}"
lio_lun 1 1 data
lio_enable 1
start_proxy "${lio_portals[0]}" "${lio_portals[1]}"
say "one group, fence=off: the old write wins"
start fence=off
# (Not if A is logged in again before: this target ends the old session even
# though nobody waits for that.)
overwrite at-once refuse
[[ $released == *released=1\ good=1* ]] || fail "it was to come"
expect old
stop
say "one group, by default"
start
overwrite at-once
[[ $released == *released=0* ]] || fail "the target took a write of a session that it has ended"
expect new
wait_for_log 5 'session reinstated through'
wait_for_log 5 'lost session are fenced \(LOGICAL UNIT RESET\)'
stop
say "one group, fence=reinstate is enough for this target"
start fence=reinstate
overwrite at-once
expect new
wait_for_log 5 'lost session are fenced \(session reinstatement\)'
stop
stop_proxy
lio_disable 1

lio_tpg 2 "${lio_portals[2]}"
lio_tpg 3 "${lio_portals[3]}"
for t in 2 3; do
  lio_lun $t 1 data
  lio_enable $t
done
start_proxy "${lio_portals[2]}" "${lio_portals[3]}"
say "two groups, fence=off: the old write wins"
start fence=off
overwrite at-once refuse
expect old
stop
say "two groups: the overwrite waits until the old portal is back"
start
overwrite waits refuse
[[ $released == *released=1\ good=1* ]] || fail "the old session lives until then"
expect new
wait_for_log 5 "${portals[0]//./\\.}: session reinstated through ${portals[0]//./\\.}"
wait_for_log 5 'lost session are fenced \(LOGICAL UNIT RESET\)'
stop
say "two groups, the old portal is back at once"
start
overwrite at-once
expect new
stop
[ "$(count_log 'gave up fencing')" = 0 ] || fail "something was fenced by time alone"
assert_no_io_errors

# The client is told of it, and connects again.
overwrite_after_kill () { # [PARAMETER]...
  start "$@"
  caught
  kill -KILL "$server_pid"
  wait "$server_pid" || :
  # The kernel would keep the write for a new connection, and that is not what
  # this client does.
  nbd-client -d /dev/nbd0 >>/run/nbd-client.log 2>&1 || :
  done_within 20 || fail "the old write is not given up"
  wait "$put_pid" || :
  wait_until 20 has_no_size /dev/nbd0 || fail "/dev/nbd0 is still there"
  start "$@"
  put /run/new
  done_within 20 || fail "the overwrite is not done after 20 s"
  wait "$put_pid" || fail "the overwrite failed"
  released=$(ctl release 3000)
  say "  $released"
}
say "two groups, the server is killed, fence=off: the old write wins"
overwrite_after_kill fence=off
[[ $released == *released=1\ good=1* ]] || fail "it was to come"
expect old
stop
say "two groups, the server is killed, by default"
overwrite_after_kill
[[ $released == *released=0* ]] || fail "the target took a write of a session that it has ended"
expect new
wait_for_log 5 'a server before was killed while it had 2 sessions here'
wait_for_log 5 'server before: unanswered writes of the lost session are fenced \(LOGICAL UNIT RESET\)'
stop
stop_proxy
say "all passed"
