/* SPDX-License-Identifier: BSD-3-Clause */
/* The full feature phase of an iSCSI session (RFC 7143), as a state machine.
 *
 * libiscsi logs in (relay.h); from then on the connection is ours, and this
 * speaks on it: SCSI Command, Data-In, R2T and Data-Out, NOP, task management,
 * text, logout, asynchronous messages, reject, both digests.  One connection,
 * ErrorRecoveryLevel 0: what goes wrong ends the session.
 *
 * PURE.  No socket, no clock, no libiscsi, no lock: the caller has one.  Bytes
 * come in where ffp_in () says, so that data goes from the socket to where it
 * belongs; bytes go out as ffp_out () lists them, headers out of the ring and data
 * by reference.  The owner of the socket (wire.c) does
 *     n = readv (fd, iov, ffp_in (f, iov));   ffp_received (f, n);
 *     n = sendmsg (fd, iov of ffp_out (f, iov, max));   ffp_sent (f, n);
 * and calls no function of ffp_ops' owner in between.
 *
 * TASKS.  The caller owns a struct ffp_task per command; it is ours from
 * ffp_submit () until ops->done, or ffp_free ().  An initiator task tag is an index
 * into the table of slots, and a generation: a look-up is one comparison, and an
 * answer that comes twice, or late, finds nobody.  A task that got no slot or
 * that the command window does not let out (4.2.2.1) waits in a queue; NOP, task management
 * and logout are immediate, and wait for nothing.
 *
 * WHAT A TARGET MUST NOT DO ends the session, with the PDU and the field in the
 * text; what it may do works, also where nobody does it.  In particular
 * - no byte of a read counts that did not come exactly once (spans): a hole, an
 *   overlap or a residual cannot make old memory look like data.  arrived says
 *   how much came, without a hole, whatever the target says of the residual;
 * - with DataPDUInOrder=Yes and DataSequenceInOrder=Yes offsets follow each
 *   other, else they may come in any order;
 * - a good status of a write counts when all that was asked for was sent; with a
 *   bad one what was not sent stays unsent (Data-Outs that have not begun), and
 *   what has begun is finished from a copy, so that the buffer is free at done.
 *
 * SENDING ORDER: immediate PDUs; commands, each with its immediate data and its
 * unsolicited Data-Outs right behind it; data that was asked for.
 *
 * AFTER THE END (ffp_over) bytes are ignored, nothing is sent, tasks stay with us
 * until ffp_free (), which calls nobody.
 */
#ifndef MPISCSI_FFP_H
#define MPISCSI_FFP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"

/* R2Ts of one task that may be unanswered; MaxOutstandingR2T is 1 if nobody
 * offers more (RFC 7143 13.17). */
#define FFP_R2TS 8
/* Pieces in which data may come out of order. */
#define FFP_SPANS 16
/* struct iovecs that ffp_in () may fill. */
#define FFP_IN_IOV 2

struct ffp;

/* As negotiated: RFC 7143 13. */
struct ffp_keys {
  bool header_digest, data_digest;
  bool initial_r2t, immediate_data;
  bool pdu_in_order, sequence_in_order;
  uint32_t our_segment, their_segment;  /* MaxRecvDataSegmentLength */
  uint32_t first_burst, max_burst;
  uint32_t max_r2t;             /* MaxOutstandingR2T */
};

enum ffp_direction { FFP_NONE, FFP_READ, FFP_WRITE };

/* Parts of a buffer: disjoint, not touching, in order. */
struct ffp_spans {
  unsigned n;
  struct { uint32_t from, to; } span[FFP_SPANS];
};

struct ffp_r2t {
  uint32_t ttt, at, to, datasn;
};

struct ffp_task {
  /* The caller's; unchanged while it is ours, but for ffp_redirect (). */
  uint8_t cdb[16];
  uint16_t lun;                 /* 16 bits as lun_encode () makes them */
  enum ffp_direction direction;
  uint8_t *buf;
  uint32_t bytes;
  bool whole;                   /* a write whose good status means all of it */

  /* Ours. */
  struct list node;             /* waiting, sending, or none */
  uint32_t itt, cmdsn;
  bool has_slot, in_socket;     /* the command's own PDU: all of it */
  uint32_t datasn;              /* of the next Data-In or R2T (one numbering) */
  struct ffp_spans spans;       /* read: came; write: may be, or was, sent */
  uint32_t unsolicited, unsolicited_to; /* to be sent, without an R2T */
  uint32_t unsolicited_datasn;
  uint32_t sent;                /* bytes of data in the socket */
  unsigned pdus;                /* in the ring */
  struct ffp_r2t r2t[FFP_R2TS];
  unsigned r2t_first, r2ts;     /* not all of it is in the ring */
  unsigned r2ts_open;           /* not all of it is in the socket */
};

/* Until ops->done returns. */
struct ffp_answer {
  uint8_t status;               /* SAM-5 5.3.1 */
  bool aborted;                 /* by a TMF of ours: there is no status */
  const uint8_t *sense;         /* with its SenseLength: RFC 7143 11.4.7 */
  size_t sense_size;            /* what came of it */
  uint32_t arrived;             /* read: bytes from the start, without a hole */
  bool underflow;
  uint32_t residual;            /* as the target says */
};

/* Why it is over. */
enum ffp_end {
  FFP_ALIVE, FFP_END_PROTOCOL, FFP_END_DIGEST, FFP_END_LOGOUT_REQUESTED,
  FFP_END_DROPPED, FFP_END_REJECTED, FFP_END_MEMORY, FFP_END_STOPPED,
};

/* Called from inside ffp_received (); they may submit, but not free. */
struct ffp_ops {
  void (*done) (void *opaque, struct ffp_task *t, const struct ffp_answer *a);
  void (*pong) (void *opaque);  /* the answer to ffp_ping () */
  /* The response to ffp_lun_reset (), or (T) one to ffp_abort_task () that is no
   * end of T. */
  void (*tmf_done) (void *opaque, struct ffp_task *t, uint8_t response);
  /* All of the answer to ffp_text_request (); ours after. */
  void (*text_done) (void *opaque, const char *text, size_t size);
  void (*logged_out) (void *opaque, uint8_t response);
  /* An asynchronous message that is no end: 0 with sense data, or a vendor's. */
  void (*message) (void *opaque, uint8_t event, const uint8_t *sense,
                   size_t size);
};

struct ffp_start {
  struct ffp_keys keys;
  uint32_t cmdsn;               /* of the first command */
  uint32_t exp_statsn;
  uint32_t max_cmdsn;
  unsigned tasks;               /* at a time, about; more wait */
};

/* NULL: no memory. */
extern struct ffp *ffp_new (const struct ffp_start *start,
                            const struct ffp_ops *ops, void *opaque);
extern void ffp_free (struct ffp *f);

/* The caller's part of T is set. */
extern void ffp_submit (struct ffp *f, struct ffp_task *t);
/* False: too many are unanswered, or it is over. */
extern bool ffp_ping (struct ffp *f);
extern bool ffp_lun_reset (struct ffp *f, uint16_t lun);
/* Of a task that is ours.  One that was never sent is done at once, aborted. */
extern bool ffp_abort_task (struct ffp *f, struct ffp_task *t);
/* What is still to come of T, a read that is ours, goes to BUF. */
extern void ffp_redirect (struct ffp *f, struct ffp_task *t, uint8_t *buf);
extern bool ffp_logout (struct ffp *f);
extern bool ffp_text_request (struct ffp *f, const char *text, size_t size);

/* Where the next bytes belong; how many of iov are used, at least 1. */
extern int ffp_in (struct ffp *f, struct iovec iov[FFP_IN_IOV]);
/* So many of them are there.  False: it is over. */
extern bool ffp_received (struct ffp *f, size_t n);
/* What is to be sent now; how many of iov are used. */
extern int ffp_out (struct ffp *f, struct iovec *iov, int max);
extern void ffp_sent (struct ffp *f, size_t n);
extern bool ffp_wants_out (const struct ffp *f);

extern enum ffp_end ffp_over (const struct ffp *f);
/* One line; "" while it is not over. */
extern const char *ffp_why (const struct ffp *f);
/* From a callback: the caller has had enough. */
extern void ffp_stop (struct ffp *f);
/* Data of a GOOD write that was in the socket; for messages and tests. */
extern uint32_t ffp_task_sent (const struct ffp_task *t);
/* As the next command will have it. */
extern uint32_t ffp_cmdsn (const struct ffp *f);
extern uint32_t ffp_exp_statsn (const struct ffp *f);
/* Commands that are not sent because the window is closed, or the table full. */
extern bool ffp_is_waiting (const struct ffp *f);

#endif
