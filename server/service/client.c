/* SPDX-License-Identifier: BSD-3-Clause */
/* Those who have an export open, and what they have in common. */
#include <config.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/service-internal.h"

/* Requests are split anyway; this only bounds the client's buffers. */
#define MAXIMUM_BLOCK_SIZE (32 * 1024 * 1024)

/* A client that is gone before the flush that would have told it that data may
 * be lost (map->losses) may connect again and flush then: until one was told, new
 * connections are to be.  It may come before its old connection has ended here: so
 * they are, too, while one that is open was not told.  One for each map that was
 * opened. */
static struct disk *disks;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Under the mutex.  NULL: no memory, which is never so for the second time. */
static struct disk *
disk_of (const struct map *m)
{
  struct disk *d;

  for (d = disks; d != NULL; d = d->next)
    if (d->map == m)
      return d;
  d = calloc (1, sizeof *d);
  if (d != NULL) {
    d->map = m;
    ranges_init (&d->ranges);
    d->next = disks;
    disks = d;
  }
  return d;
}

int
service_client_open (struct service_client *c)
{
  unsigned known = map_losses (c->map);
  struct disk *d;

  map_get_facts (c->map, &c->facts);
  pthread_mutex_lock (&mutex);
  d = disk_of (c->map);
  if (d != NULL) {
    if (d->pending && d->known < known)
      known = d->known;
    for (const struct service_client *o = d->open; o != NULL; o = o->next_open)
      if (!o->readonly && o->losses < known)
        known = o->losses;
    c->losses = c->losses_at_open = known;
    c->next_open = d->open;
    d->open = c;
  }
  pthread_mutex_unlock (&mutex);
  c->disk = d;
  return d != NULL ? 0 : -1;
}

void
service_client_close (struct service_client *c)
{
  const unsigned now = map_losses (c->map), known = c->losses;
  struct disk *d = c->disk;
  struct service_client **p;

  pthread_mutex_lock (&mutex);
  for (p = &d->open; *p != c; p = &(*p)->next_open)
    ;
  *p = c->next_open;
  if (known == now) {
    if (known != c->losses_at_open)
      d->pending = false;       /* it was told */
  }
  else if (!c->readonly && (!d->pending || known < d->known)) {
    d->pending = true;
    d->known = known;
  }
  pthread_mutex_unlock (&mutex);
}

bool
service_client_writable (const struct service_client *c)
{
  return !c->readonly && !c->facts.write_protect;
}

bool
service_client_has_path (const struct service_client *c)
{
  bool found;

  engine_enter (c->map->engine);
  found = c->map->nr_active > 0;
  engine_leave (c->map->engine);
  return found;
}

/* A target that was resized should say so (UNIT ATTENTION 2A/09), but not all
 * do.  So a new client has the capacity read; if it is another, all paths
 * have to agree on it before the map takes it (map_capacity_seen). */
bool
service_client_resized (struct service_client *c, uint64_t blocks)
{
  struct list *l, *next;

  map_get_facts (c->map, &c->facts);
  if (blocks == 0 || blocks == c->facts.blocks)
    return true;
  engine_enter (c->map->engine);
  list_for_each (l, next, &c->map->paths)
    session_look_again (list_entry (l, struct path, map_node)->session);
  engine_leave (c->map->engine);
  return false;
}

void
service_block_sizes (const struct lu_facts *f, uint32_t *minimum,
                     uint32_t *preferred, uint32_t *maximum)
{
  /* NBD wants a power of 2 for it, and at most the maximum. */
  uint32_t best = f->physical_block_size > 4096 &&
    f->physical_block_size <= MAXIMUM_BLOCK_SIZE ? f->physical_block_size
                                                 : 4096;
  const uint64_t granularity =
    (uint64_t) f->optimal_granularity * f->block_size;

  if (best < f->block_size)
    best = f->block_size;
  if (granularity > best && granularity <= 1024 * 1024 &&
      (granularity & (granularity - 1)) == 0)
    best = granularity;
  *minimum = f->block_size;
  *preferred = best;
  *maximum = MAXIMUM_BLOCK_SIZE;
}

void
service_describe (const struct map *m, char *buf, size_t size)
{
  const double gib = (double) m->facts.blocks * m->facts.block_size /
    (1024. * 1024 * 1024);

  snprintf (buf, size, "%s %s, %.3g %s, %u of %u paths active, WWID %s",
            m->facts.vendor, m->facts.product,
            gib >= 1024 ? gib / 1024 : gib >= 1 ? gib : gib * 1024,
            gib >= 1024 ? "TiB" : gib >= 1 ? "GiB" : "MiB",
            m->nr_active, m->nr_paths, m->wwid);
}
