/* SPDX-License-Identifier: BSD-3-Clause */
/* The state directory.  See state-dir.h. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

/* Of the folder that PATH is in. */
static bool
stat_folder (const char *path, struct stat *st)
{
  char dir[512];
  char *slash;

  snprintf (dir, sizeof dir, "%s", path);
  slash = strrchr (dir, '/');
  if (slash == NULL)
    strcpy (dir, ".");
  else
    slash[slash == dir] = '\0';
  return stat (dir, st) == 0;
}

void
state_give_to_owner (const char *path, int fd)
{
  struct stat st;

  if (fd != -1 && geteuid () == 0 && stat_folder (path, &st) &&
      st.st_uid != 0 && fchown (fd, st.st_uid, st.st_gid) == -1)
    return;                     /* as it was */
}

/* NULL: it is as we would have made it. */
static const char *
what_is_wrong (const char *path, int fd)
{
  struct stat st, folder;

  if (fstat (fd, &st) == -1)
    return strerrordesc_np (errno);
  errno = EPERM;
  if (!S_ISREG (st.st_mode))
    return "not a regular file";
  if (st.st_nlink > 1)
    return "has other names (hard links)";
  if (st.st_uid != geteuid () && st.st_uid != 0 &&
      (geteuid () != 0 || !stat_folder (path, &folder) ||
       st.st_uid != folder.st_uid))
    return "belongs to another user";
  if (st.st_mode & (S_IWGRP | S_IWOTH))
    return "others may write it (chmod 600)";
  return NULL;
}

int
state_open (const char *path, int access, const char **why)
{
  const int flags = access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  int fd = open (path, flags);

  if (fd == -1 && errno == ENOENT && access == O_RDWR) {
    state_make_folders (path);
    fd = open (path, flags | O_CREAT | O_EXCL, 0600);
    if (fd == -1 && errno == EEXIST)    /* just now, by another server */
      fd = open (path, flags);
    else
      state_give_to_owner (path, fd);
  }
  if (fd == -1) {
    *why = errno == ELOOP ? "is a symbolic link" : strerrordesc_np (errno);
    return -1;
  }
  *why = what_is_wrong (path, fd);
  if (*why == NULL)
    return fd;
  close (fd);
  return -1;
}

const char *
state_dir_problem (char *dir, size_t size)
{
  char at[512];
  struct statvfs fs;
  struct stat st;
  char *slash;

  state_file ("", dir, size);
  if ((slash = strrchr (dir, '/')) != NULL && slash != dir)
    *slash = '\0';
  /* The folders that are missing would be made. */
  snprintf (at, sizeof at, "%s", dir);
  while (access (at, F_OK) == -1 && errno == ENOENT &&
         (slash = strrchr (at, '/')) != NULL && slash != at)
    *slash = '\0';
  if (stat (at, &st) == 0 && !S_ISDIR (st.st_mode))
    return strerrordesc_np (ENOTDIR);
  if (access (at, W_OK | X_OK) == -1)
    return strerrordesc_np (errno);
  if (statvfs (at, &fs) == 0 && fs.f_blocks > 0 &&
      (geteuid () == 0 ? fs.f_bfree : fs.f_bavail) == 0)
    return strerrordesc_np (ENOSPC);
  return NULL;
}

bool
state_lock (int fd)
{
  for (int i = 0; i < 10; ++i) {
    if (flock (fd, LOCK_EX | LOCK_NB) == 0)
      return true;
    usleep (10000);
  }
  errno = EBUSY;
  return false;
}
