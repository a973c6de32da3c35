/* SPDX-License-Identifier: BSD-3-Clause */
/* dev_loss_tmo: the paths of a session that is lost for long are removed from
 * their maps.  The session goes on trying, slowly; what it finds when it is
 * back are new paths.  Service thread, lock held. */
#include <config.h>

#include "multipath/multipath.h"
#include "rules/health.h"

/* It waits, or would wait, for one of the paths. */
static bool
io_waits (const struct map *m)
{
  return m->nr_active == 0 &&
    (m->no_path_until != 0 || !list_empty (&m->queue) ||
     !list_empty (&m->delayed) || !list_empty (&m->parked));
}

static bool
is_due (const struct path *p, double lost_for)
{
  const struct map *m = p->map;
  const double delay =
    loss_delay (m->settings.dev_loss_tmo, m->settings.fast_io_fail_tmo,
                m->settings.no_path_retry,
                m->engine->settings->polling_interval);

  /* What the administrator has failed is to stay so when it is back. */
  return delay >= 0 && lost_for >= delay && p->state != PATH_ADMIN &&
    !io_waits (m);
}

void
session_check_loss (struct session *s, double now)
{
  struct list *l, *next;

  /* With a probe under way it is as good as back. */
  if (s->lost_since == 0 || s->state == SESSION_PROBE || s->dying ||
      s->state == SESSION_LOGOUT || s->nr_in_flight > 0 ||
      list_empty (&s->paths) || s->engine->shutdown)
    return;
  list_for_each (l, next, &s->paths) {
    struct path *p = list_entry (l, struct path, session_node);
    struct map *m = p->map;

    if (path_is_usable (p->state) || !is_due (p, now - s->lost_since))
      continue;
    log_warning ("%s: remove path %s: its session has been lost for %.0f s "
                 "(dev_loss_tmo)", m->name, s->name, now - s->lost_since);
    path_free (p);
    map_note_change (m, "remove path %s (dev_loss_tmo)", s->name);
    s->forgotten = list_empty (&s->paths);
  }
}
