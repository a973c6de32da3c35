/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is next, where several share what is scarce.
 *
 * Two places.  The free slots of a session (its queue depth) are shared by the
 * LUNs that are reached through it: whoever wants one and finds none waits in
 * line, and while somebody waits nobody else takes one (deficit round robin,
 * Shreedhar and Varghese 1995).  A map's queue is shared by its NBD clients:
 * a command is put in by a tag that grows with what its client has asked for
 * (start-time fair queueing, Goyal et al. 1996), so that a client with one
 * request does not wait for all that another one has queued.
 *
 * What a command costs is TURN_COST: commands and bytes both count.
 *
 * Pure.  Called under the engine lock.
 */
#ifndef MPISCSI_TURNS_H
#define MPISCSI_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

/* One for the command, and one more for each 64 KiB. */
#define TURN_COST(bytes) (1 + (bytes) / (64 * 1024))
/* What one turn is worth with the usual weight. */
#define TURN_CREDIT 4
#define WEIGHT_DEFAULT 100
#define WEIGHT_MAX 10000

/* ---- the slots of a session -------------------------------------------------- */

struct turns {
  struct list waiting;          /* struct turn, the next one first */
};
/* One that shares them; alone, or in turns.waiting. */
struct turn {
  struct list node;
  int64_t credit;               /* left of this turn; used while it waits */
};

extern void turns_init (struct turns *t);
extern void turn_init (struct turn *u);
/* There is no slot for U: it gets in line, unless it is. */
extern void turns_wait (struct turns *t, struct turn *u, unsigned weight);
/* May U take a free slot? */
static inline bool
turns_may_take (const struct turns *t, const struct turn *u)
{
  return list_empty (&t->waiting) || t->waiting.next == &u->node;
}
/* U has taken one, for a command of so many BYTES: its turn may be over. */
extern void turns_taken (struct turns *t, struct turn *u, uint32_t bytes,
                         unsigned weight);
/* U wants none any more. */
extern void turns_leave (struct turn *u);
/* Who is next; NULL: nobody waits. */
extern struct turn *turns_next (const struct turns *t);

/* ---- a queue of several clients ----------------------------------------------- */

/* One per client: where its last command was put. */
struct share {
  uint64_t tag;
};

/* The tag of the next command of a client, whose queue has come to NOW (the
 * tag of what was taken from it last). */
extern uint64_t share_tag (struct share *s, uint64_t now, uint32_t bytes);

#endif /* MPISCSI_TURNS_H */
