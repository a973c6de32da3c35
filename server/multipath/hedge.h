/* SPDX-License-Identifier: BSD-3-Clause */
/* Hedged reads (hedged_reads on): when a read on one path is late (lateness.h)
 * the same read goes out on another path of the group, and the first good
 * answer wins.
 *
 * OWNERSHIP
 *
 * A request and the client's buffer are gone once the request is complete,
 * but libiscsi keeps pointers to the task and the iovec of a command until it
 * is answered or the context is destroyed; there is no way to call a read
 * back (ABORT TASK does not stop Data-In that is on its way).  Hence:
 *
 * - The commands of a read that may be hedged are not on the worker's stack
 *   but in a struct read_parts, which outlives the request if it must.
 * - The second read goes to a buffer of the hedge's own.
 * - When the second one wins, its data is copied into the client's buffer, the
 *   first one becomes an orphan: no request, and its iovec points to the
 *   hedge's buffer from then on.  libiscsi (1.19: socket.c, which looks for
 *   task and iovec anew at each piece of each Data-In, adds the offset to
 *   iov_base for the time of one readv () only, and keeps no address of the
 *   buffer) is outside of iscsi_service () for that session then: the answer
 *   came from another session, and all is under the engine lock.
 * - When the first one wins, or fails, the second one reads into the hedge's
 *   own buffer, for nobody.  Who fails goes on as if there were no hedge.
 *
 * A hedge ends when neither the second read nor an orphan is in flight.  It
 * is freed by the work queue, never inside of libiscsi.
 *
 * All of this under the engine lock; hedge_check () in the service thread.
 */
#ifndef MPISCSI_HEDGE_H
#define MPISCSI_HEDGE_H

#include "multipath/multipath.h"

/* At most so many hedges of a map at a time, with so many bytes of buffers. */
#define HEDGE_MAX 32
#define HEDGE_MAX_BYTES (8 * 1024 * 1024)

struct hedge {
  struct list node;             /* map->hedging.out */
  struct work over;             /* frees it, outside of libiscsi */
  struct map *map;
  struct command cmd;           /* the second read */
  bool in_flight;               /* cmd is */
  struct command *original;     /* that waits; NULL: not any more */
  struct command *orphan;       /* the original, when cmd has won */
  struct read_parts *parts;     /* with the orphan in it */
  bool last;                    /* parts is to be freed with this */
  void *buf;                    /* cmd->bytes */
};

/* Any thread, no lock: N commands, zeroed.  NULL: no memory. */
extern struct command *read_parts_new (unsigned n);
extern void read_parts_free (struct command *parts);
/* Lock held.  The last part of REQ is done: what orphans are still in is
 * taken from the request. */
extern void read_parts_abandon (struct request *req);

/* A read that may be hedged was sent; was answered well. */
extern void hedge_sent (struct command *cmd);
extern void hedge_read_done (struct path *p, double seconds);
/* CMD leaves its session, and was not answered by its hedge. */
extern void hedge_forget (struct command *cmd);

/* The timer. */
extern void hedge_init (struct engine *e);

#endif /* MPISCSI_HEDGE_H */
