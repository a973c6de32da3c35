/* SPDX-License-Identifier: BSD-3-Clause */
/* Connect, log in, be redirected, log out: libiscsi is told what to do, and what
 * comes of it is an event.  Service thread, lock held. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "iscsi/relay.h"
#include "iscsi/session-internal.h"
#include "iscsi/wire.h"

#define MAX_REDIRECTS 8

double
session_login_patience (const struct session *s)
{
  return s->login_patience > 0 ? s->login_patience
    : s->engine->settings->login_timeout;
}

/* ---- what libiscsi says ------------------------------------------------------- */

/* "Connect failed with errno : Connection refused(111)", "iscsi_service: socket
 * error No route to host(113).": what the system says of it. */
static const char *
plain (const char *text, char buf[200])
{
  const char *colon = strrchr (text, ':');
  size_t n;

  if (colon && colon[1] == ' ')
    text = colon + 2;
  if (strncmp (text, "socket error ", 13) == 0)
    text += 13;
  n = strcspn (text, "(");
  snprintf (buf, 200, "%.*s", (int) n, text);
  return buf;
}

static void
connect_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  struct session *s = opaque;
  char to[320], why[200];

  (void) data;
  if (s->dying)
    return;
  if (status == SCSI_STATUS_GOOD)
    session_event_later (s, SESSION_EV_CONNECTED);
  else
    session_kill (s, FAIL_UNREACHABLE, "cannot connect%s: %s",
                  session_elsewhere (s, to, sizeof to),
                  plain (iscsi_get_error (ctx), why));
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

/* "Failed to log in to target. Status: Target not found(515)": what RFC 7143
 * 11.13.5 calls it, with the class and detail as they are written there. */
static const char *
login_status (const char *text, char buf[200])
{
  static const char status[] = "Status: ";
  const char *at = strstr (text, status);
  unsigned code;
  int n = 0;

  if (at == NULL)
    return text;
  at += sizeof status - 1;
  if (sscanf (at, "%*[^(]%n(%u)", &n, &code) != 1)
    return at;
  snprintf (buf, 200, "%.*s, status %04Xh", n, at, code);
  return buf;
}

static void
login_failed (struct session *s)
{
  const struct settings *st = s->engine->settings;
  char buf[200];
  const char *text = login_status (iscsi_get_error (s->ctx), buf);
  const enum session_failure failure = login_failure (text);
  const bool target_side = strstr (text, "from the target") != NULL ||
    strstr (text, "did not return CHAP") != NULL ||
    strstr (text, "Wrong CHAP targetname") != NULL;

  if (s->secured && st->user == NULL && failure == FAIL_AUTH)
    s->plain_login = true;
  if (failure == FAIL_AUTH && st->user == NULL && !target_side)
    session_kill (s, failure, "authentication failed: the target wants CHAP, "
                  "or another initiator name: give user= and password= (%s)",
                  text);
  else if (failure == FAIL_AUTH)
    session_kill (s, failure, target_side
                  ? "authentication failed: the target did not prove itself "
                  "with mutual-user and mutual-password (%s)"
                  : "authentication failed: the target did not accept "
                  "user= and password= (%s)", text);
  else if (strstr (text, "DataDigest") != NULL)
    session_kill (s, failure, "login failed: the target insists on a data "
                  "digest, which is not offered: allow None there (%s)", text);
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

/* ---- what it is told ---------------------------------------------------------- */

static void
set_credentials (struct session *s, const struct settings *st)
{
  s->secured = false;
  if (st->user) {
    iscsi_set_initiator_username_pwd (s->ctx, st->user, st->password);
    s->secured = true;
  }
  else if (s->ops->secure != NULL && s->ops->secure (s)) {
    /* Without credentials libiscsi leaves out the security stage, and tgt
     * reinstates only there.  We offer "CHAP,None" then; who chooses CHAP
     * refuses us, and gets a login without next time. */
    if (!s->plain_login)
      iscsi_set_initiator_username_pwd (s->ctx, "mpiscsi", "mpiscsi-fence");
    s->secured = true;
  }
  s->guard.wants_proof = st->mutual_user != NULL;
  if (st->mutual_user)
    iscsi_set_target_username_pwd (s->ctx, st->mutual_user,
                                   st->mutual_password);
}

void
session_connect (struct session *s)
{
  const struct settings *st = s->engine->settings;
  static const enum iscsi_header_digest digests[] = {
    [DIGEST_NONE] = ISCSI_HEADER_DIGEST_NONE,
    [DIGEST_NONE_CRC32C] = ISCSI_HEADER_DIGEST_NONE_CRC32C,
    [DIGEST_CRC32C_NONE] = ISCSI_HEADER_DIGEST_CRC32C_NONE,
    [DIGEST_CRC32C] = ISCSI_HEADER_DIGEST_CRC32C,
  };

  char to[320], why[200];

  s->login_began = engine_now ();
  s->ctx = iscsi_create_context (s->initiator);
  if (s->ctx == NULL) {
    session_kill (s, FAIL_LOGIN, "out of memory");
    return;
  }
  guard_reset (s);
  iscsi_set_noautoreconnect (s->ctx, 1);
  iscsi_set_isid_random (s->ctx, s->isid_random, s->isid_qualifier);
  iscsi_set_session_type (s->ctx, s->ops->discovery
                          ? ISCSI_SESSION_DISCOVERY : ISCSI_SESSION_NORMAL);
  iscsi_set_header_digest (s->ctx, digests[st->header_digest]);
  if (s->target[0])
    iscsi_set_targetname (s->ctx, s->target);
  if (!s->ops->discovery)
    portal_group_listen (s);
  set_credentials (s, st);
  session_set_timer (s, session_login_patience (s));
  if (iscsi_connect_async (s->ctx, s->address, connect_cb, s) != 0) {
    session_kill (s, FAIL_UNREACHABLE, "cannot connect%s: %s",
                  session_elsewhere (s, to, sizeof to),
                  plain (iscsi_get_error (s->ctx), why));
    return;
  }
  if (session_is_own ()) {
    s->relay = relay_new (s);
    if (s->relay == NULL) {
      session_kill (s, FAIL_UNREACHABLE, "cannot connect: %m");
      return;
    }
  }
  session_update_watcher (s);
}

void
session_log_in (struct session *s)
{
  if (s->relay != NULL && !relay_splice (s)) {
    session_kill (s, FAIL_LOGIN, "cannot log in: %m");
    return;
  }
  if (iscsi_login_async (s->ctx, login_cb, s) != 0)
    session_kill (s, FAIL_LOGIN, "cannot log in: %s",
                  iscsi_get_error (s->ctx));
  else if (s->relay != NULL)
    relay_pump (s);
  session_update_watcher (s);
}

void
session_drop_context (struct session *s)
{
  const bool dying = s->dying;

  if (s->ctx == NULL)
    return;
  /* Callbacks that come now find the session dying and only return. */
  s->dying = true;
  iscsi_destroy_context (s->ctx);
  s->ctx = NULL;
  s->dying = dying;
}

bool
session_take_over (struct session *s)
{
  if (s->relay == NULL)
    return true;
  portal_group_told (s, relay_portal_group (s->relay));
  s->wire = relay_end (s->relay, s, session_answered);
  if (s->wire == NULL) {
    session_kill (s, FAIL_LOGIN, "out of memory");
    return false;
  }
  ev_io_stop (s->engine->loop, &s->io);
  session_drop_context (s);
  relay_free (s->relay);
  s->relay = NULL;
  session_ready (s, 0);         /* what has come already */
  session_update_watcher (s);
  return !s->dying;
}

bool
session_redirected (struct session *s)
{
  const char *to = iscsi_get_target_address (s->ctx);
  struct portal portal;
  const char *wrong;

  if (++s->redirects > MAX_REDIRECTS) {
    session_kill (s, FAIL_LOGIN, "redirected more than %d times",
                  MAX_REDIRECTS);
    return false;
  }
  if (!portal_parse (to, strlen (to), &portal, &wrong)) {
    session_kill (s, FAIL_LOGIN, "redirected to '%s': %s", to, wrong);
    return false;
  }
  if (portal_needs_zone (&portal))
    portal_take_zone (&portal, s->address);
  s->addresses[0] = '\0';
  portal_text (&portal, s->address, sizeof s->address);
  log_info ("%s: target %s redirects to %s", s->name, s->target, s->address);
  return true;
}

bool
session_log_out (struct session *s)
{
  if (s->wire != NULL) {
    if (!ffp_logout (wire_ffp (s->wire)))
      return false;
    wire_flush (s);
  }
  else if (iscsi_logout_async (s->ctx, logout_cb, s) != 0)
    return false;
  session_update_watcher (s);
  return true;
}
