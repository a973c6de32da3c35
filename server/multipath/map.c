/* SPDX-License-Identifier: BSD-3-Clause */
/* Maps: the paths of one logical unit, in groups. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "multipath/multipath.h"
#include "multipath/gate.h"
#include "multipath/persist.h"
#include "multipath/registrant.h"
#include "rules/prio.h"

/* One command is at most this large; a larger request is split, and its
 * parts take several paths at once. */
#define TRANSFER_LIMIT (512 * 1024)

static const struct selector_ops *
ops_of (enum selector_kind kind)
{
  switch (kind) {
  case SELECTOR_QUEUE_LENGTH: return &selector_queue_length;
  case SELECTOR_SERVICE_TIME: return &selector_service_time;
  case SELECTOR_ROUND_ROBIN: break;
  }
  return &selector_round_robin;
}

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

/* Its priority by the map's prioritizer.  A mistake in the arguments is said
 * once, and leaves all paths alike. */
void
path_set_prio (struct path *p)
{
  struct map *m = p->map;
  char hbtl[64], tpgt[16] = "-", err[200];
  struct prio_names names;
  int prio = 1;

  if (m->settings.prio == PRIO_WEIGHTEDPATH) {
    if (p->session->portal.tpgt != -1)
      snprintf (tpgt, sizeof tpgt, "%d", p->session->portal.tpgt);
    snprintf (hbtl, sizeof hbtl, "%u:0:%s:%u", p->session->id, tpgt, p->lun);
    names = (struct prio_names) {
      .hbtl = hbtl, .devname = p->session->name, .serial = p->facts.serial,
      .wwn = p->session->target,
    };
    prio = prio_weightedpath (m->settings.prio_args, &names, err, sizeof err);
    if (prio == -1) {
      if (!m->bad_prio)
        log_warning ("%s: %s", m->name, err);
      m->bad_prio = true;
      prio = 1;
    }
  }
  p->prio = prio;
}

/* ---- groups ------------------------------------------------------------------------ */

static bool
same_group (const struct map *m, const struct path *a, const struct path *b)
{
  switch (m->settings.path_grouping_policy) {
  case GROUP_MULTIBUS: return true;
  case GROUP_FAILOVER: return a == b;
  case GROUP_BY_PRIO: return a->prio == b->prio;
  case GROUP_BY_SERIAL: return strcmp (a->facts.serial, b->facts.serial) == 0;
  case GROUP_BY_TPG: return a->session->portal.tpgt == b->session->portal.tpgt;
  }
  return true;
}

static int
compare_groups (const void *a, const void *b)
{
  const struct path_group *x = a, *y = b;

  if (x->prio != y->prio)
    return x->prio > y->prio ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

/* From scratch: paths are few, and this happens when one is added or its
 * priority changes. */
void
map_regroup (struct map *m)
{
  struct path_group *groups = calloc (m->nr_paths + 1, sizeof *groups);
  struct list *l, *next, *k;
  unsigned n = 0, i;

  if (groups == NULL)
    return;                     /* the old ones are still good enough */

  /* First which group, by index of its first path ... */
  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    list_del (&p->sel.node);
    p->group_index = 0;
    for (k = m->paths.next; k != l; k = k->next)
      if (same_group (m, list_entry (k, struct path, map_node), p)) {
        p->group_index = list_entry (k, struct path, map_node)->group_index;
        break;
      }
    if (p->group_index == 0) {
      p->group_index = ++n;
      groups[n - 1].index = n;
      groups[n - 1].prio = p->prio;
    }
    else if (p->prio > groups[p->group_index - 1].prio)
      groups[p->group_index - 1].prio = p->prio;
  }
  /* ... then the groups in order of priority, as multipath -ll lists them. */
  qsort (groups, n, sizeof *groups, compare_groups);
  for (i = 0; i < n; ++i) {
    selector_init (&groups[i].selector, ops_of (m->settings.path_selector));
    list_for_each (l, next, &m->paths) {
      struct path *p = list_entry (l, struct path, map_node);

      if (p->group_index != groups[i].index)
        continue;
      p->group = &groups[i];
      p->sel.repeat_count = m->settings.rr_min_io *
        (m->settings.rr_weight_priorities && p->prio > 0 ? p->prio : 1);
      if (path_is_usable (p->state))
        selector_reinstate_path (&groups[i].selector, &p->sel);
    }
  }
  for (i = 0; i < n; ++i)
    groups[i].index = i + 1;
  free (m->groups);
  m->groups = groups;
  m->nr_groups = n;
  m->loads++;
  m->current = NULL;
  map_choose_group (m, true);
}

void
map_add_path (struct map *m, struct path *p)
{
  p->map = m;
  path_set_prio (p);
  list_add_tail (&m->paths, &p->map_node);
  m->nr_paths++;
  gate_path_added (m);
  map_regroup (m);
}

void
map_remove_path (struct map *m, struct path *p)
{
  const double failback_at = m->failback_at;
  const struct path *stay = NULL;
  struct list *l, *next;

  list_del (&p->map_node);
  selector_fail_path (&p->group->selector, &p->sel);
  m->nr_paths--;
  if (path_is_usable (p->state))
    m->nr_active--;
  /* No failback by the way: who stays in use may be in another group object
   * afterwards. */
  list_for_each (l, next, &m->paths) {
    const struct path *q = list_entry (l, struct path, map_node);

    if (path_is_usable (q->state) && q->group == m->current)
      stay = q;
  }
  map_regroup (m);
  if (stay != NULL && stay->group->selector.nr_active > 0 &&
      m->settings.failback != FAILBACK_IMMEDIATE) {
    m->current = stay->group;
    m->failback_at = failback_at;
  }
}

/* The best group with an active path.  Without FAILBACK the current one is
 * kept while it has any. */
void
map_choose_group (struct map *m, bool failback)
{
  struct path_group *old = m->current;
  unsigned i;

  if (!failback && m->current && m->current->selector.nr_active > 0)
    return;
  m->current = NULL;
  for (i = 0; i < m->nr_groups; ++i)
    if (m->groups[i].selector.nr_active > 0) {
      m->current = &m->groups[i];
      break;
    }
  m->failback_at = 0;
  if (old != NULL && m->current != NULL && old != m->current) {
    log_info ("%s: switch to path group #%u", m->name, m->current->index);
    m->group_switches++;
    map_note_change (m, "switch to path group #%u", m->current->index);
  }
}

struct path *
map_select_path (struct map *m, uint32_t bytes)
{
  struct selector_path *sp;

  if (m->current == NULL)
    return NULL;
  sp = m->current->selector.ops->select_path (&m->current->selector, bytes);
  return sp ? container_of (sp, struct path, sel) : NULL;
}

/* No path is left: what becomes of the I/O? */
static void
start_queueing (struct map *m)
{
  const int retry = m->settings.no_path_retry;

  if (map_is_fenced (m)) {      /* no path will be back by itself */
    m->no_path_until = 0;
    return;
  }
  if (retry == NO_PATH_RETRY_FAIL || m->queueing_disabled) {
    /* Paths that we took down ourselves (fence.c) will be back at once. */
    m->no_path_until = !m->queueing_disabled &&
      m->grace_until > engine_now () ? m->grace_until : 0;
    return;
  }
  m->queueing_since = engine_now ();
  if (retry == NO_PATH_RETRY_QUEUE) {
    m->no_path_until = -1;
    map_note_change (m, "queueing without a path");
    return;
  }
  m->no_path_until = m->queueing_since +
    retry * m->engine->settings->polling_interval;
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
  m->no_path_until = 0;
  m->in_recovery = false;
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
  selector_reinstate_path (&p->group->selector, &p->sel);
  m->nr_active++;
  if (m->in_recovery) {
    log_info ("%s: Recovered to normal mode", m->name);
    map_note_change (m, "Recovered to normal mode");
  }
  stop_queueing (m);
  if (m->current == NULL || m->settings.failback == FAILBACK_IMMEDIATE)
    map_choose_group (m, true);
  else if (p->group < m->current && m->settings.failback > 0 &&
           m->failback_at == 0)
    m->failback_at = engine_now () + m->settings.failback;
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
