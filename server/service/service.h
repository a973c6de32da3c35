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
/* A server, before engine_start (): notes its sessions for the next one, which has
 * to fence what is in flight if this one is killed; and fences what an older one
 * has left. */
extern void engine_keep_record (struct engine *e);
/* Start sessions or discovery for every configured portal. */
extern void engine_start (struct engine *e);
/* Run the loop in the calling thread until every session has settled or
 * TIMEOUT seconds are over. */
extern void engine_run_until_settled (struct engine *e, double timeout);
/* After that: until an asymmetric array takes I/O on some port, if it takes none
 * and nothing else can be served; at most TIMEOUT. */
extern void engine_run_until_active (struct engine *e, double timeout);
/* 0, or -1 with one line for the user in err: is there anything to serve? */
extern int engine_verdict (struct engine *e, char *err, size_t size);
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
                               const char *target,
                               const struct portal *asked);
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
/* The default export (default-export.c).  A server: before engine_start (), what
 * it was is recalled, and will be kept. */
extern void engine_recall_default (struct engine *e);
/* The name of the default export, "" if there is none, as a malloc'd string. */
extern char *engine_default_name (struct engine *e, double timeout);
/* When it has settled, for who starts it: how sure is what that will be? */
extern void engine_advise_default (struct engine *e);
/* Calls f for each map, lock held. */
extern void engine_each_map (struct engine *e,
                             void (*f) (struct map *m, void *opaque),
                             void *opaque);

/* ---- I/O ---- */

/* What a front end wants done.  What that takes (splitting, read-modify-write
 * of half blocks, a flush for FUA, another command where the LUN does not
 * know the first) is in here, and only here.
 *
 * Its owner sets what is above the line, in a zeroed structure, and calls
 *
 * - service_run (): any thread that may sleep; it is done when that returns;
 * - service_start (): the loop's thread, run to completion.  done is called
 *   when it is done, perhaps from in there.
 *
 * Then error and the results are there, and service_end () frees what belongs
 * to it; the structure may be used again then. */
enum service_op {
  SERVICE_READ, SERVICE_WRITE, SERVICE_FLUSH, SERVICE_TRIM, SERVICE_ZERO,
  SERVICE_CACHE, SERVICE_EXTENTS, SERVICE_CAPACITY,
};

#define SERVICE_HOLE 1u         /* as the NBD protocol has them */
#define SERVICE_ZEROES 2u
struct service_extent {
  uint64_t length;
  uint32_t flags;
};

struct disk;

struct service_request {
  struct request req;           /* first: the engine's, one after the other */
  struct map *map;
  struct share *share;          /* its client's (turns.h); NULL: of no client */
  struct disk *disk;            /* NULL: half blocks are refused with EINVAL */
  enum service_op op;
  bool fua;                     /* write, trim, zero */
  bool may_trim, fast;          /* zero: see map_zero */
  bool one;                     /* extents: the first is enough */
  uint64_t offset, count;       /* bytes */
  void *buf;                    /* read, write */
  _Atomic unsigned *losses;     /* flush: see map_flush_told; may be NULL */
  void (*done) (struct service_request *sr);
  /* ---- */
  int error;                    /* 0, or the errno, as for map_read () */
  struct service_extent *extents;       /* from offset on */
  unsigned nr_extents;
  uint64_t blocks;              /* capacity: what the LUN says now; 0 unknown */

  /* service/'s own. */
  bool (*step) (struct service_request *sr, int error);
  uint64_t lba, left, batch_lba, batch_left;    /* blocks; of trim, zero ... */
  unsigned way, phase, commands;
  bool ndob;
  struct {
    uint64_t lba;
    uint32_t from, to;          /* bytes of that block; from == to: none */
    const uint8_t *data;        /* NULL: zeroes */
  } patch[2];                   /* half blocks at both ends */
  uint64_t middle;              /* offset of the whole blocks between */
  void *bounce;
  bool run, abandoned, waits;
  bool unforced;                /* with fua: something was written without */
  bool in_range, patches;       /* ranges.c */
  struct list range_node;
  uint64_t range_from, range_to;
};

/* Zeroes all but the engine's part, which need not be. */
extern void service_prepare (struct service_request *sr);
extern int service_run (struct service_request *sr);    /* 0, or -1 and errno */
extern void service_start (struct service_request *sr);
/* Nobody wants it any more: what was not sent yet is not sent.  done is still
 * called, perhaps from in here. */
extern void service_abandon (struct service_request *sr);
extern void service_end (struct service_request *sr);
/* What to say of a request that has failed with ERR; NULL: nothing. */
extern const char *service_error_text (int err);

/* The same, for those who may sleep.  Each returns 0, or -1 with errno
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
/* Advisory: what the LUN does not unmap is left as it is. */
extern int map_trim (struct map *map, uint32_t count, uint64_t offset);
/* may_trim: the blocks may be unmapped if they read as zeroes then.
 * fast: ENOTSUP at once unless that is what happens. */
extern int map_zero (struct map *map, uint32_t count, uint64_t offset,
                     bool may_trim, bool fast);
/* What the LUN said it can do, and did not refuse so far. */
extern bool lu_can_trim (const struct lu_facts *lu);
extern bool map_can_extents (struct map *map);

/* ---- clients ---- */

/* One for each client that has an export open.  Facts are as they were then: a
 * client cannot be told that its disk has changed. */
struct service_client {
  struct map *map;
  struct disk *disk;
  struct service_client *next_open;
  bool readonly;
  struct share share;           /* of the map's queue */
  struct lu_facts facts;
  /* What it knows of map->losses.  Two that flush at the same time may both
   * tell: once too often is right. */
  _Atomic unsigned losses;
  unsigned losses_at_open;
};

/* MAP and readonly are set.  -1: no memory. */
extern int service_client_open (struct service_client *c);
extern void service_client_close (struct service_client *c);
/* The LUN said that it has BLOCKS now (SERVICE_CAPACITY): true when that is
 * what c->facts have, or when they never will.  Else all paths were asked, and
 * it may be asked again. */
extern bool service_client_resized (struct service_client *c, uint64_t blocks);
extern bool service_client_writable (const struct service_client *c);
extern bool service_client_has_path (const struct service_client *c);
/* What an NBD client is told of it. */
extern void service_block_sizes (const struct lu_facts *lu, uint32_t *minimum,
                                 uint32_t *preferred, uint32_t *maximum);
/* Lock held: of an export, for people. */
extern void service_describe (const struct map *m, char *buf, size_t size);

/* ---- run to completion (loop.c; server/README) ---- */

/* From now on the calling thread has the lock; its loop runs until ev_break; and
 * it has the lock no more. */
extern void service_own_loop (struct engine *e);
extern void service_run_loop (struct engine *e);
extern void service_disown_loop (struct engine *e);
/* Before the loop blocks, when the engine has sent what it had to; true: there
 * is something new for it. */
extern void service_on_turn (struct engine *e, bool (*turn) (void *opaque),
                             void *opaque);
/* Was something started that the engine has not taken yet?  It takes it. */
extern bool service_has_new (struct engine *e);
extern void service_take_new (struct engine *e);
/* Keeps the thread on one CPU, if settings say so. */
extern void service_bind_thread (struct engine *e);
extern double service_now (void);
/* Are we protected against targets that break the protocol? */
extern bool service_is_guarded (void);

#endif /* MPISCSI_SERVICE_H */
