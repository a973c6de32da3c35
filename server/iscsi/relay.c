/* SPDX-License-Identifier: BSD-3-Clause */
/* See relay.h. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "iscsi/pdu.h"
#include "iscsi/login-filter.h"
#include "iscsi/relay.h"
#include "iscsi/session-internal.h"
#include "iscsi/wire.h"

/* Calls of iscsi_service () for what it was given: one a piece. */
#define MAX_TURNS 32

struct relay {
  int fd;                       /* the target's */
  int inner;                    /* libiscsi has the other end */
  struct login_filter filter;
  size_t in_have, request_have, out_from, out_to;
  uint8_t in[LOGIN_PDU_MAX];    /* from the target; beyond the login, too */
  uint8_t request[LOGIN_PDU_MAX]; /* from libiscsi */
  uint8_t out[2 * LOGIN_PDU_MAX]; /* to the target */
  uint8_t scratch[LOGIN_PDU_MAX];
};

static const char *
digest_offer (enum header_digest d)
{
  static const char *const offers[] = {
    [DIGEST_NONE] = "None", [DIGEST_NONE_CRC32C] = "None,CRC32C",
    [DIGEST_CRC32C_NONE] = "CRC32C,None", [DIGEST_CRC32C] = "CRC32C",
  };

  return offers[d];
}

struct relay *
relay_new (struct session *s)
{
  const struct settings *st = s->engine->settings;
  struct relay *r = malloc (sizeof *r);

  if (r == NULL)
    return NULL;
  r->in_have = r->request_have = r->out_from = r->out_to = 0;
  r->inner = -1;
  r->fd = fcntl (iscsi_get_fd (s->ctx), F_DUPFD_CLOEXEC, 0);
  if (r->fd == -1) {
    const int error = errno;

    free (r);
    errno = error;
    return NULL;
  }
  login_filter_start (&r->filter, digest_offer (st->header_digest),
                      digest_offer (st->data_digest), st->mutual_user != NULL);
  return r;
}

bool
relay_splice (struct session *s)
{
  struct relay *r = s->relay;
  const int theirs = iscsi_get_fd (s->ctx);
  int pair[2], error;
  bool well;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                  pair) == -1)
    return false;
  well = dup3 (pair[1], theirs, O_CLOEXEC) != -1;
  error = errno;
  close (pair[1]);
  r->inner = pair[0];           /* relay_free () closes it */
  errno = error;
  return well;
}

void
relay_free (struct relay *r)
{
  if (r == NULL)
    return;
  if (r->fd != -1)
    close (r->fd);
  if (r->inner != -1)
    close (r->inner);
  explicit_bzero (r, sizeof *r);
  free (r);
}

int
relay_fd (const struct relay *r)
{
  return r->fd;
}

bool
relay_wants_out (const struct relay *r)
{
  return r->out_from < r->out_to;
}

static void
refused (struct session *s)
{
  const struct login_filter *f = &s->relay->filter;

  session_kill (s, f->auth_failed ? FAIL_AUTH : FAIL_LOGIN, "%s", f->why);
}

/* ---- to the target --------------------------------------------------------------- */

static void
send_out (struct session *s)
{
  struct relay *r = s->relay;

  while (!s->dying && r->out_from < r->out_to) {
    struct iovec iov = { r->out + r->out_from, r->out_to - r->out_from };
    const struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    const ssize_t n = sendmsg (r->fd, &msg, MSG_NOSIGNAL);

    if (n == -1 && errno == EINTR)
      continue;
    if (n == -1 && errno == EAGAIN)
      return;
    if (n == -1) {
      session_lost (s, errno);
      return;
    }
    r->out_from += (size_t) n;
  }
  if (r->out_from == r->out_to)
    r->out_from = r->out_to = 0;
}

static void
queue (struct session *s, const uint8_t *pdu, size_t size)
{
  struct relay *r = s->relay;

  /* A login goes back and forth: there is one request at a time. */
  if (size > sizeof r->out - r->out_to) {
    session_kill (s, FAIL_LOGIN, "login failed: too many requests at a time");
    return;
  }
  memcpy (r->out + r->out_to, pdu, size);
  r->out_to += size;
}

static void
service (struct session *s, int revents)
{
  if (!s->dying && iscsi_service (s->ctx, revents) != 0 && !s->dying) {
    const char *why = iscsi_get_error (s->ctx);

    session_kill (s, FAIL_LOGIN, "login failed: %s", why[0] ? why
                  : "libiscsi gives no reason");
  }
}

static size_t
pdu_whole (const uint8_t *h)
{
  const uint32_t size = pdu_data_size (h);

  return PDU_BHS + pdu_ahs_size (h) + (size_t) size + pdu_padding (size);
}

/* What libiscsi has written. */
static void
fetch (struct session *s)
{
  struct relay *r = s->relay;
  ssize_t n;

  while (!s->dying &&
         (n = recv (r->inner, r->request + r->request_have,
                    sizeof r->request - r->request_have, 0)) > 0) {
    r->request_have += (size_t) n;
    while (!s->dying && r->request_have >= PDU_BHS) {
      const size_t whole = pdu_whole (r->request);
      size_t size;

      if (whole > sizeof r->request) {
        session_kill (s, FAIL_LOGIN, "login failed: a request of %zu bytes",
                      whole);
        return;
      }
      if (r->request_have < whole)
        break;
      if (login_filter_request (&r->filter, r->request, r->scratch, &size) ==
          LOGIN_REFUSED) {
        refused (s);
        return;
      }
      queue (s, r->scratch, size);
      r->request_have -= whole;
      memmove (r->request, r->request + whole, r->request_have);
    }
  }
}

void
relay_pump (struct session *s)
{
  for (int i = 0; i < MAX_TURNS && !s->dying; i++) {
    fetch (s);
    if (s->dying || !(iscsi_which_events (s->ctx) & POLLOUT))
      break;
    service (s, POLLOUT);
  }
  fetch (s);
  send_out (s);
}

/* ---- from the target ------------------------------------------------------------- */

static void
give (struct session *s, const uint8_t *pdu, size_t size)
{
  struct relay *r = s->relay;
  int unread = 1;

  if (send (r->inner, pdu, size, MSG_NOSIGNAL) != (ssize_t) size) {
    session_kill (s, FAIL_LOGIN, "login failed: a socketpair does not take %zu "
                  "bytes", size);
    return;
  }
  for (int i = 0; i < MAX_TURNS && !s->dying && unread > 0; i++) {
    service (s, POLLIN);
    if (ioctl (iscsi_get_fd (s->ctx), FIONREAD, &unread) == -1)
      break;
  }
}

/* All PDUs that are whole, as long as they are of the login. */
static void
responses (struct session *s)
{
  struct relay *r = s->relay;

  while (!s->dying && !r->filter.over && r->in_have >= PDU_BHS) {
    size_t whole, size;

    if (!login_filter_header (&r->filter, r->in)) {
      refused (s);
      return;
    }
    whole = pdu_whole (r->in);
    if (r->in_have < whole)
      return;
    switch (login_filter_response (&r->filter, r->in, r->scratch, &size)) {
    case LOGIN_REFUSED:
      refused (s);
      return;
    case LOGIN_ASK:
      queue (s, r->scratch, size);
      break;
    case LOGIN_FORWARD:
      give (s, r->scratch, size);
      break;
    }
    r->in_have -= whole;
    memmove (r->in, r->in + whole, r->in_have);
    if (!s->dying && !r->filter.over)
      relay_pump (s);
  }
}

void
relay_ready (struct session *s, int revents)
{
  struct relay *r = s->relay;
  char text[200];
  ssize_t n;

  if (revents & POLLOUT)
    send_out (s);
  if (s->dying || !(revents & POLLIN) || r->filter.over)
    return;
  n = recv (r->fd, r->in + r->in_have, sizeof r->in - r->in_have, 0);
  if (n == -1 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0 && pdu_is_text (r->in, r->in_have, text, sizeof text) != NULL) {
    session_kill (s, FAIL_REFUSED, "%s", text);
    return;
  }
  if (n <= 0) {
    session_lost (s, n == 0 ? 0 : errno);
    return;
  }
  r->in_have += (size_t) n;
  responses (s);
}

struct wire *
relay_end (struct relay *r, struct session *s,
           void (*answered) (struct command *cmd, const struct ffp_answer *a))
{
  struct wire *w = wire_new (s, r->fd, &r->filter.start, r->in, r->in_have,
                             answered);

  if (w != NULL)
    r->fd = -1;
  return w;
}

int
relay_portal_group (const struct relay *r)
{
  return r->filter.tpgt;
}
