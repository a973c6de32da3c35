/* SPDX-License-Identifier: BSD-3-Clause */
/* The state directory.  See state-dir.h. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/state-dir.h"

void
state_file (const char *file, char *path, size_t size)
{
  const char *dir = getenv ("STATE_DIRECTORY");
  const char *home = getenv ("HOME");

  if (dir && dir[0])
    /* systemd: several, with colons in between. */
    snprintf (path, size, "%.*s/%s", (int) strcspn (dir, ":"), dir, file);
  else if (geteuid () == 0)
    snprintf (path, size, "/var/lib/mpiscsi/%s", file);
  else if ((dir = getenv ("XDG_STATE_HOME")) && dir[0])
    snprintf (path, size, "%s/mpiscsi/%s", dir, file);
  else
    snprintf (path, size, "%s/.local/state/mpiscsi/%s", home ? home : "",
              file);
}

void
state_make_folders (const char *path)
{
  char dir[512];
  char *p;

  snprintf (dir, sizeof dir, "%s", path);
  for (p = dir + 1; (p = strchr (p, '/')) != NULL; *p++ = '/') {
    *p = '\0';
    mkdir (dir, 0755);
  }
}
