/* SPDX-License-Identifier: BSD-3-Clause */
/* What a target may send: each PDU is looked at before libiscsi sees it. */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "iscsi/pdu.h"
#include "iscsi/session-internal.h"

/* PDUs that libiscsi may read in one go, with the lock held; then the others
 * have a turn. */
#define BUDGET 256
/* NOP-Ins that want an answer, while the answers to those before have not been
 * sent.  Each costs memory, and a target sends one in seconds. */
#define MAX_NOPS 1024
/* Data-Out PDUs for one R2T: libiscsi's queue takes the square of that. */
#define MAX_PIECES 8192
/* RFC 7143 13.12 to 13.14; 24 bits. */
#define MIN_LENGTH 512
#define MAX_LENGTH 0xffffff

enum {
  NOP_IN = 0x20, SCSI_RESPONSE = 0x21, LOGIN_RESPONSE = 0x23, DATA_IN = 0x25,
  R2T = 0x31,
};
/* Offsets in the header, RFC 7143 11. */
enum {
  AT_FLAGS = 1, AT_RESPONSE = 2, AT_STATUS = 3, AT_LENGTH = 5, AT_TTT = 20,
  AT_STATUS_CLASS = 36, AT_OFFSET = 40, AT_R2T_LENGTH = 44,
};
/* Of a Login Response, RFC 7143 11.13.1: to the full feature phase. */
#define FLAG_TRANSIT 0x80
#define NSG_MASK 0x03
#define NSG_FULL_FEATURE 0x03

void
guard_reset (struct session *s)
{
  uint8_t *const in = s->guard.in;

  memset (&s->guard, 0, sizeof s->guard);
  s->guard.in = in;
  /* What libiscsi takes when the target does not say: its own 262144 rather
   * than the 65536 of RFC 7143 13.14; 13.12, 13.10. */
  s->guard.first_burst = 262144;
  s->guard.segment = 8192;
  s->guard.solicited_only = true;
}

void
guard_free (struct session *s)
{
  free (s->guard.in);
  s->guard.in = NULL;
}

void
guard_submit (struct session *s, struct command *cmd)
{
  cmd->arrived = cmd->sent = cmd->asked = cmd->r2t_end = 0;
  if (cmd->dir == SCSI_XFER_WRITE) {
    const struct guard *g = &s->guard;
    uint32_t most = 0;

    if (!g->solicited_only)
      most = g->first_burst;
    else if (!g->no_immediate)  /* in the command's own PDU */
      most = g->segment < g->first_burst ? g->segment : g->first_burst;
    cmd->asked = cmd->bytes < most ? cmd->bytes : most;
    cmd->r2t_end = cmd->asked;  /* that need not be asked for */
  }
}

bool
guard_came_short (const struct command *cmd)
{
  return guard_is_installed () && cmd->dir == SCSI_XFER_READ &&
    cmd->arrived < cmd->bytes;
}

__attribute__ ((format (printf, 2, 3)))
static bool
refuse (struct session *s, const char *fs, ...)
{
  char text[200];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  session_kill (s, s->state == SESSION_LOGIN ? FAIL_LOGIN : FAIL_LOST,
                "the target breaks the protocol: %s", text);
  return false;
}

/* At most queue_depth of them. */
static struct command *
find_command (struct session *s, uint32_t itt)
{
  struct list *l, *next;

  list_for_each (l, next, &s->in_flight) {
    struct command *cmd = list_entry (l, struct command, node);

    if (cmd->task.itt == itt)
      return cmd;
  }
  return NULL;
}

/* ---- headers ------------------------------------------------------------------- */

/* Both orders were negotiated (DataPDUInOrder, DataSequenceInOrder), and with
 * ErrorRecoveryLevel 0 nothing comes twice. */
static bool
data_in (struct session *s, struct command *cmd, uint32_t size)
{
  const uint32_t offset = get_be32 (&s->guard.header[AT_OFFSET]);

  if (cmd == NULL || cmd->dir != SCSI_XFER_READ)
    return refuse (s, "Data-In for what is not a read");
  if (size == 0)
    return true;
  if (offset > cmd->bytes || size > cmd->bytes - offset)
    return refuse (s, "Data-In of %u bytes at %u for a read of %u", size,
                   offset, cmd->bytes);
  if (offset != cmd->arrived)
    return refuse (s, "Data-In at %u, when %u was next", offset, cmd->arrived);
  cmd->arrived += size;
  return true;
}

static bool
ready_to_transfer (struct session *s, struct command *cmd)
{
  const uint32_t offset = get_be32 (&s->guard.header[AT_OFFSET]);
  const uint32_t size = get_be32 (&s->guard.header[AT_R2T_LENGTH]);

  if (cmd == NULL || cmd->dir != SCSI_XFER_WRITE)
    return refuse (s, "R2T for what is not a write");
  if (offset > cmd->bytes || size > cmd->bytes - offset)
    return refuse (s, "R2T for %u bytes at %u of a write of %u", size, offset,
                   cmd->bytes);
  if (size > 0 && offset < cmd->r2t_end)
    return refuse (s, "R2T for data that was asked for before");
  if (size / s->guard.segment > MAX_PIECES)
    return refuse (s, "R2T for %u bytes in segments of %u", size,
                   s->guard.segment);
  cmd->r2t_end = offset + size;
  if (cmd->asked < cmd->r2t_end)
    cmd->asked = cmd->r2t_end;
  return true;
}

static bool
scsi_response (struct session *s, const struct command *cmd)
{
  const uint8_t *h = s->guard.header;

  if (cmd == NULL)              /* libiscsi ignores it */
    return true;
  /* RFC 7143 11.4.3: not completed, whatever the status byte says. */
  if (h[AT_RESPONSE] != 0)
    return refuse (s, "response %02xh, target failure", h[AT_RESPONSE]);
  if (cmd->dir != SCSI_XFER_WRITE)
    return true;
  /* libiscsi would go on to send, from a command that is gone. */
  if (cmd->sent < cmd->asked)
    return refuse (s, "a write was answered before the data that was asked "
                   "for was sent");
  if (h[AT_STATUS] == SCSI_STATUS_GOOD && cmd->modifies &&
      !cmd->may_be_short && cmd->sent < cmd->bytes)
    return refuse (s, "a write of %u bytes was answered with GOOD after %u",
                   cmd->bytes, cmd->sent);
  return true;
}

/* libiscsi asks for the target's proof only in a response that leaves the
 * security stage; a target may leave that one out. */
static bool
login_over (struct session *s)
{
  const struct guard *g = &s->guard;
  const uint8_t flags = g->header[AT_FLAGS];

  /* With another status class it is no login. */
  if (!g->wants_proof || g->proof_came || g->header[AT_STATUS_CLASS] != 0 ||
      !(flags & FLAG_TRANSIT) || (flags & NSG_MASK) != NSG_FULL_FEATURE)
    return true;
  session_kill (s, FAIL_AUTH, "authentication failed: the target did not prove "
                "itself with mutual-user and mutual-password");
  return false;
}

/* Asynchronous Messages 1 to 4 are its end (RFC 7143 11.9), and libiscsi would
 * give the reason of something else for it. */
static bool
asked_to_end (struct session *s)
{
  static const char *const ends[] = {
    [1] = "logout requested by the target (asynchronous message 1)",
    [2] = "the target drops the connection (asynchronous message 2)",
    [3] = "the target drops all connections of the session (asynchronous "
      "message 3)",
    [4] = "the target wants another negotiation (asynchronous message 4)",
  };
  const uint8_t event = s->guard.header[PDU_AT_ASYNC_EVENT];

  if (event < 1 || event > 4)
    return false;
  s->asked_to_move = true;
  session_kill (s, FAIL_LOST, "%s", ends[event]);
  return true;
}

bool
guard_header (struct session *s)
{
  struct guard *g = &s->guard;
  const uint8_t *h = g->header;
  const uint8_t opcode = h[0] & 0x3f;
  const uint32_t itt = get_be32 (&h[GUARD_AT_ITT]);
  const uint32_t size = get_be32 (&h[AT_LENGTH - 1]) & 0xffffff;
  char text[200];

  g->data_size = (size + 3) & ~3u;
  g->data_left = g->data_size;
  if (s->state == SESSION_LOGIN && opcode != LOGIN_RESPONSE &&
      pdu_is_text (h, GUARD_BHS, text, sizeof text) != NULL) {
    session_kill (s, FAIL_REFUSED, "%s", text);
    return false;
  }
  if (s->state == SESSION_LOGIN && opcode != LOGIN_RESPONSE)
    return refuse (s, "a login is answered with PDU type %02xh", opcode);
  switch (opcode) {
  case LOGIN_RESPONSE:
    return size > 0 || login_over (s);  /* else after its text */
  case DATA_IN:
    return data_in (s, find_command (s, itt), size);
  case R2T:
    return ready_to_transfer (s, find_command (s, itt));
  case SCSI_RESPONSE:
    return scsi_response (s, find_command (s, itt));
  case NOP_IN:
    if (get_be32 (&h[AT_TTT]) != NO_TAG && ++g->nops > MAX_NOPS)
      return refuse (s, "a flood of NOP-In");
    return true;
  case PDU_ASYNC:
    return !asked_to_end (s);
  default:                      /* libiscsi looks at those well enough */
    return true;
  }
}

/* ---- data ---------------------------------------------------------------------- */

/* What libiscsi takes for a number: decimal digits.  It also takes everything
 * else, for 0. */
static bool
number (const char *text, uint32_t *n)
{
  uint64_t v = 0;

  if (*text == '\0')
    return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9' || v > MAX_LENGTH)
      return false;
    v = v * 10 + (*text - '0');
  }
  *n = v;
  return v <= MAX_LENGTH;
}

static const char *
value_of (const char *pair, const char *key)
{
  const size_t n = strlen (key);

  return strncmp (pair, key, n) == 0 && pair[n] == '=' ? pair + n + 1 : NULL;
}

/* Only this form does libiscsi compare.  Before our challenge was sent it
 * compares with zeroes, which no real answer is. */
static bool
is_proof (const char *value)
{
  return strncmp (value, "0x", 2) == 0 && strlen (value) == 2 + 32 &&
    strspn (value + 2, "0123456789abcdefABCDEF") == 32 &&
    strspn (value + 2, "0") != 32;
}

static bool
login_pair (struct session *s, const char *pair)
{
  /* The last two are iSER's (RFC 7145), but libiscsi obeys them always. */
  static const char *const segments[] = {
    "MaxRecvDataSegmentLength", "TargetRecvDataSegmentLength",
    "InitiatorRecvDataSegmentLength",
  };
  struct guard *g = &s->guard;
  const char *value;
  uint32_t n;

  for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++) {
    value = value_of (pair, segments[i]);
    if (value == NULL)
      continue;
    if (!number (value, &n) || n < MIN_LENGTH)
      return refuse (s, "%s=%.30s", segments[i], value);
    if (i == 0 || (i == 1 && n < g->segment))
      g->segment = n;
  }
  value = value_of (pair, "MaxBurstLength");
  if (value != NULL && (!number (value, &n) || n < MIN_LENGTH))
    return refuse (s, "MaxBurstLength=%.30s", value);
  /* "Irrelevant" is right when there is nothing unsolicited. */
  value = value_of (pair, "FirstBurstLength");
  if (value != NULL && strcmp (value, "Irrelevant") == 0)
    g->first_burst = 0;         /* as libiscsi's strtol () */
  else if (value != NULL) {
    if (!number (value, &n) || n < MIN_LENGTH)
      return refuse (s, "FirstBurstLength=%.30s", value);
    g->first_burst = n;
  }
  value = value_of (pair, "CHAP_R");
  if (value != NULL && is_proof (value))
    g->proof_came = true;
  value = value_of (pair, "ImmediateData");
  if (value != NULL)
    g->no_immediate = strcmp (value, "No") == 0;
  value = value_of (pair, "InitialR2T");
  if (value != NULL)
    g->solicited_only = strcmp (value, "No") != 0;
  return true;
}

/* NUL-terminated pairs; a text without its NUL is refused by libiscsi. */
static bool
login_text (struct session *s, const char *text, size_t size)
{
  struct guard *g = &s->guard;
  const char *end;

  /* libiscsi reads no further than an empty one. */
  for (; size > 0 && (end = memchr (text, '\0', size)) != NULL && end != text;
       size -= end + 1 - text, text = end + 1)
    if (!login_pair (s, text))
      return false;
  if (g->first_burst / g->segment > MAX_PIECES)
    return refuse (s, "FirstBurstLength=%u in segments of %u", g->first_burst,
                   g->segment);
  return true;
}

bool
guard_wants_data (const struct guard *g)
{
  const uint8_t opcode = g->header[0] & 0x3f;

  return opcode == LOGIN_RESPONSE || opcode == SCSI_RESPONSE;
}

bool
guard_data (struct session *s, const uint8_t *data)
{
  const uint8_t *h = s->guard.header;
  const size_t size = get_be32 (&h[AT_LENGTH - 1]) & 0xffffff;

  if ((h[0] & 0x3f) == LOGIN_RESPONSE)
    return login_text (s, (const char *) data, size) && login_over (s);
  /* SenseLength, then descriptor format (SPC-4 4.5.2) whose descriptors
   * libiscsi reads to the end of ADDITIONAL SENSE LENGTH. */
  if (h[AT_STATUS] == SCSI_STATUS_CHECK_CONDITION && size >= 10 &&
      (data[2] & 0x7e) == 0x72 && (size_t) 10 + data[9] > size)
    return refuse (s, "sense data of %zu bytes with descriptors of %u",
                   size - 2, data[9]);
  return true;
}

void
guard_sent (struct session *s, uint32_t itt, size_t size)
{
  struct command *const cmd = find_command (s, itt);

  if (cmd != NULL)
    cmd->sent += size;
}

void
guard_refill (struct session *s)
{
  s->guard.budget = BUDGET;
  s->guard.taken = 0;
}
