/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening the sockets that clients connect to: Unix, TCP, AF_VSOCK, and those
 * that systemd hands over (sd_listen_fds(3)). */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/holder.h"
#include "nbd/nbd-internal.h"

#define FIRST_FD 3              /* SD_LISTEN_FDS_START */

static struct nbd_listener *
add (struct nbd_server *srv, int fd, int family, const char *name)
{
  struct nbd_listener *ln = calloc (1, sizeof *ln);

  if (ln == NULL)
    return NULL;
  ln->srv = srv;
  ln->fd = fd;
  ln->family = family;
  snprintf (ln->name, sizeof ln->name, "%s", name);
  list_add_tail (&srv->listeners, &ln->node);
  return ln;
}

/* A socket that a server left behind is in the way; one that somebody answers
 * on is not ours to take. */
static void
remove_left_behind (const struct sockaddr_un *addr)
{
  struct stat st;
  int fd;

  if (lstat (addr->sun_path, &st) == -1 || !S_ISSOCK (st.st_mode))
    return;                     /* bind says what is wrong, if anything is */
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd == -1)
    return;
  if (connect (fd, (const struct sockaddr *) addr, sizeof *addr) == -1 &&
      errno == ECONNREFUSED)
    unlink (addr->sun_path);
  close (fd);
}

/* Its mode and group are right before anybody can connect: that needs listen
 * (). */
static int
bind_unix (int fd, const struct sockaddr_un *addr,
           const struct conf_nbd *conf, gid_t gid)
{
  const mode_t mode = conf->unix_mode ? strtoul (conf->unix_mode, NULL, 8)
    : gid != (gid_t) -1 ? 0660 : 0;

  if (bind (fd, (const struct sockaddr *) addr, sizeof *addr) == -1)
    return -1;
  if ((gid != (gid_t) -1 && lchown (addr->sun_path, -1, gid) == -1) ||
      (mode != 0 && chmod (addr->sun_path, mode) == -1) ||
      listen (fd, SOMAXCONN) == -1) {
    const int e = errno;

    unlink (addr->sun_path);
    errno = e;
    return -1;
  }
  return 0;
}

static int
open_unix (struct nbd_server *srv, const struct conf_nbd *conf,
           const char *path, char *err, size_t size)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  gid_t gid = -1;
  char who[80];
  int fd;

  if (strlen (path) >= sizeof addr.sun_path) {
    snprintf (err, size, "%s: longer than %zu bytes", path,
              sizeof addr.sun_path - 1);
    return -1;
  }
  strcpy (addr.sun_path, path);
  if (conf->unix_group != NULL) {
    const struct group *gr = getgrnam (conf->unix_group);

    if (gr == NULL) {
      snprintf (err, size, "unix_group: there is no group '%s'",
                conf->unix_group);
      return -1;
    }
    gid = gr->gr_gid;
  }
  remove_left_behind (&addr);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd == -1 || bind_unix (fd, &addr, conf, gid) == -1) {
    snprintf (err, size, "%s: %s%s", path, strerror (errno), errno == EADDRINUSE
              ? socket_holder ((const struct sockaddr *) &addr, who, sizeof who)
              : "");
    if (fd != -1)
      close (fd);
    return -1;
  }
  if (add (srv, fd, AF_UNIX, path) != NULL)
    return 0;
  snprintf (err, size, "out of memory");
  return -1;
}

static int
open_address (struct nbd_server *srv, const struct addrinfo *ai, bool both,
              unsigned port, char *err, size_t size)
{
  const int one = 1, zero = 0;
  struct sockaddr_storage ss = { 0 };
  struct nbd_listener *ln;
  char name[140], who[80];
  int fd;

  memcpy (&ss, ai->ai_addr, ai->ai_addrlen);
  listen_address_name (&ss, ai->ai_addrlen, name, sizeof name);
  fd = socket (ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd != -1) {
    setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (ai->ai_family == AF_INET6)
      setsockopt (fd, IPPROTO_IPV6, IPV6_V6ONLY, both ? &zero : &one,
                  sizeof one);
  }
  if (fd == -1 || bind (fd, ai->ai_addr, ai->ai_addrlen) == -1 ||
      listen (fd, SOMAXCONN) == -1) {
    snprintf (err, size, "%s: %s%s", name, strerror (errno), errno == EADDRINUSE
              ? socket_holder (ai->ai_addr, who, sizeof who) : "");
    if (fd != -1)
      close (fd);
    return -1;
  }
  ln = add (srv, fd, ai->ai_family, name);
  if (ln == NULL) {
    snprintf (err, size, "out of memory");
    return -1;
  }
  ln->port = port;
  return 0;
}

/* All that one name stands for. */
static int
open_tcp (struct nbd_server *srv, const char *host, unsigned port, bool both,
          char *err, size_t size)
{
  const struct addrinfo hints = {
    .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM,
  };
  struct addrinfo *all = NULL;
  char text[8];
  int r;

  snprintf (text, sizeof text, "%u", port);
  r = getaddrinfo (host, text, &hints, &all);
  if (r != 0) {
    snprintf (err, size, "%s: %s", host, gai_strerror (r));
    return -1;
  }
  for (struct addrinfo *ai = all; ai != NULL && r == 0; ai = ai->ai_next)
    r = open_address (srv, ai, both, port, err, size);
  freeaddrinfo (all);
  return r;
}

/* Without an address: one IPv6 socket that takes IPv4 as well. */
static int
open_any (struct nbd_server *srv, unsigned port, char *err, size_t size)
{
  const int fd = socket (AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd == -1)
    return open_tcp (srv, "0.0.0.0", port, false, err, size);
  close (fd);
  return open_tcp (srv, "::", port, true, err, size);
}

static int
open_list (struct nbd_server *srv, const struct conf_nbd *conf, char *err,
           size_t size)
{
  char *list = strdup (conf->address), *save = NULL;
  int r = 0;

  if (list == NULL) {
    snprintf (err, size, "out of memory");
    return -1;
  }
  for (char *p = strtok_r (list, ", \t", &save); p != NULL && r == 0;
       p = strtok_r (NULL, ", \t", &save)) {
    const size_t n = strlen (p);

    if (p[0] == '[' && p[n - 1] == ']') {       /* as in a URI */
      p[n - 1] = '\0';
      p++;
    }
    r = open_tcp (srv, p, conf->port, false, err, size);
  }
  free (list);
  return r;
}

static int
open_vsock (struct nbd_server *srv, unsigned port, char *err, size_t size)
{
  const struct sockaddr_vm vm = {
    .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port,
  };
  const int fd = socket (AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                         0);
  struct nbd_listener *ln;
  char name[40];

  snprintf (name, sizeof name, "vsock port %u", port);
  if (fd == -1 ||
      bind (fd, (const struct sockaddr *) &vm, sizeof vm) == -1 ||
      listen (fd, SOMAXCONN) == -1) {
    snprintf (err, size, "%s: %s", name, strerror (errno));
    if (fd != -1)
      close (fd);
    return -1;
  }
  ln = add (srv, fd, AF_VSOCK, name);
  if (ln == NULL) {
    snprintf (err, size, "out of memory");
    return -1;
  }
  ln->port = port;
  return 0;
}

/* From systemd.  0: none; then the configuration says where. */
static int
take_inherited (struct nbd_server *srv, char *err, size_t size)
{
  const char *pid = getenv ("LISTEN_PID"), *fds = getenv ("LISTEN_FDS");
  int n;

  if (pid == NULL || fds == NULL || strtol (pid, NULL, 10) != (long) getpid ())
    return 0;
  n = strtol (fds, NULL, 10);
  unsetenv ("LISTEN_PID");
  unsetenv ("LISTEN_FDS");
  unsetenv ("LISTEN_FDNAMES");
  for (int fd = FIRST_FD; fd < FIRST_FD + n; ++fd) {
    struct sockaddr_storage ss = { 0 };
    const struct sockaddr_un *un = (const struct sockaddr_un *) &ss;
    socklen_t len = sizeof ss, one_len = sizeof (int);
    int listening = 0, one = 1;
    struct nbd_listener *ln;
    char name[140];

    if (getsockopt (fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &one_len) == -1 ||
        !listening || getsockname (fd, (struct sockaddr *) &ss, &len) == -1 ||
        ioctl (fd, FIONBIO, &one) == -1 || fcntl (fd, F_SETFD, FD_CLOEXEC) == -1) {
      snprintf (err, size, "socket activation: descriptor %d is not a "
                "listening socket: say Accept=no in its unit", fd);
      return -1;
    }
    if (ss.ss_family == AF_UNIX)
      snprintf (name, sizeof name, "%.*s", (int) sizeof un->sun_path,
                un->sun_path);
    else
      listen_address_name (&ss, len, name, sizeof name);
    ln = add (srv, fd, ss.ss_family, name);
    if (ln == NULL) {
      snprintf (err, size, "out of memory");
      return -1;
    }
    ln->inherited = true;
    ln->port = ss.ss_family == AF_INET
      ? ntohs (((struct sockaddr_in *) &ss)->sin_port)
      : ss.ss_family == AF_INET6
      ? ntohs (((struct sockaddr_in6 *) &ss)->sin6_port)
      : ss.ss_family == AF_VSOCK ? ((struct sockaddr_vm *) &ss)->svm_port : 0;
  }
  return n;
}

int
listen_open (struct nbd_server *srv, const struct conf_nbd *conf,
             const char *default_socket, char *err, size_t size)
{
  const char *path = conf->unix_socket;
  int r = take_inherited (srv, err, size);

  if (r != 0)
    return r > 0 ? 0 : -1;
  if (path == NULL && conf->port == 0)
    path = default_socket;      /* NULL: nowhere, clients come otherwise */
  if (path != NULL && open_unix (srv, conf, path, err, size) == -1)
    return -1;
  if (conf->port == 0)
    return 0;
  return conf->vsock ? open_vsock (srv, conf->port, err, size)
    : conf->address != NULL ? open_list (srv, conf, err, size)
    : open_any (srv, conf->port, err, size);
}

/* ---- for --run ------------------------------------------------------------------- */

const char *
nbd_server_unix_socket (const struct nbd_server *srv)
{
  for (const struct list *l = srv->listeners.next; l != &srv->listeners;
       l = l->next) {
    const struct nbd_listener *ln = list_entry (l, struct nbd_listener, node);

    if (ln->family == AF_UNIX)
      return ln->name;
  }
  return "";
}

unsigned
nbd_server_port (const struct nbd_server *srv)
{
  for (const struct list *l = srv->listeners.next; l != &srv->listeners;
       l = l->next) {
    const struct nbd_listener *ln = list_entry (l, struct nbd_listener, node);

    if (ln->port > 0)
      return ln->port;
  }
  return 0;
}

const char *
nbd_server_uri (const struct nbd_server *srv, char *buf, size_t size)
{
  const char *path = nbd_server_unix_socket (srv);
  const char *scheme = srv->tls == HANDSHAKE_TLS_OFF ? "nbd" : "nbds";

  if (path[0] != '\0')
    snprintf (buf, size, "%s+unix:///?socket=%s", scheme, path);
  else
    snprintf (buf, size, "%s://localhost:%u", scheme, nbd_server_port (srv));
  return buf;
}
