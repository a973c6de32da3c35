/* SPDX-License-Identifier: BSD-3-Clause */
/* Log lines go to one sink; who runs us (plugin, command, test) sets it. */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>

#include "base/log-internal.h"
#include "base/text.h"

static void
sink_stderr (enum log_level level, const char *line)
{
  if (level != LOG_LEVEL_DEBUG)
    fprintf (stderr, "mpiscsi: %s%s\n",
             level == LOG_LEVEL_ERROR ? "error: " :
             level == LOG_LEVEL_WARNING ? "warning: " : "", line);
}

static void (*sink) (enum log_level level, const char *line) = sink_stderr;

void
log_set_sink (void (*s) (enum log_level level, const char *line))
{
  sink = s ? s : sink_stderr;
}

/* NULL: there is no thread. */
static bool (*_Atomic put) (enum log_level level, const char *line);

void
log_set_thread (bool (*p) (enum log_level level, const char *line))
{
  put = p;
}

void
log_write (enum log_level level, const char *line)
{
  sink (level, line);
}

void
log_line (enum log_level level, const char *fs, ...)
{
  char text[LOG_LINE], line[LOG_LINE];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  /* Names come from the network. */
  text_safe (text, line, sizeof line);
  if (put == NULL || !put (level, line))
    log_write (level, line);
}
