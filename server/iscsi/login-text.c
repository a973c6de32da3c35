/* SPDX-License-Identifier: BSD-3-Clause */
/* Text of login and text negotiation: RFC 7143 6.1.  See login-filter.h. */
#include <config.h>

#include "iscsi/login-filter.h"

const char *
text_pair (const char *text, size_t size, const char *pair, size_t *length)
{
  const char *const end = text + size, *nul;

  if (pair == NULL)
    pair = text;
  else
    pair += *length;
  while (pair < end && *pair == '\0')
    pair++;
  if (pair >= end)
    return NULL;
  nul = memchr (pair, '\0', (size_t) (end - pair));
  *length = (size_t) ((nul ? nul : end) - pair);
  return pair;
}

static int
hex_digit (char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

static bool
has_prefix (const char *value, size_t length, char kind)
{
  return length >= 2 && value[0] == '0' && (value[1] | 0x20) == kind;
}

bool
text_number (const char *value, size_t length, uint32_t *n)
{
  const unsigned base = has_prefix (value, length, 'x') ? 16 : 10;
  uint64_t v = 0;

  if (base == 16) {
    value += 2;
    length -= 2;
  }
  if (length == 0)
    return false;
  for (size_t i = 0; i < length; i++) {
    const int d = hex_digit (value[i]);

    if (d < 0 || (unsigned) d >= base)
      return false;
    v = v * base + (unsigned) d;
    if (v > UINT32_MAX)
      return false;
  }
  *n = (uint32_t) v;
  return true;
}

/* An odd number of digits begins with a half byte. */
static int
from_hex (const char *p, size_t length, uint8_t *out, size_t room)
{
  const size_t n = (length + 1) / 2;

  if (n == 0 || n > room)
    return -1;
  memset (out, 0, n);
  for (size_t i = 0; i < length; i++) {
    const int d = hex_digit (p[i]);
    const size_t at = i + length % 2;

    if (d < 0)
      return -1;
    out[at / 2] |= (uint8_t) (at % 2 ? d : d << 4);
  }
  return (int) n;
}

static int
from_base64 (const char *p, size_t length, uint8_t *out, size_t room)
{
  static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t bits = 0;
  unsigned have = 0;
  size_t n = 0;

  while (length > 0 && p[length - 1] == '=')
    length--;
  for (size_t i = 0; i < length; i++) {
    const char *d = p[i] ? strchr (digits, p[i]) : NULL;

    if (d == NULL)
      return -1;
    bits = bits << 6 | (uint32_t) (d - digits);
    have += 6;
    if (have >= 8) {
      have -= 8;
      if (n == room)
        return -1;
      out[n++] = (uint8_t) (bits >> have);
    }
  }
  return n > 0 ? (int) n : -1;
}

int
text_binary (const char *value, size_t length, uint8_t *out, size_t room)
{
  if (has_prefix (value, length, 'x'))
    return from_hex (value + 2, length - 2, out, room);
  if (has_prefix (value, length, 'b'))
    return from_base64 (value + 2, length - 2, out, room);
  return -1;
}
