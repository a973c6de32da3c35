/* SPDX-License-Identifier: BSD-3-Clause */
/* The name that we log in with when nobody gave one; settings.h has the
 * rules. */
#include <config.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/settings.h"

#define INITIATOR_FILE "/etc/iscsi/initiatorname.iscsi"
#define MACHINE_ID_FILE "/etc/machine-id"

bool
initiator_from_file (const char *path, char buf[ISCSI_NAME_SIZE])
{
  static const char key[] = "InitiatorName";
  char line[1024];
  bool found = false;
  FILE *fp = fopen (path, "re");

  if (fp == NULL)
    return false;
  while (!found && fgets (line, sizeof line, fp)) {
    char *p = line + strspn (line, " \t");
    size_t n;

    if (strncmp (p, key, sizeof key - 1) != 0)
      continue;                 /* '#', "GenerateName=yes", InitiatorAlias */
    p += sizeof key - 1;
    p += strspn (p, " \t");
    if (*p != '=')
      continue;
    ++p;
    p += strspn (p, " \t");
    n = strcspn (p, " \t\r\n");
    p[n] = '\0';
    if (iscsi_name_wrong (p) == NULL) {
      memcpy (buf, p, n + 1);
      found = true;
    }
  }
  fclose (fp);
  return found;
}

/* FNV-1a, then a final mix: 48 bits go out, 128 went in, so that the
 * machine-id cannot be had back from the name. */
static uint64_t
hash_of (const char *text)
{
  uint64_t h = UINT64_C (0xcbf29ce484222325);

  for (; *text; ++text)
    h = (h ^ (unsigned char) *text) * UINT64_C (0x100000001b3);
  h ^= h >> 32;
  h *= UINT64_C (0xd6e8feb86659fd93);
  h ^= h >> 32;
  return h & UINT64_C (0xffffffffffff);
}

void
settings_default_initiator (const char *path, char buf[ISCSI_NAME_SIZE])
{
  char seed[300] = "mpiscsi initiator ";
  const size_t prefix = strlen (seed);
  FILE *fp;

  if (initiator_from_file (path ? path : INITIATOR_FILE, buf))
    return;

  fp = fopen (MACHINE_ID_FILE, "re");
  if (fp) {
    char id[64] = "";

    /* 32 hex digits, but "uninitialized" or empty on a first boot. */
    if (fgets (id, sizeof id, fp) && strspn (id, "0123456789abcdef") == 32)
      snprintf (seed + prefix, sizeof seed - prefix, "%.32s", id);
    fclose (fp);
  }
  if (seed[prefix] == '\0' &&
      gethostname (seed + prefix, sizeof seed - prefix - 1) == -1)
    snprintf (seed + prefix, sizeof seed - prefix, "localhost");
  snprintf (buf, ISCSI_NAME_SIZE, "iqn.2026-11.org.mpiscsi:%012" PRIx64,
            hash_of (seed));
}
