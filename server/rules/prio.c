/* SPDX-License-Identifier: BSD-3-Clause */
/* Priorities by name.  See prio.h. */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/prio.h"

static const char *
name_by (const char *by, const struct prio_names *names)
{
  if (strcmp (by, "hbtl") == 0)
    return names->hbtl;
  if (strcmp (by, "devname") == 0)
    return names->devname;
  if (strcmp (by, "serial") == 0)
    return names->serial;
  if (strcmp (by, "wwn") == 0)
    return names->wwn;
  return NULL;
}

int
prio_weightedpath (const char *args, const struct prio_names *names,
                   char *err, size_t size)
{
  char *copy = strdup (args ? args : ""), *save = NULL;
  const char *by, *pattern, *number, *name;
  int prio = 0;
  bool found = false, good = false;

  if (copy == NULL) {
    snprintf (err, size, "out of memory");
    return -1;
  }
  by = strtok_r (copy, " \t", &save);
  name = by ? name_by (by, names) : NULL;
  if (name == NULL) {
    snprintf (err, size, "prio_args '%s': must begin with hbtl, devname, "
              "serial or wwn", args ? args : "");
    goto out;
  }
  while ((pattern = strtok_r (NULL, " \t", &save)) != NULL) {
    regex_t re;
    char *end;
    long n;

    number = strtok_r (NULL, " \t", &save);
    errno = 0;
    n = number ? strtol (number, &end, 10) : 0;
    if (number == NULL || *end != '\0' || errno != 0 || n < 0 || n > INT_MAX) {
      snprintf (err, size, "prio_args: '%s' is not followed by a priority",
                pattern);
      goto out;
    }
    if (regcomp (&re, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
      snprintf (err, size, "prio_args: '%s' is not a regular expression",
                pattern);
      goto out;
    }
    if (!found && regexec (&re, name, 0, NULL, 0) == 0) {
      prio = n;
      found = true;
    }
    regfree (&re);
  }
  good = true;
 out:
  free (copy);
  return good ? prio : -1;
}
