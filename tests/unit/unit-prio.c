/* SPDX-License-Identifier: BSD-3-Clause */
/* Priorities by name. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rules/prio.h"

static const struct prio_names names = {
  .hbtl = "3:0:1:1", .devname = "10.0.0.1:3260", .serial = "SN42",
  .wwn = "iqn.2026-11.example:data",
};

static int
prio (const char *args)
{
  char err[200] = "";
  const int p = prio_weightedpath (args, &names, err, sizeof err);

  assert_int_equal (p == -1, err[0] != '\0');
  return p;
}

static void
by_name (void **unused)
{
  (void) unused;
  assert_int_equal (prio ("devname 10.0.0.1 50"), 50);
  assert_int_equal (prio ("devname 10.0.0.2 50"), 0);
  assert_int_equal (prio ("devname 10.0.0.2 50 10.0.0 20"), 20);
  /* The first that matches. */
  assert_int_equal (prio ("devname ^10 7 10.0.0.1 9"), 7);
  assert_int_equal (prio ("hbtl [1,3]:.:.+:.+ 260 [0,2]:.:.+:.+ 20"), 260);
  assert_int_equal (prio ("serial SN4 1"), 1);
  assert_int_equal (prio ("wwn example 0"), 0);
  assert_int_equal (prio ("wwn"), 0);
}

static void
mistakes (void **unused)
{
  (void) unused;
  assert_int_equal (prio (NULL), -1);
  assert_int_equal (prio (""), -1);
  assert_int_equal (prio ("device x 1"), -1);
  assert_int_equal (prio ("devname x"), -1);
  assert_int_equal (prio ("devname x y"), -1);
  assert_int_equal (prio ("devname x -1"), -1);
  assert_int_equal (prio ("devname x 99999999999"), -1);
  assert_int_equal (prio ("devname [ 1"), -1);
  /* Also behind the one that matched. */
  assert_int_equal (prio ("devname 10 1 [ 2"), -1);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (by_name),
    cmocka_unit_test (mistakes),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
