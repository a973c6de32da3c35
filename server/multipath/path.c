/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths: one LUN through one session.  The state table's actions, and what an
 * answer says of the target besides. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "conf/conf.h"
#include "conf/devices.h"
#include "multipath/alua.h"
#include "rules/health.h"
#include "multipath/gate.h"

struct path *
path_find (struct session *s, unsigned lun)
{
  struct list *l, *next;

  list_for_each (l, next, &s->paths) {
    struct path *p = list_entry (l, struct path, session_node);

    if (p->lun == lun)
      return p;
  }
  return NULL;
}

static const char *
checker_name (const struct map *m)
{
  switch (m->settings.path_checker) {
  case CHECKER_DIRECTIO: return "directio";
  case CHECKER_NONE: return "none";
  case CHECKER_TUR: break;
  }
  return "tur";
}

/* ---- state ---------------------------------------------------------------------- */

static void
log_remaining (const struct map *m)
{
  log_info ("%s: remaining active paths: %u", m->name, m->nr_active);
}

static double
wall_seconds (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_REALTIME, &ts);
  return ts.tv_sec + ts.tv_nsec / 1e9;
}

void
path_event (struct path *p, enum path_event ev, const char *why)
{
  struct map *m = p->map;
  const enum path_state from = p->state;
  const struct path_transition t = path_transition (from, ev);

  p->state = t.next;
  if (t.next != from || p->changed == 0)
    p->changed = wall_seconds ();
  if (t.next != from) {
    p->check_interval = m->engine->settings->polling_interval;
    p->next_check = engine_now () + p->check_interval;
  }
  switch (t.action) {
  case PATH_ACT_NONE:
    if (t.next == PATH_GHOST && from == PATH_DOWN)
      log_info ("%s: %s - %s checker reports path is ghost", m->name,
                p->session->name, checker_name (m));
    break;
  case PATH_ACT_REST:
    p->average_latency = 0;
    p->sel.slow = false;
    p->slow_proof = 0;
    map_path_failed (m, p);
    break;
  case PATH_ACT_WAKE:
    map_path_reinstated (m, p);
    break;
  case PATH_ACT_FAIL:
  case PATH_ACT_COMPLAIN:
    if (t.action == PATH_ACT_COMPLAIN && p->odd_size_since == 0)
      log_error ("%s: %s: path is not used any more: %s", m->name,
                 p->session->name, why);
    else if (t.action == PATH_ACT_COMPLAIN)
      log_info ("%s: %s: path is not used until its size is clear: %s",
                m->name, p->session->name, why);
    if (path_is_usable (from)) {
      flap_failed (&p->flap, &m->settings, engine_now ());
      p->average_latency = 0;
      p->sel.slow = false;
      p->slow_proof = 0;
      /* The logouts at the end are nobody's failure. */
      const bool quiet = m->engine->shutdown;

      log_line (quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
                "%s: Failing path %s: %s", m->name, p->session->name, why);
      if (!quiet)
        log_info ("%s: %s - %s checker reports path is %s", m->name,
                  p->session->name, checker_name (m),
                  t.next == PATH_GHOST ? "ghost"
                  : t.next == PATH_FENCED ? "fenced" : "down");
      p->path_faults++;
      map_path_failed (m, p);
      if (!quiet)
        log_remaining (m);
    }
    break;
  case PATH_ACT_REINSTATE:
    log_info ("%s: %s - %s checker reports path is up", m->name,
              p->session->name, checker_name (m));
    log_info ("%s: reinstated", p->session->name);
    /* It need not wait for the session's other LUNs to be identified. */
    if (!p->session->dying && !p->session->look_again &&
        session_is_full_feature (p->session->state))
      session_open (p->session);
    map_path_reinstated (m, p);
    log_remaining (m);
    break;
  case PATH_ACT_CHECK:
    session_look_again (p->session);
    break;
  }
  if (t.next != from && m->engine->observer)
    m->engine->observer->path_changed (p, from, why);
  if (t.next == from)
    return;
  if ((from == PATH_GHOST || t.next == PATH_GHOST) && m->nr_active == 0)
    map_hold_changed (m);
  /* A lost path may be the first that one hears of a failover. */
  if (t.action == PATH_ACT_FAIL)
    alua_ask (m);
  /* Steady again, say, but in standby. */
  if (t.next == PATH_UP && !alua_path_is_usable (p))
    path_event (p, PATH_EV_GHOST, alua_path_text (p, NULL));
}

void
path_free (struct path *p)
{
  list_del (&p->session_node);
  work_cancel (&p->check.answer);
  alua_path_free (p);
  map_remove_path (p->map, p);
  free (p->check_buf);
  gate_unreserve (p->map->engine, p);
  free (p);
}

void
path_vanished (struct path *p, const char *why)
{
  path_event (p, PATH_EV_DOWN, why);
}

/* A write that another path has in flight may have been done before the target
 * was reset: its answer may be here already, and not read. */
static bool
others_write (const struct path *p)
{
  struct list *l, *next, *k, *knext;

  list_for_each (l, next, &p->map->paths) {
    const struct path *q = list_entry (l, struct path, map_node);

    if (q == p)
      continue;
    list_for_each (k, knext, &q->session->in_flight) {
      const struct command *cmd = list_entry (k, struct command, node);

      if (cmd->path == q && cmd->modifies)
        return true;
    }
  }
  return false;
}

void
path_target_reset (struct path *p)
{
  struct map *m = p->map;

  if (p->reset_expected) {
    p->reset_expected = false;
    return;
  }
  /* Without a volatile cache, or with all of it flushed, nothing is lost. */
  if ((m->written <= m->flushed && !others_write (p)) ||
      (m->facts.has_caching_page && !m->facts.wce))
    return;
  m->losses++;
  m->flushed = m->written;
  log_error ("%s: %s: the target was reset or restarted: writes that were "
             "not flushed may be lost; the next flush of each connection "
             "fails", m->name, p->session->name);
}

/* Each nexus is told once, of the same threshold: told within so many seconds
 * is told together; and one line a day will do. */
#define SAME_THRESHOLD 60.0
#define THRESHOLD_AGAIN 86400.0

static void
thin_threshold (struct map *m)
{
  const double now = engine_now ();

  if (m->thin_threshold == 0 || now - m->thin_threshold > SAME_THRESHOLD)
    m->thin_thresholds++;
  m->thin_threshold = now;
  if (m->thin_said > 0 && now - m->thin_said < THRESHOLD_AGAIN)
    return;
  m->thin_said = now;
  log_warning ("%s: thin provisioning soft threshold reached: the pool that it "
               "is in gets full; give it more space at the array, or writes "
               "will fail (said once a day)", m->name);
  map_note_change (m, "thin provisioning soft threshold reached");
}

/* What an answer through P says (ACTION_TASKS_GONE, ACTION_TARGET_RESET,
 * ACTION_DATA_LOST), the latter two unless it is what our own reset has done. */
void
path_heard (struct path *p, unsigned actions, double submitted)
{
  /* After our own it was seen to. */
  if (actions & ACTION_TASKS_GONE && (!p->reset_expected || p->map->reset_sent))
    path_abort_tasks (p, submitted);
  if (actions & ACTION_DATA_LOST)       /* no reset does that */
    p->reset_expected = false;
  if (actions & (ACTION_TARGET_RESET | ACTION_DATA_LOST))
    path_target_reset (p);
  if (actions & ACTION_THIN_THRESHOLD)
    thin_threshold (p->map);
}

/* P has answered a command that would have been refused with a UNIT ATTENTION,
 * if there were one: that of our reset was taken before (by a login, say), or
 * this target raises none.  The next one is news. */
void
path_heard_nothing (struct path *p, double submitted)
{
  if (p->reset_expected && !p->map->reset_sent &&
      submitted > p->map->reset_ended)
    p->reset_expected = false;
}
