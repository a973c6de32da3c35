/* SPDX-License-Identifier: BSD-3-Clause */
/* fake-iscsi-target: demands CHAP with MD5 (RFC 7143 12.1.3, RFC 1994), and
 * proves itself if it is asked to and can. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "fake-iscsi-target.h"

const char *chap_user, *chap_secret, *chap_mutual_user, *chap_mutual_secret;
bool chap_discovery_only;

/* --- MD5, RFC 1321 ----------------------------------------------------- */

#define MD5_SIZE 16

static uint32_t
rotate (uint32_t v, unsigned n)
{
  return v << n | v >> (32 - n);
}

static void
md5_block (uint32_t state[4], const uint8_t *p)
{
  static const uint8_t shifts[4][4] = {
    { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 },
  };
  uint32_t word[16], a = state[0], b = state[1], c = state[2], d = state[3];

  for (int i = 0; i < 16; i++, p += 4)
    word[i] = p[0] | p[1] << 8 | p[2] << 16 | (uint32_t) p[3] << 24;
  for (int i = 0; i < 64; i++) {
    /* The table of the RFC, which is made of sines. */
    const uint32_t t = (uint32_t) (4294967296.0 * fabs (sin (i + 1)));
    uint32_t f, next = d;
    int k;

    switch (i / 16) {
    case 0: f = (b & c) | (~b & d); k = i; break;
    case 1: f = (d & b) | (~d & c); k = 5 * i + 1; break;
    case 2: f = b ^ c ^ d; k = 3 * i + 5; break;
    default: f = c ^ (b | ~d); k = 7 * i; break;
    }
    d = c;
    c = b;
    b += rotate (a + f + t + word[k % 16], shifts[i / 16][i % 4]);
    a = next;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

static void
md5 (const uint8_t *p, size_t n, uint8_t out[MD5_SIZE])
{
  uint32_t state[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
  uint8_t tail[128] = { 0 };
  size_t rest = n % 64, end = rest < 56 ? 64 : 128;

  for (size_t i = 0; i + 64 <= n; i += 64)
    md5_block (state, p + i);
  if (rest > 0)
    memcpy (tail, p + n - rest, rest);
  tail[rest] = 0x80;
  for (int i = 0; i < 8; i++)
    tail[end - 8 + (size_t) i] = (uint8_t) ((uint64_t) n * 8 >> 8 * i);
  for (size_t i = 0; i < end; i += 64)
    md5_block (state, tail + i);
  for (int i = 0; i < MD5_SIZE; i++)
    out[i] = (uint8_t) (state[i / 4] >> 8 * (i % 4));
}

bool
md5_works (void)
{
  static const uint8_t of_abc[MD5_SIZE] = {     /* RFC 1321 A.5 */
    0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0,
    0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72,
  };
  uint8_t digest[MD5_SIZE];

  md5 ((const uint8_t *) "abc", 3, digest);
  return memcmp (digest, of_abc, MD5_SIZE) == 0;
}

/* --- CHAP -------------------------------------------------------------- */

/* RFC 1994 4.1: of identifier, secret and challenge. */
static void
response_of (uint8_t id, const char *secret, const uint8_t *challenge,
             size_t n, uint8_t out[MD5_SIZE])
{
  struct bytes b = { 0 };

  bytes_append (&b, &id, 1);
  bytes_append (&b, secret, strlen (secret));
  bytes_append (&b, challenge, n);
  md5 (bytes_front (&b), bytes_length (&b), out);
  bytes_free (&b);
}

static void
add_hex (struct bytes *out, const char *key, const uint8_t *p, size_t n)
{
  char text[2 + 2 * CHAP_CHALLENGE + 1] = "0x";

  for (size_t i = 0; i < n; i++)
    snprintf (text + 2 + 2 * i, 3, "%02x", p[i]);
  text_add (out, key, text);
}

/* How many bytes; 0: it is not hex, or too long. */
static size_t
get_hex (const char *text, uint8_t *out, size_t room)
{
  size_t n = 0;

  if (text == NULL || strncasecmp (text, "0x", 2) != 0)
    return 0;
  for (text += 2; *text; text += 2, n++) {
    unsigned v;

    if (n == room || !isxdigit ((unsigned char) text[0]) ||
        !isxdigit ((unsigned char) text[1]) || sscanf (text, "%2x", &v) != 1)
      return 0;
    out[n] = (uint8_t) v;
  }
  return n;
}

static bool
proves_itself (struct connection *c, const char *name, const char *response)
{
  uint8_t expected[MD5_SIZE], got[MD5_SIZE];

  response_of (c->chap_id, chap_secret, c->chap_challenge, CHAP_CHALLENGE,
               expected);
  return name && strcmp (name, chap_user) == 0 &&
    get_hex (response, got, sizeof got) == MD5_SIZE &&
    memcmp (got, expected, MD5_SIZE) == 0;
}

/* The initiator's turn to ask. */
static bool
prove (const char *id, const char *challenge, struct bytes *out)
{
  uint8_t asked[CHAP_CHALLENGE], response[MD5_SIZE];
  size_t n = get_hex (challenge, asked, sizeof asked);

  if (chap_mutual_user == NULL || n == 0)
    return false;
  response_of ((uint8_t) atoi (id), chap_mutual_secret, asked, n, response);
  text_add (out, "CHAP_N", chap_mutual_user);
  add_hex (out, "CHAP_R", response, MD5_SIZE);
  return true;
}

static enum chap
check_response (struct connection *c, const char *text, size_t length,
                struct bytes *out)
{
  char *name = text_get (text, length, "CHAP_N");
  char *response = text_get (text, length, "CHAP_R");
  char *id = text_get (text, length, "CHAP_I");
  char *challenge = text_get (text, length, "CHAP_C");
  enum chap r = CHAP_REFUSED;

  if (proves_itself (c, name, response) &&
      (id == NULL || prove (id, challenge, out)))
    r = CHAP_PASSED;
  free (name);
  free (response);
  free (id);
  free (challenge);
  return r;
}

/* AuthMethod, CHAP_A, and CHAP_N with CHAP_R come in this order, one in each
 * request. */
enum chap
chap_step (struct connection *c, uint8_t *pdu, struct bytes *out)
{
  const char *text = (const char *) pdu_data (pdu);
  const size_t length = pdu_data_length (pdu);
  char *value;

  if (chap_user == NULL || c->authenticated ||
      (chap_discovery_only && !c->discovery))
    return CHAP_NOT_NOW;
  if (pdu[BHS_FLAGS] & 0x0c)    /* CSG: past the security negotiation */
    return CHAP_REFUSED;
  value = text_get (text, length, "AuthMethod");
  if (value != NULL) {
    const bool offered = strstr (value, "CHAP") != NULL;

    free (value);
    if (!offered)
      return CHAP_REFUSED;
    text_add (out, "AuthMethod", "CHAP");
    return CHAP_GOES_ON;
  }
  value = text_get (text, length, "CHAP_A");
  if (value != NULL) {
    const bool with_md5 = strcmp (value, "5") == 0;
    char number[8];

    free (value);
    if (!with_md5 || getrandom (c->chap_challenge, CHAP_CHALLENGE, 0) !=
        CHAP_CHALLENGE || getrandom (&c->chap_id, 1, 0) != 1)
      return CHAP_REFUSED;
    c->chap_asked = true;
    snprintf (number, sizeof number, "%u", c->chap_id);
    text_add (out, "CHAP_A", "5");
    text_add (out, "CHAP_I", number);
    add_hex (out, "CHAP_C", c->chap_challenge, CHAP_CHALLENGE);
    return CHAP_GOES_ON;
  }
  if (!c->chap_asked || check_response (c, text, length, out) != CHAP_PASSED)
    return CHAP_REFUSED;
  c->authenticated = true;
  return CHAP_PASSED;
}
