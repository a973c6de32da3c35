/* SPDX-License-Identifier: BSD-3-Clause */
/* See login-filter.h. */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>

#include "iscsi/login-filter.h"

#define BAD "the target breaks the protocol: "
/* Bytes of a CHAP challenge: RFC 7143 12.1.3 allows 1024. */
#define CHAP_MAX 1024
#define CHAP_R_SIZE 16          /* MD5 */
#define NSG_MASK 0x03
#define NSG_FULL_FEATURE 0x03

__attribute__ ((format (printf, 2, 3)))
static bool
refuse (struct login_filter *f, const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  vsnprintf (f->why, sizeof f->why, fs, args);
  va_end (args);
  return false;
}

void
login_filter_start (struct login_filter *f, const char *header_digest,
                    const char *data_digest, bool wants_proof)
{
  memset (f, 0, offsetof (struct login_filter, text));
  f->header_digest = header_digest;
  f->data_digest = data_digest;
  f->wants_proof = wants_proof;
  f->tpgt = -1;
  /* What is in force if nobody says anything, RFC 7143 13. */
  f->start.keys = (struct ffp_keys) {
    .initial_r2t = true, .immediate_data = true, .pdu_in_order = true,
    .sequence_in_order = true, .our_segment = 8192, .their_segment = 8192,
    .first_burst = 65536, .max_burst = 262144, .max_r2t = 1,
  };
  f->offered_first_burst = 65536;
  f->offered_max_burst = 262144;
  f->offered_initial_r2t = f->offered_immediate_data = true;
}

/* ---- text to be sent --------------------------------------------------------------- */

struct writer {
  uint8_t *at, *end;
};

static void
put (struct writer *w, const char *key, const char *value, size_t n)
{
  const size_t k = strlen (key);

  if ((size_t) (w->end - w->at) < k + n + 2)
    return;                     /* then the login fails for want of it */
  memcpy (w->at, key, k);
  w->at[k] = '=';
  memcpy (w->at + k + 1, value, n);
  w->at[k + 1 + n] = '\0';
  w->at += k + n + 2;
}

static void
put_text (struct writer *w, const char *key, const char *value)
{
  put (w, key, value, strlen (value));
}

static size_t
finish (uint8_t *out, const struct writer *w)
{
  const uint32_t size = (uint32_t) (w->at - (out + PDU_BHS));

  out[PDU_AT_AHS] = 0;
  pdu_set_data_size (out, size);
  memset (out + PDU_BHS + size, 0, pdu_padding (size));
  return PDU_BHS + size + pdu_padding (size);
}

/* ---- requests ------------------------------------------------------------------------ */

static bool
is_key (const char *pair, size_t length, const char *key, const char **value,
        size_t *n)
{
  const size_t k = strlen (key);

  if (length <= k || memcmp (pair, key, k) != 0 || pair[k] != '=')
    return false;
  *value = pair + k + 1;
  *n = length - k - 1;
  return true;
}

static bool
is_word (const char *value, size_t n, const char *word)
{
  return n == strlen (word) && memcmp (value, word, n) == 0;
}

static void
request_pair (struct login_filter *f, const char *pair, size_t length,
              struct writer *w)
{
  const char *v;
  size_t n;

  if (is_key (pair, length, "HeaderDigest", &v, &n)) {
    put_text (w, "HeaderDigest", f->header_digest);
    return;
  }
  if (is_key (pair, length, "DataDigest", &v, &n)) {
    put_text (w, "DataDigest", f->data_digest);
    return;
  }
  if (is_key (pair, length, "MaxOutstandingR2T", &v, &n)) {
    char most[12];

    snprintf (most, sizeof most, "%d", FFP_R2TS);
    put_text (w, "MaxOutstandingR2T", most);
    return;
  }
  if (is_key (pair, length, "MaxRecvDataSegmentLength", &v, &n))
    text_number (v, n, &f->start.keys.our_segment);
  else if (is_key (pair, length, "FirstBurstLength", &v, &n))
    text_number (v, n, &f->offered_first_burst);
  else if (is_key (pair, length, "MaxBurstLength", &v, &n))
    text_number (v, n, &f->offered_max_burst);
  else if (is_key (pair, length, "InitialR2T", &v, &n))
    f->offered_initial_r2t = is_word (v, n, "Yes");
  else if (is_key (pair, length, "ImmediateData", &v, &n))
    f->offered_immediate_data = is_word (v, n, "Yes");
  else if (is_key (pair, length, "CHAP_C", &v, &n))
    f->challenged = true;
  memcpy (w->at, pair, length);
  w->at[length] = '\0';
  w->at += length + 1;
}

enum login_verdict
login_filter_request (struct login_filter *f, const uint8_t *pdu, uint8_t *out,
                      size_t *size)
{
  const char *text = (const char *) pdu + PDU_BHS, *pair = NULL;
  const size_t all = pdu_data_size (pdu);
  struct writer w = { out + PDU_BHS, out + LOGIN_PDU_MAX };
  size_t length;

  if (pdu_opcode (pdu) != PDU_LOGIN_REQUEST || pdu[PDU_AT_AHS] != 0 ||
      all > LOGIN_TEXT_MAX / 2) {
    refuse (f, "libiscsi sends a PDU of type %02xh in a login",
            pdu_opcode (pdu));
    return LOGIN_REFUSED;
  }
  memcpy (f->request, pdu, PDU_BHS);
  memcpy (out, pdu, PDU_BHS);
  while ((pair = text_pair (text, all, pair, &length)) != NULL)
    request_pair (f, pair, length, &w);
  *size = finish (out, &w);
  f->start.cmdsn = get_be32 (&pdu[PDU_AT_CMDSN]);
  return LOGIN_FORWARD;
}

/* ---- responses: what is negotiated --------------------------------------------------- */

/* In place of a value: then what holds without the key does (6.2). */
static bool
is_no_value (const char *v, size_t n)
{
  return is_word (v, n, "Irrelevant") || is_word (v, n, "Reject") ||
    is_word (v, n, "NotUnderstood");
}

static bool
bad_value (struct login_filter *f, const char *key, const char *v, size_t n)
{
  return refuse (f, BAD "%s=%.*s", key, (int) (n < 30 ? n : 30), v);
}

static bool
length_key (struct login_filter *f, const char *key, const char *v, size_t n,
            uint32_t offer, uint32_t none, uint32_t *to)
{
  uint32_t x;

  if (is_no_value (v, n)) {
    *to = none;
    return true;
  }
  if (!text_number (v, n, &x) || x < PDU_MIN_LENGTH || x > PDU_MAX_DATA)
    return bad_value (f, key, v, n);
  *to = x < offer ? x : offer;
  return true;
}

/* A list was offered: one of it, or none of it, is taken. */
static bool
digest_key (struct login_filter *f, const char *key, const char *offer,
            const char *v, size_t n, bool *to)
{
  *to = false;
  if (is_word (v, n, "CRC32C") && strstr (offer, "CRC32C") != NULL)
    *to = true;
  else if (!is_word (v, n, "None") && !is_no_value (v, n))
    return bad_value (f, key, v, n);
  return true;
}

static bool
learn (struct login_filter *f, const char *pair, size_t length)
{
  struct ffp_keys *k = &f->start.keys;
  const char *v;
  uint32_t x;
  size_t n;

  if (is_key (pair, length, "MaxRecvDataSegmentLength", &v, &n)) {
    if (!text_number (v, n, &x) || x < PDU_MIN_LENGTH || x > PDU_MAX_DATA)
      return bad_value (f, "MaxRecvDataSegmentLength", v, n);
    k->their_segment = x;
  }
  else if (is_key (pair, length, "MaxBurstLength", &v, &n))
    return length_key (f, "MaxBurstLength", v, n, f->offered_max_burst, 262144,
                       &k->max_burst);
  /* Irrelevant, where nothing goes without an R2T: 13.14. */
  else if (is_key (pair, length, "FirstBurstLength", &v, &n))
    return length_key (f, "FirstBurstLength", v, n, f->offered_first_burst,
                       is_word (v, n, "Irrelevant") ? 0 : 65536,
                       &k->first_burst);
  else if (is_key (pair, length, "InitialR2T", &v, &n)) /* or: 13.10 */
    k->initial_r2t = f->offered_initial_r2t || !is_word (v, n, "No");
  else if (is_key (pair, length, "ImmediateData", &v, &n)) /* and: 13.11 */
    k->immediate_data = f->offered_immediate_data && is_word (v, n, "Yes");
  else if (is_key (pair, length, "MaxOutstandingR2T", &v, &n))
    k->max_r2t = text_number (v, n, &x) && x > 0 ? x : 1;
  else if (is_key (pair, length, "DataPDUInOrder", &v, &n))
    k->pdu_in_order = !is_word (v, n, "No");
  else if (is_key (pair, length, "DataSequenceInOrder", &v, &n))
    k->sequence_in_order = !is_word (v, n, "No");
  else if (is_key (pair, length, "HeaderDigest", &v, &n))
    return digest_key (f, "HeaderDigest", f->header_digest, v, n,
                       &k->header_digest);
  else if (is_key (pair, length, "DataDigest", &v, &n))
    return digest_key (f, "DataDigest", f->data_digest, v, n, &k->data_digest);
  else if (is_key (pair, length, "TargetPortalGroupTag", &v, &n)) {
    if (text_number (v, n, &x) && x <= 0xffff)
      f->tpgt = (int) x;
  }
  return true;
}

/* ---- responses: what libiscsi is told -------------------------------------------------- */

static void
put_binary (struct writer *w, const char *key, const uint8_t *bytes, size_t n)
{
  static const char digits[] = "0123456789abcdef";
  char text[2 + 2 * CHAP_MAX] = "0x";

  for (size_t i = 0; i < n; i++) {
    text[2 + 2 * i] = digits[bytes[i] >> 4];
    text[3 + 2 * i] = digits[bytes[i] & 15];
  }
  put (w, key, text, 2 + 2 * n);
}

/* In the one form that libiscsi takes, for any that it may have. */
static bool
binary_key (struct login_filter *f, const char *key, const char *v, size_t n,
            struct writer *w)
{
  uint8_t bytes[CHAP_MAX];
  const int size = text_binary (v, n, bytes, sizeof bytes);

  if (size < 0)
    return bad_value (f, key, v, n);
  if (strcmp (key, "CHAP_R") == 0) {
    /* libiscsi compares it with zeroes before it has sent a challenge. */
    if (!f->challenged)
      return true;
    if (size != CHAP_R_SIZE)
      return bad_value (f, key, v, n);
    f->proof_came = true;       /* libiscsi checks what it is */
  }
  put_binary (w, key, bytes, (size_t) size);
  return true;
}

static bool
tell (struct login_filter *f, const char *pair, size_t length, struct writer *w)
{
  static const char *const numbers[] = { "CHAP_A", "CHAP_I" };
  static const char *const binaries[] = { "CHAP_C", "CHAP_R" };
  static const char *const texts[] = { "AuthMethod", "CHAP_N", "TargetAddress" };
  const char *v;
  char text[12];
  uint32_t x;
  size_t n;

  for (size_t i = 0; i < 2; i++)
    if (is_key (pair, length, numbers[i], &v, &n)) {
      if (!text_number (v, n, &x) || x > 255)
        return bad_value (f, numbers[i], v, n);
      snprintf (text, sizeof text, "%u", x);
      put_text (w, numbers[i], text);
      return true;
    }
  for (size_t i = 0; i < 2; i++)
    if (is_key (pair, length, binaries[i], &v, &n))
      return binary_key (f, binaries[i], v, n, w);
  for (size_t i = 0; i < 3; i++)
    if (is_key (pair, length, texts[i], &v, &n))
      put (w, texts[i], v, n);
  return true;
}

/* ---- responses ---------------------------------------------------------------------------- */

bool
login_filter_header (struct login_filter *f, const uint8_t *h)
{
  const uint32_t size = pdu_data_size (h);
  char text[200];

  if (pdu_opcode (h) != PDU_LOGIN_RESPONSE &&
      pdu_is_text (h, PDU_BHS, text, sizeof text) != NULL)
    return refuse (f, "%s", text);
  if (pdu_opcode (h) != PDU_LOGIN_RESPONSE)
    return refuse (f, BAD "a login is answered with PDU type %02xh",
                   pdu_opcode (h));
  if (h[PDU_AT_AHS] != 0)
    return refuse (f, BAD "Login Response with an additional header segment of "
                   "%u bytes", pdu_ahs_size (h));
  if (get_be32 (&h[PDU_AT_ITT]) != get_be32 (&f->request[PDU_AT_ITT]))
    return refuse (f, BAD "Login Response for task %08xh, the request was %08xh",
                   get_be32 (&h[PDU_AT_ITT]),
                   get_be32 (&f->request[PDU_AT_ITT]));
  if (size > LOGIN_TEXT_MAX - f->text_size)
    return refuse (f, BAD "Login Response with %zu bytes of text",
                   f->text_size + size);
  return true;
}

/* RFC 7143 6.2: an empty request, until it says that this is all. */
static enum login_verdict
ask_for_more (struct login_filter *f, const uint8_t *h, uint8_t *out,
              size_t *size)
{
  memcpy (out, f->request, PDU_BHS);
  out[PDU_AT_FLAGS] &= 0x0c;    /* the stage; no T, no C */
  pdu_set_data_size (out, 0);
  put_be32 (&out[PDU_AT_EXPSTATSN], get_be32 (&h[PDU_AT_STATSN]) + 1);
  *size = PDU_BHS;
  return LOGIN_ASK;
}

static bool
logged_in (struct login_filter *f, const uint8_t *h)
{
  const uint32_t expected = get_be32 (&h[PDU_AT_EXPCMDSN]);
  const uint32_t max = get_be32 (&h[PDU_AT_MAXCMDSN]);

  if (f->wants_proof && !f->proof_came) {
    f->auth_failed = true;
    return refuse (f, "authentication failed: the target did not prove itself "
                   "with mutual-user and mutual-password");
  }
  if (strcmp (f->header_digest, "CRC32C") == 0 && !f->start.keys.header_digest)
    return refuse (f, "login failed: the target does not do "
                   "HeaderDigest=CRC32C, which header-digest= demands");
  if (strcmp (f->data_digest, "CRC32C") == 0 && !f->start.keys.data_digest)
    return refuse (f, "login failed: the target does not do "
                   "DataDigest=CRC32C, which data-digest= demands");
  if (f->start.keys.first_burst > f->start.keys.max_burst)
    f->start.keys.first_burst = f->start.keys.max_burst;
  f->tsih = get_be16 (&h[PDU_AT_TSIH]);
  f->start.exp_statsn = get_be32 (&h[PDU_AT_STATSN]) + 1;
  /* A window that means nothing lets one command out; its answer has another. */
  f->start.max_cmdsn = serial_before (max, expected - 1) ? f->start.cmdsn : max;
  f->over = true;
  return true;
}

enum login_verdict
login_filter_response (struct login_filter *f, const uint8_t *pdu, uint8_t *out,
                       size_t *size)
{
  struct writer w = { out + PDU_BHS, out + LOGIN_PDU_MAX };
  const uint8_t flags = pdu[PDU_AT_FLAGS];
  const bool success = pdu[PDU_AT_STATUS_CLASS] == 0;
  const char *pair = NULL;
  size_t length;

  if (!login_filter_header (f, pdu))
    return LOGIN_REFUSED;
  memcpy (f->text + f->text_size, pdu + PDU_BHS, pdu_data_size (pdu));
  f->text_size += pdu_data_size (pdu);
  if (success && flags & PDU_CONTINUE) {
    if (flags & PDU_TRANSIT) {
      refuse (f, BAD "Login Response with both T and C (flags %02xh)", flags);
      return LOGIN_REFUSED;
    }
    return ask_for_more (f, pdu, out, size);
  }
  memcpy (out, pdu, PDU_BHS);
  while ((pair = text_pair (f->text, f->text_size, pair, &length)) != NULL)
    if ((success && !learn (f, pair, length)) || !tell (f, pair, length, &w))
      return LOGIN_REFUSED;
  f->text_size = 0;
  *size = finish (out, &w);
  if (success && flags & PDU_TRANSIT &&
      (flags & NSG_MASK) == NSG_FULL_FEATURE && !logged_in (f, pdu))
    return LOGIN_REFUSED;
  return LOGIN_FORWARD;
}
