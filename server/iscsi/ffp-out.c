/* SPDX-License-Identifier: BSD-3-Clause */
/* The full feature phase: what is sent, and in which order.  See ffp.h. */
#include <config.h>

#include <stdlib.h>

#include "iscsi/ffp-internal.h"

static uint32_t
min (uint32_t a, uint32_t b)
{
  return a < b ? a : b;
}

/* ---- PDUs ------------------------------------------------------------------------ */

/* The next place of the ring, which has one.  Its header is to be filled in
 * before digests (). */
static struct out_pdu *
next_pdu (struct ffp *f)
{
  struct out_pdu *p = &f->out[(f->out_first + f->outs++) % RING];

  p->head_size = PDU_BHS;
  p->tail_size = 0;
  p->data = NULL;
  p->data_size = 0;
  p->owned = NULL;
  p->task = NULL;
  p->is_command = p->ends_r2t = false;
  return p;
}

static void
digests (struct ffp *f, struct out_pdu *p)
{
  pdu_set_data_size (p->head, p->data_size);
  if (f->keys.header_digest) {
    crc32c_put (p->head + PDU_BHS, crc32c_update (CRC32C_START, p->head, PDU_BHS));
    p->head_size = PDU_BHS + PDU_DIGEST;
  }
  if (p->data_size == 0)
    return;
  p->tail_size = (uint8_t) pdu_padding (p->data_size);
  memset (p->tail, 0, p->tail_size);
  if (f->keys.data_digest) {
    uint32_t crc = crc32c_update (CRC32C_START, p->data, p->data_size);

    crc = crc32c_update (crc, p->tail, p->tail_size);
    crc32c_put (p->tail + p->tail_size, crc);
    p->tail_size += PDU_DIGEST;
  }
}

static void
form_due (struct ffp *f)
{
  const struct due d = f->due[f->due_first];
  struct out_pdu *p = next_pdu (f);
  struct slot *s;

  f->due_first = (f->due_first + 1) % f->due_size;
  f->dues--;
  pdu_request (p->head, d.opcode | PDU_IMMEDIATE, PDU_FINAL | d.function, d.itt,
               f->cmdsn, f->exp_statsn);
  put_be32 (&p->head[PDU_AT_TTT], d.ttt);
  put_be16 (&p->head[PDU_AT_LUN], d.lun);
  switch (d.opcode) {
  case PDU_NOP_OUT:
    if (d.itt == PDU_NO_TAG)
      f->pongs--;
    break;
  case PDU_TMF_REQUEST:
    s = ffp_slot_find (f, d.itt, SLOT_TMF);
    if (d.function == PDU_ABORT_TASK) {
      const struct ffp_task *t = ffp_task_find (f, d.ttt);

      put_be32 (&p->head[PDU_AT_REFCMDSN], t ? t->cmdsn : f->cmdsn - 1);
    }
    else if (s != NULL)
      s->cmdsn = f->cmdsn;      /* what was sent before is ended */
    break;
  case PDU_LOGOUT_REQUEST:      /* reason 0, close the session: 11.14.1 */
    put_be32 (&p->head[PDU_AT_TTT], 0);
    break;
  case PDU_TEXT_REQUEST:
    p->data = (uint8_t *) f->text_out;
    p->owned = f->text_out;
    p->data_size = (uint32_t) f->text_out_size;
    f->text_out = NULL;
    f->text_out_size = 0;
    break;
  }
  digests (f, p);
}

static bool
may_send_command (const struct ffp *f)
{
  return !list_empty (&f->waiting) && !serial_before (f->max_cmdsn, f->cmdsn) &&
    f->nr_free > RESERVED;
}

/* What of a write goes without being asked for (4.2.5.2), immediate or not. */
static void
form_command (struct ffp *f)
{
  const struct ffp_keys *k = &f->keys;
  struct ffp_task *t = list_entry (f->waiting.next, struct ffp_task, node);
  struct slot *s = ffp_slot_new (f, SLOT_TASK, RESERVED);
  struct out_pdu *p = next_pdu (f);
  uint8_t flags = PDU_FINAL;

  list_del (&t->node);
  s->task = t;
  t->itt = s->itt;
  t->has_slot = true;
  t->cmdsn = f->cmdsn++;
  if (ffp_is_large (t))
    f->large_reads++;
  if (t->bytes > 0 && t->direction == FFP_READ)
    flags |= PDU_COMMAND_READ;
  if (t->bytes > 0 && t->direction == FFP_WRITE) {
    flags |= PDU_COMMAND_WRITE;
    if (k->immediate_data) {
      p->data_size = min (min (t->bytes, k->first_burst), k->their_segment);
      p->data = t->buf;
    }
    t->unsolicited = p->data_size;
    t->unsolicited_to = k->initial_r2t ? p->data_size
      : min (t->bytes, k->first_burst);
    if (t->unsolicited < t->unsolicited_to) {
      flags &= ~PDU_FINAL;
      list_add_head (&f->sending, &t->node);
    }
    spans_add (&t->spans, 0, t->unsolicited_to);
  }
  p->task = t;
  p->is_command = true;
  t->pdus++;
  pdu_scsi_command (p->head, t->lun, t->itt, flags, t->bytes, t->cdb,
                    t->cmdsn, f->exp_statsn);
  digests (f, p);
}

/* One Data-Out of the first one that has to send some. */
static void
form_data (struct ffp *f)
{
  struct ffp_task *t = list_entry (f->sending.next, struct ffp_task, node);
  struct out_pdu *p = next_pdu (f);
  uint32_t at, size;
  bool final;

  p->task = t;
  t->pdus++;
  if (t->unsolicited < t->unsolicited_to) {
    at = t->unsolicited;
    size = min (t->unsolicited_to - at, f->keys.their_segment);
    t->unsolicited += size;
    final = t->unsolicited == t->unsolicited_to;
    pdu_data_out (p->head, t->lun, t->itt, PDU_NO_TAG, t->unsolicited_datasn++,
                  at, size, final, f->exp_statsn);
  }
  else {
    struct ffp_r2t *r = &t->r2t[t->r2t_first];

    at = r->at;
    size = min (r->to - at, f->keys.their_segment);
    r->at += size;
    final = r->at == r->to;
    pdu_data_out (p->head, t->lun, t->itt, r->ttt, r->datasn++, at, size,
                  final, f->exp_statsn);
    if (final) {
      p->ends_r2t = true;
      t->r2t_first = (t->r2t_first + 1) % FFP_R2TS;
      t->r2ts--;
    }
  }
  p->data = t->buf + at;
  p->data_size = size;
  /* The sequence as a whole, then the next task's turn. */
  if (final) {
    list_del (&t->node);
    if (t->r2ts > 0)
      list_add_tail (&f->sending, &t->node);
  }
  digests (f, p);
}

static bool
sends_unsolicited (const struct ffp *f)
{
  const struct ffp_task *t;

  if (list_empty (&f->sending))
    return false;
  t = list_entry (f->sending.next, struct ffp_task, node);
  return t->unsolicited < t->unsolicited_to;
}

static bool
form_next (struct ffp *f)
{
  if (f->dues > 0)
    form_due (f);
  else if (sends_unsolicited (f))       /* right behind their command */
    form_data (f);
  else if (may_send_command (f))
    form_command (f);
  else if (!list_empty (&f->sending))
    form_data (f);
  else
    return false;
  return true;
}

bool
ffp_wants_out (const struct ffp *f)
{
  return f->end == FFP_ALIVE &&
    (f->outs > 0 || f->dues > 0 || !list_empty (&f->sending) ||
     may_send_command (f));
}

/* ---- to the socket ---------------------------------------------------------------- */

static void
piece (struct iovec *iov, int *n, const void *base, size_t size, size_t *skip)
{
  if (*skip >= size) {
    *skip -= size;
    return;
  }
  iov[*n].iov_base = (uint8_t *) base + *skip;
  iov[(*n)++].iov_len = size - *skip;
  *skip = 0;
}

int
ffp_out (struct ffp *f, struct iovec *iov, int max)
{
  size_t skip = f->out_done;
  int n = 0;

  if (f->end != FFP_ALIVE)
    return 0;
  while (f->outs < RING && form_next (f))
    ;
  for (unsigned i = 0; i < f->outs && n + 3 <= max; i++) {
    const struct out_pdu *p = &f->out[(f->out_first + i) % RING];

    piece (iov, &n, p->head, p->head_size, &skip);
    piece (iov, &n, p->data, p->data_size, &skip);
    piece (iov, &n, p->tail, p->tail_size, &skip);
  }
  return n;
}

static size_t
pdu_size (const struct out_pdu *p)
{
  return p->head_size + (size_t) p->data_size + p->tail_size;
}

/* Bytes of data that are among the first N of it. */
static uint32_t
data_of (const struct out_pdu *p, size_t n)
{
  if (n <= p->head_size)
    return 0;
  n -= p->head_size;
  return n < p->data_size ? (uint32_t) n : p->data_size;
}

void
ffp_sent (struct ffp *f, size_t n)
{
  while (n > 0 && f->outs > 0) {
    struct out_pdu *p = &f->out[f->out_first];
    struct ffp_task *t = p->task;
    const size_t left = pdu_size (p) - f->out_done;
    const size_t k = n < left ? n : left;

    if (t != NULL)
      t->sent += data_of (p, f->out_done + k) - data_of (p, f->out_done);
    n -= k;
    f->out_done += k;
    if (k < left)
      return;
    if (t != NULL) {
      t->pdus--;
      if (p->is_command)
        t->in_socket = true;
      if (p->ends_r2t)
        t->r2ts_open--;
    }
    free (p->owned);
    f->out_first = (f->out_first + 1) % RING;
    f->outs--;
    f->out_done = 0;
  }
}

/* Part of it is in the socket: the rest has to follow, whatever its task does. */
static bool
own_data (struct ffp *f, struct out_pdu *p)
{
  uint8_t *copy;

  p->task = NULL;
  if (p->data_size == 0)
    return true;
  copy = malloc (p->data_size);
  if (copy == NULL)
    return ffp_refuse (f, FFP_END_MEMORY, "out of memory");
  memcpy (copy, p->data, p->data_size);
  p->data = p->owned = copy;
  return true;
}

bool
ffp_out_drop (struct ffp *f, struct ffp_task *t)
{
  unsigned kept = 0;

  if (t->pdus == 0)
    return true;
  for (unsigned i = 0; i < f->outs; i++) {
    struct out_pdu *p = &f->out[(f->out_first + i) % RING];

    if (p->task == t) {
      if (i > 0 || f->out_done == 0)
        continue;
      if (!own_data (f, p))
        return false;
    }
    if (kept != i)
      f->out[(f->out_first + kept) % RING] = *p;
    kept++;
  }
  f->outs = kept;
  t->pdus = 0;
  return true;
}
