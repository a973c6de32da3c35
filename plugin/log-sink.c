/* SPDX-License-Identifier: BSD-3-Clause */
/* Where log lines go: to the terminal while nbdkit starts; then to stderr if
 * nbdkit stays in the foreground, else to syslog.  Under systemd stderr is
 * the journal, and takes the level as a prefix (sd-daemon(3)). */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "plugin.h"
#include "base/text.h"

static const int priorities[] = {
  [LOG_LEVEL_ERROR] = LOG_ERR, [LOG_LEVEL_WARNING] = LOG_WARNING,
  [LOG_LEVEL_INFO] = LOG_INFO, [LOG_LEVEL_DEBUG] = LOG_DEBUG,
};

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
    if (good)
      fprintf (stderr, "mpiscsi: warning: %s\n", kept[i]);
    else
      nbdkit_debug ("%s", kept[i]);
    free (kept[i]);
  }
  nr_kept = 0;
}

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

static void
sink_stderr (enum log_level level, const char *line)
{
  if (level == LOG_LEVEL_DEBUG)
    nbdkit_debug ("%s", line);
  else
    write_line ("mpiscsi: ", level == LOG_LEVEL_ERROR ? "error: " :
                level == LOG_LEVEL_WARNING ? "warning: " : "", line);
}

static void
sink_journal (enum log_level level, const char *line)
{
  char prefix[8];

  snprintf (prefix, sizeof prefix, "<%d>", priorities[level]);
  write_line (prefix, "mpiscsi: ", line);
}

static void
sink_syslog (enum log_level level, const char *line)
{
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
  if (stderr_is_gone ()) {
    openlog ("mpiscsi", LOG_PID, LOG_DAEMON);
    log_set_sink (sink_syslog);
  }
  else
    log_set_sink (getenv ("JOURNAL_STREAM") ? sink_journal : sink_stderr);
}
