/* SPDX-License-Identifier: BSD-3-Clause */
/* One SCSI command, as a session sends it. */
#ifndef MPISCSI_COMMAND_H
#define MPISCSI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "base/list.h"
#include "engine/engine.h"
#include "iscsi/ffp.h"
#include "scsi/scsi.h"

struct command;
struct hedge;
struct path;
struct request;
struct session;

/* One SCSI command; a part of a request.  All under the engine lock from
 * request_run () until its request is complete. */
/* What becomes of a command.  Lock held. */
struct command_ops {
  /* From inside libiscsi: may only put it, and others, on lists. */
  void (*answered) (struct command *cmd, enum scsi_result result,
                    const struct sense *sense);
  /* Its session died without an answer; nobody points to it any more. */
  void (*lost) (struct command *cmd);
};

struct command {
  const struct command_ops *ops;
  struct list node;             /* in_flight, queue, parked or delayed */
  struct request *req;          /* NULL: internal (probe, checker) */
  struct path *path;            /* in flight here; NULL: not sent */
  struct session *session;      /* in flight here; NULL: not sent */
  struct scsi_task task;        /* embedded: no allocation per command */
  struct scsi_iovec iov;
  struct ffp_task ffp;          /* the same, in our own full feature phase */
  uint8_t cdb[16];
  uint8_t cdb_len;
  unsigned lun;
  enum scsi_xfer_dir dir;
  uint32_t bytes;               /* expected transfer length */
  void *buf;
  /* guard.c, bytes: of a read, what came; of a write, the end of what is in
   * the socket, of what the target may have, and of the last R2T. */
  uint32_t arrived, sent, asked, r2t_end;
  uint64_t lba;                 /* what it touches; blocks 0: nothing */
  uint32_t blocks;
  bool modifies;                /* write, unmap, write same */
  uint64_t origin;              /* in-doubt: number of this write; 0 none yet */
  /* fence-reset.c: the target had it when a reset was sent; and that was done. */
  bool had_come, ended;
  bool aborting;                /* ABORT TASK for it is out */
  bool abort_refused;           /* one was */
  struct command **tmf;         /* session-tmf.c: what points to it; NULL: none */
  bool cancelled;               /* by us, in libiscsi: nothing to be told of */
  bool may_be_short;            /* an answer shorter than bytes is good */
  bool hedgeable;               /* in a struct read_parts: may be hedged */
  bool hedged;                  /* was, once: never again */
  bool refused;                 /* by the budget; perhaps not the next time */
  struct hedge *hedge;          /* hedge.h: of it, or that it belongs to */
  bool optional;                /* not every target has it: no error in the log */
  uint8_t parameters[24];       /* UNMAP's list with one range */
  uint64_t tag;                 /* its place in map->queue (turns.h) */
  bool accounted;               /* counts in the selector */
  double submitted;             /* engine_now (), this time */
  double first_submitted;       /* 0: not yet */
  double refused_since;         /* by ports in standby ...; 0 not yet */
  double not_before;            /* in map->delayed until then */
  unsigned retries;             /* verdicts other than PATH */
  unsigned failovers;
  bool was_deaf;                /* its path was deaf to it, once (deaf.h) */
  /* Internal commands: called under the lock, never from inside libiscsi. */
  void (*done) (struct command *cmd, enum scsi_result result,
                const struct sense *sense);
  void *opaque;
  struct work answer;           /* internal: calls done, with these two */
  enum scsi_result result;
  struct sense sense;
};

/* An internal command: zeroed, but for this.  DONE is called in the service
 * thread. */
extern void command_internal (struct command *cmd, unsigned lun,
                              void (*done) (struct command *cmd,
                                            enum scsi_result result,
                                            const struct sense *sense),
                              void *opaque);
extern void command_prepare (struct command *cmd, int cdb_len,
                             enum scsi_xfer_dir dir, void *buf, uint32_t bytes);

#endif /* MPISCSI_COMMAND_H */
