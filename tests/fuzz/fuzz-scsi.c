/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer target: all parsers of what a SCSI target sends.  The first byte
 * says which parser, the rest is the answer (libFuzzer allocates inputs at
 * their exact size, so AddressSanitizer sees the first byte over the end).
 *
 *   clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -Iserver \
 *     tests/fuzz/fuzz-scsi.c server/{sense,inquiry,wwid,verdict}.c
 *   ./a.out -max_total_time=60 -max_len=4096 NEWDIR tests/fuzz/corpus-scsi
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scsi/pr.h"
#include "scsi/scsi.h"
#include "must.h"

/* It ends, and would not hurt a log. */
static void
clean (const char *s, size_t size, char lowest)
{
  size_t i;

  MUST (memchr (s, 0, size) != NULL);
  for (i = 0; s[i]; i++)
    MUST (s[i] >= lowest && s[i] < 0x7f);
}

static void
check_facts (struct lu_facts *lu)
{
  char buf[256];
  const char *why;

  clean (lu->vendor, sizeof lu->vendor, ' ');
  clean (lu->product, sizeof lu->product, ' ');
  clean (lu->revision, sizeof lu->revision, ' ');
  clean (lu->serial, sizeof lu->serial, ' ');
  clean (lu->wwid, sizeof lu->wwid, '!');
  MUST (lu->physical_block_size >= lu->block_size);
  MUST (lu->has_caching_page || lu->wce);
  MUST (lu->has_tpg || lu->tpg == 0);
  MUST (lu->unmap_alignment_valid || lu->unmap_alignment == 0);
  why = lu_unusable (lu, buf, sizeof buf);
  if (why)
    clean (why, sizeof buf, ' ');
  else
    MUST (lu->blocks > 0 && lu->blocks <= INT64_MAX / lu->block_size);
  wwid_from_serial (lu);
  clean (lu->wwid, sizeof lu->wwid, '!');
}

static void
check_sense (const struct sense *sense)
{
  char buf[256];
  struct verdict v;

  MUST (sense->valid || (!sense->key && !sense->asc && !sense->ascq));
  clean (sense_text (sense, buf, sizeof buf), sizeof buf, ' ');
  v = verdict_of (RESULT_CHECK_CONDITION, sense);
  MUST (v.kind != VERDICT_FAIL || v.error > 0);
  MUST (v.kind != VERDICT_RETRY_LATER || v.delay_ms > 0);
}

static void
fuzz_luns (const uint8_t *p, size_t n)
{
  /* As much room as the first byte says, on the heap: exact as well. */
  int max = n > 0 ? p[0] % 16 : 0, got, i;
  uint16_t *luns = malloc (sizeof *luns * (size_t) max + 1);
  bool more, flat;

  MUST (luns != NULL);
  got = parse_report_luns (p, n, luns, max, &more, &flat);
  MUST (got >= -1 && got <= max);
  for (i = 0; i < got; i++)
    MUST (luns[i] <= 16383);
  free (luns);
}

static void
fuzz_lba_status (const uint8_t *p, size_t n)
{
  int max = n > 4 ? p[4] % 16 : 0, got, i;
  struct lba_status *out = malloc (sizeof *out * (size_t) max + 1);

  MUST (out != NULL);
  got = parse_lba_status (p, n, out, max);
  MUST (got >= -1 && got <= max);
  for (i = 0; i < got; i++) {
    MUST (out[i].blocks > 0 && out[i].provisioning <= 2);
    MUST (i == 0 || out[i].lba == out[i - 1].lba + out[i - 1].blocks);
  }
  free (out);
}

/* Page 83h, whole and then cut in two: never two different names. */
static void
fuzz_identification (struct lu_facts *lu, const uint8_t *p, size_t n)
{
  struct lu_facts part = *lu;
  uint8_t *half;

  if (!parse_vpd_identification (lu, p, n) || n < 2)
    return;
  half = malloc (n / 2);
  MUST (half != NULL);
  memcpy (half, p, n / 2);
  if (parse_vpd_identification (&part, half, n / 2))
    MUST (strcmp (part.wwid, lu->wwid) == 0);
  free (half);
}

/* What PERSISTENT RESERVE IN answers. */
static void
fuzz_reservations (const uint8_t *p, size_t n)
{
  struct pr_capabilities c;
  struct pr_reservation r;
  struct pr_status s;
  struct pr_keys keys;
  size_t at = 0, before;

  if (parse_pr_keys (p, n, &keys)) {
    MUST (8 + 8 * (size_t) keys.nr <= n);
    MUST (pr_count_key (p, &keys, 1) <= keys.nr);
  }
  if (parse_pr_reservation (p, n, &r))
    MUST (!r.held || r.type <= 15);
  if (parse_pr_capabilities (p, n, &c))
    MUST (c.types <= 0x1ff && pr_type_text (c.allow_commands) != NULL);
  for (before = at; parse_pr_status (p, n, &at, &s); before = at) {
    MUST (at >= before + 24 && at <= n);
    clean (s.initiator, sizeof s.initiator, '!');
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static bool (*const parsers[]) (struct lu_facts *, const uint8_t *,
                                  size_t) = {
    parse_inquiry, parse_vpd_serial, parse_vpd_limits,
    parse_vpd_characteristics, parse_vpd_provisioning,
    parse_read_capacity16, parse_read_capacity10, parse_mode_sense6,
    parse_mode_sense10,
  };
  const size_t nr = sizeof parsers / sizeof parsers[0];
  struct lu_facts lu;
  struct sense sense;
  const uint8_t *p = data + 1;
  size_t n = size - 1, i;

  if (size == 0)
    return 0;
  lu_facts_init (&lu);

  if (data[0] < nr)
    parsers[data[0]] (&lu, p, n);
  else
    switch (data[0] - nr) {
    case 0:
      vpd_supported (p, n, 0xb0);
      break;
    case 1:
      fuzz_luns (p, n);
      break;
    case 2:
      fuzz_lba_status (p, n);
      break;
    case 3:
      /* A vendor and a model for the vendor specific designators. */
      memcpy (lu.vendor, "ACME", 5);
      memcpy (lu.product, "Disk 2", 7);
      fuzz_identification (&lu, p, n);
      break;
    case 4:
      sense_parse (p, n, &sense);
      check_sense (&sense);
      break;
    case 5:
      sense_parse_iscsi (p, n, &sense);
      check_sense (&sense);
      break;
    case 6:
      /* All of them on one object, each on the same bytes. */
      for (i = 0; i < nr; i++)
        parsers[i] (&lu, p, n);
      parse_vpd_identification (&lu, p, n);
      break;
    case 7:
      if (parse_supported_write_same16 (&lu, p, n))
        MUST (n >= 20);
      else
        MUST (!lu.ndob);
      break;
    case 8:
      fuzz_reservations (p, n);
      if (parse_vpd_rdac (&lu, p, n) || parse_vpd_clariion (&lu, p, n))
        MUST (lu.has_owner);
      break;
    default:
      return -1;                /* not worth keeping */
    }
  check_facts (&lu);
  return 0;
}
