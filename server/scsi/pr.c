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

bool
parse_pr_reservation (const uint8_t *buf, size_t len,
                      struct pr_reservation *r)
{
  memset (r, 0, sizeof *r);
  if (len < 8)
    return false;
  r->generation = get_be32 (buf);
  if (get_be32 (buf + 4) < 16)  /* SPC-4 6.15.3: none is held */
    return true;
  if (len < 24)
    return false;
  r->held = true;
  r->key = get_be64 (buf + 8);
  r->scope = buf[21] >> 4;
  r->type = buf[21] & 0x0f;
  return true;
}

bool
parse_pr_capabilities (const uint8_t *buf, size_t len,
                       struct pr_capabilities *c)
{
  memset (c, 0, sizeof *c);
  if (len < 8 || get_be16 (buf) < 8)
    return false;
  c->crh = buf[2] & 0x10;
  c->sip_c = buf[2] & 0x08;
  c->atp_c = buf[2] & 0x04;
  c->ptpl_c = buf[2] & 0x01;
  c->tmv = buf[3] & 0x80;
  c->allow_commands = buf[3] >> 4 & 0x07;
  c->ptpl_a = buf[3] & 0x01;
  /* Byte 4 has bits 1 to 7, byte 5 has type 8 in its bit 0 (table 219). */
  c->types = buf[4] | (buf[5] & 0x01) << 8;
  return true;
}

/* A TransportID, SPC-4 7.6.4.6: of iSCSI, the name and, with format 01b, ",i,0x"
 * and the ISID; ends with NULs. */
static void
iscsi_name (const uint8_t *id, size_t len, char *name, size_t size)
{
  size_t n;

  name[0] = '\0';
  if (len < 4 || (id[0] & 0x0f) != 5)
    return;
  n = get_be16 (id + 2);
  if (n > len - 4)
    n = len - 4;
  if (n > size - 1)
    n = size - 1;
  for (size_t i = 0; i < n && id[4 + i] != 0; ++i) {
    name[i] = id[4 + i] > ' ' && id[4 + i] < 0x7f ? (char) id[4 + i] : '?';
    name[i + 1] = '\0';
  }
}

bool
parse_pr_status (const uint8_t *buf, size_t len, size_t *at,
                 struct pr_status *s)
{
  const uint8_t *d;
  size_t id;

  if (len < 8)
    return false;
  if (get_be32 (buf + 4) < len - 8)
    len = 8 + get_be32 (buf + 4);
  if (*at == 0)
    *at = 8;
  if (*at > len || len - *at < 24)
    return false;
  d = buf + *at;
  memset (s, 0, sizeof *s);
  s->key = get_be64 (d);
  s->all_tg_pt = d[12] & 0x02;
  s->holder = d[12] & 0x01;
  s->scope = d[13] >> 4;
  s->type = d[13] & 0x0f;
  s->rtpi = get_be16 (d + 18);
  id = get_be32 (d + 20);
  if (id > len - *at - 24)
    id = len - *at - 24;
  iscsi_name (d + 24, id, s->initiator, sizeof s->initiator);
  *at += 24 + id;
  return true;
}

const char *
pr_type_text (unsigned type)
{
  static const char *const names[16] = {
    "obsolete [0]", "Write Exclusive", "obsolete [2]", "Exclusive Access",
    "obsolete [4]", "Write Exclusive, registrants only",
    "Exclusive Access, registrants only", "Write Exclusive, all registrants",
    "Exclusive Access, all registrants", "obsolete [9]", "obsolete [0xa]",
    "obsolete [0xb]", "obsolete [0xc]", "obsolete [0xd]", "obsolete [0xe]",
    "obsolete [0xf]",
  };

  return names[type & 0x0f];
}
