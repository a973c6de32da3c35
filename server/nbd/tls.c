/* SPDX-License-Identifier: BSD-3-Clause */
/* TLS with GnuTLS, the library that nbdkit and libnbd use, without waiting.
 *
 * GnuTLS reads and writes records of at most 16 KiB one by one.  Between it and
 * the socket are two buffers, so that what comes is read, and what goes is sent,
 * in few system calls.  What GnuTLS writes is always taken; instead, no more is
 * given to it while much is unsent. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

#include "nbd/nbd-internal.h"

#define IN_SIZE (64 * 1024)
#define OUT_FULL (512 * 1024)
#define RECORD (16 * 1024)

/* As nbdkit has them: what the administrator of the host allows, and PSK where
 * there are such keys. */
#define PRIORITY_CERT "NORMAL"
#define PRIORITY_PSK "NORMAL:+ECDHE-PSK:+DHE-PSK:+PSK"

struct nbd_tls_credentials {
  gnutls_certificate_credentials_t cert;        /* one of both is NULL */
  gnutls_psk_server_credentials_t psk;
  bool verify;
};

struct nbd_tls {
  gnutls_session_t session;
  int fd;
  size_t from, to;              /* of in */
  bool ended;                   /* the socket has no more */
  struct nbd_buffer out;
  size_t out_at;                /* that is sent */
  uint8_t in[IN_SIZE];
  uint8_t plain[RECORD];        /* headers and small data, put together */
};

/* ---- credentials ----------------------------------------------------------------- */

/* nbdkit's places. */
static void
default_directory (char *buf, size_t size)
{
  const char *home = getenv ("HOME");

  if (geteuid () == 0 || home == NULL)
    snprintf (buf, size, "/etc/pki/nbdkit");
  else {
    snprintf (buf, size, "%s/.pki/nbdkit", home);
    if (access (buf, X_OK) == -1)
      snprintf (buf, size, "%s/.config/pki/nbdkit", home);
  }
}

static bool
failed (char *err, size_t size, const char *file, int r)
{
  snprintf (err, size, "TLS: %s: %s", file,
            r == GNUTLS_E_FILE_ERROR ? strerror (errno) : gnutls_strerror (r));
  return false;
}

static bool
load_certificates (struct nbd_tls_credentials *cred, const char *dir,
                   char *err, size_t size)
{
  char ca[4200], crl[4200], cert[4200], key[4200];
  int r;

  snprintf (ca, sizeof ca, "%s/ca-cert.pem", dir);
  snprintf (crl, sizeof crl, "%s/ca-crl.pem", dir);
  snprintf (cert, sizeof cert, "%s/server-cert.pem", dir);
  snprintf (key, sizeof key, "%s/server-key.pem", dir);
  r = gnutls_certificate_allocate_credentials (&cred->cert);
  if (r < 0)
    return failed (err, size, dir, r);
  r = gnutls_certificate_set_x509_trust_file (cred->cert, ca,
                                              GNUTLS_X509_FMT_PEM);
  if (r < 0)
    return failed (err, size, ca, r);
  r = access (crl, R_OK) == -1 ? 0
    : gnutls_certificate_set_x509_crl_file (cred->cert, crl,
                                            GNUTLS_X509_FMT_PEM);
  if (r < 0)
    return failed (err, size, crl, r);
  r = gnutls_certificate_set_x509_key_file (cred->cert, cert, key,
                                            GNUTLS_X509_FMT_PEM);
  if (r < 0)
    return failed (err, size, access (key, R_OK) == -1 ? key : cert, r);
  return true;
}

struct nbd_tls_credentials *
tls_credentials_new (const struct conf_nbd *conf, char *err, size_t size)
{
  struct nbd_tls_credentials *cred = calloc (1, sizeof *cred);
  char dir[4096];
  bool good;
  int r;

  if (cred == NULL) {
    snprintf (err, size, "out of memory");
    return NULL;
  }
  cred->verify = conf->tls_verify_peer;
  if (conf->tls_psk != NULL) {
    r = gnutls_psk_allocate_server_credentials (&cred->psk);
    if (r >= 0 && access (conf->tls_psk, R_OK) == -1)
      r = GNUTLS_E_FILE_ERROR;
    if (r >= 0)
      r = gnutls_psk_set_server_credentials_file (cred->psk, conf->tls_psk);
    good = r >= 0 || failed (err, size, conf->tls_psk, r);
  }
  else {
    if (conf->tls_certificates != NULL)
      snprintf (dir, sizeof dir, "%s", conf->tls_certificates);
    else
      default_directory (dir, sizeof dir);
    good = load_certificates (cred, dir, err, size);
  }
  if (good)
    return cred;
  tls_credentials_free (cred);
  return NULL;
}

void
tls_credentials_free (struct nbd_tls_credentials *cred)
{
  if (cred == NULL)
    return;
  if (cred->cert != NULL)
    gnutls_certificate_free_credentials (cred->cert);
  if (cred->psk != NULL)
    gnutls_psk_free_server_credentials (cred->psk);
  free (cred);
}

/* ---- the socket ------------------------------------------------------------------ */

static ssize_t
pull (gnutls_transport_ptr_t opaque, void *buf, size_t n)
{
  struct nbd_tls *tls = opaque;

  if (tls->from == tls->to) {
    ssize_t r;

    if (tls->ended)
      return 0;
    do
      r = recv (tls->fd, tls->in, sizeof tls->in, MSG_DONTWAIT);
    while (r == -1 && errno == EINTR);
    if (r == -1) {
      gnutls_transport_set_errno (tls->session, errno);
      return -1;
    }
    tls->ended = r == 0;
    tls->from = 0;
    tls->to = r;
  }
  if (n > tls->to - tls->from)
    n = tls->to - tls->from;
  memcpy (buf, tls->in + tls->from, n);
  tls->from += n;
  return n;
}

static ssize_t
push (gnutls_transport_ptr_t opaque, const void *buf, size_t n)
{
  struct nbd_tls *tls = opaque;

  nbd_buffer_put (&tls->out, buf, n);
  if (!tls->out.failed)
    return n;
  gnutls_transport_set_errno (tls->session, ENOMEM);
  return -1;
}

int
tls_flush (struct nbd_tls *tls)
{
  while (tls->out_at < tls->out.len) {
    const ssize_t r = send (tls->fd, tls->out.data + tls->out_at,
                            tls->out.len - tls->out_at,
                            MSG_NOSIGNAL | MSG_DONTWAIT);

    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1)
      return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    tls->out_at += r;
  }
  tls->out.len = tls->out_at = 0;
  return tls->out.failed ? -1 : 1;
}

bool
tls_has_output (const struct nbd_tls *tls)
{
  return tls->out_at < tls->out.len;
}

bool
tls_has_input (const struct nbd_tls *tls)
{
  return tls->from < tls->to || tls->ended ||
    gnutls_record_check_pending (tls->session) > 0;
}

/* ---- records --------------------------------------------------------------------- */

struct nbd_tls *
tls_new (const struct nbd_tls_credentials *cred, int fd)
{
  struct nbd_tls *tls = calloc (1, sizeof *tls);

  if (tls == NULL)
    return NULL;
  tls->fd = fd;
  if (gnutls_init (&tls->session, GNUTLS_SERVER | GNUTLS_NONBLOCK |
                   GNUTLS_NO_SIGNAL) < 0) {
    free (tls);
    return NULL;
  }
  if (gnutls_priority_set_direct (tls->session, cred->psk ? PRIORITY_PSK
                                  : PRIORITY_CERT, NULL) < 0 ||
      (cred->psk
       ? gnutls_credentials_set (tls->session, GNUTLS_CRD_PSK, cred->psk)
       : gnutls_credentials_set (tls->session, GNUTLS_CRD_CERTIFICATE,
                                 cred->cert)) < 0) {
    tls_free (tls);
    return NULL;
  }
  if (cred->verify && cred->cert != NULL) {
    gnutls_certificate_server_set_request (tls->session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_cert (tls->session, NULL, 0);
  }
  gnutls_transport_set_ptr (tls->session, tls);
  gnutls_transport_set_pull_function (tls->session, pull);
  gnutls_transport_set_push_function (tls->session, push);
  return tls;
}

void
tls_free (struct nbd_tls *tls)
{
  gnutls_deinit (tls->session);
  nbd_buffer_free (&tls->out);
  free (tls);
}

int
tls_handshake (struct nbd_tls *tls, char *err, size_t size)
{
  int r;

  do
    r = gnutls_handshake (tls->session);
  while (r < 0 && r != GNUTLS_E_AGAIN && !gnutls_error_is_fatal (r));
  if (r < 0 && r != GNUTLS_E_AGAIN)
    /* The client is told why, if it still listens. */
    gnutls_alert_send_appropriate (tls->session, r);
  if (tls_flush (tls) == -1 && r == 0)
    r = GNUTLS_E_PUSH_ERROR;
  if (r == 0)
    return 1;
  if (r == GNUTLS_E_AGAIN)
    return 0;
  snprintf (err, size, "%s", gnutls_strerror (r));
  return -1;
}

/* -1: errno; EIO for what GnuTLS does not like. */
static ssize_t
read_record (struct nbd_tls *tls, void *buf, size_t n)
{
  ssize_t r;

  do
    r = gnutls_record_recv (tls->session, buf, n);
  while (r < 0 && r != GNUTLS_E_AGAIN && !gnutls_error_is_fatal (r));
  if (r >= 0)
    return r;
  errno = r == GNUTLS_E_AGAIN ? EAGAIN : EIO;
  /* A client that just closes its socket. */
  return r == GNUTLS_E_PREMATURE_TERMINATION ? 0 : -1;
}

ssize_t
tls_readv (struct nbd_tls *tls, const struct iovec *iov, int n)
{
  size_t got = 0;

  for (int i = 0; i < n; ++i)
    for (size_t at = 0; at < iov[i].iov_len; ) {
      const ssize_t r = read_record (tls, (char *) iov[i].iov_base + at,
                                     iov[i].iov_len - at);

      if (r <= 0)
        return got > 0 ? (ssize_t) got : r;
      at += r;
      got += r;
      /* What is left in the socket comes in the next turn. */
      if (got >= IN_SIZE && tls->from == tls->to &&
          gnutls_record_check_pending (tls->session) == 0)
        return got;
    }
  return got;
}

static bool
write_record (struct nbd_tls *tls, const void *buf, size_t n)
{
  ssize_t r;

  do                            /* EAGAIN cannot be: push takes all */
    r = gnutls_record_send (tls->session, buf, n);
  while (r == GNUTLS_E_INTERRUPTED);
  return r == (ssize_t) n;
}

ssize_t
tls_writev (struct nbd_tls *tls, const struct iovec *iov, int n)
{
  size_t taken = 0, filled = 0;

  if (tls->out.len - tls->out_at >= OUT_FULL) {
    const int r = tls_flush (tls);

    if (r < 1) {
      errno = r == 0 ? EAGAIN : EPIPE;
      return -1;
    }
  }
  for (int i = 0; i < n && tls->out.len - tls->out_at < OUT_FULL; ++i)
    for (size_t at = 0; at < iov[i].iov_len; ) {
      size_t k = iov[i].iov_len - at;

      if (k > RECORD - filled)
        k = RECORD - filled;
      if (k == RECORD) {        /* a whole one: not copied */
        if (!write_record (tls, (char *) iov[i].iov_base + at, k))
          goto broken;
      }
      else {
        memcpy (tls->plain + filled, (char *) iov[i].iov_base + at, k);
        filled += k;
        if (filled == RECORD) {
          if (!write_record (tls, tls->plain, filled))
            goto broken;
          filled = 0;
        }
      }
      at += k;
      taken += k;
    }
  if (filled == 0 || write_record (tls, tls->plain, filled))
    return taken;

 broken:
  errno = EPIPE;
  return -1;
}

void
tls_bye (struct nbd_tls *tls)
{
  gnutls_bye (tls->session, GNUTLS_SHUT_WR);
  tls_flush (tls);
}
