/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine: its lock, its loop, starting and stopping.  See engine.h. */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "engine/engine-internal.h"
#include "iscsi/session-internal.h"
#include "service/service-internal.h"
#include "fence/fence.h"
#include "multipath/hedge.h"
#include "fence/nexus.h"
#include "multipath/registrant.h"

/* How often sessions and queues are looked at, with and without work. */
#define TICK_BUSY 0.1
#define TICK_IDLE 0.25

/* From SIGTERM on, how long a clean end waits for writes in doubt to be
 * fenced. */
#define FENCE_AT_END 2.5

/* From so many commands in flight on, workers (not readers, which come with all
 * that has come) leave sending to the service thread (server/README).  With 4 a client with 8 requests was 12 % slower
 * than when its workers sent themselves, with 32 it is 7 % faster. */
#define HAND_OVER 8

/* I/O that takes longer than this, in seconds, may need engine_abandon. */
#define STUCK 1.0

double
engine_random (struct engine *e)
{
  (void) e;
  return (random () % 1000 + 1) / 1000.0;
}

/* ---- lock ----------------------------------------------------------------- */

/* Run to completion: the loop's thread has the lock for good, and lends it. */
static bool
is_owner (const struct engine *e)
{
  return e->run_to_completion && pthread_equal (e->thread, pthread_self ());
}

void
engine_lock (struct engine *e)
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
engine_unlock (struct engine *e)
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
  for (;;) {
    struct request *completed, *none = NULL;

    engine_settle (e);
    completed = e->completed;
    e->completed = NULL;
    pthread_mutex_unlock (&e->lock);
    requests_wake (completed);

    /* A worker that pushed while we held the lock relies on us.  This has
     * to be a read-modify-write: it orders the look at the stack after the
     * unlock, so that either we see its request or its trylock succeeds. */
    if (atomic_compare_exchange_strong (&e->pending, &none, NULL))
      return;
    if (pthread_mutex_trylock (&e->lock) != 0)
      return;                   /* the new holder will look */
  }
}

/* Lock held: may its worker poll for this request's answer? */
static int
fd_to_poll (const struct request *req)
{
  const struct session *s = req->nr_parts == 1 && req->parts_left == 1
    ? req->parts->session : NULL;

  return s != NULL && req->parts->accounted && session_is_solo (s)
    ? iscsi_get_fd (s->ctx) : -1;
}

/* The requests from LAST to FIRST, by next, are the newest ones of the stack
 * now. */
static void
push_pending (struct engine *e, struct request *first, struct request *last)
{
  struct request *head = atomic_load_explicit (&e->pending,
                                               memory_order_relaxed);

  do
    first->next = head;
  while (!atomic_compare_exchange_weak (&e->pending, &head, last));
}

void
engine_submit_all (struct engine *e, struct request *first,
                   struct request *last)
{
  push_pending (e, first, last);
  if (e->run_to_completion)
    return;                     /* sent at the end of the turn */
  if (pthread_mutex_trylock (&e->lock) == 0)
    engine_unlock (e);          /* settles */
}

void
engine_submit (struct engine *e, struct request *req, int *fd)
{
  push_pending (e, req, req);
  *fd = -1;
  /* Many in flight: so the service thread runs, or will be woken by their
   * answers or their sessions' end, at the latest.  With one CPU for all that
   * pays only for writes, whose data fills segments. */
  if (atomic_load_explicit (&e->in_flight, memory_order_relaxed) >=
      HAND_OVER && (!e->one_cpu || req->op == OP_WRITE)) {
    ev_async_send (e->loop, &e->submitted);
    return;
  }
  if (pthread_mutex_trylock (&e->lock) == 0) {
    e->submitter = req;
    engine_settle (e);
    e->submitter = NULL;
    *fd = fd_to_poll (req);
    engine_unlock (e);
  }
}

void
engine_poll_done (struct engine *e, struct request *req, bool readable,
                  int *fd)
{
  struct session *s;

  engine_lock (e);
  *fd = -1;
  if (fd_to_poll (req) != -1) {
    s = req->parts->session;
    if (readable) {
      session_ready (s, POLLIN);
      session_flush (s);        /* an R2T has made Data-Outs */
    }
    else
      session_unsolo (s);
    e->submitter = req;
    engine_settle (e);
    e->submitter = NULL;
    *fd = fd_to_poll (req);
  }
  engine_unlock (e);
}

/* Any thread, also without the lock. */
void
engine_kick (struct engine *e)
{
  ev_async_send (e->loop, &e->kick);
}

void
schedule_dispatch (struct map *m)
{
  if (list_empty (&m->dispatch_node))
    list_add_tail (&m->engine->dispatch, &m->dispatch_node);
}

static bool
take_pending (struct engine *e)
{
  struct request *req = atomic_load_explicit (&e->pending,
                                              memory_order_relaxed);
  struct request *in_order = NULL;

  if (req == NULL)
    return false;
  req = atomic_exchange (&e->pending, NULL);
  while (req != NULL) {         /* the stack has the last one on top */
    struct request *next = req->next;

    req->next = in_order;
    in_order = req;
    req = next;
  }
  while (in_order != NULL) {
    req = in_order;
    in_order = req->next;
    req->next = NULL;
    map_submit (req->map, req);
  }
  return true;
}

/* Lock held, not inside of libiscsi: do all that was put on lists, until
 * there is nothing left. */
void
engine_settle (struct engine *e)
{
  bool more;

  if (e->in_settle)
    return;
  e->in_settle = true;
  do {
    more = take_pending (e);
    /* What is told may start timers.  A worker gets here only when the
     * service thread is about to run anyway. */
    while (e->loop_is_ours && !list_empty (&e->told)) {
      struct command *cmd =
        list_entry (e->told.next, struct command, node);

      list_del (&cmd->node);
      more = true;
      cmd->done (cmd, cmd->result, &cmd->sense);
    }
    while (!list_empty (&e->dispatch)) {
      struct map *m = list_entry (e->dispatch.next, struct map, dispatch_node);

      list_del (&m->dispatch_node);
      more = true;
      map_dispatch (m);
    }
    while (!list_empty (&e->flush)) {
      struct session *s =
        list_entry (e->flush.next, struct session, flush_node);

      list_del (&s->flush_node);
      s->need_flush = false;
      more = true;
      session_flush (s);
    }
  } while (more);
  hedge_sweep (e);
  e->in_settle = false;
}

/* ---- loop ----------------------------------------------------------------- */

static void
reap (struct engine *e)
{
  struct list *l, *next;

  while (e->need_reap) {
    e->need_reap = false;
    list_for_each (l, next, &e->sessions) {
      struct session *s = list_entry (l, struct session, node);

      if (s->dying)
        session_reap (s);
      if (s->forget && s->state == SESSION_CLOSED)
        session_free (s);
    }
    engine_settle (e);
  }
}

static void
update_watchers (struct engine *e)
{
  struct list *l, *next;

  e->need_watchers = false;
  list_for_each (l, next, &e->sessions)
    session_update_watcher (list_entry (l, struct session, node));
}

/* What waits for its next try. */
static void
start_retry_timer (struct engine *e)
{
  struct list *l, *next;
  double until = 0, wait;

  e->need_delayed = false;
  list_for_each (l, next, &e->maps) {
    const double t = map_delayed_until (list_entry (l, struct map, node));

    if (t > 0 && (until == 0 || t < until))
      until = t;
  }
  if (until == 0)
    return;
  wait = until - engine_now ();
  ev_timer_stop (e->loop, &e->retry_timer);
  ev_timer_set (&e->retry_timer, wait > 0 ? wait : 0, 0.);
  /* The loop's idea of now may be old. */
  ev_now_update (e->loop);
  ev_timer_start (e->loop, &e->retry_timer);
}

static void
retry_cb (EV_P_ ev_timer *w, int revents)
{
  struct engine *e = w->data;
  struct list *l, *next;

  (void) loop;
  (void) revents;
  list_for_each (l, next, &e->maps)
    map_wake_delayed (list_entry (l, struct map, node), engine_now ());
  e->need_delayed = true;
}

static void
settle_turn (struct engine *e)
{
  engine_settle (e);
  reap (e);
  if (e->need_fence) {
    struct list *l, *next;

    e->need_fence = false;
    list_for_each (l, next, &e->maps) {
      fence_check (list_entry (l, struct map, node), engine_now ());
      nexus_check (list_entry (l, struct map, node), engine_now ());
    }
    engine_settle (e);
  }
  if (e->need_delayed)
    start_retry_timer (e);
  if (e->need_watchers)
    update_watchers (e);
}

/* Run to completion: the answers of this turn, to whom they are for. */
static bool
complete (struct engine *e)
{
  struct request *completed = e->completed;

  e->completed = NULL;
  requests_wake (completed);
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
  settle_turn (e);
  if (!e->run_to_completion)
    return;
  do {
    more = complete (e);
    if (e->end_of_turn)
      more |= e->end_of_turn (e->end_of_turn_opaque);
    if (more)
      settle_turn (e);
  } while (more);
  while (atomic_load (&e->lock_wanted) > 0)
    pthread_cond_wait (&e->lock_returned, &e->lock);
}

static void
start_wanted_probe (struct session *s)
{
  /* While one runs, what changed may lie behind it: then once more. */
  if (s->want_probe && s->probe == NULL && s->state == SESSION_UP &&
      !s->dying) {
    s->want_probe = false;
    probe_start (s);
  }
}

static void
kick_cb (EV_P_ ev_async *w, int revents)
{
  struct engine *e = w->data;
  struct list *l, *next;

  (void) revents;
  if (e->stop)
    ev_break (EV_A_ EVBREAK_ALL);
  list_for_each (l, next, &e->sessions) {
    struct session *s = list_entry (l, struct session, node);

    resolve_poll (s);
    start_wanted_probe (s);
  }
  hedge_wake (e);
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
  const double now = engine_now ();
  bool busy = false, stuck = false;
  struct list *l, *next;

  (void) revents;
  list_for_each (l, next, &e->sessions) {
    struct session *s = list_entry (l, struct session, node);

    session_check_health (s, now);
    session_check_loss (s, now);
    if (s->worker_polls && !s->used)
      session_unsolo (s);
    s->used = false;
    session_offer_room (s);     /* nobody waits for who has forgotten */
    start_wanted_probe (s);
    /* After TASK SET FULL the depth comes back slowly. */
    if (s->depth < e->settings->queue_depth && s->limit_now > 0)
      s->limit_now = ++s->depth;
    if (!list_empty (&s->in_flight)) {
      busy = true;
      if (now - list_entry (s->in_flight.next, struct command,
                            node)->submitted > STUCK)
        stuck = true;
    }
  }
  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);
    struct list *pl, *pnext;

    map_wake_delayed (m, now);
    map_check (m, now);
    map_check_latency (m);
    fence_check (m, now);
    nexus_check (m, now);
    if (!list_empty (&m->queue) || !list_empty (&m->delayed) ||
        !list_empty (&m->fences))
      busy = true;
    if ((!list_empty (&m->queue) && m->nr_active == 0) ||
        !list_empty (&m->delayed) || !list_empty (&m->parked))
      stuck = true;
    list_for_each (pl, pnext, &m->paths)
      path_check (list_entry (pl, struct path, map_node), now);
  }
  if (stuck != e->stuck) {
    e->stuck = stuck;
    engine_changed (e);
  }
  w->repeat = busy ? TICK_BUSY : TICK_IDLE;
  ev_timer_again (EV_A_ w);
}

/* libev calls these around the blocking epoll_wait. */
static void
release_cb (EV_P) EV_NOEXCEPT
{
  struct engine *e = ev_userdata (EV_A);

  engine_settle (e);
  e->loop_is_ours = false;
  engine_unlock (e);
}

static void
acquire_cb (EV_P) EV_NOEXCEPT
{
  struct engine *e = ev_userdata (EV_A);

  engine_lock (e);
  e->loop_is_ours = true;
}

static void *
service_thread (void *opaque)
{
  struct engine *e = opaque;

  engine_bind_thread (e);
  engine_lock (e);
  e->loop_is_ours = true;
  if (!e->stop)
    ev_run (e->loop, 0);
  engine_settle (e);
  e->loop_is_ours = false;
  engine_unlock (e);
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
engine_new (const struct settings *settings)
{
  struct engine *e = calloc (1, sizeof *e);
  pthread_condattr_t attr;

  if (e == NULL)
    return NULL;
  guard_install ();
  e->settings = settings;
  e->isid_random = process_isid ();
  if (getrandom (&e->canary, sizeof e->canary, 0) != sizeof e->canary)
    e->canary = (uint64_t) (engine_now () * 1e9) * 0x9e3779b97f4a7c15u;
  srandom (e->isid_random ^ (unsigned) time (NULL));
  if (settings->initiator_name)
    snprintf (e->initiator_name, sizeof e->initiator_name, "%s",
              settings->initiator_name);
  else
    settings_default_initiator (NULL, e->initiator_name);
  list_init (&e->sessions);
  list_init (&e->maps);
  list_init (&e->dispatch);
  list_init (&e->flush);
  list_init (&e->told);
  hedge_init (e);
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
  ev_init (&e->retry_timer, retry_cb);
  e->retry_timer.data = e;
  ev_init (&e->tick, tick_cb);
  e->tick.data = e;
  e->tick.repeat = TICK_IDLE;
  ev_timer_again (e->loop, &e->tick);
  return e;
}

static void
give_up_cb (EV_P_ ev_timer *w, int revents)
{
  (void) revents;
  *(bool *) w->data = true;
  ev_break (EV_A_ EVBREAK_ALL);
}

void
engine_run_until_settled (struct engine *e, double timeout)
{
  ev_timer timer;
  bool over = false;

  ev_timer_init (&timer, give_up_cb, timeout, 0.);
  timer.data = &over;
  ev_timer_start (e->loop, &timer);
  engine_lock (e);
  while (!over && !engine_all_settled (e))
    ev_run (e->loop, EVRUN_ONCE);
  ev_timer_stop (e->loop, &timer);
  engine_unlock (e);
}

int
engine_start_thread (struct engine *e)
{
  int r;

  ev_set_loop_release_cb (e->loop, release_cb, acquire_cb);
  e->threaded = true;
  e->loop_is_ours = false;
  r = pthread_create (&e->thread, NULL, service_thread, e);
  if (r != 0) {
    e->threaded = false;
    e->loop_is_ours = true;
    errno = r;
    return -1;
  }
  return 0;
}

void
engine_own_loop (struct engine *e)
{
  e->thread = pthread_self ();
  engine_lock (e);
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
  engine_unlock (e);
}

static bool
all_closed (struct engine *e)
{
  struct list *l, *next;

  list_for_each (l, next, &e->sessions)
    if (list_entry (l, struct session, node)->state != SESSION_CLOSED)
      return false;
  return true;
}

void
engine_abandon (struct engine *e)
{
  struct list *l, *next;

  engine_lock (e);
  if (e->shutdown) {
    engine_unlock (e);
    return;
  }
  e->shutdown = true;
  e->shutdown_at = engine_now ();
  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (m->nr_active == 0)
      map_fail_all (m, ESHUTDOWN);
  }
  engine_changed (e);
  engine_kick (e);
  engine_unlock (e);
}

/* Log out everywhere, with the loop in this thread. */
static void
log_out (struct engine *e, double timeout)
{
  struct list *l, *next;
  ev_timer timer;
  bool over = false;

  ev_set_loop_release_cb (e->loop, NULL, NULL);
  engine_lock (e);
  reap (e);                     /* the dead cannot log out */
  /* Whoever uses the disk next must not find an old write of ours on it.
   * Usually there is nothing in doubt, and no wait. */
  ev_timer_init (&timer, give_up_cb, FENCE_AT_END, 0.);
  timer.data = &over;
  ev_now_update (e->loop);
  ev_timer_start (e->loop, &timer);
  e->need_fence = true;
  while (!over && !fence_settled (e) &&
         engine_now () - e->shutdown_at < FENCE_AT_END)
    ev_run (e->loop, EVRUN_ONCE);
  ev_timer_stop (e->loop, &timer);
  if (!fence_settled (e))
    log_warning ("the server ends with writes in doubt: an old write might "
                 "still come");
  over = false;
  list_for_each (l, next, &e->sessions)
    session_event (list_entry (l, struct session, node), SESSION_EV_STOP);
  ev_timer_init (&timer, give_up_cb, timeout, 0.);
  timer.data = &over;
  ev_timer_start (e->loop, &timer);
  while (!over && !all_closed (e))
    ev_run (e->loop, EVRUN_ONCE);
  ev_timer_stop (e->loop, &timer);
  /* What waited for its next try has nowhere to go: engine_settle fails it. */
  list_for_each (l, next, &e->maps)
    map_wake_delayed (list_entry (l, struct map, node), engine_now ());
  engine_unlock (e);
}

static void
stop_observer (struct engine *e)
{
  const struct observer *observer = e->observer;

  e->observer = NULL;
  if (observer)
    observer->stop (e);
}

void
engine_shutdown (struct engine *e, double timeout)
{
  engine_abandon (e);
  if (e->threaded) {
    engine_lock (e);
    e->stop = true;
    engine_kick (e);
    engine_unlock (e);
    pthread_join (e->thread, NULL);
    e->threaded = false;
    e->loop_is_ours = true;
  }
  stop_observer (e);
  log_out (e, timeout);
  nexus_stop (e);
}

void
engine_free (struct engine *e)
{
  if (e == NULL)
    return;
  assert (!e->threaded);
  stop_observer (e);
  nexus_stop (e);
  engine_lock (e);
  while (!list_empty (&e->sessions))
    session_free (list_entry (e->sessions.next, struct session, node));
  while (!list_empty (&e->maps))
    map_free (list_entry (e->maps.next, struct map, node));
  registrants_free (e);
  engine_unlock (e);
  ev_loop_destroy (e->loop);
  pthread_cond_destroy (&e->changed);
  pthread_cond_destroy (&e->lock_returned);
  pthread_mutex_destroy (&e->changed_lock);
  pthread_mutex_destroy (&e->lock);
  free (e->complaint);
  free (e);
}
