/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules of target port groups, in virtual time. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "rules/port-groups.h"

#define A 11
#define B 12
static const enum alua_state AO = ALUA_OPTIMIZED, ANO = ALUA_NON_OPTIMIZED,
  S = ALUA_STANDBY, U = ALUA_UNAVAILABLE, F = ALUA_TRANSITIONING;

static struct port_groups pg;
static unsigned changes;

static void
count (void *opaque, const struct port_group *g, const enum alua_state *from)
{
  (void) opaque;
  assert_non_null (g);
  assert_true (from == NULL || *from != g->state);
  changes++;
}

static bool
told (enum alua_state a, enum alua_state b, int via, double asked)
{
  const struct alua_report r = {
    .nr_groups = 2,
    .groups = { { A, a, false }, { B, b, false } },
  };

  return port_groups_report (&pg, &r, via, asked, asked, count, NULL);
}

static void
states_are (enum alua_state a, enum alua_state b)
{
  assert_int_equal (port_groups_find (&pg, A)->state, a);
  assert_int_equal (port_groups_find (&pg, B)->state, b);
}

static int
start (void **unused)
{
  (void) unused;
  port_groups_init (&pg);
  changes = 0;
  return 0;
}

static void
live (bool a, bool b)
{
  port_groups_find (&pg, A)->live = a;
  port_groups_find (&pg, B)->live = b;
}

static void
test_report (void **unused)
{
  (void) unused;
  assert_null (port_groups_find (&pg, A));
  assert_true (told (AO, ANO, A, 1));
  assert_int_equal (changes, 2);
  assert_false (told (AO, ANO, A, 2));
  assert_true (told (S, AO, A, 3));
  assert_int_equal (changes, 4);
  /* Asked for before: no news. */
  assert_false (told (AO, S, B, 2.5));
  states_are (S, AO);
  /* Asked for at the same time: of A's port more is known of A ... */
  assert_true (told (AO, S, B, 3));
  states_are (S, S);
  /* ... whichever answer is first. */
  assert_true (told (AO, AO, A, 3));
  states_are (AO, S);
}

static void
test_priorities (void **unused)
{
  static const struct { enum alua_state state; int plain, preferred; } rows[] = {
    { ALUA_OPTIMIZED, 50, 50 }, { ALUA_NON_OPTIMIZED, 10, 90 },
    { ALUA_LBA_DEPENDENT, 5, 85 }, { ALUA_STANDBY, 1, 81 },
    { ALUA_UNAVAILABLE, 0, 80 }, { ALUA_OFFLINE, 0, 80 },
    { ALUA_TRANSITIONING, 0, 80 },
  };

  (void) unused;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    const enum alua_state s = rows[i].state;

    assert_int_equal (alua_priority (s, false, false), rows[i].plain);
    assert_int_equal (alua_priority (s, false, true), rows[i].plain);
    assert_int_equal (alua_priority (s, true, false), rows[i].preferred);
    assert_int_equal (alua_priority (s, true, true),
                      s == ALUA_OPTIMIZED ? 130 : rows[i].preferred);
    assert_int_equal (alua_is_active (s), i < 3);
  }
}

static void
test_refused (void **unused)
{
  (void) unused;
  assert_false (port_groups_refused (&pg, A, S, 0, count, NULL));
  told (AO, AO, A, 1);
  assert_true (port_groups_refused (&pg, A, S, 2, count, NULL));
  assert_false (port_groups_refused (&pg, A, S, 2, count, NULL));
  states_are (S, AO);
  /* An answer that is older than the refusal says nothing. */
  told (AO, AO, A, 1.9);
  states_are (S, AO);
  /* The first time it may have been late. */
  told (AO, AO, B, 2);
  states_are (AO, AO);
}

/* It says active, and refuses: believed less and less quickly, but in the
 * end. */
static void
test_lies (void **unused)
{
  double now = 1, waited = 0, last = 0;

  (void) unused;
  told (AO, AO, A, now);
  for (int i = 0; i < 12; ++i) {
    assert_true (port_groups_refused (&pg, A, S, now, count, NULL));
    waited = 0;
    while (port_groups_find (&pg, A)->state != AO) {
      assert_true (waited < 6);
      told (AO, AO, A, now);
      if (port_groups_find (&pg, A)->state == AO)
        break;
      now += 0.05;
      waited += 0.05;
    }
    assert_true (i > 0 || waited == 0);
    assert_true (waited + 0.06 >= last);
    last = waited;
  }
  assert_true (last > 4);
  /* A lie of long ago is forgotten. */
  now += 20;
  port_groups_refused (&pg, A, S, now, count, NULL);
  told (AO, AO, A, now);
  states_are (AO, AO);
}

static void
test_waiting (void **unused)
{
  (void) unused;
  told (AO, S, A, 1);
  port_groups_idle (&pg, true, true, 60, 1);
  assert_false (port_groups_unsettled (&pg));
  told (S, S, A, 10);
  port_groups_idle (&pg, false, true, 60, 10);
  assert_true (port_groups_unsettled (&pg));
  assert_true (pg.idle_until == 70);
  /* A transition that begins meanwhile has its own time, once. */
  told (F, F, A, 30);
  port_groups_idle (&pg, false, true, 60, 30);
  assert_true (pg.idle_until == 90);
  told (S, S, A, 40);
  told (F, F, A, 50);
  port_groups_idle (&pg, false, true, 60, 50);
  assert_true (pg.idle_until == 90);
  /* Without a live session there is nothing to wait for. */
  port_groups_idle (&pg, false, false, 60, 55);
  assert_true (pg.idle_until == 0);
  /* The array's own time. */
  pg.transition_time = 25;
  port_groups_idle (&pg, false, true, 60, 100);
  assert_true (pg.idle_until == 125);
  port_groups_idle (&pg, true, true, 60, 101);
  assert_true (pg.idle_until == 0);
}

static void
test_asking (void **unused)
{
  double at, last = 0;

  (void) unused;
  told (S, S, A, 10);
  port_groups_idle (&pg, false, true, 60, 10);
  assert_true (port_groups_ask_at (&pg, 0) == 0.25);
  assert_true (port_groups_ask_at (&pg, 10) == 10.25);
  for (at = 10; at < 90; at += 0.5) {
    const double wait = port_groups_ask_at (&pg, at) - at;

    assert_true (wait >= 0.25 - 1e-9 && wait <= 1 + 1e-9 &&
                 wait >= last - 1e-9);
    /* Of a failover of usual length: never more than half a second late. */
    assert_true (at > 24 || wait < 0.3);
    last = wait;
  }
  assert_true (last > 1 - 1e-9);
  /* In transition while another group is in use: the same. */
  start (NULL);
  told (F, AO, A, 10);
  port_groups_idle (&pg, true, true, 60, 10);
  assert_true (port_groups_unsettled (&pg));
  assert_true (port_groups_ask_at (&pg, 10) == 10.25);
  told (S, AO, A, 11);
  assert_false (port_groups_unsettled (&pg));
}

static int
to_set (unsigned tpgs, double now)
{
  const struct port_group *g = port_groups_to_set (&pg, tpgs, now);

  return g ? g->id : -1;
}

static void
idle (double now)
{
  port_groups_idle (&pg, false, true, 60, now);
}

/* The active group's paths are lost, the other one is in standby. */
static void
test_set (void **unused)
{
  double now = 10, last = 10;
  int sent = 0;

  (void) unused;
  told (AO, S, A, 1);
  live (false, true);
  assert_int_equal (to_set (TPGS_EXPLICIT, now), -1);
  idle (now);
  assert_int_equal (to_set (TPGS_IMPLICIT, now), -1);
  assert_int_equal (to_set (0, now + 50), -1);
  assert_int_equal (to_set (TPGS_EXPLICIT, now), B);
  /* An array that moves by itself may do so first. */
  assert_int_equal (to_set (TPGS_EXPLICIT | TPGS_IMPLICIT, now), -1);
  assert_int_equal (to_set (TPGS_EXPLICIT | TPGS_IMPLICIT, now + 1), B);
  /* It does not help: less and less often. */
  for (; now < 120; now += 0.1)
    if (to_set (TPGS_EXPLICIT, now) == B) {
      assert_true (sent < 2 || now - last >= 1);
      assert_true (now - last <= 31);
      port_groups_set_sent (&pg, B, now);
      last = now;
      sent++;
    }
  assert_in_range (sent, 6, 9);
  /* When one has helped, the next loss is another one. */
  told (S, AO, B, 120);
  port_groups_idle (&pg, true, true, 60, 120);
  told (S, S, B, 121);
  idle (121);
  assert_int_equal (to_set (TPGS_EXPLICIT, 121), B);
  port_groups_set_sent (&pg, B, 121);
  /* In transition: wait. */
  told (S, F, B, 130);
  assert_int_equal (to_set (TPGS_EXPLICIT, 200), -1);
}

/* Another host takes our group, and we cannot reach the one it uses. */
static void
test_ping_pong (void **unused)
{
  (void) unused;
  told (AO, S, A, 1);
  live (true, false);
  told (S, AO, A, 100);
  idle (100);
  assert_int_equal (to_set (TPGS_EXPLICIT, 100), -1);
  assert_int_equal (to_set (TPGS_EXPLICIT, 159), -1);
  assert_int_equal (to_set (TPGS_EXPLICIT, 161), A);
  port_groups_set_sent (&pg, A, 161);
  told (AO, S, A, 161.5);
  port_groups_idle (&pg, true, true, 60, 161.5);
  /* And again: once a minute at most. */
  told (S, AO, A, 170);
  idle (170);
  assert_int_equal (to_set (TPGS_EXPLICIT, 229), -1);
  assert_int_equal (to_set (TPGS_EXPLICIT, 231), A);
}

static void
test_set_choice (void **unused)
{
  (void) unused;
  /* Nobody uses either: no war, so no minute; not the one just taken. */
  told (AO, S, A, 1);
  told (S, S, A, 10);
  live (true, true);
  idle (10);
  assert_int_equal (to_set (TPGS_EXPLICIT, 10), B);
  live (true, false);
  assert_int_equal (to_set (TPGS_EXPLICIT, 10), A);
  /* Standby is nearer to active than unavailable. */
  start (NULL);
  told (U, S, A, 1);
  live (true, true);
  idle (1);
  assert_int_equal (to_set (TPGS_EXPLICIT, 1), B);
  start (NULL);
  told (U, ALUA_OFFLINE, A, 1);
  live (true, true);
  idle (1);
  assert_int_equal (to_set (TPGS_EXPLICIT, 1), A);
  /* The favourite of two alike. */
  start (NULL);
  told (S, S, A, 1);
  live (true, true);
  port_groups_find (&pg, B)->preferred = true;
  idle (1);
  assert_int_equal (to_set (TPGS_EXPLICIT, 1), B);
  /* What our own command does to the other group nobody took away. */
  port_groups_set_sent (&pg, B, 1);
  told (S, AO, B, 1.1);
  port_groups_idle (&pg, true, true, 60, 1.1);
  told (AO, S, A, 1.2);
  assert_true (port_groups_find (&pg, B)->taken_at == 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup (f, start)
    T (test_report), T (test_priorities), T (test_refused), T (test_lies),
    T (test_waiting), T (test_asking), T (test_set), T (test_ping_pong),
    T (test_set_choice),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
