/* SPDX-License-Identifier: BSD-3-Clause */
/* Where log lines go: to the terminal while nbdkit starts; then wherever
 * log_to_system () says. */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"
#include "base/text.h"

/* Lines of the start, until it is known how it went. */
#define MAX_KEPT 64
static char *kept[MAX_KEPT];
static size_t nr_kept;

static void
sink_starting (enum log_level level, const char *line)
{
  /* What is found now will be found, and logged, again by the server. */
  if (level <= LOG_LEVEL_WARNING && nr_kept < MAX_KEPT &&
      (kept[nr_kept] = strdup (line)) != NULL)
    nr_kept++;
  else
    nbdkit_debug ("%s", line);
}

void
log_sink_started (bool good)
{
  size_t i;

  for (i = 0; i < nr_kept; ++i) {
    if (good) {
      fprintf (stderr, "mpiscsi: warning: %s\n", kept[i]);
      log_was_said (kept[i]);
    }
    else
      nbdkit_debug ("%s", kept[i]);
    free (kept[i]);
  }
  nr_kept = 0;
}

static void
debug (const char *line)
{
  nbdkit_debug ("%s", line);
}

void
plugin_error (const char *fs, ...)
{
  char text[1024], line[1024];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  nbdkit_error ("%s", text_safe (text, line, sizeof line));
}

void
log_sink_starting (void)
{
  log_set_sink (sink_starting);
}

void
log_sink_serving (void)
{
  log_to_system (debug);
}
