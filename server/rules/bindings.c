/* SPDX-License-Identifier: BSD-3-Clause */
/* The bindings file.  See bindings.h. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rules/bindings.h"
#include "base/state-dir.h"

/* More names than LUNs that one process could hold. */
#define MAX_NAMES 100000

const char *
bindings_suffix (unsigned n, char *buf, size_t size)
{
  char digits[16];
  size_t len = 0, i;

  n++;
  while (n > 0 && len < sizeof digits) {
    n--;
    digits[len++] = 'a' + n % 26;
    n /= 26;
  }
  if (len >= size)
    len = size - 1;
  for (i = 0; i < len; ++i)
    buf[i] = digits[len - 1 - i];
  buf[len] = '\0';
  return buf;
}

static char *
find_or_add (FILE *fp, const char *prefix, const char *wwid)
{
  char line[1024], alias[256], id[512], suffix[16];
  bool *taken = calloc (MAX_NAMES, sizeof *taken);
  char *found = NULL;
  unsigned n;

  if (taken == NULL)
    return NULL;
  while (fgets (line, sizeof line, fp)) {
    if (line[0] == '#' || sscanf (line, "%255s %511s", alias, id) != 2)
      continue;
    if (strcmp (id, wwid) == 0) {
      found = strdup (alias);
      free (taken);
      return found;             /* without memory no other name either */
    }
    for (n = 0; n < MAX_NAMES; ++n)
      if (!taken[n] &&
          strncmp (alias, prefix, strlen (prefix)) == 0 &&
          strcmp (alias + strlen (prefix),
                  bindings_suffix (n, suffix, sizeof suffix)) == 0)
        taken[n] = true;
  }
  for (n = 0; !found && n < MAX_NAMES; ++n)
    if (!taken[n]) {
      if (asprintf (&found, "%s%s", prefix,
                    bindings_suffix (n, suffix, sizeof suffix)) == -1) {
        found = NULL;
        break;
      }
      fseek (fp, 0, SEEK_END);
      if (fprintf (fp, "%s %s\n", found, wwid) < 0 || fflush (fp) != 0 ||
          fdatasync (fileno (fp)) == -1) {
        /* A name that would be another one next time is worse than none. */
        free (found);
        found = NULL;
      }
      break;
    }
  free (taken);
  return found;
}

/* Whoever calls may hold up I/O: others get a tenth of a second. */
static bool
lock (int fd)
{
  for (int i = 0; i < 10; ++i) {
    if (flock (fd, LOCK_EX | LOCK_NB) == 0)
      return true;
    usleep (10000);
  }
  errno = EBUSY;
  return false;
}

char *
bindings_alias (const char *file, const char *prefix, const char *wwid,
                char err[ERR_SIZE])
{
  char path[512];
  struct stat st;
  char *alias;
  FILE *fp;
  int fd;

  if (file)
    snprintf (path, sizeof path, "%s", file);
  else
    state_file ("bindings", path, sizeof path);
  state_make_folders (path);
  fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
  if (fd == -1) {
    snprintf (err, ERR_SIZE, "cannot open bindings file %s: %s", path,
              strerror (errno));
    return NULL;
  }
  /* A pipe or a device would keep us reading, with I/O waiting. */
  if (fstat (fd, &st) == -1 || !S_ISREG (st.st_mode)) {
    snprintf (err, ERR_SIZE, "bindings file %s: not a regular file", path);
    close (fd);
    return NULL;
  }
  fp = fdopen (fd, "r+");
  if (fp == NULL || !lock (fd)) {
    snprintf (err, ERR_SIZE, "bindings file %s: %s", path, strerror (errno));
    if (fp)
      fclose (fp);
    else
      close (fd);
    return NULL;
  }
  alias = find_or_add (fp, prefix, wwid);
  if (alias == NULL)
    snprintf (err, ERR_SIZE, "cannot write bindings file %s: %s", path,
              strerror (errno));
  fclose (fp);                  /* lets go of the lock */
  return alias;
}
