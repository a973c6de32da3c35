/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket's clients: reading, writing, and the limits of
 * control.h.  Service thread, lock held, except where it says otherwise. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "control/control.h"
#include "control/control-internal.h"
#include "control/control-request.h"
#include "control/metrics-http.h"
#include "multipath/persist.h"
#include "service/service.h"

/* Of one step's write. */
#define WRITE_STEP (64 * 1024)
/* A step may take this part of the time. */
#define REST 9

/* ---- turns -------------------------------------------------------------------------- */

static void
schedule (struct control *c)
{
  const double rest = c->rest_until - engine_now ();

  if (c->in_turn || list_empty (&c->ready) || ev_is_active (&c->turn))
    return;
  ev_timer_set (&c->turn, rest > 0 ? rest : 0., 0.);
  ev_timer_start (c->engine->loop, &c->turn);
}

static void
want_turn (struct source *source)
{
  struct control *c = source->control;

  ev_io_stop (c->engine->loop, &source->io);
  if (list_empty (&source->node))
    list_add_tail (&c->ready, &source->node);
  schedule (c);
}

static void
io_cb (EV_P_ ev_io *w, int revents)
{
  (void) loop;
  (void) revents;
  want_turn (w->data);
}

static void
turn_cb (EV_P_ ev_timer *w, int revents)
{
  struct control *c = w->data;
  const double start = engine_now ();
  struct source *source;

  (void) loop;
  (void) revents;
  if (list_empty (&c->ready))
    return;
  source = list_entry (c->ready.next, struct source, node);
  list_del (&source->node);
  c->in_turn = true;
  source->turn (source);        /* it may be gone afterwards */
  c->in_turn = false;
  c->rest_until = engine_now () + REST * (engine_now () - start);
  schedule (c);
}

static void
source_init (struct source *source, struct control *c, int fd,
             void (*turn) (struct source *source))
{
  source->control = c;
  source->turn = turn;
  list_init (&source->node);
  ev_io_init (&source->io, io_cb, fd, EV_READ);
  source->io.data = source;
}

/* ---- clients ------------------------------------------------------------------------- */

void
control_client_free (struct client *cl)
{
  struct control *c = cl->source.control;

  if (cl->reading != NULL)
    control_reread_cancel (cl->reading);
  ev_io_stop (c->engine->loop, &cl->source.io);
  list_del (&cl->source.node);
  list_del (&cl->node);
  c->nr_clients--;
  if (cl->watching)
    c->nr_watching--;
  if (cl->persist != NULL)
    persist_abandon (cl->persist);
  close (cl->fd);
  free (cl->out);
  free (cl);
}

/* What it waits for now. */
void
control_client_wait (struct client *cl)
{
  struct source *source = &cl->source;
  struct ev_loop *loop = source->control->engine->loop;
  int events = EV_READ;

  if (cl->reading != NULL)
    return;
  if (cl->out_at < cl->out_len)
    events = EV_WRITE;
  else if (memchr (cl->in, '\n', cl->in_len) != NULL) {
    want_turn (source);         /* the next request is here already */
    return;
  }
  ev_io_stop (loop, &source->io);
  ev_io_set (&source->io, cl->fd, events);
  ev_io_start (loop, &source->io);
}

/* Any thread, lock held.  false: more than LIMIT, or no memory. */
bool
control_put (struct client *cl, const char *text, size_t len, size_t limit)
{
  const size_t pending = cl->out_len - cl->out_at;

  if (pending + len + 1 > limit)
    return false;
  if (cl->out_at > 0) {
    memmove (cl->out, cl->out + cl->out_at, pending);
    cl->out_at = 0;
    cl->out_len = pending;
  }
  if (pending + len + 1 > cl->out_size) {
    const size_t size = (pending + len + 1) * 3 / 2;
    char *out = realloc (cl->out, size);

    if (out == NULL)
      return false;
    cl->out = out;
    cl->out_size = size;
  }
  if (pending == 0)
    cl->last_progress = engine_now ();
  memcpy (cl->out + cl->out_len, text, len);
  cl->out_len += len;
  cl->out[cl->out_len++] = '\n';
  return true;
}

/* false: the client is no more of use. */
static bool
client_write (struct client *cl)
{
  const size_t pending = cl->out_len - cl->out_at;
  ssize_t n;

  if (pending == 0)
    return !cl->closing;
  n = send (cl->fd, cl->out + cl->out_at,
            pending < WRITE_STEP ? pending : WRITE_STEP,
            MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n == -1)
    return errno == EAGAIN || errno == EINTR;
  cl->last_progress = engine_now ();
  cl->out_at += n;
  if (cl->out_at == cl->out_len) {
    cl->out_at = cl->out_len = 0;
    /* An answer may have been large. */
    if (cl->out_size > WRITE_STEP) {
      free (cl->out);
      cl->out = NULL;
      cl->out_size = 0;
    }
    return !cl->closing;
  }
  return true;
}

static bool
client_answer (struct client *cl, json_t *json)
{
  char *text = control_text (json);
  static const char no_memory[] =
    "{\"version\":1,\"ok\":false,\"error\":\"out of memory\"}";
  bool good;

  json_decref (json);
  if (text == NULL)
    return control_put (cl, no_memory, sizeof no_memory - 1, CONTROL_BACKLOG);
  good = control_put (cl, text, strlen (text), CONTROL_BACKLOG);
  free (text);
  return good;
}

static void
persist_done (struct persist *p)
{
  struct client *cl = p->opaque;

  cl->persist = NULL;
  cl->last_request = engine_now ();
  if (!client_answer (cl, control_persist_answer (p)))
    cl->dead = true;            /* its turn ends it */
  want_turn (&cl->source);
}

static bool
client_persist (struct client *cl, const struct control_request *req)
{
  json_t *error = NULL;

  cl->persist = control_persist (cl->source.control->engine, req, persist_done,
                                 cl, &error);
  return cl->persist != NULL || client_answer (cl, error);
}

static void
reread_done (void *opaque, json_t *json)
{
  struct client *cl = opaque;

  cl->reading = NULL;
  if (client_answer (cl, json))
    control_client_wait (cl);
  else
    control_client_free (cl);
}

/* LEN bytes of IN are one line. */
static bool
client_request (struct client *cl, size_t len)
{
  struct engine *e = cl->source.control->engine;
  struct control_request req;
  char err[512];
  bool good;

  cl->last_request = engine_now ();
  if (control_parse (cl->in, len, &req, err, sizeof err) == -1)
    good = client_answer (cl, control_error ("%s", err));
  else if (req.command == CONTROL_PERSIST)
    good = client_persist (cl, &req);
  else if (req.command == CONTROL_RECONFIGURE) {
    json_t *error = NULL;

    cl->reading = control_reread (e, reread_done, cl, &error);
    good = cl->reading != NULL || client_answer (cl, error);
  }
  else {
    good = client_answer (cl, control_do (e, &req));
    if (req.command == CONTROL_WATCH && good && !cl->watching) {
      cl->watching = true;
      cl->source.control->nr_watching++;
    }
  }
  cl->in_len -= len + 1;
  memmove (cl->in, cl->in + len + 1, cl->in_len);
  return good;
}

static bool
client_read (struct client *cl)
{
  const char *end = memchr (cl->in, '\n', cl->in_len);

  if (end == NULL) {
    const ssize_t n = recv (cl->fd, cl->in + cl->in_len,
                            sizeof cl->in - cl->in_len, MSG_DONTWAIT);

    if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
      return false;
    /* A client that watches has nothing more to say. */
    if (cl->watching && n > 0)
      return false;
    if (n > 0)
      cl->in_len += n;
    end = memchr (cl->in, '\n', cl->in_len);
  }
  if (end != NULL)
    return client_request (cl, end - cl->in);
  if (cl->in_len == sizeof cl->in) {
    cl->closing = true;
    return client_answer (cl, control_error ("a request may have %d bytes",
                                             CONTROL_REQUEST));
  }
  return true;
}

static void
client_turn (struct source *source)
{
  struct client *cl = container_of (source, struct client, source);
  bool good = !cl->dead;

  if (good && cl->out_at == cl->out_len)
    good = client_read (cl);
  if (good)
    good = client_write (cl);
  if (!good)
    control_client_free (cl);
  else if (cl->persist == NULL) /* else persist_done has it go on */
    control_client_wait (cl);
}

static void
turn_away (int fd, const char *why)
{
  char text[80];
  const int len = snprintf (text, sizeof text, "{\"version\":1,\"ok\":false,"
                            "\"error\":\"%s\"}\n", why);

  (void) !send (fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
  close (fd);
}

static void
listener_turn (struct source *source)
{
  struct control *c = source->control;
  struct client *cl;
  int fd;

  fd = accept4 (c->socket.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd == -1 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
    /* No file descriptors: tick_cb tries again. */
    log_debug ("control socket: accept: %m");
    return;
  }
  ev_io_start (c->engine->loop, &source->io);
  if (fd == -1)
    return;
  if (!control_peer_allowed (&c->socket, fd)) {
    close (fd);
    return;
  }
  if (c->nr_clients >= CONTROL_CLIENTS) {
    turn_away (fd, "too many clients");
    return;
  }
  cl = calloc (1, sizeof *cl);
  if (cl == NULL) {
    turn_away (fd, "out of memory");
    return;
  }
  cl->fd = fd;
  cl->last_request = engine_now ();
  source_init (&cl->source, c, fd, client_turn);
  list_add_tail (&c->clients, &cl->node);
  c->nr_clients++;
  control_client_wait (cl);
}

/* Once a second. */
static void
tick_cb (EV_P_ ev_timer *w, int revents)
{
  struct control *c = w->data;
  const double now = engine_now ();
  struct list *l, *next;

  (void) revents;
  if (!ev_is_active (&c->listener.io) && list_empty (&c->listener.node))
    ev_io_start (EV_A_ &c->listener.io);
  list_for_each (l, next, &c->clients) {
    struct client *cl = list_entry (l, struct client, node);
    const bool pending = cl->out_at < cl->out_len;

    /* One that waits for its turn is not idle. */
    if (!list_empty (&cl->source.node))
      continue;
    if (cl->persist != NULL)
      continue;
    if (cl->dead || (pending && now - cl->last_progress > CONTROL_STUCK) ||
        (!pending && !cl->watching && cl->reading == NULL &&
         now - cl->last_request > CONTROL_IDLE))
      control_client_free (cl);
  }
}

/* ---- start and end --------------------------------------------------------------------- */

static int
socket_start (struct engine *e, const struct control_place *place,
              char *err, size_t size)
{
  struct control *c = calloc (1, sizeof *c);

  if (c == NULL) {
    snprintf (err, size, "control socket: out of memory");
    return -1;
  }
  if (control_socket_open (&c->socket, place, err, size) == -1) {
    free (c);
    return -1;
  }
  c->engine = e;
  list_init (&c->clients);
  list_init (&c->ready);
  source_init (&c->listener, c, c->socket.fd, listener_turn);
  ev_init (&c->turn, turn_cb);
  c->turn.data = c;
  ev_timer_init (&c->tick, tick_cb, 1., 1.);
  c->tick.data = c;
  ev_async_init (&c->wake, control_wake_cb);
  c->wake.data = c;
  ev_io_start (e->loop, &c->listener.io);
  ev_timer_start (e->loop, &c->tick);
  ev_async_start (e->loop, &c->wake);
  e->control = c;
  e->observer = &control_observer;
  log_debug ("control socket: %s", c->socket.path);
  return 0;
}

int
control_start (struct engine *e, const struct control_place *place,
               char *err, size_t size)
{
  const char *listen = e->settings->metrics_listen;

  if ((place->path == NULL || place->path[0] != '\0') &&
      socket_start (e, place, err, size) == -1)
    return -1;
  if (listen != NULL &&
      (e->metrics = metrics_http_start (e, listen, err, size)) == NULL) {
    control_stop (e);
    return -1;
  }
  if (listen != NULL)
    e->observer = &control_observer;    /* for its end */
  return 0;
}

void
control_name (const struct engine *e, char *buf, size_t size)
{
  const char *path = e->control ? e->control->socket.path : "";
  const char *slash = strrchr (path, '/');
  size_t len;

  path = slash ? slash + 1 : path;
  len = strlen (path);
  if (len > 5 && strcmp (path + len - 5, ".sock") == 0)
    len -= 5;
  snprintf (buf, size, "%.*s", (int) len, path);
}

void
control_stop (struct engine *e)
{
  struct control *c = e->control;

  engine_enter (e);
  metrics_http_stop (e->metrics);
  e->metrics = NULL;
  e->observer = NULL;
  if (c == NULL) {
    engine_leave (e);
    return;
  }
  e->control = NULL;
  e->observer = NULL;
  while (!list_empty (&c->clients))
    control_client_free (list_entry (c->clients.next, struct client, node));
  ev_io_stop (e->loop, &c->listener.io);
  ev_timer_stop (e->loop, &c->turn);
  ev_timer_stop (e->loop, &c->tick);
  ev_async_stop (e->loop, &c->wake);
  engine_leave (e);
  control_socket_close (&c->socket);
  free (c);
}
