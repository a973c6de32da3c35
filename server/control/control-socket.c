/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket as a file: where it is, and whose. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/holder.h"
#include "control/control.h"
#include "control/control-internal.h"

#define QUEUED 32               /* connects that wait for accept */
#define MAX_NAMESAKES 1000      /* servers with one configuration */

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

/* The name of the configuration, not our PID: in a pod each server is PID 1,
 * and a name that stays the same can be written down. */
static const char *
base_name (const char *config, size_t *len)
{
  const char *slash = config ? strrchr (config, '/') : NULL;
  const char *base = slash ? slash + 1 : config ? config : "nbdkit";

  *len = strlen (base);
  if (*len > 5 && strcmp (base + *len - 5, ".conf") == 0)
    *len -= 5;
  return base;
}

/* 0 and the directory's descriptor, locked: who else looks for a free name there
 * waits. */
static int
default_directory (char *dir, size_t dir_size, int *lock, char *err, size_t size)
{
  const char *run = getenv ("XDG_RUNTIME_DIR");

  if (run == NULL || run[0] != '/')
    run = "/run";
  if (snprintf (dir, dir_size, "%s/mpiscsi", run) >= (int) dir_size) {
    snprintf (err, size, "control socket: XDG_RUNTIME_DIR is too long");
    return -1;
  }
  if (make_directory (dir, err, size) == -1)
    return -1;
  *lock = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (*lock == -1 || flock (*lock, LOCK_EX) == -1) {
    snprintf (err, size, "control socket: cannot lock %s: %s", dir, strerror (errno));
    if (*lock != -1)
      close (*lock);
    return -1;
  }
  return 0;
}

/* A socket that a server left behind is in the way; one that somebody
 * answers on is not ours to take.  0: free now; 1: in use; -1: err says why. */
static int
clear_path (const struct sockaddr_un *addr, char *err, size_t size)
{
  struct stat st;
  char who[80];
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
  snprintf (err, size, "control socket: %s is in use by another server%s",
            addr->sun_path, socket_holder ((const struct sockaddr *) addr, who,
                                           sizeof who));
  return 1;
}

static int
group_of (const char *name, gid_t *gid)
{
  const struct group *gr;
  char *end;
  const unsigned long number = strtoul (name, &end, 10);

  if (*end == '\0' && number < (gid_t) -1)
    *gid = number;
  else if ((gr = getgrnam (name)) != NULL)
    *gid = gr->gr_gid;
  else
    return -1;
  return 0;
}

static int
listen_on (struct control_socket *s, const struct control_place *place,
           char *err, size_t size)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  const mode_t mode = place->mode ? place->mode : 0600;
  gid_t gid = (gid_t) -1;
  struct stat st;
  int r;

  if (place->group != NULL && group_of (place->group, &gid) == -1) {
    snprintf (err, size, "control socket: there is no group '%.60s' (control-group)",
              place->group);
    return -1;
  }
  memcpy (addr.sun_path, s->path, sizeof s->path);
  r = clear_path (&addr, err, size);
  if (r != 0)
    return r;
  s->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  /* Linux: bind gives the file the mode of the unbound socket, so that there
   * is no moment at which others could connect. */
  if (s->fd == -1 || fchmod (s->fd, 0600) == -1 ||
      bind (s->fd, (const struct sockaddr *) &addr, sizeof addr) == -1 ||
      (gid != (gid_t) -1 && chown (s->path, -1, gid) == -1) ||
      chmod (s->path, mode) == -1 || lstat (s->path, &st) == -1 ||
      listen (s->fd, QUEUED) == -1) {
    snprintf (err, size, "control socket: %s: %s", s->path, strerror (errno));
    if (s->fd != -1)
      close (s->fd);
    return -1;
  }
  s->dev = st.st_dev;
  s->ino = st.st_ino;
  s->shared = (mode & 066) != 0;
  return 0;
}

/* A second server with the same configuration is NAME-2. */
static int
listen_by_name (struct control_socket *s, const struct control_place *place,
                char *err, size_t size)
{
  char dir[sizeof s->path];
  size_t len;
  const char *base = base_name (place->config, &len);
  int lock, r = 1;

  if (default_directory (dir, sizeof dir, &lock, err, size) == -1)
    return -1;
  for (unsigned n = 1; r == 1 && n <= MAX_NAMESAKES; n++) {
    char number[16] = "";

    if (n > 1)
      snprintf (number, sizeof number, "-%u", n);
    if (snprintf (s->path, sizeof s->path, "%s/%.*s%s.sock", dir, (int) len, base,
                  number) >= (int) sizeof s->path) {
      snprintf (err, size, "control socket: %s/%.*s%s.sock is too long a name; choose "
                "another with control=PATH", dir, (int) len, base, number);
      r = -1;
    }
    else
      r = listen_on (s, place, err, size);
  }
  close (lock);
  return r == 0 ? 0 : -1;
}

int
control_socket_open (struct control_socket *s, const struct control_place *place,
                     char *err, size_t size)
{
  if (place->path == NULL)
    return listen_by_name (s, place, err, size);
  if (snprintf (s->path, sizeof s->path, "%s", place->path) >= (int) sizeof s->path) {
    snprintf (err, size, "control socket: the name has more than %zu bytes: "
              "%.40s...", sizeof s->path - 1, place->path);
    return -1;
  }
  return listen_on (s, place, err, size) == 0 ? 0 : -1;
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
control_peer_allowed (const struct control_socket *s, int fd)
{
  struct ucred cred;
  socklen_t len = sizeof cred;

  /* The kernel asked the file's mode when it connected. */
  return s->shared ||
    (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
     (cred.uid == geteuid () || cred.uid == 0));
}
