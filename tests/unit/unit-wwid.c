/* SPDX-License-Identifier: BSD-3-Clause */
/* VPD page 83h to WWID (server/scsi/wwid.c).  What is expected follows scsi_id's
 * rules; the page of tgt is a dump of tgt 1.0.85, the others are built like
 * the arrays build them.
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

/* A page under construction. */
struct page {
  uint8_t b[2048];
  size_t n;
};

static void
start (struct page *p)
{
  memset (p, 0, sizeof *p);
  p->b[1] = 0x83;
  p->n = 4;
}

static void
finish (struct page *p)
{
  p->b[2] = (uint8_t) ((p->n - 4) >> 8);
  p->b[3] = (uint8_t) (p->n - 4);
}

/* code: protocol and code set; kind: association and type (SPC-4 7.8.6.1). */
static void
add (struct page *p, uint8_t code, uint8_t kind, const void *payload, size_t n)
{
  assert_true (n < 256 && p->n + 4 + n <= sizeof p->b);
  p->b[p->n] = code;
  p->b[p->n + 1] = kind;
  p->b[p->n + 3] = (uint8_t) n;
  memcpy (&p->b[p->n + 4], payload, n);
  p->n += 4 + n;
  finish (p);
}

static bool
parse (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  uint8_t *copy = NULL;
  const char *s;
  bool r;

  if (len > 0) {
    copy = malloc (len);
    assert_non_null (copy);
    memcpy (copy, buf, len);
  }
  r = parse_vpd_identification (lu, copy, len);
  free (copy);
  assert_non_null (memchr (lu->wwid, 0, sizeof lu->wwid));
  for (s = lu->wwid; *s; s++)
    assert_true (*s > ' ' && *s < 0x7f);
  return r;
}

static void
expect (const struct page *p, const char *wwid)
{
  struct lu_facts lu;

  lu_facts_init (&lu);
  strcpy (lu.vendor, "ACME");
  strcpy (lu.product, "Big Disk/2");
  strcpy (lu.wwid, "old");
  assert_true (parse (&lu, p->b, p->n));
  assert_string_equal (lu.wwid, wwid);
}

#define NAA6 "\x60\x01\x40\x5a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0\x0f"
#define NAA5 "\x50\x01\x40\x5a\x01\x02\x03\x04"
#define NAA2 "\x20\x01\x37\x00\x13\x78\xa8\xa9"
#define EUI8 "\x00\x17\x37\x00\x13\x78\xa8\xa9"

/* All of association 0, in the order that scsi_id prefers. */
static const struct {
  uint8_t code, kind;
  const char *payload;
  size_t n;
  const char *wwid;
} ranked[] = {
  { 1, 3, NAA6, 16, "36001405abcdef0123456789abcdef00f" },
  { 2, 3, "abcdef0123456789", 16, "3abcdef0123456789" }, /* 'a' >> 4 == 6 */
  { 1, 3, NAA5, 8, "35001405a01020304" },
  { 2, 3, "S1", 2, "3S1" },                              /* 'S' >> 4 == 5 */
  { 1, 3, NAA2, 8, "3200137001378a8a9" },
  { 2, 3, "6001405", 7, "36001405" },
  { 1, 2, EUI8, 8, "20017370013" "78a8a9" },
  { 2, 2, "EUI", 3, "2EUI" },
  { 1, 1, "IET\x01", 4, "149455401" },
  { 2, 1, "IET     00010001", 16, "1IET_00010001" },
  { 1, 0, "\x12\xab", 2, "0ACME_Big_Disk_2_12ab" },
  { 2, 0, " vs 1 ", 6, "0ACME_Big_Disk_2_vs_1" },
};
#define NR_RANKED (int) (sizeof ranked / sizeof ranked[0])

static void
add_ranked (struct page *p, int i)
{
  add (p, ranked[i].code, ranked[i].kind, ranked[i].payload, ranked[i].n);
}

static void
test_kinds (void **state)
{
  struct page p;
  int i, j;

  (void) state;
  for (i = 0; i < NR_RANKED; i++) {
    start (&p);
    add_ranked (&p, i);
    expect (&p, ranked[i].wwid);
    /* Against each other one, both ways round. */
    for (j = 0; j < NR_RANKED; j++) {
      start (&p);
      add_ranked (&p, i);
      add_ranked (&p, j);
      expect (&p, ranked[i < j ? i : j].wwid);
    }
  }
  start (&p);
  for (i = NR_RANKED - 1; i >= 0; i--)
    add_ranked (&p, i);
  expect (&p, ranked[0].wwid);

  /* Of the same kind the first counts. */
  start (&p);
  add (&p, 1, 3, NAA5, 8);
  add (&p, 1, 3, "\x50\0\0\0\0\0\0\1", 8);
  expect (&p, "35001405a01020304");
}

static const uint8_t tgt[] = {
  0x00, 0x83, 0x00, 0x48, 0x02, 0x01, 0x00, 0x24, 0x49, 0x45, 0x54, 0x20,
  0x20, 0x20, 0x20, 0x20, 0x30, 0x30, 0x30, 0x31, 0x30, 0x30, 0x30, 0x31,
  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x00, 0x08,
  0x30, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x01, 0x03, 0x00, 0x10,
  0x60, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0e, 0x00, 0x00, 0x00,
  0x00, 0x01, 0x00, 0x01,
};

static void
test_tgt (void **state)
{
  struct page p;

  (void) state;
  start (&p);
  memcpy (p.b, tgt, p.n = sizeof tgt);
  expect (&p, "360000000000000000e00000000010001");
  /* Only its T10 designator, padded with NULs. */
  p.n = 4 + 4 + 0x24;
  finish (&p);
  expect (&p, "1IET_00010001");
}

/* LIO: NAA-6, T10 with vendor, model and serial, vendor specific ports,
 * groups, the target port's and the device's names. */
static void
lio (struct page *p)
{
  static const char t10[] = "LIO-ORG disk0:5abcdef0-1234-5678\0";

  start (p);
  add (p, 0x01, 0x03, NAA6, 16);
  add (p, 0x02, 0x01, t10, sizeof t10);
  add (p, 0x51, 0x94, "\0\0\0\2", 4);   /* relative target port */
  add (p, 0x51, 0x95, "\0\0\1\7", 4);   /* target port group */
  add (p, 0x01, 0x06, "\0\0\0\0", 4);   /* logical unit group */
  add (p, 0x53, 0x98, "iqn.2003-01.org:x,t,0x0001\0\0", 28);
  add (p, 0x53, 0xa8, "iqn.2003-01.org:x\0\0\0", 20);
}

static void
test_lio (void **state)
{
  struct lu_facts lu;
  struct page p;

  (void) state;
  lio (&p);
  expect (&p, "36001405abcdef0123456789abcdef00f");
  lu_facts_init (&lu);
  assert_true (parse (&lu, p.b, p.n));
  assert_true (lu.has_tpg);
  assert_int_equal (lu.tpg, 0x0107);
  assert_int_equal (lu.rtpi, 2);

  /* Another page without them: nothing is left of the first. */
  start (&p);
  add (&p, 1, 3, NAA5, 8);
  assert_true (parse (&lu, p.b, p.n));
  assert_false (lu.has_tpg);
  assert_int_equal (lu.tpg, 0);
  assert_int_equal (lu.rtpi, 0);

  /* Same types, but of the unit, or of a wrong length: not for us. */
  start (&p);
  add (&p, 1, 0x05, "\0\0\1\7", 4);
  add (&p, 1, 0x15, "\0\0\1", 3);
  add (&p, 1, 0x14, "\0\0\1\7\0", 5);
  add (&p, 1, 0x25, "\0\0\1\7", 4);
  assert_true (parse (&lu, p.b, p.n));
  assert_false (lu.has_tpg);
  assert_int_equal (lu.rtpi, 0);
  assert_string_equal (lu.wwid, "");
}

static void
test_arrays (void **state)
{
  struct page p;

  (void) state;
  /* NetApp: vendor specific first, then T10, NAA-6, and port things. */
  start (&p);
  add (&p, 0x02, 0x00, "/vol/v1/lun1", 12);
  add (&p, 0x02, 0x01, "NETAPP   LUN 80Bbv?IK8tqY", 25);
  add (&p, 0x01, 0x03, "\x60\x0a\x09\x80\x38\x30\x42\x62\x76\x3f\x49\x4b"
       "\x38\x74\x71\x59", 16);
  add (&p, 0x01, 0x13, "\x20\x0a\x00\xa0\x98\x11\x22\x33", 8);
  add (&p, 0x01, 0x15, "\0\0\3\xe8", 4);
  expect (&p, "3600a098038304262763f494b38747159");

  /* EqualLogic: NAA-6, then vendor specific and a second T10. */
  start (&p);
  add (&p, 0x01, 0x03, "\x60\x90\xa0\x28\x30\x55\x2c\x91\x0a\x25\xb5\x04"
       "\x00\x00\x10\x8c", 16);
  add (&p, 0x02, 0x00, "0-8a0906-912c55302-8c100000045b250a", 35);
  expect (&p, "36090a02830552c910a25b5040000108c");

  /* The disk of the how-to: NAA-2. */
  start (&p);
  add (&p, 0x01, 0x03, "\x20\x01\x70\x01\x37\x8a\x8a\x9f", 8);
  expect (&p, "32001700" "1378a8a9f");

  /* EUI-64 of 8, 12 and 16 bytes. */
  start (&p);
  add (&p, 0x01, 0x02, EUI8 "\x01\x02\x03\x04\x05\x06\x07\x08", 12);
  expect (&p, "2001737001378a8a901020304");
  start (&p);
  add (&p, 0x01, 0x02, EUI8 "\x01\x02\x03\x04\x05\x06\x07\x08", 16);
  expect (&p, "2001737001378a8a90102030405060708");
}

static void
test_ignored (void **state)
{
  static const uint8_t assoc[] = { 0x10, 0x20, 0x30 };
  struct page p;
  size_t a, i;

  (void) state;
  /* Of a port, the device, or reserved: none of them, whatever the type. */
  for (a = 0; a < sizeof assoc; a++) {
    start (&p);
    for (i = 0; i < NR_RANKED; i++)
      add (&p, ranked[i].code, ranked[i].kind | assoc[a],
           ranked[i].payload, ranked[i].n);
    expect (&p, "");
    add (&p, 2, 1, "T", 1);
    expect (&p, "1T");
  }

  /* SCSI name string, MD5, unknown types, code sets 0 and UTF-8. */
  start (&p);
  for (i = 4; i < 16; i++) {
    add (&p, 3, (uint8_t) i, "naa.600140512345678", 19);
    add (&p, 1, (uint8_t) i, NAA6, 16);
  }
  for (i = 0; i < 16; i++)
    if (i != 1 && i != 2)
      add (&p, (uint8_t) i, 3, NAA6, 16);
  expect (&p, "");
  start (&p);
  expect (&p, "");

  /* Empty, blank and zero designators. */
  start (&p);
  for (i = 0; i < 4; i++) {
    add (&p, 1, (uint8_t) i, "", 0);
    add (&p, 2, (uint8_t) i, "", 0);
    add (&p, 2, (uint8_t) i, "  \t \0\0X", 7);
    add (&p, 2, (uint8_t) i, "   ", 3);
    add (&p, 1, (uint8_t) i, "\0\0\0\0", 4);
  }
  expect (&p, "");
  add (&p, 1, 3, NAA5, 8);
  expect (&p, "35001405a01020304");
}

static void
test_characters (void **state)
{
  static const struct { const char *in; size_t n; const char *out; } t[] = {
    { "  a  b\t\nc  ", 11, "1_a_b_c" },         /* the digit comes first */
    { "a/b,c;d'e\"f$g`h", 15, "1a_b_c_d_e_f_g_h" },
    { "#+-.:=@_", 8, "1#+-.:=@_" },
    { "\x1b[31m\x07\x7f\xc3\xa9", 9, "1__31m____" },
    { "a\\x2fb\\y", 8, "1a\\x2fb_y" },
    { "ab\0cd", 5, "1ab" },
    { "q\\", 2, "1q_" },
  };
  char big[255], want[300];
  uint8_t bin[255];
  struct page p;
  size_t i;

  (void) state;
  for (i = 0; i < sizeof t / sizeof t[0]; i++) {
    start (&p);
    add (&p, 2, 1, t[i].in, t[i].n);
    expect (&p, t[i].out);
  }

  /* The longest that fit into scsi_id's 256 bytes, and one more. */
  memset (big, 'x', sizeof big);
  snprintf (want, sizeof want, "1%.*s", 254, big);
  start (&p);
  add (&p, 2, 1, big, 254);
  expect (&p, want);
  start (&p);
  add (&p, 2, 1, big, 255);
  expect (&p, "");
  memset (bin, 0x66, sizeof bin);
  memset (want, '6', sizeof want);
  want[0] = '3';
  want[255] = 0;
  start (&p);
  add (&p, 1, 3, bin, 127);
  expect (&p, want);
  start (&p);
  add (&p, 1, 3, bin, 128);
  add (&p, 1, 3, NAA5, 8);
  expect (&p, "35001405a01020304");
  start (&p);
  add (&p, 2, 0, big, 230);
  snprintf (want, sizeof want, "0ACME_Big_Disk_2_%.*s", 230, big);
  expect (&p, want);
  start (&p);
  add (&p, 2, 0, big, 231);
  expect (&p, "");
}

/* Cut at every length: the same answer as whole, or none; never another. */
static void
cut (const struct page *p)
{
  struct lu_facts whole, lu, before;
  size_t i;

  lu_facts_init (&whole);
  strcpy (whole.vendor, "ACME");
  before = whole;
  assert_true (parse (&whole, p->b, p->n));
  strcpy (before.wwid, "before");
  before.has_tpg = true;
  before.tpg = 7;
  for (i = 0; i < p->n; i++) {
    lu = before;
    if (parse (&lu, p->b, i))
      assert_string_equal (lu.wwid, whole.wwid);
    else
      assert_memory_equal (&lu, &before, sizeof lu);
  }
}

static void
test_truncated (void **state)
{
  struct lu_facts lu;
  struct page p;
  int i;

  (void) state;
  start (&p);
  memcpy (p.b, tgt, p.n = sizeof tgt);
  cut (&p);
  lio (&p);
  cut (&p);
  lu_facts_init (&lu);
  assert_true (parse (&lu, p.b, 4 + 20));       /* NAA-6 stands first */
  assert_string_equal (lu.wwid, ranked[0].wwid);
  for (i = 0; i < NR_RANKED; i++) {
    start (&p);
    add_ranked (&p, i);
    cut (&p);
  }
  for (i = NR_RANKED - 1; i >= 0; i--)
    add_ranked (&p, i);
  cut (&p);
}

static void
test_malformed (void **state)
{
  struct lu_facts lu;
  struct page p;
  size_t i;
  unsigned n;

  (void) state;
  lu_facts_init (&lu);

  /* A length over the end of the page: all that follow is unknown. */
  start (&p);
  add (&p, 1, 3, NAA5, 8);
  for (n = 9; n < 256; n++) {
    p.b[7] = (uint8_t) n;
    assert_false (parse (&lu, p.b, p.n));
    assert_string_equal (lu.wwid, "");
  }
  /* One to three bytes that are no designator. */
  for (i = 1; i < 4; i++) {
    start (&p);
    add (&p, 1, 3, NAA5, 8);
    p.n += i;
    finish (&p);
    assert_false (parse (&lu, p.b, p.n));
  }
  /* A page length beyond what came, with the best of names in front. */
  start (&p);
  add (&p, 1, 3, NAA6, 16);
  p.b[2] = 0xff;
  expect (&p, ranked[0].wwid);
  /* Bytes behind the page are not of it. */
  start (&p);
  add (&p, 1, 3, NAA5, 8);
  n = p.b[3];
  add (&p, 1, 3, NAA6, 16);
  p.b[3] = (uint8_t) n;
  expect (&p, "35001405a01020304");
  /* Another page. */
  p.b[1] = 0x80;
  assert_false (parse (&lu, p.b, p.n));

  /* The pre-SPC form: a WWN behind the header. */
  start (&p);
  memcpy (&p.b[4], NAA6, 16);
  p.n = 20;
  finish (&p);
  expect (&p, ranked[0].wwid);
  for (i = 0; i < p.n; i++)
    assert_false (parse (&lu, p.b, i));
  p.n = 4 + 128;
  finish (&p);
  assert_false (parse (&lu, p.b, p.n));

  /* Pseudo-random bytes: no crash, and clean text (parse () looks). */
  for (n = 1, i = 0; i < 20000; i++) {
    size_t len = i % 300, k;

    for (k = 0; k < len; k++) {
      n = n * 1103515245 + 12345;
      p.b[k] = (uint8_t) (n >> 16);
      if (k >= 4 && (n >> 28) < 12)
        p.b[k] &= 0x13;
    }
    p.b[1] = 0x83;
    p.b[2] &= 1;
    parse (&lu, p.b, len);
  }
}

static void
test_from_serial (void **state)
{
  struct lu_facts lu;

  (void) state;
  lu_facts_init (&lu);
  strcpy (lu.vendor, "IET");
  strcpy (lu.product, "VIRTUAL-DISK");
  strcpy (lu.wwid, "old");
  wwid_from_serial (&lu);
  assert_string_equal (lu.wwid, "");
  strcpy (lu.serial, "beaf 11/a");
  wwid_from_serial (&lu);
  assert_string_equal (lu.wwid, "SIET_VIRTUAL-DISK_beaf_11_a");

  /* No room for blanks between model and number, unless it brought some. */
  strcpy (lu.product, "0123456789ABCDEF");
  wwid_from_serial (&lu);
  assert_string_equal (lu.wwid, "SIET_0123456789ABCDEFbeaf_11_a");
  lu.serial_indented = true;
  wwid_from_serial (&lu);
  assert_string_equal (lu.wwid, "SIET_0123456789ABCDEF_beaf_11_a");

  memset (lu.serial, 'x', 255);
  wwid_from_serial (&lu);
  assert_string_equal (lu.wwid, "");
  lu.serial[229] = 0;           /* 25 + 1 + 229 = 255 */
  wwid_from_serial (&lu);
  assert_int_equal (strlen (lu.wwid), 255 - 4); /* "IET" + 5 blanks -> 1 */
  lu.serial[229] = 'x';
  lu.serial[230] = 0;
  wwid_from_serial (&lu);
  assert_string_equal (lu.wwid, "");
}

static struct lu_facts
disk (void)
{
  struct lu_facts lu;

  lu_facts_init (&lu);
  lu.blocks = 131072;
  lu.block_size = lu.physical_block_size = 512;
  return lu;
}

#define UNUSABLE(change, word)                                  \
  do {                                                          \
    struct lu_facts lu = disk ();                               \
    change;                                                     \
    assert_ptr_equal (lu_unusable (&lu, buf, sizeof buf), buf); \
    assert_non_null (strstr (buf, word));                       \
  } while (0)

static void
test_unusable (void **state)
{
  static const uint32_t good[] = { 512, 1024, 2048, 4096, 65536 };
  char buf[200];
  struct lu_facts lu = disk ();
  unsigned i;

  (void) state;
  assert_null (lu_unusable (&lu, buf, sizeof buf));
  for (i = 0; i < sizeof good / sizeof good[0]; i++) {
    lu.block_size = good[i];
    lu.blocks = INT64_MAX / good[i];
    assert_null (lu_unusable (&lu, buf, sizeof buf));
    lu.blocks++;
    assert_ptr_equal (lu_unusable (&lu, buf, sizeof buf), buf);
    assert_non_null (strstr (buf, "2^63-1"));
  }
  for (i = 1; i < 8; i++)
    UNUSABLE (lu.qualifier = (uint8_t) i, "no logical unit");
  for (i = 1; i < 32; i++)
    UNUSABLE (lu.device_type = (uint8_t) i, "not a disk");
  UNUSABLE (lu.device_type = 5, "a CD/DVD drive (device type 05h)");
  UNUSABLE (lu.blocks = 0, "its size is 0");
  UNUSABLE (lu.blocks = 0; lu.removable = true, "medium");
  UNUSABLE (lu.block_size = 0, "block size is 0");
  UNUSABLE (lu.block_size = 256, "block size is 256");
  UNUSABLE (lu.block_size = 131072, "block size");
  UNUSABLE (lu.block_size = 520, "format it");
  UNUSABLE (lu.block_size = 4160, "format it");
  UNUSABLE (lu.prot_en = true, "protection information");
  UNUSABLE (lu.blocks = UINT64_MAX, "2^63-1");
  /* Able to hold protection information is not formatted with it. */
  lu = disk ();
  lu.protect = true;
  assert_null (lu_unusable (&lu, buf, sizeof buf));
}

static void
test_made_up (void **unused)
{
  static const struct { const char *wwid; bool made_up; } all[] = {
    { "360000000000000000e00000000010001", true },      /* tgt's NAA */
    { "36000000000000000", true },
    { "35000000123456789", true },
    { "3200a000000123456", true },
    { "33000000000000001", true },
    { "33fffffffffffffff", true },
    { "20000001234567890", true },
    { "212345678000000000000001234567890", true },      /* of 16 bytes */
    { "1IET_00010001", true },
    { "SIET_VIRTUAL-DISK_beaf11", true },
    { "SVENDOR_MODEL_000000000000", true },
    { "1VENDOR_00000000", true },
    { "36001405a1b2c3d4e5f60718293a4b5c6", false },     /* LIO */
    { "3600a098038303053453f463045727654", false },     /* NetApp */
    { "35000c500a1b2c3d4", false },
    { "32017001378a8a9ff", false },                     /* the how-to's */
    { "32000001378a8a9ff", false },     /* the zeroes are the vendor's part */
    { "2001378a8a9ff0000", false },
    { "200000000000000000001378a8a9ff000", false },
    { "1IET_00010001-mine", false },
    { "1LIO-ORG_data_a1b2c3d4", false },
    { "SIET_VIRTUAL-DISK_4711", false },
    { "SVENDOR_MODEL_000000000001", false },
    { "S", false }, { "3", false }, { "36", false }, { "3200a", false },
    { "", false }, { "1VENDOR_", false },
  };

  (void) unused;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; ++i)
    if ((wwid_made_up (all[i].wwid) != NULL) != all[i].made_up)
      fail_msg ("%s", all[i].wwid);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_kinds),
    cmocka_unit_test (test_tgt),
    cmocka_unit_test (test_lio),
    cmocka_unit_test (test_arrays),
    cmocka_unit_test (test_ignored),
    cmocka_unit_test (test_characters),
    cmocka_unit_test (test_truncated),
    cmocka_unit_test (test_malformed),
    cmocka_unit_test (test_from_serial),
    cmocka_unit_test (test_made_up),
    cmocka_unit_test (test_unusable),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
