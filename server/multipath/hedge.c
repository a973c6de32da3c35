/* SPDX-License-Identifier: BSD-3-Clause */
/* Hedged reads.  See hedge.h. */
#include <config.h>

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "multipath/alua.h"
#include "multipath/hedge.h"

/* Seconds between two looks at the reads in flight: not less, since each wakes
 * the service thread; and while nothing is known of any path. */
#define LOOK_MIN 0.001
#define LOOK_MAX 0.05

/* ---- memory of reads ------------------------------------------------------- */

struct read_parts {
  unsigned orphans;
  bool abandoned;               /* the request is over; the last orphan frees */
  struct command commands[];
};

struct command *
read_parts_new (unsigned n)
{
  struct read_parts *parts = calloc (1, sizeof *parts +
                                     n * sizeof parts->commands[0]);

  return parts ? parts->commands : NULL;
}

static struct read_parts *
read_parts_of (struct command *commands)
{
  return (struct read_parts *)
    ((char *) commands - offsetof (struct read_parts, commands));
}

void
read_parts_free (struct command *commands)
{
  free (read_parts_of (commands));
}

void
read_parts_abandon (struct request *req)
{
  struct read_parts *parts = read_parts_of (req->parts);

  if (parts->orphans == 0)
    return;
  parts->abandoned = true;
  req->hedgeable = false;
  req->parts = &req->part;
}

/* ---- the end of a hedge --------------------------------------------------- */

static void
over_if_unused (struct hedge *h)
{
  struct map *m = h->map;

  if (h->in_flight || h->orphan != NULL)
    return;
  list_del (&h->node);
  m->hedging.nr_out--;
  m->hedging.bytes_out -= h->cmd.bytes;
  engine_soon (m->engine, &h->over);
}

static void
hedge_free (struct work *w)
{
  struct hedge *h = container_of (w, struct hedge, over);

  if (h->last)
    free (h->parts);
  free (h->buf);
  free (h);
}

void
hedge_forget (struct command *cmd)
{
  struct hedge *h = cmd->hedge;

  if (h == NULL)
    return;
  cmd->hedge = NULL;
  h->original = NULL;
}

static const struct command_ops hedge_ops;

/* The second read has the data first. */
static void
win (struct hedge *h)
{
  struct command *first = h->original;
  struct request *req = first->req;

  memcpy (first->buf, h->buf, first->bytes);
  h->map->hedging.won++;
  h->cmd.path->hedges_won++;
  h->original = NULL;
  h->orphan = first;
  h->parts = read_parts_of (req->parts);
  h->parts->orphans++;
  first->req = NULL;
  first->ops = &hedge_ops;
  session_redirect (first, h->buf);
  request_part_over (h->map->engine, req, 0);
}

static void
gone (struct hedge *h, struct command *cmd)
{
  if (cmd == h->orphan) {
    h->orphan = NULL;
    if (--h->parts->orphans == 0 && h->parts->abandoned)
      h->last = true;
  }
  else {
    h->in_flight = false;
    if (h->original != NULL)
      hedge_forget (h->original);
  }
  over_if_unused (h);
}

static void
answered (struct command *cmd, enum scsi_result result,
          const struct sense *sense)
{
  const struct verdict v = verdict_of (result, sense);
  struct hedge *h = cmd->hedge;
  struct path *p = cmd->path;
  char text[100];

  path_command_over (cmd);
  path_verdict_actions (p, &v, cmd->submitted);
  switch (v.kind) {
  case VERDICT_DONE:
    path_answered (p, cmd, engine_now () - cmd->submitted);
    if (cmd == &h->cmd && h->original != NULL) {
      h->in_flight = false;
      win (h);
      return;
    }
    break;
  case VERDICT_RETRY: case VERDICT_RETRY_LATER:
    p->stats.retries++;
    break;
  case VERDICT_PATH:
    p->stats.errors++;
    if (!alua_refused (p, result, sense))
      path_event (p, PATH_EV_IO_ERROR,
                result == RESULT_CHECK_CONDITION
                ? sense_text (sense, text, sizeof text)
                : result_text (result));
    break;
  case VERDICT_FAIL:
    p->stats.errors++;
    break;
  }
  gone (h, cmd);
}

static void
lost (struct command *cmd)
{
  path_command_over (cmd);
  cmd->path->stats.errors++;
  gone (cmd->hedge, cmd);
}

static const struct command_ops hedge_ops = { answered, lost };

/* ---- the beginning -------------------------------------------------------- */

/* No read on it is late itself or about to be, and it is known what late is there.  (TCP's
 * unacked_since is of the last tick: too old to say anything here.) */
static bool
is_prompt (const struct path *p, double now)
{
  const struct session *s = p->session;
  const double limit = lateness_limit (&p->lateness);
  const struct list *l;

  if (limit == 0)
    return false;
  for (l = s->in_flight.next; l != &s->in_flight; l = l->next) {
    const struct command *cmd = list_entry (l, struct command, node);

    /* A flush may well take its time. */
    if (cmd->dir == SCSI_XFER_READ && cmd->accounted)
      return now - cmd->submitted < limit / 2;
  }
  return true;
}

/* Of the same group, for another one may cost the array a switch over; and
 * none that is put aside or slow.  When all are late alike, the target is
 * busy: more reads would not help it. */
static struct path *
second_path (const struct command *cmd, double now)
{
  const struct path *first = cmd->path;
  struct path *best = NULL;
  struct list *l, *next;

  list_for_each (l, next, &first->map->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    if (p->session == first->session || p->group != first->group ||
        !path_is_usable (p->state) || p->sel.slow || p->flap.sampling ||
        !session_has_room (p->session) ||
        !selector_path_has_room (&p->sel) || !is_prompt (p, now))
      continue;
    if (best == NULL || p->sel.in_flight < best->sel.in_flight)
      best = p;
  }
  return best;
}

static void
hedge (struct command *first, double now)
{
  struct map *m = first->path->map;
  struct hedge *h;
  struct path *p;

  /* What waits for room needs it more than what is sent already. */
  if (!m->hedges || m->engine->shutdown || m->frozen ||
      !list_empty (&m->queue) || m->hedging.nr_out >= HEDGE_MAX ||
      m->hedging.bytes_out + first->bytes > HEDGE_MAX_BYTES)
    return;
  p = second_path (first, now);
  if (p == NULL)
    return;
  if (!hedge_budget_spend (&m->hedging.budget)) {
    if (!first->refused)
      m->hedging.refused++;
    first->refused = true;
    return;
  }
  h = calloc (1, sizeof *h);
  if (h == NULL)
    return;
  h->buf = malloc (first->bytes);
  if (h->buf == NULL) {
    free (h);
    return;
  }
  h->map = m;
  work_init (&h->over, hedge_free);
  h->original = first;
  h->in_flight = true;
  list_add_tail (&m->hedging.out, &h->node);
  m->hedging.nr_out++;
  m->hedging.bytes_out += first->bytes;
  m->hedging.sent++;
  p->hedges_sent++;
  first->path->hedged_away++;
  first->hedge = h;
  first->hedged = true;
  /* Its worker may have its answer from elsewhere, and poll no more. */
  session_unsolo (first->session);

  list_init (&h->cmd.node);
  memcpy (h->cmd.cdb, first->cdb, sizeof h->cmd.cdb);
  command_prepare (&h->cmd, first->cdb_len, SCSI_XFER_READ, h->buf,
                   first->bytes);
  h->cmd.ops = &hedge_ops;
  h->cmd.hedge = h;
  h->cmd.lba = first->lba;
  h->cmd.blocks = first->blocks;
  h->cmd.path = p;
  h->cmd.lun = p->lun;
  h->cmd.accounted = true;
  selector_start_io (&p->sel, h->cmd.bytes);
  session_submit (p->session, &h->cmd);
}

/* ---- the timer ------------------------------------------------------------- */

/* Hedges what is late; returns when the next read may be, 0: none is in
 * flight. */
static double
look_at_session (struct session *s, double now, double limit_min)
{
  struct list *l, *next;
  double at = 0;

  if (s->dying)                 /* they will go elsewhere at once */
    return 0;
  list_for_each (l, next, &s->in_flight) {
    struct command *cmd = list_entry (l, struct command, node);
    double limit, due;

    /* In order of time: the rest cannot be late. */
    if (at > 0 && cmd->submitted + limit_min >= at)
      break;
    if (!cmd->hedgeable || cmd->hedged || cmd->req == NULL)
      continue;
    limit = lateness_limit (&cmd->path->lateness);
    due = cmd->submitted + (limit > 0 ? limit : LOOK_MAX);
    if (limit > 0 && due <= now)
      hedge (cmd, now);
    /* Not possible now: perhaps at the next look. */
    if (cmd->hedge == NULL && due <= now)
      due = now + limit_min;
    if (cmd->hedge == NULL && (at == 0 || due < at))
      at = due;
  }
  return at;
}

/* The least of all limits: what is sent from now on is not late before. */
static double
least_limit (const struct engine *e)
{
  const struct list *l, *k;
  double least = LOOK_MAX;

  for (l = e->maps.next; l != &e->maps; l = l->next) {
    const struct map *m = list_entry (l, struct map, node);

    if (!m->hedges)
      continue;
    for (k = m->paths.next; k != &m->paths; k = k->next) {
      const double limit =
        lateness_limit (&list_entry (k, struct path, map_node)->lateness);

      if (limit > 0 && limit < least)
        least = limit;
    }
  }
  return least;
}

static void
look_cb (EV_P_ ev_timer *w, int revents)
{
  struct engine *e = w->data;
  const double now = engine_now (), limit_min = least_limit (e);
  double at = 0, wait = limit_min;
  struct list *l, *next;

  (void) revents;
  list_for_each (l, next, &e->sessions) {
    const double t = look_at_session (list_entry (l, struct session, node),
                                      now, limit_min);

    if (t > 0 && (at == 0 || t < at))
      at = t;
  }
  if (at == 0 && !e->hedgeable_sent) {
    e->hedge_awake = false;
    return;
  }
  e->hedgeable_sent = false;
  if (at > 0 && at - now < wait)
    wait = at - now;
  ev_timer_set (w, wait > LOOK_MIN ? wait : LOOK_MIN, 0.);
  ev_timer_start (EV_A_ w);
}

static void
start_timer (struct work *w)
{
  struct engine *e = container_of (w, struct engine, hedge_start);

  if (!e->hedge_awake || ev_is_active (&e->hedge_timer))
    return;
  ev_timer_set (&e->hedge_timer, least_limit (e), 0.);
  ev_timer_start (e->loop, &e->hedge_timer);
}

void
hedge_init (struct engine *e)
{
  work_init (&e->hedge_start, start_timer);
  ev_init (&e->hedge_timer, look_cb);
  e->hedge_timer.data = e;
}

void
hedge_sent (struct command *cmd)
{
  struct engine *e = cmd->path->map->engine;

  e->hedgeable_sent = true;
  if (e->hedge_awake)
    return;
  /* Once for each time that there is something to do again. */
  e->hedge_awake = true;
  engine_later (e, &e->hedge_start);
}

void
hedge_read_done (struct path *p, double seconds)
{
  lateness_add (&p->lateness, seconds);
  hedge_budget_earn (&p->map->hedging.budget);
}
