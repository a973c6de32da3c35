/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer target: answers to REPORT TARGET PORT GROUPS, one after the other
 * (each with its length in front), and refusals between them, into the table
 * of port-groups.h.  Whatever comes, waiting and asking stay within bounds. */
#include <string.h>

#include "rules/port-groups.h"
#include "must.h"

static struct port_groups pg;

static void
changed (void *opaque, const struct port_group *g, const enum alua_state *from)
{
  (void) opaque;
  MUST (from == NULL || *from != g->state);
}

static void
check (double now, bool usable, bool alive)
{
  const struct port_group *g;

  MUST (pg.nr <= ALUA_MAX_GROUPS);
  for (unsigned i = 0; i < pg.nr; ++i)
    MUST (port_groups_find (&pg, pg.groups[i].id) == &pg.groups[i]);
  port_groups_idle (&pg, usable, alive, 60, now);
  if (pg.idle_since > 0)
    MUST (pg.idle_until - pg.idle_since <= 2 * 255 + 120);
  if (port_groups_unsettled (&pg)) {
    const double wait = port_groups_ask_at (&pg, now) - now;

    MUST (wait > 0.249 && wait < 1.001);
  }
  g = port_groups_to_set (&pg, TPGS_EXPLICIT, now);
  if (g != NULL) {
    MUST (g->live && !alua_is_active (g->state) && !usable);
    port_groups_set_sent (&pg, g->id, now);
    MUST (port_groups_to_set (&pg, TPGS_EXPLICIT, now) == NULL);
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static struct alua_report r;
  double now = 1;

  port_groups_init (&pg);
  while (size >= 2) {
    const uint8_t how = data[0];
    size_t n = data[1];

    data += 2;
    size -= 2;
    now += (how >> 4) / 4.;
    if (how & 1) {
      uint8_t *copy;

      if (n > size)
        n = size;
      copy = malloc (n ? n : 1);        /* ASan sees its end */
      MUST (copy != NULL);
      memcpy (copy, data, n);
      if (parse_port_groups (&r, copy, n)) {
        MUST (r.nr_groups <= ALUA_MAX_GROUPS && n >= 4);
        port_groups_report (&pg, &r, how & 2 ? (int) n : -1,
                            how & 4 ? now - 1 : now, now, changed, NULL);
      }
      free (copy);
      data += n;
      size -= n;
    }
    else
      port_groups_refused (&pg, n, how & 2 ? ALUA_STANDBY
                           : ALUA_TRANSITIONING, now, changed, NULL);
    if (pg.nr > 0)
      pg.groups[how % pg.nr].live = how & 8;
    check (now, how & 2, how & 8);
  }
  return 0;
}
