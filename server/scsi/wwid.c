/* SPDX-License-Identifier: BSD-3-Clause */
/* The identity of a logical unit: VPD page 83h (SPC-4 7.8.6) to the string
 * that scsi_id prints and that administrators have in their notes and in
 * multipath.conf.  And whether the unit can be served as a disk at all.
 *
 * The string is udev's ID_SERIAL: blanks squeezed into one underscore, and
 * what is not safe in a device name replaced by one.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi/scsi.h"

enum { CODE_BINARY = 1, CODE_ASCII = 2 };       /* SPC-4 table 594 */
enum {                                          /* SPC-4 table 596 */
  TYPE_VENDOR = 0, TYPE_T10 = 1, TYPE_EUI64 = 2, TYPE_NAA = 3,
  TYPE_RELATIVE_PORT = 4, TYPE_PORT_GROUP = 5,
};
enum { LOGICAL_UNIT = 0, TARGET_PORT = 1 };     /* association */

struct designator {
  uint8_t code_set, association, type;
  const uint8_t *payload;
  size_t n;
};

/* What scsi_id looks for, best first; of equals the first in the page. */
static const struct {
  uint8_t type;
  int naa;                      /* high four bits of the payload; -1 any */
  uint8_t code_set;
} order[] = {
  { TYPE_NAA, 6, CODE_BINARY },
  { TYPE_NAA, 6, CODE_ASCII },
  { TYPE_NAA, 5, CODE_BINARY },
  { TYPE_NAA, 5, CODE_ASCII },
  { TYPE_NAA, -1, CODE_BINARY },
  { TYPE_NAA, -1, CODE_ASCII },
  { TYPE_EUI64, -1, CODE_BINARY },
  { TYPE_EUI64, -1, CODE_ASCII },
  { TYPE_T10, -1, CODE_BINARY },
  { TYPE_T10, -1, CODE_ASCII },
  { TYPE_VENDOR, -1, CODE_BINARY },
  { TYPE_VENDOR, -1, CODE_ASCII },
};
#define NR_ORDER (sizeof order / sizeof order[0])

/* Steps to the next designator; false at the end.  *whole is cleared if the
 * last one is not all there. */
static bool
next_designator (const uint8_t *buf, size_t end, size_t *pos,
                 struct designator *d, bool *whole)
{
  const uint8_t *p;

  if (*pos >= end)
    return false;
  p = &buf[*pos];
  if (end - *pos < 4 || end - *pos - 4 < p[3]) {
    *whole = false;
    return false;
  }
  d->code_set = p[0] & 0x0f;
  d->association = p[1] >> 4 & 3;
  d->type = p[1] & 0x0f;
  d->payload = p + 4;
  d->n = p[3];
  *pos += 4 + d->n;
  return true;
}

/* The length of its string, as scsi_id counts it before it looks at blanks:
 * with the digit in front and the NUL. */
static size_t
string_size (const struct designator *d)
{
  return 2 + (d->code_set == CODE_ASCII ? d->n : 2 * d->n)
    + (d->type == TYPE_VENDOR ? 8 + 16 : 0);
}

/* Blanks or zeroes only (or not even that): seen from units that are not set
 * up yet.  scsi_id makes "1" of it; here it must not, as all such units would
 * be taken for one. */
static bool
says_nothing (const struct designator *d)
{
  size_t i;

  if (d->code_set == CODE_ASCII) {      /* ends at a NUL, if there is one */
    for (i = 0; i < d->n && isspace (d->payload[i]); i++)
      ;
    return i == d->n || d->payload[i] == 0;
  }
  for (i = 0; i < d->n && d->payload[i] == 0; i++)
    ;
  return i == d->n;
}

/* Place in order[]; NR_ORDER if it is of no use. */
static size_t
rank_of (const struct designator *d)
{
  size_t i;

  if (d->association != LOGICAL_UNIT || says_nothing (d)
      || string_size (d) > WWID_SIZE)
    return NR_ORDER;
  for (i = 0; i < NR_ORDER; i++)
    if (order[i].type == d->type && order[i].code_set == d->code_set
        && (order[i].naa == -1 || order[i].naa == d->payload[0] >> 4))
      break;
  return i;
}

/* udev's idea of characters that may stand in a name (also in the "\x20"
 * form).  Bytes over 7Eh never may, not even as valid UTF-8, which udev lets
 * pass: they would reach terminals and NBD export names. */
static bool
name_char (const char *s, size_t i)
{
  unsigned char c = (unsigned char) s[i];

  if (c == '\\')
    return s[i + 1] == 'x';
  return c < 0x80 && (isalnum (c) || (c != 0 && strchr ("#+-.:=@_", c)));
}

/* In place: cut blanks at both ends, runs of them to one '_', then replace
 * all else that is not a name_char. */
static void
normalize (char *s)
{
  size_t i, j = 0;
  bool blank = false;

  for (i = 0; s[i]; i++) {
    if (isspace ((unsigned char) s[i])) {
      blank = true;
      continue;
    }
    if (blank && j > 0)
      s[j++] = '_';
    blank = false;
    s[j++] = s[i];
  }
  s[j] = 0;
  for (i = 0; s[i]; i++)
    if (!name_char (s, i))
      s[i] = '_';
}

static void
make_wwid (struct lu_facts *lu, const struct designator *d)
{
  static const char hex[] = "0123456789abcdef";
  size_t i, j;

  lu->wwid[0] = hex[d->type];
  j = 1;
  if (d->type == TYPE_VENDOR) {
    snprintf (&lu->wwid[j], WWID_SIZE - j, "%-8s%-16s",
              lu->vendor, lu->product);
    j += 8 + 16;
  }
  for (i = 0; i < d->n; i++) {
    if (d->code_set == CODE_ASCII)
      lu->wwid[j++] = (char) d->payload[i];
    else {
      lu->wwid[j++] = hex[d->payload[i] >> 4];
      lu->wwid[j++] = hex[d->payload[i] & 0x0f];
    }
  }
  lu->wwid[j] = 0;              /* string_size () saw to the room */
  normalize (lu->wwid);
}

/* SCSI-2 had no such page; some targets invented one: 16 or so bytes of
 * binary WWN right after the header.  Byte 6 tells (reserved, so 0, in the
 * first designator of today's form); scsi_id has the same test. */
static bool
parse_scsi2 (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  struct designator d = {
    .code_set = CODE_BINARY, .type = TYPE_NAA,
    .payload = buf + 4, .n = get_be16 (&buf[2]),
  };

  if (d.n > len - 4 || string_size (&d) > WWID_SIZE)
    return false;
  make_wwid (lu, &d);
  lu->has_tpg = false;
  lu->tpg = lu->rtpi = 0;
  return true;
}

/* A page of which the end is missing is believed only if what is there holds
 * the best kind of designator, which no later one would have outranked.
 * Otherwise two paths with answers of different length would disagree. */
bool
parse_vpd_identification (struct lu_facts *lu, const uint8_t *buf, size_t len)
{
  struct designator d, best = { .n = 0 };
  size_t end, pos = 4, rank, best_rank = NR_ORDER;
  bool whole, has_tpg = false;
  uint16_t tpg = 0, rtpi = 0;

  if (len < 4 || buf[1] != 0x83)
    return false;
  end = (size_t) 4 + get_be16 (&buf[2]);
  if (end > 6 && len > 6 && buf[6] != 0)
    return parse_scsi2 (lu, buf, len);

  whole = end <= len;
  if (!whole)
    end = len;
  while (next_designator (buf, end, &pos, &d, &whole)) {
    rank = rank_of (&d);
    if (rank < best_rank) {
      best_rank = rank;
      best = d;
    }
    /* SPC-4 7.8.6.7 and 7.8.6.8: two reserved bytes, then the number. */
    if (d.association == TARGET_PORT && d.code_set == CODE_BINARY
        && d.n == 4) {
      if (d.type == TYPE_PORT_GROUP && !has_tpg) {
        has_tpg = true;
        tpg = get_be16 (d.payload + 2);
      }
      else if (d.type == TYPE_RELATIVE_PORT && rtpi == 0)
        rtpi = get_be16 (d.payload + 2);
    }
  }
  if (!whole && best_rank > 0)
    return false;

  lu->has_tpg = has_tpg;
  lu->tpg = tpg;
  lu->rtpi = rtpi;
  if (best_rank < NR_ORDER)
    make_wwid (lu, &best);
  else
    lu->wwid[0] = 0;
  return true;
}

void
wwid_from_serial (struct lu_facts *lu)
{
  /* The blanks in front of a right-aligned number are one '_' in the end. */
  const char *blank = lu->serial_indented ? " " : "";

  int n;

  lu->wwid[0] = 0;
  /* Without a number it would be the same for all disks of the model. */
  if (lu->serial[0] == 0)
    return;
  n = snprintf (lu->wwid, WWID_SIZE, "S%-8s%-16s%s%s",
                lu->vendor, lu->product, blank, lu->serial);
  if (n < 0 || n >= WWID_SIZE) {        /* cut short, it could be another's */
    lu->wwid[0] = 0;
    return;
  }
  normalize (lu->wwid);
}

static bool
all_zero (const char *s, size_t n)
{
  return n > 0 && strspn (s, "0") >= n;
}

/* NAA identifiers (SPC-4 7.8.6.6): where the IEEE company id is. */
static const char *
naa_made_up (const char *digits)
{
  switch (digits[0]) {
  case '2':
    return strlen (digits) >= 10 && all_zero (digits + 4, 6)
      ? "its company id is 000000" : NULL;
  case '3':
    return "it is locally assigned (NAA 3h)";
  case '5': case '6':
    return all_zero (digits + 1, 6) ? "its company id is 000000" : NULL;
  default:
    return NULL;
  }
}

const char *
wwid_made_up (const char *wwid)
{
  static const char tgt[] = "it is what tgt gives each target of that number";
  const char *last = strrchr (wwid, '_');
  const size_t n = strlen (wwid);

  switch (wwid[0]) {
  case '3':
    return naa_made_up (wwid + 1);
  case '2':
    /* SPC-4 7.8.6.5: in the form of 16 bytes the EUI-64 is the second half. */
    return all_zero (wwid + (n == 33 ? 17 : 1), 6)
      ? "its company id is 000000" : NULL;
  case '1':
    if (strncmp (wwid, "1IET_", 5) == 0 &&
        strspn (wwid + 5, "0123456789abcdef") == n - 5 && n - 5 == 8)
      return tgt;
    break;
  case 'S':
    if (strncmp (wwid, "SIET_", 5) == 0 && last &&
        strncmp (last, "_beaf", 5) == 0)
      return tgt;
    break;
  }
  return last && last[1] && all_zero (last + 1, strlen (last + 1))
    ? "it is all zeroes" : NULL;
}

static const char *
type_name (uint8_t type)        /* SPC-4 table 141 */
{
  switch (type) {
  case 0x01: return "a tape";
  case 0x02: return "a printer";
  case 0x03: return "a processor";
  case 0x04: return "a write-once disk";
  case 0x05: return "a CD/DVD drive";
  case 0x07: return "an optical memory";
  case 0x08: return "a medium changer";
  case 0x0c: return "an array controller";
  case 0x0d: return "an enclosure";
  case 0x0e: return "a simplified direct access device";
  case 0x11: return "an object store";
  case 0x14: return "a zoned disk";
  case 0x1e: return "a well known logical unit";
  case 0x1f: return "of no known type";
  default: return "of an unsupported type";
  }
}

const char *
lu_unusable (const struct lu_facts *lu, char *buf, size_t size)
{
  const uint32_t bs = lu->block_size;

  if (lu->qualifier != 0)
    snprintf (buf, size, "no logical unit is connected at this LUN "
              "(peripheral qualifier %u)", lu->qualifier);
  else if (lu->device_type != 0)
    snprintf (buf, size, "it is %s (device type %02Xh), not a disk",
              type_name (lu->device_type), lu->device_type);
  else if (lu->blocks == 0 && lu->over_10)
    snprintf (buf, size, "it is larger than READ CAPACITY(10) can tell (2 TiB "
              "with 512 byte blocks), and the target refuses READ "
              "CAPACITY(16)");
  else if (lu->blocks == 0)
    snprintf (buf, size, "its size is 0%s",
              lu->removable ? " (no medium?)" : "");
  /* NBD's minimum block size is a power of two of at most 64 KiB. */
  else if (bs < 512 || bs > 65536 || (bs & (bs - 1)) != 0)
    snprintf (buf, size, "its block size is %" PRIu32 " bytes, not a power "
              "of two from 512 to 65536%s", bs,
              bs > 512 && (bs % 520 == 0 || bs % 528 == 0) ?
              "; format it with 512 or 4096 byte blocks" : "");
  else if (lu->prot_en)
    snprintf (buf, size, "it is formatted with protection information; "
              "format it without");
  else if (lu->blocks > INT64_MAX / bs)
    snprintf (buf, size, "its size, %" PRIu64 " blocks of %" PRIu32
              " bytes, is over 2^63-1 bytes", lu->blocks, bs);
  else
    return NULL;
  return buf;
}
