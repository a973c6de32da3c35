/* SPDX-License-Identifier: BSD-3-Clause */
/* Asymmetric access: what an answer of the array means for paths.  See alua.h;
 * alua-ask.c asks. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multipath/alua-internal.h"

/* Wanted, and does the LUN say that it has it? */
static bool
is_wanted (const struct map *m, const struct lu_facts *facts)
{
  return facts->tpgs != 0 &&
    (m->settings.detect_prio || m->settings.prio == PRIO_ALUA);
}

static const struct port_group *
group_of (const struct path *p)
{
  struct alua *a = p->map->alua;

  return a != NULL && !a->refused && p->facts.has_tpg && p->facts.tpgs != 0
    ? port_groups_find (&a->groups, p->facts.tpg) : NULL;
}

bool
alua_path_is_usable (const struct path *p)
{
  const struct port_group *g = group_of (p);

  return g == NULL || alua_is_active (g->state);
}

const char *
alua_path_text (const struct path *p, bool *preferred)
{
  const struct port_group *g = group_of (p);

  if (preferred)
    *preferred = g != NULL && g->preferred;
  return g ? alua_state_text (g->state) : NULL;
}

bool
alua_has_prio (const struct path *p)
{
  const struct alua *a = p->map->alua;

  return a != NULL && p->facts.tpgs != 0 && (a->refused || group_of (p));
}

int
alua_prio (const struct path *p)
{
  const struct port_group *g = group_of (p);
  const char *args = p->map->settings.prio_args;

  if (g == NULL)                /* it does not tell: as good as optimized */
    return alua_priority (ALUA_OPTIMIZED, false, false);
  return alua_priority (g->state, g->preferred, args != NULL &&
                        strstr (args, "exclusive_pref_bit") != NULL);
}

bool
alua_decides (const struct map *m)
{
  struct list *l, *next;

  if (m->alua == NULL || list_empty (&m->paths))
    return false;
  list_for_each (l, next, &m->paths)
    if (!alua_has_prio (list_entry (l, struct path, map_node)))
      return false;
  return true;
}

/* ---- what has become of the paths --------------------------------------------- */

/* Its session is in use, and it leads to the right disk. */
bool
alua_path_is_alive (const struct path *p)
{
  return p->session->state == SESSION_UP && !p->session->dying &&
    p->state != PATH_WRONG && p->state != PATH_FENCED;
}

/* Those that can be used come before those that cannot any more: there is no
 * moment without a path in between. */
void
alua_apply (struct map *m)
{
  struct list *l, *next;
  bool regroup = false;

  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    if (p->state != PATH_GHOST || !alua_path_is_usable (p))
      continue;
    path_event (p, PATH_EV_UP, NULL);
    /* In its state not all facts could be read. */
    if (p->facts_partial)
      session_look_again (p->session);
  }
  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);
    const int prio = p->prio;

    if (p->state == PATH_UP && !alua_path_is_usable (p))
      path_event (p, PATH_EV_GHOST, alua_path_text (p, NULL));
    path_set_prio (p);
    regroup |= p->prio != prio;
  }
  if (regroup)
    map_regroup_keep (m);
}

static bool
has_path_in (const struct map *m, uint16_t id)
{
  struct list *l, *next;

  list_for_each (l, next, &m->paths) {
    const struct path *p = list_entry (l, struct path, map_node);

    if (p->facts.has_tpg && p->facts.tpg == id)
      return true;
  }
  return false;
}

void
alua_group_changed (void *opaque, const struct port_group *g,
                    const enum alua_state *from)
{
  const struct map *m = opaque;

  /* A new one is told with its paths. */
  if (from == NULL || !has_path_in (m, g->id))
    return;
  m->alua->changes++;
  log_info ("%s: port group %u: %s -> %s%s", m->name, g->id,
            alua_state_text (*from), alua_state_text (g->state),
            g->preferred ? ", preferred" : "");
  map_note_change (m, "port group %u: %s -> %s", g->id,
                   alua_state_text (*from), alua_state_text (g->state));
}

void
alua_paths_changed (struct map *m)
{
  struct alua *a = m->alua;
  struct list *l, *next;
  bool alive = false;

  if (a == NULL)
    return;
  for (unsigned i = 0; i < a->groups.nr; ++i)
    a->groups.groups[i].live = false;
  list_for_each (l, next, &m->paths) {
    const struct path *p = list_entry (l, struct path, map_node);
    struct port_group *g = p->facts.has_tpg
      ? port_groups_find (&a->groups, p->facts.tpg) : NULL;

    if (!alua_path_is_alive (p))
      continue;
    if (g != NULL && p->state != PATH_ADMIN)
      g->live = true;
    alive |= p->state == PATH_GHOST;
  }
  port_groups_idle (&a->groups, m->nr_active > 0, alive,
                    m->engine->settings->alua_transition_timeout,
                    engine_now ());
}

double
alua_hold_until (struct map *m)
{
  struct alua *a = m->alua;

  if (a == NULL)
    return 0;
  alua_paths_changed (m);
  return a->groups.idle_until > engine_now () ? a->groups.idle_until : 0;
}

bool
alua_refused (struct path *p, enum scsi_result result,
              const struct sense *sense)
{
  struct map *m = p->map;
  enum alua_state state;

  if (result != RESULT_CHECK_CONDITION || !sense->valid || sense->deferred ||
      (sense->key != SENSE_NOT_READY && sense->key != SENSE_UNIT_ATTENTION) ||
      sense->asc != 0x04 || group_of (p) == NULL)
    return false;
  switch (sense->ascq) {
  case 0x0a: state = ALUA_TRANSITIONING; break;
  case 0x0b: state = ALUA_STANDBY; break;
  case 0x0c: state = ALUA_UNAVAILABLE; break;
  default: return false;
  }
  port_groups_refused (&m->alua->groups, p->facts.tpg, state, engine_now (),
                       alua_group_changed, m);
  alua_apply (m);
  alua_ask (m);
  return true;
}

/* ---- from the probe ------------------------------------------------------------- */

enum alua_state
alua_answer_state (const struct alua_answer *answer,
                   const struct lu_facts *facts)
{
  if (answer->valid && facts->tpgs != 0 && facts->has_tpg)
    for (unsigned i = 0; i < answer->report.nr_groups; ++i)
      if (answer->report.groups[i].id == facts->tpg)
        return answer->report.groups[i].state;
  return ALUA_OPTIMIZED;
}

/* Some paths have it and others do not, or it does not say which group is
 * which: said once. */
static void
complain (struct map *m, const struct path *p)
{
  struct alua *a = m->alua;

  if (a->said)
    return;
  if (a->refused)
    log_info ("%s: %s: the target has TPGS %u but does not know REPORT TARGET "
              "PORT GROUPS: all its ports count as active/optimized", m->name,
              p->session->name, p->facts.tpgs);
  else if (p->facts.tpgs == 0)
    log_warning ("%s: %s: no asymmetric access here, but on other paths: this "
                 "path is used as if there were none", m->name,
                 p->session->name);
  else if (!p->facts.has_tpg)
    log_warning ("%s: %s: the target has port groups (TPGS %u) but does not "
                 "say in which this port is (no type 5 in VPD page 83h): used "
                 "as if there were none", m->name, p->session->name,
                 p->facts.tpgs);
  else
    return;
  a->said = true;
}

void
alua_path_seen (struct path *p, const struct alua_answer *answer)
{
  struct map *m = p->map;
  const struct port_group *g;

  if (m->alua == NULL) {
    if (!is_wanted (m, &p->facts))
      return;
    m->alua = calloc (1, sizeof *m->alua);
    if (m->alua == NULL) {
      log_warning ("%s: out of memory: asymmetric access is left out",
                   m->name);
      return;
    }
    m->alua->map = m;
    port_groups_init (&m->alua->groups);
    work_init (&m->alua->check, alua_check_work);
    command_internal (&m->alua->set, 0, NULL, NULL);
  }
  if (answer->refused)
    m->alua->refused = true;
  if (answer->valid) {
    m->alua->refused = false;
    m->alua->asked = answer->asked;
    port_groups_report (&m->alua->groups, &answer->report,
                        p->facts.has_tpg ? p->facts.tpg : -1, answer->asked,
                        engine_now (), alua_group_changed, m);
  }
  complain (m, p);
  g = group_of (p);
  if (g != NULL && p->state == PATH_DOWN)
    log_info ("%s: %s: port group %u, %s%s", m->name, p->session->name, g->id,
              alua_state_text (g->state), g->preferred ? ", preferred" : "");
  alua_apply (m);
}

void
alua_path_init (struct path *p)
{
  command_internal (&p->ask.cmd, p->lun, NULL, NULL);
}

void
alua_path_free (struct path *p)
{
  work_cancel (&p->ask.cmd.answer);
  free (p->ask.buf);
}

void
alua_map_free (struct map *m)
{
  if (m->alua == NULL)
    return;
  work_cancel (&m->alua->set.answer);
  work_cancel (&m->alua->check);
  free (m->alua);
  m->alua = NULL;
}

void
alua_reconfigure (struct map *m)
{
  struct list *l, *next;

  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    /* A probe asks; or finds that nobody wants to know. */
    if ((m->alua == NULL) == is_wanted (m, &p->facts) && p->facts.tpgs != 0)
      session_look_again (p->session);
  }
  if (m->alua != NULL && !m->settings.detect_prio &&
      m->settings.prio != PRIO_ALUA && !m->alua->sending)
    alua_map_free (m);
}
