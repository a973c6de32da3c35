/* SPDX-License-Identifier: BSD-3-Clause */
/* Registrants.  See registrant.h. */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/keeper.h"
#include "conf/conf.h"
#include "multipath/persist.h"
#include "multipath/registrant.h"
#include "rules/key-state.h"

/* At most one look at the keys in so many seconds for refused I/O. */
#define CONFLICT_CHECK 1.0
/* And while a command of ours is at work it is sent again after so many ms. */
#define CONFLICT_DELAY 20
/* Registering waits so long, in seconds, for the file to be written. */
#define PATIENCE 3.0
/* And the end for the keeper, in whole seconds. */
#define AT_END 3

struct registrants {
  struct list all;
  struct keeper *keeper;        /* NULL: until there is something to write */
  struct key_state *known;      /* what the server before has left */
  size_t nr_known;
};

/* ---- the files ------------------------------------------------------------------- */

struct save_job {
  struct job job;
  struct key_state ks;
};

static void
run_save (struct job *job)
{
  const struct save_job *save = (const struct save_job *) job;
  char err[ERR_SIZE];

  if (key_state_save (NULL, &save->ks, err) == -1)
    log_warning ("%s: after a restart it is not known whether this server was "
                 "fenced by another host", err);
}

/* What is so now. */
static void
save (struct registrant *g)
{
  struct registrants *all = g->engine->registrants;
  struct save_job *job = calloc (1, sizeof *job);

  if (all->keeper == NULL)
    all->keeper = keeper_start ();
  if (job == NULL || all->keeper == NULL) {
    log_warning ("%s: the state of its reservation key cannot be kept: out of "
                 "memory", g->wwid);
    free (job);
    return;
  }
  job->job.run = run_save;
  strcpy (job->ks.initiator, g->engine->initiator_name);
  strcpy (job->ks.wwid, g->wwid);
  job->ks.key = g->key;
  job->ks.aptpl = g->aptpl;
  job->ks.all_tg_pt = g->all_tg_pt;
  job->ks.fenced = g->state == REGISTRANT_FENCED;
  g->job = keeper_put (all->keeper, &job->job);
  g->job_since = engine_now ();
}

/* No server needs to know of it. */
static void
forget_file (struct registrant *g)
{
  const uint64_t key = g->key;

  g->key = 0;
  save (g);
  g->key = key;
}

/* Is it on the disk, or as good as can be? */
bool
registrant_is_saved (const struct registrant *g)
{
  const struct registrants *all = g->engine->registrants;

  return g->job == 0 || keeper_is_done (all->keeper, g->job) ||
    engine_now () - g->job_since > PATIENCE;
}

static void
add_known (void *opaque, const struct key_state *ks)
{
  struct registrants *all = opaque;
  struct key_state *known =
    reallocarray (all->known, all->nr_known + 1, sizeof *known);

  if (known == NULL) {
    log_error ("out of memory: whether a disk was fenced is not known");
    return;
  }
  all->known = known;
  known[all->nr_known++] = *ks;
}

static void
say_warning (const char *line)
{
  log_warning ("%s", line);
}

void
registrants_start (struct engine *e)
{
  struct registrants *all;

  if (e->keeps_nothing || e->registrants != NULL)
    return;
  all = calloc (1, sizeof *all);
  if (all == NULL) {
    log_error ("out of memory: no reservation key is registered");
    return;
  }
  list_init (&all->all);
  key_state_load (NULL, e->initiator_name, add_known, all, say_warning);
  e->registrants = all;
}

void
registrants_free (struct engine *e)
{
  struct registrants *all = e->registrants;

  if (all == NULL)
    return;
  while (!list_empty (&all->all)) {
    struct registrant *g = list_entry (all->all.next, struct registrant, node);

    list_del (&g->node);
    free (g);
  }
  if (!keeper_stop (all->keeper, AT_END))
    log_warning ("the state of reservation keys cannot be written in time");
  free (all->known);
  free (all);
  e->registrants = NULL;
}

/* ---- registrants ------------------------------------------------------------------ */

struct registrant *
registrant_find (struct engine *e, const char *wwid)
{
  struct list *l, *next;

  if (e->registrants == NULL)
    return NULL;
  list_for_each (l, next, &e->registrants->all) {
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
  list_add_tail (&e->registrants->all, &g->node);
  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (strcmp (m->wwid, wwid) == 0)
      m->registrant = g;
  }
  return g;
}

/* Is it one that is served, and which key do the settings have for it (0: none)?
 * A key is registered before the path is made, which looks at all that again. */
static bool
is_served (struct session *s, const struct lu_facts *facts, uint64_t *key,
           bool *aptpl)
{
  const struct settings *st = s->engine->settings;
  struct map_settings settings;
  char why[300];

  if (lu_unusable (facts, why, sizeof why) != NULL ||
      (st->wwid && strcmp (st->wwid, facts->wwid) != 0) ||
      conf_blacklisted (st, facts, s->target, &s->portal, why, sizeof why) ||
      conf_resolve (st, facts, s->target, &settings) == -1)
    return false;
  if (settings.reservation_key == NULL ||
      !reservation_key_parse (settings.reservation_key, key, aptpl))
    *key = 0;
  map_settings_free (&settings);
  return true;
}

static void
fenced (struct registrant *g, const char *name)
{
  struct map *m = map_of (g);

  if (g->state == REGISTRANT_FENCED || g->key == 0)
    return;
  g->state = REGISTRANT_FENCED;
  save (g);
  log_error ("%s: fenced: the reservation key 0x%" PRIx64 " is not registered "
             "any more: another host has removed it, or the target has lost "
             "it; no I/O until the administrator says `mpiscsi persist --out "
             "--register-ignore --param-sark=0x%" PRIx64 " %s'",
             m ? m->name : name, g->key, g->key, m ? m->name : name);
  if (m != NULL)
    map_fenced (m);
}

/* What the server before has left behind for it; NULL: nothing. */
static const struct key_state *
known_of (struct engine *e, const char *wwid)
{
  const uint64_t hash = key_state_hash (e->initiator_name, wwid);
  const struct registrants *all = e->registrants;

  for (size_t i = 0; i < all->nr_known; ++i)
    if (all->known[i].hash == hash &&
        (all->known[i].damaged || strcmp (all->known[i].wwid, wwid) == 0))
      return &all->known[i];
  return NULL;
}

/* KEY is the one of the settings, 0 if there is none. */
static void
recall (struct registrant *g, const struct key_state *ks, uint64_t key,
        bool aptpl)
{
  g->key = key;
  g->aptpl = aptpl;
  if (ks == NULL)
    return;
  /* A start is no new registration: only if our key is still there. */
  g->state = REGISTRANT_REGISTERED;
  if (ks->damaged)
    return;
  g->key = ks->key;
  g->aptpl = ks->aptpl;
  g->all_tg_pt = ks->all_tg_pt;
  if (key != 0 && key != ks->key)
    log_warning ("%s: it is registered with the key 0x%" PRIx64 ", and not "
                 "with that of reservation_key; `mpiscsi persist' changes it",
                 g->wwid, ks->key);
  if (ks->fenced)
    fenced (g, g->wwid);
}

struct registrant *
registrant_for (struct session *s, const struct lu_facts *facts)
{
  struct engine *e = s->engine;
  const struct key_state *ks;
  struct registrant *g;
  uint64_t key = 0;
  bool aptpl = false;

  if (e->registrants == NULL || facts->wwid[0] == '\0')
    return NULL;
  g = registrant_find (e, facts->wwid);
  if (g != NULL)
    return g->key != 0 ? g : NULL;
  ks = known_of (e, facts->wwid);
  if (!is_served (s, facts, &key, &aptpl) ||
      (key == 0 && (ks == NULL || ks->damaged)))
    return NULL;
  g = registrant_new (e, facts->wwid);
  if (g != NULL)
    recall (g, ks, key, aptpl);
  return g;
}

bool
registrant_enter (struct registrant *g, const void *who,
                  struct registration *r)
{
  if (g->busy != NULL && g->busy != who)
    return false;
  /* First the file, then the target: who finds the file, and our key is not
   * there, is fenced. */
  if (g->state == REGISTRANT_NEVER && g->job == 0 && !g->refused)
    save (g);
  if (!registrant_is_saved (g))
    return false;
  g->busy = who;
  registration_start (r, g->key, g->aptpl, g->all_tg_pt, g->state != REGISTRANT_NEVER,
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

enum path_admission
registrant_admits (struct registrant *g, const struct session *s,
                   unsigned lun, enum register_step step, const char *why)
{
  switch (step) {
  case REGISTER_DONE:
    /* Fenced by another path meanwhile?  It waited for its turn. */
    if (g->state == REGISTRANT_FENCED)
      return PATH_IS_FENCED;
    if (g->refused)
      save (g);
    g->refused = false;
    g->state = REGISTRANT_REGISTERED;
    return PATH_IS_ADMITTED;
  case REGISTER_FENCED:
    fenced (g, g->wwid);
    return PATH_IS_FENCED;
  case REGISTER_REFUSED:
    log_line (g->refused ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
              "%s: LUN %u: cannot register the reservation key: %s", s->name,
              lun, why);
    if (!g->refused)
      forget_file (g);
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
    session_look_again (p->session);
    engine_kick (p->map->engine);
  }
}

void
registrant_conflict (struct path *p, struct verdict *v)
{
  struct registrant *g = p->map->registrant;
  const double now = engine_now ();

  if (persist_runs (p->map)) {
    v->kind = VERDICT_RETRY_LATER;
    v->delay_ms = CONFLICT_DELAY;
    return;
  }
  if (g == NULL || now - g->checked < CONFLICT_CHECK)
    return;
  g->checked = now;
  registrant_heard (p, ACTION_CHECK_REGISTRATION);
}

/* ---- by the administrator ---------------------------------------------------------- */

struct registrant *
registrant_make (struct map *m)
{
  if (m->registrant == NULL && m->engine->registrants != NULL)
    registrant_new (m->engine, m->wwid);
  return m->registrant;
}

bool
registrant_turn (struct registrant *g, const void *who)
{
  if (g->busy != NULL && g->busy != who)
    return false;
  g->busy = who;
  return true;
}

void
registrant_turn_over (struct registrant *g, const void *who)
{
  if (g->busy == who)
    g->busy = NULL;
}

void
registrant_set (struct registrant *g, uint64_t key, bool aptpl, bool all_tg_pt)
{
  g->key = key;
  g->aptpl = aptpl;
  g->all_tg_pt = all_tg_pt;
  g->state = REGISTRANT_REGISTERED;
  g->refused = false;
  g->last.in_doubt = false;
  save (g);
}

void
registrant_resign (struct registrant *g)
{
  g->key = 0;
  g->state = REGISTRANT_NEVER;
  g->last.in_doubt = false;
  save (g);
}

void
registrant_look (struct map *m)
{
  struct list *l, *next;

  if (m->registrant == NULL || m->registrant->state != REGISTRANT_REGISTERED)
    return;
  list_for_each (l, next, &m->paths)
    session_look_again (list_entry (l, struct path, map_node)->session);
}
