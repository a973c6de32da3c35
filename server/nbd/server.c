/* SPDX-License-Identifier: BSD-3-Clause */
/* The server: start and end, and what is done at the end of each turn. */
#include <config.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "control/control.h"
#include "nbd/nbd-internal.h"

#define TICK 0.25
/* Larger buffers go back to the system as soon as they are idle and not kept:
 * else what clients once had in flight would stay ours for ever. */
#define GIVE_BACK (512 * 1024)
/* Requests of one client at once, unless the configuration says otherwise. */
#define MAX_REQUESTS 256

void
server_idle (struct nbd_server *srv)
{
  if (srv->idle != NULL && srv->nr_connections == 0 &&
      (srv->stopping || srv->had_client))
    srv->idle (srv->idle_opaque, srv->stopping);
}

/* Those that have waited for memory longest are first.  At most as many as
 * there are now: who still has no room waits again. */
static void
feed_hungry (struct nbd_server *srv)
{
  struct list all;

  list_init (&all);
  list_splice_head (&all, &srv->hungry);
  while (!list_empty (&all)) {
    struct nbd_connection *c =
      list_entry (all.next, struct nbd_connection, hungry);

    if (srv->charged >= srv->total_memory) {
      list_splice_head (&srv->hungry, &all);
      return;
    }
    connection_continue (c);
    connection_dirty (c);
  }
}

/* True: there is something for the engine to do. */
static bool
server_turn (void *opaque)
{
  struct nbd_server *srv = opaque;
  struct list dirty;
  bool some = false;

  /* Those that are dirty again come in the next round, after the engine. */
  list_init (&dirty);
  list_splice_head (&dirty, &srv->dirty);
  while (!list_empty (&dirty)) {
    some = true;
    connection_turn (list_entry (dirty.next, struct nbd_connection, dirty));
  }
  if (srv->has_room && !list_empty (&srv->hungry))
    feed_hungry (srv);
  srv->has_room = false;
  if (some)
    server_idle (srv);
  return !list_empty (&srv->dirty) || service_has_new (srv->engine);
}

static void
drop_all (struct nbd_server *srv)
{
  struct list *l, *next;

  list_for_each (l, next, &srv->connections)
    connection_drop (list_entry (l, struct nbd_connection, node),
                     "the server ends");
}

static void
tick_cb (EV_P_ ev_timer *w, int revents)
{
  struct nbd_server *srv = w->data;
  const double now = service_now ();
  struct list *l, *next;

  (void) loop;
  (void) revents;
  list_for_each (l, next, &srv->connections)
    connection_check (list_entry (l, struct nbd_connection, node), now);
  if (srv->stopping) {
    if (now > srv->stop_at)
      drop_all (srv);
    server_idle (srv);
  }
  else
    listen_again (srv);
}

void
nbd_server_start (struct nbd_server *srv, struct engine *e)
{
  srv->engine = e;
  srv->loop = e->loop;
  ev_timer_init (&srv->tick, tick_cb, TICK, TICK);
  srv->tick.data = srv;
  ev_timer_start (srv->loop, &srv->tick);
  service_on_turn (e, server_turn, srv);
  control_clients (clients_list, srv);
  listen_start (srv);
}

int
nbd_server_add (struct nbd_server *srv, int fd, char *err, size_t size)
{
  const int one = 1;

  if (ioctl (fd, FIONBIO, &one) == -1 || connection_new (srv, fd) == NULL) {
    snprintf (err, size, "cannot serve descriptor %d: %m", fd);
    return -1;
  }
  return 0;
}

void
nbd_server_stop (struct nbd_server *srv, double timeout)
{
  struct list *l, *next;

  if (srv->stopping)
    return;
  srv->stopping = true;
  srv->stop_at = service_now () + timeout;
  listen_close (srv);
  list_for_each (l, next, &srv->connections) {
    struct nbd_connection *c = list_entry (l, struct nbd_connection, node);

    c->stopped = true;
    if (c->phase == NBD_HANDSHAKE ||
        (c->client_open && !service_client_has_path (&c->client)))
      connection_drop (c, "the server ends");
    else
      connection_finish (c);
  }
  /* idle () is called in the loop. */
  ev_feed_event (srv->loop, &srv->tick, EV_TIMER);
}

void
nbd_server_on_idle (struct nbd_server *srv,
                    void (*idle) (void *opaque, bool stopped), void *opaque)
{
  srv->idle = idle;
  srv->idle_opaque = opaque;
}

struct nbd_server *
nbd_server_new (const struct conf_nbd *conf, const char *default_socket,
                char *err, size_t size)
{
  static const enum handshake_tls tls[] = {
    [TLS_OFF] = HANDSHAKE_TLS_OFF, [TLS_ON] = HANDSHAKE_TLS_ON,
    [TLS_REQUIRE] = HANDSHAKE_TLS_REQUIRE,
  };
  struct nbd_server *srv = calloc (1, sizeof *srv);

  if (srv == NULL) {
    snprintf (err, size, "out of memory");
    return NULL;
  }
  mallopt (M_MMAP_THRESHOLD, GIVE_BACK);
  list_init (&srv->listeners);
  list_init (&srv->connections);
  list_init (&srv->dirty);
  list_init (&srv->hungry);
  srv->next_id = 1;
  srv->tls = tls[conf->tls];
  srv->readonly = conf->read_only;
  srv->strict = conf->unaligned == UNALIGNED_REFUSE;
  srv->max_requests = conf->threads > 0 ? conf->threads : MAX_REQUESTS;
  srv->max_connections = listen_limit (conf->max_connections);
  srv->connection_memory = (size_t) conf->connection_memory << 20;
  srv->total_memory = (size_t) conf->total_memory << 20;
  srv->handshake_timeout = conf->handshake_timeout;
  if (srv->tls != HANDSHAKE_TLS_OFF) {
    srv->credentials = tls_credentials_new (conf, err, size);
    if (srv->credentials == NULL)
      goto error;
  }
  if (listen_open (srv, conf, default_socket, err, size) == -1)
    goto error;
  return srv;

 error:
  nbd_server_free (srv);
  return NULL;
}

void
nbd_server_end (struct nbd_server *srv)
{
  struct list *l, *next;

  if (srv == NULL || srv->engine == NULL)
    return;
  control_clients (NULL, NULL);
  listen_close (srv);
  ev_timer_stop (srv->loop, &srv->tick);
  drop_all (srv);
  while (!list_empty (&srv->dirty))
    connection_turn (list_entry (srv->dirty.next, struct nbd_connection,
                                 dirty));
  /* A target that is silent still has what these have sent. */
  list_for_each (l, next, &srv->connections) {
    struct nbd_connection *c = list_entry (l, struct nbd_connection, node);

    if (c->client_open)
      service_client_close (&c->client);
    c->client_open = false;
  }
}

void
nbd_server_free (struct nbd_server *srv)
{
  if (srv == NULL)
    return;
  while (!list_empty (&srv->dirty))
    connection_turn (list_entry (srv->dirty.next, struct nbd_connection,
                                 dirty));
  listen_close (srv);
  slots_free (srv);
  tls_credentials_free (srv->credentials);
  free (srv);
}
