/* SPDX-License-Identifier: BSD-3-Clause */
/* The bindings file.  See bindings.h. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
find_or_add (FILE *fp, const char *prefix, const char *wwid, bool add)
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
  for (n = 0; add && !found && n < MAX_NAMES; ++n)
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

/* NULL: err. */
static FILE *
open_locked (const char *file, bool write, char path[512], char err[ERR_SIZE])
{
  const char *why;
  FILE *fp;
  int fd;

  err[0] = '\0';
  if (file)
    snprintf (path, 512, "%s", file);
  else
    state_file ("bindings", path, 512);
  fd = state_open (path, write ? O_RDWR : O_RDONLY, &why);
  if (fd == -1) {
    if (write || errno != ENOENT)
      snprintf (err, ERR_SIZE, "cannot open bindings file %s: %s", path, why);
    return NULL;
  }
  fp = fdopen (fd, write ? "r+" : "r");
  if (fp == NULL || !state_lock (fd)) {
    snprintf (err, ERR_SIZE, "bindings file %s: %s", path,
              strerrordesc_np (errno));
    if (fp)
      fclose (fp);
    else
      close (fd);
    return NULL;
  }
  return fp;
}

char *
bindings_alias (const char *file, const char *prefix, const char *wwid,
                bool add, char err[ERR_SIZE])
{
  char path[512];
  FILE *fp = open_locked (file, add, path, err);
  char *alias;

  if (fp == NULL)
    return NULL;
  errno = 0;
  alias = find_or_add (fp, prefix, wwid, add);
  if (alias == NULL && (add || errno == ENOMEM))
    snprintf (err, ERR_SIZE, "cannot write bindings file %s: %s", path,
              strerrordesc_np (errno));
  fclose (fp);                  /* lets go of the lock */
  return alias;
}

/* ---- all of it ------------------------------------------------------------- */

struct binding {
  struct binding *next;
  char *wwid, *alias;
};

struct bindings {
  struct binding *first;
};

void
bindings_free (struct bindings *b)
{
  while (b != NULL && b->first != NULL) {
    struct binding *next = b->first->next;

    free (b->first->wwid);
    free (b->first->alias);
    free (b->first);
    b->first = next;
  }
  free (b);
}

const char *
bindings_find (const struct bindings *b, const char *wwid)
{
  for (const struct binding *one = b->first; one != NULL; one = one->next)
    if (strcmp (one->wwid, wwid) == 0)
      return one->alias;
  return NULL;
}

int
bindings_note (struct bindings *b, const char *wwid, const char *alias)
{
  struct binding *one = calloc (1, sizeof *one);

  if (one == NULL || (one->wwid = strdup (wwid)) == NULL ||
      (one->alias = strdup (alias)) == NULL) {
    if (one != NULL)
      free (one->wwid);
    free (one);
    return -1;
  }
  one->next = b->first;
  b->first = one;
  return 0;
}

struct bindings *
bindings_load (const char *file, char err[ERR_SIZE])
{
  char path[512], line[1024], alias[256], id[512];
  FILE *fp = open_locked (file, false, path, err);
  struct bindings *b;

  if (fp == NULL)
    return NULL;
  b = calloc (1, sizeof *b);
  while (b != NULL && fgets (line, sizeof line, fp))
    /* The first line of a disk counts. */
    if (line[0] != '#' && sscanf (line, "%255s %511s", alias, id) == 2 &&
        bindings_find (b, id) == NULL && bindings_note (b, id, alias) == -1) {
      bindings_free (b);
      b = NULL;
    }
  if (b == NULL)
    snprintf (err, ERR_SIZE, "bindings file %s: out of memory", path);
  fclose (fp);
  return b;
}
