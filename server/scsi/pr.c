/* SPDX-License-Identifier: BSD-3-Clause */
/* Persistent reservations.  See pr.h. */
#include <config.h>

#include <string.h>

#include "base/bytes.h"
#include "scsi/pr.h"

#define OP_PERSISTENT_RESERVE_IN 0x5e
#define OP_PERSISTENT_RESERVE_OUT 0x5f

int
cdb_pr_out (uint8_t cdb[16], enum pr_out action, unsigned type)
{
  memset (cdb, 0, 16);
  cdb[0] = OP_PERSISTENT_RESERVE_OUT;
  cdb[1] = action & 0x1f;
  cdb[2] = type & 0x0f;         /* scope 0: the logical unit */
  put_be32 (cdb + 5, PR_PARAMETERS);
  return 10;
}

void
pr_parameters (uint8_t buf[PR_PARAMETERS], const struct pr_parameters *p)
{
  memset (buf, 0, PR_PARAMETERS);
  put_be64 (buf, p->key);
  put_be64 (buf + 8, p->action_key);
  buf[20] = (p->all_tg_pt ? 0x04 : 0) | (p->aptpl ? 0x01 : 0);
}

int
cdb_pr_in (uint8_t cdb[16], enum pr_in action, uint16_t alloc)
{
  memset (cdb, 0, 16);
  cdb[0] = OP_PERSISTENT_RESERVE_IN;
  cdb[1] = action & 0x1f;
  put_be16 (cdb + 7, alloc);
  return 10;
}

bool
parse_pr_keys (const uint8_t *buf, size_t len, struct pr_keys *keys)
{
  uint32_t bytes;

  *keys = (struct pr_keys) { 0, 0, false };
  if (len < 8)
    return false;
  keys->generation = get_be32 (buf);
  bytes = get_be32 (buf + 4);
  /* An odd end is no key. */
  if (bytes > len - 8) {
    keys->truncated = true;
    bytes = len - 8;
  }
  keys->nr = bytes / 8;
  return true;
}

uint64_t
pr_key (const uint8_t *buf, unsigned i)
{
  return get_be64 (buf + 8 + 8 * (size_t) i);
}

unsigned
pr_count_key (const uint8_t *buf, const struct pr_keys *keys, uint64_t key)
{
  unsigned n = 0;

  for (unsigned i = 0; i < keys->nr; ++i)
    if (pr_key (buf, i) == key)
      n++;
  return n;
}
