/* SPDX-License-Identifier: BSD-3-Clause */
/* REPORT and SET TARGET PORT GROUPS as bytes: what Linux's target (6.1) was
 * seen to send, all cuts of it, and what no target should. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "scsi/alua.h"

/* Group 11 optimized, 12 non-optimized; a3 0a, then a3 2a, which counts its
 * header 4 bytes short. */
static const uint8_t plain[] = {
  0x00, 0x00, 0x00, 0x18, 0x00, 0xdf, 0x00, 0x0b, 0x00, 0x00, 0x00, 0x01,
  0x00, 0x00, 0x00, 0x01, 0x01, 0xdf, 0x00, 0x0c, 0x00, 0x02, 0x00, 0x01,
  0x00, 0x00, 0x00, 0x02,
};
static const uint8_t extended[] = {
  0x00, 0x00, 0x00, 0x18, 0x10, 0x00, 0x00, 0x00, 0x00, 0xdf, 0x00, 0x0b,
  0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x01, 0xdf, 0x00, 0x0c,
  0x00, 0x02, 0x00, 0x01,
};
/* implicit_trans_secs 25, and group 12 preferred. */
static const uint8_t slow[] = {
  0x00, 0x00, 0x00, 0x18, 0x10, 0x19, 0x00, 0x00, 0x00, 0xdf, 0x00, 0x0b,
  0x00, 0x02, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x81, 0xdf, 0x00, 0x0c,
  0x00, 0x02, 0x00, 0x01,
};
/* An allocation length of 8. */
static const uint8_t short8[] = { 0x00, 0x00, 0x00, 0x18, 0, 0, 0, 0 };

static void
group_is (const struct alua_report *r, unsigned i, uint16_t id,
          enum alua_state state, bool preferred)
{
  assert_true (i < r->nr_groups);
  assert_int_equal (r->groups[i].id, id);
  assert_int_equal (r->groups[i].state, state);
  assert_int_equal (r->groups[i].preferred, preferred);
}

/* From memory of exactly that size: ASan sees each byte behind it. */
static bool
parse (struct alua_report *r, const uint8_t *buf, size_t len)
{
  uint8_t *copy = malloc (len ? len : 1);
  bool ok;

  assert_non_null (copy);
  memcpy (copy, buf, len);
  ok = parse_port_groups (r, copy, len);
  free (copy);
  return ok;
}

static void
test_lio (void **unused)
{
  struct alua_report r;

  (void) unused;
  assert_true (parse (&r, plain, sizeof plain));
  assert_int_equal (r.nr_groups, 2);
  assert_false (r.cut);
  assert_int_equal (r.length, sizeof plain);
  group_is (&r, 0, 11, ALUA_OPTIMIZED, false);
  group_is (&r, 1, 12, ALUA_NON_OPTIMIZED, false);

  assert_true (parse (&r, extended, sizeof extended));
  assert_int_equal (r.nr_groups, 2);
  assert_int_equal (r.transition_time, 0);
  group_is (&r, 0, 11, ALUA_OPTIMIZED, false);
  group_is (&r, 1, 12, ALUA_NON_OPTIMIZED, false);

  assert_true (parse (&r, slow, sizeof slow));
  assert_int_equal (r.transition_time, 25);
  group_is (&r, 1, 12, ALUA_NON_OPTIMIZED, true);

  /* One reserved group; but it is cut: there are more. */
  assert_true (parse (&r, short8, sizeof short8));
  assert_true (r.cut);
  assert_int_equal (r.length, 28);
}

static void
test_cuts (void **unused)
{
  static const struct { const uint8_t *buf; size_t len, first; } lists[] = {
    { plain, sizeof plain, 4 }, { extended, sizeof extended, 8 },
    { slow, sizeof slow, 8 },
  };
  struct alua_report r;

  (void) unused;
  for (size_t i = 0; i < 3; ++i)
    for (size_t n = 0; n < lists[i].len; ++n) {
      const size_t first = lists[i].first;
      const bool ok = parse (&r, lists[i].buf, n);

      assert_int_equal (ok, n >= 4);
      if (!ok)
        continue;
      assert_int_equal (r.nr_groups, n >= first + 12 + 4 ? 2
                        : n >= first + 4 ? 1 : 0);
      assert_true (r.cut);
      if (r.nr_groups > 0)
        group_is (&r, 0, 11, ALUA_OPTIMIZED, false);
    }
}

static void
test_many (void **unused)
{
  uint8_t buf[8 + 300 * 8] = { 0 };
  struct alua_report r;

  (void) unused;
  for (unsigned n = 0; n <= 300; ++n) {
    uint8_t *d = buf + 8 + 8 * (n > 0 ? n - 1 : 0);
    const size_t len = 8 + 8 * (size_t) n;

    if (n > 0) {
      d[0] = n % 16;
      d[2] = n >> 8;
      d[3] = n;
    }
    buf[2] = (len - 4) >> 8;
    buf[3] = (uint8_t) (len - 4);
    buf[4] = 0x10;
    assert_true (parse (&r, buf, len));
    assert_int_equal (r.nr_groups, n < ALUA_MAX_GROUPS ? n : ALUA_MAX_GROUPS);
    assert_int_equal (r.cut, n > ALUA_MAX_GROUPS);
    if (n >= 64)
      group_is (&r, 63, 64, ALUA_OPTIMIZED, false);
  }
}

static void
test_odd (void **unused)
{
  struct alua_report r;
  uint8_t twice[4 + 24] = { 0, 0, 0, 24 };
  uint8_t liar[12] = { 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 7, 0, 0, 0, 255 };
  uint8_t ports[4 + 8 + 4 * 255 + 8] = { 0 };

  (void) unused;
  /* The same group twice: the first counts. */
  twice[4] = 0x02;
  twice[7] = twice[15] = 5;
  twice[12] = 0x00;
  twice[23] = 6;
  assert_true (parse (&r, twice, sizeof twice));
  assert_int_equal (r.nr_groups, 2);
  group_is (&r, 0, 5, ALUA_STANDBY, false);
  group_is (&r, 1, 6, ALUA_OPTIMIZED, false);

  assert_true (parse (&r, liar, sizeof liar));
  assert_true (r.cut);
  assert_int_equal (r.nr_groups, 1);
  group_is (&r, 0, 7, ALUA_STANDBY, false);

  /* 255 ports, then one more group. */
  ports[2] = (sizeof ports - 4) >> 8;
  ports[3] = (uint8_t) (sizeof ports - 4);
  ports[7] = 1;
  ports[11] = 255;
  ports[sizeof ports - 8] = 0x8f;
  ports[sizeof ports - 5] = 2;
  assert_true (parse (&r, ports, sizeof ports));
  assert_int_equal (r.nr_groups, 2);
  group_is (&r, 1, 2, ALUA_TRANSITIONING, true);

  /* What is behind the length that it gives is not of the list. */
  ports[2] = 0;
  ports[3] = 4;
  assert_true (parse (&r, ports, sizeof ports));
  assert_int_equal (r.nr_groups, 1);
}

static void
test_states (void **unused)
{
  struct alua_report r;
  uint8_t one[12] = { 0, 0, 0, 8 };

  (void) unused;
  for (unsigned s = 0; s < 16; ++s) {
    enum alua_state expected = s == 0 || s == 1 || s == 2 || s == 4 ||
      s >= 0xe ? s : ALUA_UNAVAILABLE;

    one[4] = s;
    assert_true (parse (&r, one, sizeof one));
    group_is (&r, 0, 0, expected, false);
    assert_non_null (alua_state_text (expected));
  }
  assert_string_equal (alua_state_text (ALUA_OPTIMIZED), "active/optimized");
  assert_string_equal (alua_state_text (ALUA_STANDBY), "standby");
}

static void
test_cdbs (void **unused)
{
  static const uint8_t ask[12] = { 0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 0x10, 0x20 };
  static const uint8_t set[12] = { 0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8 };
  static const uint8_t list[8] = { 0, 0, 0, 0, 0, 0, 0x12, 0x34 };
  uint8_t cdb[16], buf[SET_PORT_GROUP_PARAMETERS];

  (void) unused;
  assert_int_equal (cdb_report_port_groups (cdb, true, 0x1020), 12);
  assert_memory_equal (cdb, ask, 12);
  cdb_report_port_groups (cdb, false, 0x1020);
  assert_int_equal (cdb[1], 0x0a);
  assert_int_equal (cdb_set_port_groups (cdb, sizeof buf), 12);
  assert_memory_equal (cdb, set, 12);
  memset (buf, 0xff, sizeof buf);
  set_port_group_parameters (buf, 0x1234);
  assert_memory_equal (buf, list, sizeof list);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_lio),
    cmocka_unit_test (test_cuts),
    cmocka_unit_test (test_many),
    cmocka_unit_test (test_odd),
    cmocka_unit_test (test_states),
    cmocka_unit_test (test_cdbs),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
