/* SPDX-License-Identifier: BSD-3-Clause */
/* One iSCSI session: its life from connect to logout, as the table in
 * states.c says.  Service thread, lock held. */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/compat.h"
#include "iscsi/relay.h"
#include "iscsi/resolve.h"
#include "iscsi/session-internal.h"
#include "iscsi/wire.h"
#include "rules/health.h"
#include "rules/isid.h"

#define LOGOUT_TIMEOUT 1.0
/* Identifying all LUNs may take longer than a login, but not for ever. */
#define PROBE_TIMEOUT 30.0

static void event_cb (struct work *w);
static void reap (struct work *w);
static void io_cb (EV_P_ ev_io *w, int revents);
static void timer_cb (EV_P_ ev_timer *w, int revents);

/* 16 bits (RFC 7143 11.12.5), and no two sessions may have the same. */
static bool
qualifier_is_taken (const struct session *s, uint32_t q)
{
  struct list *l, *next;

  list_for_each (l, next, &s->engine->sessions) {
    const struct session *o = list_entry (l, struct session, node);

    if (o != s && o->isid_qualifier == q)
      return true;
  }
  return s->engine->isid_taken && s->engine->isid_taken (s->engine, q);
}

/* Of sessions that stay.  Those that come and go have other ones. */
static bool
stays (const struct session *s)
{
  return s->ops->of_portal && !s->ops->discovery;
}

#define COMES_AND_GOES 0x10000

void
session_choose_isid (struct session *s)
{
  const unsigned nth = s->nth + (stays (s) ? 0 : COMES_AND_GOES);
  char portal[300];
  unsigned round = 0;

  portal_text (&s->portal, portal, sizeof portal);
  do
    s->isid_qualifier = isid_qualifier (s->target, portal, nth, round++);
  while (qualifier_is_taken (s, s->isid_qualifier) && round < 0x100000);
}

struct session *
session_new (struct engine *e, const struct session_ops *ops,
             const struct portal *portal, const char *target)
{
  struct session *s = calloc (1, sizeof *s);

  if (s == NULL)
    return NULL;
  s->engine = e;
  s->ops = ops;
  s->portal = *portal;
  portal_text (portal, s->name, sizeof s->name);
  snprintf (s->target, sizeof s->target, "%s", target);
  s->id = e->next_session_id++;
  strcpy (s->initiator, e->initiator_name);
  s->isid_random = e->isid_random;
  s->depth = e->settings->queue_depth;
  list_init (&s->in_flight);
  list_init (&s->tmfs);
  list_init (&s->paths);
  turns_init (&s->turns);
  session_works_init (s);
  work_init (&s->reap, reap);
  work_init (&s->event_work, event_cb);
  work_init (&s->look, NULL);
  ev_init (&s->io, io_cb);
  /* What has come is looked at before any deadline. */
  ev_set_priority (&s->io, 1);
  s->io.data = s;
  ev_init (&s->timer, timer_cb);
  s->timer.data = s;
  list_add_tail (&e->sessions, &s->node);
  if (!stays (s))
    session_choose_isid (s);
  return s;
}

/* Close at once: RST instead of FIN, so that the kernel does not go on
 * sending queued writes when the network is back (field notes, hazard 1). */
static void
set_linger (int fd)
{
  const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

  if (fd >= 0)
    setsockopt (fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* Destroy the connection; then nobody in libiscsi points to our commands,
 * and they can be sent elsewhere. */
static void
teardown (struct session *s, bool abort)
{
  struct engine *e = s->engine;
  struct list lost = LIST_INIT (lost);

  ev_io_stop (e->loop, &s->io);
  ev_timer_stop (e->loop, &s->timer);
  if (s->resolving) {
    resolve_cancel (s->resolving);
    s->resolving = NULL;
  }
  if (abort)
    set_linger (session_fd (s));
  session_drop_context (s);
  relay_free (s->relay);
  s->relay = NULL;
  wire_free (s->wire);
  s->wire = NULL;
  s->reset_done = NULL;
  s->text_done = NULL;
  session_tmfs_forget (s);
  s->dying = false;
  session_shut (s);
  s->ping_sent = 0;
  s->unacked_since = 0;
  s->solo = 0;
  s->worker_polls = false;
  work_cancel (&s->event_work);
  work_cancel (&s->flush);

  /* They may be queued again, at the head: last one first keeps the order. */
  list_splice_head (&lost, &s->in_flight);
  session_count (s, -(int) s->nr_in_flight);
  while (!list_empty (&lost)) {
    struct command *cmd = list_entry (lost.prev, struct command, node);

    list_del (&cmd->node);
    cmd->tmf = NULL;
    cmd->ops->lost (cmd);
  }
}

void
session_free (struct session *s)
{
  teardown (s, true);
  if (s->ops->freed != NULL)
    s->ops->freed (s);
  list_del (&s->node);
  work_cancel (&s->reap);
  work_cancel (&s->watch);
  guard_free (s);
  free (s);
}

/* ---- actions ----------------------------------------------------------------- */

static void
settled (struct session *s)
{
  if (!s->settled) {
    s->settled = true;
    engine_changed (s->engine);
  }
  s->engine->hooks->settled (s->engine);
}

static void
resolved (void *opaque, const char *address, const char *error)
{
  struct session *s = opaque;

  s->resolving = NULL;
  if (s->state != SESSION_RESOLVE || s->dying)
    return;
  if (address == NULL) {
    session_kill (s, FAIL_RESOLVE, "%s", error);
    return;
  }
  snprintf (s->addresses, sizeof s->addresses, "%s", address);
  session_next_address (s);
  session_event (s, SESSION_EV_RESOLVED);
}

static void
act_resolve (struct session *s)
{
  s->addresses[0] = '\0';
  if (resolve_numeric (&s->portal, s->address, sizeof s->address)) {
    session_event (s, SESSION_EV_RESOLVED);
    return;
  }
  s->resolving = resolve_start (s->engine->loop, &s->portal, resolved, s);
  if (s->resolving == NULL)
    session_kill (s, FAIL_RESOLVE, "no memory, or no thread, to resolve it");
}

static void
act_redirect (struct session *s)
{
  if (session_redirected (s)) {
    teardown (s, false);
    session_connect (s);
  }
}

static void
act_up (struct session *s)
{
  ev_timer_stop (s->engine->loop, &s->timer);
  s->attempt = 0;
  s->redirects = 0;
  s->failure = FAIL_NONE;
  s->ever_up = true;
  s->plain_login = false;
  settled (s);
  s->ops->up (s);
}

static void
log_loss (struct session *s, bool was_in_use)
{
  if (was_in_use)
    log_warning ("%s: session %u lost: %s", s->name, s->id, s->why);
  else if (s->attempt == 0)
    log_warning ("%s: %s%s%s", s->name, s->why,
                 s->target[0] ? ": target " : "", s->target);
  else
    log_debug ("%s: attempt %u: %s", s->name, s->attempt, s->why);
}

static void
down (struct session *s, const char *why)
{
  if (s->ops->down != NULL)
    s->ops->down (s, why);
}

static void
act_drop (struct session *s, bool was_in_use)
{
  const struct settings *st = s->engine->settings;
  const bool cheap = was_in_use || s->failure == FAIL_REFUSED;
  double delay = 0;

  session_told_wrong (s);
  log_loss (s, was_in_use);
  if (was_in_use)
    s->stats.losses++;
  down (s, s->why);
  teardown (s, true);
  settled (s);
  switch (s->ops->lost (s)) {
  case SESSION_RETRIES:
    delay = backoff_delay (s->attempt++, cheap, st->polling_interval,
                           engine_random (s->engine));
    break;
  case SESSION_RETRIES_SLOWLY:
    delay = st->max_polling_interval * (1 + engine_random (s->engine)) / 2;
    break;
  case SESSION_ENDS:
    session_event (s, SESSION_EV_STOP);
    return;
  }
  session_set_timer (s, delay);
}

static void
act_logout (struct session *s)
{
  down (s, "logged out");
  session_shut (s);
  session_set_timer (s, LOGOUT_TIMEOUT);
  if (!session_log_out (s))
    session_event (s, SESSION_EV_LOGGED_OUT);
}

static void
act_close (struct session *s, bool clean)
{
  down (s, "session closed");
  teardown (s, !clean);
  settled (s);
  if (s->ops->closed != NULL)
    s->ops->closed (s);
  if (s->forget)
    engine_later (s->engine, &s->reap);
}

void
session_event (struct session *s, enum session_event ev)
{
  const enum session_state from = s->state;
  const struct session_transition t = session_transition (from, ev);

  if (t.action == SESSION_ACT_BUG) {
    log_error ("%s: unexpected event %d in state %s", s->name, (int) ev,
               session_state_name (from));
    snprintf (s->why, sizeof s->why, "internal error");
  }
  s->state = t.next;
  if (t.next != from && s->engine->observer)
    s->engine->observer->session_changed (s, from);
  switch (t.action) {
  case SESSION_ACT_NONE:
    break;
  case SESSION_ACT_RESOLVE:
    session_set_timer (s, session_login_patience (s));
    act_resolve (s);
    break;
  case SESSION_ACT_CONNECT:
    session_connect (s);
    break;
  case SESSION_ACT_LOGIN:
    session_log_in (s);
    break;
  case SESSION_ACT_REDIRECT:
    act_redirect (s);
    break;
  case SESSION_ACT_PROBE:
    s->last_rx = engine_now ();
    s->stats.logins++;
    if (!session_take_over (s))
      break;
    portal_group_known (s);
    session_set_timer (s, PROBE_TIMEOUT);
    if (session_is_double (s))
      session_event (s, SESSION_EV_STOP);
    else
      s->ops->logged_in (s);
    break;
  case SESSION_ACT_UP:
    act_up (s);
    break;
  case SESSION_ACT_DROP:
  case SESSION_ACT_BUG:
    act_drop (s, from == SESSION_UP);
    break;
  case SESSION_ACT_LOGOUT:
    act_logout (s);
    break;
  case SESSION_ACT_CLOSE:
    act_close (s, ev == SESSION_EV_LOGGED_OUT);
    break;
  }
}

/* ---- what the loop tells ------------------------------------------------------ */

static void
reap (struct work *w)
{
  struct session *s = container_of (w, struct session, reap);

  if (s->dying && s->state == SESSION_CONNECT && session_next_address (s)) {
    log_info ("%s: %s; next is %s", s->name, s->why, s->address);
    teardown (s, true);
    session_connect (s);
    return;
  }
  if (s->dying)
    session_event (s, SESSION_EV_LOST);
  if (s->forget && s->state == SESSION_CLOSED)
    session_free (s);
}

void
session_forget (struct session *s)
{
  s->forget = true;
  if (s->state == SESSION_CLOSED)
    engine_later (s->engine, &s->reap);
}

static void
event_cb (struct work *w)
{
  struct session *s = container_of (w, struct session, event_work);

  if (s->dying)
    return;
  session_event (s, s->event);
  session_flush_soon (s);
  session_update_watcher (s);
}

static void
io_cb (EV_P_ ev_io *w, int revents)
{
  struct session *s = w->data;
  char to[320];
  int flags = 0;

  (void) loop;
  if (s->dying)
    return;
  if (s->state == SESSION_CONNECT) {
    int err = 0;
    socklen_t len = sizeof err;

    /* libiscsi would only give a text. */
    getsockopt (w->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err != 0) {
      session_kill (s, err == ECONNREFUSED ? FAIL_REFUSED : FAIL_UNREACHABLE,
                    "cannot connect%s: %s",
                    session_elsewhere (s, to, sizeof to),
                    strerrordesc_np (err));
      return;
    }
  }
  if (revents & EV_READ)
    flags |= POLLIN;
  if (revents & EV_WRITE)
    flags |= POLLOUT;
  session_ready (s, flags);
  session_flush (s);            /* an R2T has made Data-Outs */
  session_update_watcher (s);
}

static bool
portal_is_busy (const struct session *s)
{
  struct list *l, *next;

  list_for_each (l, next, &s->engine->sessions) {
    const struct session *o = list_entry (l, struct session, node);

    /* Who looks up its name connects as soon as it has the answer. */
    if (o != s && portal_equal (&o->portal, &s->portal) &&
        (o->state == SESSION_RESOLVE || o->state == SESSION_CONNECT ||
         o->state == SESSION_LOGIN))
      return true;
  }
  return false;
}

static void
timer_cb (EV_P_ ev_timer *w, int revents)
{
  struct session *s = w->data;
  const double login_timeout = session_login_patience (s);
  char to[320];

  (void) loop;
  (void) revents;
  /* libev counts time in which this process was stopped. */
  if (s->timer_at - engine_now () > 0.05) {
    session_set_timer (s, s->timer_at - engine_now ());
    return;
  }
  switch (s->state) {
  case SESSION_WAIT:
    /* One login at a time per portal: it may be just coming back. */
    if (portal_is_busy (s))
      session_set_timer (s, 0.05 + 0.05 * engine_random (s->engine));
    else
      session_event (s, SESSION_EV_TIMER);
    break;
  case SESSION_RESOLVE:
    session_kill (s, FAIL_RESOLVE, "no answer from the name service within "
                  "%g s", login_timeout);
    break;
  case SESSION_CONNECT:
    session_kill (s, FAIL_TIMEOUT, "cannot connect%s: no answer within %g s",
                  session_elsewhere (s, to, sizeof to), login_timeout);
    break;
  case SESSION_LOGIN:
    session_kill (s, FAIL_TIMEOUT, "login: no answer within %g s",
                  login_timeout);
    break;
  case SESSION_PROBE:
    session_kill (s, FAIL_TIMEOUT, "the LUNs could not be identified within "
                  "%g s", PROBE_TIMEOUT);
    break;
  case SESSION_LOGOUT:
    session_event (s, SESSION_EV_LOGGED_OUT);
    break;
  case SESSION_IDLE: case SESSION_UP: case SESSION_CLOSED:
  case NR_SESSION_STATES:
    break;
  }
}
