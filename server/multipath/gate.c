/* SPDX-License-Identifier: BSD-3-Clause */
/* The write gate.  See gate.h. */
#include <config.h>

#include "multipath/gate.h"

static void
look (struct work *w)
{
  gate_check (container_of (w, struct map, fencing), engine_now ());
}

void
gate_init (struct map *m)
{
  list_init (&m->parked);
  indoubt_init (&m->indoubt);
  work_init (&m->fencing, look);
  if (m->engine->gate != NULL)
    m->engine->gate->map_new (m);
}

void
gate_end (struct map *m)
{
  work_cancel (&m->fencing);
  /* Before those to whom some of its ranges belong. */
  indoubt_clear (&m->indoubt);
  if (m->engine->gate != NULL)
    m->engine->gate->map_freed (m);
}

void
gate_park (struct map *m, struct command *cmd)
{
  list_add_tail (&m->parked, &cmd->node);
  gate_soon (m);
}

void
gate_unpark (struct map *m)
{
  if (list_empty (&m->parked))
    return;
  /* In order, in front of what came later. */
  list_splice_head (&m->queue, &m->parked);
  schedule_dispatch (m);
}

void
gate_fail_parked (struct map *m, int error)
{
  while (!list_empty (&m->parked)) {
    struct command *cmd = list_entry (m->parked.next, struct command, node);

    list_del (&cmd->node);
    request_part_done (m->engine, cmd, error);
  }
}

void
gate_soon (struct map *m)
{
  engine_later (m->engine, &m->fencing);
}

/* ---- what was registered ---------------------------------------------------- */

void
gate_check (struct map *m, double now)
{
  map_check_aborted (m, now);
  if (m->engine->gate != NULL)
    m->engine->gate->check (m, now);
}

void
gate_path_added (struct map *m)
{
  if (m->engine->gate != NULL)
    m->engine->gate->path_added (m);
}

bool
gate_reserve (struct engine *e, struct path *p)
{
  return e->gate == NULL || e->gate->reserve (p);
}

void
gate_unreserve (struct engine *e, struct path *p)
{
  if (e->gate != NULL)
    e->gate->unreserve (p);
}

void
gate_lost (struct map *m, struct command *cmd)
{
  if (m->engine->gate != NULL)
    m->engine->gate->lost (cmd);
}

bool
gate_awaits_login (const struct session *s)
{
  return s->engine->gate != NULL && s->engine->gate->awaits_login (s);
}

void
gate_logged_in (struct session *s)
{
  if (s->engine->gate != NULL)
    s->engine->gate->logged_in (s);
}
