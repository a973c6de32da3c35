/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths that come and go, and paths that are slow.
 *
 * Pure; time is an argument, in seconds.  A path that fails too often is put
 * aside (PATH_SHAKY) although it answers, so that it stops to cost its share
 * of stalled I/O; never the last one (the caller's business).  Two ways, as
 * in multipath.conf:
 *
 * - san_path_err_threshold failures, with fewer than
 *   san_path_err_forget_rate good checks after each: aside for
 *   san_path_err_recovery_time.
 * - two failures within marginal_path_double_failed_time: aside; then its
 *   error rate is measured with reads for marginal_path_err_sample_time, and
 *   again every marginal_path_err_recheck_gap_time, until it is below
 *   marginal_path_err_rate_threshold (per thousand).
 */
#ifndef MPISCSI_FLAP_H
#define MPISCSI_FLAP_H

#include <stdbool.h>

#include "conf/settings.h"

/* Seconds between two reads while the error rate is measured. */
#define FLAP_SAMPLE_INTERVAL 0.1

struct flap {
  unsigned failures;            /* san_path_err */
  int good_checks;              /* since the last one */
  double last_failure;          /* 0: never */
  bool doubtful;                /* marginal: failed twice in short time */
  double aside_until;           /* 0: not aside */
  bool sampling;
  double sample_end;
  unsigned samples, sample_errors;
};

extern bool flap_marginal_enabled (const struct map_settings *st);
/* The path failed. */
extern void flap_failed (struct flap *f, const struct map_settings *st,
                         double now);
/* A check of the path, in use, was good. */
extern void flap_good_check (struct flap *f, const struct map_settings *st);
/* The path answers again: may it be used?  false: it is aside from now on. */
extern bool flap_may_return (struct flap *f, const struct map_settings *st,
                             double now);
enum flap_step {
  FLAP_WAIT,                    /* nothing to do yet */
  FLAP_SAMPLE,                  /* send a read, tell flap_sampled */
  FLAP_STEADY,                  /* well enough: use it */
};
/* While aside: what to do now?  Sampling starts and ends in here. */
extern enum flap_step flap_aside (struct flap *f,
                                  const struct map_settings *st, double now);
extern void flap_sampled (struct flap *f, bool good);

/* ---- slow paths ---- */

/* Is a path with an average latency of MINE slow, where the best of the
 * others has BEST?  WAS: it was slow so far (hysteresis). */
extern bool path_latency_is_slow (bool was, double mine, double best);
/* A moment's slowness is no reason, and a moment's quickness none against it:
 * on a busy machine the averages jump.  *PROOF is the seconds of being slow,
 * less half of those of not being so; the last look was SINCE seconds ago. */
extern bool path_slow_is_proven (double *proof, bool slow, double since);
/* The moving average over about 1 / WEIGHT samples. */
extern double latency_average (double average, double sample, double weight);

#endif /* MPISCSI_FLAP_H */
