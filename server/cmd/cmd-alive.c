/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi alive, mpiscsi ready: for whoever supervises a server (a pod's liveness
 * and readiness), by exit status. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"

static bool
has_active_path (const json_t *map)
{
  json_t *group, *path;
  size_t i, k;

  json_array_foreach (json_object_get (map, "path_groups"), i, group)
    json_array_foreach (json_object_get (group, "paths"), k, path) {
      const char *state = json_string_value (json_object_get (path, "dm_st"));

      if (state && strcmp (state, "active") == 0)
        return true;
    }
  return false;
}

/* Is there a map, and has each a path? */
static bool
is_ready (const json_t *topology, const char *server)
{
  const json_t *maps = json_object_get (topology, "maps");
  json_t *map;
  size_t i;

  if (json_array_size (maps) == 0) {
    cmd_error ("%s: no LUN is served", server);
    return false;
  }
  json_array_foreach (maps, i, map)
    if (!has_active_path (map)) {
      cmd_error ("%s: %s has no active path", server,
                 json_string_value (json_object_get (map, "name")));
      return false;
    }
  return true;
}

int
cmd_alive (const struct cmd *cmd)
{
  const bool ready = strcmp (cmd->name, "ready") == 0;
  struct server *servers;
  const size_t n = servers_open (cmd, &servers);
  int status = n == 0 ? CMD_FAILED : 0;

  for (size_t i = 0; i < n; ++i) {
    json_t *request = ready
      ? json_pack ("{s:s,s:s,s:s}", "command", "show", "what", "topology", "format", "json")
      : json_pack ("{s:s}", "command", "version");
    json_t *answer = server_ask (&servers[i], request);

    if (answer == NULL)
      status = CMD_FAILED;
    else if (!answer_ok (answer)) {
      cmd_error ("%s: %s", servers[i].path, answer_error (answer));
      status = CMD_FAILED;
    }
    else if (ready && !is_ready (json_object_get (answer, "output"), servers[i].path))
      status = CMD_FAILED;
    json_decref (answer);
  }
  servers_close (servers, n);
  return status;
}
