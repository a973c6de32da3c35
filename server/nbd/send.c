/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes to a client: all that is there, in as few system calls as possible, and
 * as much as it takes without waiting. */
#include <config.h>

#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "nbd/nbd-internal.h"

bool
connection_has_output (const struct nbd_connection *c)
{
  return c->say.len > 0 || c->out != NULL ||
    (c->tls != NULL && tls_has_output (c->tls));
}

static ssize_t
write_some (struct nbd_connection *c, struct iovec *iov, int n)
{
  struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
  ssize_t r;

  /* The handshake of TLS itself is tls.c's; what comes before it is plain. */
  if (c->tls != NULL)
    return tls_writev (c->tls, iov, n);
  do
    r = sendmsg (c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (r == -1 && errno == EINTR);
  return r;
}

/* False: the socket is full, or broken. */
static bool
failed (struct nbd_connection *c, bool *good)
{
  *good = errno == EAGAIN || errno == EWOULDBLOCK;
  c->full = *good;
  return false;
}

static bool
send_say (struct nbd_connection *c, bool *good)
{
  while (c->say.len > 0) {
    struct iovec iov = { .iov_base = c->say.data, .iov_len = c->say.len };
    const ssize_t r = write_some (c, &iov, 1);

    if (r == -1)
      return failed (c, good);
    nbd_buffer_drop (&c->say, r);
    c->has_room = true;
  }
  return true;
}

static unsigned
add_iov (struct iovec *iov, void *base, size_t size, size_t *skip)
{
  const size_t n = *skip < size ? *skip : size;

  *skip -= n;
  if (n == size)
    return 0;
  iov->iov_base = (char *) base + n;
  iov->iov_len = size - n;
  return 1;
}

static void
sent (struct nbd_connection *c, size_t n)
{
  c->out_sent += n;
  while (c->out != NULL &&
         c->out_sent >= c->out->header_size + c->out->data_size) {
    struct nbd_slot *slot = c->out;

    c->out_sent -= slot->header_size + slot->data_size;
    c->out = slot->next;
    slot_free (slot);
  }
  if (c->out == NULL)
    c->out_last = &c->out;
}

static bool
send_replies (struct nbd_connection *c, bool *good)
{
  while (c->out != NULL) {
    struct iovec iov[2 * NBD_BATCH];
    size_t skip = c->out_sent;
    unsigned n = 0, slots = 0;
    ssize_t r;

    for (struct nbd_slot *slot = c->out; slot != NULL && slots < NBD_BATCH;
         slot = slot->next, slots++) {
      n += add_iov (&iov[n], slot->whole ? slot->whole : slot->header,
                    slot->header_size, &skip);
      n += add_iov (&iov[n], slot->buf, slot->data_size, &skip);
    }
    r = write_some (c, iov, n);
    if (r == -1)
      return failed (c, good);
    sent (c, r);
  }
  return true;
}

bool
connection_send (struct nbd_connection *c)
{
  bool good = true;

  if (c->full)
    return true;
  if (send_say (c, &good) && send_replies (c, &good) && c->tls != NULL) {
    const int r = tls_flush (c->tls);

    good = r != -1;
    c->full = r == 0;
  }
  return good;
}
