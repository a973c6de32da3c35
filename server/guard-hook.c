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

#include "engine.h"
#include "hook.h"

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

static void
count_data (struct guard *g, size_t n)
{
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
  return s->guard.out_size > 0;
}

/* R bytes of guard->out are in the socket. */
static void
drop (struct guard *g, size_t r)
{
  g->out_size -= r;
  memmove (g->out, g->out + r, g->out_size);
}

/* What is kept; false: errno, it is not all in the socket. */
static bool
send_kept (struct guard *g, int fd)
{
  while (g->out_size > 0) {
    const ssize_t r = send (fd, g->out, g->out_size, MSG_NOSIGNAL);

    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1)
      return false;
    drop (g, r);
  }
  return true;
}

static ssize_t
our_send (int fd, const void *buf, size_t n, int flags)
{
  struct guard *g;

  if (!is_ours (fd))
    return send (fd, buf, n, flags);
  g = &guarded->guard;
  if (n > GUARD_OUT_SIZE - g->out_size && !send_kept (g, fd))
    return -1;
  if (n > GUARD_OUT_SIZE)
    return send (fd, buf, n, flags);
  memcpy (g->out + g->out_size, buf, n);
  g->out_size += n;
  return n;
}

static ssize_t
our_writev (int fd, const struct iovec *iov, int n)
{
  struct iovec all[16];
  const int most = sizeof all / sizeof all[0] - 1;
  struct guard *g;
  ssize_t r;

  if (!is_ours (fd))
    return writev (fd, iov, n);
  g = &guarded->guard;
  if (n > most)
    n = most;                   /* libiscsi will come again */
  all[0].iov_base = g->out;
  all[0].iov_len = g->out_size;
  memcpy (all + 1, iov, n * sizeof iov[0]);
  r = g->out_size > 0 ? writev (fd, all, n + 1) : writev (fd, iov, n);
  if (r <= 0)
    return r;
  if ((size_t) r <= g->out_size) {
    drop (g, r);
    return no (EAGAIN);         /* the socket is full: nothing of the data */
  }
  r -= g->out_size;
  g->out_size = 0;
  guard_sent (guarded, iov[0].iov_base, r);
  return r;
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

  guarded = NULL;
  if (s->dying)
    return;
  if (!send_kept (g, guarded_fd) && errno != EAGAIN)
    session_kill (s, FAIL_LOST, "cannot send: %m");
  /* Nothing waits to be sent: no answer to a NOP-In either. */
  else if (g->out_size == 0 && !(iscsi_which_events (s->ctx) & POLLOUT))
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
  pthread_once (&once, install);
  return installed;
}

bool
guard_is_installed (void)
{
  return installed;
}
