/* SPDX-License-Identifier: BSD-3-Clause */
/* Every cell of both state tables.  The expectation is written a second time,
 * as rules, so that a slip in the table shows. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rules/states.h"

static void
session_cells (void **unused)
{
  (void) unused;
  for (int st = 0; st < NR_SESSION_STATES; ++st)
    for (int ev = 0; ev < NR_SESSION_EVENTS; ++ev) {
      const struct session_transition t = session_transition (st, ev);

      assert_in_range (t.next, 0, NR_SESSION_STATES - 1);

      /* Closed is for good. */
      if (st == SESSION_CLOSED) {
        assert_int_equal (t.action, SESSION_ACT_NONE);
        assert_int_equal (t.next, SESSION_CLOSED);
      }
      /* Doing nothing means staying. */
      if (t.action == SESSION_ACT_NONE)
        assert_int_equal (t.next, st);
      /* Each action leads to one state only. */
      switch (t.action) {
      case SESSION_ACT_NONE: break;
      case SESSION_ACT_RESOLVE: assert_int_equal (t.next, SESSION_RESOLVE); break;
      case SESSION_ACT_CONNECT:
      case SESSION_ACT_REDIRECT: assert_int_equal (t.next, SESSION_CONNECT); break;
      case SESSION_ACT_LOGIN: assert_int_equal (t.next, SESSION_LOGIN); break;
      case SESSION_ACT_PROBE: assert_int_equal (t.next, SESSION_PROBE); break;
      case SESSION_ACT_UP: assert_int_equal (t.next, SESSION_UP); break;
      case SESSION_ACT_DROP:
      case SESSION_ACT_BUG: assert_int_equal (t.next, SESSION_WAIT); break;
      case SESSION_ACT_LOGOUT: assert_int_equal (t.next, SESSION_LOGOUT); break;
      case SESSION_ACT_CLOSE: assert_int_equal (t.next, SESSION_CLOSED); break;
      }
      /* A loss with a connection (or an attempt) always drops or closes it. */
      if (ev == SESSION_EV_LOST && st >= SESSION_RESOLVE &&
          st <= SESSION_UP)
        assert_int_equal (t.action, SESSION_ACT_DROP);
      if (ev == SESSION_EV_LOST && st == SESSION_LOGOUT)
        assert_int_equal (t.action, SESSION_ACT_CLOSE);
      /* Stop always leads to the end, by logout where there is a nexus. */
      if (ev == SESSION_EV_STOP && st != SESSION_CLOSED)
        assert_true (t.next == SESSION_CLOSED || t.next == SESSION_LOGOUT);
      if (ev == SESSION_EV_STOP && session_is_full_feature (st))
        assert_int_equal (t.action, SESSION_ACT_LOGOUT);
    }
}

static void
session_walk (void **unused)
{
  static const struct { enum session_event ev; enum session_state next; }
  walk[] = {
    { SESSION_EV_START, SESSION_RESOLVE },
    { SESSION_EV_RESOLVED, SESSION_CONNECT },
    { SESSION_EV_CONNECTED, SESSION_LOGIN },
    { SESSION_EV_REDIRECT, SESSION_CONNECT },
    { SESSION_EV_CONNECTED, SESSION_LOGIN },
    { SESSION_EV_LOGGED_IN, SESSION_PROBE },
    { SESSION_EV_PROBED, SESSION_UP },
    { SESSION_EV_PROBED, SESSION_UP },
    { SESSION_EV_LOST, SESSION_WAIT },
    { SESSION_EV_RESOLVED, SESSION_WAIT },      /* late */
    { SESSION_EV_TIMER, SESSION_RESOLVE },
    { SESSION_EV_LOST, SESSION_WAIT },
    { SESSION_EV_TIMER, SESSION_RESOLVE },
    { SESSION_EV_RESOLVED, SESSION_CONNECT },
    { SESSION_EV_LOST, SESSION_WAIT },
    { SESSION_EV_TIMER, SESSION_RESOLVE },
    { SESSION_EV_RESOLVED, SESSION_CONNECT },
    { SESSION_EV_CONNECTED, SESSION_LOGIN },
    { SESSION_EV_LOGGED_IN, SESSION_PROBE },
    { SESSION_EV_STOP, SESSION_LOGOUT },
    { SESSION_EV_LOGGED_OUT, SESSION_CLOSED },
  };
  enum session_state st = SESSION_IDLE;

  (void) unused;
  for (size_t i = 0; i < sizeof walk / sizeof walk[0]; ++i) {
    st = session_transition (st, walk[i].ev).next;
    assert_int_equal (st, walk[i].next);
  }
}

static void
path_cells (void **unused)
{
  (void) unused;
  for (int st = 0; st < NR_PATH_STATES; ++st)
    for (int ev = 0; ev < NR_PATH_EVENTS; ++ev) {
      const struct path_transition t = path_transition (st, ev);
      const bool was = path_is_usable (st), is = path_is_usable (t.next);

      assert_in_range (t.next, 0, NR_PATH_STATES - 1);
      /* Into the selector only by REINSTATE or WAKE, out of it only by FAIL,
       * REST or COMPLAIN; the counts of active paths depend on it. */
      assert_int_equal (!was && is, t.action == PATH_ACT_REINSTATE ||
                        t.action == PATH_ACT_WAKE);
      if (was && !is)
        assert_true (t.action == PATH_ACT_FAIL ||
                     t.action == PATH_ACT_REST ||
                     t.action == PATH_ACT_COMPLAIN);
      if (t.action == PATH_ACT_FAIL || t.action == PATH_ACT_REST)
        assert_true (was && !is);
      /* Between up and ghost nothing fails, and nothing is reinstated. */
      assert_int_equal (t.action == PATH_ACT_REST,
                        was && t.next == PATH_GHOST);
      assert_int_equal (t.action == PATH_ACT_WAKE, st == PATH_GHOST && is);
      /* Another disk is out, whatever was before, and told once. */
      if (ev == PATH_EV_WRONG) {
        assert_int_equal (t.next, PATH_WRONG);
        assert_int_equal (t.action, st == PATH_WRONG ? PATH_ACT_NONE
                                                     : PATH_ACT_COMPLAIN);
      }
      /* Only an identification brings a wrong disk back. */
      if (st == PATH_WRONG && ev != PATH_EV_UP)
        assert_false (is);
      /* What the administrator failed stays so until he says otherwise. */
      if (st == PATH_ADMIN && ev != PATH_EV_ADMIN_REINSTATE &&
          ev != PATH_EV_WRONG)
        assert_int_equal (t.next, PATH_ADMIN);
      if (ev == PATH_EV_ADMIN_FAIL)
        assert_int_equal (t.next, PATH_ADMIN);
      /* Fenced: by any state that could come back by itself; and back only by
       * the administrator, through an identification. */
      if (ev == PATH_EV_FENCED)
        assert_true (t.next == PATH_FENCED ||
                     ((st == PATH_WRONG || st == PATH_ADMIN) &&
                      (int) t.next == st));
      if (st == PATH_FENCED) {
        assert_false (is);
        assert_true (t.next == PATH_FENCED || ev == PATH_EV_WRONG ||
                     ev == PATH_EV_ADMIN_FAIL || ev == PATH_EV_UNFENCED);
      }
      /* No error brings a path up. */
      if (ev == PATH_EV_DOWN || ev == PATH_EV_IO_ERROR ||
          ev == PATH_EV_SHAKY || ev == PATH_EV_GHOST)
        assert_false (!was && is);
      if (ev == PATH_EV_DOWN)
        assert_false (is);
    }
}

static void
names (void **unused)
{
  (void) unused;
  for (int st = 0; st < NR_SESSION_STATES; ++st)
    assert_non_null (session_state_name (st));
  for (int st = 0; st < NR_PATH_STATES; ++st) {
    assert_non_null (path_state_name (st));
    assert_non_null (path_checker_state (st));
  }
  assert_string_equal (path_dm_state (PATH_UP), "active");
  assert_string_equal (path_checker_state (PATH_UP), "ready");
  assert_string_equal (path_dm_state (PATH_GHOST), "active");
  assert_string_equal (path_checker_state (PATH_GHOST), "ghost");
  assert_string_equal (path_dm_state (PATH_DOWN), "failed");
  assert_string_equal (path_checker_state (PATH_DOWN), "faulty");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (session_cells),
    cmocka_unit_test (session_walk),
    cmocka_unit_test (path_cells),
    cmocka_unit_test (names),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
