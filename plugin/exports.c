/* SPDX-License-Identifier: BSD-3-Clause */
/* Exports: maps, as NBD clients see them. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin.h"

/* Long enough for one attempt at each portal and the look at its LUNs. */
static double
patience (void)
{
  double seconds;

  engine_lock (engine);         /* "reconfigure" takes other settings */
  seconds = engine->settings->login_timeout + 2;
  engine_unlock (engine);
  return seconds;
}

static void
describe (const struct map *m, char *buf, size_t size)
{
  const double gib = (double) m->facts.blocks * m->facts.block_size /
    (1024. * 1024 * 1024);

  snprintf (buf, size, "%s %s, %.3g %s, %u of %u paths active, WWID %s",
            m->facts.vendor, m->facts.product,
            gib >= 1024 ? gib / 1024 : gib >= 1 ? gib : gib * 1024,
            gib >= 1024 ? "TiB" : gib >= 1 ? "GiB" : "MiB",
            m->nr_active, m->nr_paths, m->wwid);
}

/* Is there any?  LOOK: what is behind each shall be looked at again. */
static bool
any_path (struct map *m, bool look)
{
  struct list *l, *next;
  bool found;

  engine_lock (engine);
  found = m->nr_active > 0;
  if (look)
    list_for_each (l, next, &m->paths)
      list_entry (l, struct path, map_node)->session->want_probe = true;
  engine_unlock (engine);
  return found;
}

/* A target that was resized should say so (UNIT ATTENTION 2A/09), but not all
 * do.  So a new client has the capacity read; if it is another, all paths
 * have to agree on it before the map takes it (map_capacity_seen), and that
 * is waited for, but not for long. */
static void
refresh_capacity (struct handle *h)
{
  struct lu_facts seen;
  struct request req;
  uint8_t answer[32] = { 0 };

  /* Without a path a client may open all the same: its I/O waits, or not, as
   * no_path_retry says. */
  if (!any_path (h->map, false) ||
      request_init (&req, h->map, OP_READ, 1) == -1)
    return;
  req.part.optional = true;
  req.part.may_be_short = true;
  command_prepare (&req.part,
                   cdb_read_capacity16 (req.part.cdb, sizeof answer),
                   SCSI_XFER_READ, answer, sizeof answer);
  lu_facts_init (&seen);
  if (request_finish (&req) == -1 || req.residual >= sizeof answer ||
      !parse_read_capacity16 (&seen, answer, sizeof answer - req.residual) ||
      seen.blocks == h->facts.blocks ||
      seen.block_size != h->facts.block_size)
    return;
  any_path (h->map, true);
  for (int i = 0; i < 40 && h->facts.blocks != seen.blocks; ++i) {
    if (nbdkit_nanosleep (0, 50000000) == -1)
      return;
    map_get_facts (h->map, &h->facts);
  }
}

/* ---- losses that nobody was told of ---------------------------------------------- */

/* A client that is gone before the flush that would have told it that data may
 * be lost (map->losses) may connect again and flush then: until one was told, new
 * connections are to be.  It may come before its old connection has ended here: so
 * they are, too, while one that is open was not told.  One for each map that was
 * opened. */
struct untold {
  struct untold *next;
  const struct map *map;
  struct handle *open;
  bool pending;
  unsigned known;               /* if so: what the one that is gone knew of */
};
static struct untold *untold;
static pthread_mutex_t untold_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Under the mutex.  NULL: no memory, which is never so for the second time. */
static struct untold *
untold_of (const struct map *m)
{
  struct untold *u;

  for (u = untold; u != NULL; u = u->next)
    if (u->map == m)
      return u;
  u = calloc (1, sizeof *u);
  if (u != NULL) {
    u->map = m;
    u->next = untold;
    untold = u;
  }
  return u;
}

static bool
losses_begin (struct handle *h)
{
  unsigned known = map_losses (h->map);
  struct untold *u;

  pthread_mutex_lock (&untold_mutex);
  u = untold_of (h->map);
  if (u != NULL) {
    if (u->pending && u->known < known)
      known = u->known;
    for (const struct handle *o = u->open; o != NULL; o = o->next_open)
      if (!o->readonly && o->losses < known)
        known = o->losses;
    h->losses = h->losses_at_open = known;
    h->next_open = u->open;
    u->open = h;
  }
  pthread_mutex_unlock (&untold_mutex);
  return u != NULL;
}

static void
losses_end (const struct handle *h)
{
  const unsigned now = map_losses (h->map), known = h->losses;
  struct handle **p;
  struct untold *u;

  pthread_mutex_lock (&untold_mutex);
  u = untold_of (h->map);
  for (p = &u->open; *p != h; p = &(*p)->next_open)
    ;
  *p = h->next_open;
  if (known == now) {
    if (known != h->losses_at_open)
      u->pending = false;       /* it was told */
  }
  else if (!h->readonly && (!u->pending || known < u->known)) {
    u->pending = true;
    u->known = known;
  }
  pthread_mutex_unlock (&untold_mutex);
}

/* ---- connections --------------------------------------------------------------------- */

void *
mpiscsi_open (int readonly)
{
  struct handle *h = calloc (1, sizeof *h);
  char err[ERR_SIZE];

  if (h == NULL) {
    plugin_error ("calloc: %m");
    return NULL;
  }
  h->map = engine_find_map (engine, nbdkit_export_name (), patience (),
                            err, sizeof err);
  if (h->map == NULL) {
    plugin_error ("%s", err);
    nbdkit_set_error (ENOENT);
    free (h);
    return NULL;
  }
  /* nbdkit makes the connection's workers after this, from this thread. */
  engine_bind_thread (engine);
  h->opener = pthread_self ();
  h->readonly = readonly;
  if (!losses_begin (h)) {
    plugin_error ("out of memory");
    nbdkit_set_error (ENOMEM);
    free (h);
    return NULL;
  }
  map_get_facts (h->map, &h->facts);
  refresh_capacity (h);
  return h;
}

void
mpiscsi_close (void *handle)
{
  losses_end (handle);
  free (handle);
}

struct listing {
  struct nbdkit_exports *exports;
  int error;
};

static void
list_one (struct map *m, void *opaque)
{
  struct listing *l = opaque;
  char text[600];

  describe (m, text, sizeof text);
  if (nbdkit_add_export (l->exports, m->name, text) == -1)
    l->error = -1;
}

int
mpiscsi_list_exports (int readonly, int is_tls, struct nbdkit_exports *exports)
{
  struct listing l = { .exports = exports };

  (void) readonly;
  (void) is_tls;
  engine_wait_settled (engine, patience ());
  engine_each_map (engine, list_one, &l);
  return l.error;
}

static void
count_one (struct map *m, void *opaque)
{
  struct { unsigned n; const char *name; } *c = opaque;

  c->n++;
  c->name = nbdkit_strdup_intern (m->name);
}

/* The name of the only one; "" (which open refuses with the list) if there
 * are several. */
const char *
mpiscsi_default_export (int readonly, int is_tls)
{
  struct { unsigned n; const char *name; } c = { 0, NULL };

  (void) readonly;
  (void) is_tls;
  engine_wait_settled (engine, patience ());
  engine_each_map (engine, count_one, &c);
  return c.n == 1 ? c.name : "";
}

static void
describe_one (struct map *m, void *opaque)
{
  struct { const struct map *map; char text[600]; } *d = opaque;

  if (m == d->map)
    describe (m, d->text, sizeof d->text);
}

const char *
mpiscsi_export_description (void *handle)
{
  const struct handle *h = handle;
  struct { const struct map *map; char text[600]; } d = { .map = h->map };

  engine_each_map (engine, describe_one, &d);
  return nbdkit_strdup_intern (d.text);
}
