#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# TLS: certificates, with the client looking at the server's and the server at
# the client's, and pre-shared keys; the right ones work, wrong ones and none
# at all do not get to the disk.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck source=../functions-serve.sh
. "$testsdir/functions-serve.sh"
requires certtool --version
requires psktool --version
requires nbdsh -c "import nbd"
[[ $("${_nbdkit[@]}" --dump-config) == *tls=yes* ]] || skip "this nbdkit has no TLS"

simple_target 2 32M
all=$(join_portals "${portal[@]}")

# Elliptic curve keys: made at once, also on a slow machine.
make_ca () { # DIR
  mkdir -p "$1"
  certtool --generate-privkey --key-type=ecdsa --outfile "$1/ca-key.pem" 2>/dev/null
  printf 'cn = "test authority %s"\nca\ncert_signing_key\nexpiration_days = 2\n' "${1##*/}" >"$1/ca.info"
  certtool --generate-self-signed --load-privkey "$1/ca-key.pem" --template "$1/ca.info" \
           --outfile "$1/ca-cert.pem" 2>/dev/null
}
make_cert () { # DIR server|client
  certtool --generate-privkey --key-type=ecdsa --outfile "$1/$2-key.pem" 2>/dev/null
  if [ "$2" = server ]; then
    printf 'cn = "localhost"\ndns_name = "localhost"\nip_address = "127.0.0.1"\ntls_www_server\n'
  else
    printf 'cn = "a client"\ntls_www_client\n'
  fi >"$1/$2.info"
  printf 'signing_key\nexpiration_days = 2\n' >>"$1/$2.info"
  certtool --generate-certificate --load-ca-certificate "$1/ca-cert.pem" \
           --load-ca-privkey "$1/ca-key.pem" --load-privkey "$1/$2-key.pem" \
           --template "$1/$2.info" --outfile "$1/$2-cert.pem" 2>/dev/null
}
for d in pki other; do
  make_ca "$tmpdir/$d"
  make_cert "$tmpdir/$d" server
  make_cert "$tmpdir/$d" client
done
# One that trusts our authority, but has no certificate of its own.
mkdir "$tmpdir/nobody"
cp "$tmpdir/pki/ca-cert.pem" "$tmpdir/nobody/"
# One that trusts our authority, and shows what another one signed.
mkdir "$tmpdir/stranger"
cp "$tmpdir/pki/ca-cert.pem" "$tmpdir/other"/client-*.pem "$tmpdir/stranger/"

client () { # HOW IN PYTHON
  port=$port tmp=$tmpdir how=$1 nbdsh -c - <<'PY'
import os
exec(os.environ["how"], {"h": h, "nbd": nbd, "tmp": os.environ["tmp"]})
h.connect_tcp("localhost", os.environ["port"])
assert h.get_tls_negotiated() == ("NONE" not in os.environ["how"])
b = os.urandom(1 << 20)
h.pwrite(b, 1 << 20, nbd.CMD_FLAG_FUA)
assert h.pread(1 << 20, 1 << 20) == b
h.shutdown()
PY
}
with () { echo "h.set_tls(nbd.TLS_REQUIRE); h.set_tls_certificates(tmp + '/$1'); h.set_tls_verify_peer(True)"; }
refused () { # WHAT HOW
  mark_log
  assert_fails client "$2"
  assert_match "why $1 was refused" '[Cc]ertificate|TLS|tls|handshake|disconnect|GNUTLS|gnutls|[Pp]ush|[Rr]eset|pipe' "$(<"$tmpdir/assert_fails.out")"
  echo "ok: $1: $(tail -n 1 "$tmpdir/assert_fails.out")"
}

say "certificates"
port=$(tcp_port)
serve -i 127.0.0.1 -p "$port" --tls=require --tls-certificates="$tmpdir/pki" --tls-verify-peer \
      "$plugin" portals="$all"
before=$(sha256sum <"$tmpdir/disk")
refused "a client without TLS" 'h.set_tls(nbd.TLS_DISABLE) # NONE'
refused "a client that trusts another authority" "$(with other)"
refused "a client whose certificate is of another authority" "$(with stranger)"
refused "a client without a certificate" "$(with nobody)"
assert_equal "the disk after those" "$before" "$(sha256sum <"$tmpdir/disk")"
client "$(with pki)"
[ "$before" != "$(sha256sum <"$tmpdir/disk")" ] || fail "nothing was written"
NBD="nbds://localhost:$port/?tls-certificates=$tmpdir/pki"
nbdinfo --is tls "$NBD" || fail "nbdinfo: not TLS"
nbdcopy --connections=4 "$NBD" "$tmpdir/copy"
assert_same_files "$tmpdir/disk" "$tmpdir/copy"
out=$(qemu-io -r --object "tls-creds-x509,id=t,dir=$tmpdir/pki,endpoint=client" \
  --image-opts "driver=nbd,host=localhost,port=$port,tls-creds=t" -c 'read 0 1M' 2>&1) || fail "qemu-io: $out"
assert_match "qemu-io" 'read 1048576/1048576' "$out"

if is_own; then
  say "TLS handshakes that stop in the middle hold up nobody"
  port=$port python3 - <<'PY' &
import os, socket, struct, time
some = []
for i in range(30):
    s = socket.create_connection(("127.0.0.1", int(os.environ["port"])))
    s.recv(18)
    s.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 5, 0))
    s.recv(20)
    s.sendall(b"\x16\x03\x01\x02\x00\x01"[:i % 7])
    some.append(s)
time.sleep(30)
PY
  slow_pid=$!
  cleanup_fn end_process "$slow_pid"
  before=$(now_ms)
  for _ in 1 2 3; do client "$(with pki)"; done
  assert_less "ms for three clients beside them" $(($(now_ms) - before)) $((5000 * slow))
  kill "$slow_pid"
fi
stop_mpiscsi

say "a server of another authority: the client refuses"
port=$(tcp_port)
serve -i 127.0.0.1 -p "$port" --tls=require --tls-certificates="$tmpdir/other" "$plugin" portals="$all"
refused "a server that is not trusted" "$(with pki)"
stop_mpiscsi

say "pre-shared keys"
(umask 077; psktool -u alice -p "$tmpdir/keys.psk" >/dev/null 2>&1; psktool -u alice -p "$tmpdir/wrong.psk" >/dev/null 2>&1)
psk () { echo "h.set_tls(nbd.TLS_REQUIRE); h.set_tls_psk_file(tmp + '/$1'); h.set_tls_username('$2')"; }
port=$(tcp_port)
serve -i 127.0.0.1 -p "$port" --tls=require --tls-psk="$tmpdir/keys.psk" "$plugin" portals="$all"
client "$(psk keys.psk alice)"
refused "a wrong key" "$(psk wrong.psk alice)"
sed 's/alice/mallory/' "$tmpdir/keys.psk" >"$tmpdir/mallory.psk"
refused "an unknown user" "$(psk mallory.psk mallory)"
refused "no TLS" 'h.set_tls(nbd.TLS_DISABLE) # NONE'
client "$(psk keys.psk alice)"
stop_mpiscsi

say "--tls=on: both"
port=$(tcp_port)
serve -i 127.0.0.1 -p "$port" --tls=on --tls-psk="$tmpdir/keys.psk" "$plugin" portals="$all"
client "$(psk keys.psk alice)"
client 'h.set_tls(nbd.TLS_DISABLE) # NONE'
stop_mpiscsi
