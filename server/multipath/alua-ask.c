/* SPDX-License-Identifier: BSD-3-Clause */
/* Asymmetric access: REPORT and SET TARGET PORT GROUPS on their way to the
 * array and back.  See alua.h.
 *
 * Each path has one REPORT of its own in flight at most; a hint that comes
 * while it is gets another one after it, since its answer may be older. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multipath/alua-internal.h"
#include "multipath/gate.h"

#define ANSWER_MIN 4096         /* bytes: 300 groups */
#define ANSWER_MAX 65536
/* UNIT ATTENTIONs in a row that are answered at once. */
#define AT_ONCE 5

static void ask_done (struct command *cmd, enum scsi_result result,
                      const struct sense *sense);

/* ---- REPORT TARGET PORT GROUPS ------------------------------------------------ */

static void
send_report (struct path *p)
{
  struct alua *a = p->map->alua;
  struct command *cmd = &p->ask.cmd;

  if (p->ask.size == 0) {
    p->ask.buf = malloc (ANSWER_MIN);
    if (p->ask.buf == NULL)
      return;                   /* the next time, or another path */
    p->ask.size = ANSWER_MIN;
  }
  command_internal (cmd, p->lun, ask_done, p);
  cmd->may_be_short = true;
  p->ask.extended = !a->plain;
  p->ask.again = false;
  p->ask.in_flight = true;
  p->ask.sent = a->asked = engine_now ();
  command_prepare (cmd, cdb_report_port_groups (cmd->cdb, p->ask.extended,
                                                p->ask.size),
                   SCSI_XFER_READ, p->ask.buf, p->ask.size);
  /* Also when there is no room: whoever waits for the array waits for this. */
  session_submit (p->session, cmd);
}

static void
ask_path (struct path *p)
{
  p->ask.tries = 0;
  if (p->ask.in_flight)
    p->ask.again = true;
  else
    send_report (p);
}

/* The list did not fit: once more, with room for it. */
static bool
needs_more (struct path *p, const struct alua_report *report)
{
  void *buf;

  if (report->length <= p->ask.size || p->ask.size == ANSWER_MAX)
    return false;
  buf = realloc (p->ask.buf, ANSWER_MAX);
  if (buf == NULL)
    return false;
  p->ask.buf = buf;
  p->ask.size = ANSWER_MAX;
  return true;
}

static void
answered (struct path *p, const struct command *cmd)
{
  struct map *m = p->map;
  struct alua_report report;
  size_t len = cmd->bytes;

  if (cmd->task.residual_status == SCSI_RESIDUAL_UNDERFLOW)
    len = cmd->task.residual < len ? len - cmd->task.residual : 0;
  if (!parse_port_groups (&report, p->ask.buf, len))
    return;
  if (needs_more (p, &report)) {
    p->ask.again = true;
    return;
  }
  m->alua->refused = false;
  port_groups_report (&m->alua->groups, &report,
                      p->facts.has_tpg ? p->facts.tpg : -1, p->ask.sent,
                      engine_now (), alua_group_changed, m);
  alua_apply (m);
}

/* ILLEGAL REQUEST: the extended header, or all of the command. */
static void
not_known (struct path *p, const struct sense *sense)
{
  struct alua *a = p->map->alua;

  if (sense->asc == 0x25)       /* no such LUN (any more): the checker's */
    return;
  if (p->ask.extended) {
    a->plain = true;
    p->ask.again = true;
  }
  else if (a->groups.nr == 0)
    a->refused = true;
}

static void
ask_done (struct command *cmd, enum scsi_result result,
          const struct sense *sense)
{
  struct path *p = cmd->opaque;
  struct alua *a = p->map->alua;
  const struct verdict v = verdict_of (result, sense);

  p->ask.in_flight = false;
  if (result >= RESULT_LOST || a == NULL)
    return;
  path_heard (p, v.actions, cmd->submitted);
  if (v.actions & (ACTION_CHECK_CAPACITY | ACTION_CHECK_IDENTITY))
    session_look_again (p->session);
  if (v.kind == VERDICT_DONE)
    answered (p, cmd);
  /* Some arrays do not even say that they are in transition. */
  else if (alua_refused (p, result, sense))
    p->ask.again = sense->key == SENSE_UNIT_ATTENTION;
  else if (v.kind == VERDICT_RETRY)
    p->ask.again = true;
  else if (result == RESULT_CHECK_CONDITION &&
           sense->key == SENSE_ILLEGAL_REQUEST)
    not_known (p, sense);
  if (p->ask.again && alua_path_is_alive (p) && p->ask.tries++ < AT_ONCE)
    send_report (p);
}

void
alua_ask (struct map *m)
{
  if (m->alua == NULL || m->alua->want)
    return;
  m->alua->want = true;
  engine_later (m->engine, &m->alua->check);
}

void
alua_check_work (struct work *w)
{
  alua_check (container_of (w, struct alua, check)->map, engine_now ());
}

/* Through all sessions, or through the next one. */
static void
ask (struct map *m, bool all)
{
  struct alua *a = m->alua;
  struct path *chosen = NULL;
  struct list *l, *next;
  unsigned i = 0;

  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    if (!alua_path_is_alive (p) || p->facts.tpgs == 0)
      continue;
    if (all)
      ask_path (p);
    else if (chosen == NULL || i == a->turn)
      chosen = p;
    i++;
  }
  if (chosen != NULL && !chosen->ask.in_flight)
    ask_path (chosen);
  a->turn = i > 0 ? (a->turn + 1) % i : 0;
}

/* ---- SET TARGET PORT GROUPS --------------------------------------------------- */

static void
set_done (struct command *cmd, enum scsi_result result,
          const struct sense *sense)
{
  struct map *m = cmd->opaque;
  struct alua *a = m->alua;
  const struct verdict v = verdict_of (result, sense);
  char text[100];

  a->sending = false;
  if (v.kind == VERDICT_RETRY && result < RESULT_LOST)
    a->groups.set_again = 0;    /* a UNIT ATTENTION: it was not executed */
  else if (v.kind != VERDICT_DONE)
    log_warning ("%s: port group %u: SET TARGET PORT GROUPS failed: %s",
                 m->name, a->setting, result == RESULT_CHECK_CONDITION
                 ? sense_text (sense, text, sizeof text)
                 : result_text (result));
  /* Whatever it said, what is so now the array knows. */
  alua_ask (m);
}

/* A session that leads there; else, with ANY, one that leads to another group
 * of the unit: the command may go through any port (SPC-4 5.15.2.7). */
static struct path *
path_to (struct map *m, uint16_t id)
{
  struct list *l, *next;

  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    if (p->facts.has_tpg && p->facts.tpg == id && alua_path_is_alive (p) &&
        p->state != PATH_ADMIN)
      return p;
  }
  return NULL;
}

static bool
set_group (struct map *m, uint16_t id, const char *why)
{
  struct alua *a = m->alua;
  struct command *cmd = &a->set;
  struct path *p = path_to (m, id);

  if (p == NULL || a->sending)
    return false;
  log_info ("%s: port group %u: SET TARGET PORT GROUPS to active/optimized: "
            "%s", m->name, id, why);
  map_note_change (m, "port group %u: SET TARGET PORT GROUPS", id);
  command_internal (cmd, p->lun, set_done, m);
  a->setting = id;
  set_port_group_parameters (a->parameters, id);
  command_prepare (cmd, cdb_set_port_groups (cmd->cdb, sizeof a->parameters),
                   SCSI_XFER_WRITE, a->parameters, sizeof a->parameters);
  a->sending = true;
  port_groups_set_sent (&a->groups, id, engine_now ());
  session_submit (p->session, cmd);
  return true;
}

static unsigned
tpgs_of (const struct map *m)
{
  struct list *l, *next;
  unsigned tpgs = 0;

  list_for_each (l, next, &m->paths)
    tpgs |= list_entry (l, struct path, map_node)->facts.tpgs;
  return tpgs;
}

bool
alua_is_waited_for (struct map *m)
{
  return alua_hold_until (m) > 0 && !(tpgs_of (m) & TPGS_EXPLICIT);
}

int
alua_switch_group (struct map *m, unsigned index, char *err, size_t size)
{
  struct list *l, *next;

  if (index < 1 || index > m->nr_groups) {
    snprintf (err, size, "%s has no path group %u: it has %u", m->name, index,
              m->nr_groups);
    return -1;
  }
  if (m->alua == NULL || !(tpgs_of (m) & TPGS_EXPLICIT)) {
    snprintf (err, size, "%s: the array does not let hosts choose (TPGS %u): "
              "move the LUN to the other controller there", m->name,
              tpgs_of (m));
    return -1;
  }
  list_for_each (l, next, &m->paths) {
    const struct path *p = list_entry (l, struct path, map_node);

    if (p->group == &m->groups[index - 1] && p->facts.has_tpg &&
        set_group (m, p->facts.tpg, "by the administrator"))
      return 0;
  }
  snprintf (err, size, "%s: no session leads to path group %u now", m->name,
            index);
  return -1;
}

/* ---- when ----------------------------------------------------------------------- */

void
alua_check (struct map *m, double now)
{
  struct alua *a = m->alua;
  const struct port_group *g;

  if (a == NULL || m->engine->shutdown)
    return;
  alua_paths_changed (m);
  if (a->want ||
      (port_groups_unsettled (&a->groups) &&
       now >= port_groups_ask_at (&a->groups, a->asked))) {
    a->want = false;
    ask (m, true);
  }
  else if (!a->refused && now - a->asked >=
           m->engine->settings->polling_interval)
    ask (m, false);
  if (m->engine->keeps_nothing) /* only a look: nothing is changed */
    return;
  g = port_groups_to_set (&a->groups, tpgs_of (m), now);
  if (g != NULL && !a->sending)
    set_group (m, g->id, "no group that is reached is active");
}
