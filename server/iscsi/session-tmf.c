/* SPDX-License-Identifier: BSD-3-Clause */
/* Task management (RFC 7143 11.5) over a session that goes on. */
#include <config.h>

#include <stdlib.h>

#include "iscsi/session-internal.h"
#include "iscsi/wire.h"

/* ---- with libiscsi's full feature phase ------------------------------------------ */

/* Its functions for one kind of request cancel all that is on the context.  The
 * general one sends the request and nothing more, in front of whatever is queued:
 * so nothing may be queued, or what is to be ended would only be sent after it. */

struct session_tmf {
  struct list node;             /* session->tmfs */
  struct session *session;
  struct command *cmd;          /* to be aborted; NULL: none, or it is over */
  unsigned lun;                 /* that was reset */
  double sent;
  struct work work;             /* it is done, outside of libiscsi */
};

static void
tmf_free (struct session_tmf *t)
{
  if (t->cmd != NULL)
    t->cmd->tmf = NULL;
  work_cancel (&t->work);
  list_del (&t->node);
  free (t);
}

void
session_tmfs_forget (struct session *s)
{
  while (!list_empty (&s->tmfs))
    tmf_free (list_entry (s->tmfs.next, struct session_tmf, node));
}

static void
task_is_gone (struct work *w)
{
  struct session_tmf *t = container_of (w, struct session_tmf, work);
  struct session *s = t->session;
  struct command *cmd = t->cmd;

  tmf_free (t);
  if (cmd != NULL && !s->dying)
    session_end_command (cmd);
}

static void
lun_is_reset (struct work *w)
{
  struct session_tmf *t = container_of (w, struct session_tmf, work);
  struct session *s = t->session;
  const double sent = t->sent;
  const unsigned lun = t->lun;
  struct list *l, *next;

  tmf_free (t);
  list_for_each (l, next, &s->in_flight) {
    struct command *cmd = list_entry (l, struct command, node);

    if (!s->dying && cmd->lun == lun && cmd->submitted <= sent)
      session_end_command (cmd);
  }
}

/* The response comes after all answers that there are to be.  Only lists and flags
 * are changed here. */
static void
tmf_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  struct session_tmf *t = opaque;
  struct session *s = t->session;
  const bool aborts = t->work.run == task_is_gone;
  uint8_t response;

  (void) ctx;
  if (s->dying)
    return;                     /* session_tmfs_forget comes */
  if (status != SCSI_STATUS_GOOD || data == NULL) {
    session_kill (s, FAIL_LOST, "connection lost");
    return;
  }
  response = (uint8_t) *(uint32_t *) data;
  /* 1: there is no such task (any more). */
  if (response == 0 || (aborts && response == 1))
    engine_later (s->engine, &t->work);
  else {
    if (t->cmd != NULL)
      t->cmd->abort_refused = true;
    tmf_free (t);
  }
  if (!aborts)
    session_was_reset (s, response);
}

static struct session_tmf *
start (struct session *s, unsigned lun, enum iscsi_task_mgmt_funcs function,
       uint32_t itt, uint32_t cmdsn, void (*done) (struct work *w))
{
  struct session_tmf *t;

  session_flush (s);
  if (!session_all_sent (s) || (t = calloc (1, sizeof *t)) == NULL)
    return NULL;
  t->session = s;
  t->lun = lun;
  t->sent = engine_now ();
  work_init (&t->work, done);
  list_add_tail (&s->tmfs, &t->node);
  if (iscsi_task_mgmt_async (s->ctx, lun_encode (lun, s->flat_luns), function,
                             itt, cmdsn, tmf_cb, t) != 0) {
    tmf_free (t);
    return NULL;
  }
  return t;
}

/* ---- with either ------------------------------------------------------------------ */

bool
session_abort (struct session *s, struct command *cmd)
{
  if (s->dying)
    return false;
  if (s->wire != NULL) {
    /* Perhaps it was not sent yet, and is answered in here. */
    cmd->aborting = true;
    cmd->aborting = ffp_abort_task (wire_ffp (s->wire), &cmd->ffp);
    if (!cmd->aborting)
      return false;
  }
  else {
    struct session_tmf *t =
      s->ctx == NULL ? NULL
      : start (s, cmd->lun, ISCSI_TM_ABORT_TASK, cmd->task.itt,
               cmd->task.cmdsn, task_is_gone);

    if (t == NULL)
      return false;
    t->cmd = cmd;
    cmd->tmf = &t->cmd;
    cmd->aborting = true;
  }
  session_unsolo (s);
  session_flush_soon (s);
  return true;
}

bool
session_reset_lun (struct session *s, unsigned lun,
                   void (*done) (struct session *s, uint8_t response))
{
  if (s->dying || s->reset_done != NULL)
    return false;
  if (s->wire != NULL ? !ffp_lun_reset (wire_ffp (s->wire),
                                        lun_encode (lun, s->flat_luns))
      : s->ctx == NULL ||
      start (s, lun, ISCSI_TM_LUN_RESET, 0xffffffff, 0, lun_is_reset) == NULL)
    return false;
  s->reset_done = done;
  session_unsolo (s);
  session_flush_soon (s);
  return true;
}
