/* SPDX-License-Identifier: BSD-3-Clause */
/* The parsers of server/scsi/inquiry.c and server/scsi/sense.c, and the builders of
 * server/scsi/cdb.c.  The dumps are from tgt 1.0.85 (a 64 MiB LUN 1).
 *
 * Inputs go through exact (), an allocation of just their length, so that
 * AddressSanitizer sees a read of the first byte beyond.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scsi/scsi.h"

static uint8_t *
exact (const void *src, size_t len)
{
  uint8_t *p = malloc (len > 0 ? len : 1);

  assert_non_null (p);
  memcpy (p, src, len);
  if (len == 0) {
    free (p);
    return NULL;
  }
  return p;
}

typedef bool (*parser) (struct lu_facts *, const uint8_t *, size_t);

static bool
parse (parser fn, struct lu_facts *lu, const void *buf, size_t len)
{
  uint8_t *p = exact (buf, len);
  bool r = fn (lu, p, len);

  free (p);
  return r;
}

/* At every length: true from min on and only then, and a false one changes
 * nothing. */
static void
every_length (parser fn, const void *buf, size_t len, size_t min)
{
  struct lu_facts lu, before;
  size_t i;

  for (i = 0; i <= len; i++) {
    memset (&lu, 0, sizeof lu);
    strcpy (lu.serial, "untouched");
    lu.blocks = 77;
    lu.block_size = 78;
    lu.write_protect = lu.wsnz = true;
    before = lu;
    assert_int_equal (parse (fn, &lu, buf, i), i >= min);
    if (i < min)
      assert_memory_equal (&lu, &before, sizeof lu);
  }
}

static const uint8_t inq_tgt[] = {
  0x00, 0x00, 0x05, 0x12, 0x3d, 0x00, 0x00, 0x02,
  'I', 'E', 'T', ' ', ' ', ' ', ' ', ' ',
  'V', 'I', 'R', 'T', 'U', 'A', 'L', '-', 'D', 'I', 'S', 'K', ' ', ' ', ' ', ' ',
  '0', '0', '0', '1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x04, 0xc0, 0x09, 0x60, 0x03, 0x00, 0, 0,
};

static void
test_inquiry (void **state)
{
  struct lu_facts lu;
  uint8_t odd[36];

  (void) state;
  lu_facts_init (&lu);
  assert_true (lu.wce);
  assert_true (parse (parse_inquiry, &lu, inq_tgt, sizeof inq_tgt));
  assert_int_equal (lu.qualifier, 0);
  assert_int_equal (lu.device_type, 0);
  assert_false (lu.removable);
  assert_int_equal (lu.version, 5);
  assert_int_equal (lu.tpgs, 0);
  assert_false (lu.protect);
  assert_string_equal (lu.vendor, "IET");
  assert_string_equal (lu.product, "VIRTUAL-DISK");
  assert_string_equal (lu.revision, "0001");
  every_length (parse_inquiry, inq_tgt, sizeof inq_tgt, 36);

  memcpy (odd, inq_tgt, 36);
  odd[0] = 0x7f;
  odd[1] = 0x80;
  odd[5] = 0x31;
  memcpy (&odd[8], "\x1b[2J\t\xff z", 8);
  memcpy (&odd[16], "  0123456789ABCD", 16);
  memcpy (&odd[32], "A\0BC", 4);
  assert_true (parse (parse_inquiry, &lu, odd, 36));
  assert_int_equal (lu.qualifier, 3);
  assert_int_equal (lu.device_type, 0x1f);
  assert_true (lu.removable);
  assert_int_equal (lu.tpgs, 3);
  assert_true (lu.protect);
  assert_string_equal (lu.vendor, "?[2J ? z");
  assert_string_equal (lu.product, "  0123456789ABCD");
  assert_string_equal (lu.revision, "A");
}

static void
test_vpd_supported (void **state)
{
  static const uint8_t page[] =
    { 0, 0, 0, 6, 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2, 0x99 };
  size_t len;
  int wanted;

  (void) state;
  for (len = 0; len <= sizeof page; len++) {
    uint8_t *p = exact (page, len);

    for (wanted = 0; wanted < 256; wanted++) {
      const uint8_t *hit = memchr (page + 4, wanted, 6);

      assert_int_equal (vpd_supported (p, len, (uint8_t) wanted),
                        hit && (size_t) (hit - page) < len);
    }
    free (p);
  }
}

static void
test_serial (void **state)
{
  struct lu_facts lu;
  uint8_t page[0x28] = { 0, 0x80, 0, 0x24 }, big[4 + 300];

  (void) state;
  memset (page + 4, ' ', 0x24);
  memcpy (page + 34, "beaf11", 6);
  lu_facts_init (&lu);
  assert_true (parse (parse_vpd_serial, &lu, page, sizeof page));
  assert_string_equal (lu.serial, "beaf11");
  assert_true (lu.serial_indented);
  every_length (parse_vpd_serial, page, sizeof page, sizeof page);

  memcpy (page + 4, "AB\033 C", 5);
  page[3] = 7;                  /* what follows is not of the page */
  assert_true (parse (parse_vpd_serial, &lu, page, sizeof page));
  assert_string_equal (lu.serial, "AB? C");
  assert_false (lu.serial_indented);

  page[3] = 0;
  assert_true (parse (parse_vpd_serial, &lu, page, 4));
  assert_string_equal (lu.serial, "");
  page[1] = 0x83;
  assert_false (parse (parse_vpd_serial, &lu, page, sizeof page));

  memset (big, 'x', sizeof big);
  big[1] = 0x80;
  big[2] = 0;
  big[3] = 255;
  assert_true (parse (parse_vpd_serial, &lu, big, sizeof big));
  assert_int_equal (strlen (lu.serial), 255);
  big[2] = 1;
  big[3] = 0;
  assert_false (parse (parse_vpd_serial, &lu, big, sizeof big));
}

static void
test_limits (void **state)
{
  struct lu_facts lu;
  uint8_t page[64] = { 0, 0xb0, 0, 0x3c, 1, 0, 0x12, 0x34 };
  size_t i;

  (void) state;
  for (i = 8; i < sizeof page; i++)
    page[i] = (uint8_t) (i | 0x80);
  lu_facts_init (&lu);
  assert_true (parse (parse_vpd_limits, &lu, page, sizeof page));
  assert_true (lu.has_limits);
  assert_true (lu.wsnz);
  assert_int_equal (lu.optimal_granularity, 0x1234);
  assert_int_equal (lu.max_transfer, 0x88898a8b);
  assert_int_equal (lu.optimal_transfer, 0x8c8d8e8f);
  assert_int_equal (lu.max_unmap_lba, 0x94959697);
  assert_int_equal (lu.max_unmap_descriptors, 0x98999a9b);
  assert_int_equal (lu.unmap_granularity, 0x9c9d9e9f);
  assert_true (lu.unmap_alignment_valid);
  assert_int_equal (lu.unmap_alignment, 0x20a1a2a3);
  assert_true (lu.max_write_same == UINT64_C (0xa4a5a6a7a8a9aaab));
  every_length (parse_vpd_limits, page, sizeof page, 16);

  /* Each field is there whole or not at all. */
  for (i = 16; i <= sizeof page; i++) {
    assert_true (parse (parse_vpd_limits, &lu, page, i));
    assert_int_equal (lu.max_unmap_lba != 0, i >= 24);
    assert_int_equal (lu.max_unmap_descriptors != 0, i >= 28);
    assert_int_equal (lu.unmap_granularity != 0, i >= 32);
    assert_int_equal (lu.unmap_alignment_valid, i >= 36);
    assert_int_equal (lu.unmap_alignment != 0, i >= 36);
    assert_int_equal (lu.max_write_same != 0, i >= 44);
  }
  page[32] = 0x20;              /* UGAVALID 0: the number says nothing */
  assert_true (parse (parse_vpd_limits, &lu, page, sizeof page));
  assert_false (lu.unmap_alignment_valid);
  assert_int_equal (lu.unmap_alignment, 0);
  page[3] = 0x0c;               /* SBC-2's page, with something behind it */
  assert_true (parse (parse_vpd_limits, &lu, page, sizeof page));
  assert_int_equal (lu.max_unmap_lba, 0);
  page[1] = 0xb1;
  assert_false (parse (parse_vpd_limits, &lu, page, sizeof page));
}

static void
test_characteristics_and_provisioning (void **state)
{
  static const uint8_t b1[] = { 0, 0xb1, 0, 0x3c, 0x1c, 0x20, 0, 0 };
  static const uint8_t b2[] = { 0, 0xb2, 0, 4, 9, 0xe4, 2, 0 };
  struct lu_facts lu;

  (void) state;
  lu_facts_init (&lu);
  assert_true (parse (parse_vpd_characteristics, &lu, b1, sizeof b1));
  assert_int_equal (lu.rotation_rate, 7200);
  every_length (parse_vpd_characteristics, b1, sizeof b1, 6);
  assert_false (parse (parse_vpd_characteristics, &lu, b2, sizeof b2));

  assert_true (parse (parse_vpd_provisioning, &lu, b2, sizeof b2));
  assert_true (lu.has_provisioning && lu.lbpu && lu.lbpws && lu.lbpws10);
  assert_true (lu.lbprz && lu.lbprz_vpd && !lu.lbprz_rc16);
  assert_int_equal (lu.provisioning_type, 2);
  assert_int_equal (lu.threshold_exponent, 9);
  every_length (parse_vpd_provisioning, b2, sizeof b2, 6);
  assert_true (parse (parse_vpd_provisioning, &lu, b2, 6));
  assert_int_equal (lu.provisioning_type, 0);
  assert_false (parse (parse_vpd_provisioning, &lu, b1, sizeof b1));

  /* LBPRZ 010b of SBC-4 is a pattern of the vendor's, not zeroes. */
  assert_true (parse (parse_vpd_provisioning, &lu,
                      "\0\xb2\0\4\0\x08\2\0", 8));
  assert_false (lu.lbprz || lu.lbpu || lu.lbpws || lu.lbpws10);
}

/* Who owns the unit: pages of arrays without ALUA. */
static void
test_owner (void **unused)
{
  uint8_t rdac[48] = { 0, 0xc9, 0, 44, 'v', 'a', 'c', '1', 0x01 };
  uint8_t pnr[36] = { 0, 0xc0, 0, 32, 2 };
  struct lu_facts lu;

  (void) unused;
  lu_facts_init (&lu);
  assert_true (parse_vpd_rdac (&lu, rdac, sizeof rdac));
  assert_true (lu.has_owner && !lu.owned_elsewhere);
  rdac[8] = 0x80;
  assert_true (parse_vpd_rdac (&lu, rdac, sizeof rdac));
  assert_true (lu.owned_elsewhere);
  lu_facts_init (&lu);
  for (size_t len = 0; len < 9; ++len)
    assert_false (parse_vpd_rdac (&lu, rdac, len));
  rdac[4] = 'x';                /* another vendor's page */
  assert_false (parse_vpd_rdac (&lu, rdac, sizeof rdac));
  assert_false (lu.has_owner);
  for (unsigned state = 0; state < 4; ++state) {
    pnr[4] = state;
    assert_int_equal (parse_vpd_clariion (&lu, pnr, sizeof pnr), state < 3);
    if (state < 3)
      assert_int_equal (lu.owned_elsewhere, state != 2);
  }
  pnr[4] = 2;
  assert_false (parse_vpd_clariion (&lu, pnr, 4));
}

static void
test_capacity (void **state)
{
  static const uint8_t tgt[32] =
    { 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 2, 0, 0, 3, 0, 0 };
  static const uint8_t tgt10[8] = { 0, 1, 0xff, 0xff, 0, 0, 2, 0 };
  struct lu_facts lu;
  uint8_t b[32];

  (void) state;
  lu_facts_init (&lu);
  assert_true (parse (parse_read_capacity16, &lu, tgt, sizeof tgt));
  assert_true (lu.blocks == 131072);
  assert_int_equal (lu.block_size, 512);
  assert_int_equal (lu.physical_block_size, 4096);
  assert_false (lu.lbpme || lu.lbprz || lu.prot_en);
  every_length (parse_read_capacity16, tgt, sizeof tgt, 12);
  every_length (parse_read_capacity10, tgt10, sizeof tgt10, 8);

  memcpy (b, tgt, 32);
  b[2] = 0x12;
  b[12] = 0x0f;
  b[13] = 0x1f;                 /* 512 << 15 */
  b[14] = 0xd2;
  b[15] = 0x34;
  assert_true (parse (parse_read_capacity16, &lu, b, 32));
  assert_true (lu.blocks == UINT64_C (0x12000001ffff) + 1);
  assert_true (lu.prot_en && lu.lbpme && lu.lbprz && lu.lbprz_rc16);
  assert_int_equal (lu.lowest_aligned, 0x1234);
  assert_int_equal (lu.physical_block_size, 512 << 15);
  assert_true (parse (parse_read_capacity16, &lu, b, 15));
  assert_false (lu.lbpme || lu.lbprz);  /* half of the 16 bits: unknown */
  b[8] = 0x7f;                  /* would overflow */
  assert_true (parse (parse_read_capacity16, &lu, b, 32));
  assert_true (lu.physical_block_size == lu.block_size);
  memset (b, 0xff, 8);
  assert_false (parse (parse_read_capacity16, &lu, b, 32));

  assert_true (parse (parse_read_capacity10, &lu, tgt10, 8));
  assert_true (lu.blocks == 131072);
  assert_int_equal (lu.block_size, 512);
  assert_int_equal (lu.physical_block_size, 512);
  assert_false (lu.lbpme || lu.lbprz || lu.prot_en);
  assert_false (parse (parse_read_capacity10, &lu, b, 8));
  b[3] = 0xfe;
  assert_true (parse (parse_read_capacity10, &lu, b, 8));
  assert_true (lu.blocks == UINT32_MAX);
}

static const uint8_t pages[] = {        /* as tgt sends them for page 3Fh */
  0x02, 0x0e, 0x80, 0x80, 0x00, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0x08, 0x12, 0x14, 0x00, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x80, 0x14,
  0, 0, 0, 0, 0, 0,
  0x0a, 0x0a, 0x02, 0x10, 0, 0, 0, 0, 0, 0, 0x02, 0x00,
  0x4a, 0x01, 0x00, 0x1c, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0x1c, 0x0a, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};

static void
test_mode_sense (void **state)
{
  uint8_t six[12 + sizeof pages] = { 0x69, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 2, 0 };
  uint8_t ten[16 + sizeof pages] =
    { 0, 0x6c, 0, 0x90, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0 };
  static const uint8_t empty[] = { 3, 0, 0x80, 0 };
  /* A subpage 08h/01h is not the caching page; one behind page 00h is not a
   * page; one of length 0 says nothing. */
  static const uint8_t sub[] = { 15, 0, 0, 0, 0x48, 1, 0, 2, 0, 0, 8, 0,
                                 0, 0x08, 4, 0xff };
  struct lu_facts lu;
  size_t i;

  (void) state;
  memcpy (six + 12, pages, sizeof pages);
  memcpy (ten + 16, pages, sizeof pages);

  for (i = 4; i <= sizeof six; i++) {
    lu_facts_init (&lu);
    assert_true (parse (parse_mode_sense6, &lu, six, i));
    assert_true (lu.dpofua && !lu.write_protect && lu.wce);
    assert_int_equal (lu.has_caching_page, i > 12 + 18);
  }
  for (i = 8; i <= sizeof ten; i++) {
    lu_facts_init (&lu);
    assert_true (parse (parse_mode_sense10, &lu, ten, i));
    assert_true (lu.dpofua && lu.write_protect && lu.wce);
    assert_int_equal (lu.has_caching_page, i > 16 + 18);
  }
  every_length (parse_mode_sense6, six, sizeof six, 4);
  every_length (parse_mode_sense10, ten, sizeof ten, 8);

  six[12 + 18] = ten[16 + 18] = 0x10;   /* write cache off */
  assert_true (parse (parse_mode_sense6, &lu, six, sizeof six));
  assert_true (lu.has_caching_page && !lu.wce);
  lu_facts_init (&lu);
  assert_true (parse (parse_mode_sense10, &lu, ten, sizeof ten));
  assert_true (lu.has_caching_page && !lu.wce);

  /* Their own length ends the pages, however much arrived. */
  six[0] = 12 + 18 - 1;
  ten[1] = 16 + 18 - 2;
  lu_facts_init (&lu);
  assert_true (parse (parse_mode_sense6, &lu, six, sizeof six));
  assert_true (parse (parse_mode_sense10, &lu, ten, sizeof ten));
  assert_true (!lu.has_caching_page && lu.wce);
  six[0] = 2;
  ten[1] = 5;
  assert_false (parse (parse_mode_sense6, &lu, six, sizeof six));
  assert_false (parse (parse_mode_sense10, &lu, ten, sizeof ten));

  /* Block descriptors longer than all of it. */
  six[0] = 0x69;
  six[3] = 0xff;
  ten[1] = 0x6c;
  ten[6] = ten[7] = 0xff;
  assert_true (parse (parse_mode_sense6, &lu, six, sizeof six));
  assert_true (parse (parse_mode_sense10, &lu, ten, sizeof ten));
  assert_false (lu.has_caching_page);

  assert_true (parse (parse_mode_sense6, &lu, empty, sizeof empty));
  assert_true (lu.write_protect && !lu.dpofua && lu.wce);
  assert_true (parse (parse_mode_sense6, &lu, sub, sizeof sub));
  assert_true (!lu.has_caching_page && lu.wce);
}

static bool flat;               /* of the last report () */

static int
report (const void *buf, size_t len, uint16_t *luns, int max, bool *more)
{
  uint8_t *p = exact (buf, len);
  uint16_t *out = calloc ((size_t) max + 1, sizeof *out);
  int n;

  assert_non_null (out);
  out[max] = 0xdead;
  n = parse_report_luns (p, len, out, max, more, &flat);
  assert_int_equal (out[max], 0xdead);
  if (n > 0)
    memcpy (luns, out, (size_t) n * sizeof *out);
  free (out);
  free (p);
  return n;
}

static void
test_report_luns (void **state)
{
  static const uint8_t r[] = {
    0, 0, 0, 0x40, 0, 0, 0, 0,
    0x00, 0x00, 0, 0, 0, 0, 0, 0,
    0x00, 0x01, 0, 0, 0, 0, 0, 0,
    0xc1, 0x01, 0, 0, 0, 0, 0, 0,       /* REPORT LUNS well known */
    0x41, 0x2c, 0, 0, 0, 0, 0, 0,       /* flat 300 */
    0x00, 0x05, 0x00, 0x06, 0, 0, 0, 0, /* two levels */
    0x03, 0x07, 0, 0, 0, 0, 0, 0,       /* bus 3 */
    0x80, 0x08, 0, 0, 0, 0, 0, 0,       /* logical unit addressing */
    0x7f, 0xff, 0, 0, 0, 0, 0, 0,       /* flat 16383 */
  };
  static const uint16_t all[] = { 0, 1, 300, 16383 };
  uint8_t huge[24] = { 0xff, 0xff, 0xff, 0xf8 };
  uint16_t luns[8];
  bool more;
  size_t i;
  int max, n;

  (void) state;
  assert_int_equal (report (r, sizeof r, luns, 8, &more), 4);
  assert_memory_equal (luns, all, sizeof all);
  assert_false (more);
  assert_int_equal (report (r, sizeof r, luns, 4, &more), 4);
  assert_false (more);
  for (max = 0; max < 4; max++) {
    assert_int_equal (report (r, sizeof r, luns, max, &more), max);
    assert_true (more);
  }
  for (i = 0; i < sizeof r; i++) {
    n = report (r, i, luns, 8, &more);
    if (i < 8) {
      assert_int_equal (n, -1);
      continue;
    }
    assert_true (more);
    assert_int_equal (n, (i >= 16) + (i >= 24) + (i >= 40));
    assert_memory_equal (luns, all, (size_t) n * sizeof luns[0]);
  }
  assert_int_equal (report (huge, sizeof huge, luns, 8, &more), 2);
  assert_true (more);
  huge[3] = 0xff;               /* not a multiple of 8 */
  assert_int_equal (report (huge, sizeof huge, luns, 8, &more), -1);

  assert_false (flat);
  /* Forms for the same number: as it is told, so it is to be addressed. */
  {
    static const uint8_t forms[] = {
      0, 0, 0, 0x18, 0, 0, 0, 0,
      0x40, 0x05, 0, 0, 0, 0, 0, 0,       /* flat 5 */
      0xd2, 0x00, 0x01, 0x2d, 0, 0, 0, 0, /* extended flat 301 */
      0xd2, 0x00, 0x40, 0x00, 0, 0, 0, 0, /* 16384: too large */
    };

    assert_int_equal (report (forms, sizeof forms, luns, 8, &more), 2);
    assert_int_equal (luns[0], 5);
    assert_int_equal (luns[1], 301);
    assert_true (flat);
    assert_int_equal (report (forms, 16, luns, 8, &more), 1);
    assert_true (flat);
  }

  assert_int_equal (lun_encode (0, false), 0);
  assert_int_equal (lun_encode (255, false), 255);
  assert_int_equal (lun_encode (256, false), 0x4100);
  assert_int_equal (lun_encode (16383, false), 0x7fff);
  assert_int_equal (lun_encode (0, true), 0x4000);
  assert_int_equal (lun_encode (255, true), 0x40ff);
  assert_int_equal (lun_encode (256, true), 0x4100);
  assert_int_equal (lun_encode (LUN_REPORT_LUNS, false), 0xc101);
  assert_int_equal (lun_encode (LUN_REPORT_LUNS, true), 0xc101);
}

static int
lba_status (const void *buf, size_t len, struct lba_status *out, int max)
{
  uint8_t *p = exact (buf, len);
  int n = parse_lba_status (p, len, out, max);

  free (p);
  return n;
}

static void
test_lba_status (void **state)
{
  static const uint8_t tgt[24] =
    { 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 2, 0, 0, 1, 0, 0, 0 };
  uint8_t two[40];
  struct lba_status s[2];
  size_t i;

  (void) state;
  assert_int_equal (lba_status (tgt, sizeof tgt, s, 2), 1);
  assert_true (s[0].lba == 0);
  assert_int_equal (s[0].blocks, 131072);
  assert_int_equal (s[0].provisioning, 1);
  for (i = 0; i < sizeof tgt; i++)
    assert_int_equal (lba_status (tgt, i, s, 2), i < 8 ? -1 : 0);

  memcpy (two, tgt, 24);
  memcpy (two + 24, tgt + 8, 16);
  two[3] = 0x24;
  two[24 + 5] = 2;              /* LBA 20000h: where the first one ends */
  two[24 + 12] = 0xf2;
  assert_int_equal (lba_status (two, sizeof two, s, 2), 2);
  assert_true (s[1].lba == 0x20000);
  assert_int_equal (s[1].provisioning, 2);
  assert_int_equal (lba_status (two, sizeof two, s, 1), 1);
  assert_int_equal (lba_status (two, sizeof two, s, 0), 0);
  two[3] = 0x14;                /* ends there, by its own account */
  assert_int_equal (lba_status (two, sizeof two, s, 2), 1);
  two[0] = 0xff;                /* and claims more than arrived */
  assert_int_equal (lba_status (two, sizeof two, s, 2), 2);
  two[24 + 12] = 3;             /* SBC-4, may hold data */
  assert_int_equal (lba_status (two, sizeof two, s, 2), 2);
  assert_int_equal (s[1].provisioning, 0);

  two[24 + 7] = 1;              /* a gap */
  assert_int_equal (lba_status (two, sizeof two, s, 2), -1);
  two[24 + 7] = 0;
  two[24 + 9] = 0;              /* empty */
  assert_int_equal (lba_status (two, sizeof two, s, 2), -1);
  memset (two + 8, 0xff, 8);    /* over the end of the numbers */
  assert_int_equal (lba_status (two, 24, s, 2), -1);
  memcpy (two, "\0\0\0\3", 4);
  assert_int_equal (lba_status (two, sizeof two, s, 2), -1);
}

/* What is learnt of it: -1 not believed, else NDOB. */
static int
opcode (const void *buf, size_t len)
{
  uint8_t *p = exact (buf, len);
  struct lu_facts lu;
  bool r;

  lu_facts_init (&lu);
  r = parse_supported_write_same16 (&lu, p, len);
  free (p);
  assert_true (r || !lu.ndob);
  return r ? lu.ndob : -1;
}

static void
test_opcode (void **state)
{
  /* As tgt 1.0.85 sends it. */
  static const uint8_t tgt[20] =
    { 0, 3, 0, 16, 0x93, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff, 0xff, 0xff, 0xff, 0, 7 };
  uint8_t p[32];

  (void) state;
  assert_int_equal (opcode (tgt, sizeof tgt), 0);
  memcpy (p, tgt, sizeof tgt);
  p[5] = 0xf9;
  assert_int_equal (opcode (p, sizeof tgt), 1);
  for (size_t n = 0; n < sizeof tgt; n++)
    assert_int_equal (opcode (p, n), -1);
  /* With command timeouts behind it. */
  p[1] = 0x83;
  memset (p + 20, 0, 12);
  assert_int_equal (opcode (p, sizeof p), 1);
  /* Not supported; in a vendor's way; all ones; another command. */
  p[1] = 1;
  assert_int_equal (opcode (p, sizeof tgt), -1);
  p[1] = 5;
  assert_int_equal (opcode (p, sizeof tgt), -1);
  p[1] = 3;
  p[5] = 0xff;
  assert_int_equal (opcode (p, sizeof tgt), 0);
  p[5] = 0x01;
  assert_int_equal (opcode (p, sizeof tgt), 1);
  p[4] = 0x41;
  assert_int_equal (opcode (p, sizeof tgt), -1);
  p[4] = 0x93;
  p[3] = 10;
  assert_int_equal (opcode (p, sizeof tgt), -1);
}

static struct sense
sense (const void *buf, size_t len)
{
  uint8_t *p = exact (buf, len);
  struct sense s;

  memset (&s, 0xa5, sizeof s);
  sense_parse (p, len, &s);
  free (p);
  return s;
}

static void
test_sense (void **state)
{
  static const uint8_t fixed[] = { 0x70, 0, 0xf6, 0, 0, 0, 0, 10, 0, 0, 0, 0,
                                   0x29, 0x07, 0, 0, 0, 0 };
  static const uint8_t desc[] = { 0x72, 0xf5, 0x24, 0x01, 0, 0, 0, 0 };
  uint8_t b[32], *p;
  struct sense s;
  size_t i;
  int code;

  (void) state;
  for (i = 0; i <= sizeof fixed; i++) {
    s = sense (fixed, i);
    assert_int_equal (s.valid, i >= 3);
    assert_false (s.deferred);
    assert_int_equal (s.key, i >= 3 ? SENSE_UNIT_ATTENTION : 0);
    assert_int_equal (s.asc, i > 12 ? 0x29 : 0);
    assert_int_equal (s.ascq, i > 13 ? 0x07 : 0);
  }
  for (i = 0; i <= sizeof desc; i++) {
    s = sense (desc, i);
    assert_int_equal (s.valid, i >= 2);
    assert_int_equal (s.key, i >= 2 ? SENSE_ILLEGAL_REQUEST : 0);
    assert_int_equal (s.asc, i > 2 ? 0x24 : 0);
    assert_int_equal (s.ascq, i > 3 ? 0x01 : 0);
  }

  /* ADDITIONAL SENSE LENGTH ends before the code. */
  memcpy (b, fixed, sizeof fixed);
  b[7] = 5;
  s = sense (b, sizeof fixed);
  assert_true (s.valid && s.asc == 0x29 && s.ascq == 0);
  b[7] = 0;
  s = sense (b, sizeof fixed);
  assert_true (s.valid && s.key == SENSE_UNIT_ATTENTION && s.asc == 0);

  for (code = 0; code < 256; code++) {
    memset (b, 0x33, sizeof b);
    b[0] = (uint8_t) code;
    s = sense (b, sizeof b);
    assert_int_equal (s.valid, (code & 0x7f) >= 0x70 && (code & 0x7f) <= 0x73);
    assert_int_equal (s.deferred, s.valid && (code & 1));
    if (!s.valid)
      assert_true (s.key == 0 && s.asc == 0 && s.ascq == 0);
  }

  /* As iSCSI carries it; a SenseLength of all values against all lengths. */
  for (i = 0; i <= 2 + sizeof fixed; i++)
    for (code = 0; code <= 40; code++) {
      size_t n = i < 2 ? 0 : i - 2 < (size_t) code ? i - 2 : (size_t) code;

      b[0] = 0;
      b[1] = (uint8_t) code;
      memcpy (b + 2, fixed, sizeof fixed);
      p = exact (b, i);
      sense_parse_iscsi (p, i, &s);
      free (p);
      assert_int_equal (s.valid, n >= 3);
      assert_int_equal (s.asc, n > 12 ? 0x29 : 0);
      assert_int_equal (s.ascq, n > 13 ? 0x07 : 0);
    }
}

static void
test_text (void **state)
{
  struct sense s = { .valid = true, .key = 6, .asc = 0x29 };
  char buf[200], small[10];
  int i;

  (void) state;
  assert_string_equal (sense_text (&s, buf, sizeof buf), "UNIT ATTENTION 29/00"
                       " (power on, reset, or bus device reset occurred)");
  assert_string_equal (sense_text (&s, small, sizeof small), "UNIT ATTE");
  s.deferred = true;
  s.key = 3;
  s.asc = 0x0c;
  s.ascq = 0x55;
  assert_string_equal (sense_text (&s, buf, sizeof buf),
                       "deferred MEDIUM ERROR 0C/55");
  s.asc = 0x91;
  s.deferred = false;
  assert_string_equal (sense_text (&s, buf, sizeof buf),
                       "MEDIUM ERROR 91/55 (vendor specific)");
  s.valid = false;
  assert_string_equal (sense_text (&s, buf, sizeof buf), "no sense data");
  s.valid = true;
  for (i = 0; i < 16 * 65536; i++) {
    s.key = (uint8_t) (i >> 16);
    s.asc = (uint8_t) (i >> 8);
    s.ascq = (uint8_t) i;
    sense_text (&s, buf, sizeof buf);
    assert_true (strlen (buf) > 8 && strlen (buf) < sizeof buf - 1);
  }

  assert_string_equal (result_text (RESULT_GOOD), "GOOD");
  assert_string_equal (result_text (RESULT_TASK_SET_FULL), "TASK SET FULL");
  assert_string_equal (result_text ((enum scsi_result) 0x22),
                       "unknown status");
  for (i = RESULT_LOST; i <= RESULT_PROTOCOL; i++)
    assert_string_not_equal (result_text ((enum scsi_result) i),
                             "unknown status");
}

#define CDB(call, ...)                                                  \
  do {                                                                  \
    static const uint8_t want_[] = { __VA_ARGS__ };                     \
    uint8_t cdb[16], full_[16] = { 0 };                                 \
    memset (cdb, 0xa5, sizeof cdb);                                     \
    memcpy (full_, want_, sizeof want_);                                \
    assert_int_equal (call, sizeof want_);                              \
    assert_memory_equal (cdb, full_, sizeof cdb);                       \
  } while (0)

static void
test_cdb (void **state)
{
  static const struct lba_range r[] = {
    { UINT64_C (0x0102030405060708), 0x090a0b0c }, { 1, 2 },
  };
  static const uint8_t params[40] = {
    0, 38, 0, 32, 0, 0, 0, 0,
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0,
  };
  const uint64_t big = UINT64_C (0x1122334455667788);
  uint8_t *p = malloc (40);

  (void) state;
  CDB (cdb_test_unit_ready (cdb), 0, 0, 0, 0, 0, 0);
  CDB (cdb_inquiry (cdb, false, 0x83, 36), 0x12, 0, 0, 0, 36, 0);
  CDB (cdb_inquiry (cdb, true, 0x83, 0x1ff), 0x12, 1, 0x83, 1, 0xff, 0);
  CDB (cdb_report_luns (cdb, 0x01020304),
       0xa0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0);
  CDB (cdb_read_capacity10 (cdb), 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  CDB (cdb_read_capacity16 (cdb, 32),
       0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
  CDB (cdb_mode_sense6 (cdb, 0x3f, 0xff), 0x1a, 0, 0x3f, 0, 0xff, 0);
  CDB (cdb_mode_sense10 (cdb, 0x08, 0x1234),
       0x5a, 0, 8, 0, 0, 0, 0, 0x12, 0x34, 0);
  CDB (cdb_read (cdb, 0xffffffff, 0xffff, false),
       0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0);
  CDB (cdb_read (cdb, 0x100000000, 1, true),
       0x88, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0);
  CDB (cdb_write (cdb, 0x01020304, 0x0506, true),
       0x2a, 8, 1, 2, 3, 4, 0, 5, 6, 0);
  CDB (cdb_write (cdb, big, 0x10000, false),
       0x8a, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 1, 0, 0, 0, 0);
  CDB (cdb_synchronize_cache (cdb, 7, 9, false),
       0x35, 0, 0, 0, 0, 7, 0, 0, 9, 0);
  /* What the short form cannot say is widened. */
  CDB (cdb_synchronize_cache (cdb, 7, 0x10000, false),
       0x35, 0, 0, 0, 0, 7, 0, 0, 0, 0);
  CDB (cdb_synchronize_cache (cdb, big, 9, false),
       0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  CDB (cdb_synchronize_cache (cdb, big, 9, true),
       0x91, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 0, 0, 9, 0, 0);
  CDB (cdb_unmap (cdb, 0x0128), 0x42, 0, 0, 0, 0, 0, 0, 1, 0x28, 0);
  CDB (cdb_write_same16 (cdb, 2, 3, true, false),
       0x93, 0x08, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0);
  CDB (cdb_write_same16 (cdb, 2, 3, false, true),
       0x93, 0x01, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0);
  CDB (cdb_report_opcode (cdb, 0x93, 0x1234),
       0xa3, 0x0c, 1, 0x93, 0, 0, 0, 0, 0x12, 0x34, 0, 0);
  CDB (cdb_get_lba_status (cdb, 2, 0x1000),
       0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0x10, 0, 0, 0);
  CDB (cdb_prefetch16 (cdb, 2, 3),
       0x90, 0x02, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0);

  assert_non_null (p);
  assert_int_equal (unmap_parameters (p, r, 2), 40);
  assert_memory_equal (p, params, 40);
  assert_int_equal (unmap_parameters (p, r, 0), 8);
  free (p);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_inquiry),
    cmocka_unit_test (test_vpd_supported),
    cmocka_unit_test (test_serial),
    cmocka_unit_test (test_limits),
    cmocka_unit_test (test_characteristics_and_provisioning),
    cmocka_unit_test (test_owner),
    cmocka_unit_test (test_capacity),
    cmocka_unit_test (test_mode_sense),
    cmocka_unit_test (test_report_luns),
    cmocka_unit_test (test_lba_status),
    cmocka_unit_test (test_opcode),
    cmocka_unit_test (test_sense),
    cmocka_unit_test (test_text),
    cmocka_unit_test (test_cdb),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
