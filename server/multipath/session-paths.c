/* SPDX-License-Identifier: BSD-3-Clause */
/* What a session is for, mostly: the paths that go through it. */
#include <config.h>

#include "multipath/gate.h"

/* Seconds of answers before a path counts as awake. */
#define AWAKE_PROOF 0.5

/* ---- its life ------------------------------------------------------------------ */

static void
logged_in (struct session *s)
{
  gate_logged_in (s);
  probe_start (s);
}

static void
up (struct session *s)
{
  struct list *l, *next;

  s->lost_since = 0;
  s->forgotten = false;
  /* What was said to have changed while it was looked at may lie behind what
   * was looked at: once more first. */
  if (s->look_again)
    engine_later (s->engine, &s->look);
  else
    session_open (s);
  list_for_each (l, next, &s->paths) {
    struct path *p = list_entry (l, struct path, session_node);

    if (p->map)
      schedule_dispatch (p->map);
  }
}

/* open-iscsi's default. */
#define REPLACEMENT_TIMEOUT 120.0

/* A target that asks for another login (an array that moves its ports, a group
 * address that redirects each one) is not gone: I/O waits for that, also where
 * there is no other path and no_path_retry would fail it. */
static void
await_move (struct session *s)
{
  const double given = s->engine->settings->replacement_timeout;
  const double until =
    engine_now () + (given >= 0 ? given : REPLACEMENT_TIMEOUT);
  struct list *l, *next;

  s->asked_to_move = false;
  list_for_each (l, next, &s->paths)
    list_entry (l, struct path, session_node)->map->grace_until = until;
}

static void
down (struct session *s, const char *why)
{
  struct list *l, *next;

  if (s->asked_to_move)
    await_move (s);
  list_for_each (l, next, &s->paths) {
    struct path *p = list_entry (l, struct path, session_node);

    path_event (p, PATH_EV_DOWN, why);
    /* The login that follows takes the UNIT ATTENTIONs. */
    p->reset_expected = false;
  }
  s->look_again = false;
  probe_cancel (s);
}

static enum session_next
lost (struct session *s)
{
  /* If it was forgotten, these paths are new. */
  if (!list_empty (&s->paths) && (s->lost_since == 0 || s->forgotten)) {
    s->lost_since = engine_now ();
    s->forgotten = false;
  }
  /* What was forgotten (dev_loss_tmo) is only looked for now and then, unless
   * a fence may need its login. */
  return s->forgotten && !gate_awaits_login (s) ? SESSION_RETRIES_SLOWLY
    : SESSION_RETRIES;
}

static void
freed (struct session *s)
{
  probe_cancel (s);
  work_cancel (&s->look);
  while (!list_empty (&s->paths))
    path_free (list_entry (s->paths.next, struct path, session_node));
}

void
session_offer_room (struct session *s)
{
  struct turn *next = turns_next (&s->turns);

  if (next != NULL)
    schedule_dispatch (container_of (next, struct path, sel.turn)->map);
}

/* ---- its health ------------------------------------------------------------------ */

/* Another usable path for each LUN that is in use here?  And when was one of
 * them last heard of? */
static bool
others (const struct session *s, double now, double *last_rx)
{
  struct list *l, *next, *pl, *pnext;
  bool all = true;

  *last_rx = 0;
  list_for_each (l, next, &s->paths) {
    const struct path *p = list_entry (l, struct path, session_node);
    bool other = false;

    if (p->map == NULL)
      continue;
    list_for_each (pl, pnext, &p->map->paths) {
      const struct path *q = list_entry (pl, struct path, map_node);

      if (q->session != s && path_is_usable (q->state)) {
        other = true;
        /* One that has just woken up with the whole target proves nothing. */
        if (now - q->session->awake_since < AWAKE_PROOF)
          continue;
        if (q->session->last_rx > *last_rx)
          *last_rx = q->session->last_rx;
      }
    }
    if (!other)
      all = false;
  }
  return all;
}

/* Whether a silent path is dead depends on what the others say: ask those
 * that have nothing to do and would not tell by themselves. */
static void
ask_others (struct session *s, double now)
{
  struct list *l, *next, *pl, *pnext;

  list_for_each (l, next, &s->paths) {
    const struct path *p = list_entry (l, struct path, session_node);

    if (p->map == NULL)
      continue;
    list_for_each (pl, pnext, &p->map->paths) {
      struct session *o = list_entry (pl, struct path, map_node)->session;

      if (o != s && o->state == SESSION_UP && !o->dying && o->ping_sent == 0)
        session_ping (o, now);
    }
  }
}

const struct session_ops path_session_ops = {
  .of_portal = true,
  .secure = gate_awaits_login,
  .logged_in = logged_in,
  .up = up,
  .down = down,
  .lost = lost,
  .freed = freed,
  .room = session_offer_room,
  .others = others,
  .ask_others = ask_others,
};

struct session *
path_session_new (struct engine *e, const struct portal *portal,
                  const char *target)
{
  struct session *s = session_new (e, &path_session_ops, portal, target);

  if (s != NULL)
    work_init (&s->look, session_look);
  return s;
}
