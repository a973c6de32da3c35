/* SPDX-License-Identifier: BSD-3-Clause */
/* Text from outside.  See text.h. */
#include <config.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"

/* The bytes of the character at P (RFC 3629 section 4), 0 if it is none: not
 * the shortest form, a surrogate, too large, or cut off.  *c: its number. */
static size_t
decode (const unsigned char *p, uint32_t *c)
{
  static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
  const size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2
    : p[0] < 0xf0 ? 3 : p[0] < 0xf8 ? 4 : 0;

  *c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
  for (size_t i = 1; i < n; ++i) {
    if ((p[i] & 0xc0) != 0x80)          /* or the NUL */
      return 0;
    *c = *c << 6 | (p[i] & 0x3f);
  }
  if (n > 1 && (*c < smallest[n] || (*c >= 0xd800 && *c <= 0xdfff) ||
                *c > 0x10ffff))
    return 0;
  return n;
}

static bool
is_printable (uint32_t c)
{
  static const struct { uint32_t first, last; } bad[] = {
    { 0, 0x1f }, { 0x7f, 0x9f },
    { 0x061c, 0x061c }, { 0x200e, 0x200f },     /* direction marks */
    { 0x2028, 0x202e },         /* separators; embeddings and overrides */
    { 0x2066, 0x2069 },         /* isolates */
    { 0xfeff, 0xfeff },         /* not seen at all */
  };

  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i)
    if (c >= bad[i].first && c <= bad[i].last)
      return false;
  return true;
}

char *
text_safe (const char *in, char *out, size_t size)
{
  static const char hex[] = "0123456789abcdef";
  const unsigned char *p = (const unsigned char *) in;
  size_t at = 0;

  while (*p) {
    uint32_t c;
    const size_t n = decode (p, &c);

    if (n > 0 && is_printable (c)) {
      if (at + n >= size)
        break;
      memcpy (out + at, p, n);
      at += n;
      p += n;
      continue;
    }
    /* Byte by byte: what stands behind a broken one may be good. */
    if (at + 4 >= size)
      break;
    out[at++] = '\\';
    out[at++] = 'x';
    out[at++] = hex[*p >> 4];
    out[at++] = hex[*p & 15];
    p++;
  }
  out[at] = '\0';
  return out;
}
