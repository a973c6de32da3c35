/* SPDX-License-Identifier: BSD-3-Clause */
/* The write gate of a map: writes on blocks that are in doubt wait here
 * (map->parked) until nothing can come after them any more.  What is in doubt,
 * and for how long, is decided by whoever has registered: fence/.
 *
 * Lock held, everywhere.
 */
#ifndef MPISCSI_GATE_H
#define MPISCSI_GATE_H

#include "multipath/multipath.h"

/* Service thread, if nothing else is said. */
struct gate_ops {
  /* A map is there; has got one more path; goes. */
  void (*map_new) (struct map *m);
  void (*path_added) (struct map *m);
  void (*map_freed) (struct map *m);
  /* P is about to be used: keeps the memory that it takes to note that its
   * writes are in doubt, since there may be none on the day.  false: there is
   * none, P must not be used. */
  bool (*reserve) (struct path *p);
  void (*unreserve) (struct path *p);
  /* Any thread: the write CMD was in flight on a session that is gone.  Needs no
   * memory. */
  void (*lost) (struct command *cmd);
  /* Does something wait for the next login of S?  S has logged in. */
  bool (*awaits_login) (const struct session *s);
  void (*logged_in) (struct session *s);
  /* From the tick, and after gate_soon (). */
  void (*check) (struct map *m, double now);
};

/* Must this command wait? */
static inline bool
gate_blocks (const struct map *m, const struct command *cmd)
{
  return m->indoubt.count > 0 && cmd->modifies &&
    indoubt_overlaps (&m->indoubt, cmd->origin, cmd->lba, cmd->blocks);
}

/* For map_new, map_free. */
extern void gate_init (struct map *m);
extern void gate_end (struct map *m);
extern void gate_park (struct map *m, struct command *cmd);
/* Something that writes may have waited for has happened. */
extern void gate_unpark (struct map *m);
/* Writes that wait were never sent, so they may fail. */
extern void gate_fail_parked (struct map *m, int error);
/* Any thread: something has changed, look at it. */
extern void gate_soon (struct map *m);
/* What was registered; without it nothing is in doubt. */
extern void gate_check (struct map *m, double now);
extern void gate_path_added (struct map *m);
extern bool gate_reserve (struct engine *e, struct path *p);
extern void gate_unreserve (struct engine *e, struct path *p);
extern void gate_lost (struct map *m, struct command *cmd);
extern bool gate_awaits_login (const struct session *s);
extern void gate_logged_in (struct session *s);

#endif /* MPISCSI_GATE_H */
