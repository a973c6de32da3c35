/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths that answer pings but not commands: rules/deaf.h, done. */
#include <config.h>

#include "multipath/multipath.h"
#include "rules/deaf.h"

/* What one command waits for may be in the medium, and then it will wait on the
 * other path as well: it is evidence once. */
static const struct command *
oldest_witness (const struct path *p)
{
  struct list *l, *next;

  list_for_each (l, next, &p->session->in_flight) {
    const struct command *cmd = list_entry (l, struct command, node);

    if (cmd->path == p && cmd->req != NULL && !cmd->was_deaf &&
        !cmd->optional && cmd->dir != SCSI_XFER_NONE)
      return cmd;
  }
  return NULL;
}

/* With all that a client wants on the path that is deaf, the others have nothing
 * to answer: they are asked, with a read.  (One that would not answer either
 * does not answer that.) */
static void
look_at_others (const struct path *p, struct deaf_input *in)
{
  struct list *l, *next;

  list_for_each (l, next, &p->map->paths) {
    struct path *q = list_entry (l, struct path, map_node);

    if (q == p || q->session == p->session || !path_is_usable (q->state) ||
        q->group != p->group || q->deaf)
      continue;
    path_ask (q, in->now);
    if (q->answered_submitted <= in->other_answered)
      continue;
    in->other_answered = q->answered_submitted;
    in->other_last_answer = q->last_answer;
    in->other_tail = latency_quantile (&q->latency, 0.999);
  }
}

static void
set_deaf (struct path *p, bool deaf, double late, double now)
{
  if (p->deaf == deaf)
    return;
  p->deaf = deaf;
  p->deaf_since = now;
  if (deaf) {
    log_warning ("%s: %s answers pings, but no commands for %.1f s, and another "
                 "path does: no new I/O that way", p->map->name,
                 p->session->name, late);
    p->sel.slow = true;
  }
  else {
    log_info ("%s: %s answers commands again", p->map->name,
              p->session->name);
    p->sel.slow = false;
    schedule_dispatch (p->map);
  }
}

void
path_check_deaf (struct path *p, double now)
{
  struct session *s = p->session;
  const struct command *oldest = NULL;
  struct deaf_input in = { .now = now, .last_answer = p->last_answer };
  struct list *l, *next;

  if (!path_is_usable (p->state) || s->dying || s->state != SESSION_UP) {
    p->deaf = false;
    return;
  }
  /* Usually that is all. */
  if (!list_empty (&s->in_flight) &&
      now - list_entry (s->in_flight.next, struct command, node)->submitted >=
      DEAF_AVOID_MIN)
    oldest = oldest_witness (p);
  if (oldest != NULL) {
    in.oldest = oldest->submitted;
    look_at_others (p, &in);
  }
  switch (deaf_check (&in)) {
  case DEAF_NO:
    if (oldest == NULL || p->last_answer > p->deaf_since)
      set_deaf (p, false, 0, now);
    break;
  case DEAF_AVOID:
    set_deaf (p, true, now - in.oldest, now);
    break;
  case DEAF_DEAD:
    list_for_each (l, next, &s->in_flight)
      list_entry (l, struct command, node)->was_deaf = true;
    session_kill (s, FAIL_LOST, "commands are not answered for %.1f s, while "
                  "pings are, and commands on another path", now - in.oldest);
    break;
  }
}
