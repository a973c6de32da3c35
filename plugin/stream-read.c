/* SPDX-License-Identifier: BSD-3-Clause */
/* The reader of a stream: requests from the client's socket, to the engine or to
 * nbdkit.  See stream.h. */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"
#include "base/bytes.h"

/* So often, in seconds, nbdkit gets a request that it need not have. */
#define SAMPLE 0.1

/* Bytes of a request; nbdkit refuses more than 64 MiB. */
#define LARGEST (32 * 1024 * 1024)

bool
nbd_request_parse (const uint8_t *p, struct nbd_request *nbd)
{
  if (get_be32 (p) != NBD_REQUEST_MAGIC)
    return false;
  nbd->flags = get_be16 (p + 4);
  nbd->type = get_be16 (p + 6);
  memcpy (&nbd->cookie, p + 8, sizeof nbd->cookie);
  nbd->offset = get_be64 (p + 16);
  nbd->count = get_be32 (p + 24);
  return true;
}

uint32_t
nbd_payload (const struct nbd_request *nbd)
{
  return nbd->type == NBD_CMD_WRITE ? nbd->count : 0;
}

/* Is it a read or write that nbdkit would hand to us as it is, and that
 * would come to the engine? */
static bool
is_plain (const struct stream *st, const struct nbd_request *nbd)
{
  const uint32_t bs = st->block_size;

  switch (nbd->type) {
  case NBD_CMD_READ:
    if (nbd->flags != 0)
      return false;
    break;
  case NBD_CMD_WRITE:
    if (!st->writable || (nbd->flags & ~NBD_CMD_FLAG_FUA) != 0 ||
        ((nbd->flags & NBD_CMD_FLAG_FUA) && !st->native_fua))
      return false;
    break;
  default:
    return false;
  }
  return nbd->count > 0 && nbd->count <= LARGEST && nbd->count % bs == 0 &&
    nbd->offset % bs == 0 && nbd->offset < st->size &&
    nbd->count <= st->size - nbd->offset;
}

static void
start_all (struct stream *st)
{
  struct request *last = st->last;

  st->last = NULL;
  if (last != NULL)
    requests_start (last);
}

/* ---- to nbdkit ----------------------------------------------------------------- */

/* A request, whose first NBD_REQUEST_SIZE bytes are at the head of what was
 * read. */
static ssize_t
give (struct stream *st, void *buf, const struct nbd_request *nbd, bool fast)
{
  start_all (st);
  /* nbdkit closes the socket when those requests that it knows of are done. */
  if (nbd->type == NBD_CMD_DISC)
    replies_drain (st);
  memcpy (buf, st->in + st->from, NBD_REQUEST_SIZE);
  st->from += NBD_REQUEST_SIZE;
  st->owed = nbd_payload (nbd);
  st->nr_given++;
  stream_given (st, nbd, fast);
  return NBD_REQUEST_SIZE;
}

/* Bytes that are no business of ours. */
static ssize_t
pass (struct stream *st, void *buf, size_t n)
{
  ssize_t r;

  if (st->from < st->to) {
    r = n < st->to - st->from ? n : st->to - st->from;
    memcpy (buf, st->in + st->from, r);
    st->from += r;
  }
  else
    r = read (st->fd, buf, n);
  if (r > 0)
    st->owed -= st->owed < (size_t) r ? st->owed : (size_t) r;
  return r;
}

/* While learning nothing is read that nbdkit has not asked for. */
static ssize_t
read_one (struct stream *st, uint8_t *buf)
{
  struct nbd_request nbd;
  size_t got = 0;

  while (got < NBD_REQUEST_SIZE) {
    const ssize_t r = read (st->fd, buf + got, NBD_REQUEST_SIZE - got);

    if (r == -1 && errno == EINTR && got > 0)
      continue;
    if (r <= 0) {
      if (got == 0)
        return r;
      stream_end (st, "the client has gone");
      return got;
    }
    got += r;
  }
  if (nbd_request_parse (buf, &nbd)) {
    st->owed = nbd_payload (&nbd);
    st->nr_given++;
    stream_given (st, &nbd, false);
  }
  else
    stream_end (st, "not a request");
  return got;
}

/* ---- to the engine --------------------------------------------------------------- */

/* The payload of a write.  False: errno, or 0 at the end of the stream. */
static bool
read_payload (struct stream *st, char *buf, size_t n)
{
  const size_t have = st->to - st->from < n ? st->to - st->from : n;

  memcpy (buf, st->in + st->from, have);
  st->from += have;
  if (have < n)
    start_all (st);
  for (size_t got = have; got < n; ) {
    const ssize_t r = recv (st->fd, buf + got, n - got, MSG_WAITALL);

    if (r == -1 && errno == EINTR)
      continue;
    if (r <= 0) {
      if (r == 0)
        errno = EBADMSG;        /* as nbdkit says it */
      return false;
    }
    got += r;
  }
  return true;
}

/* 1; 0: nbdkit shall do it; -1: errno, no more can be read. */
static int
make (struct stream *st, const struct nbd_request *nbd)
{
  const bool write = nbd->type == NBD_CMD_WRITE;
  struct slot *slot;

  if (!slot_room (st, nbd->count))
    start_all (st);             /* before waiting for it */
  slot = slot_take (st, nbd->count);
  if (slot == NULL)
    return 0;
  slot->nbd = *nbd;
  if (request_transfer (&slot->req, st->map, slot->buf, nbd->count,
                        nbd->offset, write,
                        nbd->flags & NBD_CMD_FLAG_FUA) == -1) {
    slot_release (st, slot);
    return 0;
  }
  st->from += NBD_REQUEST_SIZE;
  if (write && !read_payload (st, slot->buf, nbd->count)) {
    const int err = errno;

    request_end (&slot->req);
    slot_release (st, slot);
    errno = err;
    return -1;
  }
  slot->req.done = replies_done;
  slot->req.next = st->last;
  st->last = &slot->req;
  st->nr_fast++;
  return 1;
}

static ssize_t
read_more (struct stream *st)
{
  ssize_t r;

  memmove (st->in, st->in + st->from, st->to - st->from);
  st->to -= st->from;
  st->from = 0;
  atomic_store (&st->at_request, true);
  if (atomic_load (&st->state) == STREAM_ACTIVE)
    r = recv (st->fd, st->in + st->to, sizeof st->in - st->to, 0);
  else {
    r = -1;
    errno = EINTR;              /* nbdkit will come again */
  }
  atomic_store (&st->at_request, false);
  if (r > 0)
    st->to += r;
  return r;
}

/* At a request's beginning.  nbdkit does not know of ours when it handles what
 * comes now, which may be a disconnect. */
static ssize_t
not_active (struct stream *st, void *buf, size_t n)
{
  replies_drain (st);
  if (atomic_load (&st->state) == STREAM_OVER)
    return pass (st, buf, n);
  return 0;                     /* the end, for nbdkit */
}

static ssize_t
next_request (struct stream *st, void *buf)
{
  bool sample = false;

  for (;;) {
    while (st->to - st->from >= NBD_REQUEST_SIZE &&
           atomic_load (&st->state) == STREAM_ACTIVE) {
      struct nbd_request nbd;
      int r = 0;

      if (!nbd_request_parse (st->in + st->from, &nbd)) {
        stream_end (st, "not a request");
        break;
      }
      const bool plain = is_plain (st, &nbd);

      if (plain && !sample &&
          (nbd.type != NBD_CMD_READ || atomic_load (&st->form) != FORM_UNKNOWN))
        r = make (st, &nbd);
      if (r == 0)
        return give (st, buf, &nbd, plain);
      if (r == -1 && atomic_load (&st->state) != STREAM_ENDING)
        return -1;
    }
    start_all (st);
    if (atomic_load (&st->state) != STREAM_ACTIVE)
      return not_active (st, buf, NBD_REQUEST_SIZE);

    const ssize_t r = read_more (st);

    if (r == -1)
      return -1;                /* EINTR: nbdkit will come again */
    if (r == 0) {
      stream_end (st, "the client has gone");
      return not_active (st, buf, NBD_REQUEST_SIZE);
    }
    const double now = engine_now ();

    if (now >= st->next_sample) {
      sample = true;
      st->next_sample = now + SAMPLE;
    }
  }
}

/* Reader. */
ssize_t
stream_read (struct stream *st, void *buf, size_t n)
{
  ssize_t r;

  pthread_mutex_lock (&st->reading);
  if (st->owed == 0 && n != NBD_REQUEST_SIZE)
    stream_end (st, "nbdkit reads something else than a request");
  if (st->owed > 0)
    r = pass (st, buf, n);
  else
    switch (atomic_load (&st->state)) {
    case STREAM_LEARNING: r = read_one (st, buf); break;
    case STREAM_ACTIVE: r = next_request (st, buf); break;
    default: r = not_active (st, buf, n);
    }
  pthread_mutex_unlock (&st->reading);
  return r;
}
