/* SPDX-License-Identifier: BSD-3-Clause */
/* Accepting clients, and what is done when there are too many. */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "nbd/nbd-internal.h"

/* Descriptors that clients never get: each path needs some to come back, and so
 * do the control socket, files, and libraries. */
#define RESERVE 128
/* Seconds between two lines about clients that are not taken. */
#define SAY_AGAIN 60.0
/* Accepted in one turn of the loop. */
#define MAX_ACCEPT 16

unsigned
listen_limit (unsigned wanted)
{
  struct rlimit rl;

  if (getrlimit (RLIMIT_NOFILE, &rl) == -1)
    return wanted;
  if (rl.rlim_cur < rl.rlim_max) {
    rl.rlim_cur = rl.rlim_max;
    if (setrlimit (RLIMIT_NOFILE, &rl) == -1)
      getrlimit (RLIMIT_NOFILE, &rl);
  }
  if (rl.rlim_cur == RLIM_INFINITY || rl.rlim_cur > wanted + RESERVE)
    return wanted;
  return rl.rlim_cur > 2 * RESERVE ? rl.rlim_cur - RESERVE
    : rl.rlim_cur / 2;
}

/* ---- names ----------------------------------------------------------------------- */

void
listen_address_name (const struct sockaddr_storage *ss, unsigned len,
                     char *buf, size_t size)
{
  const struct sockaddr_vm *vm = (const struct sockaddr_vm *) ss;
  char host[100], port[16];

  if (ss->ss_family == AF_VSOCK)
    snprintf (buf, size, "vsock:%u:%u", vm->svm_cid, vm->svm_port);
  else if (getnameinfo ((const struct sockaddr *) ss, len, host, sizeof host,
                        port, sizeof port,
                        NI_NUMERICHOST | NI_NUMERICSERV) == 0)
    snprintf (buf, size, strchr (host, ':') ? "[%s]:%s" : "%s:%s", host, port);
  else
    snprintf (buf, size, "family %d", ss->ss_family);
}

void
listen_peer_name (int fd, char *buf, size_t size)
{
  struct sockaddr_storage ss;
  socklen_t len = sizeof ss;
  struct ucred cred;
  socklen_t cred_len = sizeof cred;

  if (getpeername (fd, (struct sockaddr *) &ss, &len) == -1)
    snprintf (buf, size, "unknown");
  else if (ss.ss_family != AF_UNIX)
    listen_address_name (&ss, len, buf, size);
  else if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0)
    snprintf (buf, size, "unix:pid=%ld,uid=%ld", (long) cred.pid,
              (long) cred.uid);
  else
    snprintf (buf, size, "unix");
}

/* ---- accepting ------------------------------------------------------------------- */

static void
watch_all (struct nbd_server *srv, bool on)
{
  struct list *l, *next;

  list_for_each (l, next, &srv->listeners) {
    struct nbd_listener *ln = list_entry (l, struct nbd_listener, node);

    if (on)
      ev_io_start (srv->loop, &ln->io);
    else
      ev_io_stop (srv->loop, &ln->io);
  }
}

/* Without this, accept would fail again and again, at 100 % CPU. */
static void
no_more (struct nbd_server *srv, const char *why)
{
  const double now = service_now ();

  srv->full = true;
  watch_all (srv, false);
  if (srv->said_full == 0 || now - srv->said_full > SAY_AGAIN) {
    srv->said_full = now;
    log_warning ("new clients have to wait: %s, with %u connected", why,
                 srv->nr_connections);
  }
}

void
listen_again (struct nbd_server *srv)
{
  if (!srv->full || srv->nr_connections >= srv->max_connections ||
      srv->stopping)
    return;
  srv->full = false;
  watch_all (srv, true);
}

static void
prepare_client (int fd, int family)
{
  const int one = 1;

  if (family != AF_INET && family != AF_INET6)
    return;
  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  /* A host that has vanished must not keep its connection for ever. */
  setsockopt (fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
}

static void
accept_cb (EV_P_ ev_io *w, int revents)
{
  struct nbd_listener *ln = w->data;
  struct nbd_server *srv = ln->srv;

  (void) loop;
  (void) revents;
  for (int i = 0; i < MAX_ACCEPT; ++i) {
    int fd;

    if (srv->nr_connections >= srv->max_connections) {
      no_more (srv, "as many as there may be");
      return;
    }
    fd = accept4 (ln->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd == -1) {
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR &&
          errno != ECONNABORTED)
        no_more (srv, strerror (errno));
      return;
    }
    prepare_client (fd, ln->family);
    if (connection_new (srv, fd) == NULL) {
      close (fd);
      no_more (srv, "out of memory");
      return;
    }
  }
}

void
listen_start (struct nbd_server *srv)
{
  struct list *l, *next;

  list_for_each (l, next, &srv->listeners) {
    struct nbd_listener *ln = list_entry (l, struct nbd_listener, node);

    ev_io_init (&ln->io, accept_cb, ln->fd, EV_READ);
    ln->io.data = ln;
    ev_io_start (srv->loop, &ln->io);
  }
}

void
listen_close (struct nbd_server *srv)
{
  while (!list_empty (&srv->listeners)) {
    struct nbd_listener *ln = list_entry (srv->listeners.next,
                                          struct nbd_listener, node);

    if (srv->loop != NULL)
      ev_io_stop (srv->loop, &ln->io);
    close (ln->fd);
    if (ln->family == AF_UNIX && !ln->inherited)
      unlink (ln->name);
    list_del (&ln->node);
    free (ln);
  }
}
