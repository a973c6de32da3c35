/* SPDX-License-Identifier: BSD-3-Clause */
/* A client's connection: when it is read, and its end.  See nbd.h. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd/nbd-internal.h"

void
connection_dirty (struct nbd_connection *c)
{
  if (list_empty (&c->dirty))
    list_add_tail (&c->srv->dirty, &c->dirty);
}

/* ---- end ------------------------------------------------------------------------- */

static void
connection_free (struct nbd_connection *c)
{
  if (c->client_open)
    service_client_close (&c->client);
  list_del (&c->node);
  list_del (&c->dirty);
  list_del (&c->hungry);
  free (c);
}

/* Nobody waits for those any more. */
static void
abandon_all (struct nbd_connection *c)
{
  struct list all;

  service_take_new (c->srv->engine);    /* what was just started, too */
  list_init (&all);
  list_splice_head (&all, &c->flight);
  while (!list_empty (&all)) {
    struct nbd_slot *slot = list_entry (all.next, struct nbd_slot, node);

    list_del (&slot->node);
    list_add_tail (&c->flight, &slot->node);
    service_abandon (&slot->sr);
  }
}

static void
forget_reading (struct nbd_connection *c)
{
  if (c->reading != NULL)
    slot_free (c->reading);
  c->reading = NULL;
}

void
connection_drop (struct nbd_connection *c, const char *why)
{
  struct nbd_server *srv = c->srv;

  if (c->phase == NBD_GONE)
    return;
  log_debug ("client %u (%s): disconnected: %s", c->id, c->peer, why);
  ev_io_stop (srv->loop, &c->io);
  if (c->tls != NULL)
    tls_free (c->tls);
  c->tls = NULL;
  close (c->fd);
  c->fd = -1;
  c->phase = NBD_GONE;
  c->blocked = false;
  list_del (&c->hungry);
  free (c->hs);
  c->hs = NULL;
  nbd_buffer_free (&c->say);
  free (c->rest);
  c->rest = NULL;
  c->rest_len = 0;
  forget_reading (c);
  while (c->out != NULL) {
    struct nbd_slot *slot = c->out;

    c->out = slot->next;
    slot_free (slot);
  }
  c->out_last = &c->out;
  open_cancel (c);
  abandon_all (c);
  srv->nr_connections--;
  listen_again (srv);
  connection_dirty (c);
}

void
connection_finish (struct nbd_connection *c)
{
  if (c->phase == NBD_CLOSING || c->phase == NBD_GONE)
    return;
  c->phase = NBD_CLOSING;
  c->blocked = false;
  list_del (&c->hungry);
  forget_reading (c);
  connection_dirty (c);
}

/* CLOSING: is it over? */
static void
close_if_done (struct nbd_connection *c)
{
  if (!list_empty (&c->flight) || connection_has_output (c))
    return;
  if (c->tls != NULL && !c->securing)
    tls_bye (c->tls);
  connection_drop (c, "good-bye");
}

/* ---- reading --------------------------------------------------------------------- */

/* Who sends options without reading the answers is not read. */
static bool
is_read (const struct nbd_connection *c)
{
  return c->phase == NBD_HANDSHAKE
    ? c->hs->state != HANDSHAKE_WAIT && c->say.len == 0
    : c->phase == NBD_TRANSMISSION && !c->blocked;
}

void
connection_watch (struct nbd_connection *c)
{
  int events = 0;

  if (c->phase == NBD_GONE)
    return;
  if (is_read (c))
    events |= EV_READ;
  if (c->full)
    events |= EV_WRITE;
  if (events == (c->io.events & (EV_READ | EV_WRITE)) &&
      ev_is_active (&c->io) == (events != 0))
    return;
  ev_io_stop (c->srv->loop, &c->io);
  ev_io_set (&c->io, c->fd, events);
  if (events != 0)
    ev_io_start (c->srv->loop, &c->io);
}

/* TRANSMISSION, or still HANDSHAKE. */
static void
after_handshake (struct nbd_connection *c)
{
  struct handshake *h = c->hs;

  if (c->say.failed)
    connection_drop (c, "out of memory");
  else if (h->state == HANDSHAKE_CLOSE)
    connection_finish (c);
  else if (h->state == HANDSHAKE_TRANSMISSION) {
    transmission_start (&c->tr, h);
    memcpy (c->export, h->export.name, sizeof c->export);
    c->phase = NBD_TRANSMISSION;
    free (h);
    c->hs = NULL;
  }
}

static size_t
use_handshake (struct nbd_connection *c, const uint8_t *in, size_t n)
{
  const size_t used = handshake_input (c->hs, in, n, &c->say);

  if (used > 0)
    connection_dirty (c);
  if (c->hs->state == HANDSHAKE_TLS && used < n)
    /* Sent before TLS was on: by whom, nobody knows. */
    connection_drop (c, "data between STARTTLS and TLS");
  else
    after_handshake (c);
  return used;
}

/* N bytes at IN, which were read.  What is not used is kept. */
static void
use (struct nbd_connection *c, const uint8_t *in, size_t n)
{
  size_t used = 0;

  if (c->phase == NBD_HANDSHAKE)
    used = use_handshake (c, in, n);
  if (c->phase == NBD_TRANSMISSION)
    used += requests_input (c, in + used, n - used);
  if (c->phase == NBD_CLOSING || c->phase == NBD_GONE || used == n)
    return;
  c->rest = malloc (n - used);
  if (c->rest == NULL) {
    connection_drop (c, "out of memory");
    return;
  }
  c->rest_len = n - used;
  memcpy (c->rest, in + used, c->rest_len);
}

void
connection_continue (struct nbd_connection *c)
{
  uint8_t *const rest = c->rest;
  const size_t n = c->rest_len;

  c->rest = NULL;
  c->rest_len = 0;
  c->blocked = false;
  list_del (&c->hungry);
  use (c, rest, n);             /* also with n = 0: a header that was begun */
  free (rest);
}

void
connection_opened (struct nbd_connection *c)
{
  after_handshake (c);
  if (c->phase == NBD_HANDSHAKE || c->phase == NBD_TRANSMISSION)
    connection_continue (c);
  connection_dirty (c);
}

/* Is it the whole connection that is closed, or only one half of it?  (Of TCP
 * nobody knows until something is sent.) */
static bool
has_gone (const struct nbd_connection *c)
{
  struct pollfd pfd = { .fd = c->fd, .events = POLLRDHUP };
  int domain;
  socklen_t len = sizeof domain;

  if (poll (&pfd, 1, 0) <= 0)
    return false;
  if (pfd.revents & (POLLHUP | POLLERR))
    return true;
  return (pfd.revents & POLLRDHUP) && c->phase != NBD_CLOSING &&
    getsockopt (c->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
    domain != AF_UNIX;
}

static ssize_t
read_some (struct nbd_connection *c, const struct iovec *iov, int n)
{
  struct msghdr msg = { .msg_iov = (struct iovec *) iov, .msg_iovlen = n };
  ssize_t r;

  if (c->tls != NULL)
    return tls_readv (c->tls, iov, n);
  do
    r = recvmsg (c->fd, &msg, MSG_DONTWAIT);
  while (r == -1 && errno == EINTR);
  return r;
}

static void
end_of_file (struct nbd_connection *c)
{
  if (has_gone (c))
    connection_drop (c, "the client has gone");
  else
    connection_finish (c);
}

static void
read_client (struct nbd_connection *c)
{
  struct nbd_server *srv = c->srv;
  struct iovec iov[2];
  size_t space = 0, have = c->rest_len;
  uint8_t *to = NULL;
  int n = 0;
  ssize_t r;

  if (c->phase == NBD_TRANSMISSION && c->tr.state == TRANSMISSION_PAYLOAD)
    to = transmission_space (&c->tr, &space);
  if (to != NULL)
    iov[n++] = (struct iovec) { .iov_base = to, .iov_len = space };
  else
    space = 0;
  if (have > 0) {
    memcpy (srv->in, c->rest, have);
    free (c->rest);
    c->rest = NULL;
    c->rest_len = 0;
  }
  iov[n++] = (struct iovec) {
    .iov_base = srv->in + have,
    .iov_len = (space >= NBD_LARGE ? NBD_IN_BEHIND_LARGE : sizeof srv->in) - have
  };
  r = read_some (c, iov, n);
  srv->now = service_now ();
  if (r <= 0) {
    if (r == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      use (c, srv->in, have);   /* is kept again */
      return;
    }
    if (r == -1)
      connection_drop (c, "reading failed");
    else
      end_of_file (c);
    return;
  }
  if (to != NULL) {
    const size_t direct = (size_t) r < space ? (size_t) r : space;

    transmission_filled (&c->tr, direct);
    r -= direct;
  }
  use (c, srv->in, have + r);
}

static void
secure (struct nbd_connection *c)
{
  char err[200];
  const int r = tls_handshake (c->tls, err, sizeof err);

  if (r == -1) {
    log_info ("client %u (%s): TLS: %s", c->id, c->peer, err);
    connection_drop (c, "TLS failed");
    return;
  }
  c->full = tls_has_output (c->tls);
  if (r == 1) {
    c->securing = false;
    handshake_secured (c->hs);
  }
}

static void
io_cb (EV_P_ ev_io *w, int revents)
{
  struct nbd_connection *c = w->data;

  (void) loop;
  if (revents & EV_WRITE) {
    c->full = false;
    if (c->securing && tls_flush (c->tls) == 0)
      c->full = true;
  }
  if ((revents & EV_READ) && c->securing)
    secure (c);
  else if ((revents & EV_READ) && !(c->io.events & EV_READ))
    ;                           /* fed, and not wanted any more */
  else if (revents & EV_READ)
    read_client (c);
  connection_dirty (c);
}

/* ---- turns ----------------------------------------------------------------------- */

static void
start_tls (struct nbd_connection *c)
{
  c->tls = tls_new (c->srv->credentials, c->fd);
  c->securing = true;
  if (c->tls == NULL)
    connection_drop (c, "out of memory");
}

void
connection_turn (struct nbd_connection *c)
{
  list_del (&c->dirty);
  if (c->phase != NBD_GONE && !c->securing && !connection_send (c))
    connection_drop (c, "the client has gone");
  list_del (&c->dirty);
  if (c->phase == NBD_GONE) {
    if (c->nr_slots == 0 && c->held == 0)
      connection_free (c);
    return;
  }
  if (c->phase == NBD_HANDSHAKE && c->hs->state == HANDSHAKE_TLS &&
      c->say.len == 0 && c->tls == NULL)
    start_tls (c);
  if (c->phase == NBD_CLOSING)
    close_if_done (c);
  else if (c->has_room && (c->blocked ? list_empty (&c->hungry)
                           : c->rest_len > 0 && is_read (c)))
    connection_continue (c);
  c->has_room = false;
  connection_watch (c);
  /* Read from the socket already, so that the loop does not see it. */
  if (c->tls != NULL && !c->securing && (c->io.events & EV_READ) &&
      ev_is_active (&c->io) && tls_has_input (c->tls))
    ev_feed_event (c->srv->loop, &c->io, EV_READ);
}

void
connection_check (struct nbd_connection *c, double now)
{
  if (c->phase == NBD_GONE)
    return;
  if (c->phase == NBD_HANDSHAKE &&
      now - c->since > c->srv->handshake_timeout) {
    log_info ("client %u (%s): no handshake within %g seconds", c->id, c->peer,
              c->srv->handshake_timeout);
    connection_drop (c, "handshake timeout");
  }
  else if (!(ev_is_active (&c->io) && (c->io.events & EV_READ)) &&
           has_gone (c))
    connection_drop (c, "the client has gone");
}

struct nbd_connection *
connection_new (struct nbd_server *srv, int fd)
{
  struct nbd_connection *c = calloc (1, sizeof *c);

  if (c == NULL || (c->hs = malloc (sizeof *c->hs)) == NULL) {
    free (c);
    return NULL;
  }
  c->srv = srv;
  c->fd = fd;
  c->id = srv->next_id++;
  c->since = service_now ();
  c->out_last = &c->out;
  list_init (&c->dirty);
  list_init (&c->hungry);
  list_init (&c->flight);
  listen_peer_name (fd, c->peer, sizeof c->peer);
  ev_io_init (&c->io, io_cb, fd, 0);
  c->io.data = c;
  list_add_tail (&srv->connections, &c->node);
  srv->nr_connections++;
  srv->had_client = true;
  handshake_start (c->hs, &open_ops, c, srv->tls, &c->say);
  log_debug ("client %u (%s): connected", c->id, c->peer);
  connection_dirty (c);
  return c;
}
