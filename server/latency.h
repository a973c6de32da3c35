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

extern void latency_add (struct latency *l, double seconds);
/* Seconds; 0 when nothing was added yet. */
extern double latency_mean (const struct latency *l);
/* Seconds within which the fraction Q (0 < Q <= 1) was answered. */
extern double latency_quantile (const struct latency *l, double q);

#endif /* MPISCSI_LATENCY_H */
