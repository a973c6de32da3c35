/* SPDX-License-Identifier: BSD-3-Clause */
/* What a client asks for: one or more commands. */
#ifndef MPISCSI_REQUEST_H
#define MPISCSI_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "iscsi/command.h"

struct engine;
struct map;

enum request_op {
  OP_READ, OP_WRITE, OP_FLUSH, OP_UNMAP, OP_WRITE_SAME, OP_LBA_STATUS,
  OP_PREFETCH,
};

struct request {
  struct request *next;         /* in pending, or in engine->completed; before
                                   and after that its owner's */
  struct map *map;
  enum request_op op;
  struct command *parts;        /* &part, or malloc'd by request_run's caller */
  bool hedgeable;               /* parts are of read_parts_new () */
  struct command part;
  unsigned nr_parts;
  struct share *share;          /* its client's; NULL: shared with others */
  uint64_t flush_reaches;       /* map->written when the flush was sent */
  unsigned parts_left;
  int error;                    /* 0 or the errno of the first failed part */
  uint32_t residual;            /* may_be_short: bytes that did not come */
  _Atomic int state;            /* request.c */
  /* Nobody sleeps for it: called when it is complete, without the lock, by
   * whichever thread has let go of it; with all others that have the same one
   * and are complete too, by next, the first one first.  NULL: a worker does. */
  void (*done) (struct request *completed);
};

/* Lock held: the last step of each part; ERROR 0 or errno. */
extern void request_part_done (struct engine *e, struct command *cmd, int error);
extern void request_part_over (struct engine *e, struct request *req, int error);

/* dispatch.c.  Lock held: what of it is not sent yet will not be; it fails with
 * ECANCELED when what was sent has been answered. */
extern void request_cancel (struct request *req);

#endif /* MPISCSI_REQUEST_H */
