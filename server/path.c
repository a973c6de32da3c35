/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths: one LUN through one session.  Identity, checkers, and the state
 * table's actions. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "engine.h"
#include "fence.h"

struct path *
path_find (struct session *s, unsigned lun)
{
  struct list *l, *next;

  list_for_each (l, next, &s->paths) {
    struct path *p = list_entry (l, struct path, session_node);

    if (p->lun == lun)
      return p;
  }
  return NULL;
}

static const char *
checker_name (const struct map *m)
{
  switch (m->settings.path_checker) {
  case CHECKER_DIRECTIO: return "directio";
  case CHECKER_NONE: return "none";
  case CHECKER_TUR: break;
  }
  return "tur";
}

/* ---- what the kernel prints for a new disk ----------------------------------- */

static void
announce (struct path *p)
{
  const struct lu_facts *f = &p->facts;
  const double bytes = (double) f->blocks * f->block_size;
  const char *name = p->session->name;
  const double decimal = bytes >= 1e12 ? 1e12 : bytes >= 1e9 ? 1e9 : 1e6;
  const double binary = bytes >= 1024. * 1024 * 1024 * 1024
    ? 1024. * 1024 * 1024 * 1024
    : bytes >= 1024. * 1024 * 1024 ? 1024. * 1024 * 1024 : 1024. * 1024;

  if (p->announced)
    return;
  p->announced = true;
  log_info ("%s: LUN %u: Direct-Access %s %s %s, ANSI %u, WWID %s", name,
            p->lun, f->vendor, f->product, f->revision, f->version, f->wwid);
  log_info ("%s: LUN %u: %" PRIu64 " %u-byte logical blocks: "
            "(%.3g %s/%.3g %s)", name, p->lun, f->blocks, f->block_size,
            bytes / decimal,
            decimal == 1e12 ? "TB" : decimal == 1e9 ? "GB" : "MB",
            bytes / binary, binary > 1e12 ? "TiB"
            : binary > 1e9 ? "GiB" : "MiB");
  if (f->physical_block_size != f->block_size)
    log_info ("%s: LUN %u: %u-byte physical blocks", name, p->lun,
              f->physical_block_size);
  log_info ("%s: LUN %u: Write Protect is %s", name, p->lun,
            f->write_protect ? "on" : "off");
  log_info ("%s: LUN %u: Write cache: %s, %s DPO and FUA", name, p->lun,
            !f->has_caching_page ? "unknown, assumed enabled"
            : f->wce ? "enabled" : "disabled",
            f->dpofua ? "supports" : "doesn't support");
  log_info ("%s: LUN %u: Attached SCSI disk", name, p->lun);
}

/* ---- state ---------------------------------------------------------------------- */

static void
log_remaining (const struct map *m)
{
  log_info ("%s: remaining active paths: %u", m->name, m->nr_active);
}

void
path_event (struct path *p, enum path_event ev, const char *why)
{
  struct map *m = p->map;
  const enum path_state from = p->state;
  const struct path_transition t = path_transition (from, ev);

  p->state = t.next;
  if (t.next != from) {
    p->check_interval = m->engine->settings->polling_interval;
    p->next_check = engine_now () + p->check_interval;
  }
  switch (t.action) {
  case PATH_ACT_NONE:
    break;
  case PATH_ACT_FAIL:
  case PATH_ACT_COMPLAIN:
    if (t.action == PATH_ACT_COMPLAIN && p->odd_size_since == 0)
      log_error ("%s: %s: path is not used any more: %s", m->name,
                 p->session->name, why);
    else if (t.action == PATH_ACT_COMPLAIN)
      log_info ("%s: %s: path is not used until its size is clear: %s",
                m->name, p->session->name, why);
    if (path_is_usable (from)) {
      flap_failed (&p->flap, &m->settings, engine_now ());
      p->average_latency = 0;
      p->sel.slow = false;
      p->slow_proof = 0;
      /* The logouts at the end are nobody's failure. */
      const bool quiet = m->engine->shutdown;

      log_line (quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
                "%s: Failing path %s: %s", m->name, p->session->name, why);
      if (!quiet)
        log_info ("%s: %s - %s checker reports path is %s", m->name,
                  p->session->name, checker_name (m),
                  t.next == PATH_GHOST ? "ghost" : "down");
      p->path_faults++;
      map_path_failed (m, p);
      if (!quiet)
        log_remaining (m);
    }
    break;
  case PATH_ACT_REINSTATE:
    log_info ("%s: %s - %s checker reports path is up", m->name,
              p->session->name, checker_name (m));
    log_info ("%s: reinstated", p->session->name);
    /* It need not wait for the session's other LUNs to be identified. */
    if (!p->session->dying && !p->session->want_probe &&
        session_is_full_feature (p->session->state))
      p->session->limit_now = p->session->depth;
    map_path_reinstated (m, p);
    log_remaining (m);
    break;
  case PATH_ACT_CHECK:
    p->session->want_probe = true;
    engine_kick (m->engine);
    break;
  }
  if (t.next != from && m->engine->observer)
    m->engine->observer->path_changed (p, from, why);
}

/* ---- identity -------------------------------------------------------------------- */

static struct map *
find_map (struct engine *e, const char *wwid)
{
  struct list *l, *next;

  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (strcmp (m->wwid, wwid) == 0)
      return m;
  }
  return NULL;
}

/* Equal WWIDs are not proof: those that targets make up (tgt's are of target
 * number and LUN) are the same on different hosts. */
static bool
same_disk (struct map *m, struct session *s, unsigned lun,
           const struct lu_facts *facts)
{
  const struct path *p =
    list_entry (m->paths.next, struct path, map_node);

  /* All its paths were deleted: what comes now has to be the same disk. */
  if (list_empty (&m->paths)) {
    if (m->facts.blocks == facts->blocks &&
        m->facts.block_size == facts->block_size)
      return true;
    engine_complain (s->engine, true, "%s: %s LUN %u has %" PRIu64 " blocks of "
                     "%u bytes, this map had %" PRIu64 " of %u: not used",
                     m->name, s->name, lun, facts->blocks, facts->block_size,
                     m->facts.blocks, m->facts.block_size);
    return false;
  }
  if (m->facts.blocks != facts->blocks ||
      m->facts.block_size != facts->block_size) {
    engine_complain (s->engine, true, "two different disks have the WWID %s: "
                     "%s LUN %u at %s (%" PRIu64 " blocks of %u bytes) and "
                     "%s LUN %u at %s (%" PRIu64 " blocks of %u bytes); give "
                     "one of them another identity at its target, or choose "
                     "with target=", m->wwid,
                     p->session->target, p->lun, p->session->name,
                     m->facts.blocks, m->facts.block_size,
                     s->target, lun, s->name, facts->blocks,
                     facts->block_size);
    return false;
  }
  if (strcmp (p->session->target, s->target) != 0)
    log_warning ("%s: the same WWID at two targets, %s and %s: if these are "
                 "different disks, stop now and choose with target=",
                 m->name, p->session->target, s->target);
  return true;
}

static void
new_path (struct session *s, unsigned lun, const struct lu_facts *facts)
{
  struct engine *e = s->engine;
  struct map *m = find_map (e, facts->wwid);
  struct path *p;
  /* Back from a loss: dev_loss_tmo may have removed this path, and the LUN may
   * have been resized since.  path_identified () knows what to do then. */
  const bool resized = m != NULL && s->lost_since != 0 &&
    m->facts.block_size == facts->block_size &&
    m->facts.blocks != facts->blocks;

  if (m != NULL && !resized && !same_disk (m, s, lun, facts))
    return;
  p = calloc (1, sizeof *p);
  if (p == NULL || !fence_reserve (p))
    goto no_memory;
  if (m == NULL) {
    m = map_new (e, facts, s->target);
    if (m == NULL)
      goto no_memory;
  }
  p->session = s;
  p->lun = lun;
  p->facts = *facts;
  p->state = PATH_DOWN;
  p->prio = 1;
  p->check_interval = e->settings->polling_interval;
  p->next_check = engine_now () + p->check_interval;
  list_init (&p->sel.node);
  list_init (&p->check.node);
  p->sel.limit = e->settings->queue_depth;
  p->sel.shared_in_flight = &s->nr_in_flight;
  p->sel.shared_limit = &s->limit_now;
  list_add_tail (&s->paths, &p->session_node);
  announce (p);
  map_add_path (m, p);
  if (p->group == NULL) {       /* map_regroup had no memory */
    list_del (&p->map_node);
    list_del (&p->session_node);
    m->nr_paths--;
    goto no_memory;
  }
  if (resized)
    path_identified (s, lun, facts);
  else
    path_event (p, PATH_EV_UP, NULL);
  engine_changed (e);
  return;

 no_memory:
  if (p != NULL)
    free (p->fence);
  free (p);
  engine_complain (e, false, "%s: LUN %u: out of memory", s->name, lun);
  s->want_probe = true;         /* try again */
}

void
path_free (struct path *p)
{
  list_del (&p->session_node);
  list_del (&p->check.node);
  map_remove_path (p->map, p);
  free (p->check_buf);
  free (p->fence);
  free (p);
}

/* It answers, and is the right disk. */
static void
path_is_back (struct path *p)
{
  if (!fence_reserve (p)) {
    log_warning ("%s: %s: out of memory: path is not used", p->map->name,
                 p->session->name);
    return;                     /* path_check has it identified again */
  }
  if (p->state == PATH_DOWN && p->map->nr_active > 0 &&
      !flap_may_return (&p->flap, &p->map->settings, engine_now ())) {
    log_warning ("%s: %s: path is up, but has failed too often: put aside",
                 p->map->name, p->session->name);
    path_event (p, PATH_EV_SHAKY, NULL);
    return;
  }
  path_event (p, PATH_EV_UP, NULL);
}

/* Its size is not that of the map, and not that of all the others.  While a
 * LUN is resized this is so for a moment, until all paths were asked again;
 * after RESIZE_TIME seconds these are two disks, or one with a fault. */
#define RESIZE_TIME 3.0

static void
odd_size (struct path *p)
{
  const double now = engine_now ();
  char why[100];

  snprintf (why, sizeof why, "%" PRIu64 " blocks here, %" PRIu64
            " on the other paths", p->facts.blocks, p->map->facts.blocks);
  if (p->odd_size_since == 0)
    p->odd_size_since = now;
  else if (p->odd_size_since > 0 && now - p->odd_size_since > RESIZE_TIME) {
    log_error ("%s: %s: path is not used any more: %s", p->map->name,
               p->session->name, why);
    p->odd_size_since = -1;     /* said */
  }
  path_event (p, PATH_EV_WRONG, why);
}

void
path_identified (struct session *s, unsigned lun,
                 const struct lu_facts *facts)
{
  struct engine *e = s->engine;
  const struct settings *st = e->settings;
  struct path *p = path_find (s, lun);
  char why[300];

  if (p == NULL) {
    if (lu_unusable (facts, why, sizeof why) != NULL) {
      /* A controller LUN, as tgt has it at 0, is nobody's mistake. */
      if (st->lun < 0 && facts->device_type == 0x0c)
        log_debug ("%s: LUN %u: %s", s->name, lun, why);
      else
        engine_complain (e, false, "%s: target %s LUN %u cannot be served: %s",
                         s->name, s->target, lun, why);
      return;
    }
    /* Without a name two of its paths could not be told from paths of two
     * disks. */
    if (facts->wwid[0] == '\0') {
      engine_complain (e, false, "%s: target %s LUN %u cannot be served: it "
                       "has no identity (no VPD page 83h, no serial number); "
                       "give it one at its target", s->name, s->target, lun);
      return;
    }
    if (conf_blacklisted (st, facts, s->target, &s->portal, why,
                          sizeof why)) {
      log_info ("%s: LUN %u: %s", s->name, lun, why);
      if (e->blacklisted++ == 0)
        snprintf (e->blacklisted_first, sizeof e->blacklisted_first,
                  "%.200s: LUN %u is %s", s->name, lun, why);
      return;
    }
    if (st->wwid && strcmp (st->wwid, facts->wwid) != 0) {
      log_debug ("%s: LUN %u: WWID %s is not wanted", s->name, lun,
                 facts->wwid);
      engine_note_wwid (e, facts->wwid);
      return;
    }
    new_path (s, lun, facts);
    return;
  }

  if (strcmp (p->map->wwid, facts->wwid) != 0) {
    snprintf (why, sizeof why, "another disk answers here now: WWID %.100s",
              facts->wwid[0] ? facts->wwid : "(none)");
    p->odd_size_since = 0;
    path_event (p, PATH_EV_WRONG, why);
    return;
  }
  p->facts = *facts;
  if (lu_unusable (facts, why, sizeof why) != NULL) {
    p->odd_size_since = 0;
    path_event (p, PATH_EV_WRONG, why);
    return;
  }
  if (facts->block_size != p->map->facts.block_size) {
    p->odd_size_since = 0;
    snprintf (why, sizeof why, "the block size is %u bytes now, was %u",
              facts->block_size, p->map->facts.block_size);
    path_event (p, PATH_EV_WRONG, why);
    return;
  }
  if (facts->blocks != p->map->facts.blocks) {
    map_capacity_seen (p->map, p);
    if (facts->blocks != p->map->facts.blocks) {
      odd_size (p);
      return;
    }
  }
  p->odd_size_since = 0;
  map_refresh_facts (p->map, facts);
  path_is_back (p);
}

void
path_vanished (struct path *p, const char *why)
{
  path_event (p, PATH_EV_DOWN, why);
}

void
path_target_reset (struct path *p)
{
  struct map *m = p->map;

  if (p->reset_expected) {
    p->reset_expected = false;
    return;
  }
  /* Without a volatile cache, or with all of it flushed, nothing is lost. */
  if (m->written <= m->flushed || (m->facts.has_caching_page && !m->facts.wce))
    return;
  m->losses++;
  m->flushed = m->written;
  log_error ("%s: %s: the target was reset or restarted: writes that were "
             "not flushed may be lost; the next flush of each connection "
             "fails", m->name, p->session->name);
}

/* ---- checker ----------------------------------------------------------------------- */

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
  memset (cmd, 0, sizeof *cmd);
  list_init (&cmd->node);
  cmd->lun = p->lun;
  cmd->done = check_done;
  cmd->opaque = p;
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
  if (p->flap.sampling)
    flap_sampled (&p->flap, v.kind == VERDICT_DONE);
  if (result >= RESULT_LOST) {
    p->check_identity = false;
    return;                     /* session_reap has told the path */
  }
  if (v.actions & (ACTION_TARGET_RESET | ACTION_DATA_LOST))
    path_target_reset (p);
  if (v.kind == VERDICT_DONE) {
    if (path_is_usable (p->state))
      flap_good_check (&p->flap, &p->map->settings);
    /* Of a path that is left alone, this is all that is known. */
    if (p->sel.slow)
      p->average_latency = latency_average (p->average_latency, engine_now () -
                                            p->check_sent, 0.5);
  }
  if (v.actions & (ACTION_CHECK_CAPACITY | ACTION_CHECK_IDENTITY))
    p->session->want_probe = true;
  if (v.kind == VERDICT_PATH)
    path_event (p, PATH_EV_IO_ERROR, sense_text (sense, text, sizeof text));
  else if (p->check_identity)
    compare_identity (p, cmd, v.kind);
  else if (v.kind == VERDICT_DONE && path_is_usable (p->state) &&
           !p->session->dying && p->map->wwid[0] != 'S')
    ask_identity (p);
}

static void
send_check (struct path *p, double now)
{
  const bool read = p->map->settings.path_checker == CHECKER_DIRECTIO ||
    p->sel.slow || p->flap.sampling;
  struct command *cmd = &p->check;

  /* A reset is about to be sent: it would be aborted. */
  if (!session_has_room (p->session) || p->map->frozen)
    return;
  p->check_identity = false;
  memset (cmd, 0, sizeof *cmd);
  list_init (&cmd->node);
  cmd->lun = p->lun;
  cmd->done = check_done;
  cmd->opaque = p;
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
      send_check (p, now);
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

  if (!path_is_usable (p->state)) {
    /* The session is there, but the LUN was not, or was another: only a
     * full identification can bring it back. */
    p->check_interval = st->polling_interval;
    if (p->state != PATH_ADMIN)
      s->want_probe = true;
    return;
  }
  if (p->sel.slow)
    p->next_check = now + SLOW_CHECK;
  else if (p->map->settings.path_checker == CHECKER_NONE)
    return;
  send_check (p, now);
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

    if (!path_is_usable (p->state) || p->average_latency == 0)
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
