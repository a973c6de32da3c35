/* SPDX-License-Identifier: BSD-3-Clause */
/* SendTargets (RFC 7143 appendix C): asking one portal reveals the targets
 * and their other portals. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "iscsi/session-internal.h"

/* Portals that one answer may bring.  Each is a session with a socket, and a
 * process has 1024. */
#define MAX_FOUND 128

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
    e->hooks->add_target (e, portal, target);
}

/* The target that was asked for is not there: say what is. */
static void
complain_no_target (struct session *s,
                    const struct iscsi_discovery_address *first)
{
  const struct iscsi_discovery_address *t;
  char names[600] = "";
  size_t n = 0;

  for (t = first; t != NULL && n < sizeof names; t = t->next)
    n += snprintf (names + n, sizeof names - n, " %s", t->target_name);
  engine_complain (s->engine, false, "%s: no such target %s; "
                   "check target=: this portal offers%s", s->name,
                   s->engine->settings->target,
                   names[0] ? names : " none to this initiator name");
}

static void
discovery_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  struct session *s = opaque;
  struct engine *e = s->engine;
  const struct iscsi_discovery_address *first = data, *t;
  unsigned found = 0;

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
  for (t = first; t != NULL; t = t->next) {
    const struct iscsi_target_portal *p;

    if (e->settings->target && strcmp (e->settings->target, t->target_name))
      continue;
    if (iscsi_name_wrong (t->target_name) != NULL) {
      log_warning ("%s: discovery: ignoring target '%s': %s", s->name,
                   t->target_name, iscsi_name_wrong (t->target_name));
      continue;
    }
    for (p = t->portals; p != NULL; p = p->next) {
      struct portal portal;
      const char *why;

      if (!portal_parse (p->portal, strlen (p->portal), &portal, &why)) {
        log_warning ("%s: discovery: ignoring portal '%s' of %s: %s", s->name,
                     p->portal, t->target_name, why);
        continue;
      }
      if (is_wildcard (portal.host))
        snprintf (portal.host, sizeof portal.host, "%s", s->portal.host);
      if (found >= MAX_FOUND) {
        log_warning ("%s: discovery: more than %d portals; those of %s and "
                     "after are ignored: choose with target=", s->name,
                     MAX_FOUND, t->target_name);
        goto enough;
      }
      /* Starting a session does not touch this one's context. */
      found_target (s, &portal, t->target_name);
      found++;
    }
    /* RFC 7143 C.2: without addresses the target is at the portal asked. */
    if (t->portals == NULL) {
      found_target (s, &s->portal, t->target_name);
      found++;
    }
  }
 enough:
  if (found == 0) {
    if (e->settings->target)
      complain_no_target (s, first);
    else
      engine_complain (e, false, "%s: discovery found no target for initiator "
                       "name %s: allow it at the target, or set "
                       "initiator-name=", s->name, e->initiator_name);
  }
  session_event_later (s, SESSION_EV_PROBED);
}

static void
ask (struct session *s)
{
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
  e->hooks->add_target (e, &s->portal, e->settings->target);
  return SESSION_ENDS;
}

const struct session_ops discovery_ops = {
  .discovery = true,
  .of_portal = true,
  .logged_in = ask,
  .up = done,
  .lost = lost,
};
