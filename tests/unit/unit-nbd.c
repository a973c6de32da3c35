/* SPDX-License-Identifier: BSD-3-Clause */
/* nbd/transmission.h: which request is good, and what each reply is made of.
 * (Bytes in pieces, and all that is wrong: tests/fuzz/fuzz-nbd.c.) */
#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "nbd/transmission.h"

#define SIZE (UINT64_C (1) << 30)
#define MAXIMUM (32u << 20)

enum mode { SIMPLE, STRUCTURED, EXTENDED, NR_MODES };

static struct transmission t;

static void
begin (enum mode mode, uint16_t flags, bool strict)
{
  static struct handshake h;

  memset (&h, 0, sizeof h);
  h.export.size = SIZE;
  h.export.minimum = 4096;
  h.export.maximum = MAXIMUM;
  h.export.flags = flags;
  h.export.strict = strict;
  h.export.extents = true;
  h.structured = mode == STRUCTURED;
  h.extended = mode == EXTENDED;
  h.meta = mode != SIMPLE;
  transmission_start (&t, &h);
}

/* The error of a request's header; its payload is taken. */
static uint32_t
error_of (unsigned type, unsigned flags, uint64_t offset, uint64_t length)
{
  static uint8_t zeroes[65536];
  uint8_t p[32];
  const size_t n = t.extended ? 32 : 28;
  uint64_t left;
  uint32_t error;

  put_be32 (p, t.extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC);
  put_be16 (p + 4, flags);
  put_be16 (p + 6, type);
  memcpy (p + 8, "cookie!!", 8);
  put_be64 (p + 16, offset);
  if (t.extended)
    put_be64 (p + 24, length);
  else
    put_be32 (p + 24, length);
  for (size_t i = 0; i < n; ++i)        /* not before all of it is there */
    assert_int_equal (transmission_input (&t, p, i), 0);
  assert_int_equal (transmission_input (&t, p, n), n);
  assert_int_equal (t.state, TRANSMISSION_BEGUN);
  error = t.error;
  transmission_accept (&t, NULL);
  for (left = t.payload - t.got; left > 0; left = t.payload - t.got)
    transmission_input (&t, zeroes, left < sizeof zeroes ? left : sizeof zeroes);
  assert_int_equal (t.state, TRANSMISSION_READY);
  transmission_taken (&t);
  return error;
}

/* Each command with each set of flags, in each mode. */
static void
test_flags (void **state)
{
  static const unsigned good[] = {
    [NBD_CMD_READ] = NBD_CMD_FLAG_FUA,
    [NBD_CMD_WRITE] = NBD_CMD_FLAG_FUA,
    [NBD_CMD_FLUSH] = NBD_CMD_FLAG_FUA,
    [NBD_CMD_TRIM] = NBD_CMD_FLAG_FUA,
    [NBD_CMD_CACHE] = NBD_CMD_FLAG_FUA,
    [NBD_CMD_WRITE_ZEROES] = NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE |
      NBD_CMD_FLAG_FAST_ZERO,
    [NBD_CMD_BLOCK_STATUS] = NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_REQ_ONE,
  };

  (void) state;
  for (enum mode mode = SIMPLE; mode < NR_MODES; ++mode)
    for (unsigned type = 0; type < 12; ++type)
      for (unsigned flags = 0; flags < 128; ++flags) {
        unsigned allowed = type <= NBD_CMD_BLOCK_STATUS ? good[type] : 0;
        uint32_t want;

        if (type == NBD_CMD_DISC)
          continue;
        begin (mode, NBD_FLAG_SEND_TRIM, false);
        if (mode != SIMPLE && type == NBD_CMD_READ)
          allowed |= NBD_CMD_FLAG_DF;
        if (mode == EXTENDED && type == NBD_CMD_WRITE)
          allowed |= NBD_CMD_FLAG_PAYLOAD_LEN;
        want = flags & ~allowed || type > NBD_CMD_BLOCK_STATUS ||
          (type == NBD_CMD_BLOCK_STATUS && mode == SIMPLE) ||
          (mode == EXTENDED && type == NBD_CMD_WRITE &&
           !(flags & NBD_CMD_FLAG_PAYLOAD_LEN)) ? NBD_EINVAL : 0;
        /* Payloads of block status have tests of their own. */
        if (type == NBD_CMD_BLOCK_STATUS && flags & NBD_CMD_FLAG_PAYLOAD_LEN)
          continue;
        assert_int_equal (error_of (type, flags, 0, 4096), want);
      }
}

static void
test_ranges (void **state)
{
  static const struct { uint64_t offset, length; bool good; } ranges[] = {
    { 0, 4096, true }, { SIZE - 4096, 4096, true }, { SIZE - 4096, 4097, false },
    { SIZE, 1, false }, { SIZE - 1, 1, true }, { SIZE + 1, 1, false },
    { UINT64_MAX, 1, false }, { UINT64_MAX - 4095, 4096, false },
    { 0, 0, false }, { SIZE, 0, false },
  };

  (void) state;
  for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; ++i) {
    const uint64_t at = ranges[i].offset, n = ranges[i].length;
    const bool good = ranges[i].good;

    begin (STRUCTURED, NBD_FLAG_SEND_TRIM, false);
    assert_int_equal (error_of (NBD_CMD_READ, 0, at, n), good ? 0 : NBD_EINVAL);
    assert_int_equal (error_of (NBD_CMD_TRIM, 0, at, n), good ? 0 : NBD_EINVAL);
    assert_int_equal (error_of (NBD_CMD_BLOCK_STATUS, 0, at, n),
                      good ? 0 : NBD_EINVAL);
    assert_int_equal (error_of (NBD_CMD_WRITE, 0, at, n),
                      good ? 0 : n == 0 ? NBD_EINVAL : NBD_ENOSPC);
    assert_int_equal (error_of (NBD_CMD_WRITE_ZEROES, 0, at, n),
                      good ? 0 : n == 0 ? NBD_EINVAL : NBD_ENOSPC);
    begin (STRUCTURED, NBD_FLAG_SEND_TRIM, true);
    assert_int_equal (error_of (NBD_CMD_READ, 0, at, n),
                      good && (at | n) % 4096 == 0 ? 0 : NBD_EINVAL);
    assert_int_equal (error_of (NBD_CMD_BLOCK_STATUS, 0, at, n),
                      good ? 0 : NBD_EINVAL);
  }
  /* Only what has data is bounded. */
  begin (EXTENDED, NBD_FLAG_SEND_TRIM, false);
  assert_int_equal (error_of (NBD_CMD_READ, 0, 0, MAXIMUM), 0);
  assert_int_equal (error_of (NBD_CMD_READ, 0, 0, MAXIMUM + 1), NBD_EOVERFLOW);
  assert_int_equal (error_of (NBD_CMD_TRIM, 0, 0, SIZE), 0);
  assert_int_equal (error_of (NBD_CMD_WRITE_ZEROES, 0, 0, SIZE), 0);
  assert_int_equal (error_of (NBD_CMD_WRITE, NBD_CMD_FLAG_PAYLOAD_LEN, 0,
                              MAXIMUM + 1), NBD_EOVERFLOW);
  begin (SIMPLE, NBD_FLAG_READ_ONLY, false);
  assert_int_equal (error_of (NBD_CMD_READ, 0, 0, 1), 0);
  assert_int_equal (error_of (NBD_CMD_WRITE, 0, 0, 1), NBD_EPERM);
  assert_int_equal (error_of (NBD_CMD_TRIM, 0, 0, 1), NBD_EPERM);
  assert_int_equal (error_of (NBD_CMD_WRITE_ZEROES, 0, 0, 1), NBD_EPERM);
  begin (SIMPLE, 0, false);             /* cannot trim */
  assert_int_equal (error_of (NBD_CMD_TRIM, 0, 0, 1), NBD_EINVAL);
}

static void
test_replies (void **state)
{
  const struct nbd_request read = {
    .type = NBD_CMD_READ, .offset = 0x1122334455, .length = 4096,
  }, write = { .type = NBD_CMD_WRITE, .offset = 7, .length = 1 };
  uint8_t p[NBD_REPLY_MAX];

  (void) state;
  begin (SIMPLE, 0, false);
  assert_int_equal (nbd_reply (&t, &read, 0, p), 16);
  assert_int_equal (get_be32 (p), NBD_SIMPLE_REPLY_MAGIC);
  assert_int_equal (get_be32 (p + 4), 0);
  assert_int_equal (nbd_reply (&t, &read, NBD_EIO, p), 16);
  assert_int_equal (get_be32 (p + 4), NBD_EIO);

  begin (STRUCTURED, 0, false);
  assert_int_equal (nbd_reply (&t, &write, 0, p), 16);
  assert_int_equal (get_be32 (p), NBD_SIMPLE_REPLY_MAGIC);
  assert_int_equal (nbd_reply (&t, &read, 0, p), 28);
  assert_int_equal (get_be32 (p), NBD_STRUCTURED_REPLY_MAGIC);
  assert_int_equal (get_be16 (p + 4), NBD_REPLY_FLAG_DONE);
  assert_int_equal (get_be16 (p + 6), NBD_REPLY_TYPE_OFFSET_DATA);
  assert_int_equal (get_be32 (p + 16), 4096 + 8);
  assert_int_equal (get_be64 (p + 20), read.offset);
  assert_int_equal (nbd_reply (&t, &read, NBD_EIO, p), 26);
  assert_int_equal (get_be16 (p + 6), NBD_REPLY_TYPE_ERROR);
  assert_int_equal (get_be32 (p + 20), NBD_EIO);

  begin (EXTENDED, 0, false);
  assert_int_equal (nbd_reply (&t, &write, 0, p), 32);
  assert_int_equal (get_be32 (p), NBD_EXTENDED_REPLY_MAGIC);
  assert_int_equal (get_be16 (p + 6), NBD_REPLY_TYPE_NONE);
  assert_int_equal (get_be64 (p + 16), 7);
  assert_int_equal (get_be64 (p + 24), 0);
  assert_int_equal (nbd_reply (&t, &read, 0, p), 40);
  assert_int_equal (get_be64 (p + 16), read.offset);
  assert_int_equal (get_be64 (p + 24), 4096 + 8);
  assert_int_equal (get_be64 (p + 32), read.offset);
  assert_int_equal (nbd_reply (&t, &write, NBD_ENOSPC, p), 38);
  assert_int_equal (get_be32 (p + 32), NBD_ENOSPC);
}

/* Lengths of 32 bits end on a block, and what would come behind is left out. */
static void
test_block_status (void **state)
{
  const struct nbd_extent extents[] = {
    { 4096, 0 }, { UINT64_C (5) << 30, 3 }, { 8192, 0 },
  };
  const struct nbd_request r = { .type = NBD_CMD_BLOCK_STATUS };
  uint8_t *p;
  size_t n;

  (void) state;
  begin (STRUCTURED, 0, false);
  p = nbd_reply_block_status (&t, &r, extents, 3, &n);
  assert_int_equal (n, 20 + 4 + 2 * 8);
  assert_int_equal (get_be32 (p + 16), n - 20);
  assert_int_equal (get_be32 (p + 24), 4096);
  assert_int_equal (get_be32 (p + 32), 0xfffff000);
  assert_int_equal (get_be32 (p + 36), 3);
  free (p);
  begin (EXTENDED, 0, false);
  p = nbd_reply_block_status (&t, &r, extents, 3, &n);
  assert_int_equal (n, 32 + 8 + 3 * 16);
  assert_int_equal (get_be64 (p + 24), n - 32);
  assert_int_equal (get_be32 (p + 36), 3);
  assert_int_equal (get_be64 (p + 40 + 16), UINT64_C (5) << 30);
  assert_int_equal (get_be64 (p + 40 + 24), 3);
  free (p);
}

static void
test_errors (void **state)
{
  (void) state;
  assert_int_equal (nbd_error (0), 0);
  assert_int_equal (nbd_error (EPERM), NBD_EPERM);
  assert_int_equal (nbd_error (EIO), NBD_EIO);
  assert_int_equal (nbd_error (ENOMEM), NBD_ENOMEM);
  assert_int_equal (nbd_error (ENOSPC), NBD_ENOSPC);
  assert_int_equal (nbd_error (ENOTSUP), NBD_ENOTSUP);
  assert_int_equal (nbd_error (ESHUTDOWN), NBD_ESHUTDOWN);
  assert_int_equal (nbd_error (ENODEV), NBD_EINVAL);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_flags),
    cmocka_unit_test (test_ranges),
    cmocka_unit_test (test_replies),
    cmocka_unit_test (test_block_status),
    cmocka_unit_test (test_errors),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
