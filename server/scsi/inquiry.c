/* SPDX-License-Identifier: BSD-3-Clause */
/* Parsers of what a logical unit tells about itself: INQUIRY and its VPD
 * pages (the identification page is in wwid.c), READ CAPACITY, MODE SENSE,
 * REPORT LUNS, GET LBA STATUS, REPORT SUPPORTED OPERATION CODES.
 *
 * Each first finds the end of the believable data: the smaller of what
 * arrived and what the answer says of its own length.
 */
#include <ctype.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi/scsi.h"

static size_t
min_size (size_t a, size_t b)
{
  return a < b ? a : b;
}

/* Copies a text field into dst (n + 1 bytes): ends at a NUL, without
 * trailing blanks, and with nothing in it that could hurt a terminal or a
 * log (SPC-4 4.4.1 allows 20h..7Eh only, but who checks?). */
static void
copy_text (char *dst, const uint8_t *src, size_t n)
{
  size_t i, end = 0;

  for (i = 0; i < n && src[i] != 0; i++) {
    if (src[i] == ' ' || (src[i] >= '\t' && src[i] <= '\r'))
      dst[i] = ' ';
    else {
      dst[i] = src[i] > ' ' && src[i] < 0x7f ? (char) src[i] : '?';
      end = i + 1;
    }
  }
  dst[end] = 0;
}

void
lu_facts_init (struct lu_facts *lu)
{
  memset (lu, 0, sizeof *lu);
  lu->wce = true;               /* unknown: then a flush is needed */
}

bool
parse_inquiry (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  /* SPC-4 6.4.2: at least 36 bytes.  ADDITIONAL LENGTH is not looked at:
   * targets that have it wrong are older than those that send less. */
  if (len < 36)
    return false;

  lu->qualifier = buf[0] >> 5;
  lu->device_type = buf[0] & 0x1f;
  lu->removable = buf[1] & 0x80;
  lu->version = buf[2];
  lu->tpgs = buf[5] >> 4 & 3;
  lu->protect = buf[5] & 1;
  copy_text (lu->vendor, &buf[8], 8);
  copy_text (lu->product, &buf[16], 16);
  copy_text (lu->revision, &buf[32], 4);
  return true;
}

const char *
lu_management (const struct lu_facts *lu)
{
  static const struct { const char *vendor, *product, *what; } all[] = {
    { "", "Universal Xport", "the access LUN of an array" },
    { "", "LUNZ", "LUNZ: no LUN is mapped to this host" },
    { "DELL", "Virtual Disk", "the gateway of an array" },
  };

  for (size_t i = 0; i < sizeof all / sizeof all[0]; ++i)
    if ((all[i].vendor[0] == '\0' ||
         strcmp (lu->vendor, all[i].vendor) == 0) &&
        strcmp (lu->product, all[i].product) == 0)
      return all[i].what;
  return NULL;
}

/* The end of a VPD page, 0 if it is not this page. */
static size_t
vpd_end (const uint8_t *buf, size_t len, uint8_t page)
{
  if (len < 4 || buf[1] != page)
    return 0;
  return min_size (len, (size_t) 4 + get_be16 (&buf[2]));
}

bool
vpd_supported (const uint8_t *buf, size_t len, uint8_t page)
{
  size_t i, end = vpd_end (buf, len, 0x00);

  for (i = 4; i < end; i++)
    if (buf[i] == page)
      return true;
  return false;
}

/* "vac1", and in byte 8 bit 0: this is the current path of the volume. */
bool
parse_vpd_rdac (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  if (vpd_end (buf, len, 0xc9) < 9 || memcmp (buf + 4, "vac", 3) != 0)
    return false;
  lu->has_owner = true;
  lu->owned_elsewhere = !(buf[8] & 0x01);
  return true;
}

/* Byte 4: 0 not bound, 1 bound and owned by the other controller, 2 by this. */
bool
parse_vpd_clariion (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  if (vpd_end (buf, len, 0xc0) < 5 || buf[4] > 2)
    return false;
  lu->has_owner = true;
  lu->owned_elsewhere = buf[4] != 2;
  return true;
}

bool
parse_vpd_serial (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  size_t n, skip;

  if (vpd_end (buf, len, 0x80) == 0)
    return false;
  /* Half a serial number is another one. */
  n = get_be16 (&buf[2]);
  if (n > len - 4 || n >= sizeof lu->serial)
    return false;

  for (skip = 0; skip < n && isspace (buf[4 + skip]); skip++)
    ;
  copy_text (lu->serial, &buf[4 + skip], n - skip);
  lu->serial_indented = skip > 0;
  return true;
}

bool
parse_vpd_limits (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  size_t end = vpd_end (buf, len, 0xb0);

  if (end < 16)                 /* as short as in SBC-2 */
    return false;

  lu->has_limits = true;
  lu->wsnz = buf[4] & 1;
  lu->optimal_granularity = get_be16 (&buf[6]);
  lu->max_transfer = get_be32 (&buf[8]);
  lu->optimal_transfer = get_be32 (&buf[12]);
  lu->max_unmap_lba = end >= 24 ? get_be32 (&buf[20]) : 0;
  lu->max_unmap_descriptors = end >= 28 ? get_be32 (&buf[24]) : 0;
  lu->unmap_granularity = end >= 32 ? get_be32 (&buf[28]) : 0;
  lu->unmap_alignment_valid = end >= 36 && (buf[32] & 0x80);
  lu->unmap_alignment =
    lu->unmap_alignment_valid ? get_be32 (&buf[32]) & 0x7fffffff : 0;
  lu->max_write_same = end >= 44 ? get_be64 (&buf[36]) : 0;
  return true;
}

bool
parse_vpd_characteristics (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  if (vpd_end (buf, len, 0xb1) < 6)
    return false;
  lu->rotation_rate = get_be16 (&buf[4]);
  return true;
}

bool
parse_vpd_provisioning (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  size_t end = vpd_end (buf, len, 0xb2);

  if (end < 6)
    return false;

  lu->has_provisioning = true;
  lu->threshold_exponent = buf[4];
  lu->lbpu = buf[5] & 0x80;
  lu->lbpws = buf[5] & 0x40;
  lu->lbpws10 = buf[5] & 0x20;
  /* One bit in SBC-3; three in SBC-4, where xx1b says zeroes and 010b says
   * some pattern of the vendor's. */
  lu->lbprz_vpd = buf[5] & 0x04;
  lu->lbprz = lu->lbprz_rc16 || lu->lbprz_vpd;
  lu->provisioning_type = end >= 7 ? buf[6] & 7 : 0;
  return true;
}

bool
parse_read_capacity16 (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  uint64_t last;
  unsigned exponent;

  if (len < 12)
    return false;
  last = get_be64 (&buf[0]);
  if (last == UINT64_MAX)       /* the count would be 0 */
    return false;

  lu->blocks = last + 1;
  lu->block_size = get_be32 (&buf[8]);
  lu->prot_en = len > 12 && (buf[12] & 1);
  exponent = len > 13 ? buf[13] & 0x0f : 0;
  lu->physical_block_size = lu->block_size;
  if (lu->block_size <= UINT32_MAX >> exponent)
    lu->physical_block_size <<= exponent;
  lu->lbpme = len > 15 && (buf[14] & 0x80);
  lu->lbprz_rc16 = len > 15 && (buf[14] & 0x40);
  lu->lbprz = lu->lbprz_rc16 || lu->lbprz_vpd;
  lu->lowest_aligned = len > 15 ? get_be16 (&buf[14]) & 0x3fff : 0;
  return true;
}

bool
parse_read_capacity10 (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  uint32_t last;

  if (len < 8)
    return false;
  last = get_be32 (&buf[0]);
  lu->over_10 = last == UINT32_MAX;     /* ask with (16) */
  if (lu->over_10)
    return false;

  /* Asked for only where (16) does not exist, and so none of what only (16)
   * can say is true. */
  lu->blocks = (uint64_t) last + 1;
  lu->block_size = lu->physical_block_size = get_be32 (&buf[4]);
  lu->prot_en = lu->lbpme = lu->lbprz_rc16 = false;
  lu->lbprz = lu->lbprz_vpd;
  lu->lowest_aligned = 0;
  return true;
}

/* From the device specific parameter and the pages, which start at pos. */
static bool
parse_mode (struct lu_facts *lu, const uint8_t *buf, size_t end,
            uint8_t parameter, size_t pos)
{
  lu->write_protect = parameter & 0x80;
  lu->dpofua = parameter & 0x10;

  while (pos < end && end - pos >= 2) {
    bool subpage = buf[pos] & 0x40;
    uint8_t page = buf[pos] & 0x3f;
    size_t head = 2, n;

    if (page == 0)              /* the vendor's page: the last, and of any
                                 * form (SPC-4 7.5.7) */
      break;
    if (subpage) {
      if (end - pos < 4)
        break;
      head = 4;
      n = get_be16 (&buf[pos + 2]);
    }
    else
      n = buf[pos + 1];

    if (page == 0x08 && !subpage && n >= 1 && end - pos >= 3) {
      lu->has_caching_page = true;
      lu->wce = buf[pos + 2] & 0x04;
    }
    pos += head + n;
  }
  return true;
}

bool
parse_mode_sense6 (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  if (len < 4 || buf[0] < 3)
    return false;
  return parse_mode (lu, buf, min_size (len, (size_t) 1 + buf[0]),
                     buf[2], (size_t) 4 + buf[3]);
}

bool
parse_mode_sense10 (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  if (len < 8 || get_be16 (&buf[0]) < 6)
    return false;
  return parse_mode (lu, buf, min_size (len, (size_t) 2 + get_be16 (&buf[0])),
                     buf[3], (size_t) 8 + get_be16 (&buf[6]));
}

/* SAM-5 4.7.7: one level, peripheral (bus 0), flat, or extended flat (4.7.7.5.3:
 * method 3, length 1, 2h) if the number is one that flat addressing has, too.
 * -1: any other form.  *flat: flat where peripheral would do. */
static int
lun_decode (const uint8_t entry[8], bool *flat)
{
  static const uint8_t zero[6];

  if (entry[0] == 0xd2 && memcmp (&entry[4], zero, 4) == 0) {
    const uint32_t lun = get_be32 (entry) & 0xffffff;

    *flat = true;
    return lun <= 0x3fff ? (int) lun : -1;
  }
  if (memcmp (&entry[2], zero, sizeof zero) != 0)
    return -1;
  if (entry[0] == 0)
    return entry[1];
  if (entry[0] >> 6 == 1) {
    *flat |= entry[0] == 0x40;
    return get_be16 (entry) & 0x3fff;
  }
  return -1;
}

int
parse_report_luns (const uint8_t *buf, size_t len,
                   uint16_t *luns, int max, bool *truncated, bool *flat)
{
  size_t i, n;
  int count = 0, lun;

  *truncated = *flat = false;
  if (len < 8)
    return -1;
  n = get_be32 (&buf[0]);
  if (n % 8 != 0)
    return -1;
  if (n > len - 8) {
    n = len - 8;
    *truncated = true;
  }

  for (i = 0; i + 8 <= n; i += 8) {
    lun = lun_decode (&buf[8 + i], flat);
    if (lun == -1)
      continue;
    if (count >= max) {
      *truncated = true;
      break;
    }
    luns[count++] = (uint16_t) lun;
  }
  return count;
}

uint16_t
lun_encode (unsigned lun, bool flat)
{
  if (lun == LUN_REPORT_LUNS)
    return 0xc101;
  return (uint16_t) (lun < 256 && !flat ? lun : 0x4000 | (lun & 0x3fff));
}

int
parse_lba_status (const uint8_t *buf, size_t len,
                  struct lba_status *out, int max)
{
  size_t i, end;
  uint32_t said;
  int count = 0;

  if (len < 8)
    return -1;
  said = get_be32 (&buf[0]);    /* counts from byte 4 */
  if (said < 4)
    return -1;
  end = len - 4 < said ? len : (size_t) said + 4;

  for (i = 8; end - i >= 16 && count < max; i += 16) {
    struct lba_status *s = &out[count];

    s->lba = get_be64 (&buf[i]);
    s->blocks = get_be32 (&buf[i + 8]);
    s->provisioning = buf[i + 12] & 0x0f;
    if (s->provisioning > 2)    /* SBC-4's "unknown" ones: may hold data */
      s->provisioning = 0;

    /* SBC-3 5.6.2: ascending, without gaps.  An empty extent would keep a
     * caller that pages through the disk on the spot for ever. */
    if (s->blocks == 0 || s->lba > UINT64_MAX - s->blocks)
      return -1;
    if (count > 0 && s->lba != s[-1].lba + s[-1].blocks)
      return -1;
    count++;
  }
  return count;
}

/* SUPPORT must be "as the standard has it".  The bit is a promise that data
 * may be missing, which a target that does not mean it would take from
 * anywhere: so the map must be one of this command, and be no mere "all
 * ones", where bits 2 and 1 are obsolete since there is an NDOB
 * (SBC-3 5.40). */
bool
parse_supported_write_same16 (struct lu_facts *lu, const uint8_t *buf,
                              size_t len)
{
  if (len < 4 + 16 || (buf[1] & 0x07) != 0x03 || get_be16 (&buf[2]) != 16 ||
      buf[4] != OPCODE_WRITE_SAME16)
    return false;
  lu->ndob = (buf[5] & 0x07) == 0x01;
  return true;
}
