/* SPDX-License-Identifier: BSD-3-Clause */
/* libiscsi's recv, readv, send and writev are ours: see guard.h. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/bytes.h"
#include "iscsi/session-internal.h"
#include "iscsi/hook.h"

/* The session whose iscsi_service () runs in this thread. */
static __thread struct session *guarded;
static __thread int guarded_fd;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool installed;

static bool
is_ours (int fd)
{
  return guarded != NULL && fd == guarded_fd;
}

static ssize_t
no (int error)
{
  errno = error;
  return -1;
}

/* ---- reading ------------------------------------------------------------------- */

/* Larger reads go from the socket to where they belong. */
#define AHEAD_MAX 16384

/* Is it worth it to read more than the header that is due?  Answers mostly come
 * in the order of the commands. */
static bool
reads_ahead (struct session *s)
{
  const struct command *first = list_entry (s->in_flight.next, struct command,
                                            node);

  if (!session_is_full_feature (s->state) || list_empty (&s->in_flight) ||
      (first->dir == SCSI_XFER_READ && first->bytes > AHEAD_MAX))
    return false;
  if (s->guard.in == NULL)
    s->guard.in = malloc (GUARD_IN_SIZE);
  return s->guard.in != NULL;
}

static size_t
take (struct guard *g, void *buf, size_t n)
{
  const size_t have = g->in_to - g->in_from;

  if (n > have)
    n = have;
  memcpy (buf, g->in + g->in_from, n);
  g->in_from += n;
  return n;
}

/* recv () of libiscsi's socket. */
static ssize_t
receive (struct guard *g, int fd, void *buf, size_t n, int flags)
{
  ssize_t r;

  if (g->in_from < g->in_to)
    return take (g, buf, n);
  /* Without budget up to the end of the PDU, where read_header () stops. */
  if (!g->ahead || g->budget == 0 || n >= GUARD_IN_SIZE)
    return recv (fd, buf, n, flags);
  if (g->drained)
    return no (EAGAIN);
  r = recv (fd, g->in, GUARD_IN_SIZE, flags);
  if (r <= 0)
    return r;
  g->drained = r < GUARD_IN_SIZE;
  g->in_from = 0;
  g->in_to = r;
  return take (g, buf, n);
}

static ssize_t
read_header (struct guard *g, int fd, void *buf, size_t n, int flags)
{
  ssize_t r;

  if (g->header_have == 0) {
    /* Enough for now; poll () will tell that there is more, but not of what
     * is here already. */
    if (g->budget == 0 && g->in_from == g->in_to)
      return no (EAGAIN);
    if (g->budget > 0)
      g->budget--;
    g->header_size = n;         /* libiscsi knows whether there is a digest */
  }
  r = receive (g, fd, buf, n, flags);
  if (r <= 0)
    return r;
  if (g->header_have < GUARD_BHS) {
    const size_t room = GUARD_BHS - g->header_have, got = r;

    memcpy (g->header + g->header_have, buf, got < room ? got : room);
  }
  g->header_have += r;
  if (g->header_have < g->header_size)
    return r;
  g->header_have = 0;
  return guard_header (guarded) ? r : no (EPROTO);
}

/* Bytes in one go.  The less is read before it is sent on, the more of it is
 * still in the processor's cache; and the client need not wait for the rest. */
#define AT_ONCE (256 * 1024)

static void
count_data (struct guard *g, size_t n)
{
  g->taken += n;
  if (g->taken >= AT_ONCE)
    g->budget = 0;              /* at the end of this PDU */
  g->data_left -= n < g->data_left ? n : g->data_left;
}

static ssize_t
our_recv (int fd, void *buf, size_t n, int flags)
{
  struct guard *g;
  ssize_t r;

  if (!is_ours (fd))
    return recv (fd, buf, n, flags);
  g = &guarded->guard;
  if (g->data_left == 0)
    return read_header (g, fd, buf, n, flags);

  r = receive (g, fd, buf, n, flags);
  if (r <= 0)
    return r;
  count_data (g, r);
  /* libiscsi collects what is not the data of a read in one piece. */
  if (g->data_left == 0 && guard_wants_data (g) &&
      !guard_data (guarded, (uint8_t *) buf + r - g->data_size))
    return no (EPROTO);
  return r;
}

/* What was read ahead, and the rest from the socket. */
static ssize_t
scatter (struct guard *g, int fd, const struct iovec *iov, int n)
{
  struct iovec rest[16];
  ssize_t got = 0, r;
  int i, m = 0;

  if (g->in_from == g->in_to || n > (int) (sizeof rest / sizeof rest[0]))
    return g->in_from == g->in_to ? readv (fd, iov, n)
      : (ssize_t) take (g, iov[0].iov_base, iov[0].iov_len);
  for (i = 0; i < n; i++) {
    const size_t t = take (g, iov[i].iov_base, iov[i].iov_len);

    got += t;
    if (t < iov[i].iov_len) {
      rest[m].iov_base = (char *) iov[i].iov_base + t;
      rest[m++].iov_len = iov[i].iov_len - t;
    }
  }
  if (m == 0)
    return got;
  r = readv (fd, rest, m);
  /* Whatever it is, it will be there the next time too. */
  return r > 0 ? got + r : got;
}

static ssize_t
our_readv (int fd, const struct iovec *iov, int n)
{
  ssize_t r;

  if (!is_ours (fd))
    return readv (fd, iov, n);
  r = scatter (&guarded->guard, fd, iov, n);
  if (r > 0)
    count_data (&guarded->guard, r);
  return r;
}

unsigned
guard_unread (const struct session *s)
{
  return s->guard.in_to - s->guard.in_from;
}

/* ---- sending ------------------------------------------------------------------- */

bool
guard_unsent (const struct session *s)
{
  return s->guard.out_from < s->guard.out_to;
}

/* R bytes are in the socket. */
static void
drop (struct guard *g, size_t r)
{
  uint32_t itt = NO_TAG;
  size_t size = 0;              /* of its data */

  while (r > 0) {
    struct iovec *const piece = &g->pieces[g->out_from];
    const size_t n = r < piece->iov_len ? r : piece->iov_len;

    if (g->itts[g->out_from] != NO_TAG) {
      if (g->itts[g->out_from] != itt) {
        if (size > 0)
          guard_sent (guarded, itt, size);
        itt = g->itts[g->out_from];
        size = 0;
      }
      size += n;
    }
    piece->iov_base = (char *) piece->iov_base + n;
    piece->iov_len -= n;
    r -= n;
    if (piece->iov_len == 0)
      g->out_from++;
  }
  if (size > 0)
    guard_sent (guarded, itt, size);
  if (g->out_from == g->out_to)
    g->out_from = g->out_to = g->out_size = 0;
}

/* What is kept; false: errno, it is not all in the socket. */
static bool
send_kept (struct guard *g, int fd)
{
  while (g->out_from < g->out_to) {
    const struct msghdr msg = {
      .msg_iov = &g->pieces[g->out_from],
      .msg_iovlen = g->out_to - g->out_from
    };
    const ssize_t r = sendmsg (fd, &msg, MSG_NOSIGNAL);

    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1)
      return false;
    drop (g, r);
  }
  return true;
}

/* For so many pieces, and BYTES of out; else errno. */
static bool
make_room (struct guard *g, int fd, unsigned pieces, size_t bytes)
{
  return (pieces <= GUARD_OUT_PIECES - g->out_to &&
          bytes <= GUARD_OUT_SIZE - g->out_size) || send_kept (g, fd);
}

static void
keep (struct guard *g, const void *base, size_t n, uint32_t itt)
{
  struct iovec *const next = &g->pieces[g->out_to];

  if (g->out_to > g->out_from && g->itts[g->out_to - 1] == itt &&
      (const char *) next[-1].iov_base + next[-1].iov_len == base)
    next[-1].iov_len += n;
  else {
    next->iov_base = (void *) base;
    next->iov_len = n;
    g->itts[g->out_to++] = itt;
  }
}

/* Headers, padding, texts: libiscsi frees them when we return. */
static ssize_t
our_send (int fd, const void *buf, size_t n, int flags)
{
  struct guard *g;

  if (!is_ours (fd))
    return send (fd, buf, n, flags);
  g = &guarded->guard;
  if (!make_room (g, fd, 1, n))
    return -1;
  if (n > GUARD_OUT_SIZE)
    return send (fd, buf, n, flags);
  memcpy (g->out + g->out_size, buf, n);
  keep (g, g->out + g->out_size, n, NO_TAG);
  if (n >= GUARD_BHS)           /* padding has less */
    g->itt = get_be32 (g->out + g->out_size + GUARD_AT_ITT);
  g->out_size += n;
  return n;
}

/* Data of a command, whose header came just before. */
static ssize_t
our_writev (int fd, const struct iovec *iov, int n)
{
  struct guard *g;
  ssize_t size = 0;

  if (!is_ours (fd))
    return writev (fd, iov, n);
  g = &guarded->guard;
  if (n > GUARD_OUT_PIECES)
    n = GUARD_OUT_PIECES;       /* libiscsi will come again */
  if (!make_room (g, fd, n, 0))
    return -1;
  for (int i = 0; i < n; i++) {
    keep (g, iov[i].iov_base, iov[i].iov_len, g->itt);
    size += iov[i].iov_len;
  }
  return size;
}

/* ---- around iscsi_service () ---------------------------------------------------- */

void
guard_enter (struct session *s)
{
  guarded = s;
  guarded_fd = iscsi_get_fd (s->ctx);
  guard_refill (s);
  s->guard.ahead = installed && reads_ahead (s);
  s->guard.drained = false;
}

void
guard_leave (struct session *s)
{
  struct guard *g = &s->guard;

  if (!s->dying && !send_kept (g, guarded_fd) && errno != EAGAIN)
    session_kill (s, FAIL_LOST, "cannot send: %m");
  guarded = NULL;
  /* Nothing waits to be sent: no answer to a NOP-In either. */
  if (!s->dying && !guard_unsent (s) && !(iscsi_which_events (s->ctx) & POLLOUT))
    g->nops = 0;
}

static void
install (void)
{
  static const struct hook hooks[] = {
    { "recv", (void *) our_recv },
    { "readv", (void *) our_readv },
    { "send", (void *) our_send },
    { "writev", (void *) our_writev },
    { NULL, NULL }
  };

  installed = hook_library ((void *) iscsi_service, "libiscsi.so", hooks);
}

bool
guard_install (void)
{
  /* Where the full feature phase is ours there is nothing to be guarded, and
   * nobody's memory is touched. */
  if (!session_is_own ())
    pthread_once (&once, install);
  return guard_is_installed ();
}

bool
guard_is_installed (void)
{
  return installed || session_is_own ();
}
