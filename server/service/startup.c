/* SPDX-License-Identifier: BSD-3-Clause */
/* Which portals and targets to log in to, when that has settled, and what to
 * tell the person at the terminal if nothing came of it. */
#include <config.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "multipath/registrant.h"
#include "multipath/alua.h"
#include "service/service-internal.h"


/* What discovery may make of one answer, at most. */
#define MAX_SESSIONS 1024

static struct session *
find_session (struct engine *e, const struct portal *portal,
              const char *target, unsigned nth)
{
  struct list *l, *next;

  list_for_each (l, next, &e->sessions) {
    struct session *s = list_entry (l, struct session, node);

    if (strcasecmp (s->target, target) == 0 &&
        portal_equal (&s->portal, portal) &&
        s->nth == nth &&
        s->state != SESSION_CLOSED)
      return s;
  }
  return NULL;
}

static void
add_session (struct engine *e, const struct portal *portal,
             const char *target, const struct portal *asked, unsigned nth)
{
  struct session *s = find_session (e, portal, target, nth);

  if (s != NULL) {
    if (s->portal.tpgt == -1)
      s->portal.tpgt = portal->tpgt;
    return;
  }
  if (e->nr_sessions >= MAX_SESSIONS) {
    if (e->nr_sessions++ == MAX_SESSIONS)
      log_warning ("more than %d portals of targets: the others are not used; "
                   "name a target with target=", MAX_SESSIONS);
    return;
  }
  e->nr_sessions++;
  s = path_session_new (e, portal, target);
  if (s == NULL) {
    engine_complain (e, false, "%s: out of memory", portal->host);
    return;
  }
  s->was_told = asked != NULL && !portal_equal (asked, portal);
  if (s->was_told)
    s->told_by = *asked;
  s->nth = nth;
  if (nth > 0)
    snprintf (s->name + strlen (s->name), sizeof s->name - strlen (s->name),
              "#%u", nth + 1);
  engine_later (e, &e->new_sessions);
}

void
engine_add_target (struct engine *e, const struct portal *portal,
                   const char *target, const struct portal *asked)
{
  for (unsigned nth = 0; nth < e->settings->nr_sessions; ++nth)
    add_session (e, portal, target, asked, nth);
}

static bool
is_new (const struct session *s)
{
  return s->state == SESSION_IDLE && s->isid_qualifier == 0;
}

static int
compare_names (const struct session *a, const struct session *b)
{
  const int r = strcmp (a->target, b->target);

  return r != 0 ? r : strcmp (a->name, b->name);
}

/* What came together, all of one answer of discovery say, gets its ISIDs in
 * order of the names: who has to give way to whom is no accident. */
void
start_new_sessions (struct work *w)
{
  struct engine *e = container_of (w, struct engine, new_sessions);
  struct list *l, *next;
  bool more = false;

  for (;;) {
    struct session *first = NULL;

    list_for_each (l, next, &e->sessions) {
      struct session *s = list_entry (l, struct session, node);

      if (is_new (s) && (first == NULL || compare_names (s, first) < 0))
        first = s;
    }
    if (first == NULL)
      break;
    session_choose_isid (first);
    more = true;
  }
  if (more)
    list_for_each (l, next, &e->sessions) {
      struct session *s = list_entry (l, struct session, node);

      if (s->state == SESSION_IDLE)
        session_event (s, SESSION_EV_START);
    }
}

bool
engine_add_portal (struct engine *e, const struct portal *portal, bool forget)
{
  const struct settings *st = e->settings;
  struct session *s;

  if (find_session (e, portal, st->discovery ? "" : st->target, 0) != NULL)
    return false;
  if (!st->discovery) {
    engine_add_target (e, portal, st->target, NULL);
    return true;
  }
  s = session_new (e, &discovery_ops, portal, "");
  if (s == NULL) {
    engine_complain (e, false, "%s: out of memory", portal->host);
    return false;
  }
  s->forget = forget;
  session_event (s, SESSION_EV_START);
  return true;
}

unsigned
engine_del_portal (struct engine *e, const struct portal *portal)
{
  struct list *l, *next;
  unsigned n = 0;

  list_for_each (l, next, &e->sessions) {
    struct session *s = list_entry (l, struct session, node);

    if (!portal_equal (&s->portal, portal) || !s->ops->of_portal)
      continue;
    if (s->state != SESSION_CLOSED)
      n++;
    session_event (s, SESSION_EV_STOP);
    session_forget (s);
  }
  return n;
}

/* Lock held. */
static void
start_portals (struct engine *e)
{
  const struct settings *st = e->settings;
  size_t i;

  map_names_start (e);
  registrants_start (e);
  for (i = 0; i < st->nr_portals; ++i)
    engine_add_portal (e, &st->portals[i], false);
}

void
engine_start (struct engine *e)
{
  /* The keeper of the state file runs already. */
  engine_enter (e);
  start_portals (e);
  engine_leave (e);
}

int
engine_reconfigure (struct engine *e, const struct settings *settings)
{
  struct list *l, *next;
  int r = 0;

  e->settings = settings;
  list_for_each (l, next, &e->sessions) {
    struct session *s = list_entry (l, struct session, node);

    session_set_depth (s, settings->queue_depth);
  }
  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);
    struct list *pl, *pnext;

    list_for_each (pl, pnext, &m->paths)
      list_entry (pl, struct path, map_node)->sel.limit =
        settings->queue_depth;
    if (map_reconfigure (m) == -1)
      r = -1;
  }
  start_portals (e);
  return r;
}

bool
engine_all_settled (struct engine *e)
{
  struct list *l, *next;

  list_for_each (l, next, &e->sessions)
    if (!list_entry (l, struct session, node)->settled)
      return false;
  list_for_each (l, next, &e->maps)
    if (!map_is_named (list_entry (l, struct map, node)))
      return false;
  return true;
}

/* What to do about a session that could not be made: the last words of the
 * one line for the user. */
static const char *
remedy (const struct session *s, char buf[ERR_SIZE])
{
  switch (s->failure) {
  case FAIL_RESOLVE: return "check the name, or give an address";
  case FAIL_REFUSED: return "is the target running, and is this its port?";
  case FAIL_UNREACHABLE:
  case FAIL_TIMEOUT: return "check address, network and firewall";
  case FAIL_AUTH:
    return strstr (s->why, "prove itself") != NULL
      ? "check mutual-user= and mutual-password="
      : s->engine->settings->user == NULL ? "or allow a login without CHAP"
      : "check user= and password=";
  /* tgt says "not found" to whom it does not allow. */
  case FAIL_NOT_FOUND:
    snprintf (buf, ERR_SIZE, "check target= (`mpiscsi discover` lists them), and "
              "that the target allows our initiator name, %s", s->initiator);
    return buf;
  case FAIL_FORBIDDEN:
    snprintf (buf, ERR_SIZE, "allow our initiator name, %s, at the target, or "
              "set initiator-name=", s->initiator);
    return buf;
  default: return "see the target's log";
  }
}

int
engine_verdict (struct engine *e, char *err, size_t size)
{
  struct list *l, *next;
  const struct session *worst = NULL;
  unsigned nr_up = 0;
  char text[ERR_SIZE];

  /* What cannot be done safely says so before it serves. */
  if (e->settings->guard && !service_is_guarded ()) {
    snprintf (err, size, "this libiscsi (static, not glibc's kind, or built with -fno-plt) cannot "
              "be guarded against targets that break the protocol: use your distribution's, or "
              "guard=off if you trust the target with this process");
    return -1;
  }
  if (e->complaint_fatal) {
    snprintf (err, size, "%s", e->complaint);
    return -1;
  }
  /* A disk that was fenced is served: its clients are told so (EPERM), and the
   * administrator can register it again. */
  list_for_each (l, next, &e->maps)
    if (list_entry (l, struct map, node)->nr_active > 0 ||
        map_is_fenced (list_entry (l, struct map, node)))
      return 0;
  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (alua_hold_until (m) > 0) {
      log_warning ("%s: the array takes no I/O on any of its ports now (%s): "
                   "served, but I/O waits", m->name,
                   alua_path_text (list_entry (m->paths.next, struct path,
                                               map_node), NULL));
      return 0;
    }
  }
  if (e->complaint) {
    snprintf (err, size, "%s", e->complaint);
    return -1;
  }
  list_for_each (l, next, &e->sessions) {
    const struct session *s = list_entry (l, struct session, node);

    if (s->ever_up && session_has_paths (s))
      nr_up++;
    /* "Not allowed" says more than "not there". */
    if (s->failure != FAIL_NONE &&
        (worst == NULL || s->failure > worst->failure))
      worst = s;
  }
  if (nr_up == 0 && worst != NULL)
    snprintf (err, size, "%s: %s%s%s; %s", worst->name, worst->why,
              worst->target[0] ? ": target " : "", worst->target,
              remedy (worst, text));
  else if (nr_up == 0)
    snprintf (err, size, "no target answered within the time: raise "
              "login-timeout, or check the portals");
  else if (e->settings->wwid && e->other_wwids[0])
    snprintf (err, size, "no LUN has the WWID %s; check wwid=: found were%s",
              e->settings->wwid, e->other_wwids);
  else if (e->blacklisted > 0)
    snprintf (err, size, "no LUN to serve is left by the blacklist: %s%s; "
              "see blacklist and blacklist_exceptions there",
              e->blacklisted_first, e->blacklisted > 1 ? ", and so on" : "");
  else
    snprintf (err, size, "no LUN to serve was found on any target: map one "
              "to %s at the target, or check lun= and wwid=",
              e->initiator_name);
  return -1;
}
