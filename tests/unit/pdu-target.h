/* SPDX-License-Identifier: BSD-3-Clause */
/* The full feature phase of a target, bytes in, bytes out: a reference that is
 * strict about every number an initiator sends (RFC 7143), and free to use every
 * liberty that it has itself.  No socket, no clock.  What is wrong ends the
 * process, with a line that begins with "pdu-target: ". */
#ifndef PDU_TARGET_H
#define PDU_TARGET_H

#include "base/list.h"
#include "iscsi/ffp.h"
#include "iscsi/pdu.h"

#define PT_R2TS 8

struct pt_params {
  struct ffp_keys keys;         /* our_segment: the initiator's, as there */
  uint32_t window;              /* commands; 1 at least */
  uint32_t r2t_size;            /* bytes of one R2T at most */
  uint32_t data_in_size;        /* of one Data-In at most */
  bool status_in_data;
  bool shuffle;                 /* where the keys allow it */
};

struct pt_r2t {
  uint32_t ttt, at, to, datasn;
  bool open;
};

struct pt_command {
  struct list node;             /* collecting data, or ready, or the owner's */
  uint32_t itt, cmdsn, edtl, got;
  uint16_t lun;
  uint8_t cdb[16];
  bool read, write, immediate, ready;
  uint8_t *data;                /* a write's */
  uint8_t *have;                /* bytes of it that came: 0, 1 came, 2 asked for */
  uint32_t unsolicited_at, unsolicited_datasn;
  bool unsolicited;             /* F has not come yet */
  uint32_t r2tsn;
  uint32_t data_at, datasn;     /* of the next Data-In: a read's answer */
  uint32_t residual;            /* of a write, to be told */
  bool no_residual;             /* of a read, not to be told */
  struct pt_r2t r2t[PT_R2TS];
  void *owner;
};

struct pt;
struct pt_ops {
  /* All its data is there.  Answer it any time later. */
  void (*command) (void *opaque, struct pt_command *c);
  /* ITT is the request's: answered by pt_tmf_answer, pt_nop_answer, pt_text and
   * pt_logout_answer, any time later.  REF: of the task to be aborted. */
  void (*tmf) (void *opaque, uint32_t itt, uint8_t function, uint16_t lun,
               uint32_t ref);
  void (*nop) (void *opaque, uint32_t itt);
  void (*text) (void *opaque, uint32_t itt, const char *text, size_t size);
  void (*logout) (void *opaque, uint32_t itt);
};

struct pt {
  struct pt_params p;
  const struct pt_ops *ops;
  void *opaque;
  uint32_t exp_cmdsn, statsn, max_cmdsn;
  unsigned open;                /* commands, not answered: the window */
  bool window_open;             /* false: nothing more is let in */
  unsigned random;
  struct list commands;         /* collecting, and ready */
  uint32_t last_ttt;
  uint8_t *in;
  size_t in_size, in_room;
  uint8_t *out;                 /* take from it, and set out_size to 0 */
  size_t out_size, out_room;
  unsigned pings, pongs;
};

extern struct pt *pt_new (const struct pt_params *p, const struct pt_ops *ops,
                          void *opaque, uint32_t cmdsn, uint32_t statsn);
extern void pt_free (struct pt *t);
extern void pt_input (struct pt *t, const void *bytes, size_t n);
/* Ends C.  Read: N bytes of DATA, in Data-Ins. */
extern void pt_answer (struct pt *t, struct pt_command *c, uint8_t status,
                       const uint8_t *sense, size_t sense_size,
                       const uint8_t *data, uint32_t n);
/* Its data up to TO, and that is not all. */
extern void pt_data (struct pt *t, struct pt_command *c, const uint8_t *data,
                     uint32_t to);
extern void pt_tmf_answer (struct pt *t, uint32_t itt, uint8_t response);
extern void pt_nop_answer (struct pt *t, uint32_t itt);
extern void pt_logout_answer (struct pt *t, uint32_t itt);
/* Without an answer. */
extern void pt_forget (struct pt *t, struct pt_command *c);
extern void pt_ping (struct pt *t);
extern void pt_async (struct pt *t, uint8_t event, const void *data, size_t n);
extern void pt_text (struct pt *t, uint32_t itt, bool last, const char *text,
                     size_t size);
/* Any PDU, with its numbers, padding and digests. */
extern void pt_send (struct pt *t, uint8_t *h, const void *data, uint32_t n,
                     bool takes_statsn);
extern void pt_raw (struct pt *t, const void *bytes, size_t n);
/* As the next PDU will say: never less than the last one. */
extern uint32_t pt_max_cmdsn (struct pt *t);

#endif
