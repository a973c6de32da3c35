/* SPDX-License-Identifier: BSD-3-Clause */
/* "did you mean ...?" */
#include <config.h>

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "conf/options.h"

#define LONGEST 63              /* longer words are not compared */

static int
fold (char c)
{
  return c == '-' ? '_' : tolower ((unsigned char) c);
}

static unsigned
min3 (unsigned a, unsigned b, unsigned c)
{
  unsigned m = a < b ? a : b;
  return m < c ? m : c;
}

/* Optimal string alignment: insert, delete, change, swap of neighbours. */
static unsigned
distance (const char *a, const char *b)
{
  const size_t la = strlen (a), lb = strlen (b);
  unsigned char rows[3][LONGEST + 1];

  if (la > LONGEST || lb > LONGEST)
    return LONGEST;
  for (size_t j = 0; j <= lb; ++j)
    rows[0][j] = (unsigned char) j;
  for (size_t i = 1; i <= la; ++i) {
    unsigned char *now = rows[i % 3];
    const unsigned char *last = rows[(i - 1) % 3];
    const unsigned char *before = rows[(i + 1) % 3];

    now[0] = (unsigned char) i;
    for (size_t j = 1; j <= lb; ++j) {
      const bool same = fold (a[i-1]) == fold (b[j-1]);
      unsigned d = min3 (last[j] + 1u, now[j-1] + 1u, last[j-1] + !same);

      if (i > 1 && j > 1 && fold (a[i-1]) == fold (b[j-2]) &&
          fold (a[i-2]) == fold (b[j-1]) && before[j-2] + 1u < d)
        d = before[j-2] + 1u;
      now[j] = (unsigned char) d;
    }
  }
  return rows[la % 3][lb];
}

void
nearest_start (struct nearest *n, const char *word)
{
  n->word = word;
  n->best = NULL;
  n->distance = LONGEST;
}

void
nearest_try (struct nearest *n, const char *candidate)
{
  const unsigned d = distance (n->word, candidate);

  if (d < n->distance) {
    n->distance = d;
    n->best = candidate;
  }
}

const char *
nearest_word (const struct nearest *n)
{
  size_t allowed = 1 + strlen (n->word) / 4;

  if (allowed > 4)
    allowed = 4;
  /* Two words of which nothing is alike are no neighbours. */
  if (n->best == NULL || n->distance > allowed ||
      n->distance >= strlen (n->best))
    return NULL;
  return n->best;
}

const char *
printable (const char *text, char *buf, size_t size)
{
  const size_t n = strlen (text_safe (text, buf, size));

  if (n < strlen (text) && n >= 3)      /* nothing gets shorter but by a cut */
    memcpy (buf + n - 3, "...", 3);
  return buf;
}
