/* SPDX-License-Identifier: BSD-3-Clause */
/* What front ends call (nbdkit's plugin, the NBD server, the command): start and
 * end, exports, and I/O. */
#ifndef MPISCSI_SERVICE_H
#define MPISCSI_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "conf/conf.h"
#include "multipath/multipath.h"

/* ---- start and end ---- */

/* Reads settings only; they must outlive it.  NULL: errno. */
extern struct engine *engine_new (const struct settings *settings);
/* Start sessions or discovery for every configured portal. */
extern void engine_start (struct engine *e);
/* Run the loop in the calling thread until every session has settled or
 * TIMEOUT seconds are over. */
extern void engine_run_until_settled (struct engine *e, double timeout);
/* 0, or -1 with one line for the user in err: is there anything to serve? */
extern int engine_verdict (struct engine *e, char *err, size_t size);
extern int engine_start_thread (struct engine *e);
/* Fail what is queued, log out (bounded by TIMEOUT seconds), end the thread. */
extern void engine_shutdown (struct engine *e, double timeout);
/* At once and from any thread: no more waiting for paths; queued I/O fails
 * with ESHUTDOWN; what is in flight is answered, or its session dies. */
extern void engine_abandon (struct engine *e);
extern void engine_free (struct engine *e);
/* Service thread, lock held: go on with other settings, which must outlive
 * the engine, as the old ones must.  Portals that are new are logged in to;
 * what is in use stays in use. */
extern int engine_reconfigure (struct engine *e,
                               const struct settings *settings);
/* Waits until some I/O is stuck (true), or the engine is shut down (false). */
extern bool engine_wait_stuck (struct engine *e);
/* Sessions for one more target portal; does nothing if it is known. */
extern void engine_add_target (struct engine *e, const struct portal *portal,
                               const char *target);
/* For `add` and `del`: service thread, lock held.  Discovery there, or a
 * session for the configured target; false: nothing to do, or no memory. */
extern bool engine_add_portal (struct engine *e, const struct portal *portal,
                               bool forget);
/* Logs out of all that is at the portal and forgets it; how many sessions. */
extern unsigned engine_del_portal (struct engine *e,
                                   const struct portal *portal);

/* ---- exports ---- */

/* Maps, for connections: any thread, takes the lock.  Waits until start-up
 * has settled, at most TIMEOUT.  NULL: err says why; it lists the exports
 * when NAME is "" and there are several. */
extern struct map *engine_find_map (struct engine *e, const char *name,
                                    double timeout, char *err, size_t size);
/* Lock held: each session was up, or has failed, at least once. */
extern bool engine_all_settled (struct engine *e);
/* Until each session was up or has failed once, at most TIMEOUT seconds. */
extern void engine_wait_settled (struct engine *e, double timeout);
/* A copy, as they are now. */
extern void map_get_facts (struct map *m, struct lu_facts *facts);
/* Calls f for each map, lock held. */
extern void engine_each_map (struct engine *e,
                             void (*f) (struct map *m, void *opaque),
                             void *opaque);

/* ---- I/O ---- */

/* request.c: worker threads.  Synchronous; each returns 0, or -1 with errno
 * one of EIO ENOSPC EPERM ENOMEM ESHUTDOWN ENOTSUP EINVAL.  offset and count
 * are bytes, multiples of the logical block size (else EINVAL). */
extern int map_read (struct map *map, void *buf, uint32_t count, uint64_t offset);
extern int map_write (struct map *map, const void *buf, uint32_t count,
                      uint64_t offset, bool fua);
extern int map_flush (struct map *map);
/* *losses: what the connection knows of map->losses; EIO, and up to date
 * after, when there were more: data that it was told is written may be gone. */
extern int map_flush_told (struct map *map, unsigned *losses);
extern unsigned map_losses (struct map *map);
/* provision.c: worker threads; the same errors, and ENOTSUP when the LUN
 * cannot do it.  Advisory: what the LUN does not unmap is left as it is. */
extern int map_trim (struct map *map, uint32_t count, uint64_t offset);
/* may_trim: the blocks may be unmapped if they read as zeroes then.
 * fast: ENOTSUP at once unless that is what happens. */
extern int map_zero (struct map *map, uint32_t count, uint64_t offset,
                     bool may_trim, bool fast);
/* The status of the blocks from LBA on; returns how many entries of OUT were
 * filled (at least 1, the first one contains LBA), or -1. */
extern int map_lba_status (struct map *map, uint64_t lba, uint32_t blocks,
                           struct lba_status *out, int max);
/* What the LUN said it can do, and did not refuse so far. */
extern bool lu_can_trim (const struct lu_facts *lu);
extern bool map_can_extents (struct map *map);
/* Asynchronous reads and writes: any thread.  Prepares a zeroed request (the
 * caller sets done), 0 or -1 with errno EINVAL (as above, or no bytes) or
 * ENOMEM.  REQ and BUF must stay as they are until done is called. */
extern int request_transfer (struct request *req, struct map *map, void *buf,
                             uint32_t count, uint64_t offset, bool write,
                             bool fua);
/* Starts those that are linked by next, of one engine, the last one first. */
extern void requests_start (struct request *last);
/* In done: frees what request_transfer has made; 0, or the errno. */
extern int request_end (struct request *req);
/* A zeroed request of N commands, run, and its errno. */
extern int request_init (struct request *req, struct map *map,
                         enum request_op op, unsigned nr_parts);
extern int request_finish (struct request *req);

#endif /* MPISCSI_SERVICE_H */
