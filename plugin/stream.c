/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams: which socket is one, what it is for, and its end.  See stream.h. */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"
#include "base/bytes.h"
#include "iscsi/hook.h"

/* Sockets with a higher number are served by nbdkit alone. */
#define MAX_FD 4096

static struct stream *_Atomic streams[MAX_FD];
static bool shortcut;

/* The request that nbdkit has in this thread. */
static __thread struct {
  struct stream *stream;        /* NULL: none */
  struct nbd_request nbd;
  bool fast;
  const struct handle *called;  /* NULL: not yet */
} current;

struct stream *
stream_of (int fd)
{
  return fd >= 0 && fd < MAX_FD
    ? atomic_load_explicit (&streams[fd], memory_order_acquire) : NULL;
}

/* From one of the first two states; false: it was in another. */
static bool
leave (struct stream *st, enum stream_state to)
{
  int was = atomic_load (&st->state);

  while (was == STREAM_LEARNING || was == STREAM_ACTIVE)
    if (atomic_compare_exchange_weak (&st->state, &was, to))
      return true;
  return false;
}

void
stream_end (struct stream *st, const char *why)
{
  if (!leave (st, STREAM_OVER))
    return;
  log_debug ("NBD socket %d: each request goes through nbdkit from now on: %s",
             st->fd, why);
}

/* ---- learning ------------------------------------------------------------------ */

void
stream_given (struct stream *st, const struct nbd_request *nbd, bool fast)
{
  current.stream = st;
  current.nbd = *nbd;
  current.fast = fast;
  current.called = NULL;
}

void
stream_called (const struct handle *h, int type, uint32_t count,
               uint64_t offset)
{
  if (current.stream != NULL && current.nbd.type == type &&
      current.nbd.count == count && current.nbd.offset == offset)
    current.called = h;
}

static void
learn (struct stream *st, const struct handle *h)
{
  /* nbdkit makes workers for more than one thread; else whoever asked for one
   * wants one request at a time. */
  if (pthread_equal (h->opener, pthread_self ())) {
    stream_end (st, "nbdkit has one thread");
    return;
  }
  pthread_mutex_lock (&st->lock);       /* against another worker that learns */
  if (atomic_load (&st->state) == STREAM_LEARNING) {
    int learning = STREAM_LEARNING;

    st->map = h->client.map;
    st->size = h->client.facts.blocks * h->client.facts.block_size;
    st->block_size = h->client.facts.block_size;
    st->writable = service_client_writable (&h->client);
    st->native_fua = h->client.facts.dpofua;
    atomic_compare_exchange_strong (&st->state, &learning, STREAM_ACTIVE);
  }
  pthread_mutex_unlock (&st->lock);
}

void
stream_replied (struct stream *st, const uint8_t *reply, size_t n)
{
  const struct handle *const called = current.called;
  uint64_t cookie;
  uint32_t magic;

  /* Simple replies have 16 bytes, structured ones 20; the cookie is at the same
   * place in both. */
  if (current.stream != st || n < 16)
    return;
  current.stream = NULL;
  magic = get_be32 (reply);
  memcpy (&cookie, reply + 8, sizeof cookie);
  if (cookie != current.nbd.cookie ||
      (magic != NBD_SIMPLE_REPLY_MAGIC && magic != NBD_STRUCTURED_REPLY_MAGIC))
    stream_end (st, "an unknown reply");
  else if (called == NULL) {
    /* Only what could have been ours has to have reached us.  Does nbdkit end?
     * Then that returns at once (and says so). */
    if (!current.fast)
      return;
    if (nbdkit_nanosleep (0, 1) == -1) {
      if (leave (st, STREAM_ENDING) && atomic_load (&st->at_request))
        shutdown (st->fd, SHUT_RD);
    }
    else
      stream_end (st, "nbdkit has answered without asking");
  }
  else {
    if (current.nbd.type == NBD_CMD_READ)
      atomic_store (&st->form, magic == NBD_SIMPLE_REPLY_MAGIC
                    ? FORM_SIMPLE : FORM_STRUCTURED);
    if (atomic_load (&st->state) == STREAM_LEARNING)
      learn (st, called);
  }
}

/* ---- life ---------------------------------------------------------------------- */

static void
begin (int fd, const struct nbd_request *nbd)
{
  struct stream *st;
  int type;
  socklen_t len = sizeof type;

  if (fd >= MAX_FD ||
      getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
      type != SOCK_STREAM)
    return;
  st = calloc (1, sizeof *st);
  if (st == NULL)
    return;                     /* perhaps with its next request */
  st->fd = fd;
  st->out_last = &st->out;
  pthread_mutex_init (&st->reading, NULL);
  pthread_mutex_init (&st->lock, NULL);
  pthread_cond_init (&st->changed, NULL);
  pthread_cond_init (&st->writer_wanted, NULL);
  st->owed = nbd_payload (nbd);
  st->nr_given = 1;
  stream_given (st, nbd, false);
  atomic_store_explicit (&streams[fd], st, memory_order_release);
}

static void
end (struct stream *st)
{
  replies_stop (st);
  log_debug ("NBD socket %d closed: %llu requests answered at once, %llu by "
             "nbdkit", st->fd, (unsigned long long) st->nr_fast,
             (unsigned long long) st->nr_given);
  pthread_cond_destroy (&st->writer_wanted);
  pthread_cond_destroy (&st->changed);
  pthread_mutex_destroy (&st->lock);
  pthread_mutex_destroy (&st->reading);
  free (st);
}

/* ---- nbdkit's calls ------------------------------------------------------------ */

static ssize_t
our_read (int fd, void *buf, size_t n)
{
  struct stream *st = stream_of (fd);
  struct nbd_request nbd;
  ssize_t r;

  if (st != NULL)
    return stream_read (st, buf, n);
  r = read (fd, buf, n);
  /* Not yet known; in the handshake nothing comes of it, since no worker is
   * called. */
  if (shortcut && r == NBD_REQUEST_SIZE && n == NBD_REQUEST_SIZE &&
      nbd_request_parse (buf, &nbd))
    begin (fd, &nbd);
  return r;
}

/* nbdkit has joined the workers of the connection. */
static int
our_close (int fd)
{
  struct stream *st = stream_of (fd);

  if (st != NULL) {
    atomic_store (&streams[fd], NULL);
    end (st);
  }
  return close (fd);
}

bool
streams_install (bool wanted)
{
  static const struct hook hooks[] = {
    { "read", (void *) our_read },
    { "send", (void *) replies_send },
    { "close", (void *) our_close },
    { NULL, NULL }
  };

  /* By which it would read or send past us. */
  static const char *const others[] = {
    "recv", "__recv_chk", "__read_chk", "readv", "recvmsg", "recvfrom",
    "sendmsg", "sendto", "writev", NULL
  };

  /* What nbdkit calls in each filter: nbdkit-filter(3). */
  shortcut = wanted && !hook_any_defines ("filter_init") &&
    !hook_imports ((void *) nbdkit_error, others);
  return hook_library ((void *) nbdkit_error, "", hooks);
}
