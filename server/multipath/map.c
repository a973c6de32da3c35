/* SPDX-License-Identifier: BSD-3-Clause */
/* Maps: their life, and what becomes of I/O without a path. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "multipath/alua.h"
#include "multipath/gate.h"
#include "multipath/persist.h"
#include "multipath/registrant.h"
#include "rules/prio.h"

/* One command is at most this large; a larger request is split, and its
 * parts take several paths at once. */
#define TRANSFER_LIMIT (512 * 1024)

static void start_queueing (struct map *m);

struct map *
map_new (struct engine *e, const struct lu_facts *facts, const char *target)
{
  struct map *m = calloc (1, sizeof *m);

  if (m == NULL)
    return NULL;
  m->engine = e;
  m->facts = *facts;
  strcpy (m->wwid, facts->wwid);
  snprintf (m->target, sizeof m->target, "%s", target);
  if (conf_resolve (e->settings, facts, target, &m->settings) == -1) {
    free (m);
    return NULL;
  }
  if (map_choose_name (m) == -1) {
    map_settings_free (&m->settings);
    free (m);
    return NULL;
  }
  list_init (&m->paths);
  list_init (&m->queue);
  list_init (&m->delayed);
  list_init (&m->hedging.out);
  hedge_budget_init (&m->hedging.budget);
  m->hedges = m->settings.hedged_reads;
  map_works_init (m);
  m->transfer_limit = TRANSFER_LIMIT;
  if (facts->max_transfer > 0 &&
      (uint64_t) facts->max_transfer * facts->block_size < m->transfer_limit)
    m->transfer_limit = (uint64_t) facts->max_transfer * facts->block_size;
  list_init (&m->persisting);
  m->registrant = registrant_find (e, m->wwid);
  list_add_tail (&e->maps, &m->node);
  gate_init (m);
  return m;
}

int
map_reconfigure (struct map *m)
{
  const struct path *first = list_empty (&m->paths) ? NULL
    : list_entry (m->paths.next, struct path, map_node);
  struct map_settings settings, old = m->settings;
  struct list *l, *next;

  if (conf_resolve (m->engine->settings, &m->facts,
                    first ? first->session->target : NULL, &settings) == -1)
    return -1;
  m->settings = settings;
  if (map_choose_name (m) == -1) {
    m->settings = old;
    map_settings_free (&settings);
    return -1;
  }
  map_settings_free (&old);
  m->bad_prio = false;
  m->hedges = m->settings.hedged_reads;
  alua_reconfigure (m);
  list_for_each (l, next, &m->paths)
    path_set_prio (list_entry (l, struct path, map_node));
  map_regroup (m);
  /* The time without a path may be longer or shorter now. */
  if (m->nr_active == 0)
    start_queueing (m);
  schedule_dispatch (m);
  return 0;
}

void
map_free (struct map *m)
{
  map_fail_all (m, ESHUTDOWN);
  persist_forget (m);
  gate_end (m);
  map_works_cancel (m);
  alua_map_free (m);
  list_del (&m->node);
  free (m->groups);
  map_forget_name (m);
  map_settings_free (&m->settings);
  free (m);
}

void
map_note_change (const struct map *m, const char *fs, ...)
{
  const struct observer *observer = m->engine->observer;
  char what[200];
  va_list args;

  if (observer == NULL)
    return;
  va_start (args, fs);
  vsnprintf (what, sizeof what, fs, args);
  va_end (args);
  observer->map_changed (m, what);
}

/* By no_path_retry, or for the array, whichever is longer. */
static void
set_no_path_until (struct map *m)
{
  const double hold = m->queueing_disabled ? 0 : alua_hold_until (m);

  m->no_path_until = m->retry_until;
  if (m->retry_until < 0 || hold <= m->retry_until)
    return;
  m->no_path_until = hold;
  if (m->queueing_since == 0)
    m->queueing_since = engine_now ();
  if (m->held)
    return;
  m->held = true;
  log_line (m->engine->shutdown ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
            "%s: no port group that is reached is active: I/O waits for the "
            "array, for %.0f s at most", m->name, hold - engine_now ());
  map_note_change (m, "I/O waits for the array");
}

/* No path is left: what becomes of the I/O? */
static void
start_queueing (struct map *m)
{
  const int retry = m->settings.no_path_retry;

  m->retry_until = 0;
  if (map_is_fenced (m)) {      /* no path will be back by itself */
    m->no_path_until = 0;
    return;
  }
  if (retry == NO_PATH_RETRY_FAIL || m->queueing_disabled) {
    /* Paths that we took down ourselves (fence.c) will be back at once. */
    if (!m->queueing_disabled && m->grace_until > engine_now ())
      m->retry_until = m->grace_until;
    set_no_path_until (m);
    return;
  }
  m->queueing_since = engine_now ();
  if (retry == NO_PATH_RETRY_QUEUE) {
    m->no_path_until = m->retry_until = -1;
    map_note_change (m, "queueing without a path");
    return;
  }
  m->retry_until = m->queueing_since +
    retry * m->engine->settings->polling_interval;
  set_no_path_until (m);
  m->in_recovery = true;
  log_line (m->engine->shutdown ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
            "%s: Entering recovery mode: max_retries=%d", m->name, retry);
  map_note_change (m, "Entering recovery mode: max_retries=%d", retry);
}

static void
stop_queueing (struct map *m)
{
  if (m->queueing_since > 0)
    m->queue_seconds += engine_now () - m->queueing_since;
  m->queueing_since = 0;
  m->no_path_until = m->retry_until = 0;
  m->in_recovery = m->held = false;
}

void
map_hold_changed (struct map *m)
{
  if (m->nr_active > 0 || map_is_fenced (m))
    return;
  /* Queueing is over, or has never begun: again if there is a reason. */
  if (m->queueing_since == 0 && alua_hold_until (m) > 0)
    start_queueing (m);
  else
    set_no_path_until (m);
  schedule_dispatch (m);
}

bool
map_is_fenced (const struct map *m)
{
  return m->registrant != NULL && m->registrant->state == REGISTRANT_FENCED;
}

uint64_t
map_reservation_key (const struct map *m)
{
  return m->registrant != NULL && m->registrant->state != REGISTRANT_NEVER
    ? m->registrant->key : 0;
}

void
map_fenced (struct map *m)
{
  struct list *l, *next;

  list_for_each (l, next, &m->paths)
    path_event (list_entry (l, struct path, map_node), PATH_EV_FENCED,
                "fenced by another host");
  stop_queueing (m);
  map_note_change (m, "fenced by another host");
  gate_unpark (m);
  schedule_dispatch (m);
}

void
map_suspend (struct map *m, bool suspend)
{
  if (m->suspended == suspend)
    return;
  m->suspended = suspend;
  log_info ("%s: %s by the administrator", m->name,
            suspend ? "suspended" : "resumed");
  map_note_change (m, suspend ? "suspended" : "resumed");
  schedule_dispatch (m);
}

void
map_set_queueing (struct map *m, bool enabled)
{
  if (m->queueing_disabled == !enabled)
    return;
  m->queueing_disabled = !enabled;
  log_info ("%s: %s queueing (by the administrator)", m->name,
            enabled ? "Restore" : "Disable");
  map_note_change (m, "%s queueing", enabled ? "Restore" : "Disable");
  if (m->nr_active > 0)
    return;
  if (enabled)
    start_queueing (m);
  else
    stop_queueing (m);
  schedule_dispatch (m);
}

void
map_path_failed (struct map *m, struct path *p)
{
  selector_fail_path (&p->group->selector, &p->sel);
  m->nr_active--;
  map_choose_group (m, false);
  if (m->nr_active > 0)
    return;

  start_queueing (m);
  gate_unpark (m);             /* no_path () decides about them, too */
  schedule_dispatch (m);
}

void
map_path_reinstated (struct map *m, struct path *p)
{
  const int failback = map_failback (m);

  selector_reinstate_path (&p->group->selector, &p->sel);
  m->nr_active++;
  if (m->in_recovery) {
    log_info ("%s: Recovered to normal mode", m->name);
    map_note_change (m, "Recovered to normal mode");
  }
  stop_queueing (m);
  alua_paths_changed (m);
  if (m->current == NULL || failback == FAILBACK_IMMEDIATE ||
      (failback == FAILBACK_FOLLOWOVER && p->group < m->current &&
       p->group->selector.nr_active == 1))
    map_choose_group (m, true);
  else if (p->group < m->current && failback > 0 && m->failback_at == 0)
    m->failback_at = engine_now () + failback;
  schedule_dispatch (m);
}

void
map_check (struct map *m, double now)
{
  map_check_name (m, now);
  if (m->failback_at > 0 && now >= m->failback_at)
    map_choose_group (m, true);
  if (m->nr_active == 0 && m->no_path_until > 0 && now >= m->no_path_until) {
    stop_queueing (m);
    m->queue_timeouts++;
    log_warning ("%s: Disable queueing", m->name);
    map_note_change (m, "Disable queueing");
    schedule_dispatch (m);
  }
}

/* What may change while the disk stays the same, for connections to come.
 * Not the identity, the capacity (map_capacity_seen), or what workers read
 * without the lock: block size and transfer limit. */
void
map_refresh_facts (struct map *m, const struct lu_facts *facts)
{
  if (m->facts.write_protect != facts->write_protect)
    log_info ("%s: Write Protect is %s now", m->name,
              facts->write_protect ? "on" : "off");
  m->facts.write_protect = facts->write_protect;
  m->facts.dpofua = facts->dpofua;
  m->facts.has_caching_page = facts->has_caching_page;
  m->facts.wce = facts->wce;
  m->facts.lbpme = facts->lbpme;
  m->facts.lbprz = facts->lbprz;
  m->facts.lbpu = facts->lbpu;
  m->facts.lbpws = facts->lbpws;
  m->facts.ndob = facts->ndob;
  m->facts.max_unmap_lba = facts->max_unmap_lba;
  m->facts.max_unmap_descriptors = facts->max_unmap_descriptors;
  m->facts.unmap_granularity = facts->unmap_granularity;
  m->facts.unmap_alignment = facts->unmap_alignment;
  m->facts.unmap_alignment_valid = facts->unmap_alignment_valid;
  m->facts.max_write_same = facts->max_write_same;
  m->facts.rotation_rate = facts->rotation_rate;
}

/* ---- capacity ------------------------------------------------------------------------ */

/* A path reads another capacity than the map has.  When all paths that can
 * be asked agree, the LUN was resized; until then ask the others again. */
void
map_capacity_seen (struct map *m, const struct path *seen)
{
  struct list *l, *next;
  uint64_t blocks = 0;
  bool agree = true;

  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    /* Only those that are in use, or were asked again, know. */
    if (p != seen && !path_is_usable (p->state))
      continue;
    if (blocks == 0)
      blocks = p->facts.blocks;
    else if (p->facts.blocks != blocks)
      agree = false;
  }
  if (!agree) {
    list_for_each (l, next, &m->paths) {
      struct path *p = list_entry (l, struct path, map_node);

      if (path_is_usable (p->state) && p->facts.blocks == m->facts.blocks)
        session_look_again (p->session);
    }
    return;
  }
  if (blocks == m->facts.blocks)
    return;
  log_line (blocks > m->facts.blocks ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
            "%s: capacity changed from %" PRIu64 " to %" PRIu64
            " blocks; new connections see it", m->name, m->facts.blocks,
            blocks);
  m->facts.blocks = blocks;
  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    if (p->state == PATH_WRONG && session_is_full_feature (p->session->state))
      session_look_again (p->session);
  }
}
