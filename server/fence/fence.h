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
 *    answer this one only when it has ended.  It goes over the session of a
 *    live path, to the target that had the write.  It aborts the tasks of every
 *    initiator, so first nothing new is sent (map->frozen, for 5 s at most)
 *    until what is in flight on the live paths was answered; what still waits
 *    for an answer after the reset was aborted, or came after it: ABORT TASK
 *    finds out (path-abort.c), no session ends, nothing is in doubt.  A reset is
 *    good for the nexuses that were reinstated before it was sent.  A target
 *    that refuses it once is not asked again: then 2 is all.
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
 * 2 uses a session of its own, which has no paths.
 *
 * Lock held; service thread, but for writes that are lost.
 */
#ifndef MPISCSI_FENCE_H
#define MPISCSI_FENCE_H

#include "multipath/multipath.h"
#include "rules/nexus-state.h"

/* Registers with the write gate: writes that got no answer are fenced from now
 * on, as the settings say. */
extern void fence_attach (struct engine *e);
/* Keeps a record for the server that comes after this one, if it is killed
 * (nexus.h).  Before sessions are started; no lock. */
extern void fence_keep_record (struct engine *e);
/* Nothing is in doubt any more.  A clean shutdown waits for it, for a while,
 * before it logs out. */
extern bool fence_settled (const struct engine *e);

#endif /* MPISCSI_FENCE_H */
