/* SPDX-License-Identifier: BSD-3-Clause */
/* When is a read late?  And how many of the late ones may be asked for twice?
 *
 * Pure.  Whoever has one of these locks it (the engine lock).
 */
#ifndef MPISCSI_LATENESS_H
#define MPISCSI_LATENESS_H

#include <stdbool.h>

#include "rules/latency.h"

/* Share of the reads that may be hedged, and how many at once after a time
 * without any (nbdkit has 16 requests per connection under way). */
#define HEDGE_SHARE 0.05
#define HEDGE_BURST 16

/* What is usual for the reads of a path lately: the time within which 19 of
 * 20 were answered.  Not 99 of 100, for then stalls of one read in 50 would
 * be usual; what is rarer than HEDGE_SHARE is what may be hedged. */
struct lateness {
  struct latency now;           /* of the reads since the last look */
  double before, usual;         /* seconds, of the last two looks; 0: none */
};

/* A read was answered after so many seconds. */
extern void lateness_add (struct lateness *l, double seconds);
/* Seconds after which a read is late; 0: not known yet. */
extern double lateness_limit (const struct lateness *l);

/* A bucket of tokens: each read that is answered pays in HEDGE_SHARE. */
struct hedge_budget { double tokens; };

extern void hedge_budget_init (struct hedge_budget *b);
extern void hedge_budget_earn (struct hedge_budget *b);
/* false: nothing left. */
extern bool hedge_budget_spend (struct hedge_budget *b);

#endif /* MPISCSI_LATENESS_H */
