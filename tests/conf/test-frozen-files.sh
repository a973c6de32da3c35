#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The disk with the bindings file, or with the configuration, hangs while we look
# into it: clients are served all the same, and the control socket answers; when
# it goes on the map has its friendly name, and the new configuration is in force.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires nbdsh -c "import nbd"
requires command -v "${CC:-cc}"

frozen=$tmpdir/frozen
mkdir "$frozen"
"${CC:-cc}" -O2 -Wall -Werror -shared -fPIC -o "$tmpdir/frozen-files.so" \
  "$testsdir/fake/frozen-files.c" -ldl || fail "cannot compile frozen-files.c"
simple_target 2 32M
conf () { # RR_MIN_IO
  cat >"$tmpdir/mpiscsi.conf" <<XX
iscsi {
	portals $(join_portals "${portal[@]}")
}
defaults {
	polling_interval 1
	user_friendly_names yes
	rr_min_io $1
}
XX
}
served () { timeout 15 nbdsh -u "$uri" -c 'h.pwrite(b"x" * 4096, 0); assert h.pread(4096, 0)[:1] == b"x"'; }
preload "$tmpdir/frozen-files.so" "FROZEN_FILES=$frozen"
hangs () { [ -e "$frozen/$1.hangs" ]; }

say "a new name cannot be written"
conf 10
: >"$frozen/bindings"           # hangs for who wants to write
start_mpiscsi config="$tmpdir/mpiscsi.conf"
wait_until 10 hangs bindings || fail "nobody has looked into the bindings file"
served || fail "I/O hangs with the bindings file"
assert_match "the topology" "^$wwid map-0" "$(mpiscsi -ll)"
wait_for_log "$wwid: no friendly name yet: the bindings file cannot be read or written in time" 6
rm "$frozen/bindings" "$frozen/bindings.hangs"
wait_for_log "$wwid: is now named mpatha\$" 5
assert_match "the topology" "^mpatha \($wwid\) map-0" "$(mpiscsi -ll)"
assert_match "bindings" "^mpatha $wwid\$" "$(<"$STATE_DIRECTORY/bindings")"

say "the configuration cannot be read again"
: >"$frozen/mpiscsi.conf"
conf 20
mpiscsi reconfigure >"$tmpdir/answer" 2>&1 &
client=$!
wait_until 10 hangs mpiscsi.conf || fail "nobody has read the configuration"
served || fail "I/O hangs with the configuration"
assert_match "the topology" "^mpatha " "$(mpiscsi -ll)"
assert_not_logged 'reconfigured by'
rm "$frozen/mpiscsi.conf"
wait "$client" || fail "reconfigure: $(<"$tmpdir/answer")"
assert_match "reconfigure" '^reconfigured' "$(<"$tmpdir/answer")"
wait_for_log 'reconfigured by the administrator' 1
stop_mpiscsi

say "after that it is known at the start"
start_mpiscsi config="$tmpdir/mpiscsi.conf"
assert_match "the topology" "^mpatha " "$(mpiscsi -ll)"
assert_not_logged 'is now named'
stop_mpiscsi
