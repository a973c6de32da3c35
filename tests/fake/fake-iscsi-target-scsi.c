/* SPDX-License-Identifier: BSD-3-Clause */
/* fake-iscsi-target: the device server (SPC-4, SBC-3).  Takes a command with all of
 * its data, returns status, sense and data; knows nothing of iSCSI. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake-iscsi-target.h"

static void
check (struct result *r, uint8_t key, uint8_t asc, uint8_t ascq)
{
  free (r->data);
  *r = (struct result) { .status = 0x02, .key = key, .asc = asc, .ascq = ascq };
}

#define INVALID_FIELD 0x5, 0x24, 0x00
#define LBA_OUT_OF_RANGE 0x5, 0x21, 0x00

static void
answer (struct result *r, const void *data, size_t n, size_t allocation)
{
  if (n > allocation)
    n = allocation;
  r->data = malloc (n ? n : 1);
  if (r->data == NULL)
    die ("out of memory");
  memcpy (r->data, data, n);
  r->n = n;
}

/* LUN field: peripheral or flat addressing, SAM-5 4.7.  NULL: no such. */
struct lun *
find_lun (const uint8_t *f)
{
  unsigned number = get16 (f) & 0x3fff;

  if (f[0] >> 6 > 1 || get16 (f + 2) || get32 (f + 4))
    return NULL;
  for (int i = 0; i < n_luns; i++)
    if (luns[i].number == number)
      return &luns[i];
  return NULL;
}

static uint64_t
blocks_for (const struct connection *c)
{
  if (c->shrunk)
    return facts.blocks / 2;
  if (c->grown)
    return facts.blocks * 2;
  return facts.blocks;
}

/* --- INQUIRY ----------------------------------------------------------- */

static void
pad (uint8_t *p, const char *text, size_t n)
{
  memset (p, ' ', n);
  memcpy (p, text, strlen (text) < n ? strlen (text) : n);
}

static size_t
vpd_identification (const struct connection *c, const struct lun *lun, uint8_t *p)
{
  static const char t10_tail[] = "fake-target";
  uint8_t *d = p + 4;
  size_t n = facts.wwid_length;

  d[0] = 0x01;                  /* binary; logical unit, NAA; SPC-4 7.8.6.6 */
  d[1] = 0x03;
  d[3] = (uint8_t) n;
  memcpy (d + 4, facts.wwid, n);
  /* Each unit its own: the number goes to the end. */
  put16 (d + 4 + n - 2, get16 (d + 4 + n - 2) + lun->number);
  if (c->other_wwid)
    d[4 + n - 3] ^= 0xff;
  d += 4 + n;
  d[0] = 0x02;                  /* T10 vendor identification */
  d[1] = 0x01;
  n = 8 + strlen (t10_tail) + strlen (facts.serial);
  d[3] = (uint8_t) n;
  pad (d + 4, facts.vendor, 8);
  memcpy (d + 12, t10_tail, strlen (t10_tail));
  memcpy (d + 12 + strlen (t10_tail), facts.serial, strlen (facts.serial));
  d += 4 + n;
  d[0] = 0x51;                  /* iSCSI, target port: relative port */
  d[1] = 0x94;
  d[3] = 4;
  put16 (d + 6, (uint32_t) c->portal + 1);
  d += 8;
  if (alua_inquiry_group (c) >= 0) {
    d[0] = 0x51;                /* and target port group */
    d[1] = 0x95;
    d[3] = 4;
    put16 (d + 6, (uint32_t) alua_inquiry_group (c));
    d += 8;
  }
  if (evil (EVIL_VPD83_NONE))
    d = p + 4;
  if (evil (EVIL_VPD83_LYING)) {
    p[7] = 0xff;
    p[4 + 4 + facts.wwid_length + 3] = 0xff;
  }
  return (size_t) (d - p);
}

static size_t
vpd_limits (uint8_t *p)
{
  uint32_t exponent_granularity = facts.physical_block_size / facts.block_size;

  put16 (p + 6, exponent_granularity); /* optimal transfer length granularity */
  put32 (p + 8, facts.max_transfer);
  put32 (p + 12, facts.optimal_transfer);
  if (facts.thin) {
    put32 (p + 20, facts.max_unmap ? facts.max_unmap : 0xffffffff);
    put32 (p + 24, 32);         /* descriptors */
    put32 (p + 28, DISK_CHUNK); /* granularity; alignment 0, valid */
    put32 (p + 32, 0x80000000);
    put64 (p + 36, 0x400000);   /* WRITE SAME, blocks */
  }
  if (evil (EVIL_VPDB0_RUBBISH)) {
    memset (p + 4, 0xff, 60);
    put32 (p + 8, 1);
  }
  return 64;
}

static void
inquiry (const struct connection *c, const struct lun *lun, const uint8_t *cdb,
         struct result *r)
{
  uint8_t p[512] = { 0 };
  size_t n = 0, allocation = get16 (cdb + 3);

  if (evil (EVIL_INQUIRY_EMPTY)) {
    answer (r, p, 0, 0);
    return;
  }
  p[0] = lun ? (uint8_t) (facts.qualifier << 5 | facts.device_type) : 0x7f;
  if (lun && facts.qualifier == 0)
    p[0] |= (uint8_t) (alua_inquiry_qualifier (c) << 5);
  if (!(cdb[1] & 1)) {
    if (cdb[2]) {
      check (r, INVALID_FIELD);
      return;
    }
    p[1] = facts.removable ? 0x80 : 0;
    p[2] = 0x06;                /* SPC-4 */
    p[3] = 0x02;                /* response data format */
    p[4] = 91;
    p[5] = (uint8_t) ((facts.protection ? 0x01 : 0) | alua_inquiry_tpgs ());
    p[7] = 0x02;                /* CMDQUE */
    pad (p + 8, facts.vendor, 8);
    pad (p + 16, facts.product, 16);
    pad (p + 32, "0001", 4);
    answer (r, p, evil (EVIL_INQUIRY_SHORT) ? 5 : 96, allocation);
    return;
  }
  if (lun == NULL || facts.no_vpd) {
    check (r, INVALID_FIELD);
    return;
  }
  p[1] = cdb[2];
  switch (cdb[2]) {
  case 0x00:
    memcpy (p + 4, "\x00\x80\x83\xb0\xb1\xb2", 6);
    n = 10;
    if (facts.owner_page)
      p[n++] = facts.owner_page;
    break;
  case 0xc0: case 0xc9:
    if (cdb[2] != facts.owner_page) {
      check (r, INVALID_FIELD);
      return;
    }
    if (cdb[2] == 0xc9) {
      memcpy (p + 4, "vac1", 4);
      p[8] = c->portal == 0;
      n = 48;
    }
    else {
      p[4] = c->portal == 0 ? 2 : 1;
      n = 36;
    }
    break;
  case 0x80:
    n = 4 + strlen (facts.serial);
    memcpy (p + 4, facts.serial, n - 4);
    break;
  case 0x83:
    n = vpd_identification (c, lun, p);
    break;
  case 0xb0:
    n = vpd_limits (p);
    break;
  case 0xb1:
    put16 (p + 4, facts.rotation);
    n = 64;
    break;
  case 0xb2:
    if (facts.thin) {
      p[5] = 0xe0;              /* LBPU, LBPWS, LBPWS10 */
      if (facts.lbprz)
        p[5] |= 0x04;
      p[6] = 0x02;              /* thin */
    }
    n = 8;
    break;
  default:
    check (r, INVALID_FIELD);
    return;
  }
  put16 (p + 2, (uint32_t) n - 4);
  if (evil (EVIL_VPD_WRONG_PAGE))
    p[1] = 0xc0;
  if (evil (EVIL_VPD_LYING))
    put16 (p + 2, 0xffff);
  if (cdb[2] == 0x83 && evil (EVIL_VPD83_SHORT))
    n = 11;
  if (cdb[2] == 0xb0 && evil (EVIL_VPDB0_SHORT))
    n = 6;
  answer (r, p, n, allocation);
}

/* --- other facts ------------------------------------------------------- */

static void
report_luns (const uint8_t *cdb, struct result *r)
{
  uint8_t p[8 + 8 * MAX_LUNS] = { 0 };
  size_t n = 8;

  for (int i = 0; i < n_luns; i++, n += 8)
    put16 (p + n, luns[i].number < 256 ? luns[i].number
           : 0x4000 | luns[i].number);
  put32 (p, (uint32_t) n - 8);
  if (evil (EVIL_REPORT_LUNS_LYING))
    put32 (p, 0xfffffff8);
  if (evil (EVIL_REPORT_LUNS_ODD))
    put32 (p, (uint32_t) n - 8 + 3);
  if (evil (EVIL_REPORT_LUNS_SHORT))
    n = 11;
  answer (r, p, n, get32 (cdb + 6));
}

static void
read_capacity (const struct connection *c, const uint8_t *cdb, struct result *r)
{
  uint64_t last = blocks_for (c) - 1; /* of an empty disk: all ones */
  uint32_t bs = facts.block_size;
  uint8_t p[32] = { 0 }, exponent = 0;
  size_t n, allocation;

  if (evil (EVIL_RC16_HUGE))
    last = UINT64_MAX - 1;
  if (c->other_block_size)
    bs *= 8;
  if (evil (EVIL_RC16_BLOCK_0))
    bs = 0;
  if (cdb[0] == 0x25) {
    put32 (p, last > 0xffffffff ? 0xffffffff : (uint32_t) last);
    put32 (p + 4, bs);
    n = allocation = 8;
  }
  else {
    while (facts.block_size << exponent < facts.physical_block_size)
      exponent++;
    put64 (p, last);
    put32 (p + 8, bs);
    if (facts.protection)
      p[12] = (uint8_t) ((facts.protection - 1) << 1 | 1);
    p[13] = exponent;
    put16 (p + 14, facts.lowest_aligned & 0x3fff);
    if (facts.thin)
      p[14] |= facts.lbprz ? 0xc0 : 0x80;
    n = 32;
    allocation = get32 (cdb + 10);
  }
  if (evil (EVIL_RC16_SHORT))
    n = 7;
  if (evil (EVIL_RC16_EMPTY))
    n = 0;
  answer (r, p, n, allocation);
}

static void
mode_sense (const uint8_t *cdb, struct result *r)
{
  bool ten = cdb[0] == 0x5a, dbd = cdb[1] & 0x08;
  uint8_t page = cdb[2] & 0x3f, p[128] = { 0 };
  size_t n = ten ? 8 : 4;
  uint8_t specific = (uint8_t) ((facts.write_protect ? 0x80 : 0) |
                                (facts.dpofua ? 0x10 : 0));

  if (!dbd && facts.device_type == 0) { /* short block descriptor, SBC-3 6.4.2 */
    put32 (p + n, facts.blocks > 0xffffffff ? 0xffffffff
           : (uint32_t) facts.blocks);
    put24 (p + n + 5, facts.block_size);
    p[ten ? 7 : 3] = 8;
    n += 8;
  }
  if (page != 0x3f && page != 0x0a && (page != 0x08 || !facts.caching_page)) {
    check (r, INVALID_FIELD);
    return;
  }
  if (page != 0x0a && facts.caching_page) { /* SBC-3 6.4.5 */
    p[n] = 0x08;
    p[n + 1] = 0x12;
    p[n + 2] = facts.wce ? 0x04 : 0;
    n += 0x14;
  }
  if (page != 0x08) {           /* control, SPC-4 7.5.8 */
    p[n] = 0x0a;
    p[n + 1] = 0x0a;
    n += 0x0c;
  }
  if (ten) {
    put16 (p, (uint32_t) n - 2);
    p[3] = specific;
  }
  else {
    p[0] = (uint8_t) (n - 1);
    p[2] = specific;
  }
  if (evil (EVIL_MODE_SENSE_LYING)) {
    p[ten ? 7 : 3] = 0xf8;
    p[0] = 0xff;
    p[n > 12 ? 13 : n - 1] = 0xff;
  }
  if (evil (EVIL_MODE_SENSE_SHORT))
    n = 3;
  answer (r, p, n, ten ? get16 (cdb + 7) : cdb[4]);
}

static void
lba_status (const struct connection *c, const struct lun *lun,
            const uint8_t *cdb, struct result *r)
{
  uint64_t lba = get64 (cdb + 2), blocks = blocks_for (c), run;
  size_t allocation = get32 (cdb + 10), n = 8;
  uint8_t p[8 + 16 * 64] = { 0 };

  if (!facts.thin || lba >= blocks) {
    if (facts.thin)
      check (r, LBA_OUT_OF_RANGE);
    else
      check (r, INVALID_FIELD);
    return;
  }
  while (lba < blocks && n + 16 <= sizeof p) {
    uint64_t max = blocks - lba < 0xffffffff ? blocks - lba : 0xffffffff;
    bool mapped = disk_mapped (lun->disk, lba, max, &run);

    put64 (p + n, lba);
    put32 (p + n + 8, (uint32_t) run);
    p[n + 12] = mapped ? 0 : 1;
    if (evil (EVIL_LBA_STATUS_ZERO))
      put32 (p + n + 8, 0);
    if (evil (EVIL_LBA_STATUS_BACKWARDS))
      put64 (p + n, lba > 1000 ? lba - 1000 : lba + 1000);
    n += 16;
    lba += run;
  }
  put32 (p, (uint32_t) n - 4);
  if (evil (EVIL_LBA_STATUS_LYING))
    put32 (p, 0xfffffff0);
  answer (r, p, evil (EVIL_LBA_STATUS_SHORT) ? 17 : n, allocation);
}

/* SPC-4 6.34: one command, and only WRITE SAME(16). */
static void
report_opcode (const uint8_t *cdb, struct result *r)
{
  uint8_t p[20] = { 0, 0x03, 0, 16, 0x93, 0xf8 };

  if (!facts.ndob) {
    check (r, 0x5, 0x20, 0x00);
    return;
  }
  if ((cdb[2] & 7) != 1 || cdb[3] != 0x93) {
    check (r, INVALID_FIELD);
    return;
  }
  p[5] |= 0x01;
  memset (p + 6, 0xff, 12);
  answer (r, p, sizeof p, get32 (cdb + 6));
}

/* --- the medium -------------------------------------------------------- */

static bool
range_ok (const struct connection *c, uint64_t lba, uint64_t blocks)
{
  uint64_t size = blocks_for (c);

  return lba <= size && blocks <= size - lba;
}

static void
read_write (const struct connection *c, const struct lun *lun,
            const uint8_t *cdb, const uint8_t *out, size_t n_out,
            struct result *r)
{
  bool write = (cdb[0] & 0x0f) == 0x0a;
  uint32_t blocks, bs = facts.block_size;
  uint64_t lba;

  cdb_range (cdb, &lba, &blocks);
  if (facts.reserved) {
    r->status = 0x18;
    return;
  }
  if (!range_ok (c, lba, blocks))
    check (r, LBA_OUT_OF_RANGE);
  else if ((facts.max_transfer && blocks > facts.max_transfer) ||
           blocks > (1u << 30) / bs)
    check (r, INVALID_FIELD);
  else if (write && facts.write_protect)
    check (r, 0x7, 0x27, 0x00);
  else if (write) {
    if (n_out < (size_t) blocks * bs)
      check (r, INVALID_FIELD);
    else if (!disk_write (lun->disk, lba, blocks, out))
      check (r, 0x3, 0x0c, 0x00);
  }
  else {
    r->n = (size_t) blocks * bs;
    r->data = malloc (r->n ? r->n : 1);
    if (r->data == NULL)
      die ("out of memory");
    if (!disk_read (lun->disk, lba, blocks, r->data))
      check (r, 0x3, 0x11, 0x00);
  }
}

static void
write_same (const struct connection *c, const struct lun *lun,
            const uint8_t *cdb, const uint8_t *out, size_t n_out,
            struct result *r)
{
  bool unmap = cdb[1] & 0x08, ndob = cdb[0] == 0x93 && cdb[1] & 0x01;
  uint32_t blocks, bs = facts.block_size;
  bool zero = true;
  uint64_t lba;

  cdb_range (cdb, &lba, &blocks);
  if (facts.ndob) {
    printf ("write same: ndob %d, unmap %d, LBA %llu, %u blocks, %zu bytes of "
            "data\n", ndob, unmap, (unsigned long long) lba, blocks, n_out);
    fflush (stdout);
  }
  if (!range_ok (c, lba, blocks)) {
    check (r, LBA_OUT_OF_RANGE);
    return;
  }
  if (ndob && (!facts.ndob || evil (EVIL_NDOB_LYING))) {
    check (r, INVALID_FIELD);
    return;
  }
  if (blocks == 0 || blocks > 0x400000 || (unmap && !facts.thin) ||
      (!ndob && n_out < bs)) {
    check (r, INVALID_FIELD);
    return;
  }
  if (facts.write_protect) {
    check (r, 0x7, 0x27, 0x00);
    return;
  }
  for (uint32_t i = 0; !ndob && i < bs; i++)
    zero = zero && out[i] == 0;
  if (zero && (unmap || ndob)) {
    if (!disk_unmap (lun->disk, lba, blocks))
      check (r, 0x3, 0x0c, 0x00);
    return;
  }
  for (; blocks > 0; blocks--, lba++)
    if (!disk_write (lun->disk, lba, 1, out)) {
      check (r, 0x3, 0x0c, 0x00);
      return;
    }
}

/* SBC-3 5.28: 8 bytes, then descriptors of 16. */
static void
unmap (const struct connection *c, const struct lun *lun, const uint8_t *out,
       size_t n_out, struct result *r)
{
  size_t n = n_out >= 8 ? get16 (out + 2) : 0;

  if (!facts.thin) {
    check (r, 0x5, 0x20, 0x00);
    return;
  }
  if (facts.write_protect) {
    check (r, 0x7, 0x27, 0x00);
    return;
  }
  if (n_out < 8 || n > n_out - 8 || n / 16 > 32) {
    check (r, 0x5, 0x26, 0x00);
    return;
  }
  for (size_t i = 8; i + 16 <= 8 + n; i += 16) {
    uint64_t lba = get64 (out + i);
    uint32_t blocks = get32 (out + i + 8);

    if (!range_ok (c, lba, blocks)) {
      check (r, LBA_OUT_OF_RANGE);
      return;
    }
    if (facts.max_unmap && blocks > facts.max_unmap) {
      check (r, 0x5, 0x26, 0x00);
      return;
    }
    if (!disk_unmap (lun->disk, lba, blocks)) {
      check (r, 0x3, 0x0c, 0x00);
      return;
    }
  }
}

void
scsi_execute (struct connection *c, const uint8_t *lun_field,
              const uint8_t *cdb, const uint8_t *out, size_t n_out,
              struct result *r)
{
  struct lun *lun = find_lun (lun_field);
  uint64_t lba = 0;
  uint32_t blocks = 0;

  memset (r, 0, sizeof *r);
  if (cdb[0] == 0x12) {
    inquiry (c, lun, cdb, r);
    return;
  }
  if (cdb[0] == 0xa0) {
    report_luns (cdb, r);
    return;
  }
  if (lun == NULL) {
    check (r, 0x5, 0x25, 0x00);
    return;
  }
  if (c->ua_asc) {
    check (r, 0x6, c->ua_asc, c->ua_ascq);
    c->ua_asc = 0;
    return;
  }
  if (alua_execute (c, cdb, out, n_out, r))
    return;
  if (facts.no_medium && cdb[0] != 0x1a && cdb[0] != 0x5a) {
    check (r, 0x2, 0x3a, 0x00);
    return;
  }
  switch (cdb[0]) {
  case 0x00: case 0x1b:         /* TEST UNIT READY, START STOP UNIT */
    break;
  case 0x1a: case 0x5a:
    mode_sense (cdb, r);
    break;
  case 0x25:
    read_capacity (c, cdb, r);
    break;
  case 0x9e:
    if ((cdb[1] & 0x1f) == 0x10 && !facts.no_rc16)
      read_capacity (c, cdb, r);
    else if ((cdb[1] & 0x1f) == 0x12)
      lba_status (c, lun, cdb, r);
    else
      check (r, 0x5, 0x20, 0x00);
    break;
  case 0x08: case 0x28: case 0xa8: case 0x88:
  case 0x0a: case 0x2a: case 0xaa: case 0x8a:
    read_write (c, lun, cdb, out, n_out, r);
    break;
  case 0x35: case 0x91: case 0x34: case 0x90: /* SYNCHRONIZE CACHE, PRE-FETCH */
    cdb_range (cdb, &lba, &blocks);
    if (!range_ok (c, lba, blocks))
      check (r, LBA_OUT_OF_RANGE);
    else if (cdb[0] == 0x35 || cdb[0] == 0x91)
      disk_sync (lun->disk);
    break;
  case 0x41: case 0x93:
    write_same (c, lun, cdb, out, n_out, r);
    break;
  case 0xa3:
    if ((cdb[1] & 0x1f) == 0x0c)
      report_opcode (cdb, r);
    else
      check (r, 0x5, 0x20, 0x00);
    break;
  case 0x42:
    unmap (c, lun, out, n_out, r);
    break;
  default:
    check (r, 0x5, 0x20, 0x00); /* invalid command operation code */
  }
}
