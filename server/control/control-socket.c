/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket as a file: where it is, and whose. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/control.h"
#include "control/control-internal.h"

#define QUEUED 32               /* connects that wait for accept */

/* Made, or there already, ours, and closed to others. */
static int
make_directory (const char *dir, char *err, size_t size)
{
  struct stat st;

  if (mkdir (dir, 0700) == -1 && errno != EEXIST) {
    snprintf (err, size, "control socket: cannot make the directory %s: %s; "
              "choose another place with control=PATH, or control=none", dir,
              strerror (errno));
    return -1;
  }
  if (lstat (dir, &st) == -1 || !S_ISDIR (st.st_mode) ||
      (st.st_uid != geteuid () && st.st_uid != 0) || (st.st_mode & 022)) {
    snprintf (err, size, "control socket: %s is not a directory of ours that "
              "nobody else can write to", dir);
    return -1;
  }
  return 0;
}

static int
default_path (struct control_socket *s, char *err, size_t size)
{
  const char *run = getenv ("XDG_RUNTIME_DIR");
  char dir[sizeof s->path];

  if (run == NULL || run[0] != '/')
    run = "/run";
  if (snprintf (dir, sizeof dir, "%s/mpiscsi", run) >= (int) sizeof dir ||
      snprintf (s->path, sizeof s->path, "%s/mpiscsi/%ld.sock", run,
                (long) getpid ()) >= (int) sizeof s->path) {
    snprintf (err, size, "control socket: XDG_RUNTIME_DIR is too long");
    return -1;
  }
  return make_directory (dir, err, size);
}

/* A socket that a server left behind is in the way; one that somebody
 * answers on is not ours to take. */
static int
clear_path (const struct sockaddr_un *addr, char *err, size_t size)
{
  struct stat st;
  int fd, r;

  if (lstat (addr->sun_path, &st) == -1)
    return 0;                   /* bind will tell, if it is not ENOENT */
  if (!S_ISSOCK (st.st_mode)) {
    snprintf (err, size, "control socket: %s exists and is not a socket",
              addr->sun_path);
    return -1;
  }
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd == -1)
    return 0;
  r = connect (fd, (const struct sockaddr *) addr, sizeof *addr);
  if (r == -1 && errno == ECONNREFUSED) {
    close (fd);
    unlink (addr->sun_path);
    return 0;
  }
  close (fd);
  snprintf (err, size, "control socket: %s is in use by another server",
            addr->sun_path);
  return -1;
}

int
control_socket_open (struct control_socket *s, const char *path,
                     char *err, size_t size)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  struct stat st;

  if (path == NULL) {
    if (default_path (s, err, size) == -1)
      return -1;
  }
  else if (snprintf (s->path, sizeof s->path, "%s", path) >=
           (int) sizeof s->path) {
    snprintf (err, size, "control socket: the name has more than %zu bytes: "
              "%.40s...", sizeof s->path - 1, path);
    return -1;
  }
  memcpy (addr.sun_path, s->path, sizeof s->path);
  if (clear_path (&addr, err, size) == -1)
    return -1;
  s->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  /* Linux: bind gives the file the mode of the unbound socket, so that there
   * is no moment at which others could connect. */
  if (s->fd == -1 || fchmod (s->fd, 0600) == -1 ||
      bind (s->fd, (const struct sockaddr *) &addr, sizeof addr) == -1 ||
      chmod (s->path, 0600) == -1 || lstat (s->path, &st) == -1 ||
      listen (s->fd, QUEUED) == -1) {
    snprintf (err, size, "control socket: %s: %s", s->path, strerror (errno));
    if (s->fd != -1)
      close (s->fd);
    return -1;
  }
  s->dev = st.st_dev;
  s->ino = st.st_ino;
  return 0;
}

void
control_socket_close (struct control_socket *s)
{
  struct stat st;

  if (lstat (s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
    unlink (s->path);
  close (s->fd);
}

bool
control_peer_allowed (int fd)
{
  struct ucred cred;
  socklen_t len = sizeof cred;

  return getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
    (cred.uid == geteuid () || cred.uid == 0);
}
