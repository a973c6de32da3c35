/* SPDX-License-Identifier: BSD-3-Clause */
/* From /dev/nbdN, or a link to it, to the export behind it.
 *
 * The kernel knows no export's name.  It keeps what its client calls the back
 * end (nbd-client -i, or --connections' own), in /sys/block/nbdN/backend, and
 * the process that has connected the device in /sys/block/nbdN/pid: while that
 * lives, its command line has the name. */
#include <config.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd-persist.h"

/* For tests: another root of /sys and /proc. */
static const char *
root (void)
{
  const char *r = getenv ("MPISCSI_SYSTEM_ROOT");

  return r ? r : "";
}

/* Bytes read, NUL behind them; 0: nothing. */
static size_t
read_file (const char *path, char *buf, size_t size)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC);
  ssize_t n;

  if (fd == -1)
    return 0;
  n = read (fd, buf, size - 1);
  close (fd);
  if (n < 0)
    n = 0;
  buf[n] = '\0';
  return n;
}

/* The name of an option, if WORD is it: "-N x", "-Nx", "-name x", "--name=x". */
static const char *
name_in (const char *word, const char *next)
{
  if (strcmp (word, "-N") == 0 || strcmp (word, "-name") == 0 ||
      strcmp (word, "--name") == 0)
    return next;
  if (strncmp (word, "--name=", 7) == 0)
    return word + 7;
  if (strncmp (word, "-name=", 6) == 0)
    return word + 6;
  return strncmp (word, "-N", 2) == 0 ? word + 2 : NULL;
}

/* WORDS end with NUL each. */
static bool
find_name (const char *words, size_t len, char *export, size_t size)
{
  const char *end = words + len;

  if (strstr (words, "nbd-client") == NULL)
    return false;
  export[0] = '\0';
  for (const char *w = words; w < end; w += strlen (w) + 1) {
    const char *next = w + strlen (w) + 1;
    const char *name = name_in (w, next < end ? next : "");

    if (name != NULL)
      snprintf (export, size, "%s", name);
  }
  return true;
}

enum nbd_device
nbd_device_export (const char *device, char *export, size_t size)
{
  char path[PATH_MAX + 40], buf[8192], *end;
  char *real = realpath (device, NULL);
  const char *base = strrchr (real ? real : device, '/');
  enum nbd_device r = NBD_NO_DEVICE;
  size_t n;
  long pid;

  base = base ? base + 1 : "";
  if (strncmp (base, "nbd", 3) != 0 || base[3] < '0' || base[3] > '9')
    goto out;
  r = NBD_NO_CLIENT;
  snprintf (path, sizeof path, "%s/sys/block/%s/backend", root (), base);
  n = read_file (path, export, size);
  if (n > 0 && export[n - 1] == '\n')
    export[n - 1] = '\0';
  if (n > 0 && export[0] != '\0') {
    r = NBD_EXPORT;
    goto out;
  }
  snprintf (path, sizeof path, "%s/sys/block/%s/pid", root (), base);
  if (read_file (path, buf, sizeof buf) == 0)
    goto out;
  pid = strtol (buf, &end, 10);
  snprintf (path, sizeof path, "%s/proc/%ld/cmdline", root (), pid);
  n = pid > 0 ? read_file (path, buf, sizeof buf) : 0;
  if (n > 0 && find_name (buf, n, export, size))
    r = NBD_EXPORT;

 out:
  free (real);
  return r;
}
