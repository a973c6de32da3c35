/* SPDX-License-Identifier: BSD-3-Clause */
/* Flapping and slow paths, in virtual time. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rules/flap.h"

static const struct map_settings off;
static const struct map_settings san = {
  .san_path_err_threshold = 2, .san_path_err_forget_rate = 5,
  .san_path_err_recovery_time = 100,
};
static const struct map_settings marginal = {
  .marginal_path_double_failed_time = 60,
  .marginal_path_err_sample_time = 10,
  .marginal_path_err_rate_threshold = 100,      /* per thousand */
  .marginal_path_err_recheck_gap_time = 300,
};

static void
never_aside_by_default (void **unused)
{
  struct flap f = { 0 };

  (void) unused;
  for (int i = 1; i < 1000; ++i) {
    flap_failed (&f, &off, i);
    assert_true (flap_may_return (&f, &off, i));
  }
}

static void
san_path_err (void **unused)
{
  struct flap f = { 0 };

  (void) unused;
  flap_failed (&f, &san, 1);
  assert_true (flap_may_return (&f, &san, 2));
  flap_failed (&f, &san, 3);
  assert_true (flap_may_return (&f, &san, 4));
  flap_failed (&f, &san, 5);
  assert_false (flap_may_return (&f, &san, 10));
  assert_int_equal (flap_aside (&f, &san, 109.9), FLAP_WAIT);
  assert_int_equal (flap_aside (&f, &san, 110), FLAP_STEADY);
  /* And starts anew. */
  flap_failed (&f, &san, 120);
  assert_true (flap_may_return (&f, &san, 121));
}

static void
san_path_err_forgets (void **unused)
{
  struct flap f = { 0 };

  (void) unused;
  for (int round = 0; round < 50; ++round) {
    flap_failed (&f, &san, round + 1);
    assert_true (flap_may_return (&f, &san, round + 1));
    for (int i = 0; i < 5; ++i)
      flap_good_check (&f, &san);
  }
}

static void
marginal_path (void **unused)
{
  struct flap f = { 0 };
  double t;

  (void) unused;
  flap_failed (&f, &marginal, 1000);
  assert_true (flap_may_return (&f, &marginal, 1001));
  flap_failed (&f, &marginal, 1061);    /* 61 s later: no double failure */
  assert_true (flap_may_return (&f, &marginal, 1062));
  flap_failed (&f, &marginal, 1100);
  assert_false (flap_may_return (&f, &marginal, 1101));

  /* One in five fails: stays out, is measured again after the gap. */
  for (t = 1101; t < 1110.95; t += FLAP_SAMPLE_INTERVAL) {
    assert_int_equal (flap_aside (&f, &marginal, t), FLAP_SAMPLE);
    flap_sampled (&f, (int) (t * 10) % 5 != 0);
  }
  assert_true (f.sample_errors > 10);
  assert_int_equal (flap_aside (&f, &marginal, 1111.1), FLAP_WAIT);
  assert_int_equal (flap_aside (&f, &marginal, 1411), FLAP_WAIT);
  /* All good now. */
  for (t = 1411.2; t < 1421.1; t += FLAP_SAMPLE_INTERVAL) {
    assert_int_equal (flap_aside (&f, &marginal, t), FLAP_SAMPLE);
    flap_sampled (&f, true);
  }
  assert_int_equal (flap_aside (&f, &marginal, 1421.3), FLAP_STEADY);
}

static void
no_sample_is_no_proof (void **unused)
{
  struct flap f = { 0 };

  (void) unused;
  flap_failed (&f, &marginal, 1);
  flap_failed (&f, &marginal, 2);
  assert_false (flap_may_return (&f, &marginal, 3));
  assert_int_equal (flap_aside (&f, &marginal, 3), FLAP_SAMPLE);
  assert_int_equal (flap_aside (&f, &marginal, 13.1), FLAP_WAIT);
}

static void
slowness_needs_proof (void **state)
{
  double proof = 0;
  int n;

  (void) state;
  for (n = 1; !path_slow_is_proven (&proof, true, 0.1); n++)
    assert_true (n < 20);
  assert_in_range (n, 10, 11);
  /* Every other look is good: later, but proven. */
  proof = 0;
  for (n = 1; !path_slow_is_proven (&proof, n % 2 == 0, 0.1); n++)
    assert_true (n < 60);
  assert_in_range (n, 30, 45);
  /* Two of three are good: never. */
  proof = 0;
  for (n = 1; n < 1000; n++)
    assert_false (path_slow_is_proven (&proof, n % 3 == 0, 0.1));
  /* Not by one look after a long time. */
  proof = 0;
  assert_false (path_slow_is_proven (&proof, true, 3600));
}

static void
slow (void **unused)
{
  (void) unused;
  assert_false (path_latency_is_slow (false, 0.0002, 0.0002));
  /* Ten times a little is little. */
  assert_false (path_latency_is_slow (false, 0.001, 0.0001));
  assert_true (path_latency_is_slow (false, 0.020, 0.0002));
  /* A busy pair of paths: twice is not slow. */
  assert_false (path_latency_is_slow (false, 0.040, 0.020));
  assert_true (path_latency_is_slow (false, 0.101, 0.020));
  /* Hysteresis. */
  assert_true (path_latency_is_slow (true, 0.060, 0.020));
  assert_false (path_latency_is_slow (true, 0.045, 0.020));
  /* Four times, but of little. */
  assert_false (path_latency_is_slow (false, 0.009, 0.0005));
}

static void
average (void **unused)
{
  double a = 0;

  (void) unused;
  a = latency_average (a, 0.010, 1 / 16.);
  assert_true (a == 0.010);     /* the first one counts as it is */
  for (int i = 0; i < 200; ++i)
    a = latency_average (a, 0.001, 1 / 16.);
  assert_true (a > 0.00099 && a < 0.00101);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (never_aside_by_default),
    cmocka_unit_test (san_path_err),
    cmocka_unit_test (san_path_err_forgets),
    cmocka_unit_test (marginal_path),
    cmocka_unit_test (no_sample_is_no_proof),
    cmocka_unit_test (slow),
    cmocka_unit_test (slowness_needs_proof),
    cmocka_unit_test (average),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
