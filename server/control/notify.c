/* SPDX-License-Identifier: BSD-3-Clause */
/* The service manager's READY, STATUS and STOPPING: see notify.h. */
#include <config.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "service/service.h"
#include "control/notify.h"

/* Seconds after which a message is tried again that the manager had no room
 * for. */
#define AGAIN 0.5

/* Observers are told under the engine's lock by any thread: they only wake
 * the service thread, which counts and sends, with the lock held.  All of it
 * is written by the service thread only, but for its start and end, when
 * there is none. */
struct notify {
  const struct observer *next;  /* who was there before us; may be NULL */
  int fd;
  struct sockaddr_un addr;
  socklen_t addr_len;
  ev_async wake;
  ev_timer again;
  bool ready;                   /* READY=1 was taken */
  char status[400];             /* the last that was taken */
};

/* One per process, as its $NOTIFY_SOCKET.  Engine lock. */
static struct notify *notify;

/* An absolute path, or a name without a file after '@' (unix(7)). */
static bool
parse_address (struct notify *n, const char *name)
{
  const size_t len = strlen (name);

  if ((name[0] != '/' && name[0] != '@') || len < 2 ||
      len >= sizeof n->addr.sun_path)
    return false;
  n->addr.sun_family = AF_UNIX;
  memcpy (n->addr.sun_path, name, len + 1);
  n->addr_len = offsetof (struct sockaddr_un, sun_path) + len + 1;
  if (name[0] == '@') {
    n->addr.sun_path[0] = '\0';
    n->addr_len--;              /* there, every byte counts */
  }
  return true;
}

/* False: try again later.  Never waits: I/O does. */
static bool
notify_send (struct notify *n, const char *text)
{
  if (sendto (n->fd, text, strlen (text), MSG_DONTWAIT | MSG_NOSIGNAL,
              (const struct sockaddr *) &n->addr, n->addr_len) != -1)
    return true;
  if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
    return false;
  log_debug ("NOTIFY_SOCKET: %m");
  return true;                  /* nobody is there any more */
}

/* Returns whether a path is active. */
static bool
describe (struct engine *e, char *text, size_t size)
{
  const struct map *lost = NULL, *last = NULL;
  unsigned maps = 0, paths = 0, active = 0;
  struct list *l, *next;

  list_for_each (l, next, &e->maps) {
    const struct map *m = list_entry (l, struct map, node);

    maps++;
    paths += m->nr_paths;
    active += m->nr_active;
    if (m->nr_active == 0 && lost == NULL)
      lost = m;
    last = m;
  }
  if (maps == 0)
    snprintf (text, size, "no path yet");
  else if (maps == 1)
    snprintf (text, size, "%s: %u of %u paths active", last->name, active,
              paths);
  else
    snprintf (text, size, "%u maps: %u of %u paths active%s%s", maps, active,
              paths, lost ? ", none of " : "", lost ? lost->name : "");
  return active > 0;
}

static void
notify_look (struct engine *e, struct notify *n)
{
  char status[sizeof n->status], line[sizeof status], text[sizeof status + 32];
  const bool ready = describe (e, line, sizeof line) || n->ready;

  /* Names come from the network and from files. */
  text_safe (line, status, sizeof status);
  if (ready == n->ready && strcmp (status, n->status) == 0)
    return;
  snprintf (text, sizeof text, "%sSTATUS=%s",
            ready && !n->ready ? "READY=1\n" : "", status);
  if (!notify_send (n, text)) {
    ev_timer_set (&n->again, AGAIN, 0.);
    ev_timer_start (e->loop, &n->again);
    return;
  }
  n->ready = ready;
  strcpy (n->status, status);
}

static void
wake_cb (EV_P_ ev_async *w, int revents)
{
  (void) loop;
  (void) revents;
  if (notify)
    notify_look (w->data, notify);
}

static void
again_cb (EV_P_ ev_timer *w, int revents)
{
  (void) loop;
  (void) revents;
  if (notify)
    notify_look (w->data, notify);
}

/* ---- the observer ------------------------------------------------------------------ */

static const struct observer *
wake (const struct engine *e)
{
  if (notify == NULL)
    return NULL;
  ev_async_send (e->loop, &notify->wake);
  return notify->next;
}

static void
path_changed (const struct path *p, enum path_state from, const char *why)
{
  const struct observer *next = wake (p->map->engine);

  if (next)
    next->path_changed (p, from, why);
}

/* Paths also go with their session, without a change of their own. */
static void
session_changed (const struct session *s, enum session_state from)
{
  const struct observer *next = wake (s->engine);

  if (next)
    next->session_changed (s, from);
}

static void
map_changed (const struct map *m, const char *what)
{
  const struct observer *next = wake (m->engine);

  if (next)
    next->map_changed (m, what);
}

static void
notify_stop (struct engine *e)
{
  struct notify *n = notify;
  const struct observer *next;

  if (n == NULL)
    return;
  next = n->next;
  notify_send (n, "STOPPING=1\nSTATUS=logging out");
  engine_enter (e);
  notify = NULL;
  ev_async_stop (e->loop, &n->wake);
  ev_timer_stop (e->loop, &n->again);
  engine_leave (e);
  close (n->fd);
  free (n);
  if (next)
    next->stop (e);
}

static const struct observer notify_observer = {
  .path_changed = path_changed,
  .session_changed = session_changed,
  .map_changed = map_changed,
  .stop = notify_stop,
};

void
notify_start (struct engine *e)
{
  const char *name = getenv ("NOTIFY_SOCKET");
  struct notify *n;

  if (name == NULL || name[0] == '\0' || notify != NULL)
    return;
  n = calloc (1, sizeof *n);
  if (n == NULL) {
    log_warning ("NOTIFY_SOCKET: %m");
    return;
  }
  if (!parse_address (n, name)) {
    log_warning ("NOTIFY_SOCKET: '%s' is not the address of a Unix socket: "
                 "nobody is told that we are ready", name);
    free (n);
    return;
  }
  n->fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (n->fd == -1) {
    log_warning ("NOTIFY_SOCKET: %m: nobody is told that we are ready");
    free (n);
    return;
  }
  ev_async_init (&n->wake, wake_cb);
  n->wake.data = e;
  ev_timer_init (&n->again, again_cb, AGAIN, 0.);
  n->again.data = e;
  ev_async_start (e->loop, &n->wake);
  n->next = e->observer;
  notify = n;
  e->observer = &notify_observer;
  ev_async_send (e->loop, &n->wake);    /* "no path yet" */
}
