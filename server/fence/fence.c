/* SPDX-License-Identifier: BSD-3-Clause */
/* The fence ladder.  See fence.h. */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fence/fence-internal.h"

/* Seconds before the next try after a fencing session failed. */
#define RETRY 0.5
/* The same while nobody waits. */
#define RETRY_IDLE 10.0
/* A reset waits so long for another lost session to be reinstated first, so
 * that one reset does for both. */
#define COMBINE 1.0
/* With the server going down, a write that waits for a fence fails then. */
#define SHUTDOWN_GRACE 2.0
/* With more ranges than this, each of which every write is compared with,
 * fence even if no write waits. */
#define MANY_RANGES 1024

/* A login with the ISID of S that began before S died proves nothing. */
static void
stop_older_fencers (const struct session *s)
{
  struct list *l, *next;

  list_for_each (l, next, &s->engine->maps) {
    struct session *fencer = list_entry (l, struct map, node)->fencer;

    if (fencer != NULL && fencer != s && session_is_connected (fencer) &&
        !fencer_of (fencer)->done &&
        fencer->isid_random == s->isid_random &&
        fencer->isid_qualifier == s->isid_qualifier &&
        strcmp (fencer->target, s->target) == 0)
      session_kill (fencer, FAIL_LOST, "the session was lost again");
  }
}

static bool
reserve (struct path *p)
{
  if (p->fence == NULL)
    p->fence = calloc (1, sizeof *p->fence);
  return p->fence != NULL;
}

static void
unreserve (struct path *p)
{
  free (p->fence);
  p->fence = NULL;
}

static void
lost (struct command *cmd)
{
  struct map *m = cmd->req->map;
  const struct session *s = cmd->session;
  struct fence *f = NULL;
  struct list *l, *next;

  /* What a reset has ended before its session was lost is not in doubt. */
  if (!cmd->modifies || cmd->ended || ladder (m) == FENCING_OFF)
    return;
  if (cmd->origin == 0)
    cmd->origin = ++m->engine->last_origin;
  list_for_each (l, next, &m->fences) {
    f = list_entry (l, struct fence, node);
    if (is_nexus_of (&f->nexus, s) && f->login == s->stats.logins)
      break;
    f = NULL;
  }
  if (f == NULL) {
    /* Whoever sent it this way has seen to that (reserve), and one
     * fence is enough for all that one nexus had of this map. */
    f = cmd->path->fence;
    cmd->path->fence = NULL;
    assert (f != NULL);
    nexus_of (s, m, &f->nexus);
    snprintf (f->name, sizeof f->name, "%s", s->name);
    f->login = s->stats.logins;
    f->since = f->looked = engine_now ();
    f->waited = 0;
    f->state = FENCE_DOUBT;
    list_add_tail (&m->fences, &f->node);
    stop_older_fencers (s);
  }
  m->fence_stats.in_doubt++;
  gate_soon (m);
  if (!indoubt_add (&m->indoubt, f, cmd->origin, cmd->lba, cmd->blocks)) {
    log_error ("%s: %s: out of memory: until the lost session is fenced, every "
               "write waits", m->name, f->name);
    indoubt_add_all (&m->indoubt, f, &f->all);
  }
}

static bool
any_inherited (const struct map *m, uint32_t isid_random)
{
  struct list *l, *next;

  list_for_each (l, next, &m->fences) {
    const struct fence *f = list_entry (l, struct fence, node);

    if (f->inherited && f->nexus.isid_random == isid_random)
      return true;
  }
  return false;
}

static bool
inherit (struct map *m, const struct nexus *x)
{
  struct list *l, *next;
  char portal[300];
  struct fence *f;

  /* Two paths of a session, say, are one nexus. */
  list_for_each (l, next, &m->fences) {
    f = list_entry (l, struct fence, node);
    if (f->nexus.isid_random == x->isid_random &&
        f->nexus.isid_qualifier == x->isid_qualifier &&
        f->nexus.portal.tpgt == x->portal.tpgt &&
        strcmp (f->nexus.target, x->target) == 0)
      return true;
  }
  f = calloc (1, sizeof *f);
  if (f == NULL)
    return false;
  /* Which blocks is not known. */
  indoubt_add_all (&m->indoubt, f, &f->all);
  f->nexus = *x;
  f->inherited = true;
  f->since = f->looked = engine_now ();
  snprintf (f->name, sizeof f->name, "%s of the server before",
            portal_text (&x->portal, portal, sizeof portal));
  list_add_tail (&m->fences, &f->node);
  m->fence_stats.inherited++;
  gate_soon (m);
  return true;
}

static bool
list_own (const struct map *m, struct nexus_list *out)
{
  struct list *l, *next;

  list_for_each (l, next, &m->fences) {
    const struct fence *f = list_entry (l, struct fence, node);

    if (!f->inherited && !nexus_list_add (out, &f->nexus))
      return false;
  }
  return true;
}

static void
release (struct map *m, struct fence *f, const char *how)
{
  indoubt_release (&m->indoubt, f);
  log_info ("%s: %s: unanswered writes of the lost session are fenced (%s)",
            m->name, f->name, how);
  list_del (&f->node);
  if (f->inherited && !any_inherited (m, f->nexus.isid_random))
    nexus_fenced (m, f->nexus.isid_random);
  free (f);
  gate_unpark (m);
}

/* EVENT has happened to F, which may be gone after it.  HOW: through which
 * portal, or by which means. */
static void
act (struct map *m, struct fence *f, enum fence_event event, const char *how)
{
  switch (fence_event (m, f, event)) {
  case FENCE_ACT_NONE:
    break;
  case FENCE_ACT_REINSTATE:
    m->fence_stats.reinstated++;
    log_info ("%s: %s: session reinstated through %s: the target has ended "
              "the lost one", m->name, f->name, how);
    gate_soon (m);
    break;
  case FENCE_ACT_RELEASE:
    release (m, f, how);
    break;
  case FENCE_ACT_GIVE_UP:
    log_warning ("%s: %s: gave up fencing after %g s: an old write might "
                 "still come", m->name, f->name,
                 m->engine->settings->fence_timeout);
    m->fence_stats.expired++;
    release (m, f, "time");
    break;
  }
}

static void
act_all (struct map *m, enum fence_event event, const char *how)
{
  struct list *l, *next;

  list_for_each (l, next, &m->fences)
    act (m, list_entry (l, struct fence, node), event, how);
}

static void
logged_in (struct session *s)
{
  struct engine *e = s->engine;
  struct list *l, *next, *fl, *fnext;

  nexus_logged_in (s);
  s->login_took = engine_now () - s->login_began;
  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    list_for_each (fl, fnext, &m->fences) {
      struct fence *f = list_entry (fl, struct fence, node);

      if (!is_nexus_of (&f->nexus, s) || !wants_login (m, f))
        continue;
      if (is_elsewhere (&f->nexus, s)) {
        if (session_has_paths (s))
          log_warning ("%s: %s: logged in to portal group %d: the session that "
                       "was lost was in %d, and may live on there", m->name,
                       f->name, s->portal.tpgt, f->nexus.portal.tpgt);
        continue;
      }
      /* Some targets (tgt) only end the old session when the login went
       * through the security stage. */
      if (!s->secured)
        continue;
      act (m, f, FENCE_EV_LOGIN, s->name);
    }
  }
}

static bool
uses_isid (struct engine *e, uint32_t qualifier)
{
  struct list *l, *next, *fl, *fnext;

  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    list_for_each (fl, fnext, &m->fences) {
      const struct fence *f = list_entry (fl, struct fence, node);

      if (f->nexus.isid_random == e->isid_random &&
          f->nexus.isid_qualifier == qualifier)
        return true;
    }
  }
  return false;
}

static bool
awaits_login (const struct session *s)
{
  struct list *l, *next, *fl, *fnext;

  list_for_each (l, next, &s->engine->maps) {
    struct map *m = list_entry (l, struct map, node);

    list_for_each (fl, fnext, &m->fences) {
      const struct fence *f = list_entry (fl, struct fence, node);

      if (wants_login (m, f) && is_nexus_of (&f->nexus, s))
        return true;
    }
  }
  return false;
}

/* ---- the ladder ------------------------------------------------------------------- */

/* S could not log in: it is others' turn.  False: not for the first time. */
static bool
others_first (struct map *m, const struct session *s)
{
  struct list *l, *next;

  list_for_each (l, next, &m->fences) {
    struct fence *f = list_entry (l, struct fence, node);

    if (is_nexus_of (&f->nexus, s)) {
      const bool first = !f->failed;

      f->failed = true;
      list_del (l);
      list_add_tail (&m->fences, l);
      return first;
    }
  }
  return true;
}

static bool
wanted (const struct map *m)
{
  /* What waits for the state file does not wait for us. */
  return (!list_empty (&m->parked) && !m->nexus_gate) ||
    m->engine->shutdown ||
    m->indoubt.count > MANY_RANGES;
}

static void
failed (struct map *m, double now)
{
  /* At once through another portal; if that fails too, not too often. */
  m->fence_retry_at = m->fence_failures++ == 0 ? 0
    : now + (wanted (m) ? RETRY : RETRY_IDLE);
}

static void
fencer_ended (struct map *m, double now)
{
  struct session *s = m->fencer;

  m->fencer = NULL;
  if (!fencer_of (s)->done) {
    log_line (others_first (m, s) ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG,
              "%s: fencing through %s failed: %s", m->name, s->name, s->why);
    failed (m, now);
    /* Made-up credentials are not to everybody's taste. */
    if (s->plain_login)
      m->fence_plain = true;
  }
  else
    m->fence_failures = 0;
  session_free (s);
}

/* Nobody waits, or there is no path on which to go on: it can stay as it is.
 * Where time is the only rung it is not waited for in vain. */
static bool
time_runs (const struct map *m, const struct fence *f)
{
  return m->nr_active > 0 &&
    (wanted (m) || !(wants_login (m, f) || wants_reset (m, f)));
}

static void
check_fence (struct map *m, struct fence *f, double now)
{
  if (time_runs (m, f))
    f->waited += now - f->looked;
  f->looked = now;
  if (f->waited >= m->engine->settings->fence_timeout)
    act (m, f, FENCE_EV_TIME, "time");
  else
    act (m, f, FENCE_EV_LOOK, "session reinstatement");
}

static void
check_reset (struct map *m, double now)
{
  switch (fence_reset_check (m, now)) {
  case FENCE_RESET_GOES_ON:
    break;
  case FENCE_RESET_DONE:
    m->fence_failures = 0;
    act_all (m, FENCE_EV_RESET_DONE, "LOGICAL UNIT RESET");
    break;
  case FENCE_RESET_FAILED:
    failed (m, now);
    act_all (m, FENCE_EV_RESET_FAILED, "LOGICAL UNIT RESET");
    break;
  }
}

static void
check (struct map *m, double now)
{
  struct engine *e = m->engine;
  struct list *l, *next;
  const struct path *via = NULL;
  bool more_soon = false;

  if (m->fencer != NULL && m->fencer->state != SESSION_CLOSED &&
      !fencer_of (m->fencer)->done && !m->fencer->dying && fence_session_is_lost (m))
    session_kill (m->fencer, FAIL_LOST, "its portal was lost");
  if (m->fencer != NULL && m->fencer->state == SESSION_CLOSED)
    fencer_ended (m, now);
  check_reset (m, now);
  list_for_each (l, next, &m->fences)
    check_fence (m, list_entry (l, struct fence, node), now);
  if (e->shutdown && now - e->shutdown_at > SHUTDOWN_GRACE) {
    if (!list_empty (&m->parked))
      log_warning ("%s: writes that wait for a fence fail: the server ends",
                   m->name);
    gate_fail_parked (m, ESHUTDOWN);
  }
  if (wanted (m) && m->fence_retry_at > now + RETRY)
    m->fence_retry_at = now;
  if (list_empty (&m->fences) || m->fencer != NULL || m->reset_over != 0 ||
      now < m->fence_retry_at)
    return;

  if (fence_start_login (m, true, false))
    return;
  /* With an old connection that may still deliver (no portal of its group
   * is alive) a reset would prove nothing. */
  list_for_each (l, next, &m->fences) {
    const struct fence *f = list_entry (l, struct fence, node);

    if (wants_reset (m, f)) {
      if (via == NULL)
        via = fence_reset_path (m, &f->nexus);
    }
    else if (now - f->since < COMBINE)
      more_soon = true;
  }
  if (via != NULL && wanted (m) && !more_soon && fence_reset_start (m, via, now))
    return;
  /* Last, for it may fail again and again. */
  if (!fence_start_login (m, true, true))
    fence_start_login (m, false, true);
}

bool
fence_settled (const struct engine *e)
{
  struct list *l, *next;

  list_for_each (l, next, &e->maps)
    if (!list_empty (&list_entry (l, struct map, node)->fences))
      return false;
  return true;
}

static void
forget (struct map *m)
{
  while (!list_empty (&m->fences)) {
    struct fence *f = list_entry (m->fences.next, struct fence, node);

    list_del (&f->node);
    free (f);
  }
  if (m->fencer != NULL)
    fencer_of (m->fencer)->map = NULL;
  m->fencer = NULL;
}

/* ---- to whom it is known ------------------------------------------------------------ */

static const struct nexus_client nexuses = { list_own, inherit };

static void
new_map (struct map *m)
{
  list_init (&m->fences);
  nexus_map_new (m);
}

static void
check_all (struct map *m, double now)
{
  check (m, now);
  nexus_check (m, now);
}

static const struct gate_ops gate = {
  .map_new = new_map,
  .path_added = nexus_path_added,
  .map_freed = forget,
  .reserve = reserve,
  .unreserve = unreserve,
  .lost = lost,
  .awaits_login = awaits_login,
  .logged_in = logged_in,
  .check = check_all,
};

void
fence_attach (struct engine *e)
{
  e->gate = &gate;
  e->isid_taken = uses_isid;
}

void
fence_keep_record (struct engine *e)
{
  nexus_start (e, &nexuses);
}
