/* SPDX-License-Identifier: BSD-3-Clause */
/* For unit tests of the running server: its log, kept to be looked at. */
#ifndef MPISCSI_LOG_CAPTURE_H
#define MPISCSI_LOG_CAPTURE_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

#define MAX_LINES 2000
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static char *lines[MAX_LINES];
static unsigned nr_lines;

/* For log_set_sink. */
static void
log_keep (enum log_level level, const char *line)
{
  (void) level;
  pthread_mutex_lock (&log_mutex);
  if (nr_lines < MAX_LINES)
    lines[nr_lines++] = strdup (line);
  pthread_mutex_unlock (&log_mutex);
}

static void
log_forget (void)
{
  pthread_mutex_lock (&log_mutex);
  while (nr_lines > 0)
    free (lines[--nr_lines]);
  pthread_mutex_unlock (&log_mutex);
}

static void
log_show (void)
{
  pthread_mutex_lock (&log_mutex);
  for (unsigned i = 0; i < nr_lines; ++i)
    fprintf (stderr, "log: %s\n", lines[i]);
  pthread_mutex_unlock (&log_mutex);
}

static unsigned
log_count (const char *part)
{
  unsigned n = 0;

  pthread_mutex_lock (&log_mutex);
  for (unsigned i = 0; i < nr_lines; ++i)
    n += strstr (lines[i], part) != NULL;
  pthread_mutex_unlock (&log_mutex);
  return n;
}

static void
pause_ms (unsigned ms)
{
  const struct timespec ts = { ms / 1000, ms % 1000 * 1000000l };

  nanosleep (&ts, NULL);
}

#endif /* MPISCSI_LOG_CAPTURE_H */
