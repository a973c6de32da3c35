/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer target: bytes from the target, in every state of the full feature
 * phase.  The first two bytes choose what was negotiated; then each step is a byte that
 * says what happens, and, if the target sends, how much of what follows it is.
 * PDUs of the input get the tags of tasks that are there (for chance would not
 * find them), and right digests. */
#include <stdbool.h>
#include <string.h>

#include "iscsi/crc32c.h"
#include "iscsi/ffp.h"
#include "iscsi/pdu.h"
#include "must.h"

#define TASKS 4
#define BYTES 20000             /* more and less than what is read ahead */

static struct ffp *f;
static struct ffp_task tasks[TASKS];
static uint8_t *buf[TASKS];
static bool busy[TASKS];
static uint32_t tags[TASKS];

static void
done (void *opaque, struct ffp_task *t, const struct ffp_answer *a)
{
  const size_t i = (size_t) (t - tasks);
  static volatile uint8_t seen;

  (void) opaque;
  MUST (busy[i]);
  busy[i] = false;
  MUST (a->arrived <= t->bytes);
  MUST (t->direction == FFP_READ || a->arrived == 0);
  MUST (t->pdus == 0 && !t->has_slot);
  if (!a->aborted && t->direction == FFP_WRITE && a->status == 0)
    MUST (t->sent == t->bytes);
  for (size_t k = 0; k < a->sense_size; k++)
    seen ^= a->sense[k];
  (void) seen;
  /* Free from here on: what looks at it now is found. */
  free (buf[i]);
  buf[i] = NULL;
}

static void
pong (void *opaque)
{
  (void) opaque;
}

static void
tmf_done (void *opaque, struct ffp_task *t, uint8_t response)
{
  (void) opaque;
  (void) t;
  (void) response;
}

static void
text_done (void *opaque, const char *text, size_t size)
{
  (void) opaque;
  MUST (text != NULL && (size == 0 || memchr (text, 1, size) != text - 1));
}

static void
logged_out (void *opaque, uint8_t response)
{
  (void) opaque;
  if (response == 3)
    ffp_stop (f);
}

static void
message (void *opaque, uint8_t event, const uint8_t *sense, size_t size)
{
  (void) opaque;
  (void) event;
  MUST (size == 0 || sense != NULL);
}

static const struct ffp_ops ops = {
  done, pong, tmf_done, text_done, logged_out, message,
};

static void
submit (unsigned i, uint8_t how)
{
  struct ffp_task *t = &tasks[i];

  if (busy[i])
    return;
  memset (t, 0, sizeof *t);
  t->direction = how % 3 == 0 ? FFP_NONE : how % 3 == 1 ? FFP_READ : FFP_WRITE;
  t->bytes = t->direction == FFP_NONE ? 0 : how & 0x40 ? BYTES : 600;
  t->whole = true;
  t->lun = (uint16_t) (how >> 7);
  t->buf = calloc (1, t->bytes ? t->bytes : 1);
  MUST (t->buf != NULL);
  buf[i] = t->buf;
  busy[i] = true;
  ffp_submit (f, t);
}

static void
send_some (size_t max)
{
  static volatile uint8_t seen;
  struct iovec iov[60];
  const int n = ffp_out (f, iov, 60);
  size_t taken = 0;

  for (int i = 0; i < n && taken < max; i++) {
    size_t k = iov[i].iov_len < max - taken ? iov[i].iov_len : max - taken;

    MUST (k > 0);
    for (size_t b = 0; b < k; b++)
      seen ^= ((uint8_t *) iov[i].iov_base)[b];
    taken += k;
  }
  (void) seen;
  ffp_sent (f, taken);
  for (unsigned i = 0; i < TASKS; i++)
    if (busy[i] && tasks[i].has_slot)
      tags[i] = tasks[i].itt;
}

static void
receive (const uint8_t *p, size_t n, size_t chunk)
{
  while (n > 0 && !ffp_over (f)) {
    struct iovec iov[FFP_IN_IOV];
    const int m = ffp_in (f, iov);
    size_t taken = 0;

    for (int i = 0; i < m && taken < n && taken < chunk; i++) {
      size_t k = iov[i].iov_len;

      MUST (k > 0);
      if (k > n - taken)
        k = n - taken;
      if (k > chunk - taken)
        k = chunk - taken;
      memcpy (iov[i].iov_base, p + taken, k);
      taken += k;
    }
    ffp_received (f, taken);
    p += taken;
    n -= taken;
  }
}

/* The header at P, with a tag that is there and right digests. */
static size_t
receive_pdu (const struct ffp_keys *k, const uint8_t *p, size_t n, uint8_t how)
{
  static uint8_t pdu[PDU_BHS + 4 + 3000 + 3 + 4];
  uint32_t size;
  size_t at = PDU_BHS;

  if (n < PDU_BHS)
    return n;
  memcpy (pdu, p, PDU_BHS);
  if (how & 4)
    put_be32 (&pdu[PDU_AT_ITT], tags[how & 3]);
  else if (how & 8)             /* the first generation of some slot */
    put_be32 (&pdu[PDU_AT_ITT], 1 << 12 | (how & 3));
  size = pdu_data_size (pdu) % 2500;
  if (how & 16) {
    pdu_set_data_size (pdu, size);
    pdu[PDU_AT_AHS] = 0;
  }
  if (size > n - PDU_BHS)
    size = (uint32_t) (n - PDU_BHS);
  if (k->header_digest) {
    crc32c_put (pdu + at, crc32c_update (CRC32C_START, pdu, PDU_BHS));
    at += 4;
  }
  memcpy (pdu + at, p + PDU_BHS, size);
  memset (pdu + at + size, 0, pdu_padding (size));
  if (k->data_digest && size > 0)
    crc32c_put (pdu + at + size + pdu_padding (size),
                crc32c_update (CRC32C_START, pdu + at, size + pdu_padding (size)));
  at += size + pdu_padding (size) + (k->data_digest && size > 0 ? 4 : 0);
  receive (pdu, at, how & 32 ? 7 : at);
  return PDU_BHS + size;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct ffp_start start = { .tasks = TASKS, .exp_statsn = 1 };
  size_t i = 2;

  if (size < 2)
    return 0;
  start.keys = (struct ffp_keys) {
    .header_digest = data[0] & 1, .data_digest = data[0] & 2,
    .initial_r2t = data[0] & 4, .immediate_data = data[0] & 8,
    .pdu_in_order = data[0] & 16, .sequence_in_order = data[0] & 32,
    .our_segment = data[0] & 64 ? 512 : 262144,
    .their_segment = data[0] & 128 ? 512 : 8192,
    .first_burst = data[1] & 1 ? 512 : 65536,
    .max_burst = data[1] & 2 ? 512 : 262144, .max_r2t = 1 + (data[1] >> 2 & 7),
  };
  start.max_cmdsn = data[1] >> 5;
  f = ffp_new (&start, &ops, NULL);
  MUST (f != NULL);
  memset (tags, 0, sizeof tags);
  while (i < size) {
    const uint8_t what = data[i++], how = i < size ? data[i++] : 0;

    switch (what & 7) {
    case 0: submit (what >> 3 & 3, how); break;
    case 1: send_some (how * (size_t) 16); break;
    case 2: send_some (SIZE_MAX); break;
    case 3: case 4:
      i += receive_pdu (&start.keys, data + i, size - i, how);
      break;
    case 5:
      receive (data + i, how < size - i ? how : size - i, 1 + (what >> 3));
      i += how;
      break;
    case 6:
      switch (how & 7) {
      case 0: ffp_ping (f); break;
      case 1: ffp_lun_reset (f, how >> 7); break;
      case 2: ffp_logout (f); break;
      case 3: ffp_text_request (f, "SendTargets=All", 15); break;
      default:
        if (busy[how & 3])
          ffp_abort_task (f, &tasks[how & 3]);
      }
      break;
    case 7: ffp_wants_out (f); ffp_is_waiting (f); break;
    }
    MUST ((ffp_over (f) == FFP_ALIVE) == (ffp_why (f)[0] == '\0'));
  }
  ffp_free (f);
  for (unsigned k = 0; k < TASKS; k++) {
    if (busy[k])
      free (buf[k]);
    busy[k] = false;
  }
  return 0;
}
