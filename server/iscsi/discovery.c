/* SPDX-License-Identifier: BSD-3-Clause */
/* SendTargets (RFC 7143 appendix C): asking one portal reveals the targets
 * and their other portals. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "iscsi/login-filter.h"
#include "iscsi/session-internal.h"
#include "iscsi/wire.h"

/* Portals that one answer may bring: far more than a target has, and than there
 * may be sessions (startup.c), so that `discover` shows all. */
#define MAX_FOUND 16384

/* "0.0.0.0" or "::" in an answer means: where you asked. */
static bool
is_wildcard (const char *host)
{
  return strcmp (host, "0.0.0.0") == 0 || strcmp (host, "::") == 0;
}

static void
found_target (struct session *s, const struct portal *portal,
              const char *target)
{
  struct engine *e = s->engine;

  if (e->found)
    e->found (e->found_opaque, s, portal, target);
  else
    e->hooks->add_target (e, portal, target, &s->portal);
}

/* An answer to SendTargets, as it is read. */
struct answer {
  struct session *s;
  char target[ISCSI_NAME_SIZE]; /* "": none, or one that is left out */
  bool has_portal;              /* one that can be used from here */
  unsigned found;               /* portals */
  bool full;                    /* MAX_FOUND, and that was said */
  char names[600];              /* all targets, for a message */
};

/* The target that was asked for is not there: say what is. */
static void
complain_nothing (const struct answer *a)
{
  const struct session *s = a->s;
  struct engine *e = s->engine;

  if (e->settings->target)
    engine_complain (e, false, "%s: no such target %s; check target=: this "
                     "portal offers%s to this initiator name, %s", s->name,
                     e->settings->target, a->names[0] ? a->names : " none",
                     e->initiator_name);
  else
    engine_complain (e, false, "%s: discovery found no target for initiator "
                     "name %s: allow it at the target, or set "
                     "initiator-name=", s->name, e->initiator_name);
}

/* Starting a session does not touch this one. */
static void
add_portal (struct answer *a, const struct portal *portal)
{
  if (a->full)
    return;
  if (a->found >= MAX_FOUND) {
    a->full = true;
    log_warning ("%s: discovery: more than %d portals; those of %s and after "
                 "are ignored: choose with target=", a->s->name, MAX_FOUND,
                 a->target);
    return;
  }
  found_target (a->s, portal, a->target);
  a->found++;
}

/* RFC 7143 C.2: without addresses the target is at the portal asked; with none
 * that can be used it may be. */
static void
end_target (struct answer *a)
{
  if (a->target[0] && !a->has_portal)
    add_portal (a, &a->s->portal);
  a->target[0] = '\0';
}

/* open-iscsi and products take names that RFC 7143 does not have. */
static bool
name_is_usable (struct session *s, const char *name)
{
  struct engine *e = s->engine;

  if (iscsi_name_wrong (name) != NULL) {
    log_warning ("%s: discovery: ignoring target '%s': %s", s->name, name,
                 iscsi_name_wrong (name));
    return false;
  }
  if (iscsi_name_odd (name) != NULL && strcmp (e->odd_target, name) != 0) {
    log_warning ("the target name %s is not in the form of RFC 7143 (%s): "
                 "taken as it is", name, iscsi_name_odd (name));
    strcpy (e->odd_target, name);
  }
  return true;
}

static void
begin_target (struct answer *a, const char *name)
{
  const char *wanted = a->s->engine->settings->target;
  const size_t have = strlen (a->names);

  end_target (a);
  a->has_portal = false;
  snprintf (a->names + have, sizeof a->names - have, " %s", name);
  /* Names are folded to one case (RFC 7143 4.2.7.1). */
  if (wanted && strcasecmp (wanted, name) != 0)
    return;
  if (name_is_usable (a->s, name))
    snprintf (a->target, sizeof a->target, "%s", name);
}

static void
take_address (struct answer *a, const char *text)
{
  struct portal portal;
  const char *why = NULL;

  if (!a->target[0])
    return;
  if (portal_parse (text, strlen (text), &portal, &why)) {
    if (is_wildcard (portal.host))
      snprintf (portal.host, sizeof portal.host, "%s", a->s->portal.host);
    /* A target does not know our interfaces' names: as it was asked through. */
    if (portal_needs_zone (&portal) &&
        !portal_take_zone (&portal, a->s->address))
      why = "it is link-local, and was not told through a link-local address";
  }
  if (why != NULL) {
    log_warning ("%s: discovery: ignoring portal '%s' of %s: %s", a->s->name,
                 text, a->target, why);
    return;
  }
  a->has_portal = true;
  add_portal (a, &portal);
}

/* TEXT has a NUL behind its end. */
static void
answered (struct session *s, const char *text, size_t size)
{
  struct answer a = { .s = s };
  const char *pair = NULL;
  size_t length;

  if (s->dying)
    return;
  while ((pair = text_pair (text, size, pair, &length)) != NULL) {
    if (strncmp (pair, "TargetName=", 11) == 0)
      begin_target (&a, pair + 11);
    else if (strncmp (pair, "TargetAddress=", 14) == 0)
      take_address (&a, pair + 14);
  }
  end_target (&a);
  if (a.found == 0)
    complain_nothing (&a);
  session_event_later (s, SESSION_EV_PROBED);
}

/* ---- with libiscsi's full feature phase ------------------------------------------- */

static void
put (char **at, const char *end, const char *key, const char *value)
{
  const size_t n = strlen (key) + strlen (value) + 1;

  if (*at != NULL && (size_t) (end - *at) > n) {
    sprintf (*at, "%s%s", key, value);
    *at += n;
  }
}

static void
discovery_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  struct session *s = opaque;
  const struct iscsi_discovery_address *t;
  const struct iscsi_target_portal *p;
  const size_t room = 1 << 22;
  char *text, *at;

  if (s->dying)
    return;
  if (status != SCSI_STATUS_GOOD) {
    const char *why = iscsi_get_error (ctx);

    /* libiscsi 1.19 does not know the C bit (RFC 7143 11.10.1). */
    session_kill (s, FAIL_LOGIN, "discovery failed: %s",
                  strstr (why, "unsupported flags") == NULL ? why
                  : "the list of targets comes in parts, which libiscsi cannot "
                  "take; use discovery=off and target=");
    return;
  }
  text = at = calloc (1, room);
  for (t = data; t != NULL; t = t->next) {
    put (&at, text + room, "TargetName=", t->target_name);
    for (p = t->portals; p != NULL; p = p->next)
      put (&at, text + room, "TargetAddress=", p->portal);
  }
  answered (s, text ? text : "", (size_t) (at - text));
  free (text);
}

static void
ask (struct session *s)
{
  static const char all[] = "SendTargets=All";

  if (s->wire != NULL) {
    s->text_done = answered;
    if (!ffp_text_request (wire_ffp (s->wire), all, sizeof all))
      session_kill (s, FAIL_LOGIN, "discovery failed: %s",
                    ffp_why (wire_ffp (s->wire)));
    else {
      wire_flush (s);
      session_update_watcher (s);
    }
    return;
  }
  if (iscsi_discovery_async (s->ctx, discovery_cb, s) != 0)
    session_kill (s, FAIL_LOGIN, "discovery failed: %s",
                  iscsi_get_error (s->ctx));
}

static void
done (struct session *s)
{
  session_event (s, SESSION_EV_STOP);
}

static enum session_next
lost (struct session *s)
{
  struct engine *e = s->engine;

  if (e->settings->target == NULL)
    return SESSION_RETRIES;
  /* We know what to log in to: discovery may be forbidden here, and a portal
   * that is down now is tried again by its session. */
  e->hooks->add_target (e, &s->portal, e->settings->target, NULL);
  return SESSION_ENDS;
}

const struct session_ops discovery_ops = {
  .discovery = true,
  .of_portal = true,
  .logged_in = ask,
  .up = done,
  .lost = lost,
};
