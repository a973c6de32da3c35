/* SPDX-License-Identifier: BSD-3-Clause */
/* How a server is, in a few lines and in one number. */
#include <config.h>

#include <string.h>

#include "control/topology.h"

int
topology_worst_state (const struct snapshot *s)
{
  int worst = s->nr_maps == 0 ? 3 : 0;

  for (unsigned i = 0; i < s->nr_maps; ++i) {
    const struct snapshot_map *m = &s->maps[i];

    if (m->nr_active == 0 && worst < 2)
      worst = 2;
    /* A path that stands by is well. */
    for (unsigned k = 0; k < m->nr_paths && worst < 1; ++k)
      if (strcmp (path_dm_state (m->paths[k].state), "active") != 0)
        worst = 1;
  }
  return worst;
}

bool
topology_status (FILE *fp, const struct snapshot *s, bool colour)
{
  unsigned count[NR_PATH_STATES] = { 0 }, paths = 0, up = 0;
  static const char *const words[] = {
    "all paths are well", "some paths have failed",
    "a map has no path", "there is no map",
  };

  (void) colour;
  for (unsigned i = 0; i < s->nr_maps; ++i)
    for (unsigned k = 0; k < s->maps[i].nr_paths; ++k, ++paths)
      count[s->maps[i].paths[k].state]++;
  for (unsigned i = 0; i < s->nr_sessions; ++i)
    up += s->sessions[i].state == SESSION_UP;
  fputs ("path states:\n", fp);
  for (unsigned i = 0; i < NR_PATH_STATES; ++i)
    if (count[i] > 0)
      fprintf (fp, "%-20s%u\n", path_state_name (i), count[i]);
  fprintf (fp, "\nserver: %s (pid %d, version %s)\nmaps: %u\npaths: %u\n"
           "sessions: %u (%u logged in)\nstate: %s\n",
           s->server[0] ? s->server : "-", s->pid, PACKAGE_VERSION, s->nr_maps,
           paths, s->nr_sessions, up, words[topology_worst_state (s)]);
  return !ferror (fp);
}
