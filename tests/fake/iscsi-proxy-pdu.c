/* SPDX-License-Identifier: BSD-3-Clause */
/* iscsi-proxy: what happens to each PDU; the sequence numbers are explained
 * in iscsi-proxy.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi-proxy.h"

static struct task *
find_task (struct link *l, uint32_t itt)
{
  for (size_t i = 0; i < l->n_tasks; i++)
    if (l->tasks[i].itt == itt)
      return &l->tasks[i];
  return NULL;
}

static struct task *
add_task (struct link *l, const uint8_t *pdu)
{
  uint32_t itt = get32 (pdu + BHS_ITT);
  struct task *t = find_task (l, itt);

  if (t == NULL) {
    if (l->n_tasks == l->size_tasks) {
      l->size_tasks = l->size_tasks ? 2 * l->size_tasks : 16;
      l->tasks = realloc (l->tasks, l->size_tasks * sizeof *l->tasks);
      if (l->tasks == NULL)
        die ("out of memory");
    }
    t = &l->tasks[l->n_tasks++];
  }
  memset (t, 0, sizeof *t);
  t->itt = itt;
  t->edtl = get32 (pdu + BHS_EDTL);
  memcpy (t->cdb, pdu + BHS_CDB, 16);
  return t;
}

static void
remove_task (struct link *l, uint32_t itt)
{
  struct task *t = find_task (l, itt);

  if (t != NULL)
    *t = l->tasks[--l->n_tasks];
}

/* --- StatSN ------------------------------------------------------------ */

/* Does it use up a StatSN (true), or only say which comes next?  A Data-In
 * without status has none at all, RFC 7143 11.7.4. */
static bool
has_status (const uint8_t *pdu)
{
  switch (pdu_opcode (pdu)) {
  case OP_NOP_IN:
    return get32 (pdu + BHS_ITT) != NO_TAG;
  case OP_DATA_IN:
    return pdu[BHS_FLAGS] & FLAG_STATUS;
  case OP_R2T:
    return false;
  default:
    return true;
  }
}

static void
note_target_statsn (struct link *l, const uint8_t *pdu)
{
  uint32_t sn = get32 (pdu + BHS_STATSN);

  if (!has_status (pdu))
    return;
  if (l->n_unacked == l->size_unacked) {
    l->size_unacked = l->size_unacked ? 2 * l->size_unacked : 32;
    l->unacked = realloc (l->unacked, l->size_unacked * sizeof *l->unacked);
    if (l->unacked == NULL)
      die ("out of memory");
  }
  l->unacked[l->n_unacked++] = (struct unacked) { .target_sn = sn };
  if (!l->statsn_known) {
    l->statsn_known = true;
    l->client_statsn = sn;
    l->target_statsn = sn;
  }
  if (!sn_before (sn, l->target_statsn))
    l->target_statsn = sn + 1;
}

/* The answer with the target's number target_sn left as client_sn, or (sent
 * == false) was thrown away and counts as acknowledged. */
static void
note_sent (struct link *l, uint32_t target_sn, uint32_t client_sn, bool sent)
{
  for (size_t i = 0; i < l->n_unacked; i++) {
    if (l->unacked[i].target_sn == target_sn && !l->unacked[i].sent) {
      if (sent) {
        l->unacked[i].client_sn = client_sn;
        l->unacked[i].sent = true;
      }
      else
        l->unacked[i] = l->unacked[--l->n_unacked];
      return;
    }
  }
}

static void
client_acknowledges (struct link *l, uint32_t expstatsn)
{
  size_t i, n = 0;

  for (i = 0; i < l->n_unacked; i++)
    if (!l->unacked[i].sent || !sn_before (l->unacked[i].client_sn, expstatsn))
      l->unacked[n++] = l->unacked[i];
  l->n_unacked = n;
}

uint32_t
expstatsn_for_target (struct link *l)
{
  uint32_t sn = l->target_statsn;

  if (l->cfd == -1)             /* nobody else acknowledges any more */
    return sn;
  for (size_t i = 0; i < l->n_unacked; i++)
    if (sn_before (l->unacked[i].target_sn, sn))
      sn = l->unacked[i].target_sn;
  return sn;
}

/* --- towards the client ------------------------------------------------ */

void
to_client (struct link *l, uint8_t *pdu, bool from_target)
{
  uint8_t op = pdu_opcode (pdu);
  uint32_t target_sn = get32 (pdu + BHS_STATSN);

  if (l->cfd == -1) {
    if (from_target && has_status (pdu))
      note_sent (l, target_sn, 0, false);
    return;
  }
  if (op != OP_DATA_IN || pdu[BHS_FLAGS] & FLAG_STATUS) {
    put32 (pdu + BHS_STATSN, l->client_statsn);
    if (has_status (pdu)) {
      if (from_target)
        note_sent (l, target_sn, l->client_statsn, true);
      l->client_statsn++;
    }
  }
  put32 (pdu + BHS_EXPCMDSN, get32 (pdu + BHS_EXPCMDSN) + l->cmd_shift);
  put32 (pdu + BHS_MAXCMDSN, get32 (pdu + BHS_MAXCMDSN) + l->cmd_shift);
  bytes_append (&l->cout, pdu, pdu_size (pdu));
}

static struct answer *
new_answer (const uint8_t *pdu, bool from_target, int64_t due)
{
  struct answer *a = malloc (sizeof *a);
  size_t n = pdu_size (pdu);

  if (a == NULL || (a->pdu = malloc (n)) == NULL)
    die ("out of memory");
  memcpy (a->pdu, pdu, n);
  a->from_target = from_target;
  a->due = due;
  a->next = NULL;
  return a;
}

/* The end of a SCSI command. */
static bool
is_final (const uint8_t *pdu)
{
  return pdu_opcode (pdu) == OP_SCSI_RESPONSE ||
    (pdu_opcode (pdu) == OP_DATA_IN && pdu[BHS_FLAGS] & FLAG_STATUS);
}

/* Through the rules that lose, delay and reorder answers.  cdb0 is the opcode
 * of the command that is answered, -1 if it is another kind of PDU. */
static void
answer (struct link *l, uint8_t *pdu, bool from_target, int cdb0)
{
  struct rules *r = &l->portal->rules;
  int64_t now = now_ms (), due = now;
  struct answer *a;

  if (r->drop_t2c) {
    l->portal->stats.dropped++;
    if (from_target && has_status (pdu))
      note_sent (l, get32 (pdu + BHS_STATSN), 0, false);
    return;
  }
  if (is_final (pdu) && r->slow_ms) {
    l->slow_due = (l->slow_due > now ? l->slow_due : now) + r->slow_ms;
    due = l->slow_due;
  }
  if (r->delay_ms && l->full_feature &&
      (!r->delay_filtered ||
       (cdb0 != -1 && cdb_filter_match (&r->delay_filter, (uint8_t) cdb0))) &&
      due < now + r->delay_ms && random () % 1000 < r->delay_permille)
    due = now + r->delay_ms;
  /* Never before what was said of the same task. */
  for (a = l->delayed; a != NULL; a = a->next)
    if (a->due > due &&
        get32 (a->pdu + BHS_ITT) == get32 (pdu + BHS_ITT))
      due = a->due;
  if (r->reorder && due == now && is_final (pdu)) {
    a = new_answer (pdu, from_target, now);
    a->next = l->batch;
    l->batch = a;
    if (l->n_batch++ == 0)
      l->batch_due = now + r->reorder_ms;
  }
  else if (due > now) {
    struct answer **p = &l->delayed;

    a = new_answer (pdu, from_target, due);
    while (*p != NULL && (*p)->due <= due)
      p = &(*p)->next;
    a->next = *p;
    *p = a;
  }
  else
    to_client (l, pdu, from_target);
}

int64_t
send_due (struct link *l, int64_t now)
{
  const struct rules *r = &l->portal->rules;
  struct answer *a;

  if (l->batch != NULL &&
      (l->n_batch >= r->reorder || l->batch_due <= now || l->target_eof)) {
    if (l->n_batch > 1)
      l->portal->stats.reordered += l->n_batch;
    while ((a = l->batch) != NULL) {
      l->batch = a->next;
      to_client (l, a->pdu, a->from_target);
      free (a->pdu);
      free (a);
    }
    l->n_batch = 0;
  }
  while ((a = l->delayed) != NULL && a->due <= now) {
    l->delayed = a->next;
    to_client (l, a->pdu, a->from_target);
    free (a->pdu);
    free (a);
  }
  now = l->delayed ? l->delayed->due : INT64_MAX;
  return l->batch && l->batch_due < now ? l->batch_due : now;
}

void
forget_answers (struct link *l)
{
  struct answer *a;

  while ((a = l->delayed ? l->delayed : l->batch) != NULL) {
    if (l->delayed)
      l->delayed = a->next;
    else
      l->batch = a->next;
    free (a->pdu);
    free (a);
  }
  l->n_batch = 0;
}

/* --- answers of our own ------------------------------------------------ */

static void
own_bhs (struct link *l, uint8_t *pdu, uint8_t opcode, uint32_t itt)
{
  memset (pdu, 0, BHS_SIZE);
  pdu[0] = opcode;
  pdu[BHS_FLAGS] = FLAG_FINAL;
  put32 (pdu + BHS_ITT, itt);
  put32 (pdu + BHS_EXPCMDSN, l->exp_cmdsn);
  put32 (pdu + BHS_MAXCMDSN, l->max_cmdsn);
}

void
send_async (struct link *l, uint8_t event, uint8_t key, uint8_t asc,
            uint8_t ascq)
{
  uint8_t pdu[BHS_SIZE + 2 + SENSE_SIZE + 4] = { 0 };

  own_bhs (l, pdu, OP_ASYNC, NO_TAG);
  pdu[36] = event;              /* RFC 7143 11.9.1 */
  switch (event) {
  case 0:
    put24 (pdu + BHS_DATA_LENGTH, 2 + SENSE_SIZE);
    put16 (pdu + BHS_SIZE, SENSE_SIZE);
    sense_build (pdu + BHS_SIZE + 2, key, asc, ascq);
    break;
  case 1:
    put16 (pdu + 42, 3);        /* Parameter3: log out within 3 s */
    break;
  case 2: case 3:
    put16 (pdu + 40, 1);        /* Time2Wait and Time2Retain, s */
    put16 (pdu + 42, 1);
    break;
  case 4:
    put16 (pdu + 42, 3);
    break;
  }
  to_client (l, pdu, false);
  if (event == 2 || event == 3)
    l->close_client = true;
}

static bool
inject (struct link *l, const uint8_t *in)
{
  struct rules *r = &l->portal->rules;
  struct inject *j;
  uint8_t pdu[BHS_SIZE + 2 + SENSE_SIZE + 4] = { 0 };
  uint32_t edtl = get32 (in + BHS_EDTL);
  int i;

  for (i = 0; i < r->n_inject; i++)
    if (cdb_filter_match (&r->inject[i].filter, in[BHS_CDB]))
      break;
  if (i == r->n_inject)
    return false;
  j = &r->inject[i];

  l->portal->stats.injected++;
  if (!(in[0] & FLAG_IMMEDIATE))
    l->cmd_shift++;
  /* Unsolicited Data-Out follows, RFC 7143 11.3.1: swallow it. */
  if (in[BHS_FLAGS] & FLAG_WRITE && !(in[BHS_FLAGS] & FLAG_FINAL))
    add_task (l, in)->swallow = true;

  own_bhs (l, pdu, OP_SCSI_RESPONSE, get32 (in + BHS_ITT));
  pdu[3] = j->status;
  if (edtl > 0) {
    pdu[BHS_FLAGS] |= FLAG_UNDERFLOW;
    put32 (pdu + BHS_RESIDUAL, edtl);
  }
  if (j->status == 0x02) {      /* CHECK CONDITION */
    put24 (pdu + BHS_DATA_LENGTH, 2 + SENSE_SIZE);
    put16 (pdu + BHS_SIZE, SENSE_SIZE);
    sense_build (pdu + BHS_SIZE + 2, j->key, j->asc, j->ascq);
  }
  if (j->count > 0 && --j->count == 0)
    memmove (j, j + 1, (size_t) (--r->n_inject - i) * sizeof *j);
  answer (l, pdu, false, in[BHS_CDB]);
  return true;
}

/* --- texts ------------------------------------------------------------- */

/* Rewrites the text of a PDU with change (), which appends the new pair;
 * returns a malloced PDU. */
static uint8_t *
rewrite_text (const uint8_t *pdu,
              void (*change) (struct bytes *out, const char *pair, size_t n))
{
  const char *text = (const char *) pdu + pdu_header_size (pdu), *k;
  size_t n, length = pdu_data_length (pdu), header = pdu_header_size (pdu);
  struct bytes out = { 0 };
  uint8_t *new;

  for (k = NULL; (k = text_next (text, length, k, &n)) != NULL; )
    change (&out, k, n);
  /* The last pair of a PDU with the C bit may go on in the next one. */
  if (length > 0 && text[length - 1] != '\0' && bytes_length (&out) > 0)
    out.end--;
  new = calloc (1, header + bytes_length (&out) + 4);
  if (new == NULL)
    die ("out of memory");
  memcpy (new, pdu, header);
  if (bytes_length (&out))
    memcpy (new + header, bytes_front (&out), bytes_length (&out));
  put24 (new + BHS_DATA_LENGTH, (uint32_t) bytes_length (&out));
  bytes_free (&out);
  return new;
}

static bool
is_key (const char *pair, size_t n, const char *key)
{
  size_t m = strlen (key);

  return n > m && memcmp (pair, key, m) == 0 && pair[m] == '=';
}

/* We look into every PDU, so there can be no digests. */
static void
without_digests (struct bytes *out, const char *pair, size_t n)
{
  if (is_key (pair, n, "HeaderDigest"))
    text_add (out, "HeaderDigest", "None");
  else if (is_key (pair, n, "DataDigest"))
    text_add (out, "DataDigest", "None");
  else {
    bytes_append (out, pair, n);
    bytes_append (out, "", 1);
  }
}

bool hide_group;

/* TargetAddress=address[,tpgt] */
static void
mapped_address (struct bytes *out, const char *pair, size_t n)
{
  static const char key[] = "TargetAddress=";
  char *value, *comma;
  const char *to;

  if (hide_group && is_key (pair, n, "TargetPortalGroupTag"))
    return;
  if (is_key (pair, n, "TargetAddress")) {
    value = strndup (pair + sizeof key - 1, n - (sizeof key - 1));
    if (value == NULL)
      die ("out of memory");
    comma = strchr (value, ',');
    if (comma)
      *comma = '\0';
    to = map_address (value);
    bytes_append (out, key, sizeof key - 1);
    bytes_append (out, to ? to : value, strlen (to ? to : value));
    if (comma) {
      *comma = ',';
      bytes_append (out, comma, strlen (comma));
    }
    bytes_append (out, "", 1);
    free (value);
  }
  else {
    bytes_append (out, pair, n);
    bytes_append (out, "", 1);
  }
}

/* Login response 0101h, "target moved temporarily", RFC 7143 11.13.5. */
static bool
redirect (struct link *l, const uint8_t *in)
{
  struct rules *r = &l->portal->rules;
  uint8_t pdu[BHS_SIZE + 128] = { 0 };
  int n;

  if (r->redirect[0] == '\0' || l->discovery || l->full_feature)
    return false;
  own_bhs (l, pdu, OP_LOGIN_RESPONSE, get32 (in + BHS_ITT));
  pdu[BHS_FLAGS] = in[BHS_FLAGS] & 0x0c; /* its CSG; T = 0 */
  memcpy (pdu + 8, in + 8, 8);  /* ISID, TSIH */
  if (!l->statsn_known) {
    l->statsn_known = true;
    l->client_statsn = get32 (in + BHS_EXPSTATSN);
  }
  put32 (pdu + BHS_EXPCMDSN, get32 (in + BHS_CMDSN));
  put32 (pdu + BHS_MAXCMDSN, get32 (in + BHS_CMDSN));
  pdu[36] = 1;
  pdu[37] = 1;
  n = snprintf ((char *) pdu + BHS_SIZE, 128, "TargetAddress=%s", r->redirect);
  put24 (pdu + BHS_DATA_LENGTH, (uint32_t) n + 1);
  if (r->redirect_count > 0 && --r->redirect_count == 0)
    r->redirect[0] = '\0';
  to_client (l, pdu, false);
  l->close_client = true;
  return true;
}

static uint32_t
text_number (const uint8_t *pdu, const char *key, uint32_t otherwise)
{
  char *v = text_get ((const char *) pdu + pdu_header_size (pdu),
                      pdu_data_length (pdu), key);
  unsigned long n = v ? strtoul (v, NULL, 0) : 0;

  free (v);
  return n >= 512 && n <= 0xffffff ? (uint32_t) n : otherwise;
}

/* --- from the client --------------------------------------------------- */

void
to_target (struct link *l, const uint8_t *pdu)
{
  bytes_append (&l->tout, pdu, pdu_size (pdu));
}

/* Everything but Data-Out and SNACK has one. */
static bool
has_cmdsn (const uint8_t *pdu)
{
  return pdu_opcode (pdu) != OP_DATA_OUT && pdu_opcode (pdu) != OP_SNACK;
}

static void
forward_to_target (struct link *l, uint8_t *pdu)
{
  if (has_cmdsn (pdu)) {
    put32 (pdu + BHS_CMDSN, get32 (pdu + BHS_CMDSN) - l->cmd_shift);
    if (pdu_opcode (pdu) == OP_TMF_REQUEST) /* RefCmdSN */
      put32 (pdu + 32, get32 (pdu + 32) - l->cmd_shift);
  }
  if (l->statsn_known)
    put32 (pdu + BHS_EXPSTATSN, expstatsn_for_target (l));
  to_target (l, pdu);
}

static void
login_from_client (struct link *l, uint8_t *pdu)
{
  char *type = text_get ((const char *) pdu_data (pdu), pdu_data_length (pdu),
                         "SessionType");
  uint8_t *new;

  if (type != NULL && strcmp (type, "Discovery") == 0)
    l->discovery = true;
  free (type);
  if (redirect (l, pdu))
    return;
  new = rewrite_text (pdu, without_digests);
  forward_to_target (l, new);
  free (new);
}

static void
command_from_client (struct link *l, uint8_t *pdu)
{
  struct rules *r = &l->portal->rules;
  struct cdb_filter reads;
  struct task *t;

  l->portal->stats.scsi[pdu[BHS_CDB]]++;
  if (inject (l, pdu) || hold_command (l, pdu))
    return;
  t = add_task (l, pdu);
  cdb_filter_parse ("read", &reads);
  if (r->short_count > 0 && cdb_filter_match (&reads, t->cdb[0]) &&
      t->edtl > 0) {
    r->short_count--;
    l->portal->stats.shortened++;
    t->short_bytes = r->short_bytes < t->edtl ? r->short_bytes : t->edtl;
    t->short_silent = r->short_silent;
  }
  forward_to_target (l, pdu);
}

void
from_client (struct link *l, uint8_t *pdu)
{
  struct portal *p = l->portal;
  uint8_t op = pdu_opcode (pdu);
  struct task *t;

  p->stats.c2t_pdus[op]++;
  if (has_cmdsn (pdu)) {
    uint32_t sn = get32 (pdu + BHS_CMDSN);

    if (!l->cmdsn_known) {
      l->cmdsn_known = true;
      l->next_cmdsn = l->exp_cmdsn = l->max_cmdsn = sn;
    }
    if (!(pdu[0] & FLAG_IMMEDIATE) && !sn_before (sn, l->next_cmdsn))
      l->next_cmdsn = sn + 1;
  }
  if (l->statsn_known)
    client_acknowledges (l, get32 (pdu + BHS_EXPSTATSN));

  if (p->rules.drop_c2t) {
    p->stats.dropped++;
    if (has_cmdsn (pdu) && !(pdu[0] & FLAG_IMMEDIATE))
      l->cmd_shift++;           /* what comes later is no gap */
    return;
  }
  switch (op) {
  case OP_LOGIN_REQUEST:
    login_from_client (l, pdu);
    break;
  case OP_SCSI_COMMAND:
    command_from_client (l, pdu);
    break;
  case OP_DATA_OUT:
    t = find_task (l, get32 (pdu + BHS_ITT));
    if (t != NULL && t->swallow) {
      if (pdu[BHS_FLAGS] & FLAG_FINAL)
        remove_task (l, t->itt);
      break;
    }
    if (!hold_data_out (l, pdu))
      forward_to_target (l, pdu);
    break;
  default:
    forward_to_target (l, pdu);
  }
}

/* --- from the target --------------------------------------------------- */

/* Another identity: the end of each designator of the logical unit becomes
 * SUFFIX (in hex digits where the designator is ASCII). */
static void
change_wwid (const struct rules *r, uint8_t *page, size_t n)
{
  size_t end, i, k;

  if (n < 4 || page[1] != 0x83)
    return;
  end = 4 + (size_t) get16 (page + 2);
  if (end > n)
    end = n;
  for (i = 4; i + 4 <= end && i + 4 + page[i + 3] <= end;
       i += 4 + (size_t) page[i + 3]) {
    uint8_t *id = page + i + 4;
    size_t length = page[i + 3];

    if (page[i + 1] & 0x30)     /* association: not the logical unit */
      continue;
    if ((page[i] & 0x0f) >= 2) { /* ASCII or UTF-8 */
      char hex[2 * sizeof r->wwid + 1];

      for (k = 0; k < r->wwid_length; k++)
        sprintf (hex + 2 * k, "%02x", r->wwid[k]);
      k = strlen (hex) < length ? strlen (hex) : length;
      memcpy (id + length - k, hex + strlen (hex) - k, k);
    }
    else {
      /* The first byte of a binary one says what kind it is. */
      size_t room = length > 0 ? length - 1 : 0;

      k = r->wwid_length < room ? r->wwid_length : room;
      memcpy (id + length - k, r->wwid + r->wwid_length - k, k);
    }
  }
}

static void
change_capacity (const struct rules *r, const uint8_t *cdb, uint8_t *data,
                 size_t n)
{
  uint64_t last = r->capacity - 1;

  if (cdb[0] == 0x25 && n >= 4)
    put32 (data, last > 0xffffffff ? 0xffffffff : (uint32_t) last);
  else if (cdb[0] == 0x9e && (cdb[1] & 0x1f) == 0x10 && n >= 8)
    put64 (data, last);
}

/* Data-In; false: nothing of it is left to send. */
static bool
data_from_target (struct link *l, uint8_t *pdu, const struct task *t)
{
  struct rules *r = &l->portal->rules;
  uint8_t *data = pdu_data (pdu);
  uint32_t n = pdu_data_length (pdu), offset = get32 (pdu + BHS_OFFSET);

  if (offset == 0 && r->wwid_length && t->cdb[0] == 0x12 && t->cdb[1] & 1)
    change_wwid (r, data, n);
  if (offset == 0 && r->capacity_on)
    change_capacity (r, t->cdb, data, n);
  if (r->corrupt > 0 && n > 0) {
    struct cdb_filter reads;

    cdb_filter_parse ("read", &reads);
    if (cdb_filter_match (&reads, t->cdb[0])) {
      r->corrupt--;
      l->portal->stats.corrupted++;
      for (uint32_t i = n / 2; i < n && i < n / 2 + 16; i++)
        data[i] ^= 0xa5;
    }
  }
  if (t->short_bytes) {
    uint32_t limit = t->edtl - t->short_bytes;

    if (offset >= limit)
      n = 0;
    else if (n > limit - offset)
      n = limit - offset;
    memset (data + n, 0, (4 - n % 4) % 4);
    put24 (pdu + BHS_DATA_LENGTH, n);
    if (n == 0 && !(pdu[BHS_FLAGS] & FLAG_STATUS))
      return false;
  }
  return true;
}

/* NOP-In that wants an answer, and there is no client: we are it. */
static void
answer_ping (struct link *l, const uint8_t *in)
{
  uint8_t pdu[BHS_SIZE] = { 0 };

  if (get32 (in + BHS_TTT) == NO_TAG)
    return;
  pdu[0] = OP_NOP_OUT | FLAG_IMMEDIATE;
  pdu[BHS_FLAGS] = FLAG_FINAL;
  memcpy (pdu + BHS_LUN, in + BHS_LUN, 8);
  put32 (pdu + BHS_ITT, NO_TAG);
  memcpy (pdu + BHS_TTT, in + BHS_TTT, 4);
  put32 (pdu + BHS_CMDSN, l->next_cmdsn - l->cmd_shift);
  put32 (pdu + BHS_EXPSTATSN, expstatsn_for_target (l));
  to_target (l, pdu);
}

void
from_target (struct link *l, uint8_t *pdu)
{
  uint8_t op = pdu_opcode (pdu), *new;
  uint32_t itt = get32 (pdu + BHS_ITT);
  struct task *t = find_task (l, itt);
  int cdb0 = -1;

  l->portal->stats.t2c_pdus[op]++;
  /* Neither field means anything when a login was refused. */
  if (op != OP_LOGIN_RESPONSE || pdu[36] == 0) {
    note_target_statsn (l, pdu);
    l->exp_cmdsn = get32 (pdu + BHS_EXPCMDSN);
    l->max_cmdsn = get32 (pdu + BHS_MAXCMDSN);
  }
  if (op == OP_NOP_IN && l->cfd == -1)
    answer_ping (l, pdu);

  switch (op) {
  case OP_LOGIN_RESPONSE:
    l->target_mrdsl = text_number (pdu, "MaxRecvDataSegmentLength",
                                   l->target_mrdsl);
    l->max_burst = text_number (pdu, "MaxBurstLength", l->max_burst);
    if (pdu[36] == 0 && (pdu[BHS_FLAGS] & 0x83) == 0x83) /* T, NSG = 3 */
      l->full_feature = true;
    /* fall through */
  case OP_TEXT_RESPONSE:
    new = rewrite_text (pdu, mapped_address);
    answer (l, new, true, -1);
    free (new);
    return;
  case OP_R2T:
    if (hold_r2t (l, pdu))
      return;
    break;
  case OP_DATA_IN:
  case OP_SCSI_RESPONSE:
    if (t != NULL) {
      cdb0 = t->cdb[0];
      if (op == OP_DATA_IN && !data_from_target (l, pdu, t))
        return;
      if (is_final (pdu) && t->short_bytes && !t->short_silent &&
          !(pdu[BHS_FLAGS] & (FLAG_UNDERFLOW | FLAG_OVERFLOW))) {
        pdu[BHS_FLAGS] |= FLAG_UNDERFLOW;
        put32 (pdu + BHS_RESIDUAL, t->short_bytes);
      }
    }
    if (is_final (pdu)) {
      remove_task (l, itt);
      if (is_held (l, itt)) {
        cdb0 = 0x2a;
        hold_answered (l, itt, pdu[2] == 0 ? pdu[3] : -1);
      }
    }
    break;
  }
  answer (l, pdu, true, cdb0);
}
