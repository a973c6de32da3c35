# shellcheck shell=bash disable=SC2154,SC2094,SC2016
# SPDX-License-Identifier: BSD-3-Clause
# Sourced by tests/fresh, which has new_system and fail: conf/Containerfile and
# conf/mpiscsi-pod.yaml without a container engine.

# words '["a", "b"]': a line for each.
words () { tr -d '[]"' <<<"$1" | tr ',' '\n' | sed 's/^ *//'; }
# stage_run COMMAND: as root, as RUN does it.
stage_run () {
  echo "    RUN $1"
  chroot "$tmp/root" /usr/bin/env -i PATH="$image_path" HOME=/root /bin/sh -c "cd $workdir && $1" \
    </dev/null >"$tmp/run.log" 2>&1 || { tail -n 30 "$tmp/run.log"; fail "RUN $1"; }
}
image_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Only what that file uses.  Sets image_env, image_user, entrypoint, cmd; the
# last stage is in $tmp/root.
build_image () {
  local keyword rest from to
  image_env=() image_user='' entrypoint=() cmd=()
  while read -r keyword rest; do
    case $keyword in
      '' | '#'*) ;;
      FROM)
        [[ $rest == docker.io/library/debian:"$release"-slim* ]] || fail "Containerfile: $rest is not $release"
        if mountpoint -q "$tmp/root"; then      # what later stages take of it
          sed -n 's/^COPY --from=build \([^ ]*\) .*/.\1/p' "$top/conf/Containerfile" |
            tar -C "$tmp/root" -T - -cf "$tmp/stage.tar"
          mkdir -p "$tmp/stage"
          tar -C "$tmp/stage" -xf "$tmp/stage.tar"
        fi
        new_system
        workdir=/ ;;
      COPY)
        read -r from to <<<"${rest#--from=build }"
        if [ "$from" = . ]; then
          mkdir -p "$tmp/root$to"
          tar -C "$tmp/root$to" --no-same-owner -xf "$tmp/clone.tar"
        elif [ -d "$tmp/stage$from" ]; then
          cp -a "$tmp/stage$from/." "$tmp/root$to"
        else
          cp -a "$tmp/stage$from" "$tmp/root$to"
        fi ;;
      WORKDIR) workdir=$rest ;;
      RUN) stage_run "$rest" ;;
      ENV) image_env+=("$rest") ;;
      USER) image_user=$rest ;;
      ENTRYPOINT) mapfile -t entrypoint < <(words "$rest") ;;
      CMD) mapfile -t cmd < <(words "$rest") ;;
      *) fail "Containerfile: $keyword is not known here" ;;
    esac
  done <"$top/conf/Containerfile"
}

# in_container COMMAND...: as the pod's user, without any capability.
in_container () {
  chroot "$tmp/root" /usr/bin/env -i PATH="$image_path" HOME=/ "${image_env[@]}" "${pod_env[@]}" \
    setpriv --reuid "${image_user%:*}" --regid "${image_user#*:}" --clear-groups \
    --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
}
start_pod () {
  unshare --pid --fork --kill-child bash -c '
    mount -t proc proc "$1/proc"; shift; exec "$@"' sh "$tmp/root" \
    chroot "$tmp/root" /usr/bin/env -i PATH="$image_path" HOME=/ "${image_env[@]}" "${pod_env[@]}" \
    setpriv --reuid "${image_user%:*}" --regid "${image_user#*:}" --clear-groups \
    --bounding-set=-all --inh-caps=-all --no-new-privs "${entrypoint[@]}" "${cmd[@]}" \
    >"$tmp/pod.log" 2>&1 </dev/null &
  pod=$!
  for _ in $(seq 100); do
    if in_container mpiscsi ready >/dev/null 2>&1; then return; fi
    [ -e "/proc/$pod" ] || break
    sleep 0.1
  done
  cat "$tmp/pod.log"
  fail "the pod is not ready: $(in_container mpiscsi ready 2>&1 || :)"
}
# The process that is PID 1 there.
pod_server () { pgrep -P "$pod"; }

step_container () {
  local iqn=iqn.2026-11.example:data yaml=$top/conf/mpiscsi-pod.yaml
  local start=$SECONDS sockets=$tmp/sockets state=$tmp/state name socket
  echo "=== $release, container: conf/Containerfile"
  build_image
  echo "    USER $image_user ENTRYPOINT ${entrypoint[*]} CMD ${cmd[*]}"
  [ "${image_user%:*}" -gt 0 ] || fail "USER is root"
  ! find "$tmp/root/usr/bin" -name '*gcc*' -o -name make | grep . || fail "the image has a compiler"
  du -sh --exclude=proc --exclude=sys "$tmp/root" | sed 's/\t.*/ in the image/'

  # The pod's target; only this pod's name may log in.
  ip addr add 10.0.0.1/32 dev lo
  ip addr add 10.0.0.2/32 dev lo
  mkdir -p "$tmp/tgt"
  export TGT_IPC_SOCKET=$tmp/tgt/ipc
  tgtd -f -C 1 --iscsi portal=10.0.0.1:3260,portal=10.0.0.2:3260 >"$tmp/tgtd.log" 2>&1 &
  for _ in $(seq 50); do if tgtadm -C 1 --op show --mode sys >/dev/null 2>&1; then break; fi; sleep 0.1; done
  truncate -s 64M "$tmp/disk"
  tgtadm -C 1 --lld iscsi --op new --mode target --tid 1 -T $iqn
  tgtadm -C 1 --lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b "$tmp/disk"
  # Kubernetes' value: iqn.2026-11.example:$(POD_NAME)
  name=$(sed -n '/MPISCSI_INITIATOR_NAME/,/value:/s/ *value: //p' "$yaml")
  name=${name/\$(POD_NAME)/$(sed -n '/^kind: Pod/,$s/^  name: //p' "$yaml")}
  tgtadm -C 1 --lld iscsi --op bind --mode target --tid 1 --initiator-name "$name"
  pod_env=("MPISCSI_INITIATOR_NAME=$name")

  # Its volumes, as fsGroup makes them; the rest is read-only.
  install -d -m 2777 -g "${image_user#*:}" "$sockets"
  install -d -m 2770 -g "${image_user#*:}" "$state"
  sed -n '/mpiscsi.conf: |/,/^---/{/^    /s/^    //p}' "$yaml" >"$tmp/mpiscsi.conf"
  touch "$tmp/root/etc/mpiscsi.conf"
  mount --bind "$tmp/mpiscsi.conf" "$tmp/root/etc/mpiscsi.conf"
  mount --bind "$sockets" "$tmp/root/run/mpiscsi"
  mount --bind "$state" "$tmp/root/var/lib/mpiscsi"
  mount -o remount,ro "$tmp/root"
  ! touch "$tmp/root/tmp/x" 2>/dev/null || fail "the root is not read-only"

  echo "=== $release, container: the pod $name"
  ! in_container mpiscsi alive 2>/dev/null || fail "alive, but not started"
  start_pod
  in_container mpiscsi alive || fail "not alive"
  [ "$(sed -n 's/^NSpid:.*\t//p' "/proc/$(pod_server)/status")" = 1 ] || fail "it is not PID 1"
  [ "$(sed -n 's/^CapBnd:\t0*//p' "/proc/$(pod_server)/status")" = "" ] || fail "it has capabilities"
  socket=$sockets/mpiscsi.nbd
  head -c 1M /dev/urandom >"$tmp/data"
  nbdcopy --flush "$tmp/data" "nbd+unix:///?socket=$socket" || fail "nbdcopy"
  in_container mpiscsi -ll
  [ "$(in_container mpiscsi -ll | grep -c 'active ready')" = 2 ] || fail "two paths were meant"
  find "$state" -type f | grep . >/dev/null || fail "no state is kept"

  echo "=== $release, container: killed, and started again"
  kill -KILL "$(pod_server)"
  wait "$pod" || :
  ! in_container mpiscsi alive 2>/dev/null || fail "alive after the kill"
  start_pod
  nbdcopy "nbd+unix:///?socket=$socket" "$tmp/copy" || fail "nbdcopy"
  cmp -n 1048576 "$tmp/copy" "$tmp/data" || fail "other data after the restart"
  kill -TERM "$(pod_server)"
  local status=0
  timeout 20 tail --pid="$pod" -f /dev/null || fail "it does not end at SIGTERM"
  wait "$pod" || status=$?
  [ $status = 0 ] || { cat "$tmp/pod.log"; fail "SIGTERM: status $status"; }
  echo "=== $release, container: passed in $((SECONDS - start)) s"
}
