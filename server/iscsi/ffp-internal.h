/* SPDX-License-Identifier: BSD-3-Clause */
/* ffp.c: the session's numbers, tasks and slots; ffp-in.c: what comes;
 * ffp-out.c: what goes; ffp-spans.c. */
#ifndef MPISCSI_FFP_INTERNAL_H
#define MPISCSI_FFP_INTERNAL_H

#include "iscsi/crc32c.h"
#include "iscsi/ffp.h"
#include "iscsi/pdu.h"

/* Bytes: some answers to reads of 4 KiB, each with its header. */
#define IN_SIZE (32 * 1024)
/* A read that is longer is received where it belongs. */
#define AHEAD_MAX 16384
/* PDUs that are formed and not in the socket. */
#define RING 128
/* Slots that commands leave to NOP, task management, text and logout. */
#define RESERVED 8
/* Pings of the target that were not answered yet.  Each costs 12 bytes, and a
 * target sends one in seconds. */
#define MAX_PONGS 1024
/* Bytes of a list of targets. */
#define MAX_TEXT (4 << 20)
#define MAX_SLOTS 4096          /* 12 bits of a tag */
#define SLOT_BITS 12

enum slot_kind { SLOT_FREE, SLOT_TASK, SLOT_NOP, SLOT_TMF, SLOT_TEXT, SLOT_LOGOUT };

struct slot {
  uint32_t itt;
  enum slot_kind kind;
  struct ffp_task *task;        /* SLOT_TASK */
  /* SLOT_TMF: which; the tag of the task to be aborted; its CmdSN. */
  uint8_t function;
  uint32_t ref, cmdsn;
  uint16_t lun;
  uint32_t generation;
};

/* One that is formed: header and digest, data, padding and digest. */
struct out_pdu {
  uint8_t head[PDU_BHS + PDU_DIGEST], tail[3 + PDU_DIGEST];
  uint8_t head_size, tail_size;
  const uint8_t *data;
  uint32_t data_size;
  void *owned;                  /* data, to be freed */
  struct ffp_task *task;        /* NULL: nobody's, or not any more */
  bool is_command, ends_r2t;
};

/* An immediate PDU that is to be formed. */
struct due {
  uint8_t opcode, function;
  uint16_t lun;
  uint32_t itt, ttt;
};

enum rx_stage { RX_HEADER, RX_DATA, RX_TRAILER };

struct ffp {
  struct ffp_keys keys;
  const struct ffp_ops *ops;
  void *opaque;
  enum ffp_end end;
  char why[200];
  uint32_t cmdsn, max_cmdsn, exp_statsn;

  struct list waiting, sending; /* struct ffp_task */
  struct slot *slots;
  uint16_t *free_slots;         /* a stack */
  unsigned nr_slots, nr_free;
  /* Tasks that are sent and not answered, in order: is the next answer large? */
  unsigned large_reads;

  /* In. */
  enum rx_stage stage;
  uint8_t h[PDU_BHS];
  uint8_t *data;                /* where the next of it goes */
  uint32_t data_left, trailer;
  uint32_t crc;
  uint32_t data_size;
  uint8_t *aux;                 /* data that is no Data-In's */
  size_t aux_size;
  unsigned in_from, in_to;
  uint8_t in[IN_SIZE];

  /* Out. */
  struct due *due;              /* a ring */
  unsigned due_first, dues, due_size;
  unsigned pongs;               /* of dues */
  unsigned out_first, outs;
  size_t out_done;              /* bytes of the first one */
  struct out_pdu out[RING];
  char *text_out;               /* SLOT_TEXT: to be sent with it */
  size_t text_out_size;
  char *text;
  size_t text_size, text_room;
};

/* ffp.c */
__attribute__ ((format (printf, 3, 4)))
extern bool ffp_refuse (struct ffp *f, enum ffp_end end, const char *fs, ...);
extern struct slot *ffp_slot_new (struct ffp *f, enum slot_kind kind,
                                  unsigned reserve);
extern struct slot *ffp_slot_find (struct ffp *f, uint32_t itt,
                                   enum slot_kind kind);
extern void ffp_slot_free (struct ffp *f, struct slot *s);
/* The one task with that tag, or NULL. */
extern struct ffp_task *ffp_task_find (struct ffp *f, uint32_t itt);
extern void ffp_task_done (struct ffp *f, struct ffp_task *t,
                           const struct ffp_answer *a);
/* False: no memory, and nothing has happened. */
extern bool ffp_due (struct ffp *f, const struct due *d);
/* ffp-out.c: no PDU refers to T's buffer any more; false: it is over. */
extern bool ffp_out_drop (struct ffp *f, struct ffp_task *t);
extern bool ffp_is_large (const struct ffp_task *t);
/* ffp-spans.c: false: some of it was there before, or there are too many. */
extern bool spans_add (struct ffp_spans *s, uint32_t from, uint32_t to);
extern bool spans_touch (const struct ffp_spans *s, uint32_t from, uint32_t to);
/* Bytes from 0 on, without a hole; all in it. */
extern uint32_t spans_front (const struct ffp_spans *s);
extern uint32_t spans_end (const struct ffp_spans *s);
extern uint32_t spans_total (const struct ffp_spans *s);

#endif
