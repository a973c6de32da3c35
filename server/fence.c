/* SPDX-License-Identifier: BSD-3-Clause */
/* The fence ladder.  See fence.h. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fence.h"

/* Seconds before the next try after a fencing session failed. */
#define RETRY 0.5
/* Seconds that the live paths get to answer before a reset. */
#define DRAIN 1.0
/* With more ranges than this, fence even if no write waits. */
#define MANY_RANGES 4096

/* A dead nexus (as far as one map is concerned). */
struct fence {
  struct list node;             /* map->fences */
  char target[ISCSI_NAME_SIZE];
  int tpgt;
  uint32_t isid_qualifier;
  char name[300];               /* of the portal, for logs */
  double since;
  bool reinstated;
};

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

bool
fence_lost (struct command *cmd)
{
  struct map *m = cmd->req->map;
  const struct session *s = cmd->session;
  struct fence *f = NULL;
  struct list *l, *next;

  if (!cmd->modifies || ladder (m) == FENCING_OFF)
    return true;
  if (cmd->aborted) {           /* by our own reset: not in doubt */
    cmd->aborted = false;
    return true;
  }
  if (cmd->origin == 0)
    cmd->origin = ++m->engine->last_origin;
  list_for_each (l, next, &m->fences) {
    f = list_entry (l, struct fence, node);
    if (f->isid_qualifier == s->isid_qualifier &&
        strcmp (f->target, s->target) == 0)
      break;
    f = NULL;
  }
  if (f == NULL) {
    f = calloc (1, sizeof *f);
    if (f == NULL)
      return false;
    snprintf (f->target, sizeof f->target, "%s", s->target);
    snprintf (f->name, sizeof f->name, "%s", s->name);
    f->isid_qualifier = s->isid_qualifier;
    f->tpgt = s->portal.tpgt;
    list_add_tail (&m->fences, &f->node);
  }
  f->since = engine_now ();
  f->reinstated = false;
  m->fence_stats.in_doubt++;
  m->engine->need_fence = true;
  return indoubt_add (&m->indoubt, f, cmd->origin, cmd->lba, cmd->blocks);
}

static void
release (struct map *m, struct fence *f, const char *how)
{
  indoubt_release (&m->indoubt, f);
  log_info ("%s: %s: unanswered writes of the lost session are fenced (%s)",
            m->name, f->name, how);
  list_del (&f->node);
  free (f);
  if (list_empty (&m->parked))
    return;
  /* In order, in front of what came later. */
  list_splice_head (&m->queue, &m->parked);
  schedule_dispatch (m);
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

      if (f->reinstated || f->isid_qualifier != s->isid_qualifier ||
          strcmp (f->target, s->target) != 0 || !may_reinstate (m))
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
fence_pending (const struct session *s)
{
  struct list *l, *next, *fl, *fnext;

  list_for_each (l, next, &s->engine->maps) {
    struct map *m = list_entry (l, struct map, node);

    list_for_each (fl, fnext, &m->fences) {
      const struct fence *f = list_entry (fl, struct fence, node);

      if (!f->reinstated && f->isid_qualifier == s->isid_qualifier &&
          strcmp (f->target, s->target) == 0)
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

/* What was in flight during the reset and was not answered before it was is
 * gone: the target has aborted it, without an answer (SAM-5 7.8).  End the
 * sessions that still wait, so that it is sent again. */
static void
resend_aborted (struct map *m)
{
  struct list *l, *next, *cl, *cnext;

  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);
    bool any = false;

    list_for_each (cl, cnext, &p->session->in_flight) {
      struct command *cmd = list_entry (cl, struct command, node);

      if (cmd->path == p && cmd->req != NULL) {
        cmd->aborted = true;
        any = true;
      }
    }
    if (any)
      session_kill (p->session, FAIL_LOST, "commands aborted by our own "
                    "LOGICAL UNIT RESET");
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

static bool
start (struct map *m, const struct path *via, const struct fence *f)
{
  struct session *s = session_new (m->engine, SESSION_FENCE,
                                   &via->session->portal,
                                   via->session->target);

  if (s == NULL)
    return false;
  s->settled = true;
  s->fence_map = m;
  s->fence_lun = via->lun;
  s->fence_plain = m->fence_plain;
  if (f != NULL)
    s->isid_qualifier = f->isid_qualifier;
  else
    s->fence_reset = true;
  m->fencer = s;
  session_event (s, SESSION_EV_START);
  return true;
}

/* A live path: through portal group TPGT of TARGET, or (NULL) any. */
static const struct path *
live_path (const struct map *m, const char *target, int tpgt)
{
  struct list *l, *next;

  list_for_each (l, next, &m->paths) {
    const struct path *p = list_entry (l, struct path, map_node);

    if (!path_is_usable (p->state) || p->session->dying)
      continue;
    if (target == NULL || (tpgt != -1 && p->session->portal.tpgt == tpgt &&
                           strcmp (p->session->target, target) == 0))
      return p;
  }
  return NULL;
}

static bool
logging_in (struct engine *e, const struct fence *f)
{
  struct list *l, *next;

  list_for_each (l, next, &e->sessions) {
    const struct session *s = list_entry (l, struct session, node);

    if (s->kind == SESSION_NORMAL && s->ctx != NULL && !s->dying &&
        s->isid_qualifier == f->isid_qualifier &&
        strcmp (s->target, f->target) == 0)
      return true;
  }
  return false;
}

/* ---- the ladder ------------------------------------------------------------------- */

static void
fencer_ended (struct map *m, double now)
{
  struct session *s = m->fencer;
  const bool was_reset = s->fence_reset && s->fence_done;
  struct list *l, *next;

  m->fencer = NULL;
  thaw (m);
  if (!s->fence_done) {
    log_warning ("%s: fencing through %s failed: %s", m->name, s->name,
                 s->why);
    m->fence_retry_at = now + RETRY;
    /* Made-up credentials are not to everybody's taste. */
    if (s->fence_plain)
      m->fence_plain = true;
  }
  session_free (s);
  if (!was_reset)
    return;
  resend_aborted (m);
  list_for_each (l, next, &m->fences) {
    struct fence *f = list_entry (l, struct fence, node);

    if (f->reinstated || !may_reinstate (m))
      release (m, f, "LOGICAL UNIT RESET");
  }
}

static bool
wanted (const struct map *m)
{
  return !list_empty (&m->parked) || m->engine->shutdown ||
    m->indoubt.count > MANY_RANGES;
}

void
fence_check (struct map *m, double now)
{
  const struct settings *st = m->engine->settings;
  struct list *l, *next;
  const struct path *via;
  bool all_reinstated = true;

  if (m->fencer != NULL && m->fencer->state == SESSION_CLOSED)
    fencer_ended (m, now);
  if (m->fencer != NULL && m->frozen && !m->fencer->fence_sent &&
      !m->fencer->dying &&
      (in_flight (m) == 0 || now - m->frozen_since > DRAIN))
    send_reset (m);

  list_for_each (l, next, &m->fences) {
    struct fence *f = list_entry (l, struct fence, node);

    if (f->reinstated && !may_reset (m))
      release (m, f, "session reinstatement");
    else if (now - f->since >= st->fence_timeout) {
      log_warning ("%s: %s: gave up fencing after %g s: an old write might "
                   "still come", m->name, f->name, st->fence_timeout);
      m->fence_stats.expired++;
      release (m, f, "time");
    }
    else if (!f->reinstated)
      all_reinstated = false;
  }
  if (list_empty (&m->fences) || m->fencer != NULL || now < m->fence_retry_at)
    return;

  if (may_reinstate (m))
    list_for_each (l, next, &m->fences) {
      struct fence *f = list_entry (l, struct fence, node);

      /* The session's own new login will do, and must not be killed by ours,
       * which has the same ISID. */
      if (f->reinstated || logging_in (m->engine, f))
        continue;
      via = live_path (m, f->target, f->tpgt);
      if (via != NULL && start (m, via, f))
        return;
    }
  /* With an old connection that may still deliver (no portal of its group
   * is alive) a reset would prove nothing. */
  if (may_reset (m) && wanted (m) && (all_reinstated || !may_reinstate (m))) {
    via = live_path (m, NULL, -1);
    if (via != NULL)
      start (m, via, NULL);
  }
}

void
fence_forget (struct map *m)
{
  while (!list_empty (&m->fences)) {
    struct fence *f = list_entry (m->fences.next, struct fence, node);

    list_del (&f->node);
    free (f);
  }
  indoubt_clear (&m->indoubt);
  if (m->fencer != NULL)
    m->fencer->fence_map = NULL;
  m->fencer = NULL;
}
