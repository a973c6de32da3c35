/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths, looked at from time to time: the checkers, and who is slower than the
 * others. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "multipath/alua.h"
#include "rules/health.h"
#include "multipath/registrant.h"

static void check_done (struct command *cmd, enum scsi_result result,
                        const struct sense *sense);

#define IDENTITY_SIZE 1024

static bool
have_buffer (struct path *p)
{
  const uint32_t bs = p->map->facts.block_size;

  if (p->check_buf == NULL)
    p->check_buf = malloc (bs > IDENTITY_SIZE ? bs : IDENTITY_SIZE);
  return p->check_buf != NULL;
}

/* A target may put another disk behind the LUN without a word (tgt does, when
 * a LUN is deleted and made again): ask who it is in each round. */
static void
ask_identity (struct path *p)
{
  struct command *cmd = &p->check;

  if (!have_buffer (p) || !session_has_room (p->session))
    return;
  command_internal (cmd, p->lun, check_done, p);
  cmd->may_be_short = true;
  command_prepare (cmd, cdb_inquiry (cmd->cdb, true, 0x83, IDENTITY_SIZE),
                   SCSI_XFER_READ, p->check_buf, IDENTITY_SIZE);
  p->checking = p->check_identity = true;
  session_submit (p->session, cmd);
}

static void
compare_identity (struct path *p, const struct command *cmd,
                  enum verdict_kind kind)
{
  struct lu_facts facts;
  char why[300];
  size_t len = cmd->bytes;

  p->check_identity = false;
  if (cmd->task.residual_status == SCSI_RESIDUAL_UNDERFLOW)
    len = cmd->task.residual < len ? len - cmd->task.residual : 0;
  lu_facts_init (&facts);
  if (kind != VERDICT_DONE ||
      !parse_vpd_identification (&facts, p->check_buf, len) ||
      facts.wwid[0] == '\0' || strcmp (facts.wwid, p->map->wwid) == 0)
    return;
  snprintf (why, sizeof why, "another disk answers here now: WWID %.100s",
            facts.wwid);
  p->odd_size_since = 0;
  path_event (p, PATH_EV_WRONG, why);
}

static void
check_done (struct command *cmd, enum scsi_result result,
            const struct sense *sense)
{
  struct path *p = cmd->opaque;
  const struct verdict v = verdict_of (result, sense);
  char text[100];

  p->checking = false;
  if (p->is_asked && v.kind == VERDICT_DONE && !p->check_identity) {
    p->last_answer = engine_now ();
    p->answered_submitted = p->check_sent;
  }
  p->is_asked = false;
  if (p->flap.sampling)
    flap_sampled (&p->flap, v.kind == VERDICT_DONE);
  if (result >= RESULT_LOST) {
    p->check_identity = false;
    return;                     /* session_reap has told the path */
  }
  path_heard (p, v.actions, p->check_sent);
  registrant_heard (p, v.actions);
  if (v.kind == VERDICT_DONE) {
    if (!p->check_identity)     /* INQUIRY does not tell (SPC-4 6.6) */
      path_heard_nothing (p, p->check_sent);
    if (path_is_usable (p->state))
      flap_good_check (&p->flap, &p->map->settings);
    /* Of a path that is left alone, this is all that is known. */
    if (p->sel.slow)
      p->average_latency = latency_average (p->average_latency, engine_now () -
                                            p->check_sent, 0.5);
  }
  if (v.actions & (ACTION_CHECK_CAPACITY | ACTION_CHECK_IDENTITY))
    session_look_again (p->session);
  if (v.actions & ACTION_CHECK_ALUA)
    alua_ask (p->map);
  if (alua_refused (p, result, sense))
    p->check_identity = false;  /* its group is not in use now */
  else if (v.kind == VERDICT_PATH)
    path_event (p, PATH_EV_IO_ERROR, sense_text (sense, text, sizeof text));
  else if (p->check_identity)
    compare_identity (p, cmd, v.kind);
  else if (v.kind == VERDICT_DONE && path_is_usable (p->state) &&
           !p->session->dying && p->map->wwid[0] != 'S')
    ask_identity (p);
}

static void
send_check (struct path *p, double now, bool has_room)
{
  const bool read = p->map->settings.path_checker == CHECKER_DIRECTIO ||
    p->sel.slow || p->flap.sampling || p->is_asked;
  struct command *cmd = &p->check;

  /* A reset is about to be sent: it would be aborted. */
  if (!has_room || (p->map->frozen && !p->asked_of_reset))
    return;
  p->check_identity = false;
  command_internal (cmd, p->lun, check_done, p);
  if (read) {
    /* One block from the start of the disk, as dm's directio reads it. */
    if (!have_buffer (p))
      return;
    command_prepare (cmd, cdb_read (cmd->cdb, 0, 1, false), SCSI_XFER_READ,
                     p->check_buf, p->map->facts.block_size);
  }
  else
    command_prepare (cmd, cdb_test_unit_ready (cmd->cdb), SCSI_XFER_NONE,
                     NULL, 0);
  p->checking = true;
  p->check_sent = now;
  session_submit (p->session, cmd);
}

void
path_ask (struct path *p, double now)
{
  if (p->checking || now - p->check_sent < 0.25)
    return;
  p->is_asked = true;
  send_check (p, now, session_has_room (p->session));
  p->is_asked = p->checking;
}

void
path_ask_of_reset (struct path *p, double now)
{
  if (p->checking || p->session->state != SESSION_UP || p->session->dying)
    return;
  p->asked_of_reset = true;
  send_check (p, now, true);
  p->asked_of_reset = false;
}

/* A path that was put aside, by its session still up. */
static void
check_aside (struct path *p, double now)
{
  enum flap_step step = FLAP_STEADY;

  /* The last one is never put aside. */
  if (p->map->nr_active > 0)
    step = flap_aside (&p->flap, &p->map->settings, now);
  switch (step) {
  case FLAP_WAIT:
    break;
  case FLAP_SAMPLE:
    if (now - p->check_sent >= FLAP_SAMPLE_INTERVAL)
      send_check (p, now, session_has_room (p->session));
    break;
  case FLAP_STEADY:
    path_event (p, PATH_EV_STEADY, NULL);
    break;
  }
}

/* How often a slow path is asked whether it still is, in seconds. */
#define SLOW_CHECK 1.0

/* Round after round for a path that holds still, the interval doubles. */
void
path_check (struct path *p, double now)
{
  const struct settings *st = p->map->engine->settings;
  struct session *s = p->session;

  if (s->state != SESSION_UP || s->dying || p->checking)
    return;
  if (p->state == PATH_SHAKY) {
    check_aside (p, now);
    return;
  }
  if (now < p->next_check)
    return;
  p->next_check = now + p->check_interval;
  if (p->check_interval * 2 <= st->max_polling_interval)
    p->check_interval *= 2;
  else
    p->check_interval = st->max_polling_interval;

  /* What becomes of it the array says: TEST UNIT READY is good in some states
   * that take no I/O. */
  if (p->state == PATH_GHOST && !alua_path_is_usable (p))
    return;
  if (!path_is_usable (p->state)) {
    /* The session is there, but the LUN was not, or was another: only a
     * full identification can bring it back. */
    p->check_interval = st->polling_interval;
    if (p->state != PATH_ADMIN && p->state != PATH_FENCED)
      session_look_again (s);
    return;
  }
  if (p->sel.slow)
    p->next_check = now + SLOW_CHECK;
  else if (p->map->settings.path_checker == CHECKER_NONE)
    return;
  send_check (p, now, session_has_room (p->session));
}

/* Its average is of today: nothing waits for long. */
static bool
answers (const struct path *p)
{
  const struct session *s = p->session;

  return s->unacked_since == 0 &&
    (list_empty (&s->in_flight) ||
     engine_now () - list_entry (s->in_flight.next, struct command,
                                 node)->submitted <
     4 * p->average_latency + 0.05);
}

void
map_check_latency (struct map *m)
{
  const double now = engine_now (), since = now - m->latency_checked;
  struct list *l, *next, *k, *knext;

  m->latency_checked = now;
  if (m->nr_active < 2)
    return;
  list_for_each (l, next, &m->paths) {
    struct path *p = list_entry (l, struct path, map_node);
    double best = 0;
    bool slow;

    if (!path_is_usable (p->state) || p->average_latency == 0 || p->deaf)
      continue;
    list_for_each (k, knext, &m->paths) {
      const struct path *q = list_entry (k, struct path, map_node);

      if (q != p && path_is_usable (q->state) && !q->sel.slow &&
          q->group == p->group && q->average_latency > 0 && answers (q) &&
          (best == 0 || q->average_latency < best))
        best = q->average_latency;
    }
    if (best == 0)
      continue;
    slow = path_latency_is_slow (p->sel.slow, p->average_latency, best);
    if (!p->sel.slow)
      slow = path_slow_is_proven (&p->slow_proof, slow, since);
    if (slow == p->sel.slow)
      continue;
    p->slow_proof = 0;
    p->sel.slow = slow;
    p->next_check = 0;
    if (slow)
      log_warning ("%s: %s is slow (%.1f ms, another path %.1f ms): used only "
                   "when no other path is left", m->name, p->session->name,
                   p->average_latency * 1e3, best * 1e3);
    else
      log_info ("%s: %s is no longer slow (%.1f ms)", m->name,
                p->session->name, p->average_latency * 1e3);
  }
}
