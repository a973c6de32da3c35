/* SPDX-License-Identifier: BSD-3-Clause */
/* Exports: maps, as NBD clients see them. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin.h"

/* Long enough for one attempt at each portal and the look at its LUNs. */
static double
patience (void)
{
  return engine->settings->login_timeout + 2;
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

void *
mpiscsi_open (int readonly)
{
  struct handle *h = calloc (1, sizeof *h);
  char err[ERR_SIZE];

  if (h == NULL) {
    nbdkit_error ("calloc: %m");
    return NULL;
  }
  h->map = engine_find_map (engine, nbdkit_export_name (), patience (),
                            err, sizeof err);
  if (h->map == NULL) {
    nbdkit_error ("%s", err);
    nbdkit_set_error (ENOENT);
    free (h);
    return NULL;
  }
  h->readonly = readonly;
  map_get_facts (h->map, &h->facts);
  return h;
}

void
mpiscsi_close (void *handle)
{
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
  struct { unsigned n; struct map *map; } *c = opaque;

  c->n++;
  c->map = m;
}

/* The name of the only one; "" (which open refuses with the list) if there
 * are several. */
const char *
mpiscsi_default_export (int readonly, int is_tls)
{
  struct { unsigned n; struct map *map; } c = { 0, NULL };

  (void) readonly;
  (void) is_tls;
  engine_wait_settled (engine, patience ());
  engine_each_map (engine, count_one, &c);
  return c.n == 1 ? nbdkit_strdup_intern (c.map->name) : "";
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
