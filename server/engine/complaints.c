/* SPDX-License-Identifier: BSD-3-Clause */
/* What went wrong while portals and LUNs were looked at: kept for the person at
 * the terminal, in case nothing is left to serve. */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

void
engine_complain (struct engine *e, bool fatal, const char *fs, ...)
{
  char line[1024];
  va_list args;

  va_start (args, fs);
  vsnprintf (line, sizeof line, fs, args);
  va_end (args);
  if (e->complaint == NULL || (fatal && !e->complaint_fatal)) {
    char *copy = strdup (line);

    if (copy != NULL) {
      free (e->complaint);
      e->complaint = copy;
      e->complaint_fatal = fatal;
    }
  }
  /* A fatal one is told by engine_verdict when nothing runs yet. */
  if (e->threaded || e->run_to_completion || !fatal)
    log_warning ("%s", line);
}

void
engine_note_wwid (struct engine *e, const char *wwid)
{
  const size_t n = strlen (e->other_wwids);

  if (strstr (e->other_wwids, wwid) == NULL &&
      n + strlen (wwid) + 2 < sizeof e->other_wwids)
    snprintf (e->other_wwids + n, sizeof e->other_wwids - n, " %s", wwid);
}

void
engine_note_blacklisted (struct engine *e, const char *portal, unsigned lun,
                         const char *why)
{
  if (e->blacklisted++ == 0)
    snprintf (e->blacklisted_first, sizeof e->blacklisted_first,
              "%.200s: LUN %u is %s", portal, lun, why);
}
