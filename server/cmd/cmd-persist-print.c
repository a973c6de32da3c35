/* SPDX-License-Identifier: BSD-3-Clause */
/* Answers to PERSISTENT RESERVE IN, in the words of mpathpersist: programs read
 * them. */
#include <config.h>

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd-persist.h"
#include "scsi/pr.h"

static bool
print_keys (const uint8_t *buf, size_t len)
{
  struct pr_keys keys;

  if (!parse_pr_keys (buf, len, &keys))
    return false;
  printf ("  PR generation=0x%" PRIx32 ", \t", keys.generation);
  if (keys.nr == 0)
    puts ("0 registered reservation key.");
  else if (keys.nr == 1)
    puts ("1 registered reservation key follows:");
  else
    printf ("%u registered reservation keys follow:\n", keys.nr);
  for (unsigned i = 0; i < keys.nr; ++i)
    printf ("    0x%" PRIx64 "\n", pr_key (buf, i));
  return true;
}

static void
print_type (unsigned scope, unsigned type)
{
  if (scope == 0)
    printf ("scope = LU_SCOPE, type = %s\n", pr_type_text (type));
  else
    printf ("scope = %u, type = %s\n", scope, pr_type_text (type));
}

static bool
print_reservation (const uint8_t *buf, size_t len)
{
  struct pr_reservation r;

  if (!parse_pr_reservation (buf, len, &r))
    return false;
  printf ("  PR generation=0x%" PRIx32 ", ", r.generation);
  if (!r.held) {
    puts ("there is NO reservation held ");
    return true;
  }
  printf ("Reservation follows:\n   Key = 0x%" PRIx64 "\n  ", r.key);
  print_type (r.scope, r.type);
  return true;
}

static bool
print_capabilities (const uint8_t *buf, size_t len)
{
  static const unsigned types[] = { 7, 6, 5, 3, 1, 8 };
  struct pr_capabilities c;

  if (!parse_pr_capabilities (buf, len, &c))
    return false;
  printf ("Report capabilities response:\n"
          "  Compatible Reservation Handling(CRH): %d\n"
          "  Specify Initiator Ports Capable(SIP_C): %d\n"
          "  All Target Ports Capable(ATP_C): %d\n"
          "  Persist Through Power Loss Capable(PTPL_C): %d\n"
          "  Type Mask Valid(TMV): %d\n"
          "  Allow Commands: %d\n"
          "  Persist Through Power Loss Active(PTPL_A): %d\n",
          c.crh, c.sip_c, c.atp_c, c.ptpl_c, c.tmv, c.allow_commands,
          c.ptpl_a);
  if (!c.tmv)
    return true;
  puts ("    Support indicated in Type mask:");
  for (size_t i = 0; i < sizeof types / sizeof types[0]; ++i)
    printf ("      %s: %d\n", pr_type_text (types[i]),
            c.types >> types[i] & 1);
  return true;
}

static bool
print_status (const uint8_t *buf, size_t len)
{
  struct pr_status s;
  struct pr_keys head;
  size_t at = 0;

  if (!parse_pr_keys (buf, len, &head))
    return false;
  printf ("  PR generation=0x%" PRIx32 " \n", head.generation);
  while (parse_pr_status (buf, len, &at, &s)) {
    printf ("   Key = 0x%" PRIx64 "\n", s.key);
    if (s.all_tg_pt)
      puts ("      All target ports bit set");
    else
      printf ("      All target ports bit clear\n"
              "      Relative port address: 0x%x\n", s.rtpi);
    if (s.holder) {
      puts ("      << Reservation holder >>");
      fputs ("      ", stdout);
      print_type (s.scope, s.type);
    }
    else
      puts ("      not reservation holder");
    if (s.initiator[0])
      printf ("      iSCSI name and session id: %s\n", s.initiator);
  }
  if (at == 0)
    puts ("No registrations");
  return true;
}

static int
digit (char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
    : -1;
}

bool
persist_print (const char *action, const char *hex)
{
  const size_t len = hex ? strlen (hex) / 2 : 0;
  uint8_t *buf = malloc (len + 1);
  bool good = buf != NULL;

  for (size_t i = 0; good && i < len; ++i) {
    const int high = digit (hex[2 * i]), low = digit (hex[2 * i + 1]);

    good = high >= 0 && low >= 0;
    buf[i] = (uint8_t) (high << 4 | low);
  }
  good = good &&
    (strcmp (action, "read-keys") == 0 ? print_keys (buf, len)
     : strcmp (action, "read-reservation") == 0 ? print_reservation (buf, len)
     : strcmp (action, "report-capabilities") == 0
     ? print_capabilities (buf, len) : print_status (buf, len));
  free (buf);
  return good;
}
