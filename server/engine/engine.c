/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine: its lock, its loop, its clock, and its work queue. */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine-internal.h"

/* How often sessions and queues are looked at, with and without work. */
#define TICK_BUSY 0.1
#define TICK_IDLE 0.25


double
engine_random (struct engine *e)
{
  (void) e;
  return (random () % 1000 + 1) / 1000.0;
}

/* ---- the work queue ------------------------------------------------------- */

void
work_init (struct work *w, void (*run) (struct work *w))
{
  list_init (&w->node);
  w->run = run;
}

void
work_cancel (struct work *w)
{
  list_del (&w->node);
}

void
engine_soon (struct engine *e, struct work *w)
{
  if (list_empty (&w->node))
    list_add_tail (&e->soon, &w->node);
}

void
engine_later (struct engine *e, struct work *w)
{
  if (!list_empty (&w->node))
    return;
  list_add_tail (&e->later, &w->node);
  if (!e->loop_is_ours)
    engine_kick (e);
}

/* It may be freed by what it does, or queued again. */
static bool
run_all (struct list *queue)
{
  bool any = false;

  while (!list_empty (queue)) {
    struct work *w = list_entry (queue->next, struct work, node);

    list_del (&w->node);
    any = true;
    w->run (w);
  }
  return any;
}

void
engine_settle (struct engine *e)
{
  bool more;

  if (e->in_settle)
    return;
  e->in_settle = true;
  do {
    more = e->hooks->take (e);
    if (e->loop_is_ours)
      more |= run_all (&e->later);
    more |= run_all (&e->soon);
  } while (more);
  e->in_settle = false;
}

/* ---- lock ----------------------------------------------------------------- */

/* Run to completion: the loop's thread has the lock for good, and lends it. */
static bool
is_owner (const struct engine *e)
{
  return e->run_to_completion && pthread_equal (e->thread, pthread_self ());
}

void
engine_enter (struct engine *e)
{
  if (e->run_to_completion) {
    if (is_owner (e))
      return;
    atomic_fetch_add (&e->lock_wanted, 1);
    engine_kick (e);
  }
  pthread_mutex_lock (&e->lock);
}

void
engine_leave (struct engine *e)
{
  if (e->run_to_completion) {
    if (is_owner (e))
      return;
    atomic_fetch_sub (&e->lock_wanted, 1);
    pthread_cond_signal (&e->lock_returned);
    pthread_mutex_unlock (&e->lock);
    engine_kick (e);            /* what this left on lists */
    return;
  }
  do {
    struct request *completed;

    engine_settle (e);
    completed = e->completed;
    e->completed = NULL;
    pthread_mutex_unlock (&e->lock);
    e->hooks->completed (completed);
    /* If somebody else has the lock by now, he will look. */
  } while (e->hooks->handed_over (e) && pthread_mutex_trylock (&e->lock) == 0);
}

void
engine_lend (struct engine *e)
{
  e->loop_is_ours = false;
  engine_leave (e);
}

void
engine_take_back (struct engine *e)
{
  engine_enter (e);
  e->loop_is_ours = true;
}

/* Any thread, also without the lock. */
void
engine_kick (struct engine *e)
{
  ev_async_send (e->loop, &e->kick);
}

void
engine_wake (struct engine *e)
{
  ev_async_send (e->loop, &e->submitted);
}

void
engine_changed (struct engine *e)
{
  pthread_mutex_lock (&e->changed_lock);
  e->changes++;
  pthread_cond_broadcast (&e->changed);
  pthread_mutex_unlock (&e->changed_lock);
}

/* ---- loop ----------------------------------------------------------------- */

/* Run to completion: the answers of this turn, to whom they are for. */
static bool
complete (struct engine *e)
{
  struct request *completed = e->completed;

  e->completed = NULL;
  e->hooks->completed (completed);
  return completed != NULL;
}

/* The first thing after waiting: its priority is the highest. */
static void
check_cb (EV_P_ ev_check *w, int revents)
{
  struct engine *e = w->data;

  (void) loop;
  (void) revents;
  clock_turn (&e->clock, TICK_IDLE);
}

static void
prepare_cb (EV_P_ ev_prepare *w, int revents)
{
  struct engine *e = w->data;
  bool more;

  (void) loop;
  (void) revents;
  engine_settle (e);
  if (!e->run_to_completion)
    return;
  do {
    more = complete (e);
    if (e->end_of_turn)
      more |= e->end_of_turn (e->end_of_turn_opaque);
    if (more)
      engine_settle (e);
  } while (more);
  while (atomic_load (&e->lock_wanted) > 0)
    pthread_cond_wait (&e->lock_returned, &e->lock);
}

static void
kick_cb (EV_P_ ev_async *w, int revents)
{
  const struct engine *e = w->data;

  (void) revents;
  if (e->stop)
    ev_break (EV_A_ EVBREAK_ALL);
}

/* The wake-up is all: prepare_cb does the work. */
static void
submitted_cb (EV_P_ ev_async *w, int revents)
{
  (void) loop;
  (void) w;
  (void) revents;
}

static void
tick_cb (EV_P_ ev_timer *w, int revents)
{
  struct engine *e = w->data;

  (void) revents;
  w->repeat = e->hooks->tick (e, engine_now ()) ? TICK_BUSY : TICK_IDLE;
  ev_timer_again (EV_A_ w);
}

/* libev calls these around the blocking epoll_wait. */
static void
release_cb (EV_P) EV_NOEXCEPT
{
  engine_lend (ev_userdata (EV_A));
}

static void
acquire_cb (EV_P) EV_NOEXCEPT
{
  engine_take_back (ev_userdata (EV_A));
}

static void *
service_thread (void *opaque)
{
  struct engine *e = opaque;

  engine_bind_thread (e);
  engine_take_back (e);
  if (!e->stop)
    ev_run (e->loop, 0);
  engine_settle (e);
  engine_lend (e);
  return NULL;
}

/* ---- life ------------------------------------------------------------------ */

/* One random part for the whole life of the process: a session that logs in
 * again must have the ISID it had (RFC 7143 6.3.5).  nbdkit forks after the
 * first use; the child goes on with the same. */
static uint32_t
process_isid (void)
{
  static uint32_t isid;

  while (isid == 0) {
    if (getrandom (&isid, sizeof isid, 0) != sizeof isid)
      isid = (uint32_t) time (NULL) ^ ((uint32_t) getpid () << 12);
    isid &= 0xffffff;
  }
  return isid;
}

struct engine *
engine_create (const struct settings *settings,
               const struct engine_hooks *hooks)
{
  struct engine *e = calloc (1, sizeof *e);
  pthread_condattr_t attr;
  char remark[ERR_SIZE];

  if (e == NULL)
    return NULL;
  e->settings = settings;
  e->hooks = hooks;
  e->isid_random = process_isid ();
  if (getrandom (&e->canary, sizeof e->canary, 0) != sizeof e->canary)
    e->canary = (uint64_t) (engine_now () * 1e9) * 0x9e3779b97f4a7c15u;
  srandom (e->isid_random ^ (unsigned) time (NULL));
  if (settings->initiator_name)
    snprintf (e->initiator_name, sizeof e->initiator_name, "%s",
              settings->initiator_name);
  else {
    settings_default_initiator (NULL, e->initiator_name, remark);
    if (remark[0] != '\0')
      log_warning ("%s", remark);
  }
  list_init (&e->sessions);
  list_init (&e->maps);
  list_init (&e->soon);
  list_init (&e->later);
  e->next_session_id = 1;
  e->one_cpu = affinity_one_cpu ();
  e->cpu = affinity_choose (settings->cpu_affinity);
  e->loop_is_ours = true;

  /* EVFLAG_NOENV: LIBEV_FLAGS is for developers, not for whoever set up the
   * environment of a storage server. */
  e->loop = ev_loop_new (EVFLAG_AUTO | EVFLAG_NOENV | EVFLAG_NOSIGMASK);
  if (e->loop == NULL) {
    free (e);
    errno = ENOMEM;
    return NULL;
  }
  pthread_mutex_init (&e->lock, NULL);
  pthread_mutex_init (&e->changed_lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&e->changed, &attr);
  pthread_cond_init (&e->lock_returned, NULL);
  pthread_condattr_destroy (&attr);

  ev_set_userdata (e->loop, e);
  ev_async_init (&e->kick, kick_cb);
  e->kick.data = e;
  ev_async_start (e->loop, &e->kick);
  ev_async_init (&e->submitted, submitted_cb);
  ev_async_start (e->loop, &e->submitted);
  ev_prepare_init (&e->prepare, prepare_cb);
  e->prepare.data = e;
  ev_prepare_start (e->loop, &e->prepare);
  ev_check_init (&e->check, check_cb);
  e->check.data = e;
  ev_set_priority (&e->check, EV_MAXPRI);
  ev_check_start (e->loop, &e->check);
  ev_init (&e->tick, tick_cb);
  e->tick.data = e;
  e->tick.repeat = TICK_IDLE;
  ev_timer_again (e->loop, &e->tick);
  return e;
}

int
engine_start_thread (struct engine *e)
{
  int r;

  ev_set_loop_release_cb (e->loop, release_cb, acquire_cb);
  /* The keeper of the state file runs already. */
  pthread_mutex_lock (&e->lock);
  r = pthread_create (&e->thread, NULL, service_thread, e);
  e->threaded = r == 0;
  e->loop_is_ours = r != 0;
  pthread_mutex_unlock (&e->lock);
  if (r != 0) {
    errno = r;
    return -1;
  }
  return 0;
}

void
engine_own_loop (struct engine *e)
{
  e->thread = pthread_self ();
  engine_enter (e);
  e->run_to_completion = true;
}

void
engine_run (struct engine *e)
{
  ev_run (e->loop, 0);
}

void
engine_disown_loop (struct engine *e)
{
  if (!e->run_to_completion)
    return;
  while (complete (e))
    engine_settle (e);
  e->run_to_completion = false;
  e->end_of_turn = NULL;
  engine_leave (e);
}

void
engine_stop_thread (struct engine *e)
{
  if (!e->threaded)
    return;
  engine_enter (e);
  e->stop = true;
  engine_kick (e);
  engine_leave (e);
  pthread_join (e->thread, NULL);
  ev_set_loop_release_cb (e->loop, NULL, NULL);
  pthread_mutex_lock (&e->lock);
  e->threaded = false;
  e->loop_is_ours = true;
  pthread_mutex_unlock (&e->lock);
}

void
engine_destroy (struct engine *e)
{
  assert (!e->threaded);
  ev_loop_destroy (e->loop);
  pthread_cond_destroy (&e->changed);
  pthread_cond_destroy (&e->lock_returned);
  pthread_mutex_destroy (&e->changed_lock);
  pthread_mutex_destroy (&e->lock);
  free (e->complaint);
  free (e);
}
