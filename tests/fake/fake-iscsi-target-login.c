/* SPDX-License-Identifier: BSD-3-Clause */
/* fake-iscsi-target: login, and SendTargets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake-iscsi-target.h"

static uint16_t last_tsih;

static void
login_answer (struct connection *c, const uint8_t *in, uint8_t flags,
              uint16_t status, const void *text, size_t n)
{
  uint8_t bhs[BHS_SIZE] = { OP_LOGIN_RESPONSE };

  bhs[BHS_FLAGS] = flags;
  memcpy (bhs + 8, in + 8, 6);  /* ISID */
  put16 (bhs + 14, c->tsih);
  memcpy (bhs + BHS_ITT, in + BHS_ITT, 4);
  if (evil (EVIL_LOGIN_WRONG_ITT))
    bhs[BHS_ITT] ^= 0x55;
  put16 (bhs + 36, status);
  send_pdu (c, bhs, text, n, true);
  if (status >> 8 != 0)
    c->closing = true;
}

static void
add_number (struct bytes *b, const char *key, uint32_t v)
{
  char buf[16];

  snprintf (buf, sizeof buf, "%u", v);
  text_add (b, key, buf);
}

static bool
is (const char *k, size_t n, const char *key, const char **value)
{
  size_t m = strlen (key);

  if (n <= m || memcmp (k, key, m) != 0 || k[m] != '=')
    return false;
  *value = k + m + 1;
  return true;
}

/* The smaller of what is offered and what we want, RFC 7143 13.13, 13.14. */
static uint32_t
smaller (const char *value, uint32_t ours)
{
  unsigned long v = strtoul (value, NULL, 0);

  return v < ours ? (uint32_t) v : ours;
}

static void
negotiate (struct connection *c, const uint8_t *pdu, struct bytes *out)
{
  static const char *const no_answer[] = {
    "InitiatorName", "InitiatorAlias", "SessionType", "TargetName", NULL
  };
  static const char *const fixed[][2] = {
    { "HeaderDigest", "None" }, { "DataDigest", "None" },
    { "AuthMethod", "None" }, { "MaxConnections", "1" },
    { "DataPDUInOrder", "Yes" }, { "DataSequenceInOrder", "Yes" },
    { "ErrorRecoveryLevel", "0" }, { "MaxOutstandingR2T", "1" },
    { "DefaultTime2Wait", "2" }, { "DefaultTime2Retain", "0" },
    { "IFMarker", "No" }, { "OFMarker", "No" },
  };
  const char *text = (const char *) pdu + pdu_header_size (pdu), *k, *v;
  size_t n, i, length = pdu_data_length (pdu);

  for (k = NULL; (k = text_next (text, length, k, &n)) != NULL; ) {
    char key[64];
    const char *eq = memchr (k, '=', n);

    if (eq == NULL || (size_t) (eq - k) >= sizeof key)
      continue;
    memcpy (key, k, (size_t) (eq - k));
    key[eq - k] = '\0';
    for (i = 0; no_answer[i] && strcmp (no_answer[i], key) != 0; i++)
      ;
    if (no_answer[i])
      continue;
    for (i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
      if (strcmp (fixed[i][0], key) == 0)
        break;
    if (i < sizeof fixed / sizeof fixed[0])
      text_add (out, key, fixed[i][1]);
    else if (is (k, n, "MaxRecvDataSegmentLength", &v)) {
      c->mrdsl = smaller (v, 0xffffff);
      if (c->mrdsl < 512)
        c->mrdsl = 512;
      add_number (out, key, opt_mrdsl);
    }
    else if (is (k, n, "MaxBurstLength", &v)) {
      c->max_burst = smaller (v, opt_max_burst);
      add_number (out, key, c->max_burst);
    }
    else if (is (k, n, "FirstBurstLength", &v)) {
      c->first_burst = smaller (v, opt_first_burst);
      add_number (out, key, c->first_burst);
    }
    else if (is (k, n, "InitialR2T", &v)) {
      c->initial_r2t = opt_initial_r2t || *v == 'Y';
      text_add (out, key, c->initial_r2t ? "Yes" : "No");
    }
    else if (is (k, n, "ImmediateData", &v)) {
      c->immediate_data = opt_immediate_data && *v == 'Y';
      text_add (out, key, c->immediate_data ? "Yes" : "No");
    }
    else
      text_add (out, key, "NotUnderstood");
  }
  if (c->max_burst < 512)
    c->max_burst = 512;
}

/* Lies about lengths instead of what was negotiated. */
static void
lie (struct bytes *out, bool zero)
{
  static const char *const keys[] = {
    "MaxRecvDataSegmentLength", "MaxBurstLength", "FirstBurstLength",
    "MaxOutstandingR2T", "MaxConnections",
  };
  static const char *const lies[] = {
    "-1", "-2147483648", "99999999999999999999", "4294967295", "-0x80000000",
  };

  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
    text_add (out, keys[i], zero ? "0" : lies[i]);
}

/* True: the login was answered in a hostile way. */
static bool
evil_login (struct connection *c, const uint8_t *in)
{
  static const char bad_text[] =
    "=\0==\0noequals\0TargetPortalGroupTag\0=value\0"
    "MaxRecvDataSegmentLength=\0\xff\xfe=\x80\0HeaderDigest=\0"
    "MaxBurstLength=x y z,,,\0TargetAlias=%s%n%s\0unterminated";
  uint8_t bhs[BHS_SIZE] = { OP_LOGIN_RESPONSE, 0x87 };
  char self[ADDRESS_TEXT], text[ADDRESS_TEXT + 32];
  uint8_t stage = in[BHS_FLAGS] & 0x8f;
  size_t n;

  if (evil (EVIL_LOGIN_SILENT))
    return true;
  if (evil (EVIL_LOGIN_DISCONNECT)) {
    c->closing = true;
    return true;
  }
  if (evil (EVIL_LOGIN_STATUS)) {
    login_answer (c, in, 0, 0x7f7f, "", 0);
    return true;
  }
  if (evil (EVIL_LOGIN_UNAVAILABLE)) {
    login_answer (c, in, 0, 0x0301, "", 0);
    return true;
  }
  if (evil (EVIL_LOGIN_ENDLESS)) {
    login_answer (c, in, in[BHS_FLAGS] & 0x0c, 0, "", 0);
    return true;
  }
  if (evil (EVIL_LOGIN_WRONG_STAGE)) {
    login_answer (c, in, 0x82 | (in[BHS_FLAGS] & 0x0c), 0, "", 0);
    return true;
  }
  if (evil (EVIL_LOGIN_BAD_TEXT)) {
    login_answer (c, in, stage, 0, bad_text, sizeof bad_text - 1);
    return true;
  }
  if (evil (EVIL_LOGIN_HUGE_DSL)) {
    memcpy (bhs + BHS_ITT, in + BHS_ITT, 4);
    put24 (bhs + BHS_DATA_LENGTH, 0xffffff);
    bytes_append (&c->out, bhs, sizeof bhs);
    bytes_append (&c->out, "A=B", 4);
    return true;
  }
  if (evil (EVIL_LOGIN_DATAIN)) {
    answer_with_data (c, in);
    return true;
  }
  if (evil (EVIL_LOGIN_R2T)) {
    answer_with_r2t (c, in);
    return true;
  }
  if (c->discovery)
    return false;
  if (evil (EVIL_LOGIN_REDIRECT_LOOP)) {
    address_text (&portal_address[c->portal], self);
    n = (size_t) snprintf (text, sizeof text, "TargetAddress=%s,1", self) + 1;
    login_answer (c, in, 0, 0x0101, text, n);
    return true;
  }
  if (evil (EVIL_LOGIN_REDIRECT_RUBBISH)) {
    static const char rubbish[] = "TargetAddress=[:::]:99999999,-1";

    login_answer (c, in, 0, 0x0101, rubbish, sizeof rubbish);
    return true;
  }
  if (evil (EVIL_LOGIN_REDIRECT_EMPTY)) {
    login_answer (c, in, 0, 0x0101, "", 0);
    return true;
  }
  return false;
}

void
handle_login (struct connection *c, uint8_t *pdu)
{
  const char *text = (const char *) pdu_data (pdu);
  size_t length = pdu_data_length (pdu);
  char *name = text_get (text, length, "TargetName");
  char *type = text_get (text, length, "SessionType");
  char *initiator = text_get (text, length, "InitiatorName");
  bool first = !c->started;
  uint8_t flags = pdu[BHS_FLAGS];
  struct bytes out = { 0 };
  enum chap chap;

  if (first) {
    c->started = true;
    c->expcmdsn = get32 (pdu + BHS_CMDSN);
    c->statsn = get32 (pdu + BHS_EXPSTATSN);
    memcpy (c->isid, pdu + 8, 6);
    c->discovery = type && strcmp (type, "Discovery") == 0;
    if (initiator)
      snprintf (c->initiator, sizeof c->initiator, "%s", initiator);
  }
  if (evil_login (c, pdu))
    goto out;
  if (first && (initiator == NULL || (!c->discovery && name == NULL))) {
    login_answer (c, pdu, 0, 0x0207, "", 0); /* missing parameter */
    goto out;
  }
  if (first && !c->discovery && strcmp (name, target_name) != 0) {
    login_answer (c, pdu, 0, 0x0203, "", 0); /* not found */
    goto out;
  }
  if (first && get16 (pdu + 14) != 0) {
    login_answer (c, pdu, 0, 0x020a, "", 0); /* session does not exist */
    goto out;
  }
  chap = evil (EVIL_LOGIN_UNPROVED) || evil (EVIL_LOGIN_PROOF_FORM) ||
    evil (EVIL_LOGIN_PROOF_ZERO) || evil (EVIL_LOGIN_PROOF_HIDDEN) ? CHAP_NOT_NOW : chap_step (c, pdu, &out);
  if (chap == CHAP_REFUSED) {
    login_answer (c, pdu, 0, 0x0201, "", 0); /* authentication failure */
    goto out;
  }
  if (chap == CHAP_NOT_NOW)
    negotiate (c, pdu, &out);
  if (evil (EVIL_LOGIN_NEGATIVE))
    lie (&out, false);
  if (evil (EVIL_LOGIN_ZERO))
    lie (&out, true);
  /* RFC 7143 13.9: in the first response of a normal session. */
  if (first && !c->discovery)
    add_number (&out, "TargetPortalGroupTag", (uint32_t) portal_tpgt[c->portal]);

  if (evil (EVIL_LOGIN_UNPROVED) || evil (EVIL_LOGIN_PROOF_FORM) ||
      evil (EVIL_LOGIN_PROOF_ZERO) || evil (EVIL_LOGIN_PROOF_HIDDEN))
    flags = 0x87;
  /* libiscsi compares only what begins with 0x, with zeroes before it has sent
   * a challenge, and reads no further than an empty pair. */
  if (evil (EVIL_LOGIN_PROOF_FORM))
    text_add (&out, "CHAP_R", "0b0123456789abcdef0123456789abcdef");
  if (evil (EVIL_LOGIN_PROOF_ZERO)) {
    text_add (&out, "CHAP_N", "bob");
    text_add (&out, "CHAP_R", "0x00000000000000000000000000000000");
  }
  if (evil (EVIL_LOGIN_PROOF_HIDDEN)) {
    bytes_append (&out, "", 1);
    text_add (&out, "CHAP_R", "0x0123456789abcdef0123456789abcdef");
  }
  flags &= 0x8f;                /* T, CSG, NSG as asked; C never */
  if (chap == CHAP_GOES_ON)
    flags &= 0x7f;
  if (!(flags & 0x80))
    flags &= 0x0c;
  if ((flags & 0x83) == 0x83) {
    logout_session (c);
    c->tsih = ++last_tsih ? last_tsih : ++last_tsih;
  }
  login_answer (c, pdu, flags, 0,
                bytes_length (&out) ? (char *) bytes_front (&out) : "",
                bytes_length (&out));
  if ((flags & 0x83) == 0x83) {
    c->full_feature = true;
    if (!c->discovery) {
      c->shrunk = evil (EVIL_CAPACITY_SHRINK);
      c->grown = evil (EVIL_CAPACITY_GROW);
      c->other_wwid = evil (EVIL_WWID_CHANGE);
      c->other_block_size = evil (EVIL_BLOCK_SIZE_CHANGE);
    }
  }
 out:
  bytes_free (&out);
  free (name);
  free (type);
  free (initiator);
}

static void
send_targets (struct bytes *b)
{
  char value[ADDRESS_TEXT + 16], name[64];

  if (evil (EVIL_TEXT_EMPTY))
    return;
  if (evil (EVIL_TEXT_BAD)) {
    text_add (b, "TargetAddress", "127.0.0.1:3260,1");
    text_add (b, "TargetName", "");
    text_add (b, "TargetAddress", "");
    text_add (b, "TargetName", target_name);
    text_add (b, "TargetAddress", ",,,");
    text_add (b, "TargetAddress", "[::1:3260,1");
    text_add (b, "TargetAddress", "127.0.0.1:99999999999,99999999");
    text_add (b, "TargetAddress", ":,1");
    bytes_append (b, "TargetAddress", 14);
    bytes_append (b, "\xff\x01=%s\n\x1b[2J", 11);
  }
  text_add (b, "TargetName", target_name);
  for (int i = 0; i < n_portals; i++) {
    char addr[ADDRESS_TEXT];

    snprintf (value, sizeof value, "%s,%d",
              address_text (&portal_address[i], addr), portal_tpgt[i]);
    text_add (b, "TargetAddress", value);
  }
  if (evil (EVIL_TEXT_FLOOD))
    for (int i = 0; i < 600; i++) {
      snprintf (name, sizeof name, "iqn.2026-11.example.flood:%d", i);
      text_add (b, "TargetName", name);
      for (int k = 0; k < 8; k++) {
        snprintf (value, sizeof value, "127.%d.%d.%d:1,1", k + 1, i >> 8,
                  i & 0xff);
        text_add (b, "TargetAddress", value);
      }
    }
}

void
handle_text (struct connection *c, uint8_t *pdu)
{
  char *what;
  uint8_t bhs[BHS_SIZE] = { OP_TEXT_RESPONSE };
  size_t part = evil (EVIL_TEXT_CONTINUATION) ? 16 : c->mrdsl, n;

  if (evil (EVIL_TEXT_DATAIN)) {
    answer_with_data (c, pdu);
    return;
  }
  what = text_get ((const char *) pdu_data (pdu), pdu_data_length (pdu),
                   "SendTargets");
  if (what != NULL) {
    bytes_free (&c->text);
    send_targets (&c->text);
  }
  free (what);
  if (evil (EVIL_TEXT_ENDLESS)) {
    part = 4096;
    while (bytes_length (&c->text) <= part)
      text_add (&c->text, "TargetName", "iqn.2026-11.example:and-another");
  }
  n = bytes_length (&c->text);
  memcpy (bhs + BHS_ITT, pdu + BHS_ITT, 4);
  put32 (bhs + BHS_TTT, NO_TAG);
  bhs[BHS_FLAGS] = FLAG_FINAL;
  if (n > part) {
    n = part;
    bhs[BHS_FLAGS] = FLAG_CONTINUE;
    put32 (bhs + BHS_TTT, 1);
  }
  send_pdu (c, bhs, n ? (char *) bytes_front (&c->text) : "", n, true);
  bytes_consume (&c->text, n);
}
