/* SPDX-License-Identifier: BSD-3-Clause */
/* The full feature phase: what comes, and what it may be.  See ffp.h. */
#include <config.h>

#include <stdlib.h>

#include "iscsi/ffp-internal.h"

#define BAD "the target breaks the protocol: "
#define bad(f, fs, ...) ffp_refuse (f, FFP_END_PROTOCOL, BAD fs, __VA_ARGS__)

/* ---- numbers ---------------------------------------------------------------------- */

/* RFC 7143 4.2.2.1: a MaxCmdSN before ExpCmdSN - 1 means nothing, nor does an
 * older one. */
static void
take_window (struct ffp *f)
{
  const uint32_t expected = get_be32 (&f->h[PDU_AT_EXPCMDSN]);
  const uint32_t max = get_be32 (&f->h[PDU_AT_MAXCMDSN]);

  if (!serial_before (max, expected - 1) && serial_before (f->max_cmdsn, max))
    f->max_cmdsn = max;
}

/* 4.2.2.2.  One that is not the next is tolerated, as by everybody: TCP loses
 * nothing, and what an answer is for is told by its tag. */
static void
take_statsn (struct ffp *f)
{
  const uint32_t statsn = get_be32 (&f->h[PDU_AT_STATSN]);

  if (!serial_before (statsn, f->exp_statsn))
    f->exp_statsn = statsn + 1;
}

/* ---- answers to commands ----------------------------------------------------------- */

static void
answer (struct ffp *f, struct ffp_task *t, const uint8_t *sense, size_t size)
{
  const struct ffp_answer a = {
    .status = f->h[PDU_AT_STATUS], .sense = sense, .sense_size = size,
    .arrived = t->direction == FFP_READ ? spans_front (&t->spans) : 0,
    .underflow = f->h[PDU_AT_FLAGS] & PDU_UNDERFLOW,
    .residual = get_be32 (&f->h[PDU_AT_RESIDUAL]),
  };

  ffp_task_done (f, t, &a);
}

/* Both orders are Yes: offsets follow each other (13.18, 13.19). */
static bool
in_order (const struct ffp *f)
{
  return f->keys.pdu_in_order && f->keys.sequence_in_order;
}

/* Before its data is received, for that goes to where it says. */
static bool
data_in_header (struct ffp *f, uint32_t size)
{
  struct ffp_task *t = ffp_task_find (f, get_be32 (&f->h[PDU_AT_ITT]));
  const uint32_t offset = get_be32 (&f->h[PDU_AT_OFFSET]);
  const uint32_t datasn = get_be32 (&f->h[PDU_AT_DATASN]);

  if (t == NULL || t->direction != FFP_READ || !t->in_socket)
    return bad (f, "Data-In for what is not a read (task %08xh)",
                get_be32 (&f->h[PDU_AT_ITT]));
  if (size == 0)
    return true;
  if (offset > t->bytes || size > t->bytes - offset)
    return bad (f, "Data-In of %u bytes at %u for a read of %u", size, offset,
                t->bytes);
  if (in_order (f) && offset != spans_end (&t->spans))
    return bad (f, "Data-In at %u, when %u was next", offset,
                spans_end (&t->spans));
  if (spans_touch (&t->spans, offset, offset + size))
    return bad (f, "Data-In of %u bytes at %u, part of which came before", size,
                offset);
  if (datasn != t->datasn)
    return bad (f, "Data-In with DataSN %u, when %u was next", datasn,
                t->datasn);
  t->datasn++;
  f->data = t->buf + offset;
  return true;
}

void
ffp_redirect (struct ffp *f, struct ffp_task *t, uint8_t *buf)
{
  /* Some of it is on the way. */
  if (f->stage == RX_DATA && pdu_opcode (f->h) == PDU_DATA_IN &&
      ffp_task_find (f, get_be32 (&f->h[PDU_AT_ITT])) == t)
    f->data = buf + (f->data - t->buf);
  t->buf = buf;
}

static bool
data_in (struct ffp *f)
{
  struct ffp_task *t = ffp_task_find (f, get_be32 (&f->h[PDU_AT_ITT]));
  const uint32_t offset = get_be32 (&f->h[PDU_AT_OFFSET]);

  if (!spans_add (&t->spans, offset, offset + f->data_size))
    return bad (f, "Data-In in more than %d pieces out of order", FFP_SPANS);
  if (f->h[PDU_AT_FLAGS] & PDU_STATUS_HERE) {
    take_statsn (f);
    answer (f, t, NULL, 0);
  }
  return true;
}

static bool
ready_to_transfer (struct ffp *f)
{
  struct ffp_task *t = ffp_task_find (f, get_be32 (&f->h[PDU_AT_ITT]));
  const uint32_t offset = get_be32 (&f->h[PDU_AT_OFFSET]);
  const uint32_t size = get_be32 (&f->h[PDU_AT_R2T_LENGTH]);
  const uint32_t sn = get_be32 (&f->h[PDU_AT_DATASN]);
  struct ffp_r2t *r;

  if (t == NULL || t->direction != FFP_WRITE || !t->in_socket)
    return bad (f, "R2T for what is not a write (task %08xh)",
                get_be32 (&f->h[PDU_AT_ITT]));
  if (offset > t->bytes || size > t->bytes - offset)
    return bad (f, "R2T for %u bytes at %u of a write of %u", size, offset,
                t->bytes);
  if (size > 0 && (in_order (f) ? offset < spans_end (&t->spans)
                   : spans_touch (&t->spans, offset, offset + size)))
    return bad (f, "R2T for data that was asked for before (%u bytes at %u)",
                size, offset);
  if (sn != t->datasn)
    return bad (f, "R2T with R2TSN %u, when %u was next", sn, t->datasn);
  t->datasn++;
  if (size == 0)                /* 11.8.4 forbids it; it asks for nothing */
    return true;
  if (t->r2ts_open >= (f->keys.max_r2t > 0 ? f->keys.max_r2t : 1))
    return bad (f, "R2T number %u that is outstanding, MaxOutstandingR2T is %u",
                t->r2ts_open + 1, f->keys.max_r2t);
  if (!spans_add (&t->spans, offset, offset + size))
    return bad (f, "R2T in more than %d pieces out of order", FFP_SPANS);
  r = &t->r2t[(t->r2t_first + t->r2ts++) % FFP_R2TS];
  r->ttt = get_be32 (&f->h[PDU_AT_TTT]);
  r->at = offset;
  r->to = offset + size;
  r->datasn = 0;
  t->r2ts_open++;
  if (list_empty (&t->node))
    list_add_tail (&f->sending, &t->node);
  return true;
}

static bool
scsi_response (struct ffp *f)
{
  const uint32_t itt = get_be32 (&f->h[PDU_AT_ITT]);
  struct ffp_task *t = ffp_task_find (f, itt);
  uint32_t asked;

  take_statsn (f);
  if (t == NULL)                /* answered twice, or aborted: it is over */
    return true;
  if (!t->in_socket)
    return bad (f, "SCSI Response for a command that was not sent (task %08xh)",
                itt);
  /* 11.4.3: not completed, whatever the status byte says. */
  if (f->h[PDU_AT_RESPONSE] != 0)
    return bad (f, "response %02xh, target failure", f->h[PDU_AT_RESPONSE]);
  asked = spans_total (&t->spans);
  if (t->direction == FFP_WRITE && f->h[PDU_AT_STATUS] == 0) {
    if (t->sent < asked)
      return bad (f, "a write was answered before the data that was asked for "
                  "was sent (%u of %u bytes)", t->sent, asked);
    if (t->whole && t->sent < t->bytes)
      return bad (f, "a write of %u bytes was answered with GOOD after %u",
                  t->bytes, t->sent);
  }
  answer (f, t, f->aux, f->data_size);
  return true;
}

/* ---- task management --------------------------------------------------------------- */

/* RFC 7143 4.2.3.3, 11.6.1: with its response the affected tasks are gone, and
 * their answers have come before it. */
static void
abort_lun (struct ffp *f, uint16_t lun, uint32_t cmdsn)
{
  for (unsigned i = 0; i < f->nr_slots && f->end == FFP_ALIVE; i++) {
    struct ffp_task *t = f->slots[i].kind == SLOT_TASK ? f->slots[i].task : NULL;

    if (t != NULL && t->in_socket && t->lun == lun &&
        serial_before (t->cmdsn, cmdsn))
      ffp_task_done (f, t, &(struct ffp_answer) { .aborted = true });
  }
}

static bool
tmf_response (struct ffp *f)
{
  struct slot *s = ffp_slot_find (f, get_be32 (&f->h[PDU_AT_ITT]), SLOT_TMF);
  const uint8_t response = f->h[PDU_AT_RESPONSE];
  struct slot was;

  take_statsn (f);
  if (s == NULL)
    return true;
  was = *s;
  ffp_slot_free (f, s);
  if (was.function == PDU_LUN_RESET) {
    if (response == 0)
      abort_lun (f, was.lun, was.cmdsn);
    if (f->end == FFP_ALIVE)
      f->ops->tmf_done (f->opaque, NULL, response);
  }
  else {
    struct ffp_task *t = ffp_task_find (f, was.ref);

    /* 1, task does not exist: then its answer would be here. */
    if (t != NULL && t->in_socket && response <= 1)
      ffp_task_done (f, t, &(struct ffp_answer) { .aborted = true });
    else if (t != NULL)
      f->ops->tmf_done (f->opaque, t, response);
  }
  return true;
}

/* ---- NOP, text, logout, messages ----------------------------------------------------- */

static bool
nop_in (struct ffp *f)
{
  const uint32_t itt = get_be32 (&f->h[PDU_AT_ITT]);
  const uint32_t ttt = get_be32 (&f->h[PDU_AT_TTT]);
  struct slot *s;

  if (itt != PDU_NO_TAG) {
    take_statsn (f);
    s = ffp_slot_find (f, itt, SLOT_NOP);
    if (s != NULL) {
      ffp_slot_free (f, s);
      f->ops->pong (f->opaque);
    }
    return true;
  }
  if (ttt == PDU_NO_TAG)        /* only its numbers are meant */
    return true;
  if (f->pongs >= MAX_PONGS)
    return bad (f, "a flood of NOP-In, %u of which want an answer", f->pongs);
  f->pongs++;
  return ffp_due (f, &(struct due) {
    .opcode = PDU_NOP_OUT, .itt = PDU_NO_TAG, .ttt = ttt,
    .lun = get_be16 (&f->h[PDU_AT_LUN]) }) ||
    ffp_refuse (f, FFP_END_MEMORY, "out of memory");
}

static bool
text_add (struct ffp *f)
{
  if (f->data_size > MAX_TEXT - f->text_size)
    return bad (f, "Text Responses of more than %d bytes", MAX_TEXT);
  if (f->text_size + f->data_size + 1 > f->text_room) {
    const size_t room = 2 * (f->text_size + f->data_size + 1);
    char *larger = realloc (f->text, room);

    if (larger == NULL)
      return ffp_refuse (f, FFP_END_MEMORY, "out of memory");
    f->text = larger;
    f->text_room = room;
  }
  memcpy (f->text + f->text_size, f->aux, f->data_size);
  f->text_size += f->data_size;
  f->text[f->text_size] = '\0';
  return true;
}

/* 11.11: in parts, each of which is asked for with the tag of the one before. */
static bool
text_response (struct ffp *f)
{
  const uint32_t itt = get_be32 (&f->h[PDU_AT_ITT]);
  const uint32_t ttt = get_be32 (&f->h[PDU_AT_TTT]);
  const uint8_t flags = f->h[PDU_AT_FLAGS];
  struct slot *s = ffp_slot_find (f, itt, SLOT_TEXT);

  take_statsn (f);
  if (s == NULL)
    return true;
  if (f->data_size > 0 && !text_add (f))
    return false;
  if (flags & PDU_FINAL && !(flags & PDU_CONTINUE)) {
    ffp_slot_free (f, s);
    f->ops->text_done (f->opaque, f->text ? f->text : "", f->text_size);
    return true;
  }
  if (ttt == PDU_NO_TAG)
    return bad (f, "a Text Response (flags %02xh) that goes on, without a tag",
                flags);
  return ffp_due (f, &(struct due) {
    .opcode = PDU_TEXT_REQUEST, .itt = itt, .ttt = ttt }) ||
    ffp_refuse (f, FFP_END_MEMORY, "out of memory");
}

static bool
logout_response (struct ffp *f)
{
  struct slot *s = ffp_slot_find (f, get_be32 (&f->h[PDU_AT_ITT]), SLOT_LOGOUT);

  take_statsn (f);
  if (s == NULL)
    return bad (f, "Logout Response (%02xh) without a logout",
                f->h[PDU_AT_RESPONSE]);
  ffp_slot_free (f, s);
  f->ops->logged_out (f->opaque, f->h[PDU_AT_RESPONSE]);
  return true;
}

/* 11.9.1. */
static bool
async_message (struct ffp *f)
{
  const uint8_t event = f->h[PDU_AT_ASYNC_EVENT];

  take_statsn (f);
  switch (event) {
  case 0: case 255:
    f->ops->message (f->opaque, event, f->aux, f->data_size);
    return true;
  case 1:
    return ffp_refuse (f, FFP_END_LOGOUT_REQUESTED, "logout requested by the "
                       "target (asynchronous message 1, within %u s)",
                       get_be16 (&f->h[PDU_AT_ASYNC_PARAMETER + 4]));
  case 2:
    return ffp_refuse (f, FFP_END_DROPPED, "the target drops the connection "
                       "(asynchronous message 2)");
  case 3:
    return ffp_refuse (f, FFP_END_DROPPED, "the target drops all connections "
                       "of the session (asynchronous message 3)");
  case 4:
    return ffp_refuse (f, FFP_END_DROPPED, "the target asks for another "
                       "negotiation (asynchronous message 4)");
  default:
    /* It does not ask for another login: nobody waits for that one. */
    return ffp_refuse (f, FFP_END_PROTOCOL, "asynchronous message %u, which is "
                       "unknown", event);
  }
}

/* Its data is the header of what was rejected. */
static bool
reject (struct ffp *f)
{
  const uint8_t reason = f->h[PDU_AT_RESPONSE];
  struct slot *s;

  take_statsn (f);
  /* Too many immediate ones (11.17.1): alive all the same. */
  if (reason == 0x06 && f->data_size >= PDU_BHS &&
      pdu_opcode (f->aux) == PDU_NOP_OUT) {
    s = ffp_slot_find (f, get_be32 (&f->aux[PDU_AT_ITT]), SLOT_NOP);
    if (s != NULL) {
      ffp_slot_free (f, s);
      f->ops->pong (f->opaque);
    }
    return true;
  }
  return ffp_refuse (f, FFP_END_REJECTED, "the target rejects a PDU of type "
                     "%02xh: %s (%02xh)",
                     f->data_size > 0 ? pdu_opcode (f->aux) : 0xff,
                     pdu_reject_text (reason), reason);
}

/* ---- PDUs ----------------------------------------------------------------------------- */

static bool
aux_room (struct ffp *f, uint32_t size)
{
  uint8_t *larger;

  f->data = f->aux;
  if (size <= f->aux_size)
    return true;
  larger = realloc (f->aux, size);
  if (larger == NULL)
    return ffp_refuse (f, FFP_END_MEMORY, "out of memory");
  f->data = f->aux = larger;
  f->aux_size = size;
  return true;
}

static bool
header (struct ffp *f)
{
  const uint8_t opcode = pdu_opcode (f->h);
  const uint32_t size = pdu_data_size (f->h);

  switch (opcode) {
  case PDU_NOP_IN: case PDU_SCSI_RESPONSE: case PDU_TMF_RESPONSE:
  case PDU_TEXT_RESPONSE: case PDU_DATA_IN: case PDU_LOGOUT_RESPONSE:
  case PDU_R2T: case PDU_ASYNC: case PDU_REJECT:
    break;
  default:
    return bad (f, "a PDU of type %02xh in the full feature phase", opcode);
  }
  /* RFC 7143 11.2.2 has some, but for requests only. */
  if (f->h[PDU_AT_AHS] != 0)
    return bad (f, "%s with an additional header segment of %u bytes",
                pdu_name (opcode), pdu_ahs_size (f->h));
  if (size > f->keys.our_segment)
    return bad (f, "%s with %u bytes of data, MaxRecvDataSegmentLength is %u",
                pdu_name (opcode), size, f->keys.our_segment);
  take_window (f);
  f->data_size = f->data_left = size;
  f->trailer = size == 0 ? 0
    : pdu_padding (size) + (f->keys.data_digest ? PDU_DIGEST : 0);
  f->crc = CRC32C_START;
  return opcode == PDU_DATA_IN ? data_in_header (f, size)
    : aux_room (f, size);
}

static bool
finish (struct ffp *f)
{
  f->stage = RX_HEADER;
  switch (pdu_opcode (f->h)) {
  case PDU_NOP_IN: return nop_in (f);
  case PDU_SCSI_RESPONSE: return scsi_response (f);
  case PDU_TMF_RESPONSE: return tmf_response (f);
  case PDU_TEXT_RESPONSE: return text_response (f);
  case PDU_DATA_IN: return data_in (f);
  case PDU_LOGOUT_RESPONSE: return logout_response (f);
  case PDU_R2T: return ready_to_transfer (f);
  case PDU_ASYNC: return async_message (f);
  default: return reject (f);
  }
}

static size_t
header_size (const struct ffp *f)
{
  return PDU_BHS + (f->keys.header_digest ? PDU_DIGEST : 0);
}

static bool
digest_is (uint32_t crc, const uint8_t *there)
{
  uint8_t right[CRC32C_SIZE];

  crc32c_put (right, crc);
  return memcmp (right, there, sizeof right) == 0;
}

/* So many bytes of data are where they belong. */
static void
data_came (struct ffp *f, size_t n)
{
  if (f->keys.data_digest)
    f->crc = crc32c_update (f->crc, f->data, n);
  f->data += n;
  f->data_left -= (uint32_t) n;
  if (f->data_left == 0)
    f->stage = RX_TRAILER;
}

static bool
take_header (struct ffp *f)
{
  const uint8_t *p = f->in + f->in_from;

  memcpy (f->h, p, PDU_BHS);
  f->in_from += header_size (f);
  if (f->keys.header_digest &&
      !digest_is (crc32c_update (CRC32C_START, p, PDU_BHS), p + PDU_BHS))
    return ffp_refuse (f, FFP_END_DIGEST, "header digest error in what the "
                       "target sent (type %02xh)", pdu_opcode (f->h));
  if (!header (f))
    return false;
  if (f->data_left > 0)
    f->stage = RX_DATA;
  else
    return finish (f);
  return true;
}

static bool
take_trailer (struct ffp *f)
{
  const uint8_t *p = f->in + f->in_from;
  const uint32_t padding = pdu_padding (f->data_size);

  f->in_from += f->trailer;
  if (f->keys.data_digest &&
      !digest_is (crc32c_update (f->crc, p, padding), p + padding))
    return ffp_refuse (f, FFP_END_DIGEST, "data digest error in a %s of %u "
                       "bytes", pdu_name (pdu_opcode (f->h)), f->data_size);
  return finish (f);
}

/* ---- bytes ---------------------------------------------------------------------------- */

int
ffp_in (struct ffp *f, struct iovec iov[FFP_IN_IOV])
{
  size_t have = f->in_to - f->in_from, size;
  int n = 0;

  if (f->in_from > 0) {         /* at most a header and a trailer */
    memmove (f->in, f->in + f->in_from, have);
    f->in_from = 0;
    f->in_to = (unsigned) have;
  }
  if (f->stage == RX_DATA) {
    iov[n].iov_base = f->data;
    iov[n++].iov_len = f->data_left;
  }
  size = (f->stage == RX_HEADER ? 0 : f->trailer) + header_size (f) - have;
  /* Not more, if that may be data that has a better place. */
  if (f->large_reads == 0)
    size = IN_SIZE - have;
  iov[n].iov_base = f->in + have;
  iov[n++].iov_len = size;
  return n;
}

bool
ffp_received (struct ffp *f, size_t n)
{
  if (f->end != FFP_ALIVE)
    return false;
  if (f->stage == RX_DATA) {
    const size_t k = n < f->data_left ? n : f->data_left;

    data_came (f, k);
    n -= k;
  }
  f->in_to += (unsigned) n;
  while (f->end == FFP_ALIVE) {
    const size_t have = f->in_to - f->in_from;

    if (f->stage == RX_HEADER) {
      if (have < header_size (f))
        return true;
      take_header (f);
    }
    else if (f->stage == RX_DATA) {
      const size_t k = have < f->data_left ? have : f->data_left;

      if (k == 0)
        return true;
      memcpy (f->data, f->in + f->in_from, k);
      f->in_from += (unsigned) k;
      data_came (f, k);
    }
    else {
      if (have < f->trailer)
        return true;
      take_trailer (f);
    }
  }
  return false;
}
