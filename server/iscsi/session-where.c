/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a session goes to: all the addresses of a name, the portal that told of
 * one that cannot be reached, and whether another session is there already.
 * Service thread, lock held. */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "iscsi/session-internal.h"

const char *
session_elsewhere (const struct session *s, char *buf, size_t size)
{
  portal_text (&s->portal, buf, size);
  if (strcmp (s->address, buf) == 0)
    return "";
  snprintf (buf, size, " to %s", s->address);
  return buf;
}

bool
session_next_address (struct session *s)
{
  char *rest = s->addresses + strspn (s->addresses, " ");
  const size_t n = strcspn (rest, " ");

  if (n == 0)
    return false;
  snprintf (s->address, sizeof s->address, "%.*s", (int) n, rest);
  memmove (s->addresses, rest + n, strlen (rest + n) + 1);
  return true;
}

static bool
is_unreachable (const struct session *s)
{
  return s->failure == FAIL_RESOLVE || s->failure == FAIL_REFUSED ||
    s->failure == FAIL_UNREACHABLE || s->failure == FAIL_TIMEOUT;
}

/* Others of the target that are up, or may still be. */
static bool
has_hope (const struct session *s)
{
  struct list *l, *next;

  list_for_each (l, next, &s->engine->sessions) {
    const struct session *o = list_entry (l, struct session, node);

    if (o != s && o->ops == s->ops && strcasecmp (o->target, s->target) == 0 &&
        (o->ever_up || !o->settled || !is_unreachable (o)))
      return true;
  }
  return false;
}

void
session_told_wrong (struct session *s)
{
  const size_t n = strlen (s->why);
  char asked[300];

  if (!s->was_told || s->ever_up || s->attempt > 0 || !is_unreachable (s))
    return;
  portal_text (&s->told_by, asked, sizeof asked);
  snprintf (s->why + n, sizeof s->why - n, " (told by %s; discovery=off uses "
            "only portals=)", asked);
  if (has_hope (s))
    return;
  /* Behind NAT, say, or in a pod: that one can be reached. */
  log_info ("%s: no portal that it told for %s can be reached from here: it "
            "is tried itself", asked, s->target);
  s->engine->hooks->add_target (s->engine, &s->told_by, s->target, NULL);
}

bool
session_is_double (struct session *s)
{
  struct list *l, *next;

  if (!s->ops->of_portal || s->ops->discovery || s->redirects > 0 ||
      !list_empty (&s->paths))
    return false;
  list_for_each (l, next, &s->engine->sessions) {
    const struct session *o = list_entry (l, struct session, node);

    if (o == s || o->ops != s->ops || o->dying || o->redirects > 0 ||
        (o->state != SESSION_PROBE && o->state != SESSION_UP) ||
        portal_equal (&o->portal, &s->portal) ||        /* of several there */
        strcmp (o->address, s->address) != 0 ||
        strcasecmp (o->target, s->target) != 0 ||
        o->portal.tpgt != s->portal.tpgt)
      continue;
    log_warning ("%s: is the same portal as %s (%s, portal group %d of %s): "
                 "one path is made of the two", s->name, o->name, s->address,
                 s->portal.tpgt, s->target);
    return true;
  }
  return false;
}
