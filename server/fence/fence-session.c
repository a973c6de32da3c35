/* SPDX-License-Identifier: BSD-3-Clause */
/* The fence ladder's logins: sessions that end a lost one by logging in in its
 * place.  See fence.h. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fence/fence-internal.h"

/* The session's own new login is waited for so long: its portal may be silent,
 * and another one of the group is not. */
#define OWN_LOGIN 0.5
/* A fencing session's login may take so long at first.  It goes through a
 * portal that is alive as far as we know, so it is done in a moment or that
 * portal has just died; for slow targets it is doubled after each failure. */
#define FENCE_LOGIN 0.5

/* Some targets take seconds for each login. */
static double
usual_login (const struct session *s, double least)
{
  return s == NULL ? least : least + 1.5 * s->login_took;
}

/* Is what S was to end by logging in still there? */
static bool
in_vain (const struct map *m, const struct session *s)
{
  struct list *l, *next;

  list_for_each (l, next, &m->fences) {
    const struct fence *f = list_entry (l, struct fence, node);

    if (wants_login (m, f) && is_nexus_of (&f->nexus, s))
      return true;
  }
  return false;
}

static void
logged_in (struct session *s)
{
  struct map *m = fencer_of (s)->map;

  gate_logged_in (s);
  if (m == NULL || m->fencer != s)
    session_event (s, SESSION_EV_PROBED);
  else if (in_vain (m, s))
    session_kill (s, FAIL_LOGIN, "it is in portal group %d", s->portal.tpgt);
  else {                        /* to be logged in was all */
    fencer_of (s)->done = true;
    session_event (s, SESSION_EV_PROBED);
  }
}

static bool
secure (const struct session *s)
{
  (void) s;
  return true;
}

static void
over (struct session *s)
{
  session_event (s, SESSION_EV_STOP);
}

static enum session_next
lost (struct session *s)
{
  (void) s;
  return SESSION_ENDS;          /* fence.c makes another one */
}

static void
closed (struct session *s)
{
  if (fencer_of (s)->map != NULL)
    gate_soon (fencer_of (s)->map);
}

static void
freed (struct session *s)
{
  struct fencer *f = fencer_of (s);

  if (f->map != NULL && f->map->fencer == s)
    f->map->fencer = NULL;
  free (f);
}

static const struct session_ops fencer_ops = {
  .secure = secure,
  .logged_in = logged_in,
  .up = over,
  .lost = lost,
  .closed = closed,
  .freed = freed,
};

static bool
start (struct map *m, const struct path *via, const struct fence *f)
{
  struct fencer *fencer = calloc (1, sizeof *fencer);
  struct session *s = fencer == NULL ? NULL
    : session_new (m->engine, &fencer_ops,
                   via ? &via->session->portal : &f->nexus.portal,
                   via ? via->session->target : f->nexus.target);

  if (s == NULL) {
    free (fencer);
    return false;
  }
  s->opaque = fencer;
  s->settled = true;
  s->login_patience = usual_login (via ? via->session : NULL, FENCE_LOGIN) * (1u << (m->fence_failures < 8
                                            ? m->fence_failures : 8));
  if (s->login_patience > m->engine->settings->login_timeout)
    s->login_patience = m->engine->settings->login_timeout;
  m->fence_via = via ? via->session->id : 0;
  fencer_of (s)->map = m;
  s->plain_login = m->fence_plain;
  strcpy (s->initiator, f->nexus.initiator);
  s->isid_random = f->nexus.isid_random;
  s->isid_qualifier = f->nexus.isid_qualifier;
  s->attempt = f->failed;       /* log_loss is brief then */
  m->fencer = s;
  session_event (s, SESSION_EV_START);
  return true;
}

static bool
is_in_group (const struct nexus *x, const struct session *s)
{
  return strcmp (s->target, x->target) == 0 && !is_elsewhere (x, s) &&
    ((x->portal.tpgt != -1 && s->portal.tpgt == x->portal.tpgt) ||
     portal_equal (&s->portal, &x->portal));
}

static const struct path *
live_path (const struct map *m, const struct nexus *x,
           bool (*good) (const struct nexus *x, const struct session *s))
{
  const struct path *again = NULL, *deaf = NULL;
  struct list *l, *next;

  list_for_each (l, next, &m->paths) {
    const struct path *p = list_entry (l, struct path, map_node);

    if (!path_is_usable (p->state) || p->session->dying)
      continue;
    if (!good (x, p->session))
      continue;
    /* What answers no commands will hardly answer a reset. */
    if (p->deaf)
      deaf = p;
    else if (m->fence_failures == 0 || p->session->id != m->fence_via)
      return p;
    else
      again = p;
  }
  return again ? again : deaf;
}

static const struct path *
fence_live_path (const struct map *m, const struct nexus *x)
{
  return live_path (m, x, is_in_group);
}

const struct path *
fence_reset_path (const struct map *m, const struct nexus *x)
{
  return live_path (m, x, fence_is_known_to);
}

bool
fence_session_is_lost (const struct map *m)
{
  struct list *l, *next;

  if (m->fence_via == 0)
    return false;               /* it is on its own */
  list_for_each (l, next, &m->paths) {
    const struct session *s =
      list_entry (l, struct path, map_node)->session;

    if (s->id == m->fence_via)
      return s->dying || !session_is_full_feature (s->state);
  }
  return true;                  /* deleted */
}

static bool
is_logging_in (struct engine *e, const struct fence *f)
{
  struct list *l, *next;

  list_for_each (l, next, &e->sessions) {
    struct session *s = list_entry (l, struct session, node);

    if (s->ops->discovery || !session_is_connected (s) || s->dying ||
        !is_nexus_of (&f->nexus, s))
      continue;
    /* Is logged in, and that has not helped. */
    if (session_is_full_feature (s->state) && is_elsewhere (&f->nexus, s))
      continue;
    if (session_has_paths (s) &&
        (s->state == SESSION_CONNECT || s->state == SESSION_LOGIN) &&
        ev_timer_remaining (e->loop, &s->timer) <
        e->settings->login_timeout - usual_login (s, OWN_LOGIN))
      continue;
    return true;
  }
  return false;
}

bool
fence_start_login (struct map *m, bool live, bool again)
{
  struct list *l, *next;

  list_for_each (l, next, &m->fences) {
    struct fence *f = list_entry (l, struct fence, node);
    const struct path *via;

    /* The session's own new login will do, and must not be killed by ours,
     * which has the same ISID. */
    if (!wants_login (m, f) || (f->failed && !again) ||
        is_logging_in (m->engine, f))
      continue;
    via = fence_live_path (m, &f->nexus);
    if (live && via != NULL &&
        start (m, via, f))
      return true;
    if (!live && via == NULL && f->inherited &&
        start (m, NULL, f))
      return true;
  }
  return false;
}
