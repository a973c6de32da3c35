/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules of flap.h. */
#include <config.h>

#include "rules/flap.h"

bool
flap_marginal_enabled (const struct map_settings *st)
{
  return st->marginal_path_double_failed_time > 0 &&
    st->marginal_path_err_sample_time > 0 &&
    st->marginal_path_err_rate_threshold > 0 &&
    st->marginal_path_err_recheck_gap_time > 0;
}

static bool
san_path_err_enabled (const struct map_settings *st)
{
  return st->san_path_err_threshold > 0 && st->san_path_err_forget_rate > 0 &&
    st->san_path_err_recovery_time > 0;
}

void
flap_failed (struct flap *f, const struct map_settings *st, double now)
{
  f->failures++;
  f->good_checks = 0;
  if (flap_marginal_enabled (st) && f->last_failure > 0 &&
      now - f->last_failure <= st->marginal_path_double_failed_time)
    f->doubtful = true;
  f->last_failure = now;
  f->aside_until = 0;
  f->sampling = false;
}

void
flap_good_check (struct flap *f, const struct map_settings *st)
{
  if (f->failures > 0 && ++f->good_checks >= st->san_path_err_forget_rate) {
    f->failures--;
    f->good_checks = 0;
  }
}

bool
flap_may_return (struct flap *f, const struct map_settings *st, double now)
{
  if (f->doubtful) {
    f->aside_until = now;       /* measure at once */
    f->sampling = false;
    return false;
  }
  if (san_path_err_enabled (st) &&
      f->failures > (unsigned) st->san_path_err_threshold) {
    f->aside_until = now + st->san_path_err_recovery_time;
    return false;
  }
  return true;
}

enum flap_step
flap_aside (struct flap *f, const struct map_settings *st, double now)
{
  if (!f->doubtful) {
    if (now < f->aside_until)
      return FLAP_WAIT;
    f->failures = 0;
    f->aside_until = 0;
    return FLAP_STEADY;
  }
  if (!f->sampling) {
    if (now < f->aside_until)
      return FLAP_WAIT;
    f->sampling = true;
    f->sample_end = now + st->marginal_path_err_sample_time;
    f->samples = f->sample_errors = 0;
    return FLAP_SAMPLE;
  }
  if (now < f->sample_end)
    return FLAP_SAMPLE;
  f->sampling = false;
  if (f->samples > 0 && (uint64_t) f->sample_errors * 1000 <
      (uint64_t) st->marginal_path_err_rate_threshold * f->samples) {
    f->doubtful = false;
    f->failures = 0;
    f->aside_until = 0;
    return FLAP_STEADY;
  }
  f->aside_until = now + st->marginal_path_err_recheck_gap_time;
  return FLAP_WAIT;
}

void
flap_sampled (struct flap *f, bool good)
{
  f->samples++;
  if (!good)
    f->sample_errors++;
}

/* Below this difference, in seconds, nobody notices. */
#define SLOW_DIFFERENCE 0.010
#define SLOW_FACTOR 5
#define FAST_FACTOR 2.5

bool
path_latency_is_slow (bool was, double mine, double best)
{
  const double factor = was ? FAST_FACTOR : SLOW_FACTOR;
  const double difference = was ? SLOW_DIFFERENCE / 2 : SLOW_DIFFERENCE;

  return mine > best * factor && mine - best > difference;
}

/* How much proof is enough, in seconds. */
#define SLOW_PROOF 1.0
/* Looks that are further apart say nothing of the time between. */
#define SLOW_GAP 0.5

bool
path_slow_is_proven (double *proof, bool slow, double since)
{
  if (since > SLOW_GAP)
    since = SLOW_GAP;
  *proof += slow ? since : -since / 2;
  if (*proof < 0)
    *proof = 0;
  return slow && *proof >= SLOW_PROOF;
}

double
latency_average (double average, double sample, double weight)
{
  return average == 0 ? sample : average + (sample - average) * weight;
}
