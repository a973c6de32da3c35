/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs that change something in a running server: fail, reinstate,
 * disablequeueing, restorequeueing, rescan, resize, suspend, resume,
 * switchgroup, add, del, reconfigure. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"

static bool
string_is (const json_t *object, const char *key, const char *s)
{
  const char *value = json_string_value (json_object_get (object, key));

  return value && strcmp (value, s) == 0;
}

/* "10.0.0.1" means "10.0.0.1:3260". */
static const char *
full_portal (const char *s, char *buf, size_t size)
{
  struct portal portal;
  const char *why;

  return portal_parse (s, strlen (s), &portal, &why)
    ? portal_text (&portal, buf, size) : s;
}

/* Does this server have what the command is about? */
static bool
has_it (struct server *s, const struct cmd *cmd, bool path, bool portal)
{
  json_t *answer =
    server_ask (s, json_pack ("{s:s,s:s,s:s}", "command", "show", "what",
                              path ? "paths" : portal ? "sessions" : "maps",
                              "format", "json"));
  const json_t *list = json_object_get (json_object_get (answer, "output"),
                                        path ? "paths" : portal ? "sessions"
                                        : "maps");
  const char *name = cmd->argv[0];
  char text[300];
  bool found = false;
  size_t i;
  json_t *item;

  if (path || portal)
    name = full_portal (name, text, sizeof text);
  json_array_foreach (list, i, item)
    if (path ? (string_is (item, "portal", name) ||
                string_is (item, "hcil", cmd->argv[0])) &&
        (cmd->argc < 2 || string_is (item, "map", cmd->argv[1]))
        : portal ? string_is (item, "portal", name) &&
        !string_is (item, "state", "closed")
        : string_is (item, "name", name) || string_is (item, "uuid", name))
      found = true;
  json_decref (answer);
  return found;
}

/* With several servers: which one is meant?  The one that has it. */
static struct server *
choose (const struct cmd *cmd, struct server *servers, size_t n, bool path,
        bool portal)
{
  struct server *chosen = NULL;

  for (size_t i = 0; i < n; ++i)
    if (has_it (&servers[i], cmd, path, portal)) {
      if (chosen != NULL) {
        cmd_error ("'%s' is at several servers, choose with --socket: %s, %s",
                   cmd->argv[0], chosen->path, servers[i].path);
        return NULL;
      }
      chosen = &servers[i];
    }
  if (chosen == NULL)
    cmd_error ("no server has '%s'", cmd->argv[0]);
  return chosen;
}

static int
tell (struct server *s, const struct cmd *cmd, const char *key)
{
  json_t *request = json_pack ("{s:s}", "command", cmd->name), *answer;
  const char *output;
  int status = 0;

  if (key)
    json_object_set_new (request, key, json_string (cmd->argv[0]));
  if (cmd->argc > 1 && strcmp (cmd->name, "switchgroup") == 0)
    json_object_set_new (request, "group",
                         json_integer (strtol (cmd->argv[1], NULL, 10)));
  else if (cmd->argc > 1)
    json_object_set_new (request, "map", json_string (cmd->argv[1]));
  answer = server_ask (s, request);
  if (answer == NULL)
    return CMD_FAILED;
  output = json_string_value (json_object_get (answer, "output"));
  if (!answer_ok (answer)) {
    cmd_error ("%s", answer_error (answer));
    status = CMD_FAILED;
  }
  else if (output)
    puts (output);
  json_decref (answer);
  return status;
}

int
cmd_verb (const struct cmd *cmd)
{
  const bool path = strcmp (cmd->name, "fail") == 0 ||
    strcmp (cmd->name, "reinstate") == 0;
  const bool add = strcmp (cmd->name, "add") == 0;
  const bool portal = add || strcmp (cmd->name, "del") == 0;
  const bool all = strcmp (cmd->name, "reconfigure") == 0 ||
    strcmp (cmd->name, "rescan") == 0 ||
    (cmd->argc == 1 && strcmp (cmd->argv[0], "maps") == 0);
  const char *key = path ? "path" : portal ? "portal" : "map";
  struct server *servers, *one;
  size_t n = servers_open (cmd, &servers);
  int status = 0;

  if (n == 0)
    return CMD_FAILED;
  if (all)
    for (size_t i = 0; i < n; ++i)
      status |= tell (&servers[i], cmd, cmd->argc > 0 ? key : NULL);
  else if (n > 1 && add) {
    cmd_error ("%zu servers are running: choose one with --socket, e.g. %s",
               n, servers[0].path);
    status = CMD_FAILED;
  }
  else {
    one = n == 1 ? servers : choose (cmd, servers, n, path, portal);
    status = one ? tell (one, cmd, key) : CMD_FAILED;
  }
  servers_close (servers, n);
  return status;
}
