/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes, as lines for `mpiscsi watch`.  Any thread, lock held. */
#include <config.h>

#include <stdio.h>

#include "control/control.h"
#include "control/control-internal.h"
#include "control/control-request.h"
#include "service/service.h"
#include "control/topology.h"

static const char *
states (const struct path *p, enum path_state state, char *buf, size_t size)
{
  snprintf (buf, size, "%s %s %s", path_dm_state (state),
            path_checker_state (state),
            topology_dev_state (p->session->state));
  return buf;
}

static void
path_changed (const struct path *p, enum path_state from,
              const char *why)
{
  char hcil[48], was[80], is[80];

  if (!control_is_watched (p->map->engine))
    return;
  control_tell (p->map->engine, json_pack
                ("{s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:s}",
                 "version", CONTROL_VERSION, "event", "path",
                 "map", p->map->name,
                 "path", topology_hcil (p->session->id,
                                        p->session->portal.tpgt, p->lun, hcil,
                                        sizeof hcil),
                 "portal", p->session->name,
                 "from", states (p, from, was, sizeof was),
                 "to", states (p, p->state, is, sizeof is),
                 "active", (int) p->map->nr_active,
                 "why", why ? why : ""));
}

static void
session_changed (const struct session *s, enum session_state from)
{
  if (!control_is_watched (s->engine))
    return;
  control_tell (s->engine, json_pack
                ("{s:i,s:s,s:i,s:s,s:s,s:s,s:s,s:s}",
                 "version", CONTROL_VERSION, "event", "session",
                 "session", (int) s->id, "portal", s->name,
                 "target", s->target,
                 "from", session_state_name (from),
                 "to", session_state_name (s->state),
                 "why", s->state == SESSION_WAIT ? s->why : ""));
}

static void
map_changed (const struct map *m, const char *what)
{
  if (!control_is_watched (m->engine))
    return;
  control_tell (m->engine, json_pack ("{s:i,s:s,s:s,s:i,s:s}",
                                      "version", CONTROL_VERSION,
                                      "event", "map", "map", m->name,
                                      "active", (int) m->nr_active,
                                      "what", what));
}

const struct observer control_observer = {
  .path_changed = path_changed,
  .session_changed = session_changed,
  .map_changed = map_changed,
  .stop = control_stop,
};
