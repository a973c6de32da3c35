/* SPDX-License-Identifier: BSD-3-Clause */
/* The full feature phase (ffp.h) against a strict target (pdu-target.h), and
 * against what a target must not do. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "iscsi/crc32c.h"
#include "pdu-target.h"

#define MAX_TASKS 64
#define MAX_BYTES (96 * 1024)
#define BAD "the target breaks the protocol: "

/* ---- a session and its target ---------------------------------------------------- */

struct op {
  struct ffp_task t;
  bool busy;
  unsigned number;
  uint32_t answered;            /* bytes that the target sent of a read */
  uint8_t status;
  bool aborted;
  unsigned dones;
  uint8_t *buf;                 /* MAX_BYTES */
};

struct world {
  struct ffp *f;
  struct pt *t;
  struct op op[MAX_TASKS];
  struct pt_command *waits[MAX_TASKS];
  unsigned nr_waits, done, pongs, tmfs, messages, executed;
  uint8_t tmf_response;
  uint8_t tmf_answer;
  bool logged_out, redirected;
  char *text;
  size_t text_size;
  struct ffp_answer last;
  uint8_t sense[300];
  /* For the next pt_text's. */
  uint32_t text_itt;
  unsigned text_requests;
  size_t chunk_in, chunk_out;   /* bytes at a time; 0 all */
  unsigned random;
};

static unsigned
lot (struct world *w, unsigned n)
{
  w->random = w->random * 1664525 + 1013904223;
  return (w->random >> 8) % n;
}

static uint8_t
pattern (unsigned number, uint32_t at)
{
  return (uint8_t) (number * 31 + at * 7 + (at >> 8) * 13 + (at >> 16));
}

static void
done (void *opaque, struct ffp_task *t, const struct ffp_answer *a)
{
  struct world *w = opaque;
  struct op *op = container_of (t, struct op, t);

  assert_true (op->busy);
  op->busy = false;
  op->status = a->status;
  op->aborted = a->aborted;
  op->dones++;
  w->done++;
  w->last = *a;
  if (a->sense_size > 0)
    memcpy (w->sense, a->sense, a->sense_size < 300 ? a->sense_size : 300);
  if (a->aborted || t->direction != FFP_READ || w->redirected)
    return;
  /* Whatever counts as arrived is what the target sent. */
  assert_true (a->arrived <= t->bytes);
  for (uint32_t i = 0; i < a->arrived; i++)
    if (op->buf[i] != pattern (op->number, i))
      fail_msg ("read %u: byte %u of %u is wrong", op->number, i, a->arrived);
  if (op->answered != UINT32_MAX)
    assert_int_equal (a->arrived, op->answered);
}

static void
pong (void *opaque)
{
  ((struct world *) opaque)->pongs++;
}

static void
tmf_done (void *opaque, struct ffp_task *t, uint8_t response)
{
  struct world *w = opaque;

  (void) t;
  w->tmfs++;
  w->tmf_response = response;
}

static void
text_done (void *opaque, const char *text, size_t size)
{
  struct world *w = opaque;

  free (w->text);
  w->text = malloc (size + 1);
  memcpy (w->text, text, size);
  w->text_size = size;
}

static void
logged_out (void *opaque, uint8_t response)
{
  assert_int_equal (response, 0);
  ((struct world *) opaque)->logged_out = true;
}

static void
message (void *opaque, uint8_t event, const uint8_t *sense, size_t size)
{
  (void) event;
  (void) sense;
  (void) size;
  ((struct world *) opaque)->messages++;
}

static const struct ffp_ops ops = {
  done, pong, tmf_done, text_done, logged_out, message,
};

/* The target's side. */
static void
on_command (void *opaque, struct pt_command *c)
{
  struct world *w = opaque;

  assert_true (w->nr_waits < MAX_TASKS);
  w->waits[w->nr_waits++] = c;
}

static void
on_tmf (void *opaque, uint32_t itt, uint8_t function, uint16_t lun,
        uint32_t ref)
{
  struct world *w = opaque;
  struct list *l, *next;

  list_for_each (l, next, &w->t->commands) {
    struct pt_command *c = list_entry (l, struct pt_command, node);

    if (w->tmf_answer != 0 ||
        (function == PDU_ABORT_TASK ? c->itt != ref : c->lun != lun))
      continue;
    for (unsigned i = 0; i < w->nr_waits; i++)
      if (w->waits[i] == c)
        w->waits[i--] = w->waits[--w->nr_waits];
    pt_forget (w->t, c);
  }
  pt_tmf_answer (w->t, itt, w->tmf_answer);
}

static void
on_nop (void *opaque, uint32_t itt)
{
  pt_nop_answer (((struct world *) opaque)->t, itt);
}

static void
on_text (void *opaque, uint32_t itt, const char *text, size_t size)
{
  struct world *w = opaque;

  w->text_itt = itt;
  if (w->text_requests++ == 0) {
    assert_int_equal (size, 15);
    assert_memory_equal (text, "SendTargets=All", 15);
  }
  else
    assert_int_equal (size, 0);
}

static void
on_logout (void *opaque, uint32_t itt)
{
  pt_logout_answer (((struct world *) opaque)->t, itt);
}

static const struct pt_ops pt_ops = {
  on_command, on_tmf, on_nop, on_text, on_logout,
};

static struct pt_params
usual (void)
{
  return (struct pt_params) {
    .keys = {
      .initial_r2t = true, .immediate_data = true, .pdu_in_order = true,
      .sequence_in_order = true, .our_segment = 262144, .their_segment = 8192,
      .first_burst = 65536, .max_burst = 262144, .max_r2t = 1,
    },
    .window = 32, .r2t_size = 1 << 24, .data_in_size = 1 << 24,
  };
}

static struct world *
world_new (const struct pt_params *p, uint32_t cmdsn)
{
  struct world *w = calloc (1, sizeof *w);
  struct ffp_start start = {
    .keys = p->keys, .cmdsn = cmdsn, .exp_statsn = 77,
    .tasks = MAX_TASKS,
  };

  w->t = pt_new (p, &pt_ops, w, cmdsn, 77);
  start.max_cmdsn = pt_max_cmdsn (w->t);
  w->f = ffp_new (&start, &ops, w);
  assert_non_null (w->f);
  return w;
}

static void
world_free (struct world *w)
{
  ffp_free (w->f);
  pt_free (w->t);
  for (unsigned i = 0; i < MAX_TASKS; i++)
    free (w->op[i].buf);
  free (w->text);
  free (w);
}

/* One sendmsg (), of which N bytes are taken at most. */
static bool
carry_out (struct world *w, size_t max, int iovs)
{
  struct iovec iov[3 * 128];
  const int n = ffp_out (w->f, iov, iovs);
  size_t taken = 0;

  for (int i = 0; i < n && taken < max; i++) {
    const size_t k = iov[i].iov_len < max - taken ? iov[i].iov_len : max - taken;

    assert_true (k > 0);
    pt_input (w->t, iov[i].iov_base, k);
    taken += k;
  }
  ffp_sent (w->f, taken);
  return taken > 0;
}

/* One readv (). */
static bool
carry_in (struct world *w, size_t max)
{
  struct iovec iov[FFP_IN_IOV];
  size_t taken = 0;
  int n;

  if (w->t->out_size == 0 || ffp_over (w->f))
    return false;
  n = ffp_in (w->f, iov);
  assert_true (n >= 1 && n <= FFP_IN_IOV);
  for (int i = 0; i < n && taken < max; i++) {
    size_t k = iov[i].iov_len < max - taken ? iov[i].iov_len : max - taken;

    assert_true (iov[i].iov_len > 0);
    if (k > w->t->out_size - taken)
      k = w->t->out_size - taken;
    memcpy (iov[i].iov_base, w->t->out + taken, k);
    taken += k;
  }
  memmove (w->t->out, w->t->out + taken, w->t->out_size - taken);
  w->t->out_size -= taken;
  ffp_received (w->f, taken);
  return taken > 0;
}

/* Until nothing moves. */
static void
carry (struct world *w)
{
  bool more;

  do {
    more = false;
    while (carry_out (w, w->chunk_out ? w->chunk_out : SIZE_MAX, 3 * 128))
      more = true;
    while (carry_in (w, w->chunk_in ? w->chunk_in : SIZE_MAX))
      more = true;
  } while (more);
}

static struct op *
submit (struct world *w, unsigned i, enum ffp_direction direction,
        uint32_t bytes)
{
  struct op *op = &w->op[i];

  assert_false (op->busy);
  op->busy = true;
  if (op->buf == NULL)
    op->buf = malloc (MAX_BYTES);
  op->number++;
  op->answered = UINT32_MAX;
  op->t.direction = direction;
  op->t.bytes = bytes;
  op->t.buf = op->buf;
  op->t.whole = direction == FFP_WRITE;
  op->t.lun = (uint16_t) (1 + i % 2);
  memset (op->t.cdb, 0, 16);
  op->t.cdb[0] = direction == FFP_WRITE ? 0x2a : 0x28;
  op->t.cdb[1] = (uint8_t) i;
  if (direction == FFP_WRITE)
    for (uint32_t k = 0; k < bytes; k++)
      op->buf[k] = pattern (op->number, k);
  else
    memset (op->buf, 0xdb, bytes);
  ffp_submit (w->f, &op->t);
  return op;
}

/* The target executes one of those that it has: bytes N of a read. */
static void
execute (struct world *w, unsigned k, uint32_t n, uint8_t status,
         const uint8_t *sense, size_t sense_size)
{
  struct pt_command *c = w->waits[k];
  struct op *op = &w->op[c->cdb[1]];
  static uint8_t data[MAX_BYTES];

  w->waits[k] = w->waits[--w->nr_waits];
  assert_true (op->busy);
  if (n > c->edtl)
    n = c->edtl;
  w->executed++;
  if (c->write)
    for (uint32_t i = 0; i < c->edtl; i++)
      if (c->data[i] != pattern (op->number, i))
        fail_msg ("write: byte %u of %u is wrong", i, c->edtl);
  if (c->read) {
    for (uint32_t i = 0; i < n; i++)
      data[i] = pattern (op->number, i);
    op->answered = n;
  }
  pt_answer (w->t, c, status, sense, sense_size, data, c->read ? n : 0);
}

/* ---- all legal parameters -------------------------------------------------------- */

static uint32_t
some_length (struct world *w, uint32_t max)
{
  static const uint32_t some[] = { 512, 513, 1000, 1024, 4096, 4097, 8192,
                                   65536, 262144, 0xffffff };
  const uint32_t n = lot (w, 3) ? some[lot (w, 10)] : 512 + lot (w, 70000);

  return n < max ? n : max;
}

static struct pt_params
any_legal (struct world *r)
{
  struct pt_params p = { .window = lot (r, 3) ? 1 + lot (r, 64) : 1 + lot (r, 200) };

  p.keys.header_digest = lot (r, 2);
  p.keys.data_digest = lot (r, 2);
  p.keys.initial_r2t = lot (r, 2);
  p.keys.immediate_data = lot (r, 2);
  p.keys.pdu_in_order = lot (r, 3);
  p.keys.sequence_in_order = lot (r, 3);
  p.keys.our_segment = some_length (r, 262144);
  p.keys.their_segment = some_length (r, 0xffffff);
  p.keys.max_burst = some_length (r, 0xffffff);
  p.keys.first_burst = some_length (r, p.keys.max_burst);
  p.keys.max_r2t = 1 + lot (r, 8);
  p.r2t_size = some_length (r, 0xffffff);
  p.data_in_size = some_length (r, 0xffffff);
  p.status_in_data = lot (r, 2);
  p.shuffle = lot (r, 2);
  return p;
}

static size_t
some_bytes (struct world *w)
{
  switch (lot (w, 4)) {
  case 0: return 1 + lot (w, 60);
  case 1: return 1 + lot (w, 5000);
  default: return 1 + lot (w, 300000);
  }
}

static void
play (unsigned seed)
{
  static const uint8_t sense[18] = { 0x70, 0, 6, [7] = 10, [12] = 0x29 };
  struct world dice = { .random = seed };
  const struct pt_params p = any_legal (&dice);
  struct world *w = world_new (&p, lot (&dice, 3) ? lot (&dice, 1000)
                               : 0xffffffe0 + lot (&dice, 32));
  unsigned started = 0, pings = 0, todo = 40 + lot (&dice, 60);
  bool attention = true;

  w->random = seed * 7 + 1;
  for (unsigned rounds = 0; w->done < todo || pings > w->pongs; rounds++) {
    const unsigned i = lot (w, MAX_TASKS);

    if (rounds > 1000000)
      fail_msg ("seed %u: it stands still", seed);
    switch (lot (w, 8)) {
    case 0: case 1:
      if (started < todo && !w->op[i].busy) {
        static const enum ffp_direction some[] = {
          FFP_READ, FFP_WRITE, FFP_WRITE, FFP_NONE };
        const enum ffp_direction d = some[lot (w, 4)];

        started++;
        submit (w, i, d, d == FFP_NONE ? 0 : some_length (w, MAX_BYTES));
      }
      break;
    case 2: case 3: carry_out (w, some_bytes (w), 3 + (int) lot (w, 380)); break;
    case 4: case 5: carry_in (w, some_bytes (w)); break;
    case 6:
      if (w->nr_waits > 0 && attention && lot (w, 2)) {
        attention = false;      /* after login, as a target may */
        execute (w, lot (w, w->nr_waits), 0, 2, sense, sizeof sense);
      }
      else if (w->nr_waits > 0)
        execute (w, lot (w, w->nr_waits), lot (w, 10) ? UINT32_MAX
                 : lot (w, 3000), 0, NULL, 0);
      break;
    case 7:
      if (!lot (w, 20) && pings < 5 && pings == w->pongs && ffp_ping (w->f))
        pings++;
      if (!lot (w, 20))
        pt_ping (w->t);
      w->t->window_open = lot (w, 10) != 0;
      break;
    }
    if (ffp_over (w->f))
      fail_msg ("seed %u: %s", seed, ffp_why (w->f));
  }
  carry (w);
  assert_int_equal (w->t->pings, w->t->pongs);
  for (unsigned i = 0; i < MAX_TASKS; i++)
    assert_false (w->op[i].busy);
  world_free (w);
}

static void
test_all_legal_parameters (void **state)
{
  const char *from = getenv ("SEED");
  const unsigned n = getenv ("SEEDS") ? (unsigned) atoi (getenv ("SEEDS")) : 100;

  (void) state;
  for (unsigned seed = 0; seed < n; seed++)
    play (seed + (from ? (unsigned) atoi (from) : 0));
}

/* ---- byte by byte, and all at once -------------------------------------------------- */

static void
scenario (struct world *w)
{
  static const uint8_t sense[18] = { 0x70, 0, 3, [7] = 10, [12] = 0x11 };

  submit (w, 0, FFP_READ, 4096);
  submit (w, 1, FFP_WRITE, 70001);
  submit (w, 2, FFP_READ, 40001);
  submit (w, 3, FFP_NONE, 0);
  submit (w, 4, FFP_READ, 512);
  assert_true (ffp_ping (w->f));
  carry (w);
  pt_ping (w->t);
  carry (w);
  assert_int_equal (w->nr_waits, 5);
  while (w->nr_waits > 1)
    execute (w, w->nr_waits - 1, UINT32_MAX, 0, NULL, 0);
  execute (w, 0, 0, 2, sense, sizeof sense);
  pt_async (w->t, 0, "\xff\xff\0\0", 4);
  carry (w);
  assert_int_equal (w->done, 5);
  assert_int_equal (w->op[0].status, 2);
  assert_int_equal (w->last.sense_size, 20);
  assert_memory_equal (w->sense + 2, sense, 18);
  assert_int_equal (w->pongs, 1);
  assert_int_equal (w->t->pongs, 1);
  assert_int_equal (w->messages, 1);
  assert_true (ffp_logout (w->f));
  carry (w);
  assert_true (w->logged_out);
  assert_int_equal (ffp_over (w->f), FFP_ALIVE);
}

static void
test_chunks (void **state)
{
  static const size_t chunks[] = { 0, 1, 2, 3, 47, 48, 49, 52, 53, 1000 };

  (void) state;
  for (unsigned k = 0; k < 32; k++)
    for (unsigned i = 0; i < 10; i++) {
      struct pt_params p = usual ();
      struct world *w;

      p.keys.header_digest = k & 1;
      p.keys.data_digest = k & 2;
      p.keys.initial_r2t = k & 4;
      p.keys.immediate_data = k & 8;
      p.status_in_data = k & 16;
      w = world_new (&p, 0xfffffffe);
      w->chunk_in = chunks[i];
      w->chunk_out = chunks[9 - i];
      scenario (w);
      world_free (w);
    }
}

/* ---- what a target must not do ------------------------------------------------------- */

enum field { END, FLAGS, STATUS, RESPONSE, ITT, TTT, SN, OFFSET, LENGTH, AHS,
             EVENT };

struct evil {
  const char *why;              /* NULL: nothing happens */
  uint8_t opcode;
  int of;                       /* ITT of: 0 the read, 1 the write, 2 the ping,
                                   3 a task that is not sent, -1 nobody */
  uint32_t data;                /* bytes */
  struct { enum field field; uint32_t value; } set[4];
  enum ffp_end end;
};

static const struct evil evils[] = {
  { BAD "Data-In for what is not a read", PDU_DATA_IN, 1, 512, { { 0, 0 } }, 0 },
  { BAD "Data-In for what is not a read", PDU_DATA_IN, 1, 0, { { FLAGS, 0x81 } }, 0 },
  { BAD "Data-In for what is not a read", PDU_DATA_IN, 2, 512, { { 0, 0 } }, 0 },
  { BAD "Data-In for what is not a read", PDU_DATA_IN, 3, 512, { { 0, 0 } }, 0 },
  { BAD "Data-In for what is not a read", PDU_DATA_IN, -1, 0, { { 0, 0 } }, 0 },
  { BAD "Data-In of 512 bytes at 4096 for a read of 4096", PDU_DATA_IN, 0, 512,
    { { OFFSET, 4096 } }, 0 },
  { BAD "Data-In of 512 bytes at 4294966784 for a read of 4096", PDU_DATA_IN, 0,
    512, { { OFFSET, 0xfffffe00 } }, 0 },
  { BAD "Data-In of 4097 bytes at 0 for a read of 4096", PDU_DATA_IN, 0, 4097,
    { { 0, 0 } }, 0 },
  { BAD "Data-In at 512, when 0 was next", PDU_DATA_IN, 0, 512,
    { { OFFSET, 512 } }, 0 },
  { BAD "Data-In with DataSN 7, when 0 was next", PDU_DATA_IN, 0, 512,
    { { SN, 7 } }, 0 },
  { BAD "Data-In with 262145 bytes of data, MaxRecvDataSegmentLength is 262144",
    PDU_DATA_IN, 0, 262145, { { 0, 0 } }, 0 },
  { BAD "Data-In with an additional header segment of 1020 bytes", PDU_DATA_IN,
    0, 512, { { AHS, 255 } }, 0 },
  { BAD "R2T for what is not a write", PDU_R2T, 0, 0, { { LENGTH, 512 } }, 0 },
  { BAD "R2T for what is not a write", PDU_R2T, 2, 0, { { LENGTH, 512 } }, 0 },
  { BAD "R2T for what is not a write", PDU_R2T, -1, 0, { { LENGTH, 512 } }, 0 },
  { BAD "R2T for 1 bytes at 65536 of a write of 65536", PDU_R2T, 1, 0,
    { { OFFSET, 65536 }, { LENGTH, 1 } }, 0 },
  { BAD "R2T for 4294963200 bytes at 8192 of a write of 65536", PDU_R2T, 1, 0,
    { { OFFSET, 8192 }, { LENGTH, 0xfffff000 } }, 0 },
  { BAD "R2T for data that was asked for before (512 bytes at 0)", PDU_R2T, 1, 0,
    { { LENGTH, 512 } }, 0 },
  { BAD "R2T with R2TSN 1, when 0 was next", PDU_R2T, 1, 0,
    { { OFFSET, 8192 }, { LENGTH, 512 }, { SN, 1 } }, 0 },
  { NULL, PDU_R2T, 1, 0, { { OFFSET, 8192 } }, 0 },
  { BAD "response 01h, target failure", PDU_SCSI_RESPONSE, 0, 0,
    { { RESPONSE, 1 } }, 0 },
  { BAD "a write of 65536 bytes was answered with GOOD after 8192",
    PDU_SCSI_RESPONSE, 1, 0, { { 0, 0 } }, 0 },
  { BAD "a PDU of type 23h in the full feature phase", PDU_LOGIN_RESPONSE, 0, 0,
    { { 0, 0 } }, 0 },
  { BAD "a PDU of type 2fh in the full feature phase", 0x2f, 0, 0, { { 0, 0 } }, 0 },
  { BAD "a PDU of type 01h", PDU_SCSI_COMMAND, 0, 0, { { 0, 0 } }, 0 },
  { BAD "Logout Response (00h) without a logout", PDU_LOGOUT_RESPONSE, 0, 0,
    { { 0, 0 } }, 0 },
  { NULL, PDU_SCSI_RESPONSE, -1, 0, { { 0, 0 } }, 0 },
  { NULL, PDU_SCSI_RESPONSE, 2, 0, { { 0, 0 } }, 0 },
  { NULL, PDU_TMF_RESPONSE, 0, 0, { { 0, 0 } }, 0 },
  { NULL, PDU_TEXT_RESPONSE, 0, 12, { { 0, 0 } }, 0 },
  { NULL, PDU_NOP_IN, 0, 4, { { 0, 0 } }, 0 },
  { NULL, PDU_ASYNC, -1, 4, { { EVENT, 0 } }, 0 },
  { NULL, PDU_ASYNC, -1, 0, { { EVENT, 255 } }, 0 },
  { "logout requested by the target (asynchronous message 1, within 0 s)",
    PDU_ASYNC, -1, 0, { { EVENT, 1 } }, FFP_END_LOGOUT_REQUESTED },
  { "the target drops the connection (asynchronous message 2)", PDU_ASYNC, -1, 0,
    { { EVENT, 2 } }, FFP_END_DROPPED },
  { "the target drops all connections of the session (asynchronous message 3)",
    PDU_ASYNC, -1, 0, { { EVENT, 3 } }, FFP_END_DROPPED },
  { "the target asks for another negotiation (asynchronous message 4)",
    PDU_ASYNC, -1, 0, { { EVENT, 4 } }, FFP_END_DROPPED },
  { "asynchronous message 119, which is unknown", PDU_ASYNC, -1, 0,
    { { EVENT, 119 } }, FFP_END_PROTOCOL },
  { "the target rejects a PDU of type ffh: protocol error (04h)", PDU_REJECT, -1,
    0, { { RESPONSE, 4 } }, FFP_END_REJECTED },
  { "the target rejects a PDU of type 00h: data (payload) digest error (02h)",
    PDU_REJECT, -1, 48, { { RESPONSE, 2 } }, FFP_END_REJECTED },
  { NULL, PDU_REJECT, -1, 48, { { RESPONSE, 6 } }, 0 },
};

static void
set_field (uint8_t *h, enum field field, uint32_t value)
{
  switch (field) {
  case FLAGS: h[PDU_AT_FLAGS] = (uint8_t) value; break;
  case STATUS: h[PDU_AT_STATUS] = (uint8_t) value; break;
  case RESPONSE: h[PDU_AT_RESPONSE] = (uint8_t) value; break;
  case AHS: h[PDU_AT_AHS] = (uint8_t) value; break;
  case EVENT: h[PDU_AT_ASYNC_EVENT] = (uint8_t) value; break;
  case ITT: put_be32 (&h[PDU_AT_ITT], value); break;
  case TTT: put_be32 (&h[PDU_AT_TTT], value); break;
  case SN: put_be32 (&h[PDU_AT_DATASN], value); break;
  case OFFSET: put_be32 (&h[PDU_AT_OFFSET], value); break;
  case LENGTH: put_be32 (&h[PDU_AT_R2T_LENGTH], value); break;
  case END: break;
  }
}

/* A read of 4096 and a write of 65536 are under way, and a ping is. */
static struct world *
busy_world (struct pt_params p)
{
  struct world *w;

  p.keys.max_burst = 65536;
  p.window = 2;
  w = world_new (&p, 1);
  submit (w, 0, FFP_READ, 4096);
  submit (w, 1, FFP_WRITE, 65536);
  submit (w, 2, FFP_READ, 4096);        /* no room in the window */
  assert_true (ffp_ping (w->f));
  while (carry_out (w, SIZE_MAX, 384))
    ;
  w->t->out_size = 0;                   /* its R2T is lost */
  assert_int_equal (w->op[1].t.sent, 8192);
  assert_true (ffp_is_waiting (w->f));
  return w;
}

static void
test_evil (void **state)
{
  static uint8_t data[300000];

  (void) state;
  for (size_t i = 0; i < sizeof evils / sizeof evils[0]; i++) {
    const struct evil *e = &evils[i];
    const enum ffp_end end = e->why == NULL ? FFP_ALIVE
      : e->end ? e->end : FFP_END_PROTOCOL;
    struct world *w = busy_world (usual ());
    uint8_t h[PDU_BHS] = { e->opcode, PDU_FINAL };
    uint32_t itt = 0xabcdef01;

    if (e->of == 0 || e->of == 1)
      itt = w->op[e->of].t.itt;
    else if (e->of == 2)        /* the ping had the first slot */
      itt = 1 << 12;
    else if (e->of == 3)
      itt = w->op[1].t.itt + 1;
    put_be32 (&h[PDU_AT_ITT], itt);
    for (unsigned k = 0; k < 4; k++)
      set_field (h, e->set[k].field, e->set[k].value);
    pt_send (w->t, h, data, e->data, true);
    while (carry_in (w, SIZE_MAX))
      ;
    if (ffp_over (w->f) != end)
      fail_msg ("evil %zu (%s): %s", i, e->why ? e->why : "harmless",
                ffp_over (w->f) ? ffp_why (w->f) : "is not over");
    if (e->why && strncmp (ffp_why (w->f), e->why, strlen (e->why)) != 0)
      fail_msg ("evil %zu: '%s' in place of '%s'", i, ffp_why (w->f), e->why);
    if (end != FFP_ALIVE) {
      struct iovec iov[6];

      assert_int_equal (w->done, 0);
      assert_int_equal (ffp_out (w->f, iov, 6), 0);
      assert_false (ffp_ping (w->f));
      assert_false (ffp_wants_out (w->f));
      assert_false (ffp_received (w->f, 0));
    }
    world_free (w);
  }
}

/* What came twice, or not at all, does not count as data. */
static void
test_holes (void **state)
{
  static uint8_t data[4096];
  struct pt_params p = usual ();

  (void) state;
  for (int order = 0; order < 2; order++)
    for (int what = 0; what < 4; what++) {
      struct world *w;
      uint8_t h[PDU_BHS] = { PDU_DATA_IN };
      const struct { uint32_t at, n; bool status; } parts[4][3] = {
        { { 0, 512, 0 }, { 1024, 512, 1 } },            /* hole */
        { { 0, 1024, 0 }, { 512, 1024, 1 } },           /* overlap */
        { { 512, 512, 0 }, { 0, 512, 1 } },             /* backwards */
        { { 0, 512, 0 }, { 0, 512, 1 } },               /* twice */
      };

      p.keys.pdu_in_order = order == 0;
      w = busy_world (p);
      put_be32 (&h[PDU_AT_ITT], w->op[0].t.itt);
      for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < parts[what][i].n; k++)
          data[k] = pattern (1, parts[what][i].at + k);
        h[PDU_AT_FLAGS] = parts[what][i].status ? 0x81 : 0;
        put_be32 (&h[PDU_AT_DATASN], i);
        put_be32 (&h[PDU_AT_OFFSET], parts[what][i].at);
        pt_send (w->t, h, data, parts[what][i].n, parts[what][i].status);
      }
      while (carry_in (w, SIZE_MAX))
        ;
      if (order == 1 && (what == 0 || what == 2)) {
        assert_int_equal (ffp_over (w->f), FFP_ALIVE);
        assert_int_equal (w->done, 1);
        assert_int_equal (w->last.arrived, what == 0 ? 512 : 1024);
      }
      else {
        assert_int_equal (ffp_over (w->f), FFP_END_PROTOCOL);
        assert_non_null (strstr (ffp_why (w->f), order == 0 ? "was next"
                                 : "came before"));
        assert_int_equal (w->done, 0);
      }
      world_free (w);
    }
}

/* What comes later goes elsewhere, wherever the first one stands. */
static void
test_redirect (void **state)
{
  static uint8_t other[40000];

  (void) state;
  for (size_t at = 0; at < 2 * 48 + 40000; at += at < 120 ? 1 : 3333)
    for (int digest = 0; digest < 2; digest++) {
      struct pt_params p = usual ();
      struct world *w;
      uint8_t before[40000];
      struct op *op;

      p.keys.data_digest = digest;
      p.data_in_size = 20000;
      w = world_new (&p, 1);
      op = submit (w, 0, FFP_READ, 40000);
      carry (w);
      execute (w, 0, UINT32_MAX, 0, NULL, 0);
      for (size_t left = at; left > 0; left--)
        assert_true (carry_in (w, 1));
      memcpy (before, op->buf, sizeof before);
      ffp_redirect (w->f, &op->t, other);
      w->redirected = true;     /* done () would look at the old one */
      carry (w);
      assert_int_equal (w->done, 1);
      assert_int_equal (w->last.arrived, 40000);
      assert_memory_equal (before, op->buf, sizeof before);
      world_free (w);
    }
}

/* A residual is believed by nobody for what came: RFC 7143 11.4.5. */
static void
test_residual_against_data (void **state)
{
  uint8_t h[PDU_BHS] = { PDU_DATA_IN, 0x83 }, data[74];
  struct world *w = busy_world (usual ());

  (void) state;
  for (uint32_t i = 0; i < sizeof data; i++)
    data[i] = pattern (1, i);
  put_be32 (&h[PDU_AT_ITT], w->op[0].t.itt);
  put_be32 (&h[PDU_AT_RESIDUAL], 74);
  pt_send (w->t, h, data, sizeof data, true);
  carry_in (w, SIZE_MAX);
  assert_int_equal (w->done, 1);
  assert_int_equal (w->last.arrived, 74);
  assert_true (w->last.underflow);
  assert_int_equal (w->last.residual, 74);
  world_free (w);
}

static void
test_r2t_too_many (void **state)
{
  uint8_t h[PDU_BHS] = { PDU_R2T, PDU_FINAL };
  struct pt_params p = usual ();

  (void) state;
  for (uint32_t most = 1; most <= FFP_R2TS; most++) {
    struct world *w;

    p.keys.max_r2t = most;
    w = busy_world (p);
    put_be32 (&h[PDU_AT_ITT], w->op[1].t.itt);
    for (uint32_t i = 0; i <= most; i++) {
      put_be32 (&h[PDU_AT_DATASN], i);
      put_be32 (&h[PDU_AT_OFFSET], 8192 + 512 * i);
      put_be32 (&h[PDU_AT_R2T_LENGTH], 512);
      pt_send (w->t, h, NULL, 0, false);
      carry_in (w, SIZE_MAX);
      assert_int_equal (ffp_over (w->f), i < most ? FFP_ALIVE : FFP_END_PROTOCOL);
    }
    world_free (w);
  }
}

static void
test_nop_flood (void **state)
{
  struct world *w = world_new (&(struct pt_params) { .keys = usual ().keys,
                                                     .window = 1 }, 5);

  (void) state;
  for (int i = 0; i < 1024; i++)
    pt_ping (w->t);
  carry (w);
  assert_int_equal (w->t->pongs, 1024);
  for (int i = 0; i < 1025; i++)
    pt_ping (w->t);
  while (carry_in (w, SIZE_MAX))
    ;
  assert_int_equal (ffp_over (w->f), FFP_END_PROTOCOL);
  assert_non_null (strstr (ffp_why (w->f), "a flood of NOP-In"));
  world_free (w);
}

/* ---- digests ---------------------------------------------------------------------------- */

static void
test_crc32c (void **state)
{
  static const struct { uint8_t first, step; uint8_t crc[4]; } vectors[] = {
    /* RFC 3720 B.4 */
    { 0, 0, { 0xaa, 0x36, 0x91, 0x8a } },
    { 0xff, 0, { 0x43, 0xab, 0xa8, 0x62 } },
    { 0, 1, { 0x4e, 0x79, 0xdd, 0x46 } },
    { 31, 0xff, { 0x5c, 0xdb, 0x3f, 0x11 } },
  };
  uint8_t data[1000], crc[4];

  (void) state;
  for (size_t i = 0; i < 4; i++) {
    for (unsigned k = 0; k < 32; k++)
      data[k] = (uint8_t) (vectors[i].first + k * vectors[i].step);
    crc32c_put (crc, crc32c_update (CRC32C_START, data, 32));
    assert_memory_equal (crc, vectors[i].crc, 4);
    crc32c_put (crc, crc32c_by_table (CRC32C_START, data, 32));
    assert_memory_equal (crc, vectors[i].crc, 4);
  }
  for (unsigned k = 0; k < sizeof data; k++)
    data[k] = (uint8_t) (k * k + 7);
  for (unsigned at = 0; at < 9; at++)
    for (unsigned n = 0; n < 300; n++) {
      const uint32_t whole = crc32c_by_table (CRC32C_START, data + at, n);

      assert_int_equal (whole, crc32c_update (CRC32C_START, data + at, n));
      assert_int_equal (whole, crc32c_update (
        crc32c_update (CRC32C_START, data + at, n / 3), data + at + n / 3,
        n - n / 3));
    }
}

/* Each bit of an answer, flipped: nothing wrong is ever delivered. */
static void
test_flipped_bits (void **state)
{
  struct pt_params p = usual ();
  size_t size = 1;

  (void) state;
  p.keys.header_digest = p.keys.data_digest = true;
  p.status_in_data = true;
  for (size_t bit = 0; bit < 8 * size; bit++) {
    struct world *w = world_new (&p, 9);

    submit (w, 0, FFP_READ, 513);
    carry (w);
    execute (w, 0, UINT32_MAX, 0, NULL, 0);
    size = w->t->out_size;
    w->t->out[bit / 8] ^= (uint8_t) (1 << bit % 8);
    while (carry_in (w, SIZE_MAX))
      ;
    assert_int_equal (w->done, 0);
    assert_int_equal (ffp_over (w->f), FFP_END_DIGEST);
    assert_non_null (strstr (ffp_why (w->f), bit < 8 * 52 ? "header digest error"
                             : "data digest error in a Data-In of 513 bytes"));
    world_free (w);
  }
  assert_int_equal (size, 52 + 516 + 4);
}

/* ---- writes that end early ------------------------------------------------------------------ */

static void
test_early_end (void **state)
{
  static const uint8_t sense[18] = { 0x70, 0, 7, [7] = 10, [12] = 0x27 };

  (void) state;
  /* After so many bytes of what is sent for the R2T. */
  for (size_t sent = 0; sent <= 60000; sent += sent < 200 ? 1 : 7777) {
    struct world *w = world_new (&(struct pt_params) {
        .keys = usual ().keys, .window = 8, .r2t_size = 65536,
        .data_in_size = 65536 }, 9);
    struct pt_command *c;
    struct op *op = submit (w, 0, FFP_WRITE, 65536);
    struct list *head = &w->t->commands;

    while (carry_out (w, SIZE_MAX, 384))
      ;
    while (carry_in (w, SIZE_MAX))      /* the R2T */
      ;
    carry_out (w, sent, 384);
    c = list_entry (head->next, struct pt_command, node);
    pt_answer (w->t, c, 2, sense, sizeof sense, NULL, 0);
    while (carry_in (w, SIZE_MAX))
      ;
    assert_int_equal (ffp_over (w->f), FFP_ALIVE);
    assert_int_equal (op->dones, 1);
    memset (op->buf, 0xbb, MAX_BYTES); /* the caller's again */
    assert_true (ffp_ping (w->f));
    carry (w);                  /* what had begun is finished */
    assert_int_equal (w->pongs, 1);
    submit (w, 1, FFP_READ, 4096);
    carry (w);
    assert_int_equal (w->nr_waits, 1);
    execute (w, 0, UINT32_MAX, 0, NULL, 0);
    carry (w);
    assert_int_equal (w->done, 2);
    world_free (w);
  }
}

/* GOOD before all that was asked for was sent: no. */
static void
test_early_good (void **state)
{
  struct pt_params p = usual ();
  struct world *w;
  struct op *op;

  (void) state;
  p.window = 8;
  w = world_new (&p, 9);
  op = submit (w, 0, FFP_WRITE, 65536);
  while (carry_out (w, SIZE_MAX, 384))
    ;
  while (carry_in (w, SIZE_MAX))
    ;
  pt_answer (w->t, list_entry (w->t->commands.next, struct pt_command, node), 0,
             NULL, 0, NULL, 0);
  while (carry_in (w, SIZE_MAX))
    ;
  assert_int_equal (ffp_over (w->f), FFP_END_PROTOCOL);
  assert_non_null (strstr (ffp_why (w->f), "a write was answered before the data "
                           "that was asked for was sent (8192 of 65536 bytes)"));
  assert_int_equal (op->dones, 0);
  world_free (w);
}

/* ---- task management -------------------------------------------------------------------------- */

static void
test_lun_reset (void **state)
{
  struct pt_params p = usual ();
  struct world *w;

  (void) state;
  p.window = 4;
  w = world_new (&p, 0xfffffffd);
  for (unsigned i = 0; i < 6; i++)
    submit (w, i, i < 2 ? FFP_WRITE : FFP_READ, 4096);
  carry (w);
  assert_int_equal (w->nr_waits, 4);
  assert_true (ffp_lun_reset (w->f, 1));        /* even ones */
  carry (w);
  assert_int_equal (w->tmfs, 1);
  assert_int_equal (w->tmf_response, 0);
  /* 0 and 2 were sent; 4 was not, and is let in now. */
  assert_true (w->op[0].aborted && w->op[2].aborted);
  assert_true (w->op[1].busy && w->op[3].busy && w->op[4].busy && w->op[5].busy);
  while (w->nr_waits > 0)
    execute (w, 0, UINT32_MAX, 0, NULL, 0);
  carry (w);
  assert_int_equal (w->done, 6);
  assert_int_equal (w->executed, 4);
  assert_int_equal (ffp_over (w->f), FFP_ALIVE);
  /* Refused: nobody is aborted. */
  w->tmf_answer = 5;
  submit (w, 0, FFP_READ, 4096);
  carry (w);
  assert_true (ffp_lun_reset (w->f, 1));
  carry (w);
  assert_int_equal (w->tmf_response, 5);
  assert_true (w->op[0].busy);
  world_free (w);
}

static void
test_abort_task (void **state)
{
  struct pt_params p = usual ();
  struct world *w;

  (void) state;
  p.window = 2;
  w = world_new (&p, 1);
  submit (w, 0, FFP_READ, 40960);
  submit (w, 1, FFP_WRITE, 4096);
  submit (w, 2, FFP_READ, 4096);
  carry (w);
  /* Never sent: at once. */
  assert_true (ffp_abort_task (w->f, &w->op[2].t));
  assert_true (w->op[2].aborted && !w->op[2].busy);
  assert_true (ffp_abort_task (w->f, &w->op[0].t));
  carry (w);
  assert_true (w->op[0].aborted && !w->op[0].busy);
  assert_true (w->op[1].busy);
  /* "Task does not exist": its answer was on the way. */
  w->tmf_answer = 1;
  execute (w, 0, UINT32_MAX, 0, NULL, 0);
  assert_true (ffp_abort_task (w->f, &w->op[1].t));
  carry (w);
  assert_false (w->op[1].aborted);
  assert_int_equal (w->op[1].dones, 1);
  assert_int_equal (w->tmfs, 0);
  /* Its slot may be somebody else's by then. */
  submit (w, 1, FFP_READ, 4096);
  carry (w);
  /* Refused: it goes on. */
  w->tmf_answer = 5;
  assert_true (ffp_abort_task (w->f, &w->op[1].t));
  carry (w);
  assert_true (w->op[1].busy);
  assert_int_equal (w->tmfs, 1);
  assert_int_equal (w->tmf_response, 5);
  execute (w, 0, UINT32_MAX, 0, NULL, 0);
  carry (w);
  assert_int_equal (w->op[1].dones, 2);
  world_free (w);
}

/* ---- the window, text, logout ------------------------------------------------------------------- */

static void
test_closed_window (void **state)
{
  struct pt_params p = usual ();
  struct world *w;

  (void) state;
  p.window = 1;
  w = world_new (&p, 1);
  submit (w, 0, FFP_READ, 4096);
  submit (w, 1, FFP_READ, 4096);
  assert_true (ffp_ping (w->f));
  assert_true (ffp_lun_reset (w->f, 9));
  pt_ping (w->t);
  carry (w);
  /* Immediate ones pass; the second command waits, and asks for nothing. */
  assert_int_equal (w->nr_waits, 1);
  assert_int_equal (w->pongs, 1);
  assert_int_equal (w->tmfs, 1);
  assert_int_equal (w->t->pongs, 1);
  assert_true (ffp_is_waiting (w->f));
  assert_false (ffp_wants_out (w->f));
  execute (w, 0, UINT32_MAX, 0, NULL, 0);
  carry (w);
  assert_int_equal (w->nr_waits, 1);
  assert_false (ffp_is_waiting (w->f));
  world_free (w);
}

static void
test_text (void **state)
{
  struct world *w = world_new (&(struct pt_params) { .keys = usual ().keys,
                                                     .window = 8 }, 1);
  static char part[60000];

  (void) state;
  memset (part, 'x', sizeof part);
  assert_true (ffp_text_request (w->f, "SendTargets=All", 15));
  carry (w);
  assert_int_equal (w->text_requests, 1);
  for (unsigned i = 0; i < 5; i++) {
    pt_text (w->t, w->text_itt, i == 4, i == 0 ? "TargetName=a" : "bc", i == 0 ? 12 : 2);
    carry (w);
    assert_int_equal (w->text_requests, i == 4 ? 5 : i + 2);
  }
  assert_int_equal (w->text_size, 20);
  assert_memory_equal (w->text, "TargetName=abcbcbcbc", 20);
  /* Without end. */
  w->text_requests = 0;
  assert_true (ffp_text_request (w->f, "SendTargets=All", 15));
  for (unsigned i = 0; i < 100 && !ffp_over (w->f); i++) {
    carry (w);
    pt_text (w->t, w->text_itt, false, part, sizeof part);
  }
  assert_int_equal (ffp_over (w->f), FFP_END_PROTOCOL);
  assert_non_null (strstr (ffp_why (w->f), "Text Responses of more than 4194304"));
  world_free (w);
}

static void
test_spans (void **state)
{
  (void) state;
  /* All orders of 6 pieces. */
  for (unsigned order = 0; order < 720; order++) {
    struct pt_params p = usual ();
    unsigned left[6] = { 0, 1, 2, 3, 4, 5 }, o = order;
    struct world *w;
    uint8_t h[PDU_BHS] = { PDU_DATA_IN }, data[512];

    p.keys.pdu_in_order = false;
    w = world_new (&p, 1);
    submit (w, 0, FFP_READ, 3072);
    carry (w);
    put_be32 (&h[PDU_AT_ITT], w->op[0].t.itt);
    for (unsigned i = 0; i < 6; i++) {
      const unsigned k = o % (6 - i), at = 512 * left[k];

      o /= 6 - i;
      memmove (&left[k], &left[k + 1], (5 - k) * sizeof left[0]);
      for (uint32_t b = 0; b < 512; b++)
        data[b] = pattern (1, at + b);
      put_be32 (&h[PDU_AT_DATASN], i);
      put_be32 (&h[PDU_AT_OFFSET], at);
      h[PDU_AT_FLAGS] = i == 5 ? 0x81 : 0;
      pt_send (w->t, h, data, 512, i == 5);
    }
    while (carry_in (w, SIZE_MAX))
      ;
    assert_int_equal (w->done, 1);
    assert_int_equal (w->last.arrived, 3072);
    world_free (w);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_crc32c),
    cmocka_unit_test (test_chunks),
    cmocka_unit_test (test_evil),
    cmocka_unit_test (test_holes),
    cmocka_unit_test (test_redirect),
    cmocka_unit_test (test_residual_against_data),
    cmocka_unit_test (test_r2t_too_many),
    cmocka_unit_test (test_nop_flood),
    cmocka_unit_test (test_flipped_bits),
    cmocka_unit_test (test_early_end),
    cmocka_unit_test (test_early_good),
    cmocka_unit_test (test_lun_reset),
    cmocka_unit_test (test_abort_task),
    cmocka_unit_test (test_closed_window),
    cmocka_unit_test (test_text),
    cmocka_unit_test (test_spans),
    cmocka_unit_test (test_all_legal_parameters),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
