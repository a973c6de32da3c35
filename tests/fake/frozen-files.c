/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk that hangs, for some files: preloaded into a server by
 * test-frozen-files.sh.
 *
 * FROZEN_FILES names a folder.  While FOLDER/NAME exists, open () of a file with
 * that NAME hangs (for NAME "bindings" only to
 * write), and says so in FOLDER/NAME.hangs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_MS 60000

static int (*real_open) (const char *path, int flags, ...);

static void
maybe_freeze (const char *path, int flags)
{
  const char *folder = getenv ("FROZEN_FILES"), *name = strrchr (path, '/');
  char frozen[4096], hangs[4096];
  const int saved = errno;

  name = name ? name + 1 : path;
  if (folder == NULL || strncmp (path, folder, strlen (folder)) == 0)
    return;
  if (strcmp (name, "bindings") == 0 && (flags & O_ACCMODE) == O_RDONLY)
    return;
  snprintf (frozen, sizeof frozen, "%s/%s", folder, name);
  snprintf (hangs, sizeof hangs, "%s/%s.hangs", folder, name);
  if (access (frozen, F_OK) == 0)
    close (real_open (hangs, O_CREAT | O_WRONLY, 0600));
  for (int ms = 0; ms < LIMIT_MS && access (frozen, F_OK) == 0; ms += 10)
    usleep (10000);
  errno = saved;
}

int
open64 (const char *path, int flags, ...)
{
  mode_t mode = 0;
  va_list args;

  if (flags & O_CREAT) {
    va_start (args, flags);
    mode = va_arg (args, mode_t);
    va_end (args);
  }
  if (real_open == NULL)
    real_open = (int (*) (const char *, int, ...)) dlsym (RTLD_NEXT, "open64");
  maybe_freeze (path, flags);
  return real_open (path, flags, mode);
}

int
open (const char *path, int flags, ...)
{
  mode_t mode = 0;
  va_list args;

  if (flags & O_CREAT) {
    va_start (args, flags);
    mode = va_arg (args, mode_t);
    va_end (args);
  }
  return open64 (path, flags, mode);
}
