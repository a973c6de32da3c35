/* SPDX-License-Identifier: BSD-3-Clause */
/* The keeper of the nexus state file.  See nexus.h. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/compat.h"
#include "fence/fence.h"
#include "fence/nexus.h"

/* Writes wait so long, in seconds, for the file to be written. */
#define PATIENCE 3.0
/* And the end for the keeper, in whole seconds. */
#define AT_END 3

/* Of a dead server, on one LUN: is fenced, and goes from its file. */
struct fenced {
  struct fenced *next;
  uint32_t isid_random;
  char wwid[WWID_SIZE];
};

struct nexus_keeper {
  struct engine *engine;
  struct nexus_state state;     /* the keeper's, while it runs */
  pthread_t thread;
  sem_t wake, ended;
  /* The disk hangs and the server has ended: the engine is gone.  The keeper
   * has life whenever it touches the engine. */
  pthread_mutex_t life;
  bool orphan;
  /* Under the engine lock. */
  struct nexus_list old;        /* of dead servers */
  struct fenced *fenced;
  bool stop;
  unsigned wanted;              /* generation that the file shall have; */
  unsigned written;             /* that it has, or that could not be written */
  double wanted_since;
  bool warned;
};

void
nexus_of (const struct session *s, const struct map *m, struct nexus *x)
{
  memset (x, 0, sizeof *x);
  x->isid_random = s->isid_random;
  x->isid_qualifier = s->isid_qualifier;
  strcpy (x->initiator, s->initiator);
  x->portal = s->portal;
  strcpy (x->target, s->target);
  strcpy (x->wwid, m->wwid);
}

/* ---- the keeper ------------------------------------------------------------------ */

/* Once: it will be said again by the next server. */
static void
warn (struct nexus_keeper *k, const char *what)
{
  if (!k->warned)
    log_warning ("%s: if this server is killed, the next one cannot fence its "
                 "unanswered writes", what);
  k->warned = true;
}

/* All that may have writes in flight now, or soon; AT_END: still. */
static bool
list_nexuses (struct engine *e, bool at_end, struct nexus_list *out)
{
  struct list *l, *next, *pl, *pnext;
  struct nexus x;

  list_for_each (l, next, &e->maps) {
    const struct map *m = list_entry (l, struct map, node);

    if (!fence_list_own (m, out))
      return false;
    if (!m->nexus_written)
      continue;
    list_for_each (pl, pnext, &m->paths) {
      const struct path *p = list_entry (pl, struct path, map_node);

      if (at_end && p->sel.in_flight == 0)
        continue;
      nexus_of (p->session, m, &x);
      if (!nexus_list_add (out, &x))
        return false;
    }
  }
  return true;
}

static void
open_gate (struct map *m)
{
  m->nexus_gate = false;
  indoubt_release (&m->indoubt, m->engine->nexus);
  fence_unpark (m);
}

static void
open_gates (struct engine *e, unsigned generation)
{
  struct list *l, *next;

  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (m->nexus_gate && m->nexus_written &&
        m->nexus_generation <= generation)
      open_gate (m);
  }
}

/* After what may have taken for ever.  Orphans end here; what they have is
 * lost with the process, which is about to end, too. */
static void
lock_again (struct nexus_keeper *k)
{
  pthread_mutex_lock (&k->life);
  if (k->orphan) {
    pthread_mutex_unlock (&k->life);
    pthread_exit (NULL);
  }
  engine_lock (k->engine);
}

static void
unlock (struct nexus_keeper *k)
{
  engine_unlock (k->engine);
  pthread_mutex_unlock (&k->life);
}

/* AT_END: what is in doubt still stays in the file; without a write it is
 * clean. */
static void
save (struct nexus_keeper *k, bool at_end)
{
  struct nexus_list mine = { NULL, 0, 0 };
  char err[ERR_SIZE];
  unsigned generation;
  bool good;

  lock_again (k);
  generation = k->wanted;
  if (at_end ? generation == 0 : generation == k->written) {
    unlock (k);
    return;
  }
  good = list_nexuses (k->engine, at_end, &mine);
  unlock (k);

  if (!good)
    snprintf (err, sizeof err, "too many sessions, or out of memory");
  else
    good = nexus_state_save (&k->state, &mine, err) == 0;
  nexus_list_free (&mine);

  lock_again (k);
  if (!good)
    warn (k, err);
  k->written = generation;
  open_gates (k->engine, generation);
  unlock (k);
}

static void
drop (const struct nexus_state *state, struct fenced *f)
{
  char err[ERR_SIZE];

  while (f != NULL) {
    struct fenced *next = f->next;

    if (nexus_state_drop (state, f->isid_random, f->wwid, err) == -1)
      log_warning ("%s: the next server will fence it again", err);
    free (f);
    f = next;
  }
}

static void *
keep (void *opaque)
{
  struct nexus_keeper *k = opaque;
  struct fenced *fenced;
  bool stop;

  do {
    while (sem_wait (&k->wake) == -1)   /* EINTR */
      ;
    lock_again (k);
    stop = k->stop;
    fenced = k->fenced;
    k->fenced = NULL;
    unlock (k);
    save (k, stop);
    drop (&k->state, fenced);
  } while (!stop);
  sem_post (&k->ended);
  return NULL;
}

/* ---- life ------------------------------------------------------------------------ */

static void
say_warning (const char *line)
{
  log_warning ("%s", line);
}

static void
keeper_free (struct nexus_keeper *k)
{
  nexus_list_free (&k->old);
  nexus_state_close (&k->state);
  sem_destroy (&k->wake);
  sem_destroy (&k->ended);
  pthread_mutex_destroy (&k->life);
  free (k);
}

void
nexus_start (struct engine *e)
{
  struct nexus_keeper *k;
  char err[ERR_SIZE];
  int r;

  if (e->settings->fence == FENCING_OFF)
    return;
  k = calloc (1, sizeof *k);
  if (k == NULL) {
    log_warning ("out of memory: no nexus state is kept");
    return;
  }
  k->engine = e;
  if (nexus_state_open (&k->state, NULL, e->initiator_name, &k->old,
                        say_warning, err) == -1) {
    warn (k, err);
    log_warning ("what a server that was killed may have in flight is not "
                 "fenced");
    nexus_list_free (&k->old);
    free (k);
    return;
  }
  sem_init (&k->wake, 0, 0);
  sem_init (&k->ended, 0, 0);
  pthread_mutex_init (&k->life, NULL);
  r = pthread_create (&k->thread, NULL, keep, k);
  if (r != 0) {
    warn (k, strerrordesc_np (r));
    keeper_free (k);
    return;
  }
  e->isid_random = k->state.isid_random;
  e->nexus = k;
}

/* False: it hangs. */
static bool
keeper_ends (struct nexus_keeper *k)
{
  struct timespec until;
  int r;

  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec += AT_END;
  do
    r = sem_clockwait (&k->ended, CLOCK_MONOTONIC, &until);
  while (r == -1 && errno == EINTR);
  return r == 0;
}

void
nexus_stop (struct engine *e)
{
  struct nexus_keeper *k = e->nexus;
  struct list *l, *next;
  bool ended;

  if (k == NULL)
    return;
  engine_lock (e);
  k->stop = true;
  sem_post (&k->wake);
  engine_unlock (e);
  ended = keeper_ends (k);

  pthread_mutex_lock (&k->life);
  k->orphan = !ended;
  engine_lock (e);
  list_for_each (l, next, &e->maps)
    open_gate (list_entry (l, struct map, node));
  e->nexus = NULL;
  engine_unlock (e);
  pthread_mutex_unlock (&k->life);
  if (ended) {
    pthread_join (k->thread, NULL);
    keeper_free (k);
    return;
  }
  log_warning ("the nexus state file cannot be written in time: the server "
               "ends without it, and the next one may fence what is not there");
  pthread_detach (k->thread);
}

/* ---- what the engine tells -------------------------------------------------------- */

static void
want (struct map *m)
{
  struct nexus_keeper *k = m->engine->nexus;

  if (k->wanted == k->written)
    k->wanted_since = engine_now ();
  m->nexus_generation = ++k->wanted;
  sem_post (&k->wake);
}

void
nexus_map_new (struct map *m)
{
  struct nexus_keeper *k = m->engine->nexus;
  uint64_t n;

  if (k == NULL)
    return;
  for (size_t i = 0; i < k->old.n; ++i) {
    const struct nexus *x = &k->old.v[i];

    if (strcmp (x->wwid, m->wwid) == 0 && !fence_inherit (m, x))
      log_error ("%s: out of memory: a session of the server before is not "
                 "fenced", m->name);
  }
  n = m->fence_stats.inherited;
  if (n > 0)
    log_warning ("%s: a server before was killed while it had %llu session%s "
                 "here: nothing is written before %s fenced", m->name,
                 (unsigned long long) n, n == 1 ? "" : "s",
                 n == 1 ? "that is" : "they are");
}

void
nexus_path_added (struct map *m)
{
  struct nexus_keeper *k = m->engine->nexus;

  if (k == NULL || m->engine->settings->fence == FENCING_OFF)
    return;
  if (!m->nexus_gate)
    indoubt_add_all (&m->indoubt, k, &m->nexus_range);
  m->nexus_gate = true;
  if (m->nexus_written)
    want (m);
}

void
nexus_fenced (struct map *m, uint32_t isid_random)
{
  struct nexus_keeper *k = m->engine->nexus;
  struct fenced *f = k ? calloc (1, sizeof *f) : NULL;

  if (f == NULL)                /* it stays, and is fenced again */
    return;
  f->isid_random = isid_random;
  strcpy (f->wwid, m->wwid);
  f->next = k->fenced;
  k->fenced = f;
  sem_post (&k->wake);
}

void
nexus_check (struct map *m, double now)
{
  struct nexus_keeper *k = m->engine->nexus;

  if (!m->nexus_gate || k == NULL)
    return;
  if (!m->nexus_written && !list_empty (&m->parked)) {
    m->nexus_written = true;
    want (m);
  }
  else if (m->nexus_written && now - k->wanted_since > PATIENCE) {
    warn (k, "the nexus state file cannot be written in time");
    open_gate (m);
  }
}
