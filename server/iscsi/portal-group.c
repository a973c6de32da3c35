/* SPDX-License-Identifier: BSD-3-Clause */
/* Which portal group a session has logged in to: every target says so in its
 * first Login Response (RFC 7143 13.9), also one that does no discovery.
 * Fencing needs it: a lost session can be reinstated through the portals of its
 * own group, and of no other.
 *
 * libiscsi parses the keys of a login and keeps few of them, but logs them all
 * at level 6, as "TargetLoginReply: KEY=VALUE", with the target's name behind.
 * Its log function gets no context: whose turn it is is noted around each call
 * of iscsi_service (). */
#include <config.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi/session-internal.h"

#define LOGIN_REPLY_LEVEL 6

static _Thread_local struct session *at_work;

void
portal_group_told (struct session *s, int tag)
{
  if (tag == -1 || tag == s->portal.tpgt || s->ops->discovery)
    return;
  if (s->portal.tpgt != -1)
    log_warning ("%s: target %s says at login that this is its portal group "
                 "%d, not %d", s->name, s->target, tag, s->portal.tpgt);
  /* A redirected session is where it was sent to. */
  s->portal.tpgt = tag;
}

/* Who debugs libiscsi gets its log, as without us; but LIBISCSI_DEBUG changes
 * nothing of what we do. */
static int
debug_level (void)
{
  const char *level = getenv ("LIBISCSI_DEBUG");

  return level ? atoi (level) : 0;
}

static void
log_cb (int level, const char *message)
{
  static const char key[] = "TargetLoginReply: TargetPortalGroupTag=";
  struct session *s = at_work;
  unsigned long tag;
  char *end;

  if (level <= debug_level ())
    iscsi_log_to_stderr (level, message);
  if (s == NULL || strncmp (message, key, sizeof key - 1) != 0)
    return;
  message += sizeof key - 1;
  /* 16 bits, decimal or hexadecimal (RFC 7143 13.9, 6.1). */
  if (!isdigit ((unsigned char) message[0]))
    return;
  tag = strtoul (message, &end,
                 strncasecmp (message, "0x", 2) == 0 ? 16 : 10);
  if ((*end == '\0' || *end == ' ') && tag <= 0xffff)
    portal_group_told (s, (int) tag);
}

void
portal_group_listen (struct session *s)
{
  const int level = debug_level ();

  if (session_is_own ())        /* a relay has all keys itself */
    return;
  iscsi_set_log_fn (s->ctx, log_cb);
  iscsi_set_log_level (s->ctx, level > LOGIN_REPLY_LEVEL ? level
                       : LOGIN_REPLY_LEVEL);
}

void
portal_group_known (struct session *s)
{
  if (s->ctx != NULL)
    iscsi_set_log_level (s->ctx, debug_level ());
}

int
portal_group_service (struct session *s, int revents)
{
  int r;

  at_work = s;
  r = iscsi_service (s->ctx, revents);
  at_work = NULL;
  return r;
}
