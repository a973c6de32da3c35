/* SPDX-License-Identifier: BSD-3-Clause */
/* The rule of deaf.h. */
#include <config.h>

#include "rules/deaf.h"

static double
limit (double least, double times, double tail)
{
  return tail * times > least ? tail * times : least;
}

enum deaf_verdict
deaf_check (const struct deaf_input *in)
{
  /* What was sent before the oldest one may be answered after it was sent. */
  const double since = in->last_answer > in->oldest ? in->last_answer
    : in->oldest;
  const double late = in->now - since;
  const double avoid = limit (DEAF_AVOID_MIN, DEAF_AVOID_TIMES,
                              in->other_tail);
  const double dead = limit (DEAF_DEAD_MIN, DEAF_DEAD_TIMES, in->other_tail);

  if (in->oldest <= 0 || in->other_last_answer <= 0)
    return DEAF_NO;
  /* The other one answers what came later, and has done so lately: the LUN
   * itself is not what is slow. */
  if (in->other_answered < since + avoid / 2 ||
      in->now - in->other_last_answer > avoid)
    return DEAF_NO;
  if (late >= dead && in->other_answered >= since + dead / 2)
    return DEAF_DEAD;
  return late >= avoid ? DEAF_AVOID : DEAF_NO;
}
