/* SPDX-License-Identifier: BSD-3-Clause */
/* fake-iscsi-target: which hostile roles are played, and from when on. */
#include <stdlib.h>
#include <string.h>

#include "fake-iscsi-target.h"

static struct {
  const char *name, *help;
  long after, times;            /* occasions; times -1: no end */
  bool on;
} roles[] = {
#define X(id, name, after, help) { name, help, after, -1, false },
  EVILS (X)
#undef X
};

bool
evil_enable (const char *arg)
{
  size_t n = strcspn (arg, ":");
  char *end;

  for (int i = 0; i < N_EVILS; i++) {
    if (strlen (roles[i].name) != n || memcmp (roles[i].name, arg, n) != 0)
      continue;
    roles[i].on = true;
    if (arg[n] == ':') {
      roles[i].after = strtol (arg + n + 1, &end, 10);
      if (*end == ':')
        roles[i].times = strtol (end + 1, &end, 10);
      return *end == '\0' && end[-1] != ':' && roles[i].after >= 0;
    }
    return true;
  }
  return false;
}

bool
evil (enum evil e)
{
  if (!roles[e].on)
    return false;
  if (roles[e].after > 0) {
    roles[e].after--;
    return false;
  }
  if (roles[e].times == 0)
    return false;
  if (roles[e].times > 0)
    roles[e].times--;
  return true;
}

const char *
evil_name (int i, const char **help)
{
  if (i >= N_EVILS)
    return NULL;
  *help = roles[i].help;
  return roles[i].name;
}
