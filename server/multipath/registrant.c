/* SPDX-License-Identifier: BSD-3-Clause */
/* Registrants.  See registrant.h. */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "multipath/registrant.h"

/* At most one look at the keys in so many seconds for refused I/O. */
#define CONFLICT_CHECK 1.0

void
registrants_free (struct engine *e)
{
  while (!list_empty (&e->registrants)) {
    struct registrant *g =
      list_entry (e->registrants.next, struct registrant, node);

    list_del (&g->node);
    free (g);
  }
}

struct registrant *
registrant_find (struct engine *e, const char *wwid)
{
  struct list *l, *next;

  list_for_each (l, next, &e->registrants) {
    struct registrant *g = list_entry (l, struct registrant, node);

    if (strcmp (g->wwid, wwid) == 0)
      return g;
  }
  return NULL;
}

static struct map *
map_of (const struct registrant *g)
{
  struct list *l, *next;

  list_for_each (l, next, &g->engine->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (m->registrant == g)
      return m;
  }
  return NULL;
}

static struct registrant *
registrant_new (struct engine *e, const char *wwid)
{
  struct registrant *g = calloc (1, sizeof *g);
  struct list *l, *next;

  if (g == NULL) {
    engine_complain (e, false, "%s: out of memory", wwid);
    return NULL;
  }
  g->engine = e;
  strcpy (g->wwid, wwid);
  list_add_tail (&e->registrants, &g->node);
  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (strcmp (m->wwid, wwid) == 0)
      m->registrant = g;
  }
  return g;
}

/* The key that the settings have for it. */
static bool
wanted_key (struct session *s, const struct lu_facts *facts, uint64_t *key,
            bool *aptpl)
{
  const struct settings *st = s->engine->settings;
  struct map_settings settings;
  char why[300];
  bool r = false;

  if (lu_unusable (facts, why, sizeof why) != NULL ||
      (st->wwid && strcmp (st->wwid, facts->wwid) != 0) ||
      conf_blacklisted (st, facts, s->target, &s->portal, why, sizeof why) ||
      conf_resolve (st, facts, s->target, &settings) == -1)
    return false;
  if (settings.reservation_key)
    r = reservation_key_parse (settings.reservation_key, key, aptpl);
  map_settings_free (&settings);
  return r;
}

struct registrant *
registrant_for (struct session *s, const struct lu_facts *facts)
{
  struct engine *e = s->engine;
  struct registrant *g;
  uint64_t key;
  bool aptpl;

  if (e->keeps_nothing || facts->wwid[0] == '\0')
    return NULL;
  g = registrant_find (e, facts->wwid);
  if (g != NULL || !wanted_key (s, facts, &key, &aptpl))
    return g;
  g = registrant_new (e, facts->wwid);
  if (g != NULL) {
    g->key = key;
    g->aptpl = aptpl;
  }
  return g;
}

bool
registrant_enter (struct registrant *g, const void *who,
                  struct registration *r)
{
  if (g->busy != NULL && g->busy != who)
    return false;
  g->busy = who;
  registration_start (r, g->key, g->aptpl, g->state != REGISTRANT_NEVER,
                      &g->last);
  return true;
}

void
registrant_leave (struct registrant *g, const void *who,
                  const struct registration *r)
{
  if (g->busy != who)
    return;
  g->busy = NULL;
  g->last = *r;
}

static void
fenced (struct registrant *g, const char *name)
{
  struct map *m = map_of (g);

  if (g->state == REGISTRANT_FENCED)
    return;
  g->state = REGISTRANT_FENCED;
  log_error ("%s: fenced: the reservation key 0x%" PRIx64 " is not registered "
             "any more: another host has removed it, or the target has lost "
             "it; no I/O until it is registered again by the administrator",
             m ? m->name : name, g->key);
  if (m != NULL)
    map_fenced (m);
}

enum path_admission
registrant_admits (struct registrant *g, const struct session *s,
                   unsigned lun, enum register_step step, const char *why)
{
  switch (step) {
  case REGISTER_DONE:
    /* Fenced by another path meanwhile?  It waited for its turn. */
    if (g->state == REGISTRANT_FENCED)
      return PATH_IS_FENCED;
    g->state = REGISTRANT_REGISTERED;
    return PATH_IS_ADMITTED;
  case REGISTER_FENCED:
    fenced (g, g->wwid);
    return PATH_IS_FENCED;
  case REGISTER_REFUSED:
    log_line (g->refused ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
              "%s: LUN %u: cannot register the reservation key: %s", s->name,
              lun, why);
    g->refused = true;
    return PATH_IS_ADMITTED;
  default:
    log_warning ("%s: LUN %u: cannot register the reservation key: %s: the "
                 "path is not used yet", s->name, lun, why);
    return PATH_IS_NOT_READY;
  }
}

void
registrant_heard (struct path *p, unsigned actions)
{
  if ((actions & ACTION_CHECK_REGISTRATION) && p->map->registrant != NULL &&
      p->map->registrant->state == REGISTRANT_REGISTERED) {
    p->session->want_probe = true;
    engine_kick (p->map->engine);
  }
}

void
registrant_conflict (struct path *p)
{
  struct registrant *g = p->map->registrant;
  const double now = engine_now ();

  if (g == NULL || now - g->checked < CONFLICT_CHECK)
    return;
  g->checked = now;
  registrant_heard (p, ACTION_CHECK_REGISTRATION);
}
