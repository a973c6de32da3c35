/* SPDX-License-Identifier: BSD-3-Clause */
/* The HTTP listener of metrics-http.h. */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/metrics.h"
#include "control/metrics-http.h"
#include "service/service.h"

struct scraper {
  struct metrics_http *http;
  struct list node;
  int fd;
  ev_io io;
  ev_timer timer;
  char in[METRICS_REQUEST];
  size_t in_len;
  char *out;                    /* NULL: the request is not whole */
  size_t out_at, out_len;
};

struct metrics_http {
  struct engine *engine;
  int fd;
  char *unix_path;              /* ours, to be removed; NULL: TCP */
  ev_io io;
  ev_timer pause;               /* no descriptors: not again at once */
  struct list scrapers;
  unsigned nr;
};

static void
scraper_free (struct scraper *s)
{
  struct metrics_http *h = s->http;

  ev_io_stop (h->engine->loop, &s->io);
  ev_timer_stop (h->engine->loop, &s->timer);
  list_del (&s->node);
  close (s->fd);
  free (s->out);
  free (s);
  /* There is room for one more. */
  if (h->nr-- == METRICS_CLIENTS)
    ev_io_start (h->engine->loop, &h->io);
}

/* ---- the answer ---------------------------------------------------------------- */

/* NULL: no memory. */
static char *
exposition (struct engine *e, size_t *len)
{
  struct snapshot *snapshot = snapshot_take (e, NULL);
  char *text = NULL;
  FILE *fp = snapshot ? open_memstream (&text, len) : NULL;
  bool good = false;

  if (fp != NULL) {
    /* Workers may send meanwhile; sessions and maps are only changed by this
     * thread. */
    if (e->threaded)
      engine_lend (e);
    good = metrics_print (fp, snapshot, false);
    if (e->threaded)
      engine_take_back (e);
    good = fclose (fp) == 0 && good;
  }
  snapshot_free (snapshot);
  if (!good) {
    free (text);
    return NULL;
  }
  return text;
}

static void
respond (struct scraper *s, const char *status, const char *type, char *body,
         size_t len, bool head)
{
  char header[300];
  const int n = snprintf (header, sizeof header,
                          "HTTP/1.1 %s\r\nContent-Type: %s\r\n"
                          "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                          status, type, len);

  s->out = malloc (n + len);
  if (s->out != NULL) {
    memcpy (s->out, header, n);
    if (!head)
      memcpy (s->out + n, body, len);
    s->out_len = head ? (size_t) n : n + len;
  }
}

static void
respond_text (struct scraper *s, const char *status, const char *text)
{
  respond (s, status, "text/plain; charset=utf-8", (char *) text,
           strlen (text), false);
}

/* The request line (RFC 9112 3); the rest of it does not matter. */
static void
answer (struct scraper *s)
{
  const bool head = strncmp (s->in, "HEAD ", 5) == 0;
  const char *target = s->in + (head ? 5 : 4);
  size_t len = strcspn (target, " ?\r\n");
  char *body;

  if (!head && strncmp (s->in, "GET ", 4) != 0)
    respond_text (s, "405 Method Not Allowed", "only GET\n");
  else if (len != strlen ("/metrics") || strncmp (target, "/metrics", len) != 0)
    respond_text (s, "404 Not Found", "only /metrics\n");
  else if ((body = exposition (s->http->engine, &len)) == NULL)
    respond_text (s, "503 Service Unavailable", "out of memory\n");
  else {
    respond (s, "200 OK", METRICS_TYPE, body, len, head);
    free (body);
  }
}

/* ---- one connection -------------------------------------------------------------- */

/* false: it is over. */
static bool
take_request (struct scraper *s)
{
  const ssize_t n = recv (s->fd, s->in + s->in_len,
                          sizeof s->in - 1 - s->in_len, MSG_DONTWAIT);

  if (n == -1)
    return errno == EAGAIN || errno == EINTR;
  if (n == 0)
    return false;
  s->in_len += n;
  s->in[s->in_len] = '\0';
  if (memchr (s->in, '\0', s->in_len) != NULL)
    respond_text (s, "400 Bad Request", "no HTTP\n");
  else if (strstr (s->in, "\r\n\r\n") != NULL || strstr (s->in, "\n\n") != NULL)
    answer (s);
  else if (s->in_len == sizeof s->in - 1)
    respond_text (s, "431 Request Header Fields Too Large", "too long\n");
  else
    return true;
  return s->out != NULL;
}

/* false: all is sent, or it is over. */
static bool
send_answer (struct scraper *s)
{
  const ssize_t n = send (s->fd, s->out + s->out_at, s->out_len - s->out_at,
                          MSG_NOSIGNAL | MSG_DONTWAIT);

  if (n == -1)
    return errno == EAGAIN || errno == EINTR;
  s->out_at += n;
  return s->out_at < s->out_len;
}

static void
scraper_cb (EV_P_ ev_io *w, int revents)
{
  struct scraper *s = w->data;

  (void) revents;
  if ((s->out == NULL && !take_request (s)) ||
      (s->out != NULL && !send_answer (s))) {
    scraper_free (s);
    return;
  }
  if (s->out != NULL && !(s->io.events & EV_WRITE)) {
    ev_io_stop (EV_A_ &s->io);
    ev_io_set (&s->io, s->fd, EV_WRITE);
    ev_io_start (EV_A_ &s->io);
  }
}

static void
late_cb (EV_P_ ev_timer *w, int revents)
{
  (void) loop;
  (void) revents;
  scraper_free (w->data);
}

static void
again_cb (EV_P_ ev_timer *w, int revents)
{
  struct metrics_http *h = w->data;

  (void) revents;
  ev_io_start (EV_A_ &h->io);
}

static void
accept_cb (EV_P_ ev_io *w, int revents)
{
  struct metrics_http *h = w->data;
  const int fd = accept4 (h->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  struct scraper *s;

  (void) revents;
  if (fd == -1) {
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      ev_io_stop (EV_A_ &h->io);
      ev_timer_set (&h->pause, 1., 0.);
      ev_timer_start (EV_A_ &h->pause);
    }
    return;
  }
  s = calloc (1, sizeof *s);
  if (s == NULL) {
    close (fd);
    return;
  }
  s->http = h;
  s->fd = fd;
  list_add_tail (&h->scrapers, &s->node);
  ev_io_init (&s->io, scraper_cb, fd, EV_READ);
  s->io.data = s;
  ev_timer_init (&s->timer, late_cb, METRICS_TIME, 0.);
  s->timer.data = s;
  ev_io_start (EV_A_ &s->io);
  ev_timer_start (EV_A_ &s->timer);
  if (++h->nr == METRICS_CLIENTS)
    ev_io_stop (EV_A_ &h->io);
}

/* ---- listening -------------------------------------------------------------------- */

/* A socket that nobody listens on is of a server that was killed. */
static int
listen_unix (struct metrics_http *h, const char *path)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  struct stat st;
  const int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd == -1)
    return -1;
  if (strlen (path) >= sizeof addr.sun_path) {
    close (fd);
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy (addr.sun_path, path);
  if (lstat (path, &st) == 0 && S_ISSOCK (st.st_mode) &&
      connect (fd, (const struct sockaddr *) &addr, sizeof addr) == -1 &&
      errno == ECONNREFUSED)
    unlink (path);
  if (bind (fd, (const struct sockaddr *) &addr, sizeof addr) == -1 ||
      (h->unix_path = strdup (path)) == NULL || listen (fd, 8) == -1) {
    const int err = errno;

    close (fd);
    errno = err;
    return -1;
  }
  return fd;
}

static int
listen_tcp (const char *where)
{
  const struct addrinfo hints = {
    .ai_socktype = SOCK_STREAM,
    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
  };
  const char *colon = strrchr (where, ':');
  struct addrinfo *ai = NULL;
  char host[64];
  const int one = 1;
  int fd = -1;

  errno = EINVAL;
  if (colon == NULL || colon[1] == '\0' || colon - where >= (int) sizeof host)
    return -1;
  snprintf (host, sizeof host, "%.*s", (int) (colon - where), where);
  if (host[0] == '[' && host[strlen (host) - 1] == ']') {
    host[strlen (host) - 1] = '\0';
    memmove (host, host + 1, strlen (host));
  }
  if (getaddrinfo (host[0] ? host : NULL, colon + 1, &hints, &ai) != 0) {
    errno = EINVAL;
    return -1;
  }
  fd = socket (ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd != -1) {
    setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind (fd, ai->ai_addr, ai->ai_addrlen) == -1 || listen (fd, 8) == -1) {
      const int err = errno;

      close (fd);
      fd = -1;
      errno = err;
    }
  }
  freeaddrinfo (ai);
  return fd;
}

struct metrics_http *
metrics_http_start (struct engine *e, const char *where, char *err, size_t size)
{
  struct metrics_http *h = calloc (1, sizeof *h);

  if (h == NULL) {
    snprintf (err, size, "metrics: out of memory");
    return NULL;
  }
  h->engine = e;
  list_init (&h->scrapers);
  h->fd = where[0] == '/' ? listen_unix (h, where) : listen_tcp (where);
  if (h->fd == -1) {
    if (errno == EINVAL)
      snprintf (err, size, "metrics-listen: '%s' is no ADDRESS:PORT (in numbers), "
                "nor the path of a socket", where);
    else
      snprintf (err, size, "metrics-listen: %s: %s", where, strerror (errno));
    free (h->unix_path);
    free (h);
    return NULL;
  }
  ev_io_init (&h->io, accept_cb, h->fd, EV_READ);
  h->io.data = h;
  ev_init (&h->pause, again_cb);
  h->pause.data = h;
  ev_io_start (e->loop, &h->io);
  log_debug ("metrics: %s", where);
  return h;
}

void
metrics_http_stop (struct metrics_http *h)
{
  if (h == NULL)
    return;
  while (!list_empty (&h->scrapers))
    scraper_free (list_entry (h->scrapers.next, struct scraper, node));
  ev_io_stop (h->engine->loop, &h->io);
  ev_timer_stop (h->engine->loop, &h->pause);
  close (h->fd);
  if (h->unix_path != NULL)
    unlink (h->unix_path);
  free (h->unix_path);
  free (h);
}
