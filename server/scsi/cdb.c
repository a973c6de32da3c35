/* SPDX-License-Identifier: BSD-3-Clause */
/* Builders of command descriptor blocks (SPC-4 clause 6, SBC-3 clause 5) and
 * of the UNMAP parameter list.
 *
 * The control byte (NACA, SAM-5 5.2) stays 0 in all of them: no auto
 * contingent allegiance.
 */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi/scsi.h"

enum {
  OP_TEST_UNIT_READY = 0x00,
  OP_INQUIRY = 0x12,
  OP_MODE_SENSE6 = 0x1a,
  OP_READ_CAPACITY10 = 0x25,
  OP_READ10 = 0x28,
  OP_WRITE10 = 0x2a,
  OP_SYNCHRONIZE_CACHE10 = 0x35,
  OP_UNMAP = 0x42,
  OP_MODE_SENSE10 = 0x5a,
  OP_READ16 = 0x88,
  OP_WRITE16 = 0x8a,
  OP_PREFETCH16 = 0x90,
  OP_SYNCHRONIZE_CACHE16 = 0x91,
  OP_WRITE_SAME16 = OPCODE_WRITE_SAME16,
  OP_SERVICE_ACTION_IN16 = 0x9e,
  OP_REPORT_LUNS = 0xa0,
  OP_MAINTENANCE_IN = 0xa3,

  SA_REPORT_OPCODES = 0x0c,
  SA_READ_CAPACITY16 = 0x10,
  SA_GET_LBA_STATUS = 0x12,
};

static void
start (uint8_t cdb[16], uint8_t opcode)
{
  memset (cdb, 0, 16);
  cdb[0] = opcode;
}

/* The layout that all 16 byte commands here share: an address in bytes 2..9
 * and a count (of blocks, or of bytes to allocate) in bytes 10..13. */
static int
cdb16 (uint8_t cdb[16], uint8_t opcode, uint8_t flags,
       uint64_t lba, uint32_t count)
{
  start (cdb, opcode);
  cdb[1] = flags;
  put_be64 (&cdb[2], lba);
  put_be32 (&cdb[10], count);
  return 16;
}

/* And the 10 byte ones on blocks: address in 2..5, count in 7..8. */
static int
cdb10 (uint8_t cdb[16], uint8_t opcode, uint8_t flags,
       uint32_t lba, uint16_t count)
{
  start (cdb, opcode);
  cdb[1] = flags;
  put_be32 (&cdb[2], lba);
  put_be16 (&cdb[7], count);
  return 10;
}

int
cdb_test_unit_ready (uint8_t cdb[16])
{
  start (cdb, OP_TEST_UNIT_READY);
  return 6;
}

int
cdb_inquiry (uint8_t cdb[16], bool evpd, uint8_t page, uint16_t alloc)
{
  start (cdb, OP_INQUIRY);
  cdb[1] = evpd;
  cdb[2] = evpd ? page : 0;     /* SPC-4 6.4.1: must be 0 without EVPD */
  put_be16 (&cdb[3], alloc);
  return 6;
}

int
cdb_report_luns (uint8_t cdb[16], uint32_t alloc)
{
  start (cdb, OP_REPORT_LUNS);
  /* SELECT REPORT 00h: no well known units.  alloc < 16 is an error
   * (SPC-4 6.33), which is the caller's to avoid. */
  put_be32 (&cdb[6], alloc);
  return 12;
}

int
cdb_read_capacity10 (uint8_t cdb[16])
{
  start (cdb, OP_READ_CAPACITY10);
  return 10;
}

int
cdb_read_capacity16 (uint8_t cdb[16], uint32_t alloc)
{
  return cdb16 (cdb, OP_SERVICE_ACTION_IN16, SA_READ_CAPACITY16, 0, alloc);
}

/* DBD stays 0 in both forms: some targets reject it, and the parsers step
 * over block descriptors anyhow. */
int
cdb_mode_sense6 (uint8_t cdb[16], uint8_t page, uint8_t alloc)
{
  start (cdb, OP_MODE_SENSE6);
  cdb[2] = page & 0x3f;         /* PC 00b: current values */
  cdb[4] = alloc;
  return 6;
}

int
cdb_mode_sense10 (uint8_t cdb[16], uint8_t page, uint16_t alloc)
{
  start (cdb, OP_MODE_SENSE10);
  cdb[2] = page & 0x3f;
  put_be16 (&cdb[7], alloc);
  return 10;
}

static int
cdb_rw (uint8_t cdb[16], uint8_t op10, uint8_t op16,
        uint64_t lba, uint32_t blocks, bool fua)
{
  uint8_t flags = fua ? 0x08 : 0;

  if (lba <= UINT32_MAX && blocks <= UINT16_MAX)
    return cdb10 (cdb, op10, flags, (uint32_t) lba, (uint16_t) blocks);
  return cdb16 (cdb, op16, flags, lba, blocks);
}

int
cdb_read (uint8_t cdb[16], uint64_t lba, uint32_t blocks, bool fua)
{
  return cdb_rw (cdb, OP_READ10, OP_READ16, lba, blocks, fua);
}

int
cdb_write (uint8_t cdb[16], uint64_t lba, uint32_t blocks, bool fua)
{
  return cdb_rw (cdb, OP_WRITE10, OP_WRITE16, lba, blocks, fua);
}

/* IMMED stays 0: the answer must mean that the data is on the medium.  A
 * range that the short form cannot say is widened, never narrowed. */
int
cdb_synchronize_cache (uint8_t cdb[16], uint64_t lba, uint32_t blocks,
                       bool use16)
{
  if (use16)
    return cdb16 (cdb, OP_SYNCHRONIZE_CACHE16, 0, lba, blocks);
  if (lba > UINT32_MAX)
    lba = blocks = 0;
  if (blocks > UINT16_MAX)
    blocks = 0;
  return cdb10 (cdb, OP_SYNCHRONIZE_CACHE10, 0,
                (uint32_t) lba, (uint16_t) blocks);
}

int
cdb_unmap (uint8_t cdb[16], uint16_t param_len)
{
  start (cdb, OP_UNMAP);
  put_be16 (&cdb[7], param_len);
  return 10;
}

size_t
unmap_parameters (uint8_t *buf, const struct lba_range *ranges, int n)
{
  size_t len;
  int i;

  /* The length in the CDB has 16 bits. */
  assert (n >= 0 && n <= (UINT16_MAX - 8) / 16);
  len = 8 + 16 * (size_t) n;
  memset (buf, 0, len);
  put_be16 (&buf[0], (uint16_t) (len - 2));
  put_be16 (&buf[2], (uint16_t) (len - 8));
  for (i = 0; i < n; i++) {
    uint8_t *d = &buf[8 + 16 * i];

    put_be64 (&d[0], ranges[i].lba);
    put_be32 (&d[8], ranges[i].blocks);
  }
  return len;
}

int
cdb_write_same16 (uint8_t cdb[16], uint64_t lba, uint32_t blocks,
                  bool unmap, bool ndob)
{
  return cdb16 (cdb, OP_WRITE_SAME16, (unmap ? 0x08 : 0) | (ndob ? 0x01 : 0),
                lba, blocks);
}

int
cdb_report_opcode (uint8_t cdb[16], uint8_t opcode, uint32_t alloc)
{
  start (cdb, OP_MAINTENANCE_IN);
  cdb[1] = SA_REPORT_OPCODES;
  cdb[2] = 0x01;                /* one command, by its opcode alone */
  cdb[3] = opcode;
  put_be32 (&cdb[6], alloc);
  return 12;
}

int
cdb_get_lba_status (uint8_t cdb[16], uint64_t lba, uint32_t alloc)
{
  return cdb16 (cdb, OP_SERVICE_ACTION_IN16, SA_GET_LBA_STATUS, lba, alloc);
}

/* IMMED: a hint should not hold a slot of the queue while the target reads.
 * Ends with CONDITION MET when all blocks fit into the cache (SBC-3 5.9). */
int
cdb_prefetch16 (uint8_t cdb[16], uint64_t lba, uint32_t blocks)
{
  return cdb16 (cdb, OP_PREFETCH16, 0x02, lba, blocks);
}
