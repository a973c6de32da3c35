# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by test-evil-*.sh: a group of hostile roles, played by evil.py.
TEST_TIMEOUT=${TEST_TIMEOUT:-120}  # 15 s of it, on a machine that has nothing else to do
# shellcheck source=functions.sh
. "$(dirname "${BASH_SOURCE[0]}")/functions.sh"
# shellcheck source=functions-fake.sh
. "$testsdir/functions-fake.sh"
requires /usr/bin/python3 -c 'import nbd'

# play GROUP [ROLE...]
play () {
  local pid
  requires_plugin
  [ -x "$fake_target" ] || fail "there is no $fake_target: run make check"
  FAKE_TARGET=$fake_target PLUGIN=$plugin NBDKIT=$(printf '%q ' "${_nbdkit[@]}") JOBS=${JOBS:-5} \
    background "$tmpdir/evil.log" /usr/bin/python3 "$testsdir/fake/evil.py" "$tmpdir" "$slow" "$@"
  pid=$!
  if wait "$pid"; then
    tail -n 1 "$tmpdir/evil.log"
  else
    # Every failed run with what the server said.
    grep -v '^ok: ' "$tmpdir/evil.log" | tail -n 150
    fail "evil.py $*"
  fi
}
