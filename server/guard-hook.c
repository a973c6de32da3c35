/* SPDX-License-Identifier: BSD-3-Clause */
/* libiscsi's recv, readv and writev are ours: see guard.h. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
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

static ssize_t
read_header (struct guard *g, int fd, void *buf, size_t n, int flags)
{
  ssize_t r;

  if (g->header_have == 0) {
    /* Enough for now; poll () will tell that there is more. */
    if (g->budget == 0)
      return no (EAGAIN);
    g->budget--;
    g->header_size = n;         /* libiscsi knows whether there is a digest */
  }
  r = recv (fd, buf, n, flags);
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

  r = recv (fd, buf, n, flags);
  if (r <= 0)
    return r;
  count_data (g, r);
  /* libiscsi collects what is not the data of a read in one piece. */
  if (g->data_left == 0 && guard_wants_data (g) &&
      !guard_data (guarded, (uint8_t *) buf + r - g->data_size))
    return no (EPROTO);
  return r;
}

static ssize_t
our_readv (int fd, const struct iovec *iov, int n)
{
  const ssize_t r = readv (fd, iov, n);

  if (r > 0 && is_ours (fd)) {
    struct guard *g = &guarded->guard;

    count_data (g, r);
  }
  return r;
}

static ssize_t
our_writev (int fd, const struct iovec *iov, int n)
{
  const ssize_t r = writev (fd, iov, n);

  if (r > 0 && is_ours (fd))
    guard_sent (guarded, iov[0].iov_base, r);
  return r;
}

void
guard_enter (struct session *s)
{
  guarded = s;
  guarded_fd = iscsi_get_fd (s->ctx);
  guard_refill (s);
}

void
guard_leave (struct session *s)
{
  guarded = NULL;
  /* Nothing waits to be sent: no answer to a NOP-In either. */
  if (!s->dying && !(iscsi_which_events (s->ctx) & POLLOUT))
    s->guard.nops = 0;
}

static void
install (void)
{
  static const struct hook hooks[] = {
    { "recv", (void *) our_recv },
    { "readv", (void *) our_readv },
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
