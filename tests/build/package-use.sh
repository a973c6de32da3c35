#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# For `tests/fresh RELEASE deb`, in another bare system that systemd has booted:
# the packages of the folder $1 are installed, started, upgraded and removed.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
fail () {
  echo "FAIL: $*"
  journalctl --no-pager -n 30 -u mpiscsi -u mpiscsi@second || :
  exit 1
}
equal () { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }
say () { echo "--- $*"; }
install () { apt-get -qy install --no-install-recommends "$@" >/tmp/apt.log 2>&1 || { tail -n 20 /tmp/apt.log; fail "apt-get install $*"; }; }

say "installed: neither enabled nor started, a user of its own"
install "$1"/mpiscsi_*-1_*.deb
equal enabled disabled "$(systemctl is-enabled mpiscsi || :)"
equal active inactive "$(systemctl is-active mpiscsi || :)"
equal "state directory" "700 mpiscsi" "$(stat -c '%a %U' /var/lib/mpiscsi)"
equal "configurations" "750 root mpiscsi" "$(stat -c '%a %U %G' /etc/mpiscsi)"
nbdkit mpiscsi --version
mpiscsi --version
[ -e /usr/share/doc/mpiscsi/mpiscsi.conf ] || fail "no example"
for page in man1/nbdkit-mpiscsi-plugin.1 man5/mpiscsi.conf.5 man8/mpiscsi.8; do
  [ -s /usr/share/man/$page.gz ] || fail "no page $page"
done

install bash-completion tgt libnbd-bin
bash -c '. /usr/share/bash-completion/bash_completion
  if declare -F _comp_load >/dev/null; then _comp_load mpiscsi; else _completion_loader mpiscsi || [ $? = 124 ]; fi
  complete -p mpiscsi' || fail "bash does not find the completion"

say "started"
systemctl start tgt || systemctl status --no-pager tgt
truncate -s 64M /srv/disk
iqn=iqn.2026-11.example:data
tgtadm --lld iscsi --op new --mode target --tid 1 -T $iqn
tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b /srv/disk
tgtadm --lld iscsi --op bind --mode target --tid 1 -I ALL
configure () { printf 'iscsi {\n\tportals "127.0.0.1, 127.0.0.2"\n\tdiscovery no\n\ttarget %s\n}\ndefaults {\n\ttrust_wwid yes\n}\n' $iqn; }
configure >/etc/mpiscsi.conf
mpiscsi check >/dev/null || fail "check"
systemctl enable --now mpiscsi || fail "it does not start"
equal active active "$(systemctl is-active mpiscsi)"
uri='nbd+unix:///?socket=/run/mpiscsi/mpiscsi.nbd'
equal size $((64 << 20)) "$(nbdinfo --size "$uri")"
both () { [ "$(mpiscsi -ll | grep -c 'active ready')" = 2 ]; }
for _ in $(seq 50); do if both; then break; fi; sleep 0.2; done
both || fail "paths: $(mpiscsi -ll)"
equal user mpiscsi "$(stat -c %U "/proc/$(systemctl show -P MainPID mpiscsi)")"
head -c 1M /dev/urandom >/tmp/data
nbdcopy --flush /tmp/data "$uri"
same () { nbdcopy "$uri" /tmp/copy && cmp -n 1048576 /tmp/copy /tmp/data; }
same || fail "what was written is not read"
systemctl reload mpiscsi || fail "reload"

say "a second one, beside it"
configure >/etc/mpiscsi/second.conf
systemctl start mpiscsi@second || fail "mpiscsi@second"
equal sockets "mpiscsi.nbd mpiscsi.sock second.nbd second.sock" "$(cd /run/mpiscsi; echo *)"
systemctl reload mpiscsi@second || fail "reload of the second"
systemctl stop mpiscsi@second

say "upgraded: it goes on, until it is restarted"
pid=$(systemctl show -P MainPID mpiscsi)
install "$1"/mpiscsi_*-2_*.deb
equal version 2 "$(dpkg-query -W -f '${Version}' mpiscsi | sed 's/.*-//')"
equal "process" "$pid" "$(systemctl show -P MainPID mpiscsi)"
same || fail "after the upgrade"
systemctl restart mpiscsi || fail "restart"
[ "$(systemctl show -P MainPID mpiscsi)" != "$pid" ] || fail "not restarted"
same || fail "after the restart"

say "removed, purged"
apt-get -qy remove mpiscsi >/dev/null
equal active inactive "$(systemctl is-active mpiscsi || :)"
[ ! -e /usr/bin/mpiscsi ] || fail "still there"
[ -d /var/lib/mpiscsi ] || fail "the state is gone, too early"
apt-get -qy purge mpiscsi >/dev/null
[ ! -e /var/lib/mpiscsi ] || fail "the state is still there"
[ -e /etc/mpiscsi.conf ] || fail "the user's file is gone"
left=$(find / -xdev ! -path "$1/*" -name '*mpiscsi*' ! -path '/proc/*' ! -path '/root/*' ! -path '/tmp/*' ! -path '/etc/mpiscsi*' \
  ! -path '/var/lib/systemd/*' ! -path '/run/*' ! -path '/var/log/*' ! -path '/sys/*')
equal "left over" "" "$left"
echo "the package: installed, started, upgraded and removed"
