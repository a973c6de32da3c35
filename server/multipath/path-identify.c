/* SPDX-License-Identifier: BSD-3-Clause */
/* What a probe has found: a new path, one that is back, or the wrong disk. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/devices.h"
#include "multipath/alua.h"
#include "rules/health.h"
#include "multipath/gate.h"

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
      path_event (p, alua_path_is_usable (p) ? PATH_EV_UP : PATH_EV_GHOST,
                  alua_path_text (p, NULL));
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
          enum path_admission admission, const struct alua_answer *ports)
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
  alua_path_init (p);
  p->facts_partial = !alua_is_active (alua_answer_state (ports, facts));
  p->sel.limit = e->settings->queue_depth;
  p->sel.shared_in_flight = &s->nr_in_flight;
  p->sel.shared_limit = &s->limit_now;
  p->sel.turns = &s->turns;
  list_add_tail (&s->paths, &p->session_node);
  s->size_unknown = false;
  announce (p);
  map_add_path (m, p);
  if (p->group == NULL) {       /* map_regroup had no memory */
    list_del (&p->map_node);
    list_del (&p->session_node);
    m->nr_paths--;
    goto no_memory;
  }
  alua_path_seen (p, ports);
  if (resized)
    path_identified (s, lun, facts, admission, ports);
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
  if (alua_path_is_usable (p) && p->state == PATH_DOWN &&
      p->map->nr_active > 0 &&
      !flap_may_return (&p->flap, &p->map->settings, engine_now ())) {
    log_warning ("%s: %s: path is up, but has failed too often: put aside",
                 p->map->name, p->session->name);
    path_event (p, PATH_EV_SHAKY, NULL);
    return;
  }
  admit (p, admission);
}

/* This LUN is, not for the first time, another disk that we serve: a path of
 * that one's map.  dev_loss_tmo, say, removed the path, and when the session was
 * back a third disk was there for a while. */
static bool
moves (const struct path *p, const struct lu_facts *facts)
{
  const struct map *m = find_map (p->map->engine, facts->wwid);

  return m != NULL && p->state == PATH_WRONG && p->sel.in_flight == 0 &&
    !p->checking && !p->ask.in_flight && m->facts.blocks == facts->blocks &&
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

/* How often such a LUN, if no other path has told, is looked at, in seconds. */
#define SIZE_CHECK 0.5

/* In some states of its port a unit does not tell its size, or says that it is
 * not connected (SPC-4 5.15.2.4.5): what was known of it stays known. */
static bool
tells_little (const struct lu_facts *facts, enum alua_state state)
{
  return !alua_is_active (state) &&
    (facts->blocks == 0 || facts->qualifier == 1);
}

/* The facts of the port, and what is known of the unit. */
static void
complete_facts (struct lu_facts *out, const struct lu_facts *unit,
                const struct lu_facts *port)
{
  *out = *unit;
  out->qualifier = 0;
  out->tpgs = port->tpgs;
  out->has_tpg = port->has_tpg;
  out->tpg = port->tpg;
  out->rtpi = port->rtpi;
}

void
path_identified (struct session *s, unsigned lun,
                 const struct lu_facts *facts, enum path_admission admission,
                 const struct alua_answer *ports)
{
  struct engine *e = s->engine;
  const struct settings *st = e->settings;
  const enum alua_state state = alua_answer_state (ports, facts);
  struct path *p = path_find (s, lun);
  struct lu_facts completed;
  char why[300];

  if (tells_little (facts, state) && facts->wwid[0] != '\0') {
    const struct map *m = p ? p->map : find_map (e, facts->wwid);

    if (m != NULL && strcmp (m->wwid, facts->wwid) == 0) {
      complete_facts (&completed, p ? &p->facts : &m->facts, facts);
      facts = &completed;
    }
    else if (m == NULL) {
      if (!s->size_unknown)
        engine_complain (e, false, "%s: target %s LUN %u cannot be served "
                         "yet: its port is in state %s, and does not say what "
                         "its size is", s->name, s->target, lun,
                         alua_state_text (state));
      s->size_unknown = true;
      s->look_at = engine_now () + SIZE_CHECK;
      return;
    }
  }
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
    new_path (s, lun, facts, admission, ports);
    return;
  }

  if (strcmp (p->map->wwid, facts->wwid) != 0 && moves (p, facts)) {
    struct map *m = p->map;

    log_warning ("%s: remove path %s: it leads to another disk, WWID %s",
                 m->name, s->name, facts->wwid);
    path_free (p);
    map_note_change (m, "remove path %s (another disk)", s->name);
    path_identified (s, lun, facts, admission, ports);
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
  p->facts_partial = !alua_is_active (state);
  alua_path_seen (p, ports);
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
  if (!p->facts_partial)
    map_refresh_facts (p->map, facts);
  path_is_back (p, admission);
}
