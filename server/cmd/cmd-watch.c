/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi watch: the topology as it is, then a line for each change, until
 * all servers have ended. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/cmd.h"

static const char *
member (const json_t *event, const char *key)
{
  const char *s = json_string_value (json_object_get (event, key));

  return s ? s : "";
}

static const char *
colour_of (const struct cmd *cmd, const char *state)
{
  if (!cmd->colour)
    return "";
  if (strncmp (state, "active ready", 12) == 0 || strcmp (state, "up") == 0)
    return "\033[32m";
  if (strstr (state, "faulty") || strcmp (state, "wait") == 0)
    return "\033[31m";
  return "\033[33m";
}

static void
print_event (const struct cmd *cmd, const json_t *event)
{
  const char *kind = member (event, "event"), *to = member (event, "to");
  const char *why = member (event, "why");
  const char *plain = cmd->colour ? "\033[0m" : "";
  const time_t now = time (NULL);
  char when[16] = "";
  struct tm tm;

  if (localtime_r (&now, &tm))
    strftime (when, sizeof when, "%H:%M:%S", &tm);
  printf ("%s ", when);
  if (strcmp (kind, "path") == 0)
    printf ("%s: %s %s %s%s%s, remaining active paths: %lld",
            member (event, "map"), member (event, "path"),
            member (event, "portal"), colour_of (cmd, to), to, plain,
            (long long) json_integer_value (json_object_get (event, "active")));
  else if (strcmp (kind, "session") == 0)
    printf ("%s: session %lld %s%s%s", member (event, "portal"),
            (long long) json_integer_value (json_object_get (event,
                                                             "session")),
            colour_of (cmd, to), to, plain);
  else
    printf ("%s: %s", member (event, "map"), member (event, "what"));
  if (why[0])
    printf (" (%s)", why);
  putchar ('\n');
}

/* For people, what a session goes through while it tries to log in is noise;
 * --json has it. */
static bool
is_worth_a_line (const json_t *event)
{
  return strcmp (member (event, "event"), "session") != 0 ||
    strcmp (member (event, "from"), "up") == 0 ||
    strcmp (member (event, "to"), "up") == 0 ||
    strcmp (member (event, "to"), "closed") == 0;
}

/* Everything that is there.  false: the server is gone. */
static bool
drain (const struct cmd *cmd, struct server *s)
{
  json_t *event;
  bool gone;

  while ((event = server_line (s, 0, &gone)) != NULL) {
    if (cmd->json) {
      json_dumpf (event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
      putchar ('\n');
    }
    else if (is_worth_a_line (event))
      print_event (cmd, event);
    json_decref (event);
  }
  /* A file or a pipe should see it now, too. */
  fflush (stdout);
  return !gone;
}

static bool
begin (struct server *s)
{
  json_t *answer = server_ask (s, json_pack ("{s:s}", "command", "watch"));
  const bool good = answer && answer_ok (answer);

  if (answer && !good)
    cmd_error ("%s: %s", s->path, answer_error (answer));
  json_decref (answer);
  return good;
}

static int
follow (const struct cmd *cmd, struct server *servers, size_t n)
{
  struct pollfd *fds = calloc (n, sizeof *fds);
  size_t left = n;

  if (fds == NULL) {
    cmd_error ("out of memory");
    return CMD_FAILED;
  }
  for (size_t i = 0; i < n; ++i)
    fds[i] = (struct pollfd) { .fd = servers[i].fd, .events = POLLIN };
  while (left > 0 && !ferror (stdout)) {
    if (poll (fds, n, -1) == -1 && errno != EINTR)
      break;
    for (size_t i = 0; i < n; ++i)
      if (fds[i].fd != -1 && fds[i].revents && !drain (cmd, &servers[i])) {
        cmd_error ("%s: the server ended", servers[i].path);
        fds[i].fd = -1;
        left--;
      }
  }
  free (fds);
  return 0;
}

int
cmd_watch (const struct cmd *cmd)
{
  struct server *servers;
  size_t n;
  int status = 0;

  /* First watch, then show: nothing is missed in between. */
  n = servers_open (cmd, &servers);
  if (n == 0)
    return CMD_FAILED;
  for (size_t i = 0; i < n; ++i)
    if (!begin (&servers[i]))
      status = CMD_FAILED;
  if (status == 0 && !cmd->json) {
    status = cmd_show (&(struct cmd) { .name = "show", .socket = cmd->socket,
                                       .colour = cmd->colour });
    fflush (stdout);
  }
  if (status == 0)
    status = follow (cmd, servers, n);
  servers_close (servers, n);
  return status;
}
