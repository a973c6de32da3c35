/* SPDX-License-Identifier: BSD-3-Clause */
/* What is behind a session: REPORT LUNS, and for each LUN the facts of
 * scsi.h, by a list of commands sent one after the other.  Run at every
 * login: nothing is taken for granted from the last time. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multipath/alua.h"
#include "conf/devices.h"
#include "multipath/registrant.h"

#define MAX_LUNS 1024
#define ANSWER_SIZE 16384
/* One command may be answered with UNIT ATTENTIONs and "busy" for so long, in
 * seconds. */
#define PATIENCE 10.0

struct probe {
  struct session *session;
  struct command cmd;
  bool in_flight;
  bool cancelled;               /* free when the answer is in */
  int step;                     /* STEP_REPORT_LUNS, or index in steps[] */
  uint16_t luns[MAX_LUNS];
  int nr_luns, current;
  bool well_known;              /* REPORT LUNS goes to that logical unit */
  bool listed;                  /* REPORT LUNS was asked */
  bool has_rc16;                /* READ CAPACITY(16) was answered */
  unsigned retries;
  double first_try;             /* of this step */
  ev_timer timer;
  struct lu_facts facts;
  bool needs_start;             /* NOT READY 04/02 or 04/03 */
  /* STEP_REGISTER: with whom, and how far; entered: it is our turn. */
  struct registrant *registrant;
  struct registration registration;
  bool entered;
  struct alua_answer ports;
  bool plain_report;            /* not with the extended header */
  uint8_t pages[256];           /* VPD page 00h */
  size_t nr_pages;
  uint8_t answer[ANSWER_SIZE];
};

enum { STEP_REPORT_LUNS = -2, STEP_REGISTER = -1 };

/* What the answer to a step means for the LUN. */
enum outcome {
  NEXT,                         /* go on with the next step */
  SKIP_LUN,                     /* not a LUN that we could use */
  AGAIN,                        /* the same step once more, in another form */
};

struct step {
  const char *name;
  int (*cdb) (struct probe *pr, uint8_t cdb[16], uint32_t *alloc); /* 0: skip */
  enum outcome (*answer) (struct probe *pr, size_t len);
  enum outcome (*error) (struct probe *pr, const struct sense *sense);
};

static void run_step (struct probe *pr);
static void probe_done (struct command *cmd, enum scsi_result result,
                        const struct sense *sense);

static enum outcome
ignore_error (struct probe *pr, const struct sense *sense)
{
  (void) pr;
  (void) sense;
  return NEXT;
}

/* TEST UNIT READY: eats the UNIT ATTENTIONs of the login (by the retries). */
static int
tur_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  (void) pr;
  *alloc = 0;
  return cdb_test_unit_ready (cdb);
}

static enum outcome
nothing (struct probe *pr, size_t len)
{
  (void) pr;
  (void) len;
  return NEXT;
}

static enum outcome
not_ready (struct probe *pr, const struct sense *sense)
{
  /* "No medium", a LUN that does not exist, or one that needs START UNIT:
   * INQUIRY and READ CAPACITY will tell; a message names the sense then.
   * 04/02, 04/03 is how old HP arrays say that the other controller has it. */
  pr->needs_start = sense->asc == 0x04 &&
    (sense->ascq == 0x02 || sense->ascq == 0x03);
  return NEXT;
}

static int
inquiry_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  (void) pr;
  *alloc = 96;
  return cdb_inquiry (cdb, false, 0, *alloc);
}

static enum outcome
inquiry_answer (struct probe *pr, size_t len)
{
  if (!parse_inquiry (&pr->facts, pr->answer, len))
    return SKIP_LUN;
  /* Nothing there: LUN 0 of many targets, and tgt's controller. */
  return pr->facts.qualifier == 3 || pr->facts.device_type == 0x1f
    ? SKIP_LUN : NEXT;
}

static enum outcome
skip_lun (struct probe *pr, const struct sense *sense)
{
  (void) pr;
  (void) sense;
  return SKIP_LUN;
}

static int
vpd_cdb (struct probe *pr, uint8_t page, uint8_t cdb[16], uint32_t *alloc)
{
  /* Pages that are not in the list are not asked for: old targets hang on
   * them.  But 83h is mandatory, and some lists are empty. */
  if (page != 0x00 && page != 0x83 &&
      !vpd_supported (pr->pages, pr->nr_pages, page))
    return 0;
  *alloc = page == 0x83 ? 4096 : 252;
  return cdb_inquiry (cdb, true, page, *alloc);
}

static int
vpd00_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  return vpd_cdb (pr, 0x00, cdb, alloc);
}

static enum outcome
vpd00_answer (struct probe *pr, size_t len)
{
  pr->nr_pages = len < sizeof pr->pages ? len : sizeof pr->pages;
  memcpy (pr->pages, pr->answer, pr->nr_pages);
  return NEXT;
}

#define VPD_STEP(page, parse)                                           \
  static int                                                            \
  vpd##page##_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)  \
  {                                                                     \
    return vpd_cdb (pr, 0x##page, cdb, alloc);                          \
  }                                                                     \
  static enum outcome                                                   \
  vpd##page##_answer (struct probe *pr, size_t len)                     \
  {                                                                     \
    parse (&pr->facts, pr->answer, len);                                \
    return NEXT;                                                        \
  }

VPD_STEP (80, parse_vpd_serial)
VPD_STEP (83, parse_vpd_identification)
/* Vendors' own pages mean other things elsewhere. */
static bool
may_be_passive (const struct probe *pr)
{
  const struct device_family *f = device_family (&pr->facts);

  return pr->facts.tpgs == 0 && f != NULL && f->to_alua != NULL;
}

static int
owner_cdb (struct probe *pr, uint8_t page, uint8_t cdb[16], uint32_t *alloc)
{
  return may_be_passive (pr) ? vpd_cdb (pr, page, cdb, alloc) : 0;
}

#define OWNER_STEP(page, parse)                                         \
  static int                                                            \
  vpd##page##_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)  \
  {                                                                     \
    return owner_cdb (pr, 0x##page, cdb, alloc);                        \
  }                                                                     \
  static enum outcome                                                   \
  vpd##page##_answer (struct probe *pr, size_t len)                     \
  {                                                                     \
    if (!pr->facts.has_owner)                                           \
      parse (&pr->facts, pr->answer, len);                              \
    return NEXT;                                                        \
  }

OWNER_STEP (C9, parse_vpd_rdac)
OWNER_STEP (C0, parse_vpd_clariion)
VPD_STEP (B0, parse_vpd_limits)
VPD_STEP (B1, parse_vpd_characteristics)

/* Before what a port in standby, unavailable or transition may refuse. */
static int
ports_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  if (pr->facts.tpgs == 0 || pr->facts.device_type != 0)
    return 0;
  *alloc = 4096;
  pr->ports.asked = engine_now ();
  return cdb_report_port_groups (cdb, !pr->plain_report, *alloc);
}

static enum outcome
ports_answer (struct probe *pr, size_t len)
{
  pr->ports.valid = parse_port_groups (&pr->ports.report, pr->answer, len);
  return NEXT;
}

static enum outcome
ports_error (struct probe *pr, const struct sense *sense)
{
  enum alua_state state;

  if (sense->valid && sense->key == SENSE_ILLEGAL_REQUEST) {
    if (!pr->plain_report) {
      pr->plain_report = true;
      return AGAIN;
    }
    pr->ports.refused = true;
    return NEXT;
  }
  /* Some do not answer at all in transition. */
  if (!sense->valid || sense->key != SENSE_NOT_READY || sense->asc != 0x04 ||
      !pr->facts.has_tpg)
    return NEXT;
  switch (sense->ascq) {
  case 0x0a: state = ALUA_TRANSITIONING; break;
  case 0x0b: state = ALUA_STANDBY; break;
  case 0x0c: state = ALUA_UNAVAILABLE; break;
  default: return NEXT;
  }
  pr->ports.valid = true;
  pr->ports.report.nr_groups = 1;
  pr->ports.report.groups[0] = (struct alua_group) {
    .id = pr->facts.tpg, .state = state,
  };
  return NEXT;
}

static int
rc16_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  if (pr->facts.device_type != 0)
    return 0;
  *alloc = 32;
  return cdb_read_capacity16 (cdb, *alloc);
}

static enum outcome
rc16_answer (struct probe *pr, size_t len)
{
  pr->has_rc16 = true;
  parse_read_capacity16 (&pr->facts, pr->answer, len);
  return NEXT;
}

static int
rc10_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  if (pr->facts.device_type != 0 || pr->facts.block_size != 0)
    return 0;
  *alloc = 8;
  return cdb_read_capacity10 (cdb);
}

static enum outcome
rc10_answer (struct probe *pr, size_t len)
{
  parse_read_capacity10 (&pr->facts, pr->answer, len);
  pr->facts.over_10 &= !pr->has_rc16;
  return NEXT;
}

/* After READ CAPACITY: its LBPRZ and this page's must be merged that way. */
static int
vpdB2_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  return vpd_cdb (pr, 0xB2, cdb, alloc);
}

static enum outcome
vpdB2_answer (struct probe *pr, size_t len)
{
  parse_vpd_provisioning (&pr->facts, pr->answer, len);
  return NEXT;
}

/* SPC-3 has it first.  Optional: a refusal says "no". */
static int
write_same_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  if (pr->facts.device_type != 0 || pr->facts.version < 5)
    return 0;
  *alloc = 64;
  return cdb_report_opcode (cdb, OPCODE_WRITE_SAME16, *alloc);
}

static enum outcome
write_same_answer (struct probe *pr, size_t len)
{
  parse_supported_write_same16 (&pr->facts, pr->answer, len);
  return NEXT;
}

static int
mode6_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  if (pr->facts.device_type != 0)
    return 0;
  *alloc = 192;
  return cdb_mode_sense6 (cdb, 0x3f, *alloc);
}

static enum outcome
mode6_answer (struct probe *pr, size_t len)
{
  parse_mode_sense6 (&pr->facts, pr->answer, len);
  return NEXT;
}

/* Page 3Fh did not have, or did not reach to, the caching page. */
static int
mode6_caching_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  if (pr->facts.device_type != 0 || pr->facts.has_caching_page)
    return 0;
  *alloc = 192;
  return cdb_mode_sense6 (cdb, 0x08, *alloc);
}

static int
mode10_cdb (struct probe *pr, uint8_t cdb[16], uint32_t *alloc)
{
  if (pr->facts.device_type != 0 || pr->facts.has_caching_page)
    return 0;
  *alloc = 512;
  return cdb_mode_sense10 (cdb, 0x08, *alloc);
}

static enum outcome
mode10_answer (struct probe *pr, size_t len)
{
  parse_mode_sense10 (&pr->facts, pr->answer, len);
  return NEXT;
}

static const struct step steps[] = {
  { "TEST UNIT READY", tur_cdb, nothing, not_ready },
  { "INQUIRY", inquiry_cdb, inquiry_answer, skip_lun },
  { "INQUIRY page 00h", vpd00_cdb, vpd00_answer, ignore_error },
  { "INQUIRY page 80h", vpd80_cdb, vpd80_answer, ignore_error },
  { "INQUIRY page 83h", vpd83_cdb, vpd83_answer, ignore_error },
  { "REPORT TARGET PORT GROUPS", ports_cdb, ports_answer, ports_error },
  { "READ CAPACITY(16)", rc16_cdb, rc16_answer, ignore_error },
  { "READ CAPACITY(10)", rc10_cdb, rc10_answer, ignore_error },
  { "INQUIRY page B0h", vpdB0_cdb, vpdB0_answer, ignore_error },
  { "INQUIRY page C9h", vpdC9_cdb, vpdC9_answer, ignore_error },
  { "INQUIRY page C0h", vpdC0_cdb, vpdC0_answer, ignore_error },
  { "INQUIRY page B1h", vpdB1_cdb, vpdB1_answer, ignore_error },
  { "INQUIRY page B2h", vpdB2_cdb, vpdB2_answer, ignore_error },
  { "REPORT SUPPORTED OPERATION CODES", write_same_cdb, write_same_answer,
    ignore_error },
  { "MODE SENSE(6)", mode6_cdb, mode6_answer, ignore_error },
  { "MODE SENSE(6) page 8", mode6_caching_cdb, mode6_answer, ignore_error },
  { "MODE SENSE(10) page 8", mode10_cdb, mode10_answer, ignore_error },
};
#define NR_STEPS ((int) (sizeof steps / sizeof steps[0]))

/* ---- going through them --------------------------------------------------------- */

static void
finish (struct probe *pr)
{
  struct session *s = pr->session;
  struct list *l, *next;

  /* LUNs that we know and that were not found any more. */
  list_for_each (l, next, &s->paths) {
    struct path *p = list_entry (l, struct path, session_node);
    int i;

    for (i = 0; i < pr->nr_luns; ++i)
      if (pr->luns[i] == p->lun)
        break;
    if (i == pr->nr_luns)
      path_vanished (p, "LUN not in the target's list any more");
  }
  s->probe = NULL;
  ev_timer_stop (s->engine->loop, &pr->timer);
  free (pr);
  session_event (s, SESSION_EV_PROBED);
}

/* ---- registering ------------------------------------------------------------------ */

/* One path of a logical unit at a time. */
#define REGISTER_TURN 0.01

static void
run_later (struct probe *pr, double seconds)
{
  struct ev_loop *loop = pr->session->engine->loop;

  ev_timer_stop (loop, &pr->timer);
  ev_timer_set (&pr->timer, seconds, 0.);
  ev_timer_start (loop, &pr->timer);
}

static void
stop_registering (struct probe *pr)
{
  if (pr->entered)
    registrant_leave (pr->registrant, pr, &pr->registration);
  pr->entered = false;
  pr->registrant = NULL;
}

/* The next command of it. */
static void
send_register (struct probe *pr)
{
  struct command *cmd = &pr->cmd;
  bool in;
  int len;

  if (!pr->entered)
    pr->entered = registrant_enter (pr->registrant, pr, &pr->registration);
  if (!pr->entered) {
    run_later (pr, REGISTER_TURN);
    return;
  }
  command_internal (cmd, pr->luns[pr->current], probe_done, pr);
  memset (pr->answer, 0, sizeof pr->answer);
  len = registration_command (&pr->registration, cmd->cdb, ANSWER_SIZE,
                              pr->answer, &in);
  command_prepare (cmd, len, in ? SCSI_XFER_READ : SCSI_XFER_WRITE, pr->answer,
                   in ? ANSWER_SIZE : PR_PARAMETERS);
  cmd->may_be_short = true;
  pr->in_flight = true;
  session_submit (pr->session, cmd);
}

static void lun_identified (struct probe *pr, enum path_admission admission);

static void
register_done (struct probe *pr, enum scsi_result result,
               const struct sense *sense, size_t len)
{
  const struct verdict v = verdict_of (result, sense);
  struct registrant *g = pr->registrant;
  struct registration *r = &pr->registration;
  char text[100];

  registration_answer (r, v.kind == VERDICT_DONE ? ANSWER_GOOD
                       : result == RESULT_RESERVATION_CONFLICT ? ANSWER_CONFLICT
                       : result == RESULT_CHECK_CONDITION &&
                       sense->key == SENSE_ILLEGAL_REQUEST ? ANSWER_ILLEGAL
                       : ANSWER_ERROR, pr->answer, len);
  pr->retries = 0;
  if (!registration_is_over (r)) {
    send_register (pr);
    return;
  }
  stop_registering (pr);
  lun_identified (pr, registrant_admits (g, pr->session, pr->luns[pr->current],
                                         r->step,
                                         result == RESULT_CHECK_CONDITION
                                         ? sense_text (sense, text, sizeof text)
                                         : result_text (result)));
}

/* ---- one LUN after the other --------------------------------------------------------- */

static void
next_lun (struct probe *pr)
{
  pr->current++;
  pr->step = 0;
  if (pr->current == pr->nr_luns)
    finish (pr);
  else {
    lu_facts_init (&pr->facts);
    pr->nr_pages = 0;
    pr->has_rc16 = false;
    memset (&pr->ports, 0, sizeof pr->ports);
    run_step (pr);
  }
}

static void
lun_identified (struct probe *pr, enum path_admission admission)
{
  if (admission == PATH_IS_ADMITTED && may_be_passive (pr) &&
      (pr->facts.owned_elsewhere || pr->needs_start))
    admission = PATH_IS_PASSIVE;
  path_identified (pr->session, pr->luns[pr->current], &pr->facts, admission,
                   &pr->ports);
  next_lun (pr);
}

static void
lun_done (struct probe *pr, enum outcome outcome)
{
  struct session *s = pr->session;
  const unsigned lun = pr->luns[pr->current];

  if (outcome == NEXT) {
    if (pr->facts.wwid[0] == '\0')
      wwid_from_serial (&pr->facts);
    pr->registrant = registrant_for (s, &pr->facts);
    if (pr->registrant != NULL &&
        pr->registrant->state == REGISTRANT_FENCED)
      lun_identified (pr, PATH_IS_FENCED);
    else if (pr->registrant != NULL) {
      pr->step = STEP_REGISTER;
      send_register (pr);
    }
    else
      lun_identified (pr, PATH_IS_ADMITTED);
  }
  else {
    struct path *p = path_find (s, lun);

    if (p != NULL)
      path_vanished (p, "no logical unit there any more");
    else if (s->engine->settings->lun == (int) lun && !pr->listed) {
      /* In another form perhaps. */
      pr->step = STEP_REPORT_LUNS;
      run_step (pr);
      return;
    }
    else if (s->engine->settings->lun == (int) lun)
      engine_complain (s->engine, false, "%s: target %s has no LUN %u; "
                       "check lun=", s->name, s->target, lun);
    next_lun (pr);
  }
}

static void
advance (struct probe *pr, enum outcome outcome)
{
  pr->retries = 0;
  if (outcome == AGAIN)
    run_step (pr);
  else if (outcome == SKIP_LUN || ++pr->step == NR_STEPS)
    lun_done (pr, outcome);
  else
    run_step (pr);
}

static void
luns_found (struct probe *pr)
{
  const int only = pr->session->engine->settings->lun;

  if (only >= 0) {
    pr->luns[0] = only;
    pr->nr_luns = 1;
  }
  if (pr->nr_luns == 0) {
    finish (pr);
    return;
  }
  pr->retries = 0;
  pr->step = 0;
  pr->current = 0;
  lu_facts_init (&pr->facts);
  run_step (pr);
}

static void
luns_reported (struct probe *pr, bool good, size_t len)
{
  struct session *s = pr->session;
  bool truncated = false, flat = false;

  if (good)
    pr->nr_luns = parse_report_luns (pr->answer, len, pr->luns, MAX_LUNS,
                                     &truncated, &flat);
  if (good && pr->nr_luns >= 0) {
    s->flat_luns = flat;
    if (truncated)
      log_warning ("%s: target %s has more LUNs than the %d that were looked "
                   "at; name one with lun=", s->name, s->target, pr->nr_luns);
  }
  else if (!pr->well_known) {
    /* LUN 0 need not take it where that one is (SPC-4 6.33, 8.2). */
    pr->well_known = true;
    run_step (pr);
    return;
  }
  else {
    /* It is mandatory, but LUN 0 is what is meant then. */
    pr->luns[0] = 0;
    pr->nr_luns = 1;
  }
  pr->listed = true;
  luns_found (pr);
}

/* UNIT ATTENTIONs of a session in use that happen to reach us. */
static void
take_news (struct probe *pr, unsigned lun, unsigned actions)
{
  struct session *s = pr->session;
  struct path *p = path_find (s, lun);

  if (s->state != SESSION_UP)
    return;                     /* those of the login say nothing new */
  if (p != NULL)
    path_heard (p, actions, pr->cmd.submitted);
  if (actions & (ACTION_CHECK_CAPACITY | ACTION_CHECK_IDENTITY))
    session_look_again (s);
}

static void
give_up (struct probe *pr)
{
  struct session *s = pr->session;

  if (s->state != SESSION_UP) {
    session_kill (s, FAIL_TIMEOUT, "the target is too busy to be identified");
    return;
  }
  s->look_again = true;         /* at the next tick */
  probe_cancel (s);
}

/* That may last for minutes; INQUIRY and REPORT TARGET PORT GROUPS say what
 * there is meanwhile. */
static bool
in_transition (const struct probe *pr, enum scsi_result result,
               const struct sense *sense)
{
  return result == RESULT_CHECK_CONDITION && sense->valid &&
    sense->key == SENSE_NOT_READY && sense->asc == 0x04 &&
    sense->ascq == 0x0a && pr->step >= 0 &&
    (pr->step == 0 || pr->facts.tpgs != 0);
}

static void
probe_done (struct command *cmd, enum scsi_result result,
            const struct sense *sense)
{
  struct probe *pr = cmd->opaque;
  const struct verdict v = verdict_of (result, sense);
  size_t len;

  pr->in_flight = false;
  if (pr->cancelled) {
    free (pr);
    return;
  }
  if (v.kind == VERDICT_PATH && result >= RESULT_LOST)
    return;                     /* session_reap ends the probe */
  take_news (pr, cmd->lun, v.actions);
  if ((v.kind == VERDICT_RETRY || v.kind == VERDICT_RETRY_LATER) &&
      !in_transition (pr, result, sense)) {
    const double now = engine_now ();
    unsigned delay_ms;

    if (pr->retries++ == 0)
      pr->first_try = now;
    delay_ms = verdict_delay (&v, pr->retries);
    if (now - pr->first_try < PATIENCE) {
      if (delay_ms == 0)
        run_step (pr);
      else
        run_later (pr, delay_ms / 1000.);
      return;
    }
    /* Too busy to say what it is: nothing can be concluded from that. */
    give_up (pr);
    return;
  }

  len = cmd->bytes;
  if (cmd->task.residual_status == SCSI_RESIDUAL_UNDERFLOW)
    len = cmd->task.residual < len ? len - cmd->task.residual : 0;
  /* Some have the number of bytes that they sent there. */
  if (v.kind == VERDICT_DONE && cmd->arrived > len)
    len = cmd->arrived;

  if (pr->step == STEP_REPORT_LUNS) {
    luns_reported (pr, v.kind == VERDICT_DONE, len);
    return;
  }
  if (pr->step == STEP_REGISTER) {
    register_done (pr, result, sense, len);
    return;
  }
  if (v.kind == VERDICT_DONE)
    advance (pr, steps[pr->step].answer (pr, len));
  else {
    log_debug ("%s: LUN %u: %s failed", pr->session->name,
               pr->luns[pr->current], steps[pr->step].name);
    advance (pr, steps[pr->step].error (pr, sense));
  }
}

/* Service thread.  Steps that do not apply are passed over. */
static void
run_step (struct probe *pr)
{
  struct session *s = pr->session;
  struct command *cmd = &pr->cmd;
  uint32_t alloc = 0;
  int len = 0;

  if (pr->step == STEP_REGISTER) {      /* again, or our turn perhaps */
    send_register (pr);
    return;
  }

  command_internal (cmd, 0, probe_done, pr);
  if (pr->step == STEP_REPORT_LUNS) {
    alloc = 16 + 8 * MAX_LUNS;
    len = cdb_report_luns (cmd->cdb, alloc);
    cmd->lun = pr->well_known ? LUN_REPORT_LUNS : 0;
  }
  else {
    while (pr->step < NR_STEPS &&
           (len = steps[pr->step].cdb (pr, cmd->cdb, &alloc)) == 0)
      pr->step++;
    if (pr->step == NR_STEPS) {
      lun_done (pr, NEXT);
      return;
    }
    cmd->lun = pr->luns[pr->current];
  }
  command_prepare (cmd, len, alloc ? SCSI_XFER_READ : SCSI_XFER_NONE,
                   pr->answer, alloc);
  /* A short answer must not show what the one before left there. */
  memset (pr->answer, 0, alloc);
  cmd->may_be_short = true;
  pr->in_flight = true;
  session_submit (s, cmd);
}

static void
timer_cb (EV_P_ ev_timer *w, int revents)
{
  (void) loop;
  (void) revents;
  run_step (w->data);
}

void
probe_start (struct session *s)
{
  struct probe *pr;

  if (s->probe != NULL)
    return;
  pr = calloc (1, sizeof *pr);
  if (pr == NULL) {
    session_kill (s, FAIL_LOST, "out of memory");
    return;
  }
  pr->session = s;
  ev_init (&pr->timer, timer_cb);
  pr->timer.data = pr;
  s->probe = pr;
  pr->step = STEP_REPORT_LUNS;
  if (s->engine->settings->lun >= 0)
    luns_found (pr);
  else
    run_step (pr);
}

/* The session ended.  An answer that is on its way to probe_done still points
 * to us. */
void
probe_cancel (struct session *s)
{
  struct probe *pr = s->probe;

  if (pr == NULL)
    return;
  s->probe = NULL;
  stop_registering (pr);
  ev_timer_stop (s->engine->loop, &pr->timer);
  if (pr->in_flight)
    pr->cancelled = true;
  else
    free (pr);
}

void
session_look_again_if_wanted (struct session *s)
{
  if (s->look_at > 0 && engine_now () >= s->look_at) {
    s->look_at = 0;
    s->look_again = true;
  }
  /* While one runs, what changed may lie behind it: then once more. */
  if (s->look_again && s->probe == NULL && s->state == SESSION_UP &&
      !s->dying) {
    s->look_again = false;
    probe_start (s);
  }
}

void
session_look (struct work *w)
{
  session_look_again_if_wanted (container_of (w, struct session, look));
}

void
session_look_again (struct session *s)
{
  s->look_again = true;
  engine_later (s->engine, &s->look);
}
