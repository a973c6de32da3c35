#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# As nobody, under the restrictions of the shipped unit, without a capability:
# I/O, a lost and a reinstated path, friendly names in the state directory, the
# control socket, the end.  No systemd runs here as process 1: the mounts are
# made by hand, the system call filter by under-unit.py from the unit's text.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
plain_build=1                   # the unit forbids what sanitizers need
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires_root
requires fio --version
requires unshare --mount true
[ -f "$top_builddir/conf/mpiscsi.service" ] || fail "there is no conf/mpiscsi.service: run make"

simple_target 2 32M
requires_kill_tcp "${portal[0]}"

# What the unit says, as far as it is files: all is read-only but RuntimeDirectory
# and StateDirectory; /tmp, /home and /root are empty.
chmod 755 "$tmpdir"
mkdir -p "$tmpdir/box/bin" "$tmpdir/box/run" "$tmpdir/box/state" "$tmpdir/box/etc"
cp "$command" "$tmpdir/box/bin/mpiscsi"
cp "$plugin" "$tmpdir/box/bin/mpiscsi.so"
cp "$testsdir/fake/under-unit.py" "$top_builddir/conf/mpiscsi.service" "$tmpdir/box/bin"
chmod 755 "$tmpdir"/box/bin/*
chown nobody:nogroup "$tmpdir/box/run" "$tmpdir/box/state"
chmod 750 "$tmpdir/box/run"
chmod 700 "$tmpdir/box/state"
cat >"$tmpdir/box/etc/mpiscsi.conf" <<XX
iscsi {
	portals $(join_portals "${portal[@]}")
}
defaults {
	polling_interval 1
	user_friendly_names yes
}
XX
chown root:nogroup "$tmpdir/box/etc/mpiscsi.conf"
chmod 640 "$tmpdir/box/etc/mpiscsi.conf"
cat >"$tmpdir/box/bin/enter" <<'XX'
#!/bin/bash
set -e
mount --rbind "$1" /mnt
shift
for dir in /tmp /home /root /run; do
  [ -d "$dir" ] && mount -t tmpfs -o mode=755 tmpfs "$dir"
done
mkdir /run/mpiscsi
mount --bind /mnt/run /run/mpiscsi
mount --bind /mnt/state /mnt/state
awk '{ print $5 }' /proc/self/mountinfo | while read -r at; do
  case $at in /run/mpiscsi|/mnt/state) continue ;; esac
  mount -o remount,bind,ro "$at" 2>/dev/null || :
done
umask 0027
cd /
exec setpriv --pdeathsig KILL --reuid nobody --regid nogroup --clear-groups --inh-caps=-all --bounding-set=-all \
  --no-new-privs /usr/bin/python3 /mnt/bin/under-unit.py /mnt/bin/mpiscsi.service "$@"
XX
chmod 755 "$tmpdir/box/bin/enter"
boxed=(unshare --mount --propagation private -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
       STATE_DIRECTORY=/mnt/state "$tmpdir/box/bin/enter" "$tmpdir/box")

say "the restrictions bite"
cat >"$tmpdir/box/bin/probe" <<'XX'
import ctypes, errno, mmap, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def refused(what, error, f):
    try:
        r = f()
        found = ctypes.get_errno() if isinstance(r, int) and r == -1 else 0
    except OSError as e:
        found = e.errno
    assert found == error, "%s: %s" % (what, os.strerror(found))
refused("/etc", errno.EROFS, lambda: open("/etc/x", "w"))
refused("/tmp", errno.EROFS, lambda: open("/tmp/x", "w"))
refused("netlink", errno.EAFNOSUPPORT, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
refused("packet", errno.EAFNOSUPPORT, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
refused("wx", errno.EPERM, lambda: mmap.mmap(-1, 4096, prot=7))
refused("unshare", errno.EPERM, lambda: libc.unshare(0x10000000))
refused("chown", errno.EPERM, lambda: libc.chown(b"/mnt/state", 65534, 65534))
refused("ptrace", errno.EPERM, lambda: libc.ptrace(0, 0, 0, 0))
refused("mount", errno.EPERM, lambda: libc.mount(b"x", b"/mnt", b"tmpfs", 0, 0))
socket.socket(socket.AF_INET6)
open("/run/mpiscsi/x", "w").close()
open("/mnt/state/x", "w").close()
os.unlink("/run/mpiscsi/x")
os.unlink("/mnt/state/x")
assert os.listdir("/tmp") == os.listdir("/root") == []
print("all refused")
XX
out=$("${boxed[@]}" /usr/bin/python3 /mnt/bin/probe 2>&1) || fail "the box: $out"
assert_equal "the box" "all refused" "$out"

say "serve"
sock=$tmpdir/box/run/mpiscsi.nbd
export MPISCSI_RUNTIME_DIR=$tmpdir/box/run
mark_log
background "$mpiscsi_log" "${boxed[@]}" /mnt/bin/mpiscsi serve --config=/mnt/etc/mpiscsi.conf
pid=$!
cleanup_fn end_process "$pid"
uri="nbd+unix:///mpatha?socket=$sock"
serves () { gone "$pid" || nbdinfo --size "$uri"; }
wait_until 20 serves || fail "it does not serve: $(tail "$mpiscsi_log")"
is_running "$pid" || fail "it ended at once: $(tail "$mpiscsi_log")"
assert_equal "size" $((32 << 20)) "$(nbd_size)"
for expected in 'Uid: 65534 65534 65534 65534' 'Gid: 65534 65534 65534 65534' 'Groups:' 'NoNewPrivs: 1' 'Seccomp: 2' \
    'CapInh: 0000000000000000' 'CapPrm: 0000000000000000' 'CapEff: 0000000000000000' \
    'CapBnd: 0000000000000000' 'CapAmb: 0000000000000000'; do
  assert_equal "/proc/PID/status" "$expected" \
               "$(tr -s '\t ' ' ' <"/proc/$pid/status" | sed -n "s/ *\$//; /^${expected%%:*}:/p")"
done
assert_equal "process" mpiscsi "$(<"/proc/$pid/comm")"

say "I/O with a path lost and back"
fio_start load --size=32M --time_based --runtime=8 --rate_iops=1000
sleep 1
lose_portal t "${portal[1]}"
wait_path_down "${portal[1]}" 10
wait_for_log 'remaining active paths: 1$' 2
sleep 1
assert_fio_runs
mark_log
tgt_add_portal t "${portal[1]}"
wait_path_up "${portal[1]}" 10
assert_fio_runs
fio_finish
wait_shown "mpatha ($wwid)"
wait_shown "${portal[1]} active ready running"
assert_match "verb" "^mpatha: " "$(mpiscsi disablequeueing mpatha)"

say "its files"
assert_match "bindings" "mpatha $wwid" "$(<"$tmpdir/box/state/bindings")"
assert_equal "control socket" "600 nobody" "$(stat -c '%a %U' "$tmpdir/box/run/mpiscsi.sock")"
as () { setpriv --reuid "$1" --regid "$2" --clear-groups "${@:3}"; }
assert_fails as daemon nogroup nbdinfo --size "$uri"
post=$(sed -n 's/^ExecStartPost=-//p' "$top_builddir/conf/mpiscsi.service")
# shellcheck disable=SC2086
as nobody nogroup ${post//\/run\/mpiscsi/$tmpdir/box/run}
assert_equal "size, by a member of the group" $((32 << 20)) "$(as daemon nogroup nbdinfo --size "$uri")"
assert_fails as daemon daemon nbdinfo --size "$uri"
assert_fails as daemon nogroup "$command" -ll
mark_log
end_process "$pid" 10 || fail "it does not end"
status=0; wait "$pid" || status=$?
assert_equal "status" 0 "$status"
assert_equal "errors in the log" "" "$(grep -i 'not permitted\|permission\|read-only' "$mpiscsi_log" || :)"
