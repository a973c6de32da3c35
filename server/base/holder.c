/* SPDX-License-Identifier: BSD-3-Clause */
/* Who has a socket that is in the way.  See holder.h. */
#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/holder.h"

static long
unix_holder (const struct sockaddr *sa)
{
  const int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct ucred peer = { 0 };
  socklen_t len = sizeof peer;

  if (fd == -1)
    return 0;
  /* Of a listening socket: who called listen () (unix(7)). */
  if (connect (fd, sa, sizeof (struct sockaddr_un)) == -1 ||
      getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
    peer.pid = 0;
  close (fd);
  return peer.pid;
}

/* The inode of a socket that listens on the port (proc(5)); 0: none. */
static unsigned long
listener_inode (const char *table, unsigned port)
{
  FILE *fp = fopen (table, "re");
  char line[512];
  unsigned long inode = 0;

  while (fp && inode == 0 && fgets (line, sizeof line, fp)) {
    unsigned local, state;
    unsigned long n;

    if (sscanf (line, " %*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu",
                &local, &state, &n) == 3 && local == port && state == 0x0a)
      inode = n;
  }
  if (fp)
    fclose (fp);
  return inode;
}

static bool
has_socket (const char *pid, const char *link_text)
{
  char dir[64], path[384], text[64];
  struct dirent *entry;
  bool found = false;
  DIR *d;

  snprintf (dir, sizeof dir, "/proc/%.20s/fd", pid);
  d = opendir (dir);
  while (d && !found && (entry = readdir (d)) != NULL) {
    ssize_t n;

    snprintf (path, sizeof path, "%s/%s", dir, entry->d_name);
    n = readlink (path, text, sizeof text - 1);
    if (n > 0) {
      text[n] = '\0';
      found = strcmp (text, link_text) == 0;
    }
  }
  if (d)
    closedir (d);
  return found;
}

static long
tcp_holder (unsigned port)
{
  unsigned long inode = listener_inode ("/proc/net/tcp", port);
  struct dirent *entry;
  char text[64];
  long pid = 0;
  DIR *d;

  if (inode == 0)
    inode = listener_inode ("/proc/net/tcp6", port);
  d = inode ? opendir ("/proc") : NULL;
  snprintf (text, sizeof text, "socket:[%lu]", inode);
  while (d && pid == 0 && (entry = readdir (d)) != NULL)
    if (isdigit ((unsigned char) entry->d_name[0]) &&
        has_socket (entry->d_name, text))
      pid = atol (entry->d_name);
  if (d)
    closedir (d);
  return pid;
}

const char *
socket_holder (const struct sockaddr *sa, char *buf, size_t size)
{
  const int error = errno;
  char path[64], name[32] = "";
  long pid = 0;
  FILE *fp;

  if (sa->sa_family == AF_UNIX)
    pid = unix_holder (sa);
  else if (sa->sa_family == AF_INET)
    pid = tcp_holder (ntohs (((const struct sockaddr_in *) sa)->sin_port));
  else if (sa->sa_family == AF_INET6)
    pid = tcp_holder (ntohs (((const struct sockaddr_in6 *) sa)->sin6_port));
  snprintf (path, sizeof path, "/proc/%ld/comm", pid);
  fp = pid > 0 ? fopen (path, "re") : NULL;
  if (fp) {
    if (fgets (name, sizeof name, fp))
      name[strcspn (name, "\n")] = '\0';
    fclose (fp);
  }
  if (pid > 0)
    snprintf (buf, size, " (pid %ld%s%s)", pid, name[0] ? ", " : "", name);
  else
    buf[0] = '\0';
  errno = error;
  return buf;
}
