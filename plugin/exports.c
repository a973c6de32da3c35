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

  engine_enter (engine);         /* "reconfigure" takes other settings */
  seconds = engine->settings->login_timeout + 2;
  engine_leave (engine);
  return seconds;
}

/* A new client has the capacity read again (client.c), and that is waited for,
 * but not for long. */
static void
refresh_capacity (struct handle *h)
{
  struct service_request sr = { .map = h->client.map, .op = SERVICE_CAPACITY };

  /* Without a path a client may open all the same: its I/O waits, or not, as
   * no_path_retry says. */
  if (!service_client_has_path (&h->client) || service_run (&sr) == -1)
    return;
  for (int i = 0;
       i < 40 && !service_client_resized (&h->client, sr.blocks); ++i)
    if (nbdkit_nanosleep (0, 50000000) == -1)
      return;
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
  h->client.map = engine_find_map (engine, nbdkit_export_name (),
                                   patience (), err, sizeof err);
  if (h->client.map == NULL) {
    plugin_error ("%s", err);
    nbdkit_set_error (ENOENT);
    free (h);
    return NULL;
  }
  /* nbdkit makes the connection's workers after this, from this thread. */
  engine_bind_thread (engine);
  h->client.readonly = readonly;
  if (service_client_open (&h->client) == -1) {
    plugin_error ("out of memory");
    nbdkit_set_error (ENOMEM);
    free (h);
    return NULL;
  }
  refresh_capacity (h);
  return h;
}

void
mpiscsi_close (void *handle)
{
  struct handle *h = handle;

  service_client_close (&h->client);
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

  service_describe (m, text, sizeof text);
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

/* "" (which open refuses with the list) if there is none. */
const char *
mpiscsi_default_export (int readonly, int is_tls)
{
  char *name = engine_default_name (engine, patience ());
  const char *interned = name ? nbdkit_strdup_intern (name) : "";

  (void) readonly;
  (void) is_tls;
  free (name);
  return interned;
}

static void
describe_one (struct map *m, void *opaque)
{
  struct { const struct map *map; char text[600]; } *d = opaque;

  if (m == d->map)
    service_describe (m, d->text, sizeof d->text);
}

const char *
mpiscsi_export_description (void *handle)
{
  const struct handle *h = handle;
  struct { const struct map *map; char text[600]; } d = { .map = h->client.map };

  engine_each_map (engine, describe_one, &d);
  return nbdkit_strdup_intern (d.text);
}
