/* SPDX-License-Identifier: BSD-3-Clause */
/* The paths of a map in groups: by which policy, in which order, and which
 * group is used. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "multipath/alua.h"
#include "multipath/gate.h"
#include "rules/prio.h"

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

/* Its priority by the map's prioritizer.  A mistake in the arguments is said
 * once, and leaves all paths alike. */
void
path_set_prio (struct path *p)
{
  struct map *m = p->map;
  char hbtl[64], tpgt[16] = "-", err[200];
  struct prio_names names;
  int prio = 1;

  if (alua_has_prio (p))
    prio = alua_prio (p);
  else if (m->settings.prio == PRIO_WEIGHTEDPATH) {
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

enum grouping
map_grouping (const struct map *m)
{
  return m->settings.detect_pgpolicy && alua_decides (m) ? GROUP_BY_PRIO
    : m->settings.path_grouping_policy;
}

int
map_failback (const struct map *m)
{
  /* Who has set nothing wants an asymmetric array to be used as it wishes. */
  return !map_settings_gives (&m->settings, "failback") && alua_decides (m)
    ? FAILBACK_IMMEDIATE : m->settings.failback;
}

static bool
same_group (const struct map *m, enum grouping grouping,
            const struct path *a, const struct path *b)
{
  switch (grouping) {
  case GROUP_MULTIBUS: return true;
  case GROUP_FAILOVER: return a == b;
  case GROUP_BY_PRIO: return a->prio == b->prio;
  case GROUP_BY_SERIAL: return strcmp (a->facts.serial, b->facts.serial) == 0;
  case GROUP_BY_TPG:
    /* The array's own groups, where it has any; else the portal groups. */
    return alua_decides (m) && a->facts.has_tpg && b->facts.has_tpg
      ? a->facts.tpg == b->facts.tpg
      : a->session->portal.tpgt == b->session->portal.tpgt;
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
  const enum grouping grouping = map_grouping (m);
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
      if (same_group (m, grouping, list_entry (k, struct path, map_node), p)) {
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

/* A usable path of the group in use; NULL: there is none. */
static const struct path *
path_in_use (const struct map *m)
{
  const struct list *l;

  for (l = m->paths.next; l != &m->paths; l = l->next) {
    const struct path *p = list_entry (l, struct path, map_node);

    if (path_is_usable (p->state) && p->group == m->current)
      return p;
  }
  return NULL;
}

void
map_regroup_keep (struct map *m)
{
  const struct path *used = path_in_use (m);
  const int failback = map_failback (m), prio = used ? used->group->prio : 0;
  const double failback_at = m->failback_at;

  map_regroup (m);
  if (used == NULL || used->group == m->current)
    return;
  /* Of a group that has become worse there is nothing to stay for. */
  if (failback != FAILBACK_IMMEDIATE && used->group->prio >= prio) {
    m->current = used->group;
    m->failback_at = failback < 0 ? 0
      : failback_at > 0 ? failback_at : engine_now () + failback;
    return;
  }
  log_info ("%s: switch to path group #%u", m->name, m->current->index);
  m->group_switches++;
  map_note_change (m, "switch to path group #%u", m->current->index);
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
      map_failback (m) != FAILBACK_IMMEDIATE) {
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
