/* SPDX-License-Identifier: BSD-3-Clause */
/* Replies to the client: those of a stream's own requests, and nbdkit's, one
 * after the other.  See stream.h. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "stream.h"
#include "base/bytes.h"

/* Of one client at a time.  More is not read from its socket; one request may
 * be larger. */
#define MAX_IN_FLIGHT 256
#define MAX_IN_FLIGHT_BYTES (64 * 1024 * 1024)
/* Buffers that a client keeps for its next requests. */
#define MAX_IDLE_BYTES (8 * 1024 * 1024)
/* Replies in one system call. */
#define BATCH 64

/* ---- slots --------------------------------------------------------------------- */

/* Lock held. */
static void
wake_waiters (struct stream *st)
{
  if (st->waiters > 0)
    pthread_cond_broadcast (&st->changed);
}

static void
wait_for_change (struct stream *st)
{
  st->waiters++;
  pthread_cond_wait (&st->changed, &st->lock);
  st->waiters--;
}

static bool
has_room (const struct stream *st, uint32_t count)
{
  return st->in_flight == 0 ||
    (st->in_flight < MAX_IN_FLIGHT &&
     st->in_flight_bytes + count <= MAX_IN_FLIGHT_BYTES);
}

bool
slot_room (struct stream *st, uint32_t count)
{
  bool r;

  pthread_mutex_lock (&st->lock);
  r = has_room (st, count);
  pthread_mutex_unlock (&st->lock);
  return r;
}

static bool
resize (struct slot *slot, uint32_t count)
{
  if (slot->capacity >= count)
    return true;
  free (slot->buf);
  slot->capacity = 0;
  slot->buf = malloc (count);
  if (slot->buf == NULL)
    return false;
  slot->capacity = count;
  return true;
}

struct slot *
slot_take (struct stream *st, uint32_t count)
{
  struct slot *slot;

  pthread_mutex_lock (&st->lock);
  while (!has_room (st, count))
    wait_for_change (st);
  st->in_flight++;
  st->in_flight_bytes += count;
  slot = st->idle;
  if (slot != NULL) {
    st->idle = slot->next;
    st->idle_bytes -= slot->capacity;
    /* Its buffer may be larger than what it is for. */
    slot->taken = slot->capacity > count ? slot->capacity : count;
    st->in_flight_bytes += slot->taken - count;
  }
  pthread_mutex_unlock (&st->lock);
  if (slot == NULL) {
    slot = calloc (1, sizeof *slot);
    if (slot != NULL) {
      slot->stream = st;
      slot->taken = count;
    }
  }
  if (slot != NULL) {
    if (resize (slot, count))
      return slot;
    slot_release (st, slot);
    return NULL;
  }
  pthread_mutex_lock (&st->lock);
  st->in_flight--;
  st->in_flight_bytes -= count;
  wake_waiters (st);
  pthread_mutex_unlock (&st->lock);
  return NULL;
}

/* Lock held. */
static void
put_back (struct stream *st, struct slot *slot)
{
  st->in_flight--;
  st->in_flight_bytes -= slot->taken;
  if (st->idle_bytes + slot->capacity > MAX_IDLE_BYTES) {
    free (slot->buf);
    slot->buf = NULL;
    slot->capacity = 0;
  }
  st->idle_bytes += slot->capacity;
  slot->next = st->idle;
  st->idle = slot;
  wake_waiters (st);
}

void
slot_release (struct stream *st, struct slot *slot)
{
  pthread_mutex_lock (&st->lock);
  put_back (st, slot);
  pthread_mutex_unlock (&st->lock);
}

/* ---- sending ------------------------------------------------------------------- */

static unsigned
add_iov (struct iovec *iov, const void *base, size_t size, size_t *skip)
{
  const size_t n = *skip < size ? *skip : size;

  *skip -= n;
  if (n == size)
    return 0;
  iov->iov_base = (char *) base + n;
  iov->iov_len = size - n;
  return 1;
}

/* Lock held, and let go meanwhile.  Of what is queued as much as goes, which is
 * all unless FLAGS has MSG_DONTWAIT or nbdkit wants its turn; that comes between
 * two replies. */
static void
send_queued (struct stream *st, int flags)
{
  struct iovec iov[2 * BATCH];

  st->sending = true;
  while (st->out != NULL && !st->broken &&
         (st->turns_wanted == 0 || st->out_sent > 0)) {
    const unsigned most = st->turns_wanted > 0 ? 1 : BATCH;
    struct msghdr msg = { .msg_iov = iov };
    size_t skip = st->out_sent;
    unsigned n = 0;
    ssize_t r;

    for (const struct slot *slot = st->out; slot != NULL && n < most;
         slot = slot->next, n++) {
      msg.msg_iovlen += add_iov (&iov[msg.msg_iovlen], slot->header,
                                 slot->header_size, &skip);
      msg.msg_iovlen += add_iov (&iov[msg.msg_iovlen], slot->buf,
                                 slot->data_size, &skip);
    }
    pthread_mutex_unlock (&st->lock);
    r = sendmsg (st->fd, &msg, flags | MSG_NOSIGNAL);
    const int err = errno;
    pthread_mutex_lock (&st->lock);
    if (r == -1) {
      if (err == EINTR)
        continue;
      if (err == EAGAIN)
        break;
      /* The reader will see it, and nbdkit end the connection. */
      st->broken = true;
      shutdown (st->fd, SHUT_RDWR);
      break;
    }
    st->out_sent += r;
    while (st->out != NULL &&
           st->out_sent >= st->out->header_size + st->out->data_size) {
      struct slot *slot = st->out;

      st->out_sent -= slot->header_size + slot->data_size;
      st->out = slot->next;
      put_back (st, slot);
    }
    if (st->out == NULL)
      st->out_last = &st->out;
  }
  if (st->broken) {
    while (st->out != NULL) {
      struct slot *slot = st->out;

      st->out = slot->next;
      put_back (st, slot);
    }
    st->out_last = &st->out;
    st->out_sent = 0;
  }
  st->sending = false;
  wake_waiters (st);
}

static void *
writer_thread (void *opaque)
{
  struct stream *st = opaque;

  pthread_mutex_lock (&st->lock);
  for (;;) {
    if (st->full && !st->sending &&
        (st->turns_wanted == 0 || st->out_sent > 0)) {
      send_queued (st, 0);
      if (st->out == NULL)
        st->full = false;
    }
    else if (st->stop_writer)
      break;
    else
      pthread_cond_wait (&st->writer_wanted, &st->lock);
  }
  pthread_mutex_unlock (&st->lock);
  return NULL;
}

/* Lock held. */
static void
want_writer (struct stream *st)
{
  st->full = true;
  if (!st->has_writer) {
    const int r = pthread_create (&st->writer, NULL, writer_thread, st);

    if (r != 0) {
      errno = r;
      log_error ("NBD socket %d: no thread for a slow client, so it is "
                 "disconnected: %m", st->fd);
      st->broken = true;
      st->full = false;
      shutdown (st->fd, SHUT_RDWR);
      send_queued (st, 0);      /* drops all */
      return;
    }
    st->has_writer = true;
  }
  pthread_cond_signal (&st->writer_wanted);
}

/* Lock held: after something was queued, or a turn is over. */
static void
send_now (struct stream *st)
{
  if (st->sending)
    return;                     /* who sends goes on */
  if (!st->full && st->turns_wanted == 0)
    send_queued (st, MSG_DONTWAIT);
  /* Also what a turn has kept back: whoever takes the turn goes on after it,
   * but a reply in two halves has to be completed before. */
  if (st->full || (st->out != NULL && st->out_sent > 0) ||
      (st->out != NULL && st->turns_wanted == 0))
    want_writer (st);
}

/* ---- replies of our own -------------------------------------------------------- */

/* Of the NBD protocol.  What service.h says requests fail with. */
static uint32_t
nbd_error (int err)
{
  switch (err) {
  case EPERM: return 1;
  case EIO: return 5;
  case ENOMEM: return 12;
  case ENOSPC: return 28;
  case ESHUTDOWN: return 108;
  default: return 22;           /* EINVAL */
  }
}

static void
make_reply (struct slot *slot, int err, bool structured)
{
  const bool read = slot->nbd.type == NBD_CMD_READ;
  uint8_t *const p = slot->header;

  memcpy (p + 8, &slot->nbd.cookie, sizeof slot->nbd.cookie);
  slot->data_size = 0;
  if (!read || !structured) {
    put_be32 (p, NBD_SIMPLE_REPLY_MAGIC);
    put_be32 (p + 4, err ? nbd_error (err) : 0);
    slot->header_size = 16;
  }
  else {
    put_be32 (p, NBD_STRUCTURED_REPLY_MAGIC);
    put_be16 (p + 4, NBD_REPLY_FLAG_DONE);
    if (err) {
      put_be16 (p + 6, NBD_REPLY_TYPE_ERROR);
      put_be32 (p + 16, 6);
      put_be32 (p + 20, nbd_error (err));
      put_be16 (p + 24, 0);     /* bytes of a message */
      slot->header_size = 26;
    }
    else {
      put_be16 (p + 6, NBD_REPLY_TYPE_OFFSET_DATA);
      put_be32 (p + 16, slot->nbd.count + 8);
      put_be64 (p + 20, slot->nbd.offset);
      slot->header_size = 28;
    }
  }
  if (read && !err)
    slot->data_size = slot->nbd.count;
}

/* Not by nbdkit_error, as for nbdkit's own requests: this is the thread that all
 * paths need, and it must not wait for who reads the log (log-thread.c).  Lock
 * held; at most one line a second. */
static void
log_failure (struct stream *st, const struct slot *slot, int err)
{
  const char *text = service_error_text (err);
  const double now = engine_now ();

  if (text == NULL)
    return;
  if (now - st->last_failure < 1) {
    st->failures_unsaid++;
    return;
  }
  log_error ("%s: %s (NBD socket %d, %u more since the last such line)",
             slot->nbd.type == NBD_CMD_READ ? "read" : "write", text, st->fd,
             st->failures_unsaid);
  st->last_failure = now;
  st->failures_unsaid = 0;
}

void
replies_done (struct request *req)
{
  struct stream *touched = NULL;

  while (req != NULL) {
    struct slot *const slot = (struct slot *) req;
    struct stream *const st = slot->stream;
    const int err = request_end (req);

    req = req->next;
    make_reply (slot, err, atomic_load_explicit (&st->form,
                                                 memory_order_relaxed) ==
                FORM_STRUCTURED);
    pthread_mutex_lock (&st->lock);
    if (err)
      log_failure (st, slot, err);
    slot->next = NULL;
    *st->out_last = slot;
    st->out_last = &slot->next;
    if (!st->touched) {
      st->touched = true;
      st->next_touched = touched;
      touched = st;
    }
    pthread_mutex_unlock (&st->lock);
  }
  /* A stream stays while it is touched, and its fd while it is there. */
  while (touched != NULL) {
    struct stream *const st = touched;

    pthread_mutex_lock (&st->lock);
    touched = st->next_touched;
    st->touched = false;
    send_now (st);
    wake_waiters (st);
    pthread_mutex_unlock (&st->lock);
  }
}

void
replies_drain (struct stream *st)
{
  pthread_mutex_lock (&st->lock);
  while (st->in_flight > 0 || st->sending || st->touched)
    wait_for_change (st);
  pthread_mutex_unlock (&st->lock);
}

void
replies_stop (struct stream *st)
{
  /* Whoever waits in sendmsg need not any more. */
  shutdown (st->fd, SHUT_RDWR);
  replies_drain (st);
  if (st->has_writer) {
    pthread_mutex_lock (&st->lock);
    st->stop_writer = true;
    pthread_cond_signal (&st->writer_wanted);
    pthread_mutex_unlock (&st->lock);
    pthread_join (st->writer, NULL);
  }
  while (st->idle != NULL) {
    struct slot *slot = st->idle;

    st->idle = slot->next;
    free (slot->buf);
    free (slot);
  }
}

/* ---- nbdkit's ------------------------------------------------------------------ */

/* nbdkit sends a reply in pieces: a structured reply to a read is its header,
 * the offset, and the data.  It marks all but the last with MSG_MORE, which
 * joins them on TCP, but which Unix sockets ignore: the client is woken for
 * each piece, and so are we by what it does then.  So on a Unix socket a piece
 * with MSG_MORE is kept and sent together with what follows, which is what
 * MSG_MORE means (send(2)).
 *
 * nbdkit sends all pieces of a reply in one thread, with the connection's write
 * lock held, and a thread never serves two connections; that is why what is
 * kept can be the thread's. */
static __thread struct {
  int fd_plus_1;                /* 0: none yet */
  bool is_unix;
  bool within;                  /* a reply */
  struct stream *turn;          /* that it has, within; NULL: not a stream */
  size_t size;
  char bytes[512];              /* headers are at most 32; block status has
                                   8 for each of its extents */
} kept;

static void
new_socket (int fd)
{
  int domain;
  socklen_t len = sizeof domain;

  kept.fd_plus_1 = fd + 1;
  kept.size = 0;
  kept.within = false;
  kept.turn = NULL;
  kept.is_unix = getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
    domain == AF_UNIX;
}

static ssize_t
send_piece (int fd, const void *buf, size_t n, int flags)
{
  if (!kept.is_unix)
    return send (fd, buf, n, flags);
  if ((flags & MSG_MORE) && n <= sizeof kept.bytes - kept.size) {
    memcpy (kept.bytes + kept.size, buf, n);
    kept.size += n;
    return n;
  }
  while (kept.size > 0) {
    struct iovec iov[2] = {
      { .iov_base = kept.bytes, .iov_len = kept.size },
      { .iov_base = (void *) buf, .iov_len = n }
    };
    const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
    const ssize_t r = sendmsg (fd, &msg, flags);

    if (r == -1)
      return -1;                /* EINTR: nbdkit tries this piece again */
    if ((size_t) r > kept.size) {
      n = r - kept.size;
      kept.size = 0;
      return n;
    }
    kept.size -= r;
    memmove (kept.bytes, kept.bytes + r, kept.size);
  }
  return send (fd, buf, n, flags);
}

static void
take_turn (struct stream *st)
{
  pthread_mutex_lock (&st->lock);
  st->turns_wanted++;
  while (st->sending || st->out_sent > 0)
    wait_for_change (st);
  st->turns_wanted--;
  st->sending = true;
  pthread_mutex_unlock (&st->lock);
}

/* FAILED: perhaps in the middle of a reply.  What came behind it now would be
 * taken for the rest of it. */
static void
end_turn (struct stream *st, bool failed)
{
  pthread_mutex_lock (&st->lock);
  if (failed) {
    st->broken = true;
    shutdown (st->fd, SHUT_RDWR);
  }
  st->sending = false;
  send_now (st);
  wake_waiters (st);
  pthread_mutex_unlock (&st->lock);
}

ssize_t
replies_send (int fd, const void *buf, size_t n, int flags)
{
  ssize_t r;

  if (kept.fd_plus_1 != fd + 1)
    new_socket (fd);
  if (!kept.within) {
    kept.within = true;
    kept.turn = stream_of (fd);
    if (kept.turn != NULL) {
      stream_replied (kept.turn, buf, n);
      take_turn (kept.turn);
    }
  }
  r = send_piece (fd, buf, n, flags);
  if (r == -1 ? errno != EINTR && errno != EAGAIN
      : (size_t) r == n && !(flags & MSG_MORE)) {
    const int err = errno;

    kept.within = false;
    if (r == -1)
      kept.size = 0;
    if (kept.turn != NULL)
      end_turn (kept.turn, r == -1);
    kept.turn = NULL;
    errno = err;
  }
  return r;
}
