/* SPDX-License-Identifier: BSD-3-Clause */
/* In-doubt write fencing.
 *
 * When a session dies, its unanswered writes are in doubt: the target may
 * execute them at any time.  They are sent again at once on another path (the
 * same data: harmless), but a NEW write, trim or zero that overlaps one waits
 * (map->parked) until the dead nexus is known to execute nothing any more.
 * Then the ladder, for each map and dead session (struct fence):
 *
 * 1. RST the connection (session.c, at once).
 * 2. Reinstatement: log in with the ISID of the dead session and TSIH 0,
 *    through its own portal (that is the session's own new login) or through
 *    any live portal of the same target portal group.  RFC 7143 6.3.5: the
 *    target ends the old session and its tasks.
 * 3. LOGICAL UNIT RESET (SAM-5 7.8), when a write really waits: some targets
 *    (tgt) let a task that is inside their backing store go on after 2, but
 *    answer this one only when it has ended.  It aborts the tasks of every
 *    initiator, so first nothing new is sent (map->frozen, for 5 s at most)
 *    until what is in flight on the live paths was answered; the sessions
 *    that still wait for an answer after the reset are ended, and their
 *    writes are in doubt like any others: they may not have reached the
 *    target before the reset.  A reset is good for the nexuses that were
 *    reinstated before it was sent.
 * 4. Hold: after fence_timeout the ranges are let go, with a warning.  While
 *    nothing but 3 is left to do and no write waits they are kept.
 *
 * What a server that was killed has left in flight is fenced in the same way
 * by the next one, which knows its nexuses from the state file (nexus.h): then
 * all blocks are in doubt, and 2 may also go through a portal that is not
 * configured any more.
 *
 * tests/fence/fence.pml is a model of this.
 *
 * 2 and 3 use a session of their own (SESSION_FENCE), which has no paths:
 * libiscsi 1.19 cancels all that is on the context of a reset.
 *
 * Lock held; service thread, except fence_lost.
 */
#ifndef MPISCSI_FENCE_H
#define MPISCSI_FENCE_H

#include "multipath/multipath.h"
#include "rules/nexus-state.h"

/* P is about to be used: keeps the memory that it takes to note that its writes
 * are in doubt, since there may be none on the day.  false: there is none, P
 * must not be used. */
extern bool fence_reserve (struct path *p);
/* The write CMD was in flight on a session that is gone.  Needs no memory: if
 * there is none, all of the disk is in doubt. */
extern void fence_lost (struct command *cmd);
/* Must this command wait for a fence? */
static inline bool
fence_blocks (const struct map *m, const struct command *cmd)
{
  return m->indoubt.count > 0 && cmd->modifies &&
    indoubt_overlaps (&m->indoubt, cmd->origin, cmd->lba, cmd->blocks);
}
/* A session (normal or fencing) has logged in: the nexus of that ISID at
 * that portal group has no old tasks any more. */
extern void fence_logged_in (struct session *s);
/* Is this qualifier one of a session that is gone but not fenced? */
extern bool fence_uses_isid (struct engine *e, uint32_t qualifier);
/* Will this login be one that a fence waits for? */
extern bool fence_pending (const struct session *s);
/* From the tick, and whenever something has changed. */
extern void fence_check (struct map *m, double now);
/* The latter. */
extern void fence_soon (struct map *m);
extern void fence_work (struct work *w);        /* for map_new */
/* Nothing is in doubt any more.  A clean shutdown waits for it, for a while,
 * before it logs out. */
extern bool fence_settled (const struct engine *e);
/* An older server that was killed may have had writes in flight on X: all
 * blocks are in doubt.  false: no memory. */
extern bool fence_inherit (struct map *m, const struct nexus *x);
/* Adds the nexuses of our own that are not fenced.  false: no memory. */
extern bool fence_list_own (const struct map *m, struct nexus_list *out);
/* Something that writes may have waited for has happened. */
extern void fence_unpark (struct map *m);
/* What an answer through P says (ACTION_TARGET_RESET, ACTION_DATA_LOST), unless
 * it is what our own reset has done. */
static inline void
fence_heard (struct path *p, unsigned actions)
{
  if (actions & ACTION_DATA_LOST)       /* no reset does that */
    p->reset_expected = false;
  if (actions & (ACTION_TARGET_RESET | ACTION_DATA_LOST))
    path_target_reset (p);
}
/* P has answered a command that would have been refused with a UNIT ATTENTION,
 * if there were one: that of our reset was taken before (by a login, say), or
 * this target raises none.  The next one is news. */
static inline void
fence_heard_nothing (struct path *p)
{
  if (p->reset_expected &&
      !p->map->reset_sent)
    p->reset_expected = false;
}
/* Writes that wait were never sent, so they may fail. */
extern void fence_fail_parked (struct map *m, int error);
/* The map goes. */
extern void fence_forget (struct map *m);

#endif /* MPISCSI_FENCE_H */
