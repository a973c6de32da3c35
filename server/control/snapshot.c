/* SPDX-License-Identifier: BSD-3-Clause */
/* From the engine's structures to the plain ones of snapshot.h. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fence/nexus.h"
#include "multipath/alua.h"
#include "service/service.h"
#include "control/control.h"
#include "control/snapshot.h"

static void
copy_path (struct snapshot_path *to, const struct path *p)
{
  const struct session *s = p->session;

  snprintf (to->portal, sizeof to->portal, "%s", s->name);
  memcpy (to->target, s->target, sizeof to->target);
  to->session = s->id;
  to->tpgt = s->portal.tpgt;
  to->lun = p->lun;
  to->state = p->state;
  to->session_state = s->state;
  to->prio = p->prio;
  to->port_group = p->facts.has_tpg ? p->facts.tpg : -1;
  to->port_group_state = alua_path_text (p, &to->preferred);
  to->faults = p->path_faults;
  to->changed = p->changed;
  to->latency = p->latency;
  to->counters.ios = p->stats.ios;
  to->counters.bytes_read = p->stats.bytes_read;
  to->counters.bytes_written = p->stats.bytes_written;
  to->counters.errors = p->stats.errors;
  to->counters.retries = p->stats.retries;
  to->counters.hedged = p->hedged_away;
  to->counters.hedges = p->hedges_sent;
  to->counters.hedges_won = p->hedges_won;
  to->counters.in_flight = p->sel.in_flight;
  to->counters.mean = latency_mean (&p->latency);
  to->counters.p99 = latency_quantile (&p->latency, 0.99);
}

static unsigned
list_length (const struct list *head)
{
  unsigned n = 0;

  for (const struct list *l = head->next; l != head; l = l->next)
    n++;
  return n;
}

/* By session and LUN: the order of login changes from start to start. */
static int
compare_paths (const void *a, const void *b)
{
  const struct snapshot_path *x = a, *y = b;

  if (x->session != y->session)
    return x->session < y->session ? -1 : 1;
  return (x->lun > y->lun) - (x->lun < y->lun);
}

static int
copy_map (struct snapshot_map *to, const struct map *m)
{
  const double now = engine_now ();
  struct list *l, *next;
  unsigned i, n = 0;

  to->facts = m->facts;
  to->selector = m->settings.path_selector;
  to->checker = m->settings.path_checker;
  to->failback = map_failback (m);
  to->alua = alua_decides (m);
  to->no_path_retry = m->settings.no_path_retry;
  to->queueing_disabled = m->queueing_disabled;
  to->suspended = m->suspended;
  to->queueing = m->nr_active == 0 && m->no_path_until != 0;
  if (to->queueing)
    to->queueing_left = m->no_path_until < 0 ? -1
      : m->no_path_until > now ? m->no_path_until - now : 0;
  to->queue_seconds = m->queue_seconds +
    (m->queueing_since > 0 ? now - m->queueing_since : 0);
  to->queue_timeouts = m->queue_timeouts;
  to->thin_thresholds = m->thin_thresholds;
  to->fenced = map_is_fenced (m);
  to->reservation_key = map_reservation_key (m);
  to->group_switches = m->group_switches;
  to->loads = m->loads;
  to->fence.in_doubt = m->fence_stats.in_doubt;
  to->fence.parked = m->fence_stats.parked;
  to->fence.reinstated = m->fence_stats.reinstated;
  to->fence.resets = m->fence_stats.resets;
  to->fence.expired = m->fence_stats.expired;
  to->fence.inherited = m->fence_stats.inherited;
  to->fence.pending = list_length (&m->fences);
  to->fence.record = nexus_record (m->engine);
  to->fence.waiting = list_length (&m->parked);
  to->hedged_reads = m->hedges;
  to->hedges = m->hedging.sent;
  to->hedges_won = m->hedging.won;
  to->hedges_refused = m->hedging.refused;
  to->queued = list_length (&m->queue) + list_length (&m->delayed);
  to->nr_active = m->nr_active;
  to->name = strdup (m->name);
  /* One more than there are: calloc (0) may give NULL. */
  to->groups = calloc (m->nr_groups + 1, sizeof *to->groups);
  to->paths = calloc (m->nr_paths + 1, sizeof *to->paths);
  if (!to->name || !to->groups || !to->paths)
    return -1;
  to->nr_groups = m->nr_groups;
  for (i = 0; i < m->nr_groups; ++i) {
    struct snapshot_group *g = &to->groups[i];

    g->index = m->groups[i].index;
    g->prio = m->groups[i].prio;
    g->current = m->current == &m->groups[i];
    g->first = n;
    list_for_each (l, next, &m->paths) {
      const struct path *p = list_entry (l, struct path, map_node);

      if (p->group == &m->groups[i] && n < m->nr_paths)
        copy_path (&to->paths[n++], p);
    }
    g->nr_paths = n - g->first;
    qsort (to->paths + g->first, g->nr_paths, sizeof *to->paths,
           compare_paths);
  }
  to->nr_paths = n;
  return 0;
}

static void
copy_session (struct snapshot_session *to, const struct session *s)
{
  to->id = s->id;
  snprintf (to->portal, sizeof to->portal, "%s", s->name);
  memcpy (to->target, s->target, sizeof to->target);
  to->tpgt = s->portal.tpgt;
  to->state = s->state;
  if (s->failure != FAIL_NONE)
    memcpy (to->why, s->why, sizeof to->why);
  to->logins = s->stats.logins;
  to->losses = s->stats.losses;
}

struct snapshot *
snapshot_take (struct engine *e, const char *only)
{
  struct snapshot *s = calloc (1, sizeof *s);
  struct list *l, *next;
  unsigned index = 0;

  if (s == NULL)
    return NULL;
  s->pid = getpid ();
  control_name (e, s->server, sizeof s->server);
  s->failovers = e->failovers;
  memcpy (s->initiator_name, e->initiator_name, sizeof s->initiator_name);
  s->maps = calloc (list_length (&e->maps) + 1, sizeof *s->maps);
  s->sessions = calloc (list_length (&e->sessions) + 1, sizeof *s->sessions);
  if (!s->maps || !s->sessions)
    goto no_memory;
  list_for_each (l, next, &e->maps) {
    const struct map *m = list_entry (l, struct map, node);

    index++;
    if (only && strcmp (only, m->name) != 0 && strcmp (only, m->wwid) != 0)
      continue;
    s->maps[s->nr_maps].index = index - 1;
    if (copy_map (&s->maps[s->nr_maps++], m) == -1)
      goto no_memory;
  }
  list_for_each (l, next, &e->sessions)
    copy_session (&s->sessions[s->nr_sessions++],
                  list_entry (l, struct session, node));
  return s;

 no_memory:
  snapshot_free (s);
  return NULL;
}

void
snapshot_free (struct snapshot *s)
{
  if (s == NULL)
    return;
  for (unsigned i = 0; i < s->nr_maps; ++i) {
    free (s->maps[i].name);
    free (s->maps[i].groups);
    free (s->maps[i].paths);
  }
  free (s->maps);
  free (s->sessions);
  free (s->clients);
  free (s);
}
