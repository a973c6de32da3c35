/* SPDX-License-Identifier: BSD-3-Clause */
/* Fencing between two processes: the state file of nexus-state.h, kept for a
 * running engine.
 *
 * A server that is killed (kill -9, a crash, a power failure) may leave writes
 * in flight, and its clients connect again to the next server and overwrite
 * the same blocks.  So a nexus is noted, on disk, before the first write goes
 * through it, and the next server fences it, for all blocks of the LUN, before
 * its own first write to that LUN (struct nexus_client).
 *
 * What it costs: nothing per I/O.  A map's writes are held back by a range in
 * its indoubt set (the gate) from the time it gets a path until the file has
 * it; the file is written when the first write of the map has come, and then
 * whenever one of the maps that are written to gets another path.  Reads never
 * wait.  The keeper thread writes it, since the disk with the state directory
 * may hang; the end of the server does not wait longer than AT_END for it.
 *
 * Without a record no write goes out: it fails, at once if there never was
 * one, else after fence_timeout; and the keeper tries again.  With
 * fence_without_state=allow there is a warning, and writes go out after
 * PATIENCE at the latest.
 *
 * tests/fence/fence.pml (KILLS) is a model of this.
 */
#ifndef MPISCSI_NEXUS_H
#define MPISCSI_NEXUS_H

#include "multipath/multipath.h"
#include "rules/nexus-state.h"

/* The nexus of S, as far as the LUN of M is concerned. */
extern void nexus_of (const struct session *s, const struct map *m,
                      struct nexus *x);
/* What the record is of: fence.c.  Lock held. */
struct nexus_client {
  /* Adds the nexuses of our own that are not fenced.  false: no memory. */
  bool (*list_own) (const struct map *m, struct nexus_list *out);
  /* An older server that was killed may have had writes in flight on X: all
   * blocks are in doubt.  false: no memory. */
  bool (*inherit) (struct map *m, const struct nexus *x);
};

/* Before engine_start; no lock.  Sets the engine's ISID. */
extern void nexus_start (struct engine *e, const struct nexus_client *client);
/* After the logout, when all threads but the keeper have ended; no lock.
 * Twice is as good as once. */
extern void nexus_stop (struct engine *e);

/* Lock held. */
extern void nexus_map_new (struct map *m);
extern void nexus_path_added (struct map *m);
/* S is logged in: what the file says of it may not be so any more. */
extern void nexus_logged_in (struct session *s);
extern enum nexus_record nexus_record (const struct engine *e);
/* All that the dead server ISID had on M is fenced. */
extern void nexus_fenced (struct map *m, uint32_t isid_random);
/* From the tick, and when a write waits. */
extern void nexus_check (struct map *m, double now);

#endif /* MPISCSI_NEXUS_H */
