/* SPDX-License-Identifier: BSD-3-Clause */
/* The fence ladder's LOGICAL UNIT RESET: over the session of a live path, which
 * goes on.
 *
 * A reset must not make what it is to end.  So first nothing new is sent to the
 * LUN (map->frozen) until what is in flight was answered, DRAIN seconds at most.
 * What is left then ends with it, and is sent again: on the session that had the
 * reset its response says so (RFC 7143 11.5.1); on others ABORT TASK finds out
 * (path-abort.c).  If the target drops those sessions, that is no loss of paths
 * (session_give_grace); and writes of which it is known that they had come to the
 * target before the reset are no more in doubt than any it has ended: there was a
 * later answer on their session, and commands come in order. */
#include <config.h>

#include <string.h>

#include "fence/fence-internal.h"

/* Seconds that the live paths get to answer before a reset. */
#define DRAIN 1.0
/* And then for the request to be sent. */
#define SEND 2.0
/* Nothing new is sent for at most so many seconds, even if the target does
 * not answer the reset: it may wait for a backing store that hangs. */
#define FREEZE 5.0
/* Resets at a time, and seconds until there may be another one: other
 * initiators have to live with them. */
#define BURST 3.0
#define REFILL 10.0
/* RFC 7143 11.6.1. */
#define LUN_DOES_NOT_EXIST 2

/* One disk behind two targets (two daemons, say, with one backing store): the
 * one that is reset knows nothing of what the other one has, unless both are
 * the same device. */
bool
fence_is_known_to (const struct nexus *x, const struct session *s)
{
  return s->engine->settings->fence_across_targets ||
    strcmp (s->target, x->target) == 0;
}

/* Some targets refuse a reset, or never answer one.  Then reinstatement is all that
 * there is, and by RFC 7143 6.3.5 it is enough. */
enum fencing
fence_ladder_for (const struct map *m, const struct fence *f)
{
  struct list *l, *next;

  if (ladder (m) != FENCING_AUTO && ladder (m) != FENCING_LUN_RESET)
    return ladder (m);
  list_for_each (l, next, &m->paths) {
    const struct session *s = list_entry (l, struct path, map_node)->session;

    if (s->no_reset && strcmp (s->target, f->nexus.target) == 0)
      return ladder (m) == FENCING_AUTO ? FENCING_REINSTATE : FENCING_HOLD;
  }
  return ladder (m);
}

static void
learn (struct map *m, const struct path *via, const char *what,
             int response)
{
  struct list *l, *next;

  if (via == NULL || via->session->no_reset || response == LUN_DOES_NOT_EXIST)
    return;
  log_warning ("%s: target %s %s LOGICAL UNIT RESET (response %d): from now on %s",
               m->name, via->session->target, what, response,
               ladder (m) == FENCING_AUTO
               ? "session reinstatement alone has to end what a lost session "
               "had, as RFC 7143 says that it does"
               : "there is nothing but to wait");
  list_for_each (l, next, &m->engine->sessions) {
    struct session *s = list_entry (l, struct session, node);

    if (strcmp (s->target, via->session->target) == 0)
      s->no_reset = true;
  }
}

static bool
may_reset_now (struct map *m, double now)
{
  if (m->reset_counted == 0)
    m->reset_credit = BURST;
  else
    m->reset_credit += (now - m->reset_counted) / REFILL;
  m->reset_counted = now;
  if (m->reset_credit > BURST)
    m->reset_credit = BURST;
  return m->reset_credit >= 1;
}

static unsigned
in_flight (const struct map *m)
{
  struct list *l, *next;
  unsigned n = 0;

  list_for_each (l, next, &m->paths)
    n += list_entry (l, struct path, map_node)->sel.in_flight;
  return n;
}

static void
thaw (struct map *m)
{
  if (m->frozen) {
    m->frozen = false;
    schedule_dispatch (m);
  }
}

/* The session that it is to go over, or has gone: NULL if that is lost. */
static struct path *
reset_path (const struct map *m)
{
  struct list *l, *next;

  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);
    const struct session *s = p->session;

    if (s->id == m->reset_over)
      return !s->dying && session_is_full_feature (s->state) &&
        s->stats.logins == m->reset_login ? p : NULL;
  }
  return NULL;
}

bool
fence_reset_start (struct map *m, const struct path *via, double now)
{
  struct list *l, *next;

  if (!may_reset_now (m, now))
    return false;
  m->reset_over = via->session->id;
  m->reset_login = via->session->stats.logins;
  m->reset_at = 0;
  m->reset_response = -1;
  m->fence_via = via->session->id;
  m->frozen_since = now;
  m->frozen = true;
  /* Their answers tell what has come to the target before them. */
  list_for_each (l, next, &m->paths)
    path_ask_of_reset (list_entry (l, struct path, map_node), now);
  gate_soon (m);
  return true;
}

/* From inside libiscsi, perhaps. */
static void
response_came (struct session *s, uint8_t response)
{
  struct list *l, *next, *pl, *pnext, *k, *knext;

  if (response == 0)
    list_for_each (l, next, &s->engine->sessions) {
      struct session *o = list_entry (l, struct session, node);

      if (strcmp (o->target, s->target) == 0)
        o->no_reset = false;
    }
  list_for_each (l, next, &s->engine->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (m->reset_over != s->id || m->reset_at == 0 ||
        m->reset_login != s->stats.logins)
      continue;
    m->reset_response = response;
    gate_soon (m);
    if (response != 0)
      continue;
    list_for_each (pl, pnext, &m->paths)
      list_for_each (k, knext, &list_entry (pl, struct path, map_node)
                     ->session->in_flight) {
        struct command *cmd = list_entry (k, struct command, node);

        if (cmd->req != NULL && cmd->req->map == m)
          cmd->ended = cmd->had_come;
      }
  }
}

static void
mark (struct path *p, bool knows, bool is_it)
{
  struct session *s = p->session;
  struct list *l, *next;

  list_for_each (l, next, &s->in_flight) {
    struct command *cmd = list_entry (l, struct command, node);

    if (cmd->path == p && cmd->req != NULL)
      cmd->had_come = knows && (is_it || cmd->submitted < s->received);
  }
}

static void
unmark (struct map *m)
{
  struct list *l, *next;

  list_for_each (l, next, &m->paths)
    mark (list_entry (l, struct path, map_node), false, false);
}

static void
give_grace (const struct session *to)
{
  struct list *l, *next;

  list_for_each (l, next, &to->engine->sessions) {
    struct session *s = list_entry (l, struct session, node);

    if (strcmp (s->target, to->target) == 0)
      session_give_grace (s);
  }
}

static bool
knows (const struct session *s, const struct session *of)
{
  return s->engine->settings->fence_across_targets ||
    strcmp (s->target, of->target) == 0;
}

static void
send_reset (struct map *m, struct path *via, double now)
{
  struct session *s = via->session;
  struct list *l, *next;

  m->reset_at = now;
  if (!session_reset_lun (s, via->lun, response_came)) {
    m->reset_at = 0;            /* not yet */
    return;
  }
  m->reset_sent = true;
  m->reset_credit--;
  m->fence_stats.resets++;
  log_warning ("%s: LOGICAL UNIT RESET through %s, to fence unanswered writes",
               m->name, s->name);
  give_grace (s);
  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    /* The others take theirs when they log in. */
    p->reset_expected = !p->session->dying &&
      session_is_full_feature (p->session->state);
    mark (p, knows (p->session, s), p->session == s);
  }
  list_for_each (l, next, &m->fences) {
    struct fence *f = list_entry (l, struct fence, node);

    if (fence_is_known_to (&f->nexus, s))
      fence_event (m, f, FENCE_EV_RESET_SENT);
  }
}

/* WHY: NULL if it was done. */
static enum fence_reset
ended (struct map *m, const struct path *via, const char *why, double now)
{
  const bool may_be_done = m->reset_at > 0;
  struct list *l, *next;

  if (why != NULL && may_be_done)
    log_warning ("%s: LOGICAL UNIT RESET through %s: %s", m->name,
                 via ? via->session->name : "a session that is gone", why);
  m->reset_over = 0;
  m->reset_sent = false;
  m->reset_ended = now;
  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    /* Takes the UNIT ATTENTION of our reset. */
    if (may_be_done)
      p->next_check = 0;
    else
      p->reset_expected = false;
    /* Also what was sent while it was on its way. */
    if (may_be_done)
      path_abort_tasks (p, now);
  }
  unmark (m);
  thaw (m);
  if (may_be_done && via != NULL)
    give_grace (via->session);
  return why == NULL ? FENCE_RESET_DONE : FENCE_RESET_FAILED;
}

enum fence_reset
fence_reset_check (struct map *m, double now)
{
  struct path *via;

  if (m->reset_over == 0)
    return FENCE_RESET_GOES_ON;
  via = reset_path (m);
  if (m->reset_response == 0)
    return ended (m, via, NULL, now);
  if (m->reset_response > 0) {
    learn (m, via, "refuses", m->reset_response);
    return ended (m, via, "refused", now);
  }
  if (via == NULL)
    return ended (m, via, "the session was lost", now);
  /* Given up.  An answer that comes later takes that back. */
  if (list_empty (&m->fences) && m->reset_at > 0)
    learn (m, via, "does not answer", -1);
  if (list_empty (&m->fences))
    return ended (m, via, "not answered in time", now);
  if (m->reset_at == 0 && now - m->frozen_since > DRAIN + SEND)
    return ended (m, via, "cannot be sent", now);
  if (m->reset_at == 0 &&
      (in_flight (m) == 0 || now - m->frozen_since > DRAIN))
    send_reset (m, via, now);
  if (m->frozen && now - m->frozen_since > FREEZE)
    thaw (m);
  return FENCE_RESET_GOES_ON;
}
