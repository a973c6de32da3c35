#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# CHAP secrets, from a file of their own, from the configuration and from the
# command's terminal side, are in nothing that others see or keep: logs (with
# -v, at a wrong password, at a mistake in the file), ps, the environment, the
# control socket's answers, what mpiscsi prints, --dump-plugin, the state
# directory, and the names under which files are opened.
TEST_TIMEOUT=${TEST_TIMEOUT:-90}
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-cmd.sh
. "$testsdir/functions-cmd.sh"
requires nbdsh -c "import nbd"

# In four forms: as it is, in base64, in hex of both cases.
secrets=("s3cretOfTheHost" "s3cretOfTarget")
needles=()
for s in "${secrets[@]}"; do
  hex=$(printf '%s' "$s" | od -An -v -tx1 | tr -d ' \n')
  needles+=(-e "$s" -e "$(printf '%s' "$s" | base64)" -e "$hex" -e "${hex^^}")
done
seen=0
unseen () { # WHAT FILE...: no secret in any; files there must be
  local what=$1 f; shift
  for f; do
    [ "$(head -c 1 "$f" | wc -c)" = 1 ] || fail "$what: there is nothing in $f"
    if tr '\0' ' ' <"$f" | grep -aqF "${needles[@]}"; then
      fail "$what: a secret is in $f"$'\n'"$(tr '\0' ' ' <"$f" | grep -aF "${needles[@]}" | head -n 3)"
    fi
    seen=$((seen + 1))
  done
}
# Whatever it prints, and however it ends.
run_unseen () { # WHAT COMMAND...
  local what=$1; shift
  timeout 30 "$@" </dev/null >"$tmpdir/printed" 2>&1 || :
  unseen "$what" "$tmpdir/printed"
}
# The search finds one that is there.
printf 'x\0password=%s\0' "${secrets[1]}" >"$tmpdir/planted"
if (unseen planted "$tmpdir/planted") >/dev/null; then fail "a planted secret is not found"; fi

pick_portals 2
make_disk "$tmpdir/disk" 32M
start_tgt t "${portal[@]}"
tgt_target t 1
tgt_lun t 1 1 "$tmpdir/disk" vendor_id=TEST product_id=TESTDISK
tgt_account t 1 hostuser "${secrets[0]}"
tgt_account t 1 targetuser "${secrets[1]}" --outgoing
mkdir -m 700 "$tmpdir/private" "$tmpdir/state"
export STATE_DIRECTORY=$tmpdir/state
echo "${secrets[0]}" >"$tmpdir/private/host"
echo "${secrets[1]}" >"$tmpdir/private/target"

look () { # WHAT PID LOG
  local id
  nbdsh -u "$uri" -c 'h.pwrite(b"x" * 4096, 0); assert h.pread(4096, 0) == b"x" * 4096'
  unseen "$1: /proc" "/proc/$2/cmdline" "/proc/$2/environ"
  ps axeww -o pid,args >"$tmpdir/ps.out"
  unseen "$1: ps" "$tmpdir/ps.out"
  for id in topology maps paths sessions; do
    run_unseen "$1: show $id" "$command" show "$id"
    run_unseen "$1: show $id --json" "$command" show "$id" --json
  done
  run_unseen "$1: reconfigure" "$command" reconfigure
  run_unseen "$1: add" "$command" add "user:${portal[0]}"
  # Each verb there is, and rubbish, as bytes over the socket.
  for id in show paths sessions reconfigure settings options help dump; do
    printf '{"command":"%s","what":"settings"}\n' "$id"
  done >"$tmpdir/requests"
  timeout 10 socat -t 2 - "UNIX-CONNECT:$(ls "$MPISCSI_RUNTIME_DIR"/*.sock)" \
    <"$tmpdir/requests" >"$tmpdir/answers"
  unseen "$1: control socket" "$tmpdir/answers"
  lose_portal t "${portal[1]}"
  sleep 1
  tgt_add_portal t "${portal[1]}"
  unseen "$1: log" "$3"
}

say "parameters, with -v and -D"
start_mpiscsi -v portals="$(join_portals "${portal[@]}")" target="$iqn" user=hostuser \
  password=+"$tmpdir/private/host" mutual-user=targetuser mutual-password=+"$tmpdir/private/target" \
  user-friendly-names=yes polling-interval=1
look parameters "$mpiscsi_pid" "$mpiscsi_log"
stop_mpiscsi
: >"$mpiscsi_log"

say "a crash leaves no core"
cores () { find "$tmpdir/cores" -type f | wc -l; }
mkdir "$tmpdir/cores"
{ (cd "$tmpdir/cores" && ulimit -c unlimited && bash -c 'kill -ABRT $$'); } 2>/dev/null || :
if [ "$(cores)" = 1 ]; then
  rm "$tmpdir"/cores/*
  cd "$tmpdir/cores"
  ulimit -S -c unlimited
  start_mpiscsi portals="${portal[0]}" target="$iqn" user=hostuser password=+"$tmpdir/private/host" \
    mutual-user=targetuser mutual-password=+"$tmpdir/private/target"
  kill -ABRT "$mpiscsi_pid"
  { wait "$mpiscsi_pid"; } 2>/dev/null || :
  mpiscsi_pid=
  ulimit -S -c 0
  cd - >/dev/null
  assert_equal "core files" 0 "$(cores)"
  rm -f "$tmpdir/cores"/* "${MPISCSI_RUNTIME_DIR:?}"/*.sock
  : >"$mpiscsi_log"
else
  echo "no core files are written to the current folder here: left out"
fi

say "the configuration file, with the secrets in it"
conf () { # LINE...
  {
    printf 'iscsi {\n\tportals "%s"\n\ttarget %s\n\tuser hostuser\n\tmutual_user targetuser\n' \
      "$(join_portals "${portal[@]}")" "$iqn"
    printf '\t%s\n' "$@"
    printf '}\ndefaults {\n\tuser_friendly_names yes\n\tpolling_interval 1\n}\n'
  } >"$tmpdir/private/mpiscsi.conf"
}
inline=("password \"${secrets[0]}\"" "mutual_password ${secrets[1]}")
conf "${inline[@]}"
start_mpiscsi -v config="$tmpdir/private/mpiscsi.conf"
look file "$mpiscsi_pid" "$mpiscsi_log"
stop_mpiscsi
run_unseen check "$command" check -c "$tmpdir/private/mpiscsi.conf"
assert_match "check" 'is good' "$(<"$tmpdir/printed")"
run_unseen "serve -n" "$command" serve -n -c "$tmpdir/private/mpiscsi.conf"
run_unseen "scan" "$command" scan -c "$tmpdir/private/mpiscsi.conf"
assert_match "scan" TESTDISK "$(<"$tmpdir/printed")"
run_unseen "scan --json" "$command" scan --json -c "$tmpdir/private/mpiscsi.conf"
run_unseen "--dump-plugin" "${server_env[@]}" nbdkit --dump-plugin "$plugin" config="$tmpdir/private/mpiscsi.conf"
assert_match "--dump-plugin" 'mpiscsi_version=' "$(<"$tmpdir/printed")"

say "files of their own; mpiscsi serve"
conf "password_file $tmpdir/private/host" "mutual_password_file $tmpdir/private/target"
printf 'nbd {\n\tunix_socket %s\n}\n' "$sock" >>"$tmpdir/private/mpiscsi.conf"
background "$tmpdir/serve.log" "${server_env[@]}" "$command" serve -v -c "$tmpdir/private/mpiscsi.conf" "pid_file=$tmpdir/serve.pid"
pid=$!
cleanup_fn end_process "$pid"
wait_until 20 test -s "$tmpdir/serve.pid" || fail "it does not serve: $(tail "$tmpdir/serve.log")"
look serve "$pid" "$tmpdir/serve.log"
end_process "$pid" 10 || fail "it does not end"

say "refusals: a mistake in such a line, and passwords that are wrong"
plugin_says () { # WHAT REGEX [NBDKIT OPTION | PARAMETER]...
  local what=$1 regex=$2; shift 2
  rm -f "$tmpdir/refuse.sock"
  run_unseen "$what" "${server_env[@]}" nbdkit -v -f -U "$tmpdir/refuse.sock" "$plugin" "$@"
  assert_match "$what" "$regex" "$(<"$tmpdir/printed")"
}
mistake () { # LINE: check must refuse it, and say where
  conf "$1"
  run_unseen "mistake: ${1%% *}" "$command" check -c "$tmpdir/private/mpiscsi.conf"
  assert_match "mistake: ${1%% *}" 'mpiscsi\.conf:6: ' "$(<"$tmpdir/printed")"
  plugin_says "mistake: ${1%% *}" 'mpiscsi\.conf:6: ' config="$tmpdir/private/mpiscsi.conf"
}
mistake "pasword \"${secrets[0]}\""
mistake "password \"${secrets[0]}"
mistake "password ${secrets[0]} ${secrets[1]}"
mistake "password ${secrets[0]} }"
conf "password \"${secrets[1]}\"" "mutual_password ${secrets[1]}"
plugin_says "wrong password" '(CHAP|uthenticat|password)' config="$tmpdir/private/mpiscsi.conf"
conf "password \"${secrets[0]}\"" "mutual_password x${secrets[0]}"
plugin_says "wrong secret of the target" '(CHAP|uthenticat|password)' config="$tmpdir/private/mpiscsi.conf"
plugin_says "no user" user portals="${portal[0]}" target="$iqn" password=+"$tmpdir/private/host"

say "what is left on disk"
mapfile -t files < <(find "$tmpdir" -type f -size +0 -not -path "$tmpdir/private/*" -not -name 'tgt-t*' \
  -not -name disk -not -name planted)
unseen "files" "${files[@]}"
[ -s "$tmpdir/state/bindings" ] || fail "there is nothing in the state directory"
assert_less "places that were searched" 60 "$seen"
echo "$seen places searched"
