/* SPDX-License-Identifier: BSD-3-Clause */
/* Every cell of the fence ladder, by rules that are written a second time, and
 * the names of its states against those of the model. */
#include <config.h>

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "rules/fence-ladder.h"

static bool
resets (enum fencing ladder)
{
  return ladder == FENCING_AUTO || ladder == FENCING_LUN_RESET;
}

static bool
logs_in (enum fencing ladder)
{
  return ladder == FENCING_AUTO || ladder == FENCING_REINSTATE;
}

static void
check_cell (enum fencing ladder, enum fence_state st, enum fence_event ev)
{
  const struct fence_transition t = fence_transition (ladder, st, ev);

  assert_in_range (t.next, 0, NR_FENCE_STATES - 1);
  /* Released is for good, and only by an action. */
  if (st == FENCE_RELEASED) {
    assert_int_equal (t.action, FENCE_ACT_NONE);
    assert_int_equal (t.next, FENCE_RELEASED);
    return;
  }
  assert_int_equal (t.next == FENCE_RELEASED, t.action == FENCE_ACT_RELEASE ||
                    t.action == FENCE_ACT_GIVE_UP);
  /* Whatever the state, the wait is bounded; and only time gives up. */
  assert_int_equal (t.action == FENCE_ACT_GIVE_UP, ev == FENCE_EV_TIME);

  /* What proves that it is dead: a reset that was sent when it could be good
   * for it, or a login where the settings take that for a proof. */
  if (t.action == FENCE_ACT_RELEASE)
    assert_true ((ev == FENCE_EV_RESET_DONE && st == FENCE_COVERED) ||
                 (ev == FENCE_EV_LOOK && st == FENCE_REINSTATED &&
                  !resets (ladder)));
  if (ev == FENCE_EV_RESET_DONE && st == FENCE_COVERED)
    assert_int_equal (t.action, FENCE_ACT_RELEASE);
  if (ev == FENCE_EV_LOOK && st == FENCE_REINSTATED && !resets (ladder))
    assert_int_equal (t.action, FENCE_ACT_RELEASE);

  /* Covered only by a reset that is sent when nothing of it can come over its
   * connection any more, or with the settings saying that this is accepted. */
  if (t.next == FENCE_COVERED && st != FENCE_COVERED) {
    assert_int_equal (ev, FENCE_EV_RESET_SENT);
    assert_true (resets (ladder));
    assert_true (st == FENCE_REINSTATED || !logs_in (ladder));
  }
  if (ev == FENCE_EV_RESET_SENT && resets (ladder) &&
      (st == FENCE_REINSTATED || !logs_in (ladder)))
    assert_int_equal (t.next, FENCE_COVERED);

  /* Reinstated only by a login, or when a reset that came after one failed. */
  assert_int_equal (t.action == FENCE_ACT_REINSTATE, ev == FENCE_EV_LOGIN &&
                    st == FENCE_DOUBT && logs_in (ladder));
  if (t.next == FENCE_REINSTATED && st == FENCE_DOUBT)
    assert_int_equal (t.action, FENCE_ACT_REINSTATE);
  /* A reset that failed leaves what was there before it. */
  if (ev == FENCE_EV_RESET_FAILED)
    assert_int_equal (t.next, st != FENCE_COVERED ? st
                      : logs_in (ladder) ? FENCE_REINSTATED : FENCE_DOUBT);
  /* Otherwise nothing happens. */
  if (t.action == FENCE_ACT_NONE && ev != FENCE_EV_RESET_FAILED &&
      ev != FENCE_EV_RESET_SENT)
    assert_int_equal (t.next, st);
}

static void
each_cell (void **unused)
{
  (void) unused;
  for (int ladder = 0; ladder < NR_FENCINGS; ++ladder)
    for (int st = 0; st < NR_FENCE_STATES; ++st)
      for (int ev = 0; ev < NR_FENCE_EVENTS; ++ev)
        check_cell (ladder, st, ev);
}

static void
what_is_next (void **unused)
{
  (void) unused;
  for (int ladder = 0; ladder < NR_FENCINGS; ++ladder) {
    assert_int_equal (fence_wants_login (ladder, FENCE_DOUBT),
                      logs_in (ladder));
    assert_int_equal (fence_wants_reset (ladder, FENCE_DOUBT),
                      resets (ladder) && !logs_in (ladder));
    assert_int_equal (fence_wants_reset (ladder, FENCE_REINSTATED),
                      resets (ladder));
    assert_false (fence_wants_login (ladder, FENCE_REINSTATED));
    assert_false (fence_wants_login (ladder, FENCE_RELEASED));
    assert_false (fence_wants_reset (ladder, FENCE_RELEASED));
  }
}

/* Up the ladder, as it goes with each setting. */
static void
walk (void **unused)
{
  static const struct {
    enum fencing ladder;
    enum fence_event ev;
    enum fence_action action;
    enum fence_state next;
  } steps[] = {
#define STEP(l, e, a, n) \
    { FENCING_##l, FENCE_EV_##e, FENCE_ACT_##a, FENCE_##n }
    STEP (AUTO, LOOK, NONE, DOUBT),
    STEP (AUTO, RESET_SENT, NONE, DOUBT), /* another session's */
    STEP (AUTO, LOGIN, REINSTATE, REINSTATED),
    STEP (AUTO, RESET_DONE, NONE, REINSTATED),
    STEP (AUTO, RESET_SENT, NONE, COVERED),
    STEP (AUTO, RESET_FAILED, NONE, REINSTATED),
    STEP (AUTO, RESET_SENT, NONE, COVERED),
    STEP (AUTO, RESET_DONE, RELEASE, RELEASED),
    STEP (REINSTATE, LOGIN, REINSTATE, REINSTATED),
    STEP (REINSTATE, LOOK, RELEASE, RELEASED),
    STEP (LUN_RESET, LOGIN, NONE, DOUBT),
    STEP (LUN_RESET, RESET_SENT, NONE, COVERED),
    STEP (LUN_RESET, RESET_FAILED, NONE, DOUBT),
    STEP (LUN_RESET, RESET_SENT, NONE, COVERED),
    STEP (LUN_RESET, RESET_DONE, RELEASE, RELEASED),
    STEP (HOLD, LOGIN, NONE, DOUBT),
    STEP (HOLD, RESET_SENT, NONE, DOUBT),
    STEP (HOLD, TIME, GIVE_UP, RELEASED),
  };
  enum fence_state st = FENCE_DOUBT;

  (void) unused;
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; ++i) {
    const struct fence_transition t =
      fence_transition (steps[i].ladder, st, steps[i].ev);

    assert_int_equal (t.action, steps[i].action);
    assert_int_equal (t.next, steps[i].next);
    st = t.next == FENCE_RELEASED ? FENCE_DOUBT : t.next;
  }
}

/* In the model: mtype = { DOUBT, REINSTATED, ... };  / * fence_state * / */
static void
names_are_the_models (void **unused)
{
  const char *dir = getenv ("srcdir");
  char path[1000], line[1000], names[1000] = "";
  unsigned found = 0;
  FILE *f;

  (void) unused;
  snprintf (path, sizeof path, "%s/fence/fence.pml", dir ? dir : ".");
  f = fopen (path, "r");
  if (f == NULL)
    fail_msg ("cannot open %s: is $srcdir tests/?", path);
  while (fgets (line, sizeof line, f) != NULL)
    if (strncmp (line, "mtype", 5) == 0 && strstr (line, "fence_state"))
      snprintf (names, sizeof names, "%s", line);
  fclose (f);
  if (names[0] == '\0')
    fail_msg ("no line of %s has the states", path);
  for (char *p = strtok (strchr (names, '{'), "{ ,}"); p != NULL && *p != ';';
       p = strtok (NULL, "{ ,}"), found++) {
    char lower[40] = "";

    for (size_t i = 0; p[i] != '\0' && i < sizeof lower - 1; ++i)
      lower[i] = (char) tolower ((unsigned char) p[i]);
    assert_true (found < NR_FENCE_STATES);
    assert_string_equal (lower, fence_state_name (found));
  }
  assert_int_equal (found, NR_FENCE_STATES);
}

int
main (void)
{
  static const struct CMUnitTest tests[] = {
    cmocka_unit_test (each_cell),
    cmocka_unit_test (what_is_next),
    cmocka_unit_test (walk),
    cmocka_unit_test (names_are_the_models),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
