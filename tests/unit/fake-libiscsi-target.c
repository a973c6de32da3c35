/* SPDX-License-Identifier: BSD-3-Clause */
/* The target behind fake-libiscsi.c: portals that lead to LUNs, LUNs that are
 * disks in memory, and what can be wrong with any of them.  SPC-4 and SBC-3,
 * as much of them as is needed to be taken for a disk. */
#include <config.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "fake-libiscsi.h"

struct fake_disk {
  struct list node;
  unsigned id;
  uint64_t blocks;
  uint32_t block_size;
  uint32_t max_transfer;        /* blocks, of VPD page B0h; 0: no limit */
  uint8_t *data;
  char wwid[40];
};

pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;

/* All below under fake_lock. */
static struct list disks = LIST_INIT (disks), portals = LIST_INIT (portals);
static uint64_t seed;
static unsigned troubles[NR_FAKE_TROUBLES];

void
fake_target_start (unsigned s)
{
  seed = s * 2654435761u + 1;
  memset (troubles, 0, sizeof troubles);
}

void
fake_target_end (void)
{
  while (!list_empty (&disks)) {
    struct fake_disk *d = list_entry (disks.next, struct fake_disk, node);

    list_del (&d->node);
    free (d->data);
    free (d);
  }
  while (!list_empty (&portals)) {
    struct fake_portal *p = list_entry (portals.next, struct fake_portal,
                                        node);

    list_del (&p->node);
    free (p);
  }
}

/* A linear congruential generator (Knuth's constants): enough of a lot, and
 * the same one for the same seed. */
unsigned
fake_random (void)
{
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return seed >> 33;
}

double
fake_now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* ---- disks ------------------------------------------------------------------ */

/* The NAA-6 name of a disk, SPC-4 7.8.6.6.5. */
static void
naa (const struct fake_disk *d, uint8_t name[16])
{
  memset (name, 0, 16);
  name[0] = 0x60;
  put_be32 (&name[12], d->id);
}

struct fake_disk *
fake_disk_new (unsigned id, uint64_t blocks, uint32_t block_size)
{
  struct fake_disk *d = calloc (1, sizeof *d);
  uint8_t name[16];
  char *at;

  assert (d != NULL);
  d->id = id;
  d->blocks = blocks;
  d->block_size = block_size;
  d->data = calloc (blocks, block_size);
  assert (d->data != NULL);
  naa (d, name);
  at = d->wwid;
  *at++ = '3';
  for (int i = 0; i < 16; ++i)
    at += sprintf (at, "%02x", name[i]);
  pthread_mutex_lock (&fake_lock);
  list_add_tail (&disks, &d->node);
  pthread_mutex_unlock (&fake_lock);
  return d;
}

const char *
fake_disk_wwid (const struct fake_disk *d)
{
  return d->wwid;
}

void
fake_disk_read (struct fake_disk *d, uint64_t lba, void *buf, uint32_t blocks)
{
  pthread_mutex_lock (&fake_lock);
  assert (lba + blocks <= d->blocks);
  memcpy (buf, d->data + lba * d->block_size, (size_t) blocks * d->block_size);
  pthread_mutex_unlock (&fake_lock);
}

void
fake_disk_resize (struct fake_disk *d, uint64_t blocks)
{
  uint8_t *data;

  pthread_mutex_lock (&fake_lock);
  data = realloc (d->data, blocks * d->block_size);
  assert (data != NULL);
  if (blocks > d->blocks)
    memset (data + d->blocks * d->block_size, 0,
            (blocks - d->blocks) * d->block_size);
  d->data = data;
  d->blocks = blocks;
  pthread_mutex_unlock (&fake_lock);
}

void
fake_disk_limit (struct fake_disk *d, uint32_t blocks)
{
  pthread_mutex_lock (&fake_lock);
  d->max_transfer = blocks;
  pthread_mutex_unlock (&fake_lock);
}

/* ---- portals ------------------------------------------------------------------ */

struct fake_portal *
fake_portal_new (const char *address)
{
  struct fake_portal *p = calloc (1, sizeof *p);

  assert (p != NULL && strlen (address) < sizeof p->address);
  strcpy (p->address, address);
  p->tpgt = -1;
  pthread_mutex_lock (&fake_lock);
  list_add_tail (&portals, &p->node);
  pthread_mutex_unlock (&fake_lock);
  return p;
}

struct fake_portal *
fake_find_portal (const char *address)
{
  struct list *l, *next;

  list_for_each (l, next, &portals) {
    struct fake_portal *p = list_entry (l, struct fake_portal, node);

    if (strcmp (p->address, address) == 0)
      return p;
  }
  return NULL;
}

#define SET(statement)                    \
  do {                                    \
    pthread_mutex_lock (&fake_lock);      \
    statement;                            \
    pthread_mutex_unlock (&fake_lock);    \
  } while (0)

void
fake_map_lun (struct fake_portal *p, unsigned lun, struct fake_disk *d)
{
  assert (lun < FAKE_MAX_LUNS);
  SET (p->luns[lun] = d);
}

void
fake_portals_new (struct fake_portal **portal, unsigned n,
                  struct fake_disk *disk)
{
  for (unsigned i = 0; i < n; ++i) {
    char address[40];

    sprintf (address, "127.0.0.1:%u", 4001 + i);
    portal[i] = fake_portal_new (address);
    fake_map_lun (portal[i], 1, disk);
  }
}

void
fake_set_connect (struct fake_portal *p, enum fake_connect how)
{
  SET (p->connect = how);
}

void
fake_set_login (struct fake_portal *p, enum fake_login how, const char *text)
{
  pthread_mutex_lock (&fake_lock);
  p->login = how;
  snprintf (p->login_text, sizeof p->login_text, "%s", text ? text : "");
  pthread_mutex_unlock (&fake_lock);
}

void
fake_set_logout (struct fake_portal *p, enum fake_logout how)
{
  SET (p->logout = how);
}

void
fake_set_reset (struct fake_portal *p, enum fake_tmf how)
{
  SET (p->reset = how);
}

void
fake_set_abort (struct fake_portal *p, enum fake_tmf how)
{
  SET (p->abort = how);
}

void
fake_set_delay (struct fake_portal *p, unsigned min, unsigned max)
{
  assert (min <= max);
  SET (p->delay_min = min; p->delay_max = max);
}

void
fake_set_tcp (struct fake_portal *p, unsigned unacked, unsigned retransmits)
{
  SET (p->tcp_known = true; p->tcp_unacked = unacked;
       p->tcp_retransmits = retransmits);
}

void
fake_set_chance (struct fake_portal *p, enum fake_trouble trouble,
                 unsigned permille)
{
  SET (p->chance[trouble] = permille);
}

void
fake_fault (struct fake_portal *p, struct fake_fault fault)
{
  int i;

  pthread_mutex_lock (&fake_lock);
  for (i = 0; i < FAKE_MAX_FAULTS && p->faults[i].count > 0; ++i)
    ;
  assert (i < FAKE_MAX_FAULTS);
  p->faults[i] = fault;
  pthread_mutex_unlock (&fake_lock);
}

void
fake_set_portal_group (struct fake_portal *p, int tag)
{
  SET (p->tpgt = tag);
}

unsigned
fake_logins (struct fake_portal *p)
{
  unsigned n;

  SET (n = p->logins);
  return n;
}

void
fake_forget_faults (struct fake_portal *p)
{
  SET (memset (p->faults, 0, sizeof p->faults));
}

unsigned
fake_logins_at_once (struct fake_portal *p)
{
  unsigned n;

  SET ((n = p->logins_at_once, p->logins_at_once = 0));
  return n;
}

unsigned
fake_executed (struct fake_portal *p)
{
  unsigned n;

  SET (n = p->executed);
  return n;
}

unsigned
fake_troubles (enum fake_trouble trouble)
{
  unsigned n;

  SET (n = troubles[trouble]);
  return n;
}

/* ---- commands ------------------------------------------------------------------ */

static void
check_condition (struct fake_command *cmd, uint8_t key, uint8_t asc,
                 uint8_t ascq)
{
  cmd->status = SCSI_STATUS_CHECK_CONDITION;
  cmd->key = key;
  cmd->asc = asc;
  cmd->ascq = ascq;
}

/* The answer of N bytes, as far as was asked for.  What is missing is the
 * residual (RFC 7143 11.4.5). */
static void
answer (struct fake_command *cmd, const void *buf, uint32_t n)
{
  if (n > cmd->len)
    n = cmd->len;
  memcpy (cmd->data, buf, n);
  cmd->residual = cmd->len - n;
}

static void
inquiry (const struct fake_disk *d, struct fake_command *cmd)
{
  uint8_t buf[96] = { 0 };
  uint8_t *const page = buf + 4;

  if (!(cmd->cdb[1] & 1)) {
    buf[0] = d ? 0 : 0x7f;      /* 7Fh: no device there, SPC-4 table 144 */
    buf[2] = 6;
    buf[4] = 91;
    memcpy (&buf[8], "FAKE    MEMORY DISK     0001", 28);
    answer (cmd, buf, sizeof buf);
    return;
  }
  if (d == NULL) {
    check_condition (cmd, 5, 0x25, 0);
    return;
  }
  buf[1] = cmd->cdb[2];
  switch (cmd->cdb[2]) {
  case 0x00:
    buf[3] = 4;
    memcpy (page, "\x00\x80\x83\xb0", 4);
    break;
  case 0x80:
    buf[3] = 8;
    snprintf ((char *) page, 9, "%08u", d->id % 100000000);
    break;
  case 0x83:
    buf[3] = 20;
    page[0] = 1;                /* binary */
    page[1] = 3;                /* NAA, of the logical unit */
    page[3] = 16;
    naa (d, page + 4);
    break;
  case 0xb0:
    buf[3] = 0x3c;
    put_be32 (&buf[8], d->max_transfer);
    break;
  default:
    check_condition (cmd, 5, 0x24, 0);
    return;
  }
  answer (cmd, buf, 4 + buf[3]);
}

static void
report_luns (const struct fake_portal *p, struct fake_command *cmd)
{
  uint8_t buf[8 + 8 * FAKE_MAX_LUNS] = { 0 };
  unsigned n = 0;

  for (unsigned i = 0; i < FAKE_MAX_LUNS; ++i)
    if (p->luns[i])
      buf[8 + 8 * n++ + 1] = i;
  put_be32 (buf, 8 * n);
  answer (cmd, buf, 8 + 8 * n);
}

static void
read_capacity16 (const struct fake_disk *d, struct fake_command *cmd)
{
  uint8_t buf[32] = { 0 };

  put_be64 (buf, d->blocks - 1);
  put_be32 (buf + 8, d->block_size);
  answer (cmd, buf, sizeof buf);
}

/* Header, no block descriptors, and the caching page with WCE. */
static void
mode_sense6 (struct fake_command *cmd)
{
  uint8_t buf[4 + 20] = { sizeof buf - 1, 0, 0x10 };

  buf[4] = 0x08;
  buf[5] = 18;
  buf[6] = 0x04;
  answer (cmd, buf, sizeof buf);
}

/* true: this is a READ or WRITE, and where. */
static bool
is_transfer (const uint8_t *cdb, bool *write, uint64_t *lba, uint32_t *blocks)
{
  switch (cdb[0]) {
  case 0x28: case 0x2a:
    *lba = get_be32 (&cdb[2]);
    *blocks = get_be16 (&cdb[7]);
    break;
  case 0x88: case 0x8a:
    *lba = get_be64 (&cdb[2]);
    *blocks = get_be32 (&cdb[10]);
    break;
  default:
    return false;
  }
  *write = cdb[0] == 0x2a || cdb[0] == 0x8a;
  return true;
}

static void
transfer (struct fake_disk *d, struct fake_command *cmd, bool write,
          uint64_t lba, uint32_t blocks)
{
  const uint32_t bytes = blocks * d->block_size;

  if (lba + blocks > d->blocks)
    check_condition (cmd, 5, 0x21, 0);
  else if (d->max_transfer > 0 && blocks > d->max_transfer)
    check_condition (cmd, 5, 0x24, 0);
  else if (!write)
    answer (cmd, d->data + lba * d->block_size, bytes);
  else {
    /* Less data than the CDB says would be torn. */
    assert (cmd->len == bytes);
    memcpy (d->data + lba * d->block_size, cmd->data, bytes);
  }
}

static void
execute (struct fake_portal *p, struct fake_command *cmd)
{
  struct fake_disk *d = cmd->lun < FAKE_MAX_LUNS ? p->luns[cmd->lun] : NULL;
  uint64_t lba;
  uint32_t blocks;
  bool write;

  cmd->status = SCSI_STATUS_GOOD;
  if (cmd->cdb[0] == 0xa0) {
    report_luns (p, cmd);
    return;
  }
  if (cmd->cdb[0] == 0x12) {
    inquiry (d, cmd);
    return;
  }
  if (d == NULL) {
    check_condition (cmd, 5, 0x25, 0);
    return;
  }
  if (is_transfer (cmd->cdb, &write, &lba, &blocks)) {
    p->executed++;
    transfer (d, cmd, write, lba, blocks);
    return;
  }
  switch (cmd->cdb[0]) {
  case 0x00:
    break;
  case 0x1a:
    mode_sense6 (cmd);
    break;
  case 0x35: case 0x91:
    p->executed++;
    break;
  case 0x9e:
    read_capacity16 (d, cmd);
    break;
  default:
    check_condition (cmd, 5, 0x20, 0);
  }
}

static struct fake_fault *
find_fault (struct fake_portal *p, const struct fake_command *cmd)
{
  for (int i = 0; i < FAKE_MAX_FAULTS; ++i) {
    struct fake_fault *f = &p->faults[i];

    if (f->count > 0 && (f->opcode == -1 || f->opcode == cmd->cdb[0]) &&
        (f->lun == -1 || f->lun == (int) cmd->lun))
      return f;
  }
  return NULL;
}

bool
fake_hangs (struct fake_portal *p, struct fake_command *cmd)
{
  struct fake_fault *f = find_fault (p, cmd);

  if (f == NULL || !f->hang)
    return false;
  f->count--;
  return true;
}

static void
short_answer (struct fake_command *cmd, uint32_t missing)
{
  if (missing > cmd->len)
    missing = cmd->len;
  if (missing > cmd->residual)
    cmd->residual = missing;
}

/* By lot: true if CMD has its answer. */
static bool
trouble (struct fake_portal *p, struct fake_command *cmd)
{
  const bool read = cmd->cdb[0] == 0x28 || cmd->cdb[0] == 0x88;
  int i;

  for (i = 0; i < NR_FAKE_TROUBLES; ++i)
    if (p->chance[i] > 0 && fake_random () % 1000 < p->chance[i] &&
        ((i != FAKE_SHORT_READ && i != FAKE_HALF) || read))
      break;
  if (i == NR_FAKE_TROUBLES)
    return false;
  troubles[i]++;
  switch (i) {
  case FAKE_BUSY:
    cmd->status = SCSI_STATUS_BUSY;
    break;
  case FAKE_TASK_SET_FULL:
    cmd->status = SCSI_STATUS_TASK_SET_FULL;
    break;
  case FAKE_ATTENTION:
    check_condition (cmd, 6, 0x2a, 0x01);
    break;
  case FAKE_ABORTED:
    /* Nobody knows whether it was executed before. */
    if (fake_random () % 2)
      execute (p, cmd);
    check_condition (cmd, 0xb, 0, 0);
    break;
  case FAKE_SHORT_READ:
    execute (p, cmd);
    short_answer (cmd, 1 + fake_random () % cmd->len);
    break;
  case FAKE_DIE:
    if (fake_random () % 2)
      execute (p, cmd);
    cmd->die = true;
    break;
  case FAKE_HALF:
    execute (p, cmd);
    cmd->half_ms = 10 + fake_random () % 60;
    break;
  }
  return true;
}

void
fake_execute (struct fake_portal *p, struct fake_command *cmd, bool *attention)
{
  struct fake_fault *f = find_fault (p, cmd);

  cmd->residual = 0;
  cmd->silent = false;
  /* A UNIT ATTENTION of the login: all but INQUIRY and REPORT LUNS report it
   * (SAM-5 5.14). */
  if (*attention && cmd->cdb[0] != 0x12 && cmd->cdb[0] != 0xa0) {
    *attention = false;
    check_condition (cmd, 6, 0x29, 0);
    return;
  }
  if (f == NULL) {
    if (!trouble (p, cmd))
      execute (p, cmd);
    return;
  }
  f->count--;
  if (f->die) {
    if (f->execute)
      execute (p, cmd);
    cmd->die = true;
    return;
  }
  if (f->execute || f->status == SCSI_STATUS_GOOD)
    execute (p, cmd);
  cmd->half_ms = f->half_ms;
  cmd->status = f->status;
  cmd->key = f->key;
  cmd->asc = f->asc;
  cmd->ascq = f->ascq;
  short_answer (cmd, f->residual);
  cmd->silent = f->silent;
}

void
fake_execute_unseen (struct fake_portal *p, struct fake_command *cmd)
{
  execute (p, cmd);
}
