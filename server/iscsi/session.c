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
#include <strings.h>
#include <sys/socket.h>

#include "base/compat.h"
#include "iscsi/resolve.h"
#include "iscsi/session-internal.h"
#include "multipath/multipath.h"
#include "rules/health.h"
#include "fence/fence.h"
#include "multipath/hedge.h"
#include "service/service.h"

#define MAX_REDIRECTS 8
#define LOGOUT_TIMEOUT 1.0
/* Identifying all LUNs may take longer than a login, but not for ever. */
#define PROBE_TIMEOUT 30.0

static void event_cb (struct work *w);
static void reap (struct work *w);
static void io_cb (EV_P_ ev_io *w, int revents);
static void timer_cb (EV_P_ ev_timer *w, int revents);

/* 16 bits (RFC 7143 11.12.5), and no two sessions may have the same. */
static uint32_t
free_qualifier (struct engine *e)
{
  struct list *l, *next;
  uint32_t q = 0;
  bool taken;

  do {
    taken = false;
    q++;
    list_for_each (l, next, &e->sessions)
      if (list_entry (l, struct session, node)->isid_qualifier == q)
        taken = true;
  } while ((taken || fence_uses_isid (e, q)) && q < 0xffff);
  return q;
}

struct session *
session_new (struct engine *e, enum session_kind kind,
             const struct portal *portal, const char *target)
{
  struct session *s = calloc (1, sizeof *s);

  if (s == NULL)
    return NULL;
  s->engine = e;
  s->kind = kind;
  s->portal = *portal;
  portal_text (portal, s->name, sizeof s->name);
  snprintf (s->target, sizeof s->target, "%s", target);
  s->id = e->next_session_id++;
  strcpy (s->initiator, e->initiator_name);
  s->isid_random = e->isid_random;
  s->isid_qualifier = free_qualifier (e);
  s->depth = e->settings->queue_depth;
  list_init (&s->in_flight);
  list_init (&s->paths);
  turns_init (&s->turns);
  session_works_init (s);
  work_init (&s->reap, reap);
  work_init (&s->event_work, event_cb);
  work_init (&s->look, session_look);
  ev_init (&s->io, io_cb);
  /* What has come is looked at before any deadline. */
  ev_set_priority (&s->io, 1);
  s->io.data = s;
  ev_init (&s->timer, timer_cb);
  s->timer.data = s;
  list_add_tail (&e->sessions, &s->node);
  return s;
}

static void
set_timer (struct session *s, double after)
{
  ev_timer_stop (s->engine->loop, &s->timer);
  ev_timer_set (&s->timer, after, 0.);
  s->timer_at = engine_now () + after;
  /* The loop's idea of now may be old by the length of a callback. */
  ev_now_update (s->engine->loop);
  ev_timer_start (s->engine->loop, &s->timer);
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
  struct list *l, *next;

  ev_io_stop (e->loop, &s->io);
  ev_timer_stop (e->loop, &s->timer);
  if (s->resolving) {
    resolve_cancel (s->resolving);
    s->resolving = NULL;
  }
  if (s->ctx != NULL) {
    /* Callbacks that come now find the session dying and only return. */
    s->dying = true;
    if (abort)
      set_linger (iscsi_get_fd (s->ctx));
    iscsi_destroy_context (s->ctx);
    s->ctx = NULL;
  }
  s->dying = false;
  s->limit_now = 0;
  s->look_again = false;
  s->ping_sent = 0;
  s->unacked_since = 0;
  s->solo = 0;
  s->worker_polls = false;
  work_cancel (&s->event_work);
  work_cancel (&s->flush);

  list_for_each (l, next, &s->paths)
    /* The login that follows takes the UNIT ATTENTIONs. */
    list_entry (l, struct path, session_node)->reset_expected = false;

  /* command_lost may requeue at the head: last one first keeps the order. */
  list_splice_head (&lost, &s->in_flight);
  session_count (s, -(int) s->nr_in_flight);
  while (!list_empty (&lost)) {
    struct command *cmd = list_entry (lost.prev, struct command, node);

    list_del (&cmd->node);
    if (cmd->accounted) {
      selector_end_io (&cmd->path->sel, cmd->bytes);
      cmd->accounted = false;
    }
    if (cmd->req != NULL)
      command_lost (cmd);
    else if (cmd->hedge != NULL)
      hedge_lost (cmd);
    else
      command_tell (e, cmd, RESULT_LOST, NULL);
  }
  probe_cancel (s);
}

void
session_free (struct session *s)
{
  if (s->fence_map != NULL && s->fence_map->fencer == s)
    s->fence_map->fencer = NULL;
  teardown (s, true);
  while (!list_empty (&s->paths))
    path_free (list_entry (s->paths.next, struct path, session_node));
  list_del (&s->node);
  work_cancel (&s->reap);
  work_cancel (&s->watch);
  work_cancel (&s->look);
  guard_free (s);
  free (s);
}

/* ---- actions ----------------------------------------------------------------- */

static void
settled (struct session *s)
{
  struct engine *e = s->engine;
  struct list *l, *next;

  if (!s->settled) {
    s->settled = true;
    engine_changed (e);
  }
  /* One map, and no session that could bring another: the default export. */
  if (e->alone != NULL || list_empty (&e->maps) ||
      e->maps.next->next != &e->maps)
    return;
  list_for_each (l, next, &e->sessions)
    if (!list_entry (l, struct session, node)->settled)
      return;
  e->alone = e->maps.next;
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
  snprintf (s->address, sizeof s->address, "%s", address);
  session_event (s, SESSION_EV_RESOLVED);
}

static void
act_resolve (struct session *s)
{
  if (resolve_numeric (&s->portal, s->address, sizeof s->address)) {
    session_event (s, SESSION_EV_RESOLVED);
    return;
  }
  s->resolving = resolve_start (s->engine->loop, &s->portal, s->attempt,
                                resolved, s);
  if (s->resolving == NULL)
    session_kill (s, FAIL_RESOLVE, "out of memory");
}

static double
login_patience (const struct session *s)
{
  return s->login_patience > 0 ? s->login_patience
    : s->engine->settings->login_timeout;
}

static void
connect_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  struct session *s = opaque;

  (void) data;
  if (s->dying)
    return;
  if (status == SCSI_STATUS_GOOD)
    session_event_later (s, SESSION_EV_CONNECTED);
  else
    session_kill (s, FAIL_UNREACHABLE, "cannot connect: %s",
                  iscsi_get_error (ctx));
}

/* The status class and detail are only in libiscsi's text. */
static enum session_failure
login_failure (const char *text)
{
  static const struct { const char *part; enum session_failure failure; }
  table[] = {
    { "uthentication", FAIL_AUTH },
    { "CHAP", FAIL_AUTH },
    { "orbidden", FAIL_FORBIDDEN },
    { "uthorization", FAIL_FORBIDDEN },
    { "not found", FAIL_NOT_FOUND },
    { "removed", FAIL_NOT_FOUND },
  };

  for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i)
    if (strstr (text, table[i].part) != NULL)
      return table[i].failure;
  return FAIL_LOGIN;
}

static void
login_failed (struct session *s)
{
  const char *text = iscsi_get_error (s->ctx);
  const enum session_failure failure = login_failure (text);
  const bool target_side = strstr (text, "from the target") != NULL ||
    strstr (text, "did not return CHAP") != NULL ||
    strstr (text, "Wrong CHAP targetname") != NULL;

  if (s->secured && s->engine->settings->user == NULL && failure == FAIL_AUTH)
    s->fence_plain = true;
  if (failure == FAIL_AUTH)
    session_kill (s, failure, target_side
                  ? "authentication failed: the target did not prove itself "
                  "with mutual-user and mutual-password (%s)"
                  : "authentication failed: the target did not accept "
                  "user= and password= (%s)", text);
  else
    session_kill (s, failure, "login failed: %s", text);
}

static void
login_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  struct session *s = opaque;

  (void) ctx;
  (void) data;
  if (s->dying)
    return;
  if (status == SCSI_STATUS_GOOD)
    session_event_later (s, SESSION_EV_LOGGED_IN);
  else if (status == SCSI_STATUS_REDIRECT)
    session_event_later (s, SESSION_EV_REDIRECT);
  else
    login_failed (s);
}

static void
logout_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  struct session *s = opaque;

  (void) ctx;
  (void) status;
  (void) data;
  if (!s->dying)
    session_event_later (s, SESSION_EV_LOGGED_OUT);
}

static void
act_connect (struct session *s)
{
  const struct settings *st = s->engine->settings;
  static const enum iscsi_header_digest digests[] = {
    [DIGEST_NONE] = ISCSI_HEADER_DIGEST_NONE,
    [DIGEST_NONE_CRC32C] = ISCSI_HEADER_DIGEST_NONE_CRC32C,
    [DIGEST_CRC32C_NONE] = ISCSI_HEADER_DIGEST_CRC32C_NONE,
    [DIGEST_CRC32C] = ISCSI_HEADER_DIGEST_CRC32C,
  };

  s->ctx = iscsi_create_context (s->initiator);
  if (s->ctx == NULL) {
    session_kill (s, FAIL_LOGIN, "out of memory");
    return;
  }
  guard_reset (s);
  iscsi_set_noautoreconnect (s->ctx, 1);
  iscsi_set_isid_random (s->ctx, s->isid_random, s->isid_qualifier);
  iscsi_set_session_type (s->ctx, s->kind == SESSION_DISCOVERY
                          ? ISCSI_SESSION_DISCOVERY : ISCSI_SESSION_NORMAL);
  iscsi_set_header_digest (s->ctx, digests[st->header_digest]);
  if (s->target[0])
    iscsi_set_targetname (s->ctx, s->target);
  if (s->kind != SESSION_DISCOVERY)
    portal_group_listen (s);
  s->secured = false;
  if (st->user) {
    iscsi_set_initiator_username_pwd (s->ctx, st->user, st->password);
    s->secured = true;
  }
  else if (s->kind == SESSION_FENCE || fence_pending (s)) {
    /* Without credentials libiscsi leaves out the security stage, and tgt
     * reinstates only there.  We offer "CHAP,None" then; who chooses CHAP
     * refuses us, and gets a login without next time. */
    if (!s->fence_plain)
      iscsi_set_initiator_username_pwd (s->ctx, "mpiscsi", "mpiscsi-fence");
    s->secured = true;
  }
  s->guard.wants_proof = st->mutual_user != NULL;
  if (st->mutual_user)
    iscsi_set_target_username_pwd (s->ctx, st->mutual_user,
                                   st->mutual_password);

  set_timer (s, login_patience (s));
  if (iscsi_connect_async (s->ctx, s->address, connect_cb, s) != 0) {
    session_kill (s, FAIL_UNREACHABLE, "cannot connect: %s",
                  iscsi_get_error (s->ctx));
    return;
  }
  session_update_watcher (s);
}

static void
act_login (struct session *s)
{
  if (iscsi_login_async (s->ctx, login_cb, s) != 0)
    session_kill (s, FAIL_LOGIN, "cannot log in: %s",
                  iscsi_get_error (s->ctx));
  session_update_watcher (s);
}

static void
act_redirect (struct session *s)
{
  const char *to = iscsi_get_target_address (s->ctx);
  struct portal portal;
  const char *wrong;

  if (++s->redirects > MAX_REDIRECTS) {
    session_kill (s, FAIL_LOGIN, "redirected more than %d times",
                  MAX_REDIRECTS);
    return;
  }
  if (!portal_parse (to, strlen (to), &portal, &wrong)) {
    session_kill (s, FAIL_LOGIN, "redirected to '%s': %s", to, wrong);
    return;
  }
  portal_text (&portal, s->address, sizeof s->address);
  log_info ("%s: target %s redirects to %s", s->name, s->target, s->address);
  teardown (s, false);
  act_connect (s);
}

static void
act_up (struct session *s)
{
  struct list *l, *next;

  ev_timer_stop (s->engine->loop, &s->timer);
  s->attempt = 0;
  s->redirects = 0;
  s->failure = FAIL_NONE;
  s->ever_up = true;
  s->lost_since = 0;
  s->forgotten = false;
  s->fence_plain = false;
  /* What was said to have changed while it was looked at may lie behind what
   * was looked at: once more first. */
  if (s->look_again)
    engine_later (s->engine, &s->look);
  else
    s->limit_now = s->depth;
  list_for_each (l, next, &s->paths) {
    struct path *p = list_entry (l, struct path, session_node);

    if (p->map)
      schedule_dispatch (p->map);
  }
  settled (s);
  if (s->kind != SESSION_NORMAL)
    session_event (s, SESSION_EV_STOP);
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
act_drop (struct session *s, bool was_in_use)
{
  const struct settings *st = s->engine->settings;
  const bool cheap = was_in_use || s->failure == FAIL_REFUSED;
  struct list *l, *next;
  double delay;

  log_loss (s, was_in_use);
  if (was_in_use)
    s->stats.losses++;
  /* If it was forgotten, these paths are new. */
  if (!list_empty (&s->paths) && (s->lost_since == 0 || s->forgotten)) {
    s->lost_since = engine_now ();
    s->forgotten = false;
  }
  /* Paths first, so that what is requeued is not sent this way again. */
  list_for_each (l, next, &s->paths)
    path_event (list_entry (l, struct path, session_node), PATH_EV_DOWN,
                s->why);
  teardown (s, true);
  /* What was forgotten (dev_loss_tmo) is only looked for now and then, unless
   * a fence may need its login. */
  if (s->forgotten && !fence_pending (s))
    delay = st->max_polling_interval * (1 + engine_random (s->engine)) / 2;
  else
    delay = backoff_delay (s->attempt++, cheap, st->polling_interval,
                           engine_random (s->engine));
  settled (s);
  if (s->kind == SESSION_DISCOVERY && st->target != NULL) {
    /* We know what to log in to: discovery may be forbidden here, and a
     * portal that is down now is tried again by its session. */
    engine_add_target (s->engine, &s->portal, st->target);
    session_event (s, SESSION_EV_STOP);
    return;
  }
  if (s->kind == SESSION_FENCE) {       /* fence_check makes another one */
    session_event (s, SESSION_EV_STOP);
    return;
  }
  set_timer (s, delay);
}

static void
act_logout (struct session *s)
{
  struct list *l, *next;

  list_for_each (l, next, &s->paths)
    path_event (list_entry (l, struct path, session_node), PATH_EV_DOWN,
                "logged out");
  probe_cancel (s);
  s->limit_now = 0;
  set_timer (s, LOGOUT_TIMEOUT);
  if (iscsi_logout_async (s->ctx, logout_cb, s) != 0)
    session_event (s, SESSION_EV_LOGGED_OUT);
  else
    session_update_watcher (s);
}

static void
act_close (struct session *s, bool clean)
{
  struct list *l, *next;

  list_for_each (l, next, &s->paths)
    path_event (list_entry (l, struct path, session_node), PATH_EV_DOWN,
                "session closed");
  teardown (s, !clean);
  settled (s);
  if (s->kind == SESSION_FENCE && s->fence_map != NULL)
    fence_soon (s->fence_map);
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
    set_timer (s, login_patience (s));
    act_resolve (s);
    break;
  case SESSION_ACT_CONNECT:
    act_connect (s);
    break;
  case SESSION_ACT_LOGIN:
    act_login (s);
    break;
  case SESSION_ACT_REDIRECT:
    act_redirect (s);
    break;
  case SESSION_ACT_PROBE:
    s->last_rx = engine_now ();
    s->stats.logins++;
    portal_group_known (s);
    set_timer (s, PROBE_TIMEOUT);
    fence_logged_in (s);
    if (s->kind == SESSION_DISCOVERY)
      discovery_start (s);
    else if (s->kind == SESSION_FENCE)
      fence_session_ready (s);
    else
      probe_start (s);
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


void
session_update_watcher (struct session *s)
{
  struct engine *e = s->engine;
  int wanted, events, fd;

  if (s->ctx == NULL || s->dying)
    return;
  if (s->worker_polls) {
    ev_io_stop (e->loop, &s->io);
    return;
  }
  wanted = iscsi_which_events (s->ctx) | (guard_unsent (s) ? POLLOUT : 0);
  events = (wanted & POLLIN ? EV_READ : 0) | (wanted & POLLOUT ? EV_WRITE : 0);
  fd = iscsi_get_fd (s->ctx);
  if (ev_is_active (&s->io) && s->io.fd == fd &&
      (s->io.events & (EV_READ | EV_WRITE)) == events)
    return;
  ev_io_stop (e->loop, &s->io);
  ev_io_set (&s->io, fd, events);
  ev_io_start (e->loop, &s->io);
}

static void
io_cb (EV_P_ ev_io *w, int revents)
{
  struct session *s = w->data;
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
                    "cannot connect: %s", strerrordesc_np (err));
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
  const double login_timeout = login_patience (s);

  (void) loop;
  (void) revents;
  /* libev counts time in which this process was stopped. */
  if (s->timer_at - engine_now () > 0.05) {
    set_timer (s, s->timer_at - engine_now ());
    return;
  }
  switch (s->state) {
  case SESSION_WAIT:
    /* One login at a time per portal: it may be just coming back. */
    if (portal_is_busy (s))
      set_timer (s, 0.05 + 0.05 * engine_random (s->engine));
    else
      session_event (s, SESSION_EV_TIMER);
    break;
  case SESSION_RESOLVE:
    session_kill (s, FAIL_RESOLVE, "no answer from the name service within "
                  "%g s", login_timeout);
    break;
  case SESSION_CONNECT:
    session_kill (s, FAIL_TIMEOUT, "cannot connect: no answer within %g s",
                  login_timeout);
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
