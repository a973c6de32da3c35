/* SPDX-License-Identifier: BSD-3-Clause */
/* What all the files of a session need: its end, its timer, its limits. */
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi/session-internal.h"

void
session_kill (struct session *s, enum session_failure failure,
              const char *fs, ...)
{
  va_list args;

  if (s->dying)
    return;
  s->dying = true;
  s->limit_now = 0;
  s->failure = failure;
  va_start (args, fs);
  vsnprintf (s->why, sizeof s->why, fs, args);
  va_end (args);
  engine_later (s->engine, &s->reap);
}

void
session_event_later (struct session *s, enum session_event ev)
{
  s->event = ev;
  engine_later (s->engine, &s->event_work);
}

void
session_set_timer (struct session *s, double after)
{
  ev_timer_stop (s->engine->loop, &s->timer);
  ev_timer_set (&s->timer, after, 0.);
  s->timer_at = engine_now () + after;
  /* The loop's idea of now may be old by the length of a callback. */
  ev_now_update (s->engine->loop);
  ev_timer_start (s->engine->loop, &s->timer);
}

/* As many more, or fewer, are in flight. */
void
session_count (struct session *s, int n)
{
  s->nr_in_flight += n;
  atomic_fetch_add_explicit (&s->engine->in_flight, n, memory_order_relaxed);
}

/* ---- how much may be in flight ---------------------------------------------- */

void
session_open (struct session *s)
{
  s->limit_now = s->depth;
}

void
session_shut (struct session *s)
{
  s->limit_now = 0;
}

void
session_set_depth (struct session *s, unsigned depth)
{
  s->depth = depth;
  if (s->limit_now > 0)
    s->limit_now = depth;
}

void
session_lower_depth (struct session *s)
{
  const unsigned depth = s->nr_in_flight * 3 / 4;

  session_set_depth (s, depth > 0 ? depth : 1);
}

void
session_lost (struct session *s, int error)
{
  if (error == 0)
    session_kill (s, FAIL_LOST, "connection closed by the target");
  else if (error == ECONNRESET)
    session_kill (s, FAIL_LOST, "connection reset by the target (TCP RST)");
  else
    session_kill (s, FAIL_LOST, "connection lost: %s", strerror (error));
}

bool
session_is_own (void)
{
  static int own = -1;

  if (own == -1) {
    const char *way = getenv ("MPISCSI_FULL_FEATURE");

    own = way == NULL || strcmp (way, "libiscsi") != 0;
  }
  return own;
}

void
session_was_reset (struct session *s, uint8_t response)
{
  void (*done) (struct session *s, uint8_t response) = s->reset_done;

  s->reset_done = NULL;
  if (done != NULL && !s->dying)
    done (s, response);
}
