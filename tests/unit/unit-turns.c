/* SPDX-License-Identifier: BSD-3-Clause */
/* rules/turns.h: shares of a session's slots, and of a map's queue. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rules/turns.h"

#define USERS 5

static struct turns t;
static struct turn u[USERS];

static void
begin (void)
{
  turns_init (&t);
  for (unsigned i = 0; i < USERS; ++i)
    turn_init (&u[i]);
}

static void
test_nobody_waits (void **state)
{
  (void) state;
  begin ();
  assert_null (turns_next (&t));
  for (unsigned i = 0; i < USERS; ++i)
    assert_true (turns_may_take (&t, &u[i]));
  turns_taken (&t, &u[0], 1 << 20, 100);        /* costs nothing */
  assert_null (turns_next (&t));
  turns_leave (&u[0]);                          /* harmless */
}

static void
test_line (void **state)
{
  (void) state;
  begin ();
  turns_wait (&t, &u[1], 100);
  turns_wait (&t, &u[2], 100);
  turns_wait (&t, &u[1], 100);                  /* is in line already */
  assert_ptr_equal (turns_next (&t), &u[1]);
  assert_true (turns_may_take (&t, &u[1]));
  assert_false (turns_may_take (&t, &u[2]));
  assert_false (turns_may_take (&t, &u[0]));    /* not in line at all */
  turns_leave (&u[1]);
  assert_ptr_equal (turns_next (&t), &u[2]);
  turns_leave (&u[2]);
  assert_true (turns_may_take (&t, &u[0]));
}

/* All want more for ever, with so many bytes a command: how much does each
 * get of 100,000 slots? */
static void
fight (const unsigned *weight, const uint32_t *bytes, unsigned n,
       double *commands, double *cost)
{
  begin ();
  memset (commands, 0, n * sizeof *commands);
  memset (cost, 0, n * sizeof *cost);
  for (unsigned i = 0; i < n; ++i)
    turns_wait (&t, &u[i], weight[i]);
  for (unsigned k = 0; k < 100000; ++k) {
    struct turn *next = turns_next (&t);
    const unsigned i = next - u;

    assert_true (turns_may_take (&t, next));
    commands[i]++;
    cost[i] += TURN_COST (bytes[i]);
    turns_taken (&t, next, bytes[i], weight[i]);
  }
}

static void
assert_about (double is, double must)
{
  if (is < must * 0.9 || is > must * 1.1)
    fail_msg ("%g, and must be about %g", is, must);
}

static void
test_shares (void **state)
{
  double commands[USERS], cost[USERS];
  const unsigned alike[] = { 100, 100, 100 }, twice[] = { 100, 200, 400 };
  const unsigned little[] = { 1, 100 };
  const uint32_t small[] = { 4096, 4096, 4096 };
  const uint32_t mixed[] = { 4096, 256 * 1024, 128 * 1024 };

  (void) state;
  fight (alike, small, 3, commands, cost);
  assert_about (commands[1] / commands[0], 1);
  assert_about (commands[2] / commands[0], 1);
  fight (twice, small, 3, commands, cost);
  assert_about (commands[1] / commands[0], 2);
  assert_about (commands[2] / commands[0], 4);
  /* Large commands do not get more bytes than small ones' turns are worth. */
  fight (alike, mixed, 3, commands, cost);
  for (unsigned i = 1; i < 3; ++i)
    if (cost[i] > cost[0] * 1.5 || cost[i] < cost[0] / 1.5)
      fail_msg ("cost %g and %g", cost[0], cost[i]);
  /* The least weight is not none. */
  fight (little, small, 2, commands, cost);
  assert_true (commands[0] > 10000);
}

/* However much the others want: who comes gets a slot after one turn of each. */
static void
test_newcomer (void **state)
{
  (void) state;
  begin ();
  for (unsigned i = 0; i < USERS - 1; ++i)
    turns_wait (&t, &u[i], 100);
  for (unsigned k = 0; k < 1000; ++k)
    turns_taken (&t, turns_next (&t), 4096, 100);
  turns_wait (&t, &u[USERS - 1], 100);
  for (unsigned k = 0; ; ++k) {
    if (turns_next (&t) == &u[USERS - 1])
      break;
    assert_true (k < (USERS - 1) * TURN_CREDIT);
    turns_taken (&t, turns_next (&t), 4096, 100);
  }
}

static void
test_tags (void **state)
{
  struct share a = { 0 }, b = { 0 };
  uint64_t now = 0, last = 0;

  (void) state;
  /* A client's own commands stay in order. */
  for (int i = 0; i < 1000; ++i) {
    const uint64_t tag = share_tag (&a, now, (i * 37) % 300000);

    assert_true (i == 0 || tag > last);
    last = tag;
  }
  /* One that comes later is not behind all that. */
  assert_int_equal (share_tag (&b, now, 4096), now);
  assert_true (share_tag (&b, now, 4096) < last);
  /* And one that was idle has saved nothing up. */
  now = last + 1000;
  assert_int_equal (share_tag (&b, now, 4096), now);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_nobody_waits),
    cmocka_unit_test (test_line),
    cmocka_unit_test (test_shares),
    cmocka_unit_test (test_newcomer),
    cmocka_unit_test (test_tags),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
