/* SPDX-License-Identifier: BSD-3-Clause */
/* The guard between libiscsi 1.19 and a target that lies.
 *
 * libiscsi believes what a target sends: a Data-In or an R2T with the tag of a
 * NOP-Out or a logout makes it follow a null pointer; an R2T of 4 GiB, or a
 * MaxRecvDataSegmentLength of 0, keeps it busy for hours; a write that is
 * answered while its data still waits to be sent leaves it with pointers to a
 * command that is gone; a response code of "target failure" counts as success.
 * All of that happens between its recv () and its return, so each PDU has to
 * be looked at as it is read.
 *
 * libiscsi has no hook there.  But it calls recv, readv and writev through a
 * table of addresses of its own, and guard_install () puts ours there; the
 * rest of the process is not touched.  guard.c judges, guard-hook.c has the
 * table.  A session with a bad PDU is dead, as if the connection was lost.
 *
 * NOP-Ins, which a target may send without end, are read so many at a time:
 * the lock is let go in between.
 *
 * Being between libiscsi and its socket anyway, it also saves system calls:
 * libiscsi reads the header of a PDU and its data one after the other, and sends
 * each header and each piece of data for itself.  What has come for small commands
 * is read in one go (guard->in).  What is to be sent is kept (guard->out: headers are
 * copied, data stays in the buffer of its command) and sent in one go, at the
 * latest in guard_leave ().  After that both are empty, but for what the socket did
 * not take, which guard_unsent () tells.
 *
 * Data that is kept belongs to a command that is in flight, and is not touched
 * before that is over: a command that is answered before all its data was sent
 * is the end of the session (scsi_response), and so is what makes libiscsi cancel
 * commands (fence.h).  A session that has died sends nothing any more; its commands
 * are kept until its context is gone.
 *
 * Lock held, all but guard_install.
 */
#ifndef MPISCSI_GUARD_H
#define MPISCSI_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define GUARD_BHS 48            /* basic header segment, RFC 7143 11.2.1 */
#define GUARD_AT_ITT 16         /* in it, initiator task tag */
/* Bytes.  In: a few answers to reads of 4 KiB, each with its header. */
#define GUARD_IN_SIZE (32 * 1024)
/* Out: 128 Data-Out PDUs with their headers; 1 MiB in the segments of tgt. */
#define GUARD_OUT_SIZE 8192
#define GUARD_OUT_PIECES 256
#define NO_TAG 0xffffffff       /* RFC 7143 11.2.1.8: no initiator task tag */

struct session;
struct command;

/* Of the connection, in struct session. */
struct guard {
  uint8_t header[GUARD_BHS];    /* of the PDU that is being read */
  unsigned header_have, header_size; /* bytes; with digest; have 0: none yet */
  uint32_t data_size, data_left; /* bytes, with padding */
  unsigned budget;              /* PDUs that may still be read in one go */
  size_t taken;                 /* bytes of data, in this go */
  unsigned nops;                /* NOP-Ins whose answers may still be queued */
  bool solicited_only;          /* InitialR2T=Yes: but for immediate data */
  bool no_immediate;            /* ImmediateData=No */
  uint32_t first_burst;         /* bytes, as negotiated */
  uint32_t segment;             /* the target's MaxRecvDataSegmentLength */
  bool wants_proof;             /* mutual CHAP: the target has to answer */
  bool proof_came;              /* it did; libiscsi checks what */
  bool ahead;                   /* this time more than is asked for is read */
  bool drained;                 /* the socket had no more, this time */
  unsigned in_from, in_to;      /* what was read of in, and not asked for yet */
  uint8_t *in;                  /* GUARD_IN_SIZE bytes; NULL: not used yet */
  unsigned out_from, out_to;    /* the pieces that are kept */
  unsigned out_size;            /* bytes of out */
  struct iovec pieces[GUARD_OUT_PIECES]; /* in out, or data of a command */
  uint32_t itts[GUARD_OUT_PIECES]; /* of which one; NO_TAG: in out */
  uint32_t itt;                 /* of the header that was kept last */
  uint8_t out[GUARD_OUT_SIZE];
};

/* Once, before the first session.  False: this libiscsi cannot be guarded (it
 * is no shared library, as in the unit tests); all works, but on trust. */
extern bool guard_install (void);
extern bool guard_is_installed (void);

/* A new connection. */
extern void guard_reset (struct session *s);
/* Around each iscsi_service (): what is read and written meanwhile is S's. */
extern void guard_enter (struct session *s);
extern void guard_leave (struct session *s);
/* Bytes that were read and that libiscsi has not taken yet: it stops when it
 * waits for nothing, although there may be more. */
extern unsigned guard_unread (const struct session *s);
/* libiscsi believes that it has sent them. */
extern bool guard_unsent (const struct session *s);
/* The session ends. */
extern void guard_free (struct session *s);

/* guard.c, for the hook.  False: the session has been killed. */
extern bool guard_header (struct session *s);
/* All data of the PDU; only asked where guard_wants_data () says so. */
extern bool guard_data (struct session *s, const uint8_t *data);
extern bool guard_wants_data (const struct guard *g);
extern void guard_refill (struct session *s);
/* So many more bytes of the data of the command with that initiator task tag are
 * in the socket.  Data is sent in order, and once; several commands may have the
 * same buffer (WRITE SAME, nbdkit's zeroes). */
extern void guard_sent (struct session *s, uint32_t itt, size_t size);
/* CMD is about to be submitted. */
extern void guard_submit (struct session *s, struct command *cmd);
/* A read that had a good status: did all of it come? */
extern bool guard_came_short (const struct command *cmd);

#endif
