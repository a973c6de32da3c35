/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of the default exports.  See default-export.h. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/state-dir.h"
#include "rules/default-export.h"

/* Portals that a line names: more would make no difference. */
#define MOST_PORTALS 16

static bool
has_portal (const struct default_key *key, const char *text)
{
  char name[300];

  for (size_t i = 0; i < key->nr_portals; ++i)
    if (strcmp (portal_text (&key->portals[i], name, sizeof name), text) == 0)
      return true;
  return false;
}

/* One that ends without a newline was not written whole.  Returns the WWID if
 * the line is KEY's; cuts LINE up. */
static const char *
wwid_of (char *line, const struct default_key *key)
{
  const size_t n = strlen (line);
  const char *wwid, *initiator, *target, *portal;
  char *at = NULL;

  if (n == 0 || line[n - 1] != '\n' || line[0] == '#')
    return NULL;
  wwid = strtok_r (line, " \n", &at);
  initiator = wwid ? strtok_r (NULL, " \n", &at) : NULL;
  target = initiator ? strtok_r (NULL, " \n", &at) : NULL;
  if (target == NULL || strlen (wwid) >= WWID_SIZE ||
      strcmp (initiator, key->initiator) != 0 ||
      strcmp (target, key->target ? key->target : "-") != 0)
    return NULL;
  while ((portal = strtok_r (NULL, " \n", &at)) != NULL)
    if (has_portal (key, portal))
      return wwid;
  return NULL;
}

/* The newest; "": none.  Leaves FP at its end. */
static void
find (FILE *fp, const struct default_key *key, char wwid[WWID_SIZE])
{
  char *line = NULL;
  size_t size = 0;

  wwid[0] = '\0';
  while (getline (&line, &size, fp) > 0) {
    const char *found = wwid_of (line, key);

    if (found != NULL)
      strcpy (wwid, found);
  }
  free (line);
}

static FILE *
open_locked (const char *file, int access, char path[512], char err[ERR_SIZE])
{
  const char *why;
  FILE *fp;
  int fd;

  err[0] = '\0';
  if (file)
    snprintf (path, 512, "%s", file);
  else
    state_file ("default-export", path, 512);
  fd = state_open (path, access, &why);
  if (fd == -1) {
    if (access == O_RDWR || errno != ENOENT)
      snprintf (err, ERR_SIZE, "%s: %s", path, why);
    return NULL;
  }
  fp = fdopen (fd, access == O_RDWR ? "r+" : "r");
  if (fp != NULL && state_lock (fd))
    return fp;
  snprintf (err, ERR_SIZE, "%s: %s", path, strerrordesc_np (errno));
  if (fp)
    fclose (fp);
  else
    close (fd);
  return NULL;
}

bool
default_export_read (const char *file, const struct default_key *key,
                     char wwid[WWID_SIZE], char err[ERR_SIZE])
{
  char path[512];
  FILE *fp = open_locked (file, O_RDONLY, path, err);

  wwid[0] = '\0';
  if (fp == NULL)
    return false;
  find (fp, key, wwid);
  fclose (fp);
  return wwid[0] != '\0';
}

static void
put (FILE *fp, const struct default_key *key, const char *wwid)
{
  char name[300];

  fprintf (fp, "%s %s %s", wwid, key->initiator,
           key->target ? key->target : "-");
  for (size_t i = 0; i < key->nr_portals && i < MOST_PORTALS; ++i)
    fprintf (fp, " %s", portal_text (&key->portals[i], name, sizeof name));
  fputc ('\n', fp);
}

int
default_export_write (const char *file, const struct default_key *key,
                      const char *wwid, char err[ERR_SIZE])
{
  char path[512], known[WWID_SIZE];
  int r = 0;
  FILE *fp;

  if (wwid[0] == '\0' || strpbrk (wwid, " \t\n") != NULL) {
    snprintf (err, ERR_SIZE, "the WWID '%s' is no word", wwid);
    return -1;
  }
  fp = open_locked (file, O_RDWR, path, err);
  if (fp == NULL)
    return -1;
  find (fp, key, known);
  if (strcmp (known, wwid) != 0) {
    /* Of one who was killed half-way. */
    if (fseek (fp, -1, SEEK_END) == 0 && fgetc (fp) != '\n') {
      fseek (fp, 0, SEEK_END);
      fputc ('\n', fp);
    }
    fseek (fp, 0, SEEK_END);
    put (fp, key, wwid);
    if (fflush (fp) != 0 || ferror (fp) || fdatasync (fileno (fp)) == -1) {
      snprintf (err, ERR_SIZE, "cannot write %s: %s", path,
                strerrordesc_np (errno));
      r = -1;
    }
  }
  fclose (fp);
  return r;
}
