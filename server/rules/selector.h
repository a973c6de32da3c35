/* SPDX-License-Identifier: BSD-3-Clause */
/* Which path the next command takes.
 *
 * A selector is a table of functions over the usable paths of one path
 * group, as dm-mpath has them.  Pure.  Called under the engine lock.
 */
#ifndef MPISCSI_SELECTOR_H
#define MPISCSI_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "rules/turns.h"

/* Embedded in struct path; the selector's view of it. */
struct selector_path {
  struct list node;             /* in selector.active, or alone */
  unsigned in_flight;           /* commands sent and not answered */
  uint64_t in_flight_bytes;
  unsigned limit;               /* no more in flight than this */
  /* All LUNs of a session share its depth.  NULL: nothing shared. */
  const unsigned *shared_in_flight, *shared_limit;
  unsigned repeat_count;        /* round-robin: I/Os before the next path */
  /* And when it is scarce, they take turns.  NULL: nobody waits, ever. */
  const struct turns *turns;
  struct turn turn;
  bool slow;                    /* much slower than the others: last choice */
};

struct selector;
struct selector_ops {
  const char *name;             /* as in path_selector "NAME 0" */
  /* The next path with room for one more command of BYTES; NULL if all
   * active paths are full or there is none. */
  struct selector_path *(*select_path) (struct selector *sel, uint32_t bytes);
};

struct selector {
  const struct selector_ops *ops;
  struct list active;           /* usable paths; round-robin turns the list */
  unsigned nr_active;
  unsigned repeat_left;         /* I/Os left on the first of the list */
  int64_t bytes_left;           /* and bytes: see selector-round-robin.c */
};

extern const struct selector_ops selector_round_robin;
extern const struct selector_ops selector_queue_length;
extern const struct selector_ops selector_service_time;

extern void selector_init (struct selector *sel, const struct selector_ops *ops);
/* PATH is zeroed. */
extern void selector_path_init (struct selector_path *path);
/* Fail and reinstate move a path out of and into the active list. */
extern void selector_fail_path (struct selector *sel, struct selector_path *path);
extern void selector_reinstate_path (struct selector *sel, struct selector_path *path);
extern void selector_start_io (struct selector_path *path, uint32_t bytes);
extern void selector_end_io (struct selector_path *path, uint32_t bytes);
extern bool selector_path_has_room (const struct selector_path *path);

#endif /* MPISCSI_SELECTOR_H */
