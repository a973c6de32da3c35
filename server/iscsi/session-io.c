/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands on the wire: submit to libiscsi, take its callbacks, and notice
 * when a connection is dead. */
#include <config.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "iscsi/pdu.h"
#include "iscsi/relay.h"
#include "iscsi/session-internal.h"
#include "iscsi/wire.h"

static enum scsi_result
result_of_status (int status)
{
  switch (status) {
  case SCSI_STATUS_GOOD:
  case SCSI_STATUS_CHECK_CONDITION:
  case SCSI_STATUS_CONDITION_MET:
  case SCSI_STATUS_BUSY:
  case SCSI_STATUS_RESERVATION_CONFLICT:
  case SCSI_STATUS_TASK_SET_FULL:
  case SCSI_STATUS_ACA_ACTIVE:
  case SCSI_STATUS_TASK_ABORTED:
    return status;
  case SCSI_STATUS_CANCELLED:
  case SCSI_STATUS_TIMEOUT:     /* not without a deadline: it has none */
    return RESULT_LOST;
  default:
    return RESULT_PROTOCOL;
  }
}

/* A longer gap between answers, in seconds, is a silence. */
#define AWAKE_GAP 1.0

/* Commands alone in flight in a row before their workers poll. */
#define SOLO_ENOUGH 32

bool
session_is_solo (const struct session *s)
{
  return s->worker_polls && s->nr_in_flight == 1 && !s->dying &&
    s->state == SESSION_UP;
}

void
session_unsolo (struct session *s)
{
  s->solo = 0;
  if (!s->worker_polls)
    return;
  s->worker_polls = false;
  engine_later (s->engine, &s->watch);
}

static void
count_solo (struct session *s, const struct command *cmd)
{
  s->used = true;
  /* Nobody would poll for what is not sent by its own worker. */
  if (s->nr_in_flight > 1 || cmd->req == NULL ||
      cmd->req != s->engine->submitter)
    session_unsolo (s);
  else if (s->solo < SOLO_ENOUGH && ++s->solo == SOLO_ENOUGH &&
           s->state == SESSION_UP) {
    s->worker_polls = true;
    engine_later (s->engine, &s->watch);
  }
}

static void
release (struct command *cmd)
{
  struct session *s = cmd->session;

  list_del (&cmd->node);
  session_count (s, -1);
  if (cmd->tmf != NULL)
    *cmd->tmf = NULL;
  cmd->tmf = NULL;
  if (s->ops->room != NULL)
    s->ops->room (s);
}

int
session_fd (const struct session *s)
{
  if (s->wire != NULL)
    return wire_fd (s->wire);
  if (s->relay != NULL)
    return relay_fd (s->relay);
  return s->ctx != NULL ? iscsi_get_fd (s->ctx) : -1;
}

/* The guard counts what comes.  Where it cannot be installed, the end of the
 * buffer of each read gets a random number first; when it is still there, less
 * came than was asked for, whatever the target says of it. */
static bool
has_canary (const struct command *cmd)
{
  return cmd->session->wire == NULL && !guard_is_installed () && cmd->dir == SCSI_XFER_READ &&
    !cmd->may_be_short && cmd->bytes >= sizeof (uint64_t);
}

static char *
canary_place (const struct command *cmd)
{
  return (char *) cmd->buf + cmd->bytes - sizeof (uint64_t);
}

static bool
canary_lives (const struct command *cmd)
{
  return has_canary (cmd) &&
    memcmp (canary_place (cmd), &cmd->session->engine->canary,
            sizeof (uint64_t)) == 0;
}

/* Without this a short answer would hand old memory to the client. */
static bool
came_short (const struct command *cmd)
{
  return !cmd->may_be_short &&
    ((cmd->task.residual_status == SCSI_RESIDUAL_UNDERFLOW &&
      cmd->task.residual > 0) ||
     (cmd->session->wire == NULL &&
      (guard_came_short (cmd) || canary_lives (cmd))));
}

/* The answer is RESULT, with SENSE; or it is no answer, which is the end of the
 * session, because of WHY.  Only lists and flags are changed here. */
static void
finish (struct command *cmd, enum scsi_result result, struct sense *sense,
        const char *why)
{
  struct session *s = cmd->session;

  if (result == RESULT_GOOD || result == RESULT_CONDITION_MET) {
    if (came_short (cmd)) {
      result = RESULT_PROTOCOL;
      why = "short transfer with GOOD status";
    }
  }
  /* A recovered error may end the transfer (SPC-4 7.5.7, DTE), and would count
   * as success: once more, as if there was no sense data. */
  else if (result == RESULT_CHECK_CONDITION && came_short (cmd) &&
           verdict_of (result, sense).kind == VERDICT_DONE)
    sense->valid = false;

  if (result >= RESULT_LOST) {
    /* Uninvited, these mean that the session is dead (a command that was
     * answered with nonsense makes it so).  The command stays in in_flight,
     * for libiscsi may still point to it, until the session is torn down. */
    if (!s->dying)
      session_kill (s, FAIL_LOST, "%s", why && why[0] ? why
                    : "connection lost");
    return;
  }
  /* Commands come to the target in the order of their CmdSN. */
  if (cmd->submitted > s->received)
    s->received = cmd->submitted;
  release (cmd);
  cmd->ops->answered (cmd, result, sense);
}

/* What was not proven did not come; and for a client not what the target itself
 * says did not. */
static uint32_t
missing (const struct command *cmd, const struct ffp_answer *a)
{
  if (cmd->dir == SCSI_XFER_READ && a->arrived < cmd->bytes)
    return cmd->bytes - a->arrived;
  return a->underflow && !cmd->may_be_short ? a->residual : 0;
}

void
session_answered (struct command *cmd, const struct ffp_answer *a)
{
  const enum scsi_result result = a->aborted ? RESULT_TASK_ABORTED
    : result_of_status (a->status);
  struct sense sense = { .valid = false };
  char why[60];

  cmd->task.residual = missing (cmd, a);
  cmd->task.residual_status = cmd->task.residual > 0
    ? SCSI_RESIDUAL_UNDERFLOW : SCSI_RESIDUAL_NO_RESIDUAL;
  if (result == RESULT_CHECK_CONDITION)
    sense_parse_iscsi (a->sense, a->sense_size, &sense);
  snprintf (why, sizeof why, "SCSI status %02xh, which is unknown", a->status);
  finish (cmd, result, &sense, why);
}

/* libiscsi calls this.  Only lists and flags are changed here. */
static void
command_cb (struct iscsi_context *ctx, int status, void *command_data,
            void *private_data)
{
  struct command *cmd = private_data;
  enum scsi_result result = result_of_status (status);
  struct sense sense = { .valid = false };
  const char *why = result == RESULT_PROTOCOL ? iscsi_get_error (ctx) : NULL;

  (void) command_data;          /* NULL or &cmd->task */
  if (cmd->cancelled)
    return;

  if (result == RESULT_CHECK_CONDITION)
    /* libiscsi's own parser does not look at the length. */
    sense_parse_iscsi (cmd->task.datain.data, cmd->task.datain.size, &sense);
  free (cmd->task.datain.data);
  cmd->task.datain.data = NULL;
  cmd->task.datain.size = 0;

  finish (cmd, result, &sense, why);
}

bool
session_all_sent (const struct session *s)
{
  return !s->dying && !guard_unsent (s) &&
    iscsi_out_queue_length (s->ctx) == 0 &&
    !(iscsi_which_events (s->ctx) & POLLOUT);
}

/* With libiscsi's full feature phase: the target has said that there will be no
 * answer.  As if it had the status that others give it then. */
void
session_end_command (struct command *cmd)
{
  static const struct sense none = { .valid = false };
  struct session *s = cmd->session;

  /* libiscsi would go on to send, from a command that is gone. */
  if (cmd->dir == SCSI_XFER_WRITE && cmd->sent < cmd->asked &&
      !session_all_sent (s)) {
    session_kill (s, FAIL_LOST, "an aborted write's data is still being sent");
    return;
  }
  cmd->cancelled = true;
  iscsi_scsi_cancel_task (s->ctx, &cmd->task);
  cmd->cancelled = false;
  release (cmd);
  cmd->ops->answered (cmd, RESULT_TASK_ABORTED, &none);
}

bool
session_has_room (const struct session *s)
{
  return session_is_connected (s) && !s->dying && s->nr_in_flight < s->depth;
}

/* The caller has checked for room, and counted it in the selector if
 * cmd->accounted.  Never fails: if libiscsi refuses the session dies. */
void
session_submit (struct session *s, struct command *cmd)
{
  struct scsi_task *task = &cmd->task;

  memset (task, 0, sizeof *task);
  task->cdb_size = cmd->cdb_len;
  memcpy (task->cdb, cmd->cdb, cmd->cdb_len);
  task->xfer_dir = cmd->dir;
  task->expxferlen = cmd->bytes;
  cmd->session = s;
  if (cmd->dir != SCSI_XFER_NONE && s->wire == NULL) {
    cmd->iov.iov_base = cmd->buf;
    cmd->iov.iov_len = cmd->bytes;
    if (has_canary (cmd))
      memcpy (canary_place (cmd), &s->engine->canary, sizeof (uint64_t));
    if (cmd->dir == SCSI_XFER_READ)
      scsi_task_set_iov_in (task, &cmd->iov, 1);
    else
      scsi_task_set_iov_out (task, &cmd->iov, 1);
  }

  cmd->aborting = cmd->abort_refused = cmd->had_come = cmd->ended = false;
  cmd->tmf = NULL;
  guard_submit (s, cmd);
  cmd->submitted = engine_now ();
  if (cmd->first_submitted == 0)
    cmd->first_submitted = cmd->submitted;
  list_add_tail (&s->in_flight, &cmd->node);
  session_count (s, 1);
  if (cmd->dir == SCSI_XFER_WRITE)
    s->sends_data = true;
  count_solo (s, cmd);

  session_flush_soon (s);
  if (s->wire != NULL) {
    if (!s->dying)
      wire_submit (s, cmd);
    return;
  }
  /* From libiscsi 1.20.3 on the callback may run in here: cmd is not ours
   * any more afterwards. */
  if (s->dying ||
      iscsi_scsi_command_async (s->ctx, lun_encode (cmd->lun, s->flat_luns), task, command_cb,
                                NULL, cmd) != 0) {
    if (!s->dying)
      session_kill (s, FAIL_LOST, "cannot send: %s", iscsi_get_error (s->ctx));
  }
}

void
session_redirect (struct command *cmd, void *buf)
{
  struct session *s = cmd->session;

  cmd->buf = buf;
  /* libiscsi asks each time where it goes. */
  cmd->iov.iov_base = buf;
  if (s->wire != NULL)
    ffp_redirect (wire_ffp (s->wire), &cmd->ffp, buf);
}

/* Until libiscsi has taken all that was read for it. */
static int
service_guarded (struct session *s, int revents)
{
  for (;;) {
    const unsigned before = guard_unread (s);
    const int r = iscsi_service (s->ctx, revents);
    const unsigned after = guard_unread (s);

    if (r != 0 || s->dying || after == 0 || (before > 0 && after >= before))
      return r;
    revents = POLLIN;
  }
}

static void
service (struct session *s, int revents)
{
  int r;

  guard_enter (s);
  r = s->state == SESSION_LOGIN
    ? portal_group_service (s, revents) : service_guarded (s, revents);
  guard_leave (s);
  if (r != 0 && !s->dying) {
    const char *why = iscsi_get_error (s->ctx);
    char text[200];

    if (s->state == SESSION_LOGIN &&
        pdu_is_text (s->guard.header, s->guard.header_have, text,
                     sizeof text) != NULL) {
      session_kill (s, FAIL_REFUSED, "%s", text);
      return;
    }
    /* That it will not reconnect is what we asked for. */
    session_kill (s, FAIL_LOST, "%s", why[0] && !strstr (why, "econnect")
                  ? why : "connection closed by the target");
  }
}

static void
cork (const struct session *s, int on)
{
  /* In vain?  Then there are more segments. */
  setsockopt (iscsi_get_fd (s->ctx), IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

/* libiscsi sends each PDU for itself, and its data apart from its header.
 * With TCP_NODELAY that would be a segment each.  The guard joins them; without
 * it the kernel has to. */
void
session_flush (struct session *s)
{
  if (!session_is_connected (s) || s->dying ||
      !session_is_full_feature (s->state))
    return;
  if (s->wire != NULL) {
    if (ffp_wants_out (wire_ffp (s->wire)))
      wire_flush (s);
  }
  else if (iscsi_which_events (s->ctx) & POLLOUT) {
    const bool several = !guard_is_installed () &&
      (s->sends_data || iscsi_out_queue_length (s->ctx) > 1);

    s->sends_data = false;
    if (several)
      cork (s, 1);
    service (s, POLLOUT);
    if (several && !s->dying)
      cork (s, 0);
  }
  /* The socket is full: the loop must wait until it can be written. */
  if (!s->dying &&
      (s->wire != NULL ? wire_wants_out (s->wire)
       : guard_unsent (s) || (iscsi_which_events (s->ctx) & POLLOUT))) {
    session_unsolo (s);
    engine_later (s->engine, &s->watch);
  }
}

void
session_flush_soon (struct session *s)
{
  engine_soon (s->engine, &s->flush);
}

void
session_update_watcher (struct session *s)
{
  struct engine *e = s->engine;
  int wanted, events, fd;

  if (!session_is_connected (s) || s->dying)
    return;
  if (s->worker_polls) {
    ev_io_stop (e->loop, &s->io);
    return;
  }
  if (s->wire != NULL)
    wanted = POLLIN | (wire_wants_out (s->wire) ? POLLOUT : 0);
  else if (s->relay != NULL && s->state != SESSION_CONNECT)
    wanted = POLLIN | (relay_wants_out (s->relay) ? POLLOUT : 0);
  else
    wanted = iscsi_which_events (s->ctx) | (guard_unsent (s) ? POLLOUT : 0);
  events = (wanted & POLLIN ? EV_READ : 0) | (wanted & POLLOUT ? EV_WRITE : 0);
  fd = session_fd (s);
  if (ev_is_active (&s->io) && s->io.fd == fd &&
      (s->io.events & (EV_READ | EV_WRITE)) == events)
    return;
  ev_io_stop (e->loop, &s->io);
  ev_io_set (&s->io, fd, events);
  ev_io_start (e->loop, &s->io);
}

static void
flush (struct work *w)
{
  session_flush (container_of (w, struct session, flush));
}

static void
watch (struct work *w)
{
  session_update_watcher (container_of (w, struct session, watch));
}

void
session_works_init (struct session *s)
{
  work_init (&s->flush, flush);
  work_init (&s->watch, watch);
}

/* The fd is ready.  Also a worker's business when the session is up: then
 * there are no events but the session's death. */
void
session_ready (struct session *s, int revents)
{
  if (!session_is_connected (s) || s->dying)
    return;
  if (revents & POLLIN) {
    const double now = engine_now ();

    /* Silent although something was asked: awake again from now. */
    if (now - s->last_rx > AWAKE_GAP &&
        (s->nr_in_flight > 0 || s->ping_sent > 0))
      s->awake_since = now;
    s->last_rx = now;
  }
  if (s->wire != NULL)
    wire_ready (s, revents);
  else if (s->relay != NULL && s->state != SESSION_CONNECT)
    relay_ready (s, revents);
  else
    service (s, revents);
}
