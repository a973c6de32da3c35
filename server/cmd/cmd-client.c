/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's side of the control socket. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "control/control-request.h"

/* Seconds for one answer: a server that is busy takes a moment. */
#define PATIENCE 15.0
/* No answer is longer; whatever it is that talks to us. */
#define LONGEST (64 * 1024 * 1024)

static double
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* -1: errno. */
static int
connect_to (const char *path)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  const struct timeval patience = { .tv_sec = PATIENCE };
  int fd;

  if (strlen (path) >= sizeof addr.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy (addr.sun_path, path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd == -1)
    return -1;
  /* Holds for connect, too, when the server has no time to accept. */
  setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect (fd, (const struct sockaddr *) &addr, sizeof addr) == -1) {
    const int err = errno;

    close (fd);
    errno = err;
    return -1;
  }
  return fd;
}

static bool
add_server (struct server **servers, size_t *n, const char *path, int fd)
{
  struct server *more = reallocarray (*servers, *n + 1, sizeof *more);

  if (more == NULL) {
    close (fd);
    return false;
  }
  *servers = more;
  memset (&more[*n], 0, sizeof more[*n]);
  snprintf (more[*n].path, sizeof more[*n].path, "%s", path);
  more[(*n)++].fd = fd;
  return true;
}

static int
is_socket_name (const struct dirent *d)
{
  const size_t len = strlen (d->d_name);

  return len > 5 && strcmp (d->d_name + len - 5, ".sock") == 0;
}

/* A server that was killed leaves its socket behind: not worth a word. */
static void
open_directory (const char *dir, struct server **servers, size_t *n,
                char *denied, size_t denied_size)
{
  struct dirent **entries = NULL;
  char path[4096];
  int found, fd;

  snprintf (path, sizeof path, "%s", dir);
  found = scandir (dir, &entries, is_socket_name, versionsort);
  for (int i = 0; i < found; ++i) {
    snprintf (path, sizeof path, "%s/%s", dir, entries[i]->d_name);
    free (entries[i]);
    fd = connect_to (path);
    if (fd != -1)
      add_server (servers, n, path, fd);
    else if (errno != ECONNREFUSED && errno != ENOENT)
      snprintf (denied, denied_size, "%.*s: %s", (int) denied_size - 100, path,
                strerror (errno));
  }
  if (found == -1 && errno == EACCES)
    snprintf (denied, denied_size, "%.*s: %s", (int) denied_size - 100, path,
              strerror (EACCES));
  free (entries);
}

/* MPISCSI_RUNTIME_DIR alone, if it is set; else both places where servers
 * put their sockets: root, logged in, has an XDG_RUNTIME_DIR, but the system's
 * services have none. */
static void
get_directories (char first[4096], char second[4096])
{
  const char *only = getenv ("MPISCSI_RUNTIME_DIR");
  const char *run = getenv ("XDG_RUNTIME_DIR");

  first[0] = second[0] = '\0';
  if (only != NULL && only[0])
    snprintf (first, 4096, "%s", only);
  else {
    snprintf (first, 4096, "/run/mpiscsi");
    if (run != NULL && run[0] == '/' && strcmp (run, "/run") != 0)
      snprintf (second, 4096, "%s/mpiscsi", run);
  }
}

size_t
servers_open (const struct cmd *cmd, struct server **servers)
{
  char first[4096], second[4096], denied[400] = "";
  size_t n = 0;

  *servers = NULL;
  if (cmd->socket != NULL) {
    const int fd = connect_to (cmd->socket);

    if (fd == -1)
      cmd_error ("%s: %s", cmd->socket, errno == ECONNREFUSED
                 ? "no server listens there any more" : strerror (errno));
    else
      add_server (servers, &n, cmd->socket, fd);
    return n;
  }
  get_directories (first, second);
  open_directory (first, servers, &n, denied, sizeof denied);
  if (second[0])
    open_directory (second, servers, &n, denied, sizeof denied);
  if (n == 0 && denied[0])
    cmd_error ("no server is running that you may ask: %s", denied);
  else if (n == 0)
    cmd_error ("no server is running (looked in %s%s%s)", first,
               second[0] ? " and " : "", second);
  return n;
}

void
servers_close (struct server *servers, size_t n)
{
  for (size_t i = 0; i < n; ++i) {
    if (servers[i].fd != -1)
      close (servers[i].fd);
    free (servers[i].in);
  }
  free (servers);
}

static bool
send_all (int fd, const char *text, size_t len)
{
  while (len > 0) {
    const ssize_t n = send (fd, text, len, MSG_NOSIGNAL);

    if (n == -1 && errno != EINTR)
      return false;
    if (n > 0) {
      text += n;
      len -= n;
    }
  }
  return true;
}

/* The first line of what was read so far; NULL if it is not complete. */
static json_t *
take_line (struct server *s, bool *gone)
{
  const char *end = s->in_len ? memchr (s->in, '\n', s->in_len) : NULL;
  json_t *json;

  if (end == NULL)
    return NULL;
  json = json_loadb (s->in, end - s->in, 0, NULL);
  s->in_len -= end + 1 - s->in;
  memmove (s->in, end + 1, s->in_len);
  if (!json_is_object (json)) {
    json_decref (json);
    json = NULL;
    *gone = true;
  }
  return json;
}

json_t *
server_line (struct server *s, double seconds, bool *gone)
{
  const double until = now () + seconds;
  json_t *json;

  *gone = false;
  while ((json = take_line (s, gone)) == NULL && !*gone) {
    struct pollfd pfd = { .fd = s->fd, .events = POLLIN };
    const double left = until - now ();
    ssize_t n;

    n = poll (&pfd, 1, left > 0 ? (int) (left * 1000) + 1 : 0);
    if (n == 0 || (n == -1 && errno != EINTR))
      return NULL;
    if (n == -1)
      continue;
    if (s->in_size - s->in_len < 65536) {
      char *in = s->in_size < LONGEST
        ? realloc (s->in, s->in_size * 2 + 65536) : NULL;

      if (in == NULL) {
        *gone = true;
        return NULL;
      }
      s->in = in;
      s->in_size = s->in_size * 2 + 65536;
    }
    n = recv (s->fd, s->in + s->in_len, s->in_size - s->in_len, 0);
    if (n == 0 || (n == -1 && errno != EINTR)) {
      *gone = true;
      return NULL;
    }
    if (n > 0)
      s->in_len += n;
  }
  return json;
}

json_t *
server_ask (struct server *s, json_t *request)
{
  char *text;
  json_t *answer = NULL;
  bool gone = false, sent;

  json_object_set_new (request, "version", json_integer (CONTROL_VERSION));
  text = json_dumps (request, JSON_COMPACT);
  json_decref (request);
  if (text == NULL) {
    cmd_error ("out of memory, or an argument is not UTF-8");
    return NULL;
  }
  sent = send_all (s->fd, text, strlen (text)) && send_all (s->fd, "\n", 1);
  free (text);
  /* "Too many clients" is said before anything was asked. */
  answer = server_line (s, PATIENCE, &gone);
  if (answer == NULL)
    cmd_error ("%s: %s", s->path, gone || !sent
               ? "the server closed the connection" : "the server does not answer");
  return answer;
}

bool
answer_ok (const json_t *answer)
{
  return json_is_true (json_object_get (answer, "ok"));
}

const char *
answer_error (const json_t *answer)
{
  const char *s = json_string_value (json_object_get (answer, "error"));

  return s ? s : "unknown error";
}
