/* SPDX-License-Identifier: BSD-3-Clause */
/* The histogram of latency.h. */
#include <config.h>

#include "rules/latency.h"

static uint64_t
bucket_start (unsigned i)
{
  return i < 4 ? i : (uint64_t) (4 + i % 4) << (i / 4 - 1);
}

double
latency_mean (const struct latency *l)
{
  return l->count > 0 ? l->total_us / 1e6 / l->count : 0;
}

double
latency_quantile (const struct latency *l, double q)
{
  const double rank = q * l->count;
  double below = 0;
  unsigned i;

  if (l->count == 0)
    return 0;
  for (i = 0; i < LATENCY_BUCKETS - 1; ++i) {
    if (below + l->buckets[i] >= rank && l->buckets[i] > 0)
      break;
    below += l->buckets[i];
  }
  /* As if the bucket's values were spread evenly over it. */
  return (bucket_start (i) + (double)
          (bucket_start (i + 1) - bucket_start (i)) *
          (l->buckets[i] > 0 ? (rank - below) / l->buckets[i] : 0)) / 1e6;
}
