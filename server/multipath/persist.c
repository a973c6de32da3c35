/* SPDX-License-Identifier: BSD-3-Clause */
/* Persistent reservations by command.  See persist.h. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multipath/persist.h"
#include "multipath/registrant.h"

/* UNIT ATTENTIONs and busy targets, for one path. */
#define MAX_RETRIES 50
/* Seconds until the next look for room, for our turn, or for the file. */
#define PAUSE 0.01

/* One path, as it was at the start: it may go meanwhile. */
struct target {
  unsigned session, lun;
  bool conflict;                /* to be registered all the same */
};

/* What goes through the paths, one after the other.  A reservation may be held
 * by a nexus that is not there now: then RELEASE does nothing (SPC-4 5.12.11.3).
 * PREEMPT with our own key moves it to a path that is there, which releases
 * it; the other paths are registered again, which that has undone.  Meanwhile
 * their commands may meet a conflict: see persist_runs. */
enum round {
  ROUND_MAIN,
  ROUND_IGNORE,                 /* REGISTER AND IGNORE, where there was a conflict */
  ROUND_LOOK,                   /* READ RESERVATION: is it released? */
  ROUND_MOVE, ROUND_FREE,       /* PREEMPT, RELEASE on the chosen path */
  ROUND_RESTORE,                /* REGISTER AND IGNORE on the others */
};

struct operation {
  struct persist p;
  struct target targets[PERSIST_PATHS];
  struct persist_path paths[PERSIST_PATHS];
  unsigned nr_targets, current, retries;
  enum round round;
  unsigned chosen;              /* LOOK to RESTORE: the path that has done it */
  bool entered;                 /* we have the registrant's turn */
  bool ended;                   /* only the file is waited for */
  bool in_flight;
  struct registrant *registrant;        /* NULL: none yet */
  struct command cmd;
  ev_timer timer;
  uint8_t buf[PERSIST_ANSWER];
};

static void step (struct operation *o);

static struct path *
path_of (const struct operation *o, const struct target *t)
{
  struct list *l, *next;

  list_for_each (l, next, &o->p.map->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    if (p->session->id == t->session && p->lun == t->lun)
      return p;
  }
  return NULL;
}

static void
again_later (struct operation *o, double seconds)
{
  struct ev_loop *loop = o->p.map->engine->loop;

  ev_timer_stop (loop, &o->timer);
  ev_timer_set (&o->timer, seconds, 0.);
  ev_timer_start (loop, &o->timer);
}

static void
timer_cb (EV_P_ ev_timer *w, int revents)
{
  (void) loop;
  (void) revents;
  step (w->data);
}

/* ---- the end --------------------------------------------------------------------- */

static void
operation_free (struct operation *o)
{
  if (o->entered)
    registrant_turn_over (o->registrant, o);
  list_del (&o->p.node);
  ev_timer_stop (o->p.map->engine->loop, &o->timer);
  work_cancel (&o->cmd.answer);
  free (o);
}

/* What it means for the paths: those that are registered may be used, those
 * that are not, not yet. */
static void
settle_paths (struct operation *o)
{
  for (unsigned i = 0; i < o->nr_targets; ++i) {
    struct path *p = path_of (o, &o->targets[i]);

    if (p == NULL)
      continue;
    if (p->state == PATH_FENCED)
      path_event (p, PATH_EV_UNFENCED, NULL);
    else if (o->paths[i].status != PERSIST_DONE &&
             o->p.request.parameters.action_key != 0)
      path_event (p, PATH_EV_DOWN, "its reservation key is not registered");
    session_look_again (p->session);
  }
}

static bool
any_done (const struct operation *o)
{
  for (unsigned i = 0; i < o->nr_targets; ++i)
    if (o->paths[i].status == PERSIST_DONE)
      return true;
  return false;
}

/* Something was registered, or taken back. */
static void
registered (struct operation *o)
{
  struct map *m = o->p.map;
  const struct pr_parameters *pp = &o->p.request.parameters;

  if (pp->action_key == 0) {
    log_info ("%s: reservation key unregistered by the administrator", m->name);
    registrant_resign (o->registrant);
  }
  else {
    log_info ("%s: reservation key 0x%" PRIx64 " registered by the "
              "administrator", m->name, pp->action_key);
    registrant_set (o->registrant, pp->action_key, pp->aptpl, pp->all_tg_pt);
  }
  settle_paths (o);
}

static enum persist_status
overall (const struct operation *o)
{
  enum persist_status status = PERSIST_NO_PATH;

  for (unsigned i = 0; i < o->nr_targets; ++i) {
    if (o->paths[i].status == PERSIST_DONE && o->paths[i].portal[0])
      return PERSIST_DONE;
    if (status != PERSIST_CONFLICT && o->paths[i].portal[0])
      status = o->paths[i].status;
  }
  return status;
}

/* All paths that there was something to send to have answered. */
static void
finish (struct operation *o)
{
  const struct persist_request *r = &o->p.request;

  o->p.status = overall (o);
  if (!r->in && o->p.status == PERSIST_DONE) {
    if (persist_is_register (r))
      registered (o);
    else if (r->action == PR_CLEAR && o->registrant != NULL)
      registrant_resign (o->registrant);
    else if (r->action != PR_RESERVE &&
             (r->action != PR_RELEASE || o->round == ROUND_RESTORE))
      /* A PREEMPT with our own key removes it from the other paths. */
      registrant_look (o->p.map);
  }
  if (o->entered) {
    registrant_turn_over (o->registrant, o);
    o->entered = false;
  }
  o->ended = true;
  step (o);
}

static void
tell (struct operation *o)
{
  struct map *m = o->p.map;
  unsigned n = 0;

  /* Those that there was nothing to send to are not told of. */
  for (unsigned i = 0; i < o->nr_targets; ++i)
    if (o->paths[i].portal[0])
      o->paths[n++] = o->paths[i];
  o->p.paths = o->paths;
  o->p.nr_paths = n;
  if (o->p.done)
    o->p.done (&o->p);
  operation_free (o);
  if (!list_empty (&m->persisting))
    again_later (list_entry (m->persisting.next, struct operation, p.node), 0);
}

/* ---- one path after the other ------------------------------------------------------ */

/* LOOK, MOVE or FREE is answered. */
static void
next_of_release (struct operation *o, enum persist_status status, size_t len)
{
  const struct pr_parameters *pp = &o->p.request.parameters;
  struct pr_reservation held;
  bool ours;

  switch (o->round) {
  case ROUND_LOOK:
    ours = status == PERSIST_DONE &&
      parse_pr_reservation (o->buf, len, &held) && held.held &&
      held.key == pp->key && held.type == o->p.request.type;
    o->round = ROUND_MOVE;
    if (!ours) {
      finish (o);
      return;
    }
    break;
  case ROUND_MOVE:
    o->round = ROUND_FREE;
    break;
  default:
    o->round = ROUND_RESTORE;
    o->current = 0;
    break;
  }
  /* Told as the chosen path's failure. */
  if (status != PERSIST_DONE) {
    for (unsigned i = 0; i < o->nr_targets; ++i)
      o->paths[i].status = status;
    finish (o);
  }
  else
    step (o);
}

/* The next path, or round, or the end. */
static void
next_path (struct operation *o, enum persist_status status)
{
  const struct persist_request *r = &o->p.request;
  const bool all = persist_is_for_all (r);

  o->retries = 0;
  if (!all && (status == PERSIST_DONE || status == PERSIST_ILLEGAL ||
               status == PERSIST_INVALID)) {
    finish (o);
    return;
  }
  o->current++;
  /* A path that came later than the others is not registered with the old
   * key: it gets the new one all the same, if that one was right. */
  if (o->current == o->nr_targets && o->round == ROUND_MAIN &&
      r->action == PR_REGISTER && persist_is_register (r) && any_done (o)) {
    o->round = ROUND_IGNORE;
    o->current = 0;
  }
  if (o->current == o->nr_targets && o->round == ROUND_MAIN &&
      !r->in && r->action == PR_RELEASE && any_done (o)) {
    o->round = ROUND_LOOK;
    for (o->current = 0; o->paths[o->current].status != PERSIST_DONE; )
      o->current++;
    o->chosen = o->current;
  }
  if (o->current == o->nr_targets)
    finish (o);
  else
    step (o);
}

static void
answered (struct command *cmd, enum scsi_result result,
          const struct sense *sense)
{
  struct operation *o = cmd->opaque;
  struct persist_path *told = &o->paths[o->current];
  const struct verdict v = verdict_of (result, sense);
  char text[100];

  o->in_flight = false;
  if ((v.kind == VERDICT_RETRY || v.kind == VERDICT_RETRY_LATER) &&
      o->retries++ < MAX_RETRIES) {
    again_later (o, v.kind == VERDICT_RETRY ? 0 : v.delay_ms / 1000.);
    return;
  }
  told->status = persist_status_of (result, sense);
  if (o->round >= ROUND_LOOK && o->round <= ROUND_FREE) {
    size_t len = cmd->bytes;

    if (cmd->task.residual_status == SCSI_RESIDUAL_UNDERFLOW)
      len -= cmd->task.residual < len ? cmd->task.residual : len;
    o->retries = 0;
    next_of_release (o, told->status, len);
    return;
  }
  o->targets[o->current].conflict = told->status == PERSIST_CONFLICT;
  if (told->status != PERSIST_DONE)
    snprintf (told->text, sizeof told->text, "%s",
              result == RESULT_CHECK_CONDITION
              ? sense_text (sense, text, sizeof text) : result_text (result));
  else {
    told->text[0] = '\0';
    if (o->p.request.in) {
      o->p.answer = o->buf;
      o->p.answer_len = cmd->bytes;
      if (cmd->task.residual_status == SCSI_RESIDUAL_UNDERFLOW)
        o->p.answer_len -= cmd->task.residual < cmd->bytes
          ? cmd->task.residual : cmd->bytes;
    }
  }
  next_path (o, told->status);
}

static void
send (struct operation *o, struct path *p)
{
  const struct persist_request *r = &o->p.request;
  struct persist_path *told = &o->paths[o->current];
  struct command *cmd = &o->cmd;
  struct pr_parameters parameters = r->parameters;
  enum pr_out action = r->action;
  enum pr_in read = r->read;
  bool in = r->in;
  int len;

  switch (o->round) {
  case ROUND_MAIN: case ROUND_FREE:
    break;
  case ROUND_IGNORE:
    action = PR_REGISTER_IGNORE;
    break;
  case ROUND_LOOK:
    in = true;
    read = PR_READ_RESERVATION;
    break;
  case ROUND_MOVE:
    action = PR_PREEMPT;
    parameters.action_key = parameters.key;
    break;
  case ROUND_RESTORE:
    action = PR_REGISTER_IGNORE;
    parameters.action_key = parameters.key;
    parameters.aptpl = o->registrant ? o->registrant->aptpl : false;
    break;
  }

  if (p->session->portal.tpgt < 0)
    snprintf (told->hcil, sizeof told->hcil, "%u:0:-:%u", p->session->id,
              p->lun);
  else
    snprintf (told->hcil, sizeof told->hcil, "%u:0:%d:%u", p->session->id,
              p->session->portal.tpgt, p->lun);
  snprintf (told->portal, sizeof told->portal, "%s", p->session->name);
  command_internal (cmd, p->lun, answered, o);
  memset (o->buf, 0, in ? sizeof o->buf : PR_PARAMETERS);
  if (in) {
    len = cdb_pr_in (cmd->cdb, read, sizeof o->buf);
    command_prepare (cmd, len, SCSI_XFER_READ, o->buf, sizeof o->buf);
  }
  else {
    pr_parameters (o->buf, &parameters);
    len = cdb_pr_out (cmd->cdb, action, r->type);
    command_prepare (cmd, len, SCSI_XFER_WRITE, o->buf, PR_PARAMETERS);
  }
  cmd->may_be_short = true;
  o->in_flight = true;
  session_submit (p->session, cmd);
}

/* Whoever registers a path by itself must not come in between. */
static bool
has_turn (struct operation *o)
{
  if (o->p.request.in || o->entered)
    return true;
  if (o->registrant == NULL)
    o->registrant = persist_is_register (&o->p.request)
      ? registrant_make (o->p.map) : o->p.map->registrant;
  if (o->registrant != NULL)
    o->entered = registrant_turn (o->registrant, o);
  return o->entered || (o->registrant == NULL && !persist_is_register (&o->p.request));
}

/* There is nothing to send this way now. */
static void
skip_path (struct operation *o)
{
  if (o->round >= ROUND_LOOK && o->round <= ROUND_FREE) {
    o->paths[o->current].status = PERSIST_OTHER;
    next_of_release (o, PERSIST_OTHER, 0);
  }
  else
    next_path (o, o->paths[o->current].status);
}

static void
step (struct operation *o)
{
  struct path *p;

  if (o->in_flight || &o->p.node != o->p.map->persisting.next)
    return;                     /* others of this map come first */
  if (o->ended) {
    if (o->registrant != NULL && !registrant_is_saved (o->registrant))
      again_later (o, PAUSE);
    else
      tell (o);
    return;
  }
  if (!has_turn (o)) {
    again_later (o, PAUSE);
    return;
  }
  if (o->current == o->nr_targets) {    /* there was no path at all */
    finish (o);
    return;
  }
  p = path_of (o, &o->targets[o->current]);
  if ((o->round == ROUND_IGNORE && !o->targets[o->current].conflict) ||
      (o->round == ROUND_RESTORE && o->current == o->chosen) || p == NULL ||
      !session_is_full_feature (p->session->state) || p->session->dying)
    skip_path (o);
  else if (!session_has_room (p->session))
    again_later (o, PAUSE);
  else
    send (o, p);
}

/* ---- the beginning ------------------------------------------------------------------- */

struct persist *
persist_start (struct map *m, const struct persist_request *request,
               void (*done) (struct persist *p), void *opaque)
{
  struct operation *o = calloc (1, sizeof *o);
  struct list *l, *next;

  if (o == NULL)
    return NULL;
  o->p.map = m;
  o->p.request = *request;
  o->p.done = done;
  o->p.opaque = opaque;
  ev_init (&o->timer, timer_cb);
  o->timer.data = o;
  work_init (&o->cmd.answer, NULL);
  /* First those that work; the others may have a session all the same. */
  for (int usable = 1; usable >= 0; --usable)
    list_for_each (l, next, &m->paths) {
      const struct path *p = list_entry (l, struct path, map_node);

      if (path_is_usable (p->state) == usable &&
          o->nr_targets < PERSIST_PATHS) {
        o->paths[o->nr_targets].status = PERSIST_OTHER;
        o->targets[o->nr_targets++] =
          (struct target) { p->session->id, p->lun, false };
      }
    }
  list_add_tail (&m->persisting, &o->p.node);
  again_later (o, 0);
  return &o->p;
}

bool
persist_runs (const struct map *m)
{
  return !list_empty (&m->persisting);
}

void
persist_abandon (struct persist *p)
{
  p->done = NULL;
}

void
persist_forget (struct map *m)
{
  while (!list_empty (&m->persisting))
    operation_free (list_entry (m->persisting.next, struct operation, p.node));
}
