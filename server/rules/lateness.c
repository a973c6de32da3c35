/* SPDX-License-Identifier: BSD-3-Clause */
/* Late reads and the budget for them.  See lateness.h. */
#include <config.h>

#include <string.h>

#include "rules/lateness.h"

/* Reads from one look to the next. */
#define WINDOW 256
#define USUAL 0.95
/* Late is what takes so many times what is usual, and at least so many
 * seconds: a disk's seek, a worker that polls for its answer (SOLO_PATIENCE)
 * and a thread that waits for its CPU are nothing to hedge against. */
#define TIMES 3
#define FLOOR 0.005

void
lateness_add (struct lateness *l, double seconds)
{
  latency_add (&l->now, seconds);
  if (l->now.count < WINDOW)
    return;
  l->before = l->usual;
  l->usual = latency_quantile (&l->now, USUAL);
  memset (&l->now, 0, sizeof l->now);
}

double
lateness_limit (const struct lateness *l)
{
  /* The slower of the two looks: a quiet time does not make a busy one late. */
  const double usual = l->before > l->usual ? l->before : l->usual;

  if (usual == 0)
    return 0;
  return usual * TIMES > FLOOR ? usual * TIMES : FLOOR;
}

void
hedge_budget_init (struct hedge_budget *b)
{
  b->tokens = HEDGE_BURST;
}

void
hedge_budget_earn (struct hedge_budget *b)
{
  b->tokens += HEDGE_SHARE;
  if (b->tokens > HEDGE_BURST)
    b->tokens = HEDGE_BURST;
}

bool
hedge_budget_spend (struct hedge_budget *b)
{
  if (b->tokens < 1)
    return false;
  b->tokens -= 1;
  return true;
}
