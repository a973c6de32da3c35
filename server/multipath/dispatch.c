/* SPDX-License-Identifier: BSD-3-Clause */
/* From a map's queue to a path, and back by verdict. */
#include <config.h>

#include <errno.h>

#include "multipath/alua.h"
#include "multipath/gate.h"
#include "multipath/hedge.h"
#include "multipath/registrant.h"

/* A command whose path dies each time, within POISON seconds, is what kills
 * it. */
#define POISON 1.0
#define MAX_FAILOVERS 100
/* With the server going down, a busy target gets this many seconds. */
#define BUSY_AT_END 2.0

static void
dispatch (struct work *w)
{
  map_dispatch (container_of (w, struct map, dispatch));
}

static void start_retry_timer (struct work *w);

static void
retry_cb (EV_P_ ev_timer *w, int revents)
{
  struct map *m = w->data;

  (void) loop;
  (void) revents;
  map_wake_delayed (m, engine_now ());
  engine_later (m->engine, &m->retry_start);
}

void
map_works_init (struct map *m)
{
  work_init (&m->dispatch, dispatch);
  work_init (&m->retry_start, start_retry_timer);
  ev_init (&m->retry_timer, retry_cb);
  m->retry_timer.data = m;
}

void
map_works_cancel (struct map *m)
{
  work_cancel (&m->dispatch);
  work_cancel (&m->retry_start);
  ev_timer_stop (m->engine->loop, &m->retry_timer);
}

void
schedule_dispatch (struct map *m)
{
  engine_soon (m->engine, &m->dispatch);
}

/* By tag; those of a client stay in order, since its tags grow. */
static void
enqueue (struct map *m, struct command *cmd)
{
  struct list *l = m->queue.prev;

  while (l != &m->queue && list_entry (l, struct command, node)->tag > cmd->tag)
    l = l->prev;
  list_add_head (l, &cmd->node);        /* behind L */
}

void
map_submit (struct map *m, struct request *req)
{
  unsigned i;

  for (i = 0; i < req->nr_parts; ++i) {
    struct command *cmd = &req->parts[i];

    cmd->tag = share_tag (req->share ? req->share : &m->share, m->now_tag,
                          cmd->bytes);
    enqueue (m, cmd);
  }
  schedule_dispatch (m);
}

void
map_fail_all (struct map *m, int error)
{
  while (!list_empty (&m->queue)) {
    struct command *cmd = list_entry (m->queue.next, struct command, node);

    list_del (&cmd->node);
    request_part_done (m->engine, cmd, error);
  }
  while (!list_empty (&m->parked)) {
    struct command *cmd = list_entry (m->parked.next, struct command, node);

    list_del (&cmd->node);
    request_part_done (m->engine, cmd, error);
  }
}

void
request_cancel (struct request *req)
{
  struct map *m = req->map;

  /* The last one may free it. */
  for (unsigned i = 0, n = req->nr_parts; i < n; ++i) {
    struct command *cmd = &req->parts[i];

    /* In a list, but in no session's. */
    if (cmd->accounted || list_empty (&cmd->node))
      continue;
    list_del (&cmd->node);
    request_part_done (m->engine, cmd, ECANCELED);
  }
  if (m->waits)                 /* perhaps for nothing now */
    schedule_dispatch (m);
}

/* Get in line for room on the sessions of the current group, or, if there is
 * nothing to send that way (any more), out of it: who comes next has the turn
 * then. */
static void
take_turns (struct map *m, bool wanted)
{
  struct list *l, *next;

  m->waits = wanted;
  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);
    struct session *s = p->session;

    if (wanted && p->group == m->current && path_is_usable (p->state))
      turns_wait (&s->turns, &p->sel.turn, m->settings.io_weight);
    else if (!list_empty (&p->sel.turn.node)) {
      turns_leave (&p->sel.turn);
      session_offer_room (s);
    }
  }
}

static void
no_path (struct map *m)
{
  if (m->engine->shutdown)
    map_fail_all (m, ESHUTDOWN);
  else if (map_is_fenced (m))
    map_fail_all (m, EPERM);
  else if (m->no_path_until == 0)
    map_fail_all (m, EIO);
}

void
map_dispatch (struct map *m)
{
  if ((m->frozen || m->suspended) && !m->engine->shutdown) {
    if (m->waits)
      take_turns (m, false);
    return;
  }
  while (!list_empty (&m->queue)) {
    struct command *cmd = list_entry (m->queue.next, struct command, node);
    struct path *p;

    /* Without a path no_path () decides: who waits for a fence then would
     * wait for ever. */
    if (m->nr_active > 0 && gate_blocks (m, cmd)) {
      list_del (&cmd->node);
      if (!list_empty (&m->fences))     /* not for the state file */
        m->fence_stats.parked++;
      gate_park (m, cmd);
      continue;
    }
    p = map_select_path (m, cmd->bytes);
    if (p == NULL) {
      if (m->nr_active == 0)
        no_path (m);
      /* Room is missing, not paths. */
      take_turns (m, m->nr_active > 0);
      return;
    }
    list_del (&cmd->node);
    /* Of a flush that is sent again, what was written meanwhile counts not. */
    if (cmd->req->op == OP_FLUSH && cmd->req->flush_reaches == 0)
      cmd->req->flush_reaches = m->written;
    cmd->path = p;
    cmd->lun = p->lun;
    cmd->accounted = true;
    selector_start_io (&p->sel, cmd->bytes);
    if (cmd->hedgeable)
      hedge_sent (cmd);
    turns_taken (&p->session->turns, &p->sel.turn, cmd->bytes,
                 m->settings.io_weight);
    if (cmd->tag > m->now_tag)
      m->now_tag = cmd->tag;
    session_submit (p->session, cmd);
  }
  if (m->waits)
    take_turns (m, false);
}

/* At the head: it was sent before all that waits there. */
void
map_requeue (struct map *m, struct command *cmd)
{
  list_add_head (&m->queue, &cmd->node);
  schedule_dispatch (m);
}

/* UNIT ATTENTION, ABORTED COMMAND, BUSY, TASK SET FULL, NOT READY, in any
 * mixture: what counts is for how long, not how often. */
static void
retry (struct map *m, struct command *cmd, const struct verdict *v,
       const char *why)
{
  const double now = engine_now (), timeout =
    m->engine->settings->command_timeout;
  const unsigned delay_ms = verdict_delay (v, ++cmd->retries);

  if (now - cmd->first_submitted > timeout) {
    log_error ("%s: %s: giving up on a command after %g s and %u retries: %s",
               m->name, cmd->path->session->name, timeout, cmd->retries, why);
    request_part_done (m->engine, cmd, EIO);
    return;
  }
  if (delay_ms == 0) {
    map_requeue (m, cmd);
    return;
  }
  if (m->engine->shutdown && now - m->engine->shutdown_at > BUSY_AT_END) {
    request_part_done (m->engine, cmd, ESHUTDOWN);
    return;
  }
  cmd->not_before = now + delay_ms / 1000.;
  list_add_tail (&m->delayed, &cmd->node);
  engine_later (m->engine, &m->retry_start);
}

/* When the first of those that wait for their next try is to have it; 0: none
 * waits. */
static double
delayed_until (const struct map *m)
{
  const struct list *l;
  double until = 0;

  for (l = m->delayed.next; l != &m->delayed; l = l->next) {
    const double t = list_entry (l, struct command, node)->not_before;

    if (until == 0 || t < until)
      until = t;
  }
  return until;
}

static void
start_retry_timer (struct work *w)
{
  struct map *m = container_of (w, struct map, retry_start);
  const double until = delayed_until (m), wait = until - engine_now ();

  if (until == 0)
    return;
  ev_timer_stop (m->engine->loop, &m->retry_timer);
  ev_timer_set (&m->retry_timer, wait > 0 ? wait : 0, 0.);
  /* The loop's idea of now may be old. */
  ev_now_update (m->engine->loop);
  ev_timer_start (m->engine->loop, &m->retry_timer);
}

void
map_wake_delayed (struct map *m, double now)
{
  struct list *l, *next;

  list_for_each (l, next, &m->delayed) {
    struct command *cmd = list_entry (l, struct command, node);

    if (now >= cmd->not_before || m->engine->shutdown) {
      list_del (&cmd->node);
      enqueue (m, cmd);
      schedule_dispatch (m);
    }
  }
}

static void
failover (struct map *m, struct command *cmd)
{
  m->engine->failovers++;
  /* Time on a queue, or on a path that is gone, is not the target's. */
  cmd->first_submitted = 0;
  cmd->retries = 0;
  if (engine_now () - cmd->submitted > POISON)
    cmd->failovers = 0;
  if (++cmd->failovers > MAX_FAILOVERS) {
    log_error ("%s: giving up on a command after %d failed paths", m->name,
               MAX_FAILOVERS);
    request_part_done (m->engine, cmd, EIO);
  }
  else
    map_requeue (m, cmd);
}

void
path_command_over (struct command *cmd)
{
  struct map *m = cmd->path->map;

  selector_end_io (&cmd->path->sel, cmd->bytes);
  cmd->accounted = false;
  /* A reset waits for the last answer. */
  if (m->frozen)
    gate_soon (m);
}

static void
lost (struct command *cmd)
{
  struct map *m = cmd->req->map;

  path_command_over (cmd);
  cmd->path->stats.errors++;
  hedge_forget (cmd);
  gate_lost (m, cmd);
  failover (m, cmd);
}

/* How a command of the client's failed for good.  At most one line a second,
 * and one in all for a reservation that another host holds: a client that
 * tries again and again must not fill the log. */
static void
log_failure (struct command *cmd, enum scsi_result result, const char *text)
{
  struct map *m = cmd->req->map;
  const double now = engine_now ();

  if (result == RESULT_RESERVATION_CONFLICT) {
    if (!m->reserved)
      log_warning ("%s: %s: RESERVATION CONFLICT: another initiator holds "
                   "a reservation; what it excludes fails (said once)", m->name,
                   cmd->path->session->name);
    m->reserved = true;
    return;
  }
  if (now - m->last_failure < 1) {
    m->failures_unsaid++;
    return;
  }
  m->last_failure = now;
  log_error ("%s: %s: I/O error, LBA %llu: %s", m->name,
             cmd->path->session->name, (unsigned long long) cmd->lba, text);
  if (m->failures_unsaid > 0)
    log_error ("%s: %u more I/O errors like this one", m->name,
               m->failures_unsaid);
  m->failures_unsaid = 0;
}

void
path_verdict_actions (struct path *p, const struct verdict *v,
                      double submitted)
{
  struct session *s = p->session;

  if (v->actions & ACTION_LOWER_DEPTH)
    session_lower_depth (s);
  if (v->actions & (ACTION_CHECK_CAPACITY | ACTION_CHECK_IDENTITY))
    session_look_again (s);
  if (v->actions & ACTION_CHECK_IDENTITY) {
    /* Perhaps another disk is there now: not one more command this way before
     * that is known.  up () opens the session again after the probe. */
    session_shut (s);
    return;
  }
  if (v->actions & ACTION_CHECK_ALUA)
    alua_ask (p->map);
  path_heard (p, v->actions, submitted);
  registrant_heard (p, v->actions);
}

void
path_answered (struct path *p, const struct command *cmd, double seconds)
{
  path_heard_nothing (p, cmd->submitted);
  p->stats.ios++;
  latency_add (&p->latency, seconds);
  p->average_latency = latency_average (p->average_latency, seconds, 1 / 16.);
  if (cmd->dir == SCSI_XFER_READ)
    p->stats.bytes_read += cmd->bytes;
  else
    p->stats.bytes_written += cmd->bytes;
  if (cmd->hedgeable)
    hedge_read_done (p, seconds);
}

/* Not this port, not now: it goes to another one, or waits for the array.  With
 * states that go to and fro, or lie, that ends too. */
static void
refused_by_port (struct map *m, struct command *cmd)
{
  const double now = engine_now ();
  const struct settings *st = m->engine->settings;

  cmd->path->stats.retries++;
  if (cmd->refused_since == 0)
    cmd->refused_since = now;
  if (m->settings.no_path_retry != NO_PATH_RETRY_QUEUE &&
      now - cmd->refused_since >
      st->command_timeout + 2 * st->alua_transition_timeout) {
    log_error ("%s: %s: giving up on a command: its port groups have been "
               "going to and fro for %.0f s", m->name,
               cmd->path->session->name, now - cmd->refused_since);
    request_part_done (m->engine, cmd, EIO);
    return;
  }
  /* Time in which the array takes no commands is not the command's. */
  cmd->first_submitted = 0;
  cmd->retries = 0;
  map_requeue (m, cmd);
}

static void
answered (struct command *cmd, enum scsi_result result,
          const struct sense *sense)
{
  struct map *m = cmd->req->map;
  struct path *p = cmd->path;
  struct verdict v = verdict_of (result, sense);
  char text[100];

  path_command_over (cmd);
  hedge_forget (cmd);
  p->last_answer = p->session->last_rx;
  if (cmd->submitted > p->answered_submitted)
    p->answered_submitted = cmd->submitted;

  /* What not every LUN can do: no reason to doubt the path, unless the LUN
   * itself is gone (25h). */
  if (cmd->optional && result == RESULT_CHECK_CONDITION &&
      sense->key == SENSE_ILLEGAL_REQUEST && sense->asc != 0x25 &&
      v.kind == VERDICT_PATH) {
    v.kind = VERDICT_FAIL;
    v.error = ENOTSUP;
  }
  path_verdict_actions (p, &v, cmd->submitted);
  if (alua_refused (p, result, sense)) {
    refused_by_port (m, cmd);
    return;
  }
  if (result == RESULT_RESERVATION_CONFLICT)
    registrant_conflict (p, &v);
  if (v.actions & ACTION_CHECK_IDENTITY) {
    map_requeue (m, cmd);
    return;
  }

  switch (v.kind) {
  case VERDICT_DONE:
    path_answered (p, cmd, engine_now () - cmd->submitted);
    if (cmd->modifies) {
      m->written++;
      m->reserved = false;
    }
    else if (cmd->req->op == OP_FLUSH && cmd->req->flush_reaches > m->flushed)
      m->flushed = cmd->req->flush_reaches;
    if (cmd->may_be_short && cmd->task.residual_status ==
        SCSI_RESIDUAL_UNDERFLOW)
      cmd->req->residual = cmd->task.residual;
    request_part_done (m->engine, cmd, 0);
    break;
  case VERDICT_RETRY:
  case VERDICT_RETRY_LATER:
    p->stats.retries++;
    retry (m, cmd, &v, result == RESULT_CHECK_CONDITION
           ? sense_text (sense, text, sizeof text) : result_text (result));
    break;
  case VERDICT_PATH:
    p->stats.errors++;
    path_event (p, PATH_EV_IO_ERROR,
                result == RESULT_CHECK_CONDITION
                ? sense_text (sense, text, sizeof text)
                : result_text (result));
    failover (m, cmd);
    break;
  case VERDICT_FAIL:
    p->stats.errors++;
    if (!(cmd->optional && (v.error == ENOTSUP || v.error == EINVAL)))
      log_failure (cmd, result, result == RESULT_CHECK_CONDITION
                   ? sense_text (sense, text, sizeof text)
                   : result_text (result));
    request_part_done (m->engine, cmd, v.error);
    break;
  }
}

const struct command_ops client_command_ops = { answered, lost };
