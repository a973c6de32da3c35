/* SPDX-License-Identifier: BSD-3-Clause */
/* How long commands take: a histogram with four buckets per power of two of
 * microseconds, so that a quantile is right to about a tenth of its value.
 *
 * Pure.  Whoever has a struct latency locks it (a path's: the engine lock). */
#ifndef MPISCSI_LATENCY_H
#define MPISCSI_LATENCY_H

#include <stdint.h>

#define LATENCY_BUCKETS 108     /* the last one begins at 234 s */

struct latency {
  uint64_t count, total_us;
  uint64_t buckets[LATENCY_BUCKETS];
};

static inline unsigned
latency_bucket (uint64_t us)
{
  unsigned log2, i;

  if (us < 4)
    return us;
  log2 = 63 - __builtin_clzll (us);
  i = log2 * 4 - 4 + ((us >> (log2 - 2)) & 3);
  return i < LATENCY_BUCKETS ? i : LATENCY_BUCKETS - 1;
}

static inline void
latency_add (struct latency *l, double seconds)
{
  const uint64_t us = seconds > 0 ? (uint64_t) (seconds * 1e6) : 0;

  l->count++;
  l->total_us += us;
  l->buckets[latency_bucket (us)]++;
}

/* Seconds; 0 when nothing was added yet. */
extern double latency_mean (const struct latency *l);
/* Seconds within which the fraction Q (0 < Q <= 1) was answered. */
extern double latency_quantile (const struct latency *l, double q);

#endif /* MPISCSI_LATENCY_H */
