/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules for silence, in virtual time. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rules/health.h"

static const struct health_input quiet = {
  .now = 1000, .last_rx = 1000,
  .noop_out_interval = 5, .noop_out_timeout = 2, .fast_io_fail_tmo = 5,
  .command_timeout = 60,
};

static void
idle_session_is_asked (void **unused)
{
  struct health_input in = quiet;

  (void) unused;
  assert_int_equal (health_check (&in), HEALTH_OK);
  in.last_rx = 995.01;
  assert_int_equal (health_check (&in), HEALTH_OK);
  in.last_rx = 995;
  assert_int_equal (health_check (&in), HEALTH_PING);
  in.noop_out_interval = 0;     /* off */
  assert_int_equal (health_check (&in), HEALTH_OK);
}

static void
busy_session_is_asked_sooner (void **unused)
{
  struct health_input in = quiet;

  (void) unused;
  in.last_rx = 900;
  in.oldest_command = 999.6;
  assert_int_equal (health_check (&in), HEALTH_OK);
  in.oldest_command = 999.5;
  assert_int_equal (health_check (&in), HEALTH_PING);
  in.noop_out_interval = 0.2;
  in.oldest_command = 999.75;
  assert_int_equal (health_check (&in), HEALTH_PING);
}

static void
dead_network (void **unused)
{
  struct health_input in = quiet;

  (void) unused;
  in.last_rx = in.oldest_command = 1000 - HEALTH_NET_DEAD - 0.1;
  in.ping_sent = 999.9;
  in.unacked_since = 1000 - HEALTH_NET_DEAD - 0.01;
  /* The only path: one lost second is not worth losing it ... */
  assert_int_equal (health_check (&in), HEALTH_OK);
  /* ... but with another one it is. */
  in.alternative = true;
  assert_int_equal (health_check (&in), HEALTH_DEAD_NETWORK);
  in.unacked_since = 999.5;     /* not that long */
  assert_int_equal (health_check (&in), HEALTH_OK);
  in.unacked_since = 0;         /* acknowledged: silent, but not dead */
  assert_int_equal (health_check (&in), HEALTH_OK);
  in.unacked_since = 990;       /* answers do come in */
  in.last_rx = 999.9;
  assert_int_equal (health_check (&in), HEALTH_OK);

  in.alternative = false;
  in.last_rx = in.oldest_command = in.unacked_since = 994.9;
  assert_int_equal (health_check (&in), HEALTH_DEAD_NETWORK);
  in.fast_io_fail_tmo = -1;     /* off */
  assert_int_equal (health_check (&in), HEALTH_OK);
  in.last_rx = in.oldest_command = 940;
  assert_int_equal (health_check (&in), HEALTH_DEAD_COMMAND);
}

static void
silent_alone_or_with_all (void **unused)
{
  struct health_input in = quiet;

  (void) unused;
  in.oldest_command = 997;
  in.last_rx = 997;
  in.ping_sent = 998;
  in.alternative = true;
  in.others_last_rx = 997.5;    /* silent since before the question too */
  assert_int_equal (health_check (&in), HEALTH_OK);
  in.others_last_rx = 999;
  assert_int_equal (health_check (&in), HEALTH_DEAD_SILENT);
  in.alternative = false;       /* the answers are for other LUNs */
  assert_int_equal (health_check (&in), HEALTH_OK);
  in.alternative = true;
  in.ping_sent = 998.1;         /* not yet */
  assert_int_equal (health_check (&in), HEALTH_OK);
}

static void
busy_target_keeps_its_paths (void **unused)
{
  /* 20 s of nothing on any path, all acknowledged. */
  (void) unused;
  for (double t = 0.6; t < 20; t += 0.1) {
    struct health_input in = quiet;

    in.last_rx = in.oldest_command = in.now - t;
    in.ping_sent = in.now - t + 0.5;
    in.alternative = true;
    in.others_last_rx = in.now - t;
    assert_int_equal (health_check (&in), HEALTH_OK);
  }
}

static void
slow_command_on_live_session (void **unused)
{
  struct health_input in = quiet;

  (void) unused;
  in.oldest_command = 970;      /* 30 s, but NOPs are answered */
  in.last_rx = 999.9;
  in.alternative = true;
  in.others_last_rx = 1000;
  assert_int_equal (health_check (&in), HEALTH_OK);
  in.oldest_command = 940;
  assert_int_equal (health_check (&in), HEALTH_DEAD_COMMAND);
  in.command_timeout = 0;       /* off */
  assert_int_equal (health_check (&in), HEALTH_OK);
}

static void
backoff (void **unused)
{
  double last = 0;

  (void) unused;
  for (unsigned i = 0; i < 40; ++i) {
    const double lo = backoff_delay (i, false, 5, 0);
    const double hi = backoff_delay (i, false, 5, 0.999);

    assert_true (lo > 0 && lo < hi && hi <= 2.5);
    assert_true (hi >= last);
    last = hi;
    assert_true (backoff_delay (i, true, 5, 0.999) <= 1.5);
  }
  assert_true (last > 2.4);
  /* At once, more or less, after the first loss. */
  assert_true (backoff_delay (0, true, 5, 0.999) <= 0.1);
  /* A short polling interval is respected. */
  assert_true (backoff_delay (9, false, 0.5, 0.999) <= 0.25);
}

/* no_path_retry: 0 fail, -1 queue, else polling intervals. */
static void
loss (void **unused)
{
  (void) unused;
  assert_true (loss_delay (600, 5, 0, 5) == 600);
  assert_true (loss_delay (3, 5, 0, 5) == 5);
  assert_true (loss_delay (0, 5, 0, 5) == 5);
  assert_true (loss_delay (3, -1, 0, 5) == 3);
  /* Queueing ends first. */
  assert_true (loss_delay (30, 5, 12, 5) == 60);
  assert_true (loss_delay (90, 5, 12, 5) == 90);
  /* Never. */
  assert_true (loss_delay (-1, 5, 0, 5) < 0);
  assert_true (loss_delay (-1, 5, 12, 5) < 0);
  assert_true (loss_delay (30, 5, -1, 5) < 0);
  assert_true (loss_delay (30, -1, -1, 5) < 0);
}

/* A thousand sessions of as many initiators lose their portal at the same
 * moment, for a minute: 1/10 s of virtual time after the other, how many of
 * them try? */
static void
no_stampede (void **unused)
{
  enum { SESSIONS = 1000, TENTHS = 600 };
  static unsigned tries[TENTHS];
  unsigned seed = 1;

  (void) unused;
  for (unsigned i = 0; i < SESSIONS; ++i) {
    double t = 0;

    for (unsigned attempt = 0; ; ++attempt) {
      seed = seed * 1103515245 + 12345;
      t += backoff_delay (attempt, false, 5, (seed >> 16) % 1000 / 1000.);
      if (t >= TENTHS / 10.)
        break;
      tries[(int) (t * 10)]++;
    }
  }
  /* They are nearly in step at first, each at most 2.5 s after its last try;
   * once that was a few times, less than a third of them come in any 1/10 s,
   * and after half a minute they come as evenly as they can. */
  for (unsigned i = 0; i < TENTHS; ++i) {
    if (i >= 100)
      assert_in_range (tries[i], 0, SESSIONS * 32 / 100);
    if (i >= 300)
      assert_in_range (tries[i], SESSIONS / 100, SESSIONS / 10);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (idle_session_is_asked),
    cmocka_unit_test (busy_session_is_asked_sooner),
    cmocka_unit_test (dead_network),
    cmocka_unit_test (silent_alone_or_with_all),
    cmocka_unit_test (busy_target_keeps_its_paths),
    cmocka_unit_test (slow_command_on_live_session),
    cmocka_unit_test (backoff),
    cmocka_unit_test (loss),
    cmocka_unit_test (no_stampede),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
