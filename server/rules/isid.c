/* SPDX-License-Identifier: BSD-3-Clause */
/* ISID qualifiers.  See isid.h. */
#include <config.h>

#include <stddef.h>

#include "rules/isid.h"

static uint64_t
add (uint64_t h, unsigned char byte)
{
  return (h ^ byte) * UINT64_C (0x100000001b3);
}

static uint64_t
add_text (uint64_t h, const char *text)
{
  for (; *text; ++text)
    h = add (h, *text);
  return add (h, '\n');
}

uint32_t
isid_qualifier (const char *target, const char *portal, unsigned nth,
                unsigned round)
{
  uint64_t h = UINT64_C (0xcbf29ce484222325);   /* FNV-1a */

  h = add_text (h, target);
  h = add_text (h, portal);
  for (int i = 0; i < 4; ++i)
    h = add (h, nth >> 8 * i);
  for (int i = 0; i < 4; ++i)
    h = add (h, round >> 8 * i);
  /* The last bytes have changed the low bits most: fold all into 16. */
  h ^= h >> 32;
  h ^= h >> 16;
  h &= 0xffff;
  return h ? h : 1;
}
