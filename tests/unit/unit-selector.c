/* SPDX-License-Identifier: BSD-3-Clause */
/* Selectors: fairness, fail and reinstate, limits; and a random walk that
 * checks each choice against what was possible. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "rules/selector.h"

#define N 4

static const struct selector_ops *const all[] = {
  &selector_round_robin, &selector_queue_length, &selector_service_time,
};

static void
setup (struct selector *sel, const struct selector_ops *ops,
       struct selector_path *paths, unsigned n, unsigned repeat)
{
  selector_init (sel, ops);
  memset (paths, 0, n * sizeof *paths);
  for (unsigned i = 0; i < n; ++i) {
    selector_path_init (&paths[i]);
    paths[i].limit = 1000000;
    paths[i].repeat_count = repeat;
    selector_reinstate_path (sel, &paths[i]);
  }
  assert_int_equal (sel->nr_active, n);
}

static void
none_active (void **unused)
{
  struct selector sel;

  (void) unused;
  for (size_t i = 0; i < 3; ++i) {
    selector_init (&sel, all[i]);
    assert_null (all[i]->select_path (&sel, 4096));
  }
}

static void
round_robin_turns (void **unused)
{
  struct selector sel;
  struct selector_path paths[N], *p, *last = NULL;
  unsigned count[N] = { 0 }, run = 0;

  (void) unused;
  setup (&sel, &selector_round_robin, paths, N, 10);
  for (unsigned i = 0; i < 10 * N * 5; ++i) {
    p = sel.ops->select_path (&sel, 512);
    assert_non_null (p);
    count[p - paths]++;
    if (p == last)
      run++;
    else {
      if (last)
        assert_int_equal (run, 10);
      run = 1;
    }
    last = p;
  }
  for (unsigned i = 0; i < N; ++i)
    assert_int_equal (count[i], 50);
}

static void
round_robin_large_requests_alternate (void **unused)
{
  struct selector sel;
  struct selector_path paths[2], *p, *last = NULL;

  (void) unused;
  setup (&sel, &selector_round_robin, paths, 2, 1000);
  for (unsigned i = 0; i < 20; ++i) {
    p = sel.ops->select_path (&sel, 256 * 1024);
    assert_ptr_not_equal (p, last);
    last = p;
  }
}

static void
round_robin_weights (void **unused)
{
  struct selector sel;
  struct selector_path paths[2];
  unsigned count[2] = { 0 };

  (void) unused;
  setup (&sel, &selector_round_robin, paths, 2, 1);
  paths[1].repeat_count = 3;
  for (unsigned i = 0; i < 400; ++i)
    count[sel.ops->select_path (&sel, 512) - paths]++;
  assert_int_equal (count[0], 100);
  assert_int_equal (count[1], 300);
}

static void
queue_length_takes_shortest (void **unused)
{
  struct selector sel;
  struct selector_path paths[3];

  (void) unused;
  setup (&sel, &selector_queue_length, paths, 3, 1);
  paths[0].in_flight = 3;
  paths[1].in_flight = 1;
  paths[2].in_flight = 2;
  assert_ptr_equal (sel.ops->select_path (&sel, 512), &paths[1]);
  paths[1].in_flight = 9;
  assert_ptr_equal (sel.ops->select_path (&sel, 512), &paths[2]);
}

static void
service_time_takes_least_bytes (void **unused)
{
  struct selector sel;
  struct selector_path paths[2];

  (void) unused;
  setup (&sel, &selector_service_time, paths, 2, 1);
  paths[0].in_flight = 1;
  paths[0].in_flight_bytes = 1024 * 1024;
  paths[1].in_flight = 8;
  paths[1].in_flight_bytes = 8 * 4096;
  assert_ptr_equal (sel.ops->select_path (&sel, 4096), &paths[1]);
}

static void
slow_is_last_choice (void **unused)
{
  struct selector sel;
  struct selector_path paths[2];

  (void) unused;
  for (size_t k = 0; k < 3; ++k) {
    setup (&sel, all[k], paths, 2, 1);
    paths[0].slow = true;
    paths[1].limit = 1;
    for (int i = 0; i < 10; ++i)
      assert_ptr_equal (sel.ops->select_path (&sel, 512), &paths[1]);
    /* Full is better than slow ... */
    paths[1].in_flight = 1;
    assert_null (sel.ops->select_path (&sel, 512));
    /* ... but slow is better than none. */
    selector_fail_path (&sel, &paths[1]);
    assert_ptr_equal (sel.ops->select_path (&sel, 512), &paths[0]);
  }
}

static void
shared_depth (void **unused)
{
  struct selector sel;
  struct selector_path paths[2];
  unsigned in_flight = 5, limit = 5;

  (void) unused;
  for (size_t k = 0; k < 3; ++k) {
    setup (&sel, all[k], paths, 2, 1);
    paths[0].shared_in_flight = &in_flight;
    paths[0].shared_limit = &limit;
    assert_ptr_equal (sel.ops->select_path (&sel, 512), &paths[1]);
    assert_ptr_equal (sel.ops->select_path (&sel, 512), &paths[1]);
    selector_fail_path (&sel, &paths[1]);
    assert_null (sel.ops->select_path (&sel, 512));
    limit = 6;
    assert_ptr_equal (sel.ops->select_path (&sel, 512), &paths[0]);
    limit = 5;
  }
}

static void
twice_is_once (void **unused)
{
  struct selector sel;
  struct selector_path paths[2];

  (void) unused;
  setup (&sel, &selector_round_robin, paths, 2, 1);
  selector_fail_path (&sel, &paths[0]);
  selector_fail_path (&sel, &paths[0]);
  assert_int_equal (sel.nr_active, 1);
  selector_reinstate_path (&sel, &paths[0]);
  selector_reinstate_path (&sel, &paths[0]);
  assert_int_equal (sel.nr_active, 2);
}

/* Whatever happens: only active paths with room are chosen, and one is
 * chosen whenever there is one. */
static void
random_walk (void **unused)
{
  (void) unused;
  for (size_t k = 0; k < 3; ++k) {
    struct selector sel;
    struct selector_path paths[N];
    bool active[N];

    srandom (42 + k);
    setup (&sel, all[k], paths, N, 3);
    for (unsigned i = 0; i < N; ++i) {
      paths[i].limit = 4;
      active[i] = true;
    }
    for (unsigned step = 0; step < 200000; ++step) {
      const unsigned i = random () % N;
      struct selector_path *p;
      bool possible = false;

      switch (random () % 6) {
      case 0:
        selector_fail_path (&sel, &paths[i]);
        active[i] = false;
        break;
      case 1:
        selector_reinstate_path (&sel, &paths[i]);
        active[i] = true;
        break;
      case 2: case 3:
        if (paths[i].in_flight > 0)
          selector_end_io (&paths[i], 512);
        break;
      default:
        for (unsigned j = 0; j < N; ++j)
          possible |= active[j] && selector_path_has_room (&paths[j]);
        p = sel.ops->select_path (&sel, 512);
        assert_int_equal (p != NULL, possible);
        if (p != NULL) {
          assert_true (active[p - paths]);
          assert_true (selector_path_has_room (p));
          selector_start_io (p, 512);
        }
      }
    }
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (none_active),
    cmocka_unit_test (round_robin_turns),
    cmocka_unit_test (round_robin_large_requests_alternate),
    cmocka_unit_test (round_robin_weights),
    cmocka_unit_test (queue_length_takes_shortest),
    cmocka_unit_test (service_time_takes_least_bytes),
    cmocka_unit_test (slow_is_last_choice),
    cmocka_unit_test (shared_depth),
    cmocka_unit_test (twice_is_once),
    cmocka_unit_test (random_walk),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
