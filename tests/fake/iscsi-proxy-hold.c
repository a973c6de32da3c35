/* SPDX-License-Identifier: BSD-3-Clause */
/* iscsi-proxy: writes that are held back, and let go later.
 *
 * A held write is taken whole: the command, its immediate and unsolicited
 * data, and, with R2Ts of our own, the rest of its data.  So it can be given
 * to the target when the client is long gone, as a network would that kept
 * the packets: with the next CmdSN of the old connection, which the target
 * therefore takes as the next command of the old session.
 */
#include <stdlib.h>
#include <string.h>

#include "iscsi-proxy.h"

#define MAX_HELD_BYTES (64u << 20) /* one command; larger ones pass */

static struct held *
find (const struct link *l, uint32_t itt)
{
  struct held *h;

  for (h = l->held; h != NULL && h->itt != itt; h = h->next)
    ;
  return h;
}

bool
is_held (const struct link *l, uint32_t itt)
{
  return find (l, itt) != NULL;
}

static void
drop_held (struct link *l, struct held *h)
{
  struct held **p;

  for (p = &l->held; *p != h; p = &(*p)->next)
    ;
  *p = h->next;
  free (h->command);
  free (h->data);
  free (h);
}

/* Asks the client for the next part of the data, RFC 7143 11.8. */
static void
ask_for_data (struct link *l, struct held *h)
{
  uint8_t r2t[BHS_SIZE] = { 0 };
  uint32_t n = h->edtl - h->got;

  if (l->cfd == -1 || n == 0)
    return;
  if (n > l->max_burst)
    n = l->max_burst;
  r2t[0] = OP_R2T;
  r2t[BHS_FLAGS] = FLAG_FINAL;
  memcpy (r2t + BHS_LUN, h->command + BHS_LUN, 8);
  put32 (r2t + BHS_ITT, h->itt);
  put32 (r2t + BHS_TTT, 0x70000000 + h->r2tsn);
  put32 (r2t + BHS_EXPCMDSN, l->exp_cmdsn);
  put32 (r2t + BHS_MAXCMDSN, l->max_cmdsn);
  put32 (r2t + BHS_DATASN, h->r2tsn++);
  put32 (r2t + BHS_OFFSET, h->got);
  put32 (r2t + BHS_R2T_LENGTH, n);
  h->r2t_end = h->got + n;
  to_client (l, r2t, false);
}

bool
hold_command (struct link *l, const uint8_t *pdu)
{
  struct rules *r = &l->portal->rules;
  const uint8_t *cdb = pdu + BHS_CDB;
  struct cdb_filter writes;
  struct held *h, **tail;
  uint32_t blocks, n = pdu_data_length (pdu);
  uint64_t lba;
  int i;

  cdb_filter_parse ("write", &writes);
  if (!cdb_filter_match (&writes, cdb[0]) || !cdb_range (cdb, &lba, &blocks))
    return false;
  for (i = 0; i < r->n_hold; i++)
    if (lba < r->hold[i].lba + r->hold[i].blocks &&
        r->hold[i].lba < lba + blocks)
      break;
  if (i == r->n_hold || get32 (pdu + BHS_EDTL) > MAX_HELD_BYTES)
    return false;

  h = calloc (1, sizeof *h);
  if (h == NULL)
    die ("out of memory");
  h->itt = get32 (pdu + BHS_ITT);
  h->edtl = get32 (pdu + BHS_EDTL);
  h->command = malloc (pdu_size (pdu));
  h->data = calloc (1, h->edtl ? h->edtl : 1);
  if (h->command == NULL || h->data == NULL)
    die ("out of memory");
  memcpy (h->command, pdu, pdu_size (pdu));
  if (n > h->edtl)
    n = h->edtl;
  memcpy (h->data, pdu + pdu_header_size (pdu), n);
  h->got = h->unsolicited = n;
  for (tail = &l->held; *tail != NULL; tail = &(*tail)->next)
    ;
  *tail = h;

  if (!(pdu[0] & FLAG_IMMEDIATE))
    l->cmd_shift++;
  if (pdu[BHS_FLAGS] & FLAG_FINAL)
    ask_for_data (l, h);
  if (r->hold[i].all)
    l->stuck = true;
  if (--r->hold[i].count == 0)
    memmove (&r->hold[i], &r->hold[i + 1],
             (size_t) (--r->n_hold - i) * sizeof r->hold[0]);
  return true;
}

bool
hold_data_out (struct link *l, const uint8_t *pdu)
{
  struct held *h = find (l, get32 (pdu + BHS_ITT));
  uint32_t offset = get32 (pdu + BHS_OFFSET), n = pdu_data_length (pdu);

  if (h == NULL)
    return false;
  if (offset > h->edtl || n > h->edtl - offset)
    return true;                /* nonsense: not kept */
  memcpy (h->data + offset, pdu + pdu_header_size (pdu), n);
  if (offset + n > h->got)
    h->got = offset + n;
  if (get32 (pdu + BHS_TTT) == NO_TAG)
    h->unsolicited = h->got;
  if (pdu[BHS_FLAGS] & FLAG_FINAL)
    ask_for_data (l, h);
  return true;
}

/* Data-Out PDUs for [offset, offset+length), as one sequence. */
static void
send_data (struct link *l, struct held *h, uint32_t ttt,
           uint32_t offset, uint32_t length)
{
  uint32_t datasn = 0, n;
  uint8_t *pdu = calloc (1, BHS_SIZE + (size_t) l->target_mrdsl + 4);

  if (pdu == NULL)
    die ("out of memory");
  for (; length > 0; offset += n, length -= n) {
    n = length < l->target_mrdsl ? length : l->target_mrdsl;
    memset (pdu, 0, BHS_SIZE + (size_t) l->target_mrdsl + 4);
    pdu[0] = OP_DATA_OUT;
    if (n == length)
      pdu[BHS_FLAGS] = FLAG_FINAL;
    put24 (pdu + BHS_DATA_LENGTH, n);
    if (ttt != NO_TAG)
      memcpy (pdu + BHS_LUN, h->command + BHS_LUN, 8);
    put32 (pdu + BHS_ITT, h->itt);
    put32 (pdu + BHS_TTT, ttt);
    put32 (pdu + BHS_EXPSTATSN, expstatsn_for_target (l));
    put32 (pdu + BHS_DATASN, datasn++);
    put32 (pdu + BHS_OFFSET, offset);
    memcpy (pdu + BHS_SIZE, h->data + offset, n);
    to_target (l, pdu);
  }
  free (pdu);
}

bool
hold_r2t (struct link *l, const uint8_t *pdu)
{
  struct held *h = find (l, get32 (pdu + BHS_ITT));
  uint32_t offset = get32 (pdu + BHS_OFFSET);
  uint32_t n = get32 (pdu + BHS_R2T_LENGTH);

  if (h == NULL)
    return false;
  if (offset <= h->edtl && n <= h->edtl - offset)
    send_data (l, h, get32 (pdu + BHS_TTT), offset, n);
  return true;
}

int
release_held (struct link *l, uint64_t waiter)
{
  int released = 0;
  struct held *h;

  for (h = l->held; h != NULL; h = h->next) {
    uint32_t immediate = pdu_data_length (h->command);

    if (h->released)
      continue;
    h->released = true;
    h->waiter = waiter;
    released++;
    /* The next CmdSN as the target counts; taking it makes one command
     * fewer that the target has not seen. */
    put32 (h->command + BHS_CMDSN, l->next_cmdsn - l->cmd_shift);
    if (!(h->command[0] & FLAG_IMMEDIATE))
      l->cmd_shift--;
    put32 (h->command + BHS_EXPSTATSN, expstatsn_for_target (l));
    to_target (l, h->command);
    if (!(h->command[BHS_FLAGS] & FLAG_FINAL) && h->unsolicited > immediate)
      send_data (l, h, NO_TAG, immediate, h->unsolicited - immediate);
  }
  l->stuck = false;
  return released;
}

void
hold_answered (struct link *l, uint32_t itt, int status)
{
  struct held *h = find (l, itt);

  if (h == NULL || !h->released)
    return;
  if (h->waiter)
    control_outcome (h->waiter, status);
  drop_held (l, h);
}

void
forget_held (struct link *l)
{
  while (l->held != NULL) {
    if (!l->held->released)
      l->portal->stats.held_lost++;
    else if (l->held->waiter)
      control_outcome (l->held->waiter, -1);
    drop_held (l, l->held);
  }
}
