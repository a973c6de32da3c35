/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi show, mpiscsi -ll. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"

static bool
is_what (const char *s)
{
  static const char *const whats[] = { "topology", "maps", "paths", "sessions",
                                       "clients", "status" };

  for (size_t i = 0; i < sizeof whats / sizeof whats[0]; ++i)
    if (strcmp (s, whats[i]) == 0)
      return true;
  return false;
}

/* FROM's lists are put behind those of TO: one object for all servers. */
static void
merge (json_t *to, json_t *from)
{
  const char *key;
  json_t *value, *have;

  json_object_foreach (from, key, value) {
    have = json_object_get (to, key);
    if (json_is_array (have) && json_is_array (value))
      json_array_extend (have, value);
    else if (have == NULL)
      json_object_set (to, key, value);
  }
}

/* With the topology, the exit status is of use for a check: 0 all paths are well, 1
 * some are not, 2 a map has none, 3 that is not known. */
#define UNKNOWN 3

int
cmd_show (const struct cmd *cmd)
{
  const char *what = "topology", *map = NULL;
  struct server *servers;
  json_t *all = NULL;
  size_t n, shown = 0;
  int status = 0, worst = 0;
  bool topology;

  if (cmd->argc > 0 && is_what (cmd->argv[0])) {
    what = cmd->argv[0];
    map = cmd->argc > 1 ? cmd->argv[1] : NULL;
  }
  else if (cmd->argc == 1)
    map = cmd->argv[0];         /* the topology of one map */
  else if (cmd->argc > 1)
    return cmd_usage ("show what? topology, maps, paths, sessions, clients or status");
  n = servers_open (cmd, &servers);
  topology = strcmp (what, "topology") == 0;
  if (n == 0)
    return topology ? UNKNOWN : CMD_FAILED;
  for (size_t i = 0; i < n; ++i) {
    json_t *request = json_pack ("{s:s,s:s,s:s}", "command", "show",
                                 "what", what, "format",
                                 cmd->json ? "json" : "text");
    json_t *answer, *output;

    if (map)
      json_object_set_new (request, "map", json_string (map));
    if (!cmd->json)
      json_object_set_new (request, "colour", json_boolean (cmd->colour));
    answer = server_ask (&servers[i], request);
    if (answer == NULL)
      status = CMD_FAILED;
    else if (!answer_ok (answer)) {
      /* Another server may have the map. */
      if (map == NULL || n == 1) {
        cmd_error ("%s", answer_error (answer));
        status = CMD_FAILED;
      }
    }
    else {
      const int state =
        json_integer_value (json_object_get (answer, "state"));

      shown++;
      worst = state > worst ? state : worst;
      output = json_object_get (answer, "output");
      if (!cmd->json)
        fputs (json_is_string (output) ? json_string_value (output) : "",
               stdout);
      else if (all == NULL)
        all = json_incref (output);
      else
        merge (all, output);
    }
    json_decref (answer);
  }
  if (shown == 0 && status == 0) {
    cmd_error ("no map is named '%s'", map);
    status = CMD_FAILED;
  }
  if (all != NULL) {
    json_dumpf (all, stdout, JSON_INDENT (2) | JSON_ENSURE_ASCII);
    putchar ('\n');
    json_decref (all);
  }
  servers_close (servers, n);
  if (topology)
    return status != 0 ? UNKNOWN : worst;
  return status;
}
