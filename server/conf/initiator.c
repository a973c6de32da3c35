/* SPDX-License-Identifier: BSD-3-Clause */
/* The name that we log in with when nobody gave one; settings.h has the
 * rules. */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/settings.h"

#define INITIATOR_FILE "/etc/iscsi/initiatorname.iscsi"
#define MACHINE_ID_FILE "/etc/machine-id"

/* The value of the line, without quotes; *remark if it had some. */
static char *
value_of (char *p, const char **remark)
{
  size_t n;

  p += strspn (p, " \t");
  if (*p == '"' || *p == '\'') {
    const char quote[] = { *p++, '\0' };

    *remark = "the name is in quotes, which are no part of it";
    p[strcspn (p, quote)] = '\0';
  }
  n = strcspn (p, " \t\r\n");
  p[n] = '\0';
  return p;
}

bool
initiator_from_file (const char *path, char buf[ISCSI_NAME_SIZE],
                     const char **remark)
{
  static const char key[] = "InitiatorName", bom[] = "\xef\xbb\xbf";
  char line[1024];
  bool found = false, odd = false;
  FILE *fp = fopen (path, "re");

  *remark = fp ? "there is no line InitiatorName=iqn..."
    : strerrordesc_np (errno);
  if (fp == NULL)
    return false;
  while (!found && fgets (line, sizeof line, fp)) {
    const char *why = NULL;
    char *p = line;

    if (strncmp (p, bom, sizeof bom - 1) == 0) {
      p += sizeof bom - 1;
      why = "the file begins with a byte order mark, which belongs not there";
    }
    p += strspn (p, " \t");
    if (strncmp (p, key, sizeof key - 1) != 0)
      continue;                 /* '#', "GenerateName=yes", InitiatorAlias */
    p += sizeof key - 1;
    p += strspn (p, " \t");
    if (*p != '=')
      continue;
    p = value_of (p + 1, &why);
    if (iscsi_name_wrong (p) != NULL) {
      if (!odd)
        *remark = iscsi_name_wrong (p);
      continue;
    }
    found = iscsi_name_odd (p) == NULL;
    if (!found && odd)
      continue;
    /* An odd one counts if none that is good comes after it. */
    odd = !found;
    strcpy (buf, p);
    *remark = odd ? iscsi_name_odd (p) : why;
  }
  fclose (fp);
  return found || odd;
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
settings_default_initiator (const char *path, char buf[ISCSI_NAME_SIZE],
                            char remark[ERR_SIZE])
{
  const char *why;
  char seed[300] = "mpiscsi initiator ";
  const size_t prefix = strlen (seed);
  FILE *fp;

  if (path == NULL)
    path = INITIATOR_FILE;
  remark[0] = '\0';
  errno = 0;
  if (initiator_from_file (path, buf, &why)) {
    if (why != NULL)
      snprintf (remark, ERR_SIZE, "%s: %s: our name is taken to be %s", path,
                why, buf);
    return;
  }
  if (errno != ENOENT)
    snprintf (remark, ERR_SIZE, "%s: %s: a name is made up in its place; set "
              "initiator-name=", path, why);

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
