/* SPDX-License-Identifier: BSD-3-Clause */
/* See crc32c.h: with the processor's instruction where it has one, else eight
 * bytes at a time by table ("slicing by 8"). */
#include <config.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined __aarch64__ && defined __linux__
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

#include "iscsi/crc32c.h"

#define POLYNOMIAL 0x82f63b78   /* 1EDC6F41h, reflected */

static uint32_t table[8][256];
static bool has_instruction;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- the instruction ---------------------------------------------------------- */

#if defined __x86_64__

static bool
processor_can (void)
{
  __builtin_cpu_init ();
  return __builtin_cpu_supports ("sse4.2");
}

__attribute__ ((target ("sse4.2")))
static uint32_t
by_instruction (uint32_t crc, const uint8_t *p, size_t size)
{
  uint64_t c = crc, v;

  for (; size >= 8; p += 8, size -= 8) {
    memcpy (&v, p, 8);
    c = __builtin_ia32_crc32di (c, v);
  }
  crc = (uint32_t) c;
  for (; size > 0; p++, size--)
    crc = __builtin_ia32_crc32qi (crc, *p);
  return crc;
}

#elif defined __aarch64__ && defined __linux__ && defined __ARM_FEATURE_CRC32

static bool
processor_can (void)
{
  return getauxval (AT_HWCAP) & (1 << 7); /* HWCAP_CRC32 */
}

static uint32_t
by_instruction (uint32_t crc, const uint8_t *p, size_t size)
{
  uint64_t v;

  for (; size >= 8; p += 8, size -= 8) {
    memcpy (&v, p, 8);
    crc = __crc32cd (crc, v);
  }
  for (; size > 0; p++, size--)
    crc = __crc32cb (crc, *p);
  return crc;
}

#else

static bool
processor_can (void)
{
  return false;
}

static uint32_t
by_instruction (uint32_t crc, const uint8_t *p, size_t size)
{
  return crc32c_by_table (crc, p, size);
}

#endif

/* ---- the table ------------------------------------------------------------------ */

static void
prepare (void)
{
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;

    for (int bit = 0; bit < 8; bit++)
      c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
    table[0][i] = c;
  }
  for (int k = 1; k < 8; k++)
    for (int i = 0; i < 256; i++)
      table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
  has_instruction = processor_can ();
}

static uint32_t
get_le32 (const uint8_t *p)
{
  return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t) p[3] << 24;
}

uint32_t
crc32c_by_table (uint32_t crc, const void *data, size_t size)
{
  const uint8_t *p = data;

  pthread_once (&once, prepare);
  for (; size >= 8; p += 8, size -= 8) {
    const uint32_t a = crc ^ get_le32 (p), b = get_le32 (p + 4);

    crc = table[7][a & 0xff] ^ table[6][a >> 8 & 0xff] ^
      table[5][a >> 16 & 0xff] ^ table[4][a >> 24] ^
      table[3][b & 0xff] ^ table[2][b >> 8 & 0xff] ^
      table[1][b >> 16 & 0xff] ^ table[0][b >> 24];
  }
  for (; size > 0; p++, size--)
    crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
  return crc;
}

uint32_t
crc32c_update (uint32_t crc, const void *data, size_t size)
{
  pthread_once (&once, prepare);
  return has_instruction ? by_instruction (crc, data, size)
    : crc32c_by_table (crc, data, size);
}

void
crc32c_put (uint8_t *to, uint32_t crc)
{
  crc = ~crc;
  for (int i = 0; i < 4; i++)
    to[i] = (uint8_t) (crc >> 8 * i);
}
