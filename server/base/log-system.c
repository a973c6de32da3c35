/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the log of a server goes: to stderr if it stays in the foreground, else
 * to syslog.  Under systemd stderr is the journal, and takes the level as a
 * prefix (sd-daemon(3)). */
#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"

static const int priorities[] = {
  [LOG_LEVEL_ERROR] = LOG_ERR, [LOG_LEVEL_WARNING] = LOG_WARNING,
  [LOG_LEVEL_INFO] = LOG_INFO, [LOG_LEVEL_DEBUG] = LOG_DEBUG,
};

/* In one write where possible, and not through stdio: a reader that does not
 * read must not keep others from stderr's lock. */
static void
write_line (const char *prefix, const char *middle, const char *line)
{
  char text[1200];
  int n = snprintf (text, sizeof text, "%s%s%s\n", prefix, middle, line);
  const char *p = text;

  if (n < 0 || (size_t) n >= sizeof text)
    n = sizeof text - 1;
  while (n > 0) {
    const ssize_t r = write (STDERR_FILENO, p, (size_t) n);

    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1)
      return;
    p += r;
    n -= r;
  }
}

/* What the trial at the start has found, and was told there, the server finds
 * again.  Before and by the sink only. */
#define MAX_SAID 64
static char *said[MAX_SAID];
static size_t nr_said;

void
log_was_said (const char *line)
{
  if (nr_said < MAX_SAID && (said[nr_said] = strdup (line)) != NULL)
    nr_said++;
}

static bool
was_said (enum log_level level, const char *line)
{
  for (size_t i = 0; level <= LOG_LEVEL_WARNING && i < nr_said; ++i)
    if (strcmp (said[i], line) == 0) {
      free (said[i]);
      said[i] = said[--nr_said];
      return true;
    }
  return false;
}

static void
no_debug (const char *line)
{
  (void) line;
}

static void (*debug) (const char *line) = no_debug;

static void
sink_stderr (enum log_level level, const char *line)
{
  if (level == LOG_LEVEL_DEBUG || was_said (level, line))
    debug (line);
  else
    write_line ("mpiscsi: ", level == LOG_LEVEL_ERROR ? "error: " :
                level == LOG_LEVEL_WARNING ? "warning: " : "", line);
}

static void
sink_journal (enum log_level level, const char *line)
{
  char prefix[8];

  if (level == LOG_LEVEL_DEBUG || was_said (level, line)) {
    debug (line);
    return;
  }
  snprintf (prefix, sizeof prefix, "<%d>", priorities[level]);
  write_line (prefix, "mpiscsi: ", line);
}

static void
sink_syslog (enum log_level level, const char *line)
{
  if (level == LOG_LEVEL_DEBUG)
    debug (line);
  else
    syslog (priorities[level], "%s", line);
}

static bool
stderr_is_gone (void)
{
  struct stat err, null;

  return fstat (STDERR_FILENO, &err) == -1 ||
    (S_ISCHR (err.st_mode) && stat ("/dev/null", &null) == 0 &&
     err.st_rdev == null.st_rdev);
}

void
log_to_syslog (void)
{
  openlog ("mpiscsi", LOG_PID, LOG_DAEMON);
  log_set_sink (sink_syslog);
}

void
log_to_system (void (*d) (const char *line))
{
  if (d != NULL)
    debug = d;
  if (stderr_is_gone ())
    log_to_syslog ();
  else
    log_set_sink (getenv ("JOURNAL_STREAM") ? sink_journal : sink_stderr);
}
