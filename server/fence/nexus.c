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
#include "fence/nexus.h"
#include "multipath/gate.h"

/* With fence_without_state=allow writes wait so long, in seconds, for the file
 * to be written. */
#define PATIENCE 3.0
/* Whole seconds until the next try, when it could not be. */
#define AGAIN 1
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
  const struct nexus_client *client;
  struct nexus_state state;     /* the keeper's, while it runs */
  bool open;                    /* the state is; the keeper's as well */
  pthread_t thread;
  bool threadless;              /* there is no thread, and never will be */
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
  bool failed;                  /* the last try */
  bool warned;
};

/* For want of memory there is no other one: no write goes out. */
static struct nexus_keeper no_keeper = { .threadless = true, .failed = true };

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

static bool
is_allowed (const struct engine *e)
{
  return e->settings->fence_without_state == WITHOUT_STATE_ALLOW;
}

/* Once, until it is well again. */
static void
warn (const struct engine *e, struct nexus_keeper *k, const char *what)
{
  if (!k->warned && is_allowed (e))
    log_warning ("%s: if this server is killed, the next one cannot fence its "
                 "unanswered writes", what);
  else if (!k->warned)
    log_error ("%s: if this server is killed, the next one cannot fence its "
               "unanswered writes: until that is mended writes fail (or are "
               "sent all the same, with fence_without_state allow)", what);
  k->warned = true;
}

enum nexus_record
nexus_record (const struct engine *e)
{
  if (e->settings->fence == FENCING_OFF)
    return NEXUS_RECORD_OFF;
  if (e->nexus != NULL && !e->nexus->failed)
    return NEXUS_RECORD_KEPT;
  if (is_allowed (e))
    return NEXUS_RECORD_WITHOUT;
  /* Without a keeper it was off when the server started. */
  return e->nexus ? NEXUS_RECORD_MISSING : NEXUS_RECORD_OFF;
}

/* All that may have writes in flight now, or soon; AT_END: still. */
static bool
list_nexuses (struct engine *e, bool at_end, struct nexus_list *out)
{
  struct list *l, *next, *pl, *pnext;
  struct nexus x;

  list_for_each (l, next, &e->maps) {
    const struct map *m = list_entry (l, struct map, node);

    if (!e->nexus->client->list_own (m, out))
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
  m->nexus_kept = true;
  indoubt_release (&m->indoubt, m->engine->nexus);
  gate_unpark (m);
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
  engine_enter (k->engine);
}

static void
unlock (struct nexus_keeper *k)
{
  engine_leave (k->engine);
  pthread_mutex_unlock (&k->life);
}

static void
inherit (struct map *m, const struct nexus_list *old)
{
  const uint64_t before = m->fence_stats.inherited;
  uint64_t n;

  for (size_t i = 0; i < old->n; ++i)
    if (strcmp (old->v[i].wwid, m->wwid) == 0 &&
        !m->engine->nexus->client->inherit (m, &old->v[i]))
      log_error ("%s: out of memory: a session of the server before is not "
                 "fenced", m->name);
  n = m->fence_stats.inherited - before;
  if (n > 0)
    log_warning ("%s: a server before was killed while it had %llu session%s "
                 "here: nothing is written before %s fenced", m->name,
                 (unsigned long long) n, n == 1 ? "" : "s",
                 n == 1 ? "that is" : "they are");
}

static void
say_warning (const char *line)
{
  log_warning ("%s", line);
}

/* The directory could not be used when the server started: perhaps now.  No
 * write has gone out so far, so that it is not too late to fence. */
static bool
open_late (struct nexus_keeper *k, char err[ERR_SIZE])
{
  struct nexus_list old = { NULL, 0, 0 };
  struct list *l, *next;

  if (k->open)
    return true;
  k->open = nexus_state_open_as (&k->state, NULL, k->engine->initiator_name,
                                 k->engine->isid_random, &old, say_warning,
                                 err) == 0;
  if (!k->open) {
    nexus_list_free (&old);
    return false;
  }
  lock_again (k);
  nexus_list_free (&k->old);
  k->old = old;
  list_for_each (l, next, &k->engine->maps)
    inherit (list_entry (l, struct map, node), &k->old);
  unlock (k);
  return true;
}

/* Lock held. */
static void
saved (struct nexus_keeper *k, unsigned generation, bool good, const char *err)
{
  struct list *l, *next;

  if (!good)
    warn (k->engine, k, err);
  else if (k->failed) {
    log_info ("%s: the sessions are noted there now: writes go on",
              k->state.dir);
    k->warned = false;
  }
  k->failed = !good;
  if (!good && !is_allowed (k->engine)) {
    list_for_each (l, next, &k->engine->maps)
      gate_soon (list_entry (l, struct map, node)); /* nexus_check */
  }
  else {
    k->written = generation;
    open_gates (k->engine, generation);
  }
}

/* AT_END: what is in doubt still stays in the file; without a write it is
 * clean. */
static void
save (struct nexus_keeper *k, bool at_end)
{
  struct nexus_list mine = { NULL, 0, 0 };
  char err[ERR_SIZE];
  unsigned generation;
  bool good, listed;

  lock_again (k);
  generation = k->wanted;
  if (at_end ? generation == 0 : generation == k->written) {
    unlock (k);
    return;
  }
  unlock (k);

  good = open_late (k, err);
  lock_again (k);
  generation = k->wanted;
  listed = good && list_nexuses (k->engine, at_end, &mine);
  unlock (k);

  if (good && !listed) {
    good = false;
    snprintf (err, sizeof err, "too many sessions, or out of memory");
  }
  else if (good)
    good = nexus_state_save (&k->state, &mine, err) == 0;
  nexus_list_free (&mine);

  lock_again (k);
  saved (k, generation, good, err);
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

/* For work; or, when there was some that could not be done, for another try. */
static void
await (struct nexus_keeper *k)
{
  struct timespec until;
  bool again;

  lock_again (k);
  again = k->failed && k->wanted != k->written;
  unlock (k);
  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec += AGAIN;
  while ((again ? sem_clockwait (&k->wake, CLOCK_MONOTONIC, &until)
          : sem_wait (&k->wake)) == -1 && errno == EINTR)
    ;
}

static void *
keep (void *opaque)
{
  struct nexus_keeper *k = opaque;
  struct fenced *fenced;
  bool stop;

  do {
    await (k);
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
nexus_start (struct engine *e, const struct nexus_client *client)
{
  struct nexus_keeper *k;
  char err[ERR_SIZE];
  int r;

  if (e->settings->fence == FENCING_OFF)
    return;
  k = calloc (1, sizeof *k);
  if (k == NULL) {
    warn (e, &no_keeper, "out of memory");
    e->nexus = is_allowed (e) ? NULL : &no_keeper;
    return;
  }
  k->engine = e;
  k->client = client;
  k->state.lock = -1;
  k->open = nexus_state_open (&k->state, NULL, e->initiator_name, &k->old,
                              say_warning, err) == 0;
  if (!k->open) {
    warn (e, k, err);
    nexus_list_free (&k->old);
    k->failed = true;
  }
  if (!k->open && is_allowed (e)) {
    log_warning ("what a server that was killed may have in flight is not "
                 "fenced");
    free (k);
    return;
  }
  sem_init (&k->wake, 0, 0);
  sem_init (&k->ended, 0, 0);
  pthread_mutex_init (&k->life, NULL);
  r = pthread_create (&k->thread, NULL, keep, k);
  if (r != 0) {
    warn (e, k, strerrordesc_np (r));
    if (is_allowed (e)) {
      keeper_free (k);
      return;
    }
    k->threadless = k->failed = true;
  }
  if (k->open)
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
  if (k->threadless) {
    e->nexus = NULL;
    if (k != &no_keeper)
      keeper_free (k);
    return;
  }
  engine_enter (e);
  k->stop = true;
  sem_post (&k->wake);
  engine_leave (e);
  ended = keeper_ends (k);

  pthread_mutex_lock (&k->life);
  k->orphan = !ended;
  engine_enter (e);
  list_for_each (l, next, &e->maps)
    open_gate (list_entry (l, struct map, node));
  e->nexus = NULL;
  engine_leave (e);
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

  if (k == &no_keeper)
    return;
  if (k->wanted == k->written)
    k->wanted_since = engine_now ();
  m->nexus_generation = ++k->wanted;
  if (!k->threadless)
    sem_post (&k->wake);
}

void
nexus_map_new (struct map *m)
{
  if (m->engine->nexus != NULL)
    inherit (m, &m->engine->nexus->old);
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
nexus_logged_in (struct session *s)
{
  struct list *l, *next;

  /* A portal may be in another portal group now, and a session is known by
   * ISID and group (RFC 7143 4.4.3.2). */
  if (s->noted_tpgt != s->portal.tpgt)
    list_for_each (l, next, &s->paths)
      nexus_path_added (list_entry (l, struct path, session_node)->map);
  s->noted_tpgt = s->portal.tpgt;
}

void
nexus_fenced (struct map *m, uint32_t isid_random)
{
  struct nexus_keeper *k = m->engine->nexus;
  struct fenced *f = k && !k->threadless ? calloc (1, sizeof *f) : NULL;

  if (f == NULL)                /* it stays, and is fenced again */
    return;
  f->isid_random = isid_random;
  strcpy (f->wwid, m->wwid);
  f->next = k->fenced;
  k->fenced = f;
  sem_post (&k->wake);
}

/* Has a write waited for the file as long as it should? */
static bool
is_late (const struct map *m, const struct nexus_keeper *k, double now)
{
  const double waits = now - k->wanted_since;

  if (is_allowed (m->engine))
    return waits > PATIENCE;
  return (k->failed && !m->nexus_kept) ||
    waits > m->engine->settings->fence_timeout;
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
  else if (m->nexus_written && is_late (m, k, now)) {
    warn (m->engine, k, "the nexus state file cannot be written in time");
    if (is_allowed (m->engine))
      open_gate (m);
    else
      gate_fail_parked (m, EIO);
  }
}
