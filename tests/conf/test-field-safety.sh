#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What others must not be able to do: forge log lines with the names that they
# send, steer what root writes by links in the state directory; and what must
# not take files away from the service: who only looks.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires nbdsh --version

simple_target 1 32M

say "a client's export name makes no line of its own, and no terminal escape"
start_mpiscsi portals="${portal[0]}"
assert_fails python3 - "$sock" <<'PY'
import nbd, sys
h = nbd.NBD()
h.set_export_name("x'\nmpiscsi: iscsi_data: Failing path 10.0.0.1:3260: forged\x1b[2J \u009b2J \u202e")
h.connect_unix(sys.argv[1])
PY
wait_for_log "no export is named 'x'\\\\x0ampiscsi: iscsi_data: Failing path" 2
assert_not_logged '^mpiscsi: iscsi_data'
[ "$(new_log | LC_ALL=C tr -d '\n\t -~' | wc -c)" = 0 ] || fail "not printable: $(new_log | cat -v)"
stop_mpiscsi

say "nor what is in a file, or on the command line"
printf 'iscsi {\n\tpor\033[2J\xff 10.0.0.1\n}\n' >"$tmpdir/odd.conf"
assert_fails mpiscsi check -c "$tmpdir/odd.conf"
[ "$(LC_ALL=C tr -d '\n -~' <"$tmpdir/assert_fails.out" | wc -c)" = 0 ] || fail "$(cat -v "$tmpdir/assert_fails.out")"
assert_start_fails 'x\\x1b\[2J' portals="${portal[0]}" lun=$'x\e[2J'

say "nobody can forget it: nbdkit prints names as they come"
assert_equal "users of nbdkit_error" "$top_srcdir/plugin/log-sink.c" \
  "$(grep -l 'nbdkit_error (' "$top_srcdir"/plugin/*.c)"

say "scan, discover and the trial at the start write nothing"
friendly=(user-friendly-names=yes)
state=$tmpdir/state
assert_match "scan" "^$wwid TEST" "$(mpiscsi scan "${portal[0]}" "${friendly[@]}")"
mpiscsi discover "${portal[0]}" "${friendly[@]}" >/dev/null
[ ! -e "$state/bindings" ] || fail "there is a bindings file"
rm -rf "$state"
mkdir "$state"
chown nobody "$tmpdir"             # nbdkit makes its pid file as that user
chown nobody "$state"
mpiscsi scan "${portal[0]}" "${friendly[@]}" >/dev/null
assert_equal "files after a scan by root" "" "$(ls "$state")"
start_mpiscsi -u nobody portals="${portal[0]}" "${friendly[@]}"
wait_for_log 'mpatha: remaining active paths: 1' 5
stop_mpiscsi
assert_equal "owner" nobody "$(stat -c %U "$state/bindings")"
assert_match "scan" "^mpatha \\($wwid\\) TEST" "$(mpiscsi scan "${portal[0]}" "${friendly[@]}")"
assert_equal "the file" "mpatha $wwid" "$(<"$state/bindings")"

say "a link there is not followed"
echo untouched >"$tmpdir/shadow"
rm -rf "$state"
mkdir "$state"
ln -s "$tmpdir/shadow" "$state/bindings"
start_mpiscsi portals="${portal[0]}" "${friendly[@]}"
wait_for_log "no friendly name: cannot open bindings file $state/bindings: is a symbolic link" 5
stop_mpiscsi
assert_equal "where it leads" untouched "$(<"$tmpdir/shadow")"
