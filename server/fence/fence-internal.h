/* SPDX-License-Identifier: BSD-3-Clause */
/* Between fence.c, the ladder, and fence-session.c, which climbs it.  Lock held,
 * everywhere. */
#ifndef MPISCSI_FENCE_INTERNAL_H
#define MPISCSI_FENCE_INTERNAL_H

#include <string.h>

#include "fence/fence.h"
#include "fence/nexus.h"
#include "multipath/gate.h"
#include "rules/fence-ladder.h"

/* A dead nexus (as far as one map is concerned).  A session that logs in again
 * and dies again makes another one: what fenced the first one says nothing
 * about the second. */
struct fence {
  struct list node;             /* map->fences; or it is a path's reserve */
  struct indoubt_range all;     /* for when there is no memory for others */
  struct nexus nexus;           /* all that a login needs to end it */
  uint64_t login;               /* which one it was of that session */
  bool inherited;               /* of a server that was killed: nexus.h */
  bool failed;                  /* a login for it, once; said */
  char name[330];               /* of the portal, for logs */
  double since;                 /* it is here */
  /* Of fence_timeout: seconds that somebody has waited with a path there; and
   * when that was looked at, last. */
  double waited, looked;
  enum fence_state state;
};

/* What a fencing session was made for: its opaque. */
struct fencer {
  struct map *map;              /* NULL: it is gone */
  bool done;
};

static inline struct fencer *
fencer_of (const struct session *s)
{
  return s->opaque;
}

static inline bool
is_nexus_of (const struct nexus *x, const struct session *s)
{
  return x->isid_qualifier == s->isid_qualifier &&
    x->isid_random == s->isid_random && strcmp (x->target, s->target) == 0 &&
    strcmp (x->initiator, s->initiator) == 0;
}

/* A redirected login, or one at an address that another controller has taken
 * over, is in another portal group, where it ends nothing of X: a session is
 * known by ISID and group (RFC 7143 4.4.3.2).  False if a group is not known. */
static inline bool
is_elsewhere (const struct nexus *x, const struct session *s)
{
  return x->portal.tpgt != -1 && s->portal.tpgt != -1 &&
    x->portal.tpgt != s->portal.tpgt;
}

static inline enum fencing
ladder (const struct map *m)
{
  return m->engine->settings->fence;
}

/* fence-reset.c: for F, whose target may do without a rung. */
extern enum fencing fence_ladder_for (const struct map *m,
                                      const struct fence *f);

/* What the table says of EVENT; the caller does the action. */
static inline enum fence_action
fence_event (const struct map *m, struct fence *f, enum fence_event event)
{
  const struct fence_transition t =
    fence_transition (fence_ladder_for (m, f), f->state, event);

  f->state = t.next;
  return t.action;
}

static inline bool
wants_login (const struct map *m, const struct fence *f)
{
  return fence_wants_login (fence_ladder_for (m, f), f->state);
}

static inline bool
wants_reset (const struct map *m, const struct fence *f)
{
  return fence_wants_reset (fence_ladder_for (m, f), f->state);
}

/* fence-reset.c.  False: not now. */
extern bool fence_reset_start (struct map *m, const struct path *via,
                               double now);
enum fence_reset { FENCE_RESET_GOES_ON, FENCE_RESET_DONE, FENCE_RESET_FAILED };
/* GOES_ON: or there is none. */
extern enum fence_reset fence_reset_check (struct map *m, double now);

/* fence-session.c */
/* To log in with the ISID of a fence that wants it.  LIVE: through a live path; else an old server's through the portal that it
 * had, which may be none of ours.  AGAIN: also those that failed before. */
extern bool fence_start_login (struct map *m, bool live, bool again);
/* A live path through any portal over which a reset is good for X.  After a failure
 * another one than before, if there is one. */
extern const struct path *fence_reset_path (const struct map *m,
                                            const struct nexus *x);
/* What is reset through S: does it know of the tasks of X? */
extern bool fence_is_known_to (const struct nexus *x, const struct session *s);
/* The fencing session of M shares its portal with a path.  When that one is
 * found dead, so is this one, whose health nobody looks at. */
extern bool fence_session_is_lost (const struct map *m);

#endif /* MPISCSI_FENCE_INTERNAL_H */
