/* SPDX-License-Identifier: BSD-3-Clause */
/* Exports, for the handshake: which there are, and opening one.
 *
 * That may take a while: as long as the server has not been everywhere, the
 * export may still be found; and a new client has the capacity read again.  It
 * never takes longer than PATIENCE beyond that. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nbd/nbd-internal.h"

#define PATIENCE 2.0
#define AGAIN 0.05

struct nbd_open {
  struct service_request sr;    /* the first: SERVICE_CAPACITY */
  struct nbd_connection *c;
  ev_timer timer;
  double until;
  bool reading, known;          /* the capacity */
  bool orphan;                  /* nobody waits for it */
};

/* ---- what there is --------------------------------------------------------------- */

static void
fill (const struct nbd_server *srv, struct map *m, bool readonly,
      struct nbd_export *e)
{
  const struct lu_facts *f = &m->facts;
  const bool writable = !readonly && !f->write_protect;

  memset (e, 0, sizeof *e);
  snprintf (e->name, sizeof e->name, "%s", m->name);
  service_describe (m, e->description, sizeof e->description);
  e->size = f->blocks * f->block_size;
  /* Multi-conn, because there is no cache here, each connection uses the same
   * paths, and SYNCHRONIZE CACHE covers all of the LUN's volatile cache,
   * whoever wrote (SBC-3 5.22): a flush on one connection makes durable what
   * was acknowledged on any other. */
  e->flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
    NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE;
  if (f->rotation_rate > 1)
    e->flags |= NBD_FLAG_ROTATIONAL;
  if (!writable)
    e->flags |= NBD_FLAG_READ_ONLY;
  else {
    e->flags |= NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO;
    if (lu_can_trim (f))
      e->flags |= NBD_FLAG_SEND_TRIM;
  }
  service_block_sizes (f, &e->minimum, &e->preferred, &e->maximum);
  e->extents = true;            /* where the LUN does not know: data */
  e->strict = srv->strict;
}

static bool
look (void *opaque, const char *name, struct nbd_export *e)
{
  struct nbd_connection *c = opaque;
  char err[1024];
  struct map *m = engine_find_map (c->srv->engine, name, 0, err, sizeof err);

  if (m == NULL)
    return false;
  fill (c->srv, m, c->srv->readonly, e);
  return true;
}

static bool
list (void *opaque, unsigned n, struct nbd_export *e)
{
  struct nbd_connection *c = opaque;
  struct list *l, *next;

  list_for_each (l, next, &c->srv->engine->maps)
    if (n-- == 0) {
      fill (c->srv, list_entry (l, struct map, node), c->srv->readonly, e);
      return true;
    }
  return false;
}

/* ---- opening --------------------------------------------------------------------- */

static void
close_client (struct nbd_connection *c)
{
  if (c->client_open)
    service_client_close (&c->client);
  c->client_open = false;
}

static void
opened (struct nbd_open *o)
{
  struct nbd_connection *c = o->c;
  const bool go = c->hs->option != NBD_OPT_INFO;
  struct nbd_export e;

  ev_timer_stop (c->srv->loop, &o->timer);
  c->opening = NULL;
  fill (c->srv, c->client.map, c->client.readonly, &e);
  e.size = c->client.facts.blocks * c->client.facts.block_size;
  if (!go)
    close_client (c);
  if (o->reading)
    o->orphan = true;           /* its answer comes too late */
  else {
    c->held--;
    free (o);
  }
  handshake_opened (c->hs, &e, NULL, &c->say);
  connection_opened (c);
}

static void
refused (struct nbd_open *o, const char *why)
{
  struct nbd_connection *c = o->c;

  ev_timer_stop (c->srv->loop, &o->timer);
  c->opening = NULL;
  c->held--;
  free (o);
  close_client (c);
  log_error ("client %u (%s): %s", c->id, c->peer, why);
  handshake_opened (c->hs, NULL, why, &c->say);
  connection_opened (c);
}

static void
capacity_read (struct service_request *sr)
{
  struct nbd_open *o = (struct nbd_open *) sr;

  o->reading = false;
  if (o->orphan) {
    o->c->held--;
    connection_dirty (o->c);
    free (o);
    return;
  }
  o->known = true;
  if (service_client_resized (&o->c->client, sr->blocks))
    opened (o);
}

/* 0, 1: later, -1: err. */
static int
find (struct nbd_open *o, const char *name, char *err, size_t size)
{
  struct nbd_connection *c = o->c;

  c->client.map = engine_find_map (c->srv->engine, name, 0, err, size);
  if (c->client.map == NULL)
    return engine_all_settled (c->srv->engine) ? -1 : 1;
  c->client.readonly = c->srv->readonly;
  if (service_client_open (&c->client) == -1) {
    snprintf (err, size, "out of memory");
    return -1;
  }
  c->client_open = true;
  o->until = service_now () + PATIENCE;
  return 0;
}

static void
read_capacity (struct nbd_open *o)
{
  o->reading = true;
  service_prepare (&o->sr);
  o->sr.map = o->c->client.map;
  o->sr.op = SERVICE_CAPACITY;
  o->sr.done = capacity_read;
  service_start (&o->sr);
}

static void
timer_cb (EV_P_ ev_timer *w, int revents)
{
  struct nbd_open *o = w->data;
  struct nbd_connection *c = o->c;
  const bool late = service_now () > o->until;
  char err[1024];

  (void) loop;
  (void) revents;
  if (!c->client_open) {
    const int r = find (o, c->hs->name, err, sizeof err);

    if (r == -1 || (r == 1 && late))
      refused (o, err);
    else if (r == 0 && !service_client_has_path (&c->client))
      opened (o);
    else if (r == 0)
      read_capacity (o);
  }
  else if (!o->reading && !o->known)
    read_capacity (o);
  else if (late || (o->known && service_client_resized (&c->client,
                                                        o->sr.blocks)))
    opened (o);
}

static int
open_export (void *opaque, const char *name, bool go, struct nbd_export *e,
             char *err, size_t size)
{
  struct nbd_connection *c = opaque;
  struct nbd_open *o = calloc (1, sizeof *o);
  int r;

  if (o == NULL) {
    snprintf (err, size, "out of memory");
    return -1;
  }
  o->c = c;
  o->until = service_now () + c->srv->engine->settings->login_timeout + PATIENCE;
  r = find (o, name, err, size);
  /* Without a path a client may open all the same: its I/O waits, or not, as
   * no_path_retry says. */
  if (r == -1 || (r == 0 && !service_client_has_path (&c->client))) {
    free (o);
    if (r == -1) {
      log_error ("client %u (%s): %s", c->id, c->peer, err);
      return -1;
    }
    fill (c->srv, c->client.map, c->client.readonly, e);
    if (!go)
      close_client (c);
    return 0;
  }
  c->opening = o;
  c->held++;
  /* Not from in here: it may have its answer at once. */
  ev_timer_init (&o->timer, timer_cb, 0., AGAIN);
  o->timer.data = o;
  ev_timer_start (c->srv->loop, &o->timer);
  return 1;
}

const struct handshake_ops open_ops = {
  .open = open_export, .look = look, .list = list,
};

void
open_cancel (struct nbd_connection *c)
{
  struct nbd_open *o = c->opening;

  if (o == NULL)
    return;
  c->opening = NULL;
  ev_timer_stop (c->srv->loop, &o->timer);
  if (o->reading) {
    o->orphan = true;
    service_abandon (&o->sr);
  }
  else {
    c->held--;
    free (o);
  }
}
