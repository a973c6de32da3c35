/* SPDX-License-Identifier: BSD-3-Clause */
/* In-doubt ranges: blocks that an unanswered write on a dead nexus may still
 * change (field notes, hazard 1).
 *
 * Pure.  Under the engine lock.  One set per map; empty, and then of no cost,
 * unless a path died with writes in flight.
 */
#ifndef MPISCSI_INDOUBT_H
#define MPISCSI_INDOUBT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct indoubt_range {
  struct list node;
  const void *nexus;
  uint64_t origin;              /* 0: anybody's */
  uint64_t lba, end;            /* end: first block behind */
  bool lent;                    /* by indoubt_add_all's caller: not to be freed */
};

struct indoubt {
  struct list ranges;
  unsigned count;
};

extern void indoubt_init (struct indoubt *set);
extern void indoubt_clear (struct indoubt *set);
/* The write ORIGIN (a number that is never used for another one) of BLOCKS
 * from LBA may still be executed by NEXUS.  Without memory all blocks of the
 * disk are in doubt instead: slow, but right.  false if not even that
 * could be noted, since NEXUS has no range yet: then indoubt_add_all. */
extern bool indoubt_add (struct indoubt *set, const void *nexus,
                         uint64_t origin, uint64_t lba, uint64_t blocks);
/* NEXUS may still execute anything: needs no memory but RANGE, which must live
 * until NEXUS is released, or all is cleared. */
extern void indoubt_add_all (struct indoubt *set, const void *nexus,
                             struct indoubt_range *range);
/* NEXUS is dead for sure: whatever it had will not be executed any more. */
extern void indoubt_release (struct indoubt *set, const void *nexus);
/* Must a write of BLOCKS from LBA wait?  The same write (ORIGIN) need not
 * wait for itself: its data are the same. */
extern bool indoubt_overlaps (const struct indoubt *set, uint64_t origin,
                              uint64_t lba, uint64_t blocks);

#endif /* MPISCSI_INDOUBT_H */
