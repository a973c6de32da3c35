/* SPDX-License-Identifier: BSD-3-Clause */
/* See wire.h. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "iscsi/session-internal.h"
#include "iscsi/wire.h"

/* Bytes that are read in one go; then the others have a turn.  The less is read
 * before it is sent on, the more of it is still in the processor's cache. */
#define AT_ONCE (256 * 1024)
/* Of one sendmsg (): up to 128 PDUs, header, data and padding. */
#define MAX_IOV (3 * 128)

struct wire {
  int fd;
  struct ffp *ffp;
  bool blocked;                 /* the socket was full */
  void (*answered) (struct command *cmd, const struct ffp_answer *a);
  uint8_t *early;               /* came during the login */
  size_t early_size;
};

/* ---- what the full feature phase says ------------------------------------------- */

static void
done (void *opaque, struct ffp_task *t, const struct ffp_answer *a)
{
  struct command *cmd = container_of (t, struct command, ffp);

  (void) opaque;
  cmd->session->wire->answered (cmd, a);
}

static void
pong (void *opaque)
{
  struct session *s = opaque;

  s->ping_sent = 0;
}

static void
tmf_done (void *opaque, struct ffp_task *t, uint8_t response)
{
  struct session *s = opaque;

  if (t != NULL)
    container_of (t, struct command, ffp)->abort_refused = true;
  else
    session_was_reset (s, response);
}

static void
text_done (void *opaque, const char *text, size_t size)
{
  struct session *s = opaque;

  if (s->text_done != NULL)
    s->text_done (s, text, size);
}

static void
logged_out (void *opaque, uint8_t response)
{
  struct session *s = opaque;

  (void) response;
  if (!s->dying)
    session_event_later (s, SESSION_EV_LOGGED_OUT);
}

/* Event 0 is sense data for the host (RFC 7143 11.9.1): the next command gets the UNIT
 * ATTENTION as well, if it is one. */
static void
message (void *opaque, uint8_t event, const uint8_t *sense, size_t size)
{
  struct session *s = opaque;
  struct sense parsed;
  char text[200];

  if (event == 0) {
    sense_parse_iscsi (sense, size, &parsed);
    log_info ("%s: asynchronous message: %s", s->name, parsed.valid
              ? sense_text (&parsed, text, sizeof text) : "no sense data");
  }
  else
    log_debug ("%s: asynchronous message %u", s->name, event);
}

static const struct ffp_ops ops = {
  done, pong, tmf_done, text_done, logged_out, message,
};

/* ---- the socket -------------------------------------------------------------------- */

struct wire *
wire_new (struct session *s, int fd, const struct ffp_start *start,
          const uint8_t *in, size_t size,
          void (*answered) (struct command *cmd, const struct ffp_answer *a))
{
  struct ffp_start with_tasks = *start;
  struct wire *w = calloc (1, sizeof *w);

  if (w == NULL)
    return NULL;
  with_tasks.tasks = s->engine->settings->queue_depth;
  w->ffp = ffp_new (&with_tasks, &ops, s);
  if (size > 0)
    w->early = malloc (size);
  if (w->ffp == NULL || (size > 0 && w->early == NULL)) {
    ffp_free (w->ffp);
    free (w->early);
    free (w);
    return NULL;
  }
  if (size > 0)
    memcpy (w->early, in, size);
  w->early_size = size;
  w->answered = answered;
  w->fd = fd;
  return w;
}

void
wire_free (struct wire *w)
{
  if (w == NULL)
    return;
  close (w->fd);
  ffp_free (w->ffp);
  free (w->early);
  free (w);
}

int
wire_fd (const struct wire *w)
{
  return w->fd;
}

struct ffp *
wire_ffp (struct wire *w)
{
  return w->ffp;
}

bool
wire_wants_out (const struct wire *w)
{
  return w->blocked;
}

/* Over?  Then that is the session's end. */
static void
look (struct session *s)
{
  const struct ffp *f = s->wire->ffp;

  if (s->dying || ffp_over (f) == FFP_ALIVE)
    return;
  s->asked_to_move = ffp_over (f) == FFP_END_LOGOUT_REQUESTED ||
    ffp_over (f) == FFP_END_DROPPED;
  session_kill (s, FAIL_LOST, "%s", ffp_why (f));
}

void
wire_submit (struct session *s, struct command *cmd)
{
  struct ffp_task *t = &cmd->ffp;

  memset (t->cdb, 0, sizeof t->cdb);
  memcpy (t->cdb, cmd->cdb, cmd->cdb_len);
  t->lun = lun_encode (cmd->lun, s->flat_luns);
  t->direction = cmd->dir == SCSI_XFER_READ ? FFP_READ
    : cmd->dir == SCSI_XFER_WRITE ? FFP_WRITE : FFP_NONE;
  t->buf = cmd->buf;
  t->bytes = t->direction == FFP_NONE ? 0 : cmd->bytes;
  t->whole = t->direction == FFP_WRITE && cmd->modifies;
  ffp_submit (s->wire->ffp, t);
}

/* What came before it was ours. */
static void
take_early (struct session *s)
{
  struct wire *w = s->wire;
  const uint8_t *p = w->early;
  size_t left = w->early_size;

  while (left > 0 && ffp_over (w->ffp) == FFP_ALIVE) {
    struct iovec iov[FFP_IN_IOV];
    const int n = ffp_in (w->ffp, iov);
    size_t taken = 0;

    for (int i = 0; i < n && taken < left; i++) {
      const size_t k = iov[i].iov_len < left - taken ? iov[i].iov_len
        : left - taken;

      memcpy (iov[i].iov_base, p + taken, k);
      taken += k;
    }
    p += taken;
    left -= taken;
    ffp_received (w->ffp, taken);
  }
  free (w->early);
  w->early = NULL;
  w->early_size = 0;
}

static void
receive (struct session *s)
{
  struct wire *w = s->wire;
  size_t all = 0;

  while (all < AT_ONCE && !s->dying && ffp_over (w->ffp) == FFP_ALIVE) {
    struct iovec iov[FFP_IN_IOV];
    const int n = ffp_in (w->ffp, iov);
    size_t room = 0;
    ssize_t r;

    for (int i = 0; i < n; i++)
      room += iov[i].iov_len;
    r = readv (w->fd, iov, n);
    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1 && errno == EAGAIN)
      return;
    if (r <= 0) {
      session_lost (s, r == 0 ? 0 : errno);
      return;
    }
    ffp_received (w->ffp, (size_t) r);
    all += (size_t) r;
    if ((size_t) r < room)
      return;                   /* the socket is empty */
  }
}

void
wire_ready (struct session *s, int revents)
{
  if (s->wire->early_size > 0)
    take_early (s);
  if (revents & POLLIN)
    receive (s);
  look (s);
  if (revents & POLLOUT && !s->dying)
    wire_flush (s);
}

void
wire_flush (struct session *s)
{
  struct wire *w = s->wire;

  w->blocked = false;
  for (;;) {
    struct iovec iov[MAX_IOV];
    struct msghdr msg = { .msg_iov = iov };
    size_t all = 0;
    ssize_t r;

    msg.msg_iovlen = (size_t) ffp_out (w->ffp, iov, MAX_IOV);
    if (msg.msg_iovlen == 0)
      break;
    for (size_t i = 0; i < msg.msg_iovlen; i++)
      all += iov[i].iov_len;
    do
      r = sendmsg (w->fd, &msg, MSG_NOSIGNAL);
    while (r == -1 && errno == EINTR);
    if (r == -1 && errno != EAGAIN) {
      session_lost (s, errno);
      return;
    }
    if (r > 0)
      ffp_sent (w->ffp, (size_t) r);
    if (r < (ssize_t) all) {
      w->blocked = true;
      break;
    }
  }
  look (s);
}
