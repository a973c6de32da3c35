/* SPDX-License-Identifier: BSD-3-Clause */
/* server/scsi/verdict.c: each row of the table, then what must hold for every
 * status with every sense there is.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scsi/scsi.h"

#define ANY (-1)

/* Ranges are inclusive; the first row that fits is the one that counts. */
static const struct row {
  int key, asc, ascq_lo, ascq_hi;
  enum verdict_kind kind;
  int error;
  unsigned delay_ms, actions;
} rows[] = {
#define C(x) x, x               /* a single ASCQ */
#define ALL 0, 0xff
  { SENSE_NO_SENSE, ANY, ALL, VERDICT_RETRY, 0, 0, 0 },
  { SENSE_RECOVERED_ERROR, ANY, ALL, VERDICT_DONE, 0, 0, 0 },
  /* SPC-5 annex F.2, all of 04h: 00 cause not reportable, 02 initializing
   * command required, 03 manual intervention, 0F none, 10 auxiliary memory, 11
   * notify, 12 offline, 15..19 of other devices, 1C power, 1E..23 somebody has
   * to do something: those are the path's. */
  { SENSE_NOT_READY, 0x04, C (0x01), VERDICT_RETRY_LATER, 0, 100, 0 },
  { SENSE_NOT_READY, 0x04, 0x04, 0x09, VERDICT_RETRY_LATER, 0, 100, 0 },
  { SENSE_NOT_READY, 0x04, C (0x0a), VERDICT_RETRY_LATER, 0, 100,
    ACTION_CHECK_ALUA },
  { SENSE_NOT_READY, 0x04, 0x0b, 0x0c, VERDICT_PATH, 0, 0,
    ACTION_CHECK_ALUA },
  { SENSE_NOT_READY, 0x04, 0x0d, 0x0e, VERDICT_RETRY_LATER, 0, 100, 0 },
  { SENSE_NOT_READY, 0x04, 0x13, 0x14, VERDICT_RETRY_LATER, 0, 100, 0 },
  { SENSE_NOT_READY, 0x04, 0x1a, 0x1b, VERDICT_RETRY_LATER, 0, 100, 0 },
  { SENSE_NOT_READY, 0x04, C (0x1d), VERDICT_RETRY_LATER, 0, 100, 0 },
  { SENSE_NOT_READY, 0x04, 0x24, 0x25, VERDICT_RETRY_LATER, 0, 100, 0 },
  { SENSE_NOT_READY, ANY, ALL, VERDICT_PATH, 0, 0, 0 },
  { SENSE_MEDIUM_ERROR, 0x11, ALL, VERDICT_FAIL, EIO, 0, 0 },
  { SENSE_MEDIUM_ERROR, 0x13, ALL, VERDICT_FAIL, EIO, 0, 0 },
  { SENSE_MEDIUM_ERROR, 0x14, ALL, VERDICT_FAIL, EIO, 0, 0 },
  { SENSE_MEDIUM_ERROR, ANY, ALL, VERDICT_RETRY, 0, 0, 0 },
  { SENSE_HARDWARE_ERROR, ANY, ALL, VERDICT_FAIL, EIO, 0, 0 },
  { SENSE_ILLEGAL_REQUEST, 0x20, 0x01, 0x03, VERDICT_FAIL, EPERM, 0, 0 },
  { SENSE_ILLEGAL_REQUEST, 0x20, 0x08, 0x0b, VERDICT_FAIL, EPERM, 0, 0 },
  { SENSE_ILLEGAL_REQUEST, 0x20, ALL, VERDICT_FAIL, ENOTSUP, 0, 0 },
  { SENSE_ILLEGAL_REQUEST, 0x21, ALL, VERDICT_FAIL, EIO, 0, 0 },
  { SENSE_ILLEGAL_REQUEST, 0x22, ALL, VERDICT_FAIL, ENOTSUP, 0, 0 },
  { SENSE_ILLEGAL_REQUEST, 0x24, ALL, VERDICT_FAIL, EINVAL, 0, 0 },
  { SENSE_ILLEGAL_REQUEST, 0x26, ALL, VERDICT_FAIL, EINVAL, 0, 0 },
  { SENSE_ILLEGAL_REQUEST, 0x27, ALL, VERDICT_FAIL, EPERM, 0, 0 },
  { SENSE_ILLEGAL_REQUEST, ANY, ALL, VERDICT_PATH, 0, 0, 0 },
  { SENSE_UNIT_ATTENTION, 0x04, 0x0a, 0x0c, VERDICT_RETRY, 0, 0,
    ACTION_CHECK_ALUA },
  { SENSE_UNIT_ATTENTION, 0x28, C (0x00), VERDICT_RETRY, 0, 0,
    ACTION_CHECK_CAPACITY | ACTION_CHECK_IDENTITY },
  { SENSE_UNIT_ATTENTION, 0x29, C (0x03), VERDICT_RETRY, 0, 0,
    ACTION_TASKS_GONE | ACTION_CHECK_ALUA },
  { SENSE_UNIT_ATTENTION, 0x29, 0x00, 0x04, VERDICT_RETRY, 0, 0,
    ACTION_TASKS_GONE | ACTION_TARGET_RESET | ACTION_CHECK_ALUA },
  { SENSE_UNIT_ATTENTION, 0x29, C (0x07), VERDICT_RETRY, 0, 0,
    ACTION_TASKS_GONE },
  { SENSE_UNIT_ATTENTION, 0x2f, ALL, VERDICT_RETRY, 0, 0,
    ACTION_TASKS_GONE },
  { SENSE_UNIT_ATTENTION, 0x2a, C (0x01), VERDICT_RETRY, 0, 0,
    ACTION_CHECK_CAPACITY },
  { SENSE_UNIT_ATTENTION, 0x2a, C (0x09), VERDICT_RETRY, 0, 0,
    ACTION_CHECK_CAPACITY },
  { SENSE_UNIT_ATTENTION, 0x2a, C (0x03), VERDICT_RETRY, 0, 0,
    ACTION_CHECK_REGISTRATION },
  { SENSE_UNIT_ATTENTION, 0x2a, C (0x05), VERDICT_RETRY, 0, 0,
    ACTION_CHECK_REGISTRATION },
  { SENSE_UNIT_ATTENTION, 0x2a, 0x06, 0x07, VERDICT_RETRY, 0, 0,
    ACTION_CHECK_ALUA },
  { SENSE_UNIT_ATTENTION, 0x38, C (0x07), VERDICT_RETRY, 0, 0,
    ACTION_THIN_THRESHOLD },
  { SENSE_UNIT_ATTENTION, 0x3f, C (0x03), VERDICT_RETRY, 0, 0,
    ACTION_CHECK_IDENTITY },
  { SENSE_UNIT_ATTENTION, 0x3f, C (0x05), VERDICT_RETRY, 0, 0,
    ACTION_CHECK_IDENTITY },
  { SENSE_UNIT_ATTENTION, 0x3f, C (0x0e), VERDICT_RETRY, 0, 0,
    ACTION_CHECK_IDENTITY },
  { SENSE_UNIT_ATTENTION, ANY, ALL, VERDICT_RETRY, 0, 0, 0 },
  { SENSE_DATA_PROTECT, 0x27, C (0x07), VERDICT_FAIL, ENOSPC, 0, 0 },
  { SENSE_DATA_PROTECT, 0x27, ALL, VERDICT_FAIL, EPERM, 0, 0 },
  { SENSE_DATA_PROTECT, 0x20, ALL, VERDICT_FAIL, EPERM, 0, 0 },
  { SENSE_DATA_PROTECT, 0x74, ALL, VERDICT_FAIL, EPERM, 0, 0 },
  { SENSE_DATA_PROTECT, ANY, ALL, VERDICT_FAIL, EIO, 0, 0 },
  { SENSE_BLANK_CHECK, ANY, ALL, VERDICT_FAIL, EIO, 0, 0 },
  { SENSE_VENDOR_SPECIFIC, ANY, ALL, VERDICT_PATH, 0, 0, 0 },
  { SENSE_COPY_ABORTED, ANY, ALL, VERDICT_FAIL, EIO, 0, 0 },
  { SENSE_ABORTED_COMMAND, ANY, ALL, VERDICT_RETRY, 0, 0, 0 },
  { 0xc, ANY, ALL, VERDICT_PATH, 0, 0, 0 },
  { SENSE_VOLUME_OVERFLOW, ANY, ALL, VERDICT_FAIL, EIO, 0, 0 },
  { SENSE_MISCOMPARE, ANY, ALL, VERDICT_FAIL, EIO, 0, 0 },
  { SENSE_COMPLETED, ANY, ALL, VERDICT_RETRY, 0, 0, 0 },
};
#define NR_ROWS (sizeof rows / sizeof rows[0])

static void
same (struct verdict v, enum verdict_kind kind, int error,
      unsigned delay_ms, unsigned actions)
{
  assert_int_equal (v.kind, kind);
  assert_int_equal (v.error, error);
  assert_int_equal (v.delay_ms, delay_ms);
  assert_int_equal (v.actions, actions);
}

static struct sense
nth_sense (int i)               /* 0 .. 16 * 65536 - 1 */
{
  return (struct sense) { .valid = true, .key = (uint8_t) (i >> 16),
                          .asc = (uint8_t) (i >> 8), .ascq = (uint8_t) i };
}
#define NR_SENSE (16 << 16)

/* All of the sense space belongs to some row, and each row is needed. */
static void
test_rows (void **state)
{
  int used[NR_ROWS] = { 0 }, i;
  size_t r;

  (void) state;
  for (i = 0; i < NR_SENSE; i++) {
    struct sense s = nth_sense (i);
    struct verdict v = verdict_of (RESULT_CHECK_CONDITION, &s);

    for (r = 0; r < NR_ROWS; r++)
      if (rows[r].key == s.key
          && (rows[r].asc == ANY || rows[r].asc == s.asc)
          && rows[r].ascq_lo <= s.ascq && s.ascq <= rows[r].ascq_hi)
        break;
    assert_true (r < NR_ROWS);
    used[r]++;
    if (v.kind != rows[r].kind || v.error != rows[r].error
        || v.delay_ms != rows[r].delay_ms || v.actions != rows[r].actions)
      fail_msg ("sense %X/%02X/%02X: kind %d error %d delay %u actions %#x "
                "is not row %zu", s.key, s.asc, s.ascq, v.kind, v.error,
                v.delay_ms, v.actions, r);
  }
  for (r = 0; r < NR_ROWS; r++)
    assert_true (used[r] > 0);
}

static void
test_statuses (void **state)
{
  static const int good[] = { RESULT_GOOD, RESULT_CONDITION_MET };
  struct sense none = { .valid = false }, s;
  size_t i;

  (void) state;
  for (i = 0; i < 2; i++)
    same (verdict_of ((enum scsi_result) good[i], &none),
          VERDICT_DONE, 0, 0, 0);
  same (verdict_of (RESULT_CHECK_CONDITION, &none), VERDICT_RETRY, 0, 0, 0);
  same (verdict_of (RESULT_CHECK_CONDITION, NULL), VERDICT_RETRY, 0, 0, 0);
  same (verdict_of (RESULT_BUSY, &none), VERDICT_RETRY_LATER, 0, 100, 0);
  same (verdict_of (RESULT_ACA_ACTIVE, &none),
        VERDICT_RETRY_LATER, 0, 100, 0);
  same (verdict_of (RESULT_TASK_SET_FULL, &none),
        VERDICT_RETRY_LATER, 0, 10, ACTION_LOWER_DEPTH);
  same (verdict_of (RESULT_RESERVATION_CONFLICT, &none),
        VERDICT_FAIL, EPERM, 0, 0);
  same (verdict_of (RESULT_TASK_ABORTED, &none), VERDICT_RETRY, 0, 0, 0);
  same (verdict_of (RESULT_LOST, &none), VERDICT_PATH, 0, 0, 0);
  same (verdict_of (RESULT_PROTOCOL, &none), VERDICT_PATH, 0, 0, 0);

  /* Invalid sense: what is in its fields does not count. */
  s = (struct sense) { .valid = false, .key = SENSE_HARDWARE_ERROR };
  same (verdict_of (RESULT_CHECK_CONDITION, &s), VERDICT_RETRY, 0, 0, 0);
}

/* This command was not executed; an earlier one may have lost its data. */
static void
test_deferred (void **state)
{
  int i;

  (void) state;
  for (i = 0; i < NR_SENSE; i++) {
    struct sense s = nth_sense (i);
    struct verdict now, later;

    now = verdict_of (RESULT_CHECK_CONDITION, &s);
    s.deferred = true;
    later = verdict_of (RESULT_CHECK_CONDITION, &s);
    assert_int_equal (later.kind, VERDICT_RETRY);
    assert_int_equal (later.error, 0);
    assert_int_equal (later.delay_ms, 0);
    switch (s.key) {
    case SENSE_UNIT_ATTENTION:
      assert_int_equal (later.actions, now.actions);
      break;
    case SENSE_NO_SENSE:
    case SENSE_RECOVERED_ERROR:
    case SENSE_COMPLETED:
      assert_int_equal (later.actions, 0);
      break;
    default:
      assert_int_equal (later.actions, ACTION_DATA_LOST);
    }
  }
}

/* True of whatever comes, so that no row added later can break it. */
static void
check_invariants (int result, const struct sense *s, struct verdict v)
{
  const unsigned known = ACTION_CHECK_CAPACITY | ACTION_CHECK_ALUA
    | ACTION_CHECK_IDENTITY | ACTION_LOWER_DEPTH | ACTION_TARGET_RESET
    | ACTION_DATA_LOST | ACTION_CHECK_REGISTRATION | ACTION_THIN_THRESHOLD
    | ACTION_TASKS_GONE;
  bool check = result == RESULT_CHECK_CONDITION;
  bool ok = false;

  switch (v.kind) {
  case VERDICT_DONE:
    ok = result == RESULT_GOOD || result == RESULT_CONDITION_MET
      || (check && s->valid && !s->deferred
          && s->key == SENSE_RECOVERED_ERROR);
    break;
  case VERDICT_RETRY:
    ok = check || result == RESULT_TASK_ABORTED;
    break;
  case VERDICT_RETRY_LATER:
    ok = v.delay_ms >= 1 && v.delay_ms <= VERDICT_DELAY_MAX
      && (!check || s->key == SENSE_NOT_READY);
    break;
  case VERDICT_PATH:
    ok = true;
    break;
  case VERDICT_FAIL:
    ok = v.error == EIO || v.error == ENOSPC || v.error == EPERM
      || v.error == EINVAL || v.error == ENOTSUP;
    if (check)
      ok = ok && s->valid && !s->deferred;
    break;
  }
  /* A lost answer is never taken for one. */
  if (result > 0xff)
    ok = ok && v.kind == VERDICT_PATH;
  if (v.kind != VERDICT_FAIL)
    ok = ok && v.error == 0;
  if (v.kind != VERDICT_RETRY_LATER)
    ok = ok && v.delay_ms == 0;
  if (v.actions & ~known)
    ok = false;
  if (v.actions & ACTION_LOWER_DEPTH)
    ok = ok && result == RESULT_TASK_SET_FULL;
  else if (v.actions)
    ok = ok && check && s->valid
      && (v.kind == VERDICT_RETRY
          || (s->key == SENSE_NOT_READY && v.actions == ACTION_CHECK_ALUA));
  if (v.actions & ACTION_DATA_LOST)
    ok = ok && s->deferred;
  if (!ok)
    fail_msg ("result %#x sense %X/%02X/%02X valid %d deferred %d: kind %d "
              "error %d delay %u actions %#x", result, s->key, s->asc,
              s->ascq, s->valid, s->deferred, v.kind, v.error, v.delay_ms,
              v.actions);
}

static void
test_invariants (void **state)
{
  static const int known[] = {
    RESULT_GOOD, RESULT_CHECK_CONDITION, RESULT_CONDITION_MET, RESULT_BUSY,
    RESULT_RESERVATION_CONFLICT, RESULT_TASK_SET_FULL, RESULT_ACA_ACTIVE,
    RESULT_TASK_ABORTED, RESULT_LOST, RESULT_PROTOCOL,
  };
  size_t k;
  int i, result, mode;

  (void) state;
  for (k = 0; k < sizeof known / sizeof known[0]; k++)
    for (mode = 0; mode < 4; mode++)
      for (i = 0; i < NR_SENSE; i++) {
        struct sense s = nth_sense (i);

        s.valid = mode & 1;
        s.deferred = mode & 2;
        check_invariants (known[k], &s,
                          verdict_of ((enum scsi_result) known[k], &s));
      }

  /* Statuses that do not exist, with a sense that would mean "done". */
  for (result = 0; result < 0x300; result++) {
    struct sense s = { .valid = true, .key = SENSE_RECOVERED_ERROR };
    struct verdict v = verdict_of ((enum scsi_result) result, &s);

    check_invariants (result, &s, v);
    for (k = 0; k < sizeof known / sizeof known[0]; k++)
      if (known[k] == result)
        break;
    if (k == sizeof known / sizeof known[0])
      same (v, VERDICT_PATH, 0, 0, 0);
  }
}

/* At once at first, never longer than VERDICT_DELAY_MAX, never shorter than the
 * time before; and not a storm: a hundred tries take more than 9 s. */
static void
test_delays (void **state)
{
  const struct verdict all[] = {
    { .kind = VERDICT_RETRY },
    { .kind = VERDICT_RETRY_LATER, .delay_ms = 10 },
    { .kind = VERDICT_RETRY_LATER, .delay_ms = 100 },
  };

  (void) state;
  for (size_t i = 0; i < 3; i++) {
    unsigned last = 0, sum = 0;

    for (unsigned n = 1; n <= 100; n++) {
      unsigned d = verdict_delay (&all[i], n);

      assert_in_range (d, last, VERDICT_DELAY_MAX);
      assert_true (d >= all[i].delay_ms);
      last = d;
      sum += d;
    }
    assert_int_equal (last, VERDICT_DELAY_MAX);
    assert_true (sum > 9000);
    assert_int_equal (verdict_delay (&all[i], 1), all[i].delay_ms);
    assert_int_equal (verdict_delay (&all[i], 4000000000u),
                      VERDICT_DELAY_MAX);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_rows),
    cmocka_unit_test (test_statuses),
    cmocka_unit_test (test_deferred),
    cmocka_unit_test (test_invariants),
    cmocka_unit_test (test_delays),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
