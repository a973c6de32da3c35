/* SPDX-License-Identifier: BSD-3-Clause */
/* rules/deaf.h in virtual time. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules/deaf.h"

/* A command waits since 1000; the other path answers all that is sent there,
 * within 1 ms, every millisecond. */
static struct deaf_input
beside_a_good_one (double now)
{
  return (struct deaf_input) {
    .now = now, .oldest = 1000, .last_answer = 999.9,
    .other_answered = now - 0.002, .other_last_answer = now - 0.001,
    .other_tail = 0.001,
  };
}

static void
test_times (void **state)
{
  struct deaf_input in;

  (void) state;
  for (double t = 1000; t < 1010; t += 0.01) {
    const double late = t - 1000;

    in = beside_a_good_one (t);
    assert_int_equal (deaf_check (&in),
                      late < DEAF_AVOID_MIN ? DEAF_NO
                      : late < DEAF_DEAD_MIN ? DEAF_AVOID : DEAF_DEAD);
    /* Where commands take long on the other path as well, long is longer. */
    in.other_tail = 0.2;
    assert_int_equal (deaf_check (&in),
                      late < DEAF_AVOID_TIMES * 0.2 ? DEAF_NO
                      : late < DEAF_DEAD_TIMES * 0.2 ? DEAF_AVOID : DEAF_DEAD);
  }
}

/* The last answer was to something older, and came after it was sent. */
static void
test_last_answer (void **state)
{
  struct deaf_input in;

  (void) state;
  for (double t = 1000; t < 1010; t += 0.01) {
    in = beside_a_good_one (t);
    in.last_answer = 1000.1;
    assert_int_equal (deaf_check (&in),
                      t - 1000.1 < DEAF_AVOID_MIN ? DEAF_NO
                      : t - 1000.1 < DEAF_DEAD_MIN ? DEAF_AVOID : DEAF_DEAD);
  }
}

static void
test_no_evidence (void **state)
{
  struct deaf_input in;

  (void) state;
  for (double t = 1000; t < 1100; t += 0.1) {
    in = beside_a_good_one (t);
    in.oldest = 0;                      /* waits for nothing */
    assert_int_equal (deaf_check (&in), DEAF_NO);
    in = beside_a_good_one (t);
    in.last_answer = t - 0.01;          /* answers others: one slow command */
    assert_int_equal (deaf_check (&in), DEAF_NO);
    in = beside_a_good_one (t);
    in.other_last_answer = 0;           /* the only path */
    assert_int_equal (deaf_check (&in), DEAF_NO);
    in = beside_a_good_one (t);
    in.other_answered = 999;            /* the whole LUN stands still */
    in.other_last_answer = 1000;
    assert_int_equal (deaf_check (&in), DEAF_NO);
  }
  /* It answered a moment, and then stood still as well. */
  in = beside_a_good_one (1010);
  in.other_answered = 1000.4;
  in.other_last_answer = 1000.41;
  assert_int_equal (deaf_check (&in), DEAF_NO);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_times),
    cmocka_unit_test (test_last_answer),
    cmocka_unit_test (test_no_evidence),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
