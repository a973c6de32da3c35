/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that a reset has ended without an answer.
 *
 * After a LOGICAL UNIT RESET, ours or another initiator's, a target with TAS=0
 * does not answer the tasks that it has aborted (SAM-5 5.3.1); the UNIT ATTENTION
 * that reports it may be all that is heard.  What had not come to the target
 * yet was not aborted, so that it alone does not say which is which.  ABORT TASK
 * does: its response comes after the task's answer, or there is no such task any
 * more (RFC 7143 11.6.1).  Then the command is sent again at once: nothing waits
 * for a timeout, no session ends, nothing is in doubt. */
#include <config.h>

#include "multipath/gate.h"

/* ABORT TASK requests at a time: targets may refuse too many immediate ones. */
#define AT_ONCE 8
/* Seconds that a target gets to say so; it may have to wait for its backing
 * store. */
#define PATIENCE 10.0
/* A command that waits longer is worth a question, in seconds: if there was a
 * reset, the UNIT ATTENTION comes with the answer. */
#define SILENCE 1.0

/* Neither through this map nor through the others that use it. */
void
session_give_grace (struct session *s)
{
  const double until =
    engine_now () + s->engine->settings->login_timeout + 1;
  struct list *l, *next;

  list_for_each (l, next, &s->paths)
    list_entry (l, struct path, session_node)->map->grace_until = until;
}

void
path_abort_tasks (struct path *p, double before)
{
  struct list *l, *next;
  bool any = false;

  list_for_each (l, next, &p->session->in_flight) {
    const struct command *cmd = list_entry (l, struct command, node);

    if (cmd->lun == p->lun && cmd->submitted <= before)
      any = true;
  }
  if (!any)
    return;
  if (p->abort_before == 0)
    p->abort_since = engine_now ();
  if (before > p->abort_before)
    p->abort_before = before;
  gate_soon (p->map);
}

static void
go_on (struct path *p, double now)
{
  struct session *s = p->session;
  struct list *l, *next;
  unsigned left = 0, out = 0;
  bool refused = false;

  if (!session_is_connected (s) || s->dying) {
    p->abort_before = 0;        /* they are lost */
    return;
  }
  list_for_each (l, next, &s->in_flight) {
    struct command *cmd = list_entry (l, struct command, node);

    if (cmd->lun != p->lun || cmd->submitted > p->abort_before)
      continue;
    left++;
    refused |= cmd->abort_refused;
    if (cmd->aborting || (out < AT_ONCE && session_abort (s, cmd)))
      out++;
  }
  if (left == 0)
    p->abort_before = 0;
  else if (refused || now - p->abort_since > PATIENCE) {
    p->abort_before = 0;
    session_give_grace (s);
    session_kill (s, FAIL_LOST, "%u commands that a reset has aborted: the "
                  "target %s ABORT TASK", left, refused ? "refused"
                  : "did not answer");
  }
}

/* Every slot may be in use by what will not be answered, and then nothing else
 * would ask. */
static void
ask (struct path *p, double now)
{
  struct list *l, *next;

  if (p->checking || p->session->state != SESSION_UP ||
      now - p->check_sent < SILENCE)
    return;
  list_for_each (l, next, &p->session->in_flight) {
    const struct command *cmd = list_entry (l, struct command, node);

    if (cmd->lun == p->lun && now - cmd->submitted > SILENCE) {
      path_ask_of_reset (p, now);
      return;
    }
  }
}

void
map_check_aborted (struct map *m, double now)
{
  struct list *l, *next;

  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    ask (p, now);
    if (p->abort_before > 0)
      go_on (p, now);
  }
}
