/* SPDX-License-Identifier: BSD-3-Clause */
/* Maps, as connections find them; and waiting for them. */
#include <config.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "service/service-internal.h"

static struct map *
lookup (struct engine *e, const char *name, char *err, size_t size)
{
  struct list *l, *next;

  if (name[0] == '\0')
    return default_map (e, err, size);
  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (strcmp (m->name, name) == 0 || strcmp (m->wwid, name) == 0)
      return m;
  }
  snprintf (err, size, "no export is named '%s'", name);
  return NULL;
}

/* Until then, other LUNs and other paths may still be found. */
void
engine_wait_settled (struct engine *e, double timeout)
{
  const double until = engine_now () + timeout;
  const struct timespec ts = {
    .tv_sec = (time_t) until,
    .tv_nsec = (long) ((until - (time_t) until) * 1e9)
  };
  int r = 0;

  do {
    unsigned seen;
    bool settled;

    engine_enter (e);
    settled = engine_all_settled (e) || e->shutdown;
    seen = e->changes;
    engine_leave (e);
    if (settled)
      return;

    pthread_mutex_lock (&e->changed_lock);
    while (e->changes == seen && r == 0)
      r = pthread_cond_timedwait (&e->changed, &e->changed_lock, &ts);
    pthread_mutex_unlock (&e->changed_lock);
  } while (r == 0);
}

bool
engine_wait_stuck (struct engine *e)
{
  bool stuck;

  for (;;) {
    unsigned seen;
    bool over;

    engine_enter (e);
    stuck = e->stuck;
    over = e->shutdown;
    seen = e->changes;
    engine_leave (e);
    if (stuck || over)
      return !over;

    pthread_mutex_lock (&e->changed_lock);
    while (e->changes == seen)
      pthread_cond_wait (&e->changed, &e->changed_lock);
    pthread_mutex_unlock (&e->changed_lock);
  }
}

struct map *
engine_find_map (struct engine *e, const char *name, double timeout,
                 char *err, size_t size)
{
  struct map *m;

  engine_wait_settled (e, timeout);
  engine_enter (e);
  m = lookup (e, name, err, size);
  engine_leave (e);
  if (m != NULL && name[0] == '\0')
    engine_keep_default (e);
  return m;
}

void
map_get_facts (struct map *m, struct lu_facts *facts)
{
  engine_enter (m->engine);
  *facts = m->facts;
  engine_leave (m->engine);
}

void
engine_each_map (struct engine *e, void (*f) (struct map *m, void *opaque),
                 void *opaque)
{
  struct list *l, *next;

  engine_enter (e);
  list_for_each (l, next, &e->maps)
    f (list_entry (l, struct map, node), opaque);
  engine_leave (e);
}
