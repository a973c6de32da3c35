/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a server: made of its layers, run, and ended. */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fence/fence.h"
#include "fence/nexus.h"
#include "multipath/alua.h"
#include "multipath/gate.h"
#include "multipath/hedge.h"
#include "multipath/registrant.h"
#include "service/service-internal.h"

/* From SIGTERM on, how long a clean end waits for writes in doubt to be
 * fenced. */
#define FENCE_AT_END 2.5

/* I/O that takes longer than this, in seconds, may need engine_abandon. */
#define STUCK 1.0

/* Sessions and queues, looked at from time to time.  Is there any work? */
static bool
tick (struct engine *e, double now)
{
  bool busy = false, stuck = false;
  struct list *l, *next;

  list_for_each (l, next, &e->sessions) {
    struct session *s = list_entry (l, struct session, node);

    session_tick (s, now);
    session_check_loss (s, now);
    session_offer_room (s);     /* nobody waits for who has forgotten */
    session_look_again_if_wanted (s);
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
    alua_check (m, now);
    map_check_latency (m);
    gate_check (m, now);
    if (!list_empty (&m->queue) || !list_empty (&m->delayed) ||
        !list_empty (&m->fences))
      busy = true;
    if ((!list_empty (&m->queue) && m->nr_active == 0) ||
        !list_empty (&m->delayed) || !list_empty (&m->parked))
      stuck = true;
    list_for_each (pl, pnext, &m->paths) {
      path_check (list_entry (pl, struct path, map_node), now);
      path_check_deaf (list_entry (pl, struct path, map_node), now);
    }
  }
  if (stuck != e->stuck) {
    e->stuck = stuck;
    engine_changed (e);
  }
  return busy;
}

static const struct engine_hooks hooks = {
  .take = requests_take,
  .completed = requests_wake,
  .handed_over = requests_handed_over,
  .tick = tick,
  .settled = default_settled,
  .add_target = engine_add_target,
};

struct engine *
engine_new (const struct settings *settings)
{
  struct engine *e;

  guard_install ();
  e = engine_create (settings, &hooks);
  if (e == NULL)
    return NULL;
  hedge_init (e);
  fence_attach (e);
  work_init (&e->new_sessions, start_new_sessions);
  return e;
}

void
engine_keep_record (struct engine *e)
{
  fence_keep_record (e);
}

/* ---- running ---------------------------------------------------------------- */

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
  engine_enter (e);
  while (!over && !engine_all_settled (e))
    ev_run (e->loop, EVRUN_ONCE);
  ev_timer_stop (e->loop, &timer);
  engine_leave (e);
}

/* Nothing can be used now, but the array may change that: a map that is ready
 * when the server starts is worth a wait. */
static bool
waits_for_array (const struct engine *e)
{
  struct list *l, *next;
  bool waits = false;

  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (m->nr_active > 0)
      return false;
    waits |= alua_is_waited_for (m);
  }
  list_for_each (l, next, &e->sessions)
    waits |= list_entry (l, struct session, node)->size_unknown;
  return waits;
}

void
engine_run_until_active (struct engine *e, double timeout)
{
  ev_timer timer;
  bool over = false;

  ev_timer_init (&timer, give_up_cb, timeout, 0.);
  timer.data = &over;
  ev_now_update (e->loop);
  ev_timer_start (e->loop, &timer);
  engine_enter (e);
  while (!over && waits_for_array (e))
    ev_run (e->loop, EVRUN_ONCE);
  ev_timer_stop (e->loop, &timer);
  engine_leave (e);
}

/* ---- the end ---------------------------------------------------------------- */

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

  engine_enter (e);
  if (e->shutdown) {
    engine_leave (e);
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
  engine_leave (e);
}

/* Log out everywhere, with the loop in this thread. */
static void
log_out (struct engine *e, double timeout)
{
  struct list *l, *next;
  ev_timer timer;
  bool over = false;

  ev_set_loop_release_cb (e->loop, NULL, NULL);
  engine_enter (e);
  engine_settle (e);            /* the dead cannot log out */
  /* Whoever uses the disk next must not find an old write of ours on it.
   * Usually there is nothing in doubt, and no wait. */
  ev_timer_init (&timer, give_up_cb, FENCE_AT_END, 0.);
  timer.data = &over;
  ev_now_update (e->loop);
  ev_timer_start (e->loop, &timer);
  list_for_each (l, next, &e->maps)
    gate_soon (list_entry (l, struct map, node));
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
  engine_leave (e);
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
  engine_stop_thread (e);
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
  engine_enter (e);
  while (!list_empty (&e->sessions))
    session_free (list_entry (e->sessions.next, struct session, node));
  while (!list_empty (&e->maps))
    map_free (list_entry (e->maps.next, struct map, node));
  registrants_free (e);
  map_names_free (e);
  engine_leave (e);
  engine_destroy (e);
}
