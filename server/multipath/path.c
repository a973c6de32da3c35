/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths: one LUN through one session.  Identity, and the state table's
 * actions. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "conf/conf.h"
#include "conf/devices.h"
#include "multipath/multipath.h"
#include "rules/health.h"
#include "multipath/gate.h"

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

static double
wall_seconds (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_REALTIME, &ts);
  return ts.tv_sec + ts.tv_nsec / 1e9;
}

void
path_event (struct path *p, enum path_event ev, const char *why)
{
  struct map *m = p->map;
  const enum path_state from = p->state;
  const struct path_transition t = path_transition (from, ev);

  p->state = t.next;
  if (t.next != from || p->changed == 0)
    p->changed = wall_seconds ();
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
                  t.next == PATH_GHOST ? "ghost"
                  : t.next == PATH_FENCED ? "fenced" : "down");
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
    if (!p->session->dying && !p->session->look_again &&
        session_is_full_feature (p->session->state))
      session_open (p->session);
    map_path_reinstated (m, p);
    log_remaining (m);
    break;
  case PATH_ACT_CHECK:
    session_look_again (p->session);
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
same_target (struct map *m, const struct session *s, unsigned lun)
{
  const char *made_up = wwid_made_up (m->wwid);

  if (strcasecmp (m->target, s->target) == 0)
    return true;
  if (made_up != NULL && !m->settings.trust_wwid) {
    engine_complain (s->engine, true, "the WWID %s is no proof that it is the "
                     "same disk at two targets, %s and %s (LUN %u at %s): %s; "
                     "give one of them another identity at its target, choose "
                     "with target=, or, if it is one disk, trust-wwid=yes",
                     m->wwid, m->target, s->target, lun, s->name, made_up);
    return false;
  }
  log_warning ("%s: the same WWID at two targets, %s and %s: if these are "
               "different disks, stop now and choose with target=",
               m->name, m->target, s->target);
  return true;
}

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
      return same_target (m, s, lun);
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
  return same_target (m, s, lun);
}

/* Once: what to change at the array. */
static void
say_passive (const struct path *p)
{
  struct map *m = p->map;
  const struct device_family *f = device_family (&p->facts);

  if (m->said_passive || f == NULL || f->to_alua == NULL)
    return;
  m->said_passive = true;
  log_warning ("%s: %s %s (%s) is not set to ALUA: the paths of the controller "
               "that does not own the LUN take no I/O and are not used (ghost), "
               "and nothing here can move it; at the array, %s", m->name,
               p->facts.vendor, p->facts.product, f->name, f->to_alua);
}

/* It answers, and is the right disk: may it be used? */
static void
admit (struct path *p, enum path_admission admission)
{
  switch (admission) {
  case PATH_IS_ADMITTED:
    if (!map_is_fenced (p->map)) {
      path_event (p, PATH_EV_UP, NULL);
      break;
    }
    /* fallthrough */
  case PATH_IS_FENCED:
    path_event (p, PATH_EV_FENCED, "fenced by another host");
    break;
  case PATH_IS_PASSIVE:         /* path_check asks again who has it */
    say_passive (p);
    path_event (p, PATH_EV_GHOST, "another controller of the array has the LUN");
    break;
  case PATH_IS_NOT_READY:       /* path_check has it identified again */
    path_event (p, PATH_EV_DOWN, "its reservation key is not registered");
    break;
  }
}

static void
new_path (struct session *s, unsigned lun, const struct lu_facts *facts,
          enum path_admission admission)
{
  struct engine *e = s->engine;
  struct map *m = find_map (e, facts->wwid);
  struct path *p;
  /* Back from a loss: dev_loss_tmo may have removed this path, and the LUN may
   * have been resized since.  path_identified () knows what to do then. */
  const bool resized = m != NULL && s->lost_since != 0 &&
    m->facts.block_size == facts->block_size &&
    m->facts.blocks != facts->blocks;

  if (m != NULL && !(resized ? same_target (m, s, lun)
                     : same_disk (m, s, lun, facts)))
    return;
  p = calloc (1, sizeof *p);
  if (p == NULL || !gate_reserve (e, p))
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
  selector_path_init (&p->sel);
  command_internal (&p->check, lun, NULL, NULL);
  p->sel.limit = e->settings->queue_depth;
  p->sel.shared_in_flight = &s->nr_in_flight;
  p->sel.shared_limit = &s->limit_now;
  p->sel.turns = &s->turns;
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
    path_identified (s, lun, facts, admission);
  else
    admit (p, admission);
  engine_changed (e);
  return;

 no_memory:
  if (p != NULL)
    gate_unreserve (e, p);
  free (p);
  engine_complain (e, false, "%s: LUN %u: out of memory", s->name, lun);
  s->look_again = true;         /* at the next tick */
}

void
path_free (struct path *p)
{
  list_del (&p->session_node);
  work_cancel (&p->check.answer);
  map_remove_path (p->map, p);
  free (p->check_buf);
  gate_unreserve (p->map->engine, p);
  free (p);
}

/* It answers, and is the right disk. */
static void
path_is_back (struct path *p, enum path_admission admission)
{
  if (!gate_reserve (p->map->engine, p)) {
    log_warning ("%s: %s: out of memory: path is not used", p->map->name,
                 p->session->name);
    return;                     /* path_check has it identified again */
  }
  if (admission != PATH_IS_ADMITTED || map_is_fenced (p->map)) {
    admit (p, admission);
    return;
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

/* This LUN is, not for the first time, another disk that we serve: a path of
 * that one's map.  dev_loss_tmo, say, removed the path, and when the session was
 * back a third disk was there for a while. */
static bool
moves (const struct path *p, const struct lu_facts *facts)
{
  const struct map *m = find_map (p->map->engine, facts->wwid);

  return m != NULL && p->state == PATH_WRONG && p->sel.in_flight == 0 &&
    !p->checking && m->facts.blocks == facts->blocks &&
    m->facts.block_size == facts->block_size;
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
                 const struct lu_facts *facts, enum path_admission admission)
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
      engine_note_blacklisted (e, s->name, lun, why);
      return;
    }
    if (st->wwid && strcmp (st->wwid, facts->wwid) != 0) {
      log_debug ("%s: LUN %u: WWID %s is not wanted", s->name, lun,
                 facts->wwid);
      engine_note_wwid (e, facts->wwid);
      return;
    }
    new_path (s, lun, facts, admission);
    return;
  }

  if (strcmp (p->map->wwid, facts->wwid) != 0 && moves (p, facts)) {
    struct map *m = p->map;

    log_warning ("%s: remove path %s: it leads to another disk, WWID %s",
                 m->name, s->name, facts->wwid);
    path_free (p);
    map_note_change (m, "remove path %s (another disk)", s->name);
    path_identified (s, lun, facts, admission);
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
  path_is_back (p, admission);
}

void
path_vanished (struct path *p, const char *why)
{
  path_event (p, PATH_EV_DOWN, why);
}

/* A write that another path has in flight may have been done before the target
 * was reset: its answer may be here already, and not read. */
static bool
others_write (const struct path *p)
{
  struct list *l, *next, *k, *knext;

  list_for_each (l, next, &p->map->paths) {
    const struct path *q = list_entry (l, struct path, map_node);

    if (q == p)
      continue;
    list_for_each (k, knext, &q->session->in_flight) {
      const struct command *cmd = list_entry (k, struct command, node);

      if (cmd->path == q && cmd->modifies)
        return true;
    }
  }
  return false;
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
  if ((m->written <= m->flushed && !others_write (p)) ||
      (m->facts.has_caching_page && !m->facts.wce))
    return;
  m->losses++;
  m->flushed = m->written;
  log_error ("%s: %s: the target was reset or restarted: writes that were "
             "not flushed may be lost; the next flush of each connection "
             "fails", m->name, p->session->name);
}

/* Each nexus is told once, of the same threshold: told within so many seconds
 * is told together; and one line a day will do. */
#define SAME_THRESHOLD 60.0
#define THRESHOLD_AGAIN 86400.0

static void
thin_threshold (struct map *m)
{
  const double now = engine_now ();

  if (m->thin_threshold == 0 || now - m->thin_threshold > SAME_THRESHOLD)
    m->thin_thresholds++;
  m->thin_threshold = now;
  if (m->thin_said > 0 && now - m->thin_said < THRESHOLD_AGAIN)
    return;
  m->thin_said = now;
  log_warning ("%s: thin provisioning soft threshold reached: the pool that it "
               "is in gets full; give it more space at the array, or writes "
               "will fail (said once a day)", m->name);
  map_note_change (m, "thin provisioning soft threshold reached");
}

/* What an answer through P says (ACTION_TASKS_GONE, ACTION_TARGET_RESET,
 * ACTION_DATA_LOST), the latter two unless it is what our own reset has done. */
void
path_heard (struct path *p, unsigned actions, double submitted)
{
  /* After our own it was seen to. */
  if (actions & ACTION_TASKS_GONE && (!p->reset_expected || p->map->reset_sent))
    path_abort_tasks (p, submitted);
  if (actions & ACTION_DATA_LOST)       /* no reset does that */
    p->reset_expected = false;
  if (actions & (ACTION_TARGET_RESET | ACTION_DATA_LOST))
    path_target_reset (p);
  if (actions & ACTION_THIN_THRESHOLD)
    thin_threshold (p->map);
}

/* P has answered a command that would have been refused with a UNIT ATTENTION,
 * if there were one: that of our reset was taken before (by a login, say), or
 * this target raises none.  The next one is news. */
void
path_heard_nothing (struct path *p, double submitted)
{
  if (p->reset_expected && !p->map->reset_sent &&
      submitted > p->map->reset_ended)
    p->reset_expected = false;
}
