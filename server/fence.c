/* SPDX-License-Identifier: BSD-3-Clause */
/* The fence ladder.  See fence.h. */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fence.h"
#include "nexus.h"

/* Seconds before the next try after a fencing session failed. */
#define RETRY 0.5
/* Seconds that the live paths get to answer before a reset. */
#define DRAIN 1.0
/* Nothing new is sent for at most so many seconds, even if the target does
 * not answer the reset: it may wait for a backing store that hangs. */
#define FREEZE 5.0
/* A reset waits so long for another lost session to be reinstated first, so
 * that one reset does for both. */
#define COMBINE 1.0
/* The session's own new login is waited for so long: its portal may be silent,
 * and another one of the group is not. */
#define OWN_LOGIN 0.5
/* A fencing session's login may take so long at first.  It goes through a
 * portal that is alive as far as we know, so it is done in a moment or that
 * portal has just died; for slow targets it is doubled after each failure. */
#define FENCE_LOGIN 0.5
/* With the server going down, a write that waits for a fence fails then. */
#define SHUTDOWN_GRACE 2.0
/* With more ranges than this, each of which every write is compared with,
 * fence even if no write waits. */
#define MANY_RANGES 1024

/* A dead nexus (as far as one map is concerned).  A session that logs in again
 * and dies again makes another one: what fenced the first one says nothing
 * about the second. */
struct fence {
  struct list node;             /* map->fences; or it is a path's reserve */
  struct indoubt_range all;     /* for when there is no memory for others */
  struct nexus nexus;           /* all that a login needs to end it */
  uint64_t login;               /* which one it was of that session */
  bool inherited;               /* of a server that was killed: nexus.h */
  bool failed;                  /* a login for it, once; said */
  char name[330];               /* of the portal, for logs */
  double since;                 /* fence_timeout counts from here */
  bool reinstated;
  bool covered;                 /* by the reset that is on its way */
};

static bool
is_nexus_of (const struct nexus *x, const struct session *s)
{
  return x->isid_qualifier == s->isid_qualifier &&
    x->isid_random == s->isid_random && strcmp (x->target, s->target) == 0 &&
    strcmp (x->initiator, s->initiator) == 0;
}

static enum fencing
ladder (const struct map *m)
{
  return m->engine->settings->fence;
}

static bool
may_reinstate (const struct map *m)
{
  return ladder (m) == FENCING_AUTO || ladder (m) == FENCING_REINSTATE;
}

static bool
may_reset (const struct map *m)
{
  return ladder (m) == FENCING_AUTO || ladder (m) == FENCING_LUN_RESET;
}

/* What is left to do for it is a reset, which may wait until it is wanted. */
static bool
reset_will_do (const struct map *m, const struct fence *f)
{
  return may_reset (m) && (f->reinstated || !may_reinstate (m));
}

/* A login with the ISID of S that began before S died proves nothing. */
static void
stop_older_fencers (const struct session *s)
{
  struct list *l, *next;

  list_for_each (l, next, &s->engine->maps) {
    struct session *fencer = list_entry (l, struct map, node)->fencer;

    if (fencer != NULL && fencer != s && fencer->ctx != NULL &&
        !fencer->fence_done &&
        fencer->isid_random == s->isid_random &&
        fencer->isid_qualifier == s->isid_qualifier &&
        strcmp (fencer->target, s->target) == 0)
      session_kill (fencer, FAIL_LOST, "the session was lost again");
  }
}

bool
fence_reserve (struct path *p)
{
  if (p->fence == NULL)
    p->fence = calloc (1, sizeof *p->fence);
  return p->fence != NULL;
}

void
fence_lost (struct command *cmd)
{
  struct map *m = cmd->req->map;
  const struct session *s = cmd->session;
  struct fence *f = NULL;
  struct list *l, *next;

  if (!cmd->modifies || ladder (m) == FENCING_OFF)
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
    /* Whoever sent it this way has seen to that (fence_reserve), and one
     * fence is enough for all that one nexus had of this map. */
    f = cmd->path->fence;
    cmd->path->fence = NULL;
    assert (f != NULL);
    nexus_of (s, m, &f->nexus);
    snprintf (f->name, sizeof f->name, "%s", s->name);
    f->login = s->stats.logins;
    f->since = engine_now ();
    list_add_tail (&m->fences, &f->node);
    stop_older_fencers (s);
  }
  m->fence_stats.in_doubt++;
  m->engine->need_fence = true;
  if (!indoubt_add (&m->indoubt, f, cmd->origin, cmd->lba, cmd->blocks)) {
    log_error ("%s: %s: out of memory: until the lost session is fenced, every "
               "write waits", m->name, f->name);
    indoubt_add_all (&m->indoubt, f, &f->all);
  }
}

void
fence_unpark (struct map *m)
{
  if (list_empty (&m->parked))
    return;
  /* In order, in front of what came later. */
  list_splice_head (&m->queue, &m->parked);
  schedule_dispatch (m);
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

bool
fence_inherit (struct map *m, const struct nexus *x)
{
  struct list *l, *next;
  char portal[300];
  struct fence *f;

  /* Two paths of a session, say, are one nexus. */
  list_for_each (l, next, &m->fences) {
    f = list_entry (l, struct fence, node);
    if (f->nexus.isid_random == x->isid_random &&
        f->nexus.isid_qualifier == x->isid_qualifier &&
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
  f->since = engine_now ();
  snprintf (f->name, sizeof f->name, "%s of the server before",
            portal_text (&x->portal, portal, sizeof portal));
  list_add_tail (&m->fences, &f->node);
  m->fence_stats.inherited++;
  m->engine->need_fence = true;
  return true;
}

bool
fence_list_own (const struct map *m, struct nexus_list *out)
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
  fence_unpark (m);
}

void
fence_logged_in (struct session *s)
{
  struct engine *e = s->engine;
  struct list *l, *next, *fl, *fnext;

  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    list_for_each (fl, fnext, &m->fences) {
      struct fence *f = list_entry (fl, struct fence, node);

      if (f->reinstated || !is_nexus_of (&f->nexus, s) || !may_reinstate (m))
        continue;
      /* Some targets (tgt) only end the old session when the login went
       * through the security stage. */
      if (!s->secured)
        continue;
      f->reinstated = true;
      m->fence_stats.reinstated++;
      log_info ("%s: %s: session reinstated through %s: the target has ended "
                "the lost one", m->name, f->name, s->name);
      e->need_fence = true;
    }
  }
}

bool
fence_uses_isid (struct engine *e, uint32_t qualifier)
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

bool
fence_pending (const struct session *s)
{
  struct list *l, *next, *fl, *fnext;

  list_for_each (l, next, &s->engine->maps) {
    struct map *m = list_entry (l, struct map, node);

    list_for_each (fl, fnext, &m->fences) {
      const struct fence *f = list_entry (fl, struct fence, node);

      if (!f->reinstated && is_nexus_of (&f->nexus, s))
        return true;
    }
  }
  return false;
}

/* ---- fencing sessions ------------------------------------------------------------ */

static unsigned
in_flight (const struct map *m)
{
  struct list *l, *next;
  unsigned n = 0;

  list_for_each (l, next, &m->paths)
    n += list_entry (l, struct path, map_node)->sel.in_flight;
  return n;
}

/* Nobody is to see an error because we cut this session ourselves: neither
 * through this map nor through the others that use it. */
static void
give_grace (struct session *s)
{
  const double until =
    engine_now () + s->engine->settings->login_timeout + 1;
  struct list *l, *next;

  list_for_each (l, next, &s->paths)
    list_entry (l, struct path, session_node)->map->grace_until = until;
}

/* What was in flight during the reset and was not answered before it was is
 * gone: the target has aborted it, without an answer (SAM-5 7.8).  End the
 * sessions that still wait, so that it is sent again.  Its writes are in doubt
 * like any others: whether they had reached the target, or are still on the
 * way to it, is not known. */
static void
resend_aborted (struct map *m)
{
  struct list *l, *next, *cl, *cnext;

  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);
    bool any = false;

    /* Of the checker, too. */
    list_for_each (cl, cnext, &p->session->in_flight)
      if (list_entry (cl, struct command, node)->lun == p->lun)
        any = true;
    if (any) {
      give_grace (p->session);
      session_kill (p->session, FAIL_LOST, "commands aborted by our own "
                    "LOGICAL UNIT RESET");
    }
  }
}

static void
thaw (struct map *m)
{
  if (m->frozen) {
    m->frozen = false;
    schedule_dispatch (m);
  }
}

static void
reset_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  struct session *s = opaque;

  (void) ctx;
  if (s->dying)
    return;
  /* RFC 7143 11.6.1: 0 is "function complete". */
  if (status != SCSI_STATUS_GOOD || data == NULL || *(uint32_t *) data != 0) {
    session_kill (s, FAIL_LOST, "LOGICAL UNIT RESET was refused (response %u)",
                  data ? *(uint32_t *) data : 255);
    return;
  }
  s->fence_done = true;
  s->deferred_event = SESSION_EV_PROBED;
}

static void
send_reset (struct map *m)
{
  struct session *s = m->fencer;
  struct list *l, *next;

  s->fence_sent = true;
  m->fence_stats.resets++;
  log_warning ("%s: LOGICAL UNIT RESET through %s, to fence unanswered writes",
               m->name, s->name);
  list_for_each (l, next, &m->paths)
    list_entry (l, struct path, map_node)->reset_expected = true;
  list_for_each (l, next, &m->fences) {
    struct fence *f = list_entry (l, struct fence, node);

    f->covered = reset_will_do (m, f);
  }
  if (iscsi_task_mgmt_lun_reset_async (s->ctx, lun_encode (s->fence_lun),
                                       reset_cb, s) != 0) {
    session_kill (s, FAIL_LOST, "cannot send LOGICAL UNIT RESET: %s",
                  iscsi_get_error (s->ctx));
    return;
  }
  if (!s->need_flush) {
    s->need_flush = true;
    list_add_tail (&s->engine->flush, &s->flush_node);
  }
}

void
fence_session_ready (struct session *s)
{
  struct map *m = s->fence_map;

  if (m == NULL || m->fencer != s)
    session_event (s, SESSION_EV_PROBED);
  else if (s->fence_reset) {
    m->frozen = true;
    m->frozen_since = engine_now ();
    s->engine->need_fence = true;
  }
  else {                        /* to be logged in was all */
    s->fence_done = true;
    session_event (s, SESSION_EV_PROBED);
  }
}

/* To log in with the ISID of F; or (NULL) to reset the LUN.  Without VIA through
 * the portal that F had, which is none of our paths'. */
static bool
start (struct map *m, const struct path *via, const struct fence *f)
{
  struct session *s =
    session_new (m->engine, SESSION_FENCE,
                 via ? &via->session->portal : &f->nexus.portal,
                 via ? via->session->target : f->nexus.target);

  if (s == NULL)
    return false;
  s->settled = true;
  s->login_patience = FENCE_LOGIN * (1u << (m->fence_failures < 8
                                            ? m->fence_failures : 8));
  if (s->login_patience > m->engine->settings->login_timeout)
    s->login_patience = m->engine->settings->login_timeout;
  m->fence_via = via ? via->session->id : 0;
  s->fence_map = m;
  s->fence_lun = via ? via->lun : 0;
  s->fence_plain = m->fence_plain;
  if (f != NULL) {
    strcpy (s->initiator, f->nexus.initiator);
    s->isid_random = f->nexus.isid_random;
    s->isid_qualifier = f->nexus.isid_qualifier;
    s->attempt = f->failed;     /* log_loss is brief then */
  }
  else
    s->fence_reset = true;
  m->fencer = s;
  session_event (s, SESSION_EV_START);
  return true;
}

static bool
same_portal_group (const struct session *s, const struct nexus *x)
{
  return strcmp (s->target, x->target) == 0 &&
    ((x->portal.tpgt != -1 && s->portal.tpgt == x->portal.tpgt) ||
     portal_equal (&s->portal, &x->portal));
}

/* A live path: through the portal group of X, or (NULL) any.  After a failure
 * another one than before, if there is one. */
static const struct path *
live_path (const struct map *m, const struct nexus *x)
{
  const struct path *again = NULL;
  struct list *l, *next;

  list_for_each (l, next, &m->paths) {
    const struct path *p = list_entry (l, struct path, map_node);

    if (!path_is_usable (p->state) || p->session->dying)
      continue;
    if (x != NULL && !same_portal_group (p->session, x))
      continue;
    if (m->fence_failures == 0 || p->session->id != m->fence_via)
      return p;
    again = p;
  }
  return again;
}

/* The fencing session of M shares its portal with a path.  When that one is
 * found dead, so is this one, whose health nobody looks at. */
static bool
fencer_is_lost (const struct map *m)
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

/* Does somebody log in with its ISID already? */
static bool
logging_in (struct engine *e, const struct fence *f)
{
  struct list *l, *next;

  list_for_each (l, next, &e->sessions) {
    struct session *s = list_entry (l, struct session, node);

    if (s->kind == SESSION_DISCOVERY || s->ctx == NULL || s->dying ||
        !is_nexus_of (&f->nexus, s))
      continue;
    if (s->kind == SESSION_NORMAL &&
        (s->state == SESSION_CONNECT || s->state == SESSION_LOGIN) &&
        ev_timer_remaining (e->loop, &s->timer) <
        e->settings->login_timeout - OWN_LOGIN)
      continue;
    return true;
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

static void
fencer_ended (struct map *m, double now)
{
  struct session *s = m->fencer;
  const bool was_reset = s->fence_reset && s->fence_done;
  const bool may_have_reset = s->fence_sent && !s->fence_done;
  struct list *l, *next;

  m->fencer = NULL;
  thaw (m);
  if (!s->fence_done) {
    log_line (s->fence_reset || others_first (m, s) ? LOG_LEVEL_WARNING
              : LOG_LEVEL_DEBUG, "%s: fencing through %s failed: %s", m->name,
              s->name, s->why);
    /* At once through another portal; if that fails too, not too often. */
    m->fence_retry_at = m->fence_failures++ == 0 ? 0 : now + RETRY;
    /* Made-up credentials are not to everybody's taste. */
    if (s->fence_plain)
      m->fence_plain = true;
  }
  else
    m->fence_failures = 0;
  session_free (s);
  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    /* Takes the UNIT ATTENTION of our reset. */
    if (was_reset || may_have_reset)
      p->next_check = 0;
    else
      p->reset_expected = false;
  }
  if (!was_reset)
    return;
  resend_aborted (m);
  list_for_each (l, next, &m->fences) {
    struct fence *f = list_entry (l, struct fence, node);

    if (f->covered)
      release (m, f, "LOGICAL UNIT RESET");
  }
}

static bool
wanted (const struct map *m)
{
  /* What waits for the state file does not wait for us. */
  return (!list_empty (&m->parked) && !m->nexus_gate) ||
    m->engine->shutdown ||
    m->indoubt.count > MANY_RANGES;
}

/* Writes that wait were never sent, so they may fail. */
static void
fail_parked (struct map *m)
{
  if (!list_empty (&m->parked))
    log_warning ("%s: writes that wait for a fence fail: the server ends",
                 m->name);
  while (!list_empty (&m->parked)) {
    struct command *cmd = list_entry (m->parked.next, struct command, node);

    list_del (&cmd->node);
    request_part_done (m->engine, cmd, ESHUTDOWN);
  }
}

static void
check_fence (struct map *m, struct fence *f, double now)
{
  const double timeout = m->engine->settings->fence_timeout;

  /* Nobody waits: it can stay until somebody does.  Reset the unit, for all
   * its initiators, only if it must be. */
  if (reset_will_do (m, f) && !wanted (m))
    f->since = now;
  if (f->reinstated && !may_reset (m))
    release (m, f, "session reinstatement");
  else if (now - f->since >= timeout) {
    log_warning ("%s: %s: gave up fencing after %g s: an old write might "
                 "still come", m->name, f->name, timeout);
    m->fence_stats.expired++;
    release (m, f, "time");
  }
}

/* LIVE: through a live path; else an old server's through the portal that it
 * had, which may be none of ours.  AGAIN: also those that failed before. */
static bool
start_login (struct map *m, bool live, bool again)
{
  struct list *l, *next;

  list_for_each (l, next, &m->fences) {
    struct fence *f = list_entry (l, struct fence, node);
    const struct path *via;

    /* The session's own new login will do, and must not be killed by ours,
     * which has the same ISID. */
    if (f->reinstated || (f->failed && !again) || logging_in (m->engine, f))
      continue;
    via = live_path (m, &f->nexus);
    if (live && via != NULL &&
        start (m, via, f))
      return true;
    if (!live && via == NULL && f->inherited &&
        start (m, NULL, f))
      return true;
  }
  return false;
}

void
fence_check (struct map *m, double now)
{
  struct engine *e = m->engine;
  struct list *l, *next;
  const struct path *via;
  bool some_ready = false, more_soon = false;

  if (m->fencer != NULL && m->fencer->state != SESSION_CLOSED &&
      !m->fencer->fence_done && !m->fencer->dying && fencer_is_lost (m))
    session_kill (m->fencer, FAIL_LOST, "its portal was lost");
  if (m->fencer != NULL && m->fencer->state == SESSION_CLOSED)
    fencer_ended (m, now);
  if (m->fencer != NULL && m->frozen && !m->fencer->fence_sent &&
      !m->fencer->dying &&
      (in_flight (m) == 0 || now - m->frozen_since > DRAIN))
    send_reset (m);
  list_for_each (l, next, &m->fences)
    check_fence (m, list_entry (l, struct fence, node), now);
  if (m->frozen &&
      (list_empty (&m->fences) || now - m->frozen_since > FREEZE))
    thaw (m);
  if (e->shutdown && now - e->shutdown_at > SHUTDOWN_GRACE)
    fail_parked (m);
  if (list_empty (&m->fences) || m->fencer != NULL || now < m->fence_retry_at)
    return;

  if (may_reinstate (m) && start_login (m, true, false))
    return;
  /* With an old connection that may still deliver (no portal of its group
   * is alive) a reset would prove nothing. */
  list_for_each (l, next, &m->fences) {
    const struct fence *f = list_entry (l, struct fence, node);

    if (reset_will_do (m, f))
      some_ready = true;
    else if (now - f->since < COMBINE)
      more_soon = true;
  }
  if (may_reset (m) && wanted (m) && some_ready && !more_soon) {
    via = live_path (m, NULL);
    if (via != NULL && start (m, via, NULL))
      return;
  }
  /* Last, for it may fail again and again. */
  if (may_reinstate (m) && !start_login (m, true, true))
    start_login (m, false, true);
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

void
fence_forget (struct map *m)
{
  indoubt_clear (&m->indoubt);
  while (!list_empty (&m->fences)) {
    struct fence *f = list_entry (m->fences.next, struct fence, node);

    list_del (&f->node);
    free (f);
  }
  if (m->fencer != NULL)
    m->fencer->fence_map = NULL;
  m->fencer = NULL;
}
