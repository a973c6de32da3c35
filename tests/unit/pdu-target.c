/* SPDX-License-Identifier: BSD-3-Clause */
/* See pdu-target.h. */
#include <config.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "iscsi/crc32c.h"
#include "pdu-target.h"

__attribute__ ((noreturn, format (printf, 1, 2)))
static void
wrong (const char *fs, ...)
{
  va_list args;

  fprintf (stderr, "pdu-target: ");
  va_start (args, fs);
  vfprintf (stderr, fs, args);
  va_end (args);
  fprintf (stderr, "\n");
  abort ();
}

static unsigned
lot (struct pt *t, unsigned n)
{
  t->random = t->random * 1103515245 + 12345;
  return (t->random >> 16) % n;
}

static void
append (uint8_t **to, size_t *size, size_t *room, const void *from, size_t n)
{
  if (n == 0)
    return;
  if (*size + n > *room) {
    *room = 2 * (*size + n);
    *to = realloc (*to, *room);
    assert (*to != NULL);
  }
  memcpy (*to + *size, from, n);
  *size += n;
}

struct pt *
pt_new (const struct pt_params *p, const struct pt_ops *ops, void *opaque,
        uint32_t cmdsn, uint32_t statsn)
{
  struct pt *t = calloc (1, sizeof *t);

  assert (t != NULL);
  t->p = *p;
  t->ops = ops;
  t->opaque = opaque;
  t->exp_cmdsn = cmdsn;
  t->statsn = statsn;
  t->max_cmdsn = cmdsn - 1;
  t->window_open = true;
  t->random = cmdsn + 1;
  list_init (&t->commands);
  return t;
}

void
pt_forget (struct pt *t, struct pt_command *c)
{
  list_del (&c->node);
  if (!c->immediate)
    t->open--;
  free (c->data);
  free (c->have);
  free (c);
}

void
pt_free (struct pt *t)
{
  while (!list_empty (&t->commands))
    pt_forget (t, list_entry (t->commands.next, struct pt_command, node));
  free (t->in);
  free (t->out);
  free (t);
}

/* ---- sending ------------------------------------------------------------------ */

uint32_t
pt_max_cmdsn (struct pt *t)
{
  const uint32_t max = t->exp_cmdsn + t->p.window - t->open - 1;

  if (t->window_open && serial_before (t->max_cmdsn, max))
    t->max_cmdsn = max;
  return t->max_cmdsn;
}

void
pt_raw (struct pt *t, const void *bytes, size_t n)
{
  append (&t->out, &t->out_size, &t->out_room, bytes, n);
}

void
pt_send (struct pt *t, uint8_t *h, const void *data, uint32_t n,
         bool takes_statsn)
{
  static const uint8_t zero[4];
  uint8_t digest[CRC32C_SIZE];
  uint32_t crc;

  pdu_set_data_size (h, n);
  put_be32 (&h[PDU_AT_STATSN], t->statsn);
  if (takes_statsn)
    t->statsn++;
  put_be32 (&h[PDU_AT_EXPCMDSN], t->exp_cmdsn);
  put_be32 (&h[PDU_AT_MAXCMDSN], pt_max_cmdsn (t));
  pt_raw (t, h, PDU_BHS);
  if (t->p.keys.header_digest) {
    crc32c_put (digest, crc32c_by_table (CRC32C_START, h, PDU_BHS));
    pt_raw (t, digest, sizeof digest);
  }
  if (n == 0)
    return;
  pt_raw (t, data, n);
  pt_raw (t, zero, pdu_padding (n));
  if (t->p.keys.data_digest) {
    crc = crc32c_by_table (CRC32C_START, data, n);
    crc = crc32c_by_table (crc, zero, pdu_padding (n));
    crc32c_put (digest, crc);
    pt_raw (t, digest, sizeof digest);
  }
}

static void
begin (uint8_t *h, uint8_t opcode, uint32_t itt)
{
  memset (h, 0, PDU_BHS);
  h[0] = opcode;
  h[PDU_AT_FLAGS] = PDU_FINAL;
  put_be32 (&h[PDU_AT_ITT], itt);
  put_be32 (&h[PDU_AT_TTT], PDU_NO_TAG);
}

void
pt_ping (struct pt *t)
{
  uint8_t h[PDU_BHS];

  begin (h, PDU_NOP_IN, PDU_NO_TAG);
  put_be32 (&h[PDU_AT_TTT], ++t->last_ttt & 0x7fffffff);
  t->pings++;
  pt_send (t, h, NULL, 0, false);
}

void
pt_async (struct pt *t, uint8_t event, const void *data, size_t n)
{
  uint8_t h[PDU_BHS];

  begin (h, PDU_ASYNC, PDU_NO_TAG);
  h[PDU_AT_ASYNC_EVENT] = event;
  put_be16 (&h[PDU_AT_ASYNC_PARAMETER + 4], 7);
  pt_send (t, h, data, (uint32_t) n, true);
}

void
pt_text (struct pt *t, uint32_t itt, bool last, const char *text, size_t size)
{
  uint8_t h[PDU_BHS];

  begin (h, PDU_TEXT_RESPONSE, itt);
  if (!last) {
    h[PDU_AT_FLAGS] = PDU_CONTINUE;
    put_be32 (&h[PDU_AT_TTT], 0x77);
  }
  pt_send (t, h, text, (uint32_t) size, true);
}

struct part {
  uint32_t at, size;
};

/* From where it is up to N.  LAST: that is all; with STATUS, if HERE. */
static void
send_data (struct pt *t, struct pt_command *c, const uint8_t *data, uint32_t n,
           bool last, bool here, uint8_t status)
{
  const struct ffp_keys *k = &t->p.keys;
  const uint32_t most = t->p.data_in_size < k->our_segment
    ? t->p.data_in_size : k->our_segment;
  const uint32_t from = c->data_at;
  const unsigned parts = (n - from + most - 1) / most;
  struct part *part = calloc (parts + 1, sizeof *part);
  uint8_t h[PDU_BHS];

  for (unsigned i = 0; i < parts; i++) {
    part[i].at = from + i * most;
    part[i].size = n - part[i].at < most ? n - part[i].at : most;
  }
  /* Not so far that more than FFP_SPANS pieces are apart. */
  if (t->p.shuffle && !k->pdu_in_order)
    for (unsigned i = 0; i + 1 < parts; i++) {
      const unsigned j = i + lot (t, parts - i < 8 ? parts - i : 8);
      const struct part p = part[i];

      part[i] = part[j];
      part[j] = p;
    }
  for (unsigned i = 0; i < parts; i++) {
    const bool final = last && i + 1 == parts;

    begin (h, PDU_DATA_IN, c->itt);
    h[PDU_AT_FLAGS] = final ? PDU_FINAL : 0;
    if (final && here) {
      h[PDU_AT_FLAGS] |= PDU_STATUS_HERE;
      h[PDU_AT_STATUS] = status;
      if (n < c->edtl && !c->no_residual) {
        h[PDU_AT_FLAGS] |= PDU_UNDERFLOW;
        put_be32 (&h[PDU_AT_RESIDUAL], c->edtl - n);
      }
    }
    put_be32 (&h[PDU_AT_DATASN], c->datasn++);
    put_be32 (&h[PDU_AT_OFFSET], part[i].at);
    pt_send (t, h, data + part[i].at, part[i].size, final && here);
  }
  c->data_at = n;
  free (part);
}

void
pt_data (struct pt *t, struct pt_command *c, const uint8_t *data, uint32_t to)
{
  send_data (t, c, data, to, false, false, 0);
}

void
pt_answer (struct pt *t, struct pt_command *c, uint8_t status,
           const uint8_t *sense, size_t sense_size,
           const uint8_t *data, uint32_t n)
{
  bool here;
  uint32_t residual;
  uint8_t h[PDU_BHS], text[2 + 252];

  if (!c->immediate)
    t->open--;
  if (n > c->edtl)
    n = c->edtl;
  here = c->read && t->p.status_in_data && n > c->data_at && sense_size == 0;
  if (c->read && n > c->data_at)
    send_data (t, c, data, n, true, here, status);
  if (!here) {
    residual = !c->read ? c->residual : c->no_residual ? 0 : c->edtl - n;
    begin (h, PDU_SCSI_RESPONSE, c->itt);
    h[PDU_AT_STATUS] = status;
    put_be32 (&h[PDU_AT_TTT], 0);
    if (residual > 0) {
      h[PDU_AT_FLAGS] |= PDU_UNDERFLOW;
      put_be32 (&h[PDU_AT_RESIDUAL], residual);
    }
    if (sense_size > 0) {
      put_be16 (text, (uint16_t) sense_size);
      memcpy (text + 2, sense, sense_size);
      sense_size += 2;
    }
    pt_send (t, h, text, (uint32_t) sense_size, true);
  }
  if (!c->immediate)
    t->open++;                  /* pt_forget takes it off */
  pt_forget (t, c);
}

void
pt_tmf_answer (struct pt *t, uint32_t itt, uint8_t response)
{
  uint8_t h[PDU_BHS];

  begin (h, PDU_TMF_RESPONSE, itt);
  put_be32 (&h[PDU_AT_TTT], 0);
  h[PDU_AT_RESPONSE] = response;
  pt_send (t, h, NULL, 0, true);
}

void
pt_nop_answer (struct pt *t, uint32_t itt)
{
  uint8_t h[PDU_BHS];

  begin (h, PDU_NOP_IN, itt);
  pt_send (t, h, NULL, 0, true);
}

void
pt_logout_answer (struct pt *t, uint32_t itt)
{
  uint8_t h[PDU_BHS];

  begin (h, PDU_LOGOUT_RESPONSE, itt);
  put_be32 (&h[PDU_AT_TTT], 0);
  pt_send (t, h, NULL, 0, true);
}

/* ---- receiving ------------------------------------------------------------------ */

static void
ready (struct pt *t, struct pt_command *c)
{
  c->ready = true;
  t->ops->command (t->opaque, c);
}

/* Asks for what is neither there nor asked for, as far as it may. */
static void
ask (struct pt *t, struct pt_command *c)
{
  const struct ffp_keys *k = &t->p.keys;
  const uint32_t most = t->p.r2t_size < k->max_burst ? t->p.r2t_size
    : k->max_burst;
  uint8_t h[PDU_BHS];
  uint32_t from = 0;

  if (c->unsolicited)
    return;
  if (c->got == c->edtl) {
    ready (t, c);
    return;
  }
  for (unsigned i = 0; i < k->max_r2t && i < PT_R2TS; i++) {
    struct pt_r2t *r = &c->r2t[i];
    uint32_t to;

    if (r->open)
      continue;
    while (from < c->edtl && c->have[from] != 0)
      from++;
    if (from == c->edtl)
      return;
    if (t->p.shuffle && !k->sequence_in_order && c->edtl - from > 3 * most &&
        c->have[from + most] == 0 && lot (t, 2))
      from += most;
    for (to = from; to < c->edtl && to - from < most && c->have[to] == 0; to++)
      c->have[to] = 2;
    *r = (struct pt_r2t) { .open = true, .at = from, .to = to,
                           .ttt = ++t->last_ttt & 0x7fffffff };
    begin (h, PDU_R2T, c->itt);
    put_be16 (&h[PDU_AT_LUN], c->lun);
    put_be32 (&h[PDU_AT_TTT], r->ttt);
    put_be32 (&h[PDU_AT_DATASN], c->r2tsn++);
    put_be32 (&h[PDU_AT_OFFSET], from);
    put_be32 (&h[PDU_AT_R2T_LENGTH], to - from);
    pt_send (t, h, NULL, 0, false);
    from = to < c->edtl && t->p.shuffle && !k->sequence_in_order ? 0 : to;
  }
}

static struct pt_command *
find (struct pt *t, uint32_t itt)
{
  struct list *l, *next;

  list_for_each (l, next, &t->commands)
    if (list_entry (l, struct pt_command, node)->itt == itt)
      return list_entry (l, struct pt_command, node);
  return NULL;
}

static void
take (struct pt_command *c, uint32_t at, const uint8_t *data, uint32_t n)
{
  if (at > c->edtl || n > c->edtl - at)
    wrong ("data behind the end: %u bytes at %u of %u", n, at, c->edtl);
  for (uint32_t i = at; i < at + n; i++) {
    if (c->have[i] == 1)
      wrong ("byte %u comes twice", i);
    c->have[i] = 1;
  }
  if (n > 0)
    memcpy (c->data + at, data, n);
  c->got += n;
}

static void
scsi_command (struct pt *t, const uint8_t *h, const uint8_t *data, uint32_t n)
{
  const struct ffp_keys *k = &t->p.keys;
  const uint8_t flags = h[PDU_AT_FLAGS];
  struct pt_command *c = calloc (1, sizeof *c);
  uint32_t first = 0;

  assert (c != NULL);
  c->itt = get_be32 (&h[PDU_AT_ITT]);
  c->cmdsn = get_be32 (&h[PDU_AT_CMDSN]);
  c->edtl = get_be32 (&h[PDU_AT_EDTL]);
  c->lun = get_be16 (&h[PDU_AT_LUN]);
  c->read = flags & PDU_COMMAND_READ;
  c->write = flags & PDU_COMMAND_WRITE;
  c->immediate = h[0] & PDU_IMMEDIATE;
  memcpy (c->cdb, &h[PDU_AT_CDB], 16);
  if (c->itt == PDU_NO_TAG || find (t, c->itt))
    wrong ("task tag %08x is in use", c->itt);
  if (c->read && c->write)
    wrong ("both directions");
  if ((c->read || c->write) != (c->edtl > 0))
    wrong ("%u bytes with flags %02x", c->edtl, flags);
  if ((flags & 7) > 4)
    wrong ("attribute %u", flags & 7);
  if (n > 0 && !c->write)
    wrong ("data with what is no write");
  if (n > 0 && !k->immediate_data)
    wrong ("immediate data");
  if (n > k->first_burst)
    wrong ("%u bytes of immediate data, FirstBurstLength is %u", n,
           k->first_burst);
  if (!(flags & PDU_FINAL) && (k->initial_r2t || !c->write))
    wrong ("not final, with InitialR2T=Yes");
  list_add_tail (&t->commands, &c->node);
  if (!c->immediate)
    t->open++;
  if (!c->write) {
    ready (t, c);
    return;
  }
  c->data = calloc (1, c->edtl);
  c->have = calloc (1, c->edtl);
  take (c, 0, data, n);
  c->unsolicited_at = n;
  c->unsolicited = !(flags & PDU_FINAL);
  first = c->edtl < k->first_burst ? c->edtl : k->first_burst;
  if (c->unsolicited && n >= first)
    wrong ("not final after %u bytes of %u", n, first);
  ask (t, c);
}

static void
data_out (struct pt *t, const uint8_t *h, const uint8_t *data, uint32_t n)
{
  const struct ffp_keys *k = &t->p.keys;
  const uint32_t itt = get_be32 (&h[PDU_AT_ITT]);
  const uint32_t ttt = get_be32 (&h[PDU_AT_TTT]);
  const uint32_t at = get_be32 (&h[PDU_AT_OFFSET]);
  const uint32_t datasn = get_be32 (&h[PDU_AT_DATASN]);
  const bool final = h[PDU_AT_FLAGS] & PDU_FINAL;
  struct pt_command *c = find (t, itt);
  struct pt_r2t *r = NULL;

  if (c == NULL)
    return;                     /* was ended early, or aborted */
  if (!c->write || c->ready)
    wrong ("Data-Out for task %08x", itt);
  if (n == 0)
    wrong ("Data-Out without data");
  if (ttt == PDU_NO_TAG) {
    const uint32_t first = c->edtl < k->first_burst ? c->edtl : k->first_burst;

    if (!c->unsolicited)
      wrong ("unsolicited Data-Out");
    if (at != c->unsolicited_at || datasn != c->unsolicited_datasn++)
      wrong ("unsolicited data at %u, DataSN %u", at, datasn);
    c->unsolicited_at += n;
    if (c->unsolicited_at > first)
      wrong ("more than FirstBurstLength");
    if (final != (c->unsolicited_at == first))
      wrong ("F is %d after %u of %u", final, c->unsolicited_at, first);
    c->unsolicited = !final;
  }
  else {
    for (unsigned i = 0; i < PT_R2TS; i++)
      if (c->r2t[i].open && c->r2t[i].ttt == ttt)
        r = &c->r2t[i];
    if (r == NULL)
      wrong ("Data-Out for an R2T that is none (%08x)", ttt);
    if (at != r->at || n > r->to - r->at || datasn != r->datasn++)
      wrong ("solicited data: %u at %u, DataSN %u; wanted: %u to %u", n, at,
             datasn, r->at, r->to);
    if (get_be16 (&h[PDU_AT_LUN]) != c->lun)
      wrong ("another LUN");
    r->at += n;
    if (final != (r->at == r->to))
      wrong ("F is %d at %u of %u", final, r->at, r->to);
    if (final)
      r->open = false;
  }
  take (c, at, data, n);
  if (final)
    ask (t, c);
}

static void
nop_out (struct pt *t, const uint8_t *h)
{
  const uint32_t itt = get_be32 (&h[PDU_AT_ITT]);
  const uint32_t ttt = get_be32 (&h[PDU_AT_TTT]);

  if (itt == PDU_NO_TAG) {
    if (!(h[0] & PDU_IMMEDIATE) || ttt == PDU_NO_TAG)
      wrong ("a NOP-Out that is neither a ping nor an answer");
    t->pongs++;
    return;
  }
  if (ttt != PDU_NO_TAG)
    wrong ("NOP-Out with both tags");
  t->ops->nop (t->opaque, itt);
}

static void
pdu (struct pt *t, const uint8_t *h, const uint8_t *data, uint32_t n)
{
  const uint8_t opcode = pdu_opcode (h);

  if (n > t->p.keys.their_segment)
    wrong ("%u bytes, MaxRecvDataSegmentLength is %u", n,
           t->p.keys.their_segment);
  if (serial_before (t->statsn, get_be32 (&h[PDU_AT_EXPSTATSN])))
    wrong ("ExpStatSN %u, we are at %u", get_be32 (&h[PDU_AT_EXPSTATSN]),
           t->statsn);
  if (opcode != PDU_DATA_OUT) {
    const uint32_t cmdsn = get_be32 (&h[PDU_AT_CMDSN]);

    if (cmdsn != t->exp_cmdsn)
      wrong ("CmdSN %u of type %02x, %u was next", cmdsn, h[0], t->exp_cmdsn);
    if (!(h[0] & PDU_IMMEDIATE)) {
      if (serial_before (t->max_cmdsn, cmdsn))
        wrong ("CmdSN %u, the window ends at %u", cmdsn, t->max_cmdsn);
      t->exp_cmdsn++;
    }
  }
  switch (opcode) {
  case PDU_SCSI_COMMAND:
    scsi_command (t, h, data, n);
    break;
  case PDU_DATA_OUT:
    data_out (t, h, data, n);
    break;
  case PDU_NOP_OUT:
    nop_out (t, h);
    break;
  case PDU_TMF_REQUEST:
    if (!(h[PDU_AT_FLAGS] & PDU_FINAL))
      wrong ("TMF without F");
    t->ops->tmf (t->opaque, get_be32 (&h[PDU_AT_ITT]), h[PDU_AT_FLAGS] & 0x7f,
                 get_be16 (&h[PDU_AT_LUN]), get_be32 (&h[PDU_AT_TTT]));
    break;
  case PDU_TEXT_REQUEST:
    t->ops->text (t->opaque, get_be32 (&h[PDU_AT_ITT]), (const char *) data, n);
    break;
  case PDU_LOGOUT_REQUEST:
    t->ops->logout (t->opaque, get_be32 (&h[PDU_AT_ITT]));
    break;
  default:
    wrong ("type %02x", h[0]);
  }
}

static bool
digest_is (const uint8_t *there, const uint8_t *of, size_t n)
{
  uint8_t right[CRC32C_SIZE];

  crc32c_put (right, crc32c_by_table (CRC32C_START, of, n));
  return memcmp (right, there, sizeof right) == 0;
}

void
pt_input (struct pt *t, const void *bytes, size_t n)
{
  const struct ffp_keys *k = &t->p.keys;
  const size_t head = PDU_BHS + (k->header_digest ? CRC32C_SIZE : 0);
  size_t at = 0;

  append (&t->in, &t->in_size, &t->in_room, bytes, n);
  while (t->in_size - at >= head) {
    const uint8_t *h = t->in + at;
    const uint32_t size = pdu_data_size (h), padded = size + pdu_padding (size);
    const size_t all = head + padded + (k->data_digest && size > 0 ? CRC32C_SIZE : 0);

    if (h[PDU_AT_AHS] != 0)
      wrong ("an additional header segment");
    if (t->in_size - at < all)
      break;
    if (k->header_digest && !digest_is (h + PDU_BHS, h, PDU_BHS))
      wrong ("header digest");
    for (uint32_t i = size; i < padded; i++)
      if (h[head + i] != 0)
        wrong ("padding that is not zero");
    if (k->data_digest && size > 0 && !digest_is (h + head + padded, h + head, padded))
      wrong ("data digest");
    pdu (t, h, h + head, size);
    at += all;
  }
  memmove (t->in, t->in + at, t->in_size - at);
  t->in_size -= at;
}
