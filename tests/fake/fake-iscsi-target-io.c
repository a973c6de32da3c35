/* SPDX-License-Identifier: BSD-3-Clause */
/* fake-iscsi-target: the full feature phase: commands, data in both directions,
 * NOP, task management, logout; and the hostile roles that lie about them. */
#include <stdlib.h>
#include <string.h>

#include "fake-iscsi-target.h"

void
send_pdu (struct connection *c, uint8_t bhs[BHS_SIZE], const void *data,
          size_t n, bool sn)
{
  static const uint8_t padding[4], ahs[8] = { 0, 5, 2, 0, 0, 0, 0, 0 };
  bool with_status = pdu_opcode (bhs) != OP_DATA_IN ||
    bhs[BHS_FLAGS] & FLAG_STATUS;

  put24 (bhs + BHS_DATA_LENGTH, (uint32_t) n);
  if (with_status) {
    put32 (bhs + BHS_STATSN, c->statsn);
    if (c->full_feature && evil (EVIL_STATSN))
      put32 (bhs + BHS_STATSN, c->statsn * 0x9e3779b1u);
    if (sn)
      c->statsn++;
  }
  put32 (bhs + BHS_EXPCMDSN, c->expcmdsn);
  put32 (bhs + BHS_MAXCMDSN, c->expcmdsn + 127);
  if (evil (EVIL_WINDOW_CLOSED))
    put32 (bhs + BHS_MAXCMDSN, c->expcmdsn - 1);
  bhs[BHS_AHS_LENGTH] = 0;
  if (c->full_feature && evil (EVIL_AHS_LYING))
    bhs[BHS_AHS_LENGTH] = 255;
  else if (c->full_feature && evil (EVIL_AHS))
    bhs[BHS_AHS_LENGTH] = sizeof ahs / 4;
  bytes_append (&c->out, bhs, BHS_SIZE);
  if (bhs[BHS_AHS_LENGTH] == sizeof ahs / 4)
    bytes_append (&c->out, ahs, sizeof ahs);
  bytes_append (&c->out, data, n);
  bytes_append (&c->out, padding, (4 - n % 4) % 4);
}

/* --- answers ----------------------------------------------------------- */

static bool
is_io (const uint8_t *command)
{
  struct cdb_filter data;

  cdb_filter_parse ("data", &data);
  return cdb_filter_match (&data, command[BHS_CDB]);
}

/* The residual of a transfer of n bytes where edtl were expected; the
 * read and write flags are those of the command. */
static void
put_residual (uint8_t *bhs, uint32_t edtl, size_t n)
{
  if (n < edtl) {
    bhs[BHS_FLAGS] |= FLAG_UNDERFLOW;
    put32 (bhs + BHS_RESIDUAL, edtl - (uint32_t) n);
  }
  else if (n > edtl) {
    bhs[BHS_FLAGS] |= FLAG_OVERFLOW;
    put32 (bhs + BHS_RESIDUAL, (uint32_t) n - edtl);
  }
}

static void
send_response (struct connection *c, const uint8_t *command,
               const struct result *r, size_t moved, bool residual)
{
  uint8_t bhs[BHS_SIZE] = { OP_SCSI_RESPONSE, FLAG_FINAL };
  uint8_t sense[2 + SENSE_SIZE] = { 0, SENSE_SIZE };
  size_t n = 0;
  bool io = is_io (command);

  memcpy (bhs + BHS_ITT, command + BHS_ITT, 4);
  bhs[3] = r->status;
  if (r->status == 0x02) {
    sense_build (sense + 2, r->key, r->asc, r->ascq);
    n = sizeof sense;
  }
  if (residual)
    put_residual (bhs, get32 (command + BHS_EDTL), moved);
  if (io) {
    static const uint8_t rubbish[64] = {
      0, 62, [2 ... 63] = 0xff
    };
    const uint8_t *data = sense;

    if (evil (EVIL_SENSE_EMPTY)) {
      bhs[3] = 0x02;
      n = 0;
    }
    if (evil (EVIL_SENSE_ONE)) {
      bhs[3] = 0x02;
      n = 1;
    }
    if (evil (EVIL_SENSE_LYING)) {
      bhs[3] = 0x02;
      sense_build (sense + 2, 0x3, 0x11, 0);
      put16 (sense, 0xffff);
      n = sizeof sense;
    }
    if (evil (EVIL_SENSE_RUBBISH)) {
      bhs[3] = 0x02;
      data = rubbish;
      n = sizeof rubbish;
    }
    if (evil (EVIL_SENSE_DESCRIPTORS)) {
      static const uint8_t descriptors[] = {
        0, 8, 0x72, 0x03, 0x11, 0x00, 0, 0, 0, 0xff
      };

      bhs[3] = 0x02;
      data = descriptors;
      n = sizeof descriptors;
    }
    if (evil (EVIL_STATUS_RUBBISH))
      bhs[3] = 0x77;
    if (evil (EVIL_RESPONSE_FAILURE))
      bhs[2] = 0x01;
    if (evil (EVIL_RESIDUAL_LYING)) {
      bhs[BHS_FLAGS] |= FLAG_UNDERFLOW;
      put32 (bhs + BHS_RESIDUAL, 0xfffffff0);
    }
    if (evil (EVIL_RESIDUAL_OVERFLOW)) {
      bhs[BHS_FLAGS] |= FLAG_OVERFLOW;
      put32 (bhs + BHS_RESIDUAL, 512);
    }
    if (evil (EVIL_DOUBLE_ANSWER))
      send_pdu (c, bhs, data, n, true);
    send_pdu (c, bhs, data, n, true);
  }
  else
    send_pdu (c, bhs, sense, n, true);
}

static void
send_data_part (struct connection *c, const uint8_t *command, uint32_t datasn,
                uint32_t offset, const void *data, size_t n, bool final)
{
  uint8_t bhs[BHS_SIZE] = { OP_DATA_IN };

  if (final)
    bhs[BHS_FLAGS] = FLAG_FINAL;
  memcpy (bhs + BHS_ITT, command + BHS_ITT, 4);
  put32 (bhs + BHS_TTT, NO_TAG);
  put32 (bhs + BHS_DATASN, datasn);
  put32 (bhs + BHS_OFFSET, offset);
  send_pdu (c, bhs, data, n, false);
}

/* Data-In PDUs, each at most MaxRecvDataSegmentLength of the initiator, F at
 * the end of each burst (RFC 7143 11.7.1); the status comes by itself. */
static void
send_data (struct connection *c, const uint8_t *command, const uint8_t *data,
           size_t n)
{
  uint32_t datasn = 0, burst = 0;
  size_t done = 0;

  while (done < n) {
    size_t part = n - done;

    if (part > c->mrdsl)
      part = c->mrdsl;
    if (part > c->max_burst - burst)
      part = c->max_burst - burst;
    burst += (uint32_t) part;
    send_data_part (c, command, datasn++, (uint32_t) done, data + done, part,
                    done + part == n || burst == c->max_burst);
    if (burst == c->max_burst)
      burst = 0;
    done += part;
  }
}

void
answer_with_data (struct connection *c, const uint8_t *pdu)
{
  static const uint8_t junk[512];

  send_data_part (c, pdu, 0, 0, junk, sizeof junk, true);
}

void
answer_with_r2t (struct connection *c, const uint8_t *pdu)
{
  uint8_t r2t[BHS_SIZE] = { OP_R2T, FLAG_FINAL };

  memcpy (r2t + BHS_ITT, pdu + BHS_ITT, 4);
  put32 (r2t + BHS_TTT, 77);
  put32 (r2t + BHS_R2T_LENGTH, 512);
  send_pdu (c, r2t, "", 0, false);
}

/* Half of them want to be answered. */
void
go_on_storming (struct connection *c)
{
  uint8_t bhs[BHS_SIZE] = { 0 };

  if (bytes_length (&c->out) > 65536)
    return;
  for (uint32_t i = 0; i < 10000; i++) {
    bhs[0] = OP_NOP_IN;
    bhs[BHS_FLAGS] = FLAG_FINAL;
    put32 (bhs + BHS_ITT, NO_TAG);
    put32 (bhs + BHS_TTT, i % 2 ? i : NO_TAG);
    send_pdu (c, bhs, "", 0, false);
  }
}

/* Only the beginning and the end of what was read; GOOD will follow. */
static void
send_hole (struct connection *c, const uint8_t *command, const uint8_t *data,
           size_t n)
{
  if (n < 1536) {
    send_data (c, command, data, n);
    return;
  }
  send_data_part (c, command, 0, 0, data, 512, false);
  send_data_part (c, command, 1, (uint32_t) n - 512, data + n - 512, 512, true);
}

/* The status in the last Data-In (RFC 7143 11.7.3), and it is no good one. */
static void
send_check_data (struct connection *c, const uint8_t *command,
                 const uint8_t *data, size_t n)
{
  uint8_t bhs[BHS_SIZE] = { OP_DATA_IN, FLAG_FINAL | FLAG_STATUS };

  bhs[3] = 0x02;
  memcpy (bhs + BHS_ITT, command + BHS_ITT, 4);
  put32 (bhs + BHS_TTT, NO_TAG);
  send_pdu (c, bhs, data, n < 512 ? n : 512, true);
}

static void
evil_read (struct connection *c, const uint8_t *command, struct result *r,
           size_t *n, bool *residual)
{
  static const uint8_t junk[4096] = { [0 ... 4095] = 0xee };
  uint32_t edtl = get32 (command + BHS_EDTL);
  uint8_t bhs[BHS_SIZE] = { OP_DATA_IN };

  if (evil (EVIL_DATAIN_BEYOND))
    send_data_part (c, command, 0, edtl, junk, sizeof junk, false);
  if (evil (EVIL_DATAIN_FAR))
    send_data_part (c, command, 0, 0xfffff000, junk, sizeof junk, false);
  if (evil (EVIL_DATAIN_OVERLAP))
    send_data_part (c, command, 0, 0, r->data, *n < 512 ? *n : 512, false);
  if (evil (EVIL_R2T_FOR_READ)) {
    uint8_t r2t[BHS_SIZE] = { OP_R2T, FLAG_FINAL };

    memcpy (r2t + BHS_LUN, command + BHS_LUN, 12); /* and the ITT */
    put32 (r2t + BHS_TTT, 77);
    put32 (r2t + BHS_R2T_LENGTH, edtl);
    send_pdu (c, r2t, "", 0, false);
  }
  if (evil (EVIL_DATAIN_HUGE_DSL)) {
    memcpy (bhs + BHS_ITT, command + BHS_ITT, 4);
    put32 (bhs + BHS_TTT, NO_TAG);
    put24 (bhs + BHS_DATA_LENGTH, 0xffffff);
    bytes_append (&c->out, bhs, sizeof bhs);
    bytes_append (&c->out, junk, sizeof junk);
    c->silent = true;
  }
  if (evil (EVIL_SHORT_READ))
    *n /= 2;
  if (evil (EVIL_SHORT_READ_SILENT)) {
    *n /= 2;
    *residual = false;
  }
  if (evil (EVIL_EMPTY_READ)) {
    *n = 0;
    *residual = false;
  }
  if (evil (EVIL_DATAIN_MORE)) {
    uint8_t *more = realloc (r->data, r->n + sizeof junk);

    if (more == NULL)
      die ("out of memory");
    memcpy (more + r->n, junk, sizeof junk);
    r->data = more;
    r->n += sizeof junk;
    *n = r->n;
    *residual = false;
  }
}

/* What may come in front of, or in place of, the answer to an I/O command.
 * True: there is no other answer. */
static bool
evil_io (struct connection *c, const uint8_t *command)
{
  uint8_t bhs[BHS_SIZE];
  uint8_t rubbish[1000];
  bool lying;

  if (evil (EVIL_SILENT))
    c->silent = true;
  if (evil (EVIL_DEAF))
    c->deaf = true;
  if (c->silent || c->deaf)
    return true;
  if (evil (EVIL_DISCONNECT)) {
    c->closing = true;
    return true;
  }
  if (evil (EVIL_RESET)) {
    connection_rst (c);
    return true;
  }
  if (evil (EVIL_HALF_PDU)) {
    memset (bhs, 0, sizeof bhs);
    bhs[0] = OP_SCSI_RESPONSE;
    bytes_append (&c->out, bhs, BHS_SIZE / 2);
    c->closing = true;
    return true;
  }
  if (evil (EVIL_RUBBISH)) {
    for (size_t i = 0; i < sizeof rubbish; i++)
      rubbish[i] = (uint8_t) (i * 167 + 89);
    bytes_append (&c->out, rubbish, sizeof rubbish);
    return true;
  }
  if (evil (EVIL_REJECT)) {
    memset (bhs, 0, sizeof bhs);
    bhs[0] = OP_REJECT;
    bhs[BHS_FLAGS] = FLAG_FINAL;
    bhs[2] = 0x04;              /* protocol error; the header is the data */
    put32 (bhs + BHS_ITT, NO_TAG);
    send_pdu (c, bhs, command, BHS_SIZE, true);
    return true;
  }
  if (evil (EVIL_UNKNOWN_ITT)) {
    uint8_t other[BHS_SIZE];
    struct result good = { 0 };

    memcpy (other, command, BHS_SIZE);
    put32 (other + BHS_ITT, 0xdeadbeef);
    send_data_part (c, other, 0, 0, rubbish, 0, false);
    send_data_part (c, other, 0, 0, other, BHS_SIZE, false);
    other[BHS_CDB] = 0;         /* not I/O: no more tricks with it */
    send_response (c, other, &good, 0, false);
  }
  if (evil (EVIL_WRONG_ITT)) {
    uint8_t other[BHS_SIZE];
    struct result good = { 0 };

    memcpy (other, command, BHS_SIZE);
    put32 (other + BHS_ITT, get32 (command + BHS_ITT) ^ 0x40000000);
    other[BHS_CDB] = 0;
    send_response (c, other, &good, get32 (command + BHS_EDTL), false);
    return true;
  }
  if (evil (EVIL_BAD_OPCODE)) {
    memset (bhs, 0, sizeof bhs);
    bhs[0] = 0x2f;
    bhs[BHS_FLAGS] = FLAG_FINAL;
    memcpy (bhs + BHS_ITT, command + BHS_ITT, 4);
    send_pdu (c, bhs, "", 0, true);
  }
  if (evil (EVIL_NOP_FLOOD))
    for (int i = 0; i < 100; i++) {
      memset (bhs, 0, sizeof bhs);
      bhs[0] = OP_NOP_IN;
      bhs[BHS_FLAGS] = FLAG_FINAL;
      put32 (bhs + BHS_ITT, NO_TAG);
      put32 (bhs + BHS_TTT, (uint32_t) i);
      send_pdu (c, bhs, "", 0, false);
    }
  if (evil (EVIL_NOP_STORM))
    c->storm = true;
  lying = evil (EVIL_ASYNC_LYING);
  if (lying || evil (EVIL_ASYNC_RUBBISH)) {
    memset (bhs, 0, sizeof bhs);
    bhs[0] = OP_ASYNC;
    bhs[BHS_FLAGS] = FLAG_FINAL;
    put32 (bhs + BHS_ITT, NO_TAG);
    bhs[36] = lying ? 0 : 0x77;
    memset (rubbish, 0xff, 4);
    send_pdu (c, bhs, rubbish, lying ? 4 : 0, true);
  }
  return false;
}

static void
finish (struct connection *c, const uint8_t *command, const uint8_t *out,
        size_t n_out)
{
  struct result r;
  uint32_t edtl = get32 (command + BHS_EDTL);
  bool io = is_io (command), residual = true, after = false;
  bool read = command[BHS_FLAGS] & FLAG_READ, write = n_out > 0;
  size_t n;

  scsi_execute (c, command + BHS_LUN, command + BHS_CDB, out, n_out, &r);
  if (!io && read && r.status == 0 && evil (EVIL_FACTS_SHORT)) {
    r.n = r.n < 6 ? r.n : 6;
    residual = false;
  }
  if (!io && read && r.status == 0 && evil (EVIL_FACTS_LONG)) {
    r.data = realloc (r.data, edtl + 4096);
    if (r.data == NULL)
      die ("out of memory");
    if (edtl + 4096 > r.n)
      memset (r.data + r.n, 0xee, edtl + 4096 - r.n);
    r.n = edtl + 4096;
    send_data (c, command, r.data, r.n);
    send_response (c, command, &r, edtl, false);
    free (r.data);
    return;
  }
  if (write) {
    n = r.status == 0 ? edtl : 0;
    if (io && evil (EVIL_SHORT_WRITE))
      n = edtl / 2;
    if (io && evil (EVIL_DATAIN_FOR_WRITE))
      send_data (c, command, out, n_out);
    if (io && evil (EVIL_DATAIN_NONE_FOR_WRITE)) {
      uint8_t bhs[BHS_SIZE] = { OP_DATA_IN, FLAG_FINAL | FLAG_STATUS };

      memcpy (bhs + BHS_ITT, command + BHS_ITT, 4);
      put32 (bhs + BHS_TTT, NO_TAG);
      send_pdu (c, bhs, "", 0, true);
      free (r.data);
      return;
    }
  }
  else {
    n = read ? r.n : 0;
    if (n > edtl)
      n = edtl;
    if (io && read && r.status == 0) {
      evil_read (c, command, &r, &n, &residual);
      if (evil (EVIL_DATAIN_CHECK)) {
        send_check_data (c, command, r.data, n);
        free (r.data);
        return;
      }
      after = evil (EVIL_DATAIN_AFTER);
    }
    if (io && read && r.status == 0 && evil (EVIL_DATAIN_HOLE))
      send_hole (c, command, r.data, n);
    else
      send_data (c, command, r.data, n);
    if (r.n > edtl && read && n == edtl)
      n = r.n;                  /* overflow residual */
  }
  if (!c->silent)
    send_response (c, command, &r, n, residual && (read || write));
  if (after)
    send_data (c, command, r.data, n);
  free (r.data);
}

/* --- data to the target ------------------------------------------------ */

static void
drop_write (struct connection *c, struct pending_write *w)
{
  struct pending_write **p;

  for (p = &c->writes; *p != w; p = &(*p)->next)
    ;
  *p = w->next;
  free (w->data);
  free (w);
}

void
forget_writes (struct connection *c)
{
  while (c->writes)
    drop_write (c, c->writes);
}

static void
send_r2t (struct connection *c, struct pending_write *w, uint32_t itt,
          uint32_t offset, uint32_t length)
{
  uint8_t bhs[BHS_SIZE] = { OP_R2T, FLAG_FINAL };

  memcpy (bhs + BHS_LUN, w->command + BHS_LUN, 8);
  put32 (bhs + BHS_ITT, itt);
  put32 (bhs + BHS_TTT, w->ttt);
  put32 (bhs + BHS_DATASN, w->r2tsn++);
  put32 (bhs + BHS_OFFSET, offset);
  put32 (bhs + BHS_R2T_LENGTH, length);
  send_pdu (c, bhs, "", 0, false);
}

/* All data there: execute; else ask for the next burst. */
static void
go_on (struct connection *c, struct pending_write *w)
{
  uint32_t itt = get32 (w->command + BHS_ITT), n = w->edtl - w->got;

  if (n == 0) {
    struct pending_write mine = *w;

    if (w->r2tsn == 0 && evil (EVIL_R2T_SENT))
      send_r2t (c, w, itt, 0, w->edtl);
    w->data = NULL;
    drop_write (c, w);
    finish (c, mine.command, mine.data, mine.edtl);
    free (mine.data);
    return;
  }
  if (n > c->max_burst)
    n = c->max_burst;
  w->asked = w->got + n;
  if (evil (EVIL_R2T_ZERO))
    send_r2t (c, w, itt, w->got, 0);
  if (evil (EVIL_R2T_UNKNOWN))
    send_r2t (c, w, itt ^ 0x40000000, w->got, n);
  if (evil (EVIL_R2T_HUGE))
    send_r2t (c, w, itt, w->got, 0xfffff000);
  else if (evil (EVIL_R2T_BEYOND))
    send_r2t (c, w, itt, w->edtl, 65536);
  else if (evil (EVIL_R2T_AGAIN))
    for (int i = 0; i < 2000; i++)
      send_r2t (c, w, itt, w->got, n);
  else
    send_r2t (c, w, itt, w->got, n);
  if (evil (EVIL_EARLY_ANSWER)) {
    struct result good = { 0 };

    send_response (c, w->command, &good, w->edtl, false);
    drop_write (c, w);
  }
}

static void
handle_data_out (struct connection *c, uint8_t *pdu)
{
  uint32_t offset = get32 (pdu + BHS_OFFSET), n = pdu_data_length (pdu);
  struct pending_write *w;

  for (w = c->writes; w != NULL; w = w->next)
    if (memcmp (w->command + BHS_ITT, pdu + BHS_ITT, 4) == 0)
      break;
  /* Nothing to complain about: the task may have been aborted. */
  if (w == NULL || offset != w->got || n > w->edtl - offset)
    return;
  memcpy (w->data + offset, pdu_data (pdu), n);
  w->got += n;
  if (pdu[BHS_FLAGS] & FLAG_FINAL || w->got == w->edtl)
    go_on (c, w);
}

static void
handle_command (struct connection *c, uint8_t *pdu)
{
  static uint32_t last_ttt;
  struct pending_write *w;
  uint32_t edtl = get32 (pdu + BHS_EDTL), n = pdu_data_length (pdu);

  if (is_io (pdu) && evil_io (c, pdu))
    return;
  if (c->silent || c->fd == -1)
    return;
  if (!(pdu[BHS_FLAGS] & FLAG_WRITE) || edtl == 0) {
    finish (c, pdu, NULL, 0);
    return;
  }
  w = calloc (1, sizeof *w);
  if (w == NULL || edtl > 256u << 20 || n > edtl) {
    free (w);
    c->closing = true;
    return;
  }
  memcpy (w->command, pdu, BHS_SIZE);
  w->edtl = edtl;
  w->ttt = ++last_ttt & 0x7fffffff;
  w->data = calloc (1, edtl);
  if (w->data == NULL)
    die ("out of memory");
  memcpy (w->data, pdu_data (pdu), n);
  w->got = n;
  w->next = c->writes;
  c->writes = w;
  /* F: no unsolicited Data-Out follows. */
  if (pdu[BHS_FLAGS] & FLAG_FINAL || w->got == w->edtl)
    go_on (c, w);
}

/* --- the rest ---------------------------------------------------------- */

static void
handle_nop (struct connection *c, uint8_t *pdu)
{
  uint8_t bhs[BHS_SIZE] = { OP_NOP_IN, FLAG_FINAL };

  if (get32 (pdu + BHS_ITT) == NO_TAG)
    return;                     /* answers a NOP-In of ours */
  if (evil (EVIL_DATAIN_FOR_NOP)) {
    answer_with_data (c, pdu);
    return;
  }
  if (evil (EVIL_R2T_FOR_NOP)) {
    answer_with_r2t (c, pdu);
    return;
  }
  memcpy (bhs + BHS_ITT, pdu + BHS_ITT, 4);
  put32 (bhs + BHS_TTT, NO_TAG);
  send_pdu (c, bhs, pdu_data (pdu), pdu_data_length (pdu), true);
}

/* RFC 7143 11.5.  Commands are executed at once, so only writes that wait
 * for data can be aborted. */
static void
handle_tmf (struct connection *c, uint8_t *pdu)
{
  uint8_t bhs[BHS_SIZE] = { OP_TMF_RESPONSE, FLAG_FINAL };
  uint8_t function = pdu[BHS_FLAGS] & 0x7f;
  struct pending_write *w, *next;
  struct connection *o;

  memcpy (bhs + BHS_ITT, pdu + BHS_ITT, 4);
  switch (function) {
  case 1:                       /* ABORT TASK */
    bhs[2] = 1;                 /* task does not exist */
    for (w = c->writes; w != NULL; w = next) {
      next = w->next;
      if (memcmp (w->command + BHS_ITT, pdu + BHS_TTT, 4) == 0) {
        drop_write (c, w);
        bhs[2] = 0;
      }
    }
    break;
  case 2: case 4: case 5: case 6: case 7:
    if (function <= 5 && find_lun (pdu + BHS_LUN) == NULL) {
      bhs[2] = 2;               /* LUN does not exist */
      break;
    }
    for (o = connections; o != NULL; o = o->next) {
      if (function == 2 && o != c)
        continue;
      for (w = o->writes; w != NULL; w = next) {
        next = w->next;
        if (function > 5 ||
            memcmp (w->command + BHS_LUN, pdu + BHS_LUN, 8) == 0)
          drop_write (o, w);
      }
      if (function >= 5 && o != c) { /* bus device reset function occurred */
        o->ua_asc = 0x29;
        o->ua_ascq = 0x03;
      }
    }
    break;
  default:
    bhs[2] = 5;                 /* not supported */
  }
  send_pdu (c, bhs, "", 0, true);
}

static void
handle_logout (struct connection *c, uint8_t *pdu)
{
  uint8_t bhs[BHS_SIZE] = { OP_LOGOUT_RESPONSE, FLAG_FINAL };

  if (evil (EVIL_DATAIN_FOR_LOGOUT)) {
    answer_with_data (c, pdu);
    return;
  }
  memcpy (bhs + BHS_ITT, pdu + BHS_ITT, 4);
  send_pdu (c, bhs, "", 0, true);
  c->closing = true;
}

static void
reject (struct connection *c, const uint8_t *pdu, uint8_t reason)
{
  uint8_t bhs[BHS_SIZE] = { OP_REJECT, FLAG_FINAL };

  bhs[2] = reason;
  put32 (bhs + BHS_ITT, NO_TAG);
  send_pdu (c, bhs, pdu, BHS_SIZE, true);
}

void
handle_pdu (struct connection *c, uint8_t *pdu)
{
  uint8_t op = pdu_opcode (pdu);

  if (c->silent)
    return;
  if (op == OP_LOGIN_REQUEST && !c->full_feature) {
    handle_login (c, pdu);
    return;
  }
  if (!c->full_feature) {
    c->closing = true;
    return;
  }
  if (op != OP_DATA_OUT && op != OP_SNACK && !(pdu[0] & FLAG_IMMEDIATE)) {
    /* One connection: they come in order, or something was lost for ever. */
    if (get32 (pdu + BHS_CMDSN) != c->expcmdsn) {
      if (sn_before (c->expcmdsn, get32 (pdu + BHS_CMDSN)))
        c->closing = true;
      return;
    }
    c->expcmdsn++;
  }
  switch (op) {
  case OP_SCSI_COMMAND:
    handle_command (c, pdu);
    break;
  case OP_DATA_OUT:
    handle_data_out (c, pdu);
    break;
  case OP_NOP_OUT:
    handle_nop (c, pdu);
    break;
  case OP_TMF_REQUEST:
    handle_tmf (c, pdu);
    break;
  case OP_TEXT_REQUEST:
    handle_text (c, pdu);
    break;
  case OP_LOGOUT_REQUEST:
    handle_logout (c, pdu);
    break;
  default:
    reject (c, pdu, 0x05);      /* command not supported */
  }
}
