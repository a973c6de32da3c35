/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of this folder. */
#ifndef MPISCSI_SERVICE_INTERNAL_H
#define MPISCSI_SERVICE_INTERNAL_H

#include "service/service.h"

/* submit.c: the engine's hooks. */
extern bool requests_take (struct engine *e);
extern bool requests_handed_over (struct engine *e);
/* Those that engine_add_target has made, all at once. */
extern void start_new_sessions (struct work *w);

/* No lock: wake the workers of what engine_settle collected. */
extern void requests_wake (struct request *completed);
/* Those from LAST to FIRST by next, for which nobody will poll. */
extern void requests_submit (struct engine *e, struct request *first,
                             struct request *last);

/* request.c: asynchronous reads and writes.  Prepares a zeroed request (the
 * caller sets done), 0 or -1 with errno EINVAL (not whole blocks, or no bytes) or
 * ENOMEM.  REQ and BUF must stay as they are until done is called. */
extern int request_transfer (struct request *req, struct map *map, void *buf,
                             uint32_t count, uint64_t offset, bool write,
                             bool fua);
/* Starts those that are linked by next, of one engine, the last one first. */
extern void requests_start (struct request *last);
/* In done: frees what request_transfer has made; 0, or the errno. */
extern int request_end (struct request *req);

/* A zeroed request of N commands; runs it, and sleeps until it is complete. */
extern int request_init (struct request *req, struct map *map,
                         enum request_op op, unsigned nr_parts);
extern void request_run (struct request *req);

/* io.c.  Steps get the error of the request before, prepare the next one in
 * sr->req, and return true; or false when all is done, or when something else
 * will go on with service_continue (). */
extern bool service_fail (struct service_request *sr, int error);
extern void service_continue (struct service_request *sr);
/* The whole blocks are done, or not. */
extern bool service_next_phase (struct service_request *sr, int error);

/* provision.c: first steps.  Of sr->left blocks from sr->lba on. */
extern bool service_trim (struct service_request *sr);
extern bool service_zero (struct service_request *sr);
extern bool service_cache (struct service_request *sr);
extern bool service_extents (struct service_request *sr);

/* ranges.c: read-modify-write of half blocks must not take back what somebody
 * else writes beside them: so it has its blocks for itself, among all writes
 * of this server (not of other initiators).  The loop's thread. */
struct ranges {
  struct list active, waiting;  /* struct service_request, range_node */
  unsigned patches;             /* of both */
};
extern void ranges_init (struct ranges *r);
/* False: it waits; service_continue () is called when it is its turn. */
extern bool ranges_take (struct ranges *r, struct service_request *sr);
extern void ranges_leave (struct ranges *r, struct service_request *sr);

/* client.c: what all clients of a map share. */
struct disk {
  struct disk *next;
  const struct map *map;
  struct ranges ranges;
  bool no_prefetch;             /* it does not know PRE-FETCH */
  struct service_client *open;  /* this and all below under its mutex */
  bool pending;                 /* a loss that nobody was told of */
  unsigned known;               /* if so: what the one that is gone knew of */
};

/* default-export.c.  Lock held.  A session has settled. */
extern void default_settled (struct engine *e);
/* Lock held.  NULL: err says why there is none. */
extern struct map *default_map (struct engine *e, char *err, size_t size);
/* No lock, and not the service thread: writes down what it is, if that is
 * new. */
extern void engine_keep_default (struct engine *e);

#endif /* MPISCSI_SERVICE_INTERNAL_H */
