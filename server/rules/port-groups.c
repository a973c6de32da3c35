/* SPDX-License-Identifier: BSD-3-Clause */
/* Target port groups.  See port-groups.h. */
#include <config.h>

#include <string.h>

#include "rules/port-groups.h"

/* After so long the array is asked every PORT_GROUPS_ASK_MAX. */
#define SLOW_AFTER 60.0
/* Where the array moves by itself, it may do so first. */
#define GRACE 1.0
#define SET_PAUSE 0.25
#define SET_DELAY_MIN 1.0
#define SET_DELAY_MAX 30.0
/* A change within this time after SET TARGET PORT GROUPS, and a transition, is
 * our doing. */
#define OUR_DOING 2.0
/* Refusals further apart than this are not of one lie. */
#define REFUSALS_FORGOTTEN 10.0
#define DOUBT_MIN 0.1
#define DOUBT_MAX 5.0

void
port_groups_init (struct port_groups *pg)
{
  memset (pg, 0, sizeof *pg);
}

struct port_group *
port_groups_find (struct port_groups *pg, uint16_t id)
{
  for (unsigned i = 0; i < pg->nr; ++i)
    if (pg->groups[i].id == id)
      return &pg->groups[i];
  return NULL;
}

bool
alua_is_active (enum alua_state state)
{
  return state == ALUA_OPTIMIZED || state == ALUA_NON_OPTIMIZED ||
    state == ALUA_LBA_DEPENDENT;
}

int
alua_priority (enum alua_state state, bool preferred, bool exclusive_pref_bit)
{
  int prio = 0;

  switch (state) {
  case ALUA_OPTIMIZED: prio = 50; break;
  case ALUA_NON_OPTIMIZED: prio = 10; break;
  case ALUA_LBA_DEPENDENT: prio = 5; break;
  case ALUA_STANDBY: prio = 1; break;
  case ALUA_UNAVAILABLE: case ALUA_OFFLINE: case ALUA_TRANSITIONING: break;
  }
  if (preferred && (state != ALUA_OPTIMIZED || exclusive_pref_bit))
    prio += 80;
  return prio;
}

double
port_groups_patience (const struct port_groups *pg, double fallback)
{
  return pg->transition_time > 0 ? pg->transition_time : fallback;
}

static bool
any_in_transition (const struct port_groups *pg)
{
  for (unsigned i = 0; i < pg->nr; ++i)
    if (pg->groups[i].state == ALUA_TRANSITIONING)
      return true;
  return false;
}

static void
note_transition (struct port_groups *pg, double now)
{
  if (!any_in_transition (pg))
    pg->transition_since = 0;
  else if (pg->transition_since == 0)
    pg->transition_since = now;
}

static void
set_state (struct port_groups *pg, struct port_group *g, enum alua_state state,
           double now, port_group_changed changed, void *opaque)
{
  const enum alua_state from = g->state;

  g->state = state;
  if (alua_is_active (state)) {
    g->was_active = true;
    g->taken_at = 0;
  }
  /* What a transition leads to is only known when it is over. */
  else if (state != ALUA_TRANSITIONING && g->was_active) {
    g->was_active = false;
    if (pg->set_at == 0 ||
        now - pg->set_at >= OUR_DOING + pg->transition_time)
      g->taken_at = now;
  }
  if (from != state && changed)
    changed (opaque, g, &from);
}

bool
port_groups_report (struct port_groups *pg, const struct alua_report *report,
                    int via, double asked, double now,
                    port_group_changed changed, void *opaque)
{
  bool any = false;

  /* Of one answer only some ports know it. */
  if (report->transition_time > 0)
    pg->transition_time = report->transition_time;
  for (unsigned i = 0; i < report->nr_groups; ++i) {
    const struct alua_group *r = &report->groups[i];
    struct port_group *g = port_groups_find (pg, r->id);

    if (g == NULL) {
      if (pg->nr == ALUA_MAX_GROUPS)
        continue;
      g = &pg->groups[pg->nr++];
      *g = (struct port_group) {
        .id = r->id, .state = r->state, .preferred = r->preferred,
        .own = via == r->id, .as_of = asked,
        .was_active = alua_is_active (r->state),
      };
      if (changed)
        changed (opaque, g, NULL);
      any = true;
      continue;
    }
    if (asked < g->as_of || (asked == g->as_of && g->own && via != r->id))
      continue;
    g->as_of = asked;
    g->own = via == r->id;
    any |= g->preferred != r->preferred;
    g->preferred = r->preferred;
    if (g->state == r->state || (alua_is_active (r->state) &&
                                 now < g->believe_at))
      continue;
    set_state (pg, g, r->state, now, changed, opaque);
    any = true;
  }
  note_transition (pg, now);
  return any;
}

bool
port_groups_refused (struct port_groups *pg, uint16_t id,
                     enum alua_state state, double now,
                     port_group_changed changed, void *opaque)
{
  struct port_group *g = port_groups_find (pg, id);

  if (g == NULL || g->state == state)
    return false;
  if (alua_is_active (g->state)) {
    double doubt = DOUBT_MIN;

    if (now - g->refused_at > REFUSALS_FORGOTTEN)
      g->refusals = 0;
    g->refused_at = now;
    /* The first one is only news that came this way first. */
    for (unsigned i = 1; i < g->refusals && doubt < DOUBT_MAX; ++i)
      doubt *= 2;
    if (g->refusals > 0)
      g->believe_at = now + (doubt < DOUBT_MAX ? doubt : DOUBT_MAX);
    g->refusals++;
  }
  g->as_of = now;
  g->own = false;
  set_state (pg, g, state, now, changed, opaque);
  note_transition (pg, now);
  return true;
}

/* ---- waiting ---------------------------------------------------------------- */

void
port_groups_idle (struct port_groups *pg, bool usable, bool alive,
                  double fallback, double now)
{
  const double patience = port_groups_patience (pg, fallback);

  if (usable || !alive) {
    pg->idle_since = pg->idle_until = 0;
    pg->extended = false;
    /* It has helped: the next loss is another one. */
    if (usable && pg->set_again > pg->set_at + SET_PAUSE)
      pg->set_again = pg->set_at + SET_PAUSE;
    return;
  }
  if (pg->idle_since == 0) {
    pg->idle_since = now;
    pg->idle_until = now + patience;
  }
  /* Once: a target that goes to and fro must not hold I/O for ever. */
  else if (!pg->extended && pg->transition_since > pg->idle_since) {
    pg->extended = true;
    pg->idle_until = pg->transition_since + patience;
  }
}

bool
port_groups_unsettled (const struct port_groups *pg)
{
  return pg->transition_since > 0 || pg->idle_since > 0;
}

double
port_groups_ask_at (const struct port_groups *pg, double asked)
{
  double since = pg->idle_since, interval;

  if (since == 0 || (pg->transition_since > 0 && pg->transition_since < since))
    since = pg->transition_since;
  interval = PORT_GROUPS_ASK_MAX * (asked - since) / SLOW_AFTER;
  if (interval < PORT_GROUPS_ASK_MIN)
    interval = PORT_GROUPS_ASK_MIN;
  if (interval > PORT_GROUPS_ASK_MAX)
    interval = PORT_GROUPS_ASK_MAX;
  return asked + interval;
}

/* ---- asking for a change ------------------------------------------------------ */

/* Standby is ready, unavailable may be; the array's favourite first, and the
 * one that nobody took away. */
static int
rank (const struct port_group *g, double now)
{
  int r = 0;

  if (!g->live || (g->state != ALUA_STANDBY && g->state != ALUA_UNAVAILABLE))
    return -1;
  if (g->state == ALUA_STANDBY)
    r += 4;
  if (g->taken_at == 0 || now - g->taken_at >= PORT_GROUPS_RESPECT)
    r += 2;
  if (g->preferred)
    r += 1;
  return r;
}

const struct port_group *
port_groups_to_set (struct port_groups *pg, unsigned tpgs, double now)
{
  const struct port_group *best = NULL;
  bool active = false;
  int best_rank = -1;

  if (!(tpgs & TPGS_EXPLICIT) || pg->transition_since > 0 ||
      pg->idle_since == 0 || now < pg->set_again ||
      ((tpgs & TPGS_IMPLICIT) && now - pg->idle_since < GRACE))
    return NULL;
  for (unsigned i = 0; i < pg->nr; ++i) {
    const struct port_group *g = &pg->groups[i];
    const int r = rank (g, now);

    active |= alua_is_active (g->state);
    if (r > best_rank) {
      best = g;
      best_rank = r;
    }
  }
  /* Somebody uses the active one; and this one was taken for that. */
  if (best && active && !(best_rank & 2))
    return NULL;
  return best;
}

void
port_groups_set_sent (struct port_groups *pg, uint16_t id, double now)
{
  if (pg->set_at == 0 || now - pg->set_at > PORT_GROUPS_RESPECT)
    pg->set_delay = SET_DELAY_MIN;
  else if (pg->set_delay < SET_DELAY_MAX / 2)
    pg->set_delay *= 2;
  else
    pg->set_delay = SET_DELAY_MAX;
  pg->set_at = now;
  pg->set_again = now + pg->set_delay;
  pg->set_group = id;
}
