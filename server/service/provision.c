/* SPDX-License-Identifier: BSD-3-Clause */
/* Thin provisioning and zeroes: UNMAP, WRITE SAME, GET LBA STATUS (SBC-3 4.7,
 * 5.28, 5.40, 5.6).  Worker threads. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "service/service-internal.h"

/* Bytes of one WRITE SAME.  Without UNMAP the target writes all of it while
 * other commands wait; with it only its allocation map changes. */
#define WRITE_SAME_LIMIT (4 * 1024 * 1024)
#define WRITE_SAME_UNMAP_LIMIT (256 * 1024 * 1024)
/* Commands of one request at a time: a LUN may allow but a few blocks in each,
 * and the client 4 GiB. */
#define MAX_PIECES 256

static bool
lu_has_unmap (const struct lu_facts *lu)
{
  /* SBC-3 6.6.4: without a maximum, or with 0, UNMAP must not be used. */
  return lu->lbpme && lu->lbpu && lu->max_unmap_lba > 0 &&
    lu->max_unmap_descriptors > 0;
}

static bool
lu_has_write_same_unmap (const struct lu_facts *lu)
{
  return lu->lbpme && lu->lbpws;
}

bool
lu_can_trim (const struct lu_facts *lu)
{
  return lu_has_unmap (lu) || lu_has_write_same_unmap (lu);
}

/* How many blocks of what is left go into the next command: at most LIMIT,
 * and so that the next one starts on a granule of the LUN. */
static uint32_t
next_piece (const struct lu_facts *lu, uint64_t lba, uint64_t left,
            uint64_t limit)
{
  const uint32_t granularity = lu->unmap_granularity;
  uint64_t n = left < limit ? left : limit;

  if (n < left && granularity > 1 && granularity < n) {
    const uint64_t offset =
      lu->unmap_alignment_valid ? lu->unmap_alignment % granularity : 0;
    const uint64_t over = (lba + n + granularity - offset) % granularity;

    if (over < n)
      n -= over;
  }
  return n;
}

static unsigned
count_pieces (const struct lu_facts *lu, uint64_t lba, uint64_t left,
              uint64_t limit)
{
  unsigned n = 0;

  while (left > 0 && n < MAX_PIECES) {
    const uint32_t piece = next_piece (lu, lba, left, limit);

    lba += piece;
    left -= piece;
    n++;
  }
  return n;
}

static bool
misaligned (const struct map *map, uint32_t count, uint64_t offset)
{
  const uint32_t bs = map->facts.block_size;

  return count % bs != 0 || offset % bs != 0;
}

/* The next at most MAX_PIECES commands of WRITE SAME(16) of one block of
 * zeroes, or with NDOB of none; *lba and *left go on behind them. */
static int
write_same_some (struct map *map, const struct lu_facts *lu, uint64_t *lba,
                 uint64_t *left, uint64_t limit, bool unmap, bool ndob)
{
  /* Larger blocks are not served, see write_same. */
  static uint8_t zeroes[65536];
  struct request req;
  unsigned i;

  if (request_init (&req, map, OP_WRITE_SAME,
                    count_pieces (lu, *lba, *left, limit)) == -1)
    return -1;
  for (i = 0; i < req.nr_parts; ++i) {
    struct command *cmd = &req.parts[i];

    cmd->lba = *lba;
    cmd->blocks = next_piece (lu, *lba, *left, limit);
    cmd->modifies = true;
    cmd->optional = true;
    cmd->may_be_short = true;   /* tgt says so of parameters, too */
    command_prepare (cmd, cdb_write_same16 (cmd->cdb, *lba, cmd->blocks,
                                            unmap, ndob),
                     ndob ? SCSI_XFER_NONE : SCSI_XFER_WRITE,
                     ndob ? NULL : zeroes, ndob ? 0 : lu->block_size);
    *lba += cmd->blocks;
    *left -= cmd->blocks;
  }
  return request_finish (&req);
}

static int
write_same (struct map *map, const struct lu_facts *lu, uint64_t lba,
            uint64_t left, bool unmap)
{
  uint64_t limit = (unmap ? WRITE_SAME_UNMAP_LIMIT : WRITE_SAME_LIMIT) /
    lu->block_size;

  if (map->no_write_same || lu->block_size > 65536) {
    errno = ENOTSUP;
    return -1;
  }
  if (lu->max_write_same > 0 && lu->max_write_same < limit)
    limit = lu->max_write_same;
  while (left > 0) {
    const bool ndob = lu->ndob && !map->no_ndob;
    const uint64_t lba_was = lba, left_was = left;

    if (write_same_some (map, lu, &lba, &left, limit, unmap, ndob) == -1) {
      if (ndob && (errno == ENOTSUP || errno == EINVAL)) {
        /* It does not do what it said it does; with data, then. */
        map->no_ndob = true;
        lba = lba_was;
        left = left_was;
        continue;
      }
      if (errno == ENOTSUP) {
        if (!unmap)
          map->no_write_same = true;
      }
      else if (errno == EINVAL) /* a field it does not know: as good as */
        errno = ENOTSUP;
      return -1;
    }
  }
  return 0;
}

/* The same for UNMAP.  One descriptor in each is enough: a request is one
 * range, and the limit is the sum over all descriptors (SBC-3 6.6.4). */
static int
unmap_some (struct map *map, const struct lu_facts *lu, uint64_t *lba,
            uint64_t *left)
{
  const uint64_t limit = lu->max_unmap_lba;
  struct request req;
  unsigned i;

  if (request_init (&req, map, OP_UNMAP,
                    count_pieces (lu, *lba, *left, limit)) == -1)
    return -1;
  for (i = 0; i < req.nr_parts; ++i) {
    struct command *cmd = &req.parts[i];
    struct lba_range range;
    size_t len;

    cmd->lba = range.lba = *lba;
    cmd->blocks = range.blocks = next_piece (lu, *lba, *left, limit);
    cmd->modifies = true;
    cmd->optional = true;
    cmd->may_be_short = true;   /* tgt says so of parameters, too */
    len = unmap_parameters (cmd->parameters, &range, 1);
    command_prepare (cmd, cdb_unmap (cmd->cdb, len), SCSI_XFER_WRITE,
                     cmd->parameters, len);
    *lba += cmd->blocks;
    *left -= cmd->blocks;
  }
  return request_finish (&req);
}

static int
unmap (struct map *map, const struct lu_facts *lu, uint64_t lba,
       uint64_t left)
{
  while (left > 0)
    if (unmap_some (map, lu, &lba, &left) == -1)
      return -1;
  return 0;
}

int
map_trim (struct map *map, uint32_t count, uint64_t offset)
{
  struct lu_facts lu;

  if (misaligned (map, count, offset)) {
    errno = EINVAL;
    return -1;
  }
  if (count == 0)
    return 0;
  map_get_facts (map, &lu);
  if (lu_has_unmap (&lu) && !map->no_unmap) {
    if (unmap (map, &lu, offset / lu.block_size,
               count / lu.block_size) == 0)
      return 0;
    /* Invalid field: not that often, so it may be asked again. */
    if (errno != ENOTSUP && errno != EINVAL)
      return -1;
    if (errno == ENOTSUP)
      map->no_unmap = true;
  }
  if (lu_has_write_same_unmap (&lu))
    return write_same (map, &lu, offset / lu.block_size,
                       count / lu.block_size, true);
  errno = ENOTSUP;
  return -1;
}

int
map_zero (struct map *map, uint32_t count, uint64_t offset, bool may_trim,
          bool fast)
{
  struct lu_facts lu;
  bool with_unmap;

  if (misaligned (map, count, offset)) {
    errno = EINVAL;
    return -1;
  }
  if (count == 0)
    return 0;
  map_get_facts (map, &lu);
  /* UNMAP alone is only advice; WRITE SAME with UNMAP leaves zeroes in any
   * case, by unmapping or by writing, where unmapped reads as zeroes. */
  with_unmap = may_trim && lu_has_write_same_unmap (&lu) && lu.lbprz;
  if (with_unmap &&
      write_same (map, &lu, offset / lu.block_size, count / lu.block_size,
                  true) == 0)
    return 0;
  if (with_unmap && errno != ENOTSUP)
    return -1;
  if (fast) {
    errno = ENOTSUP;
    return -1;
  }
  return write_same (map, &lu, offset / lu.block_size, count / lu.block_size,
                     false);
}

bool
map_can_extents (struct map *map)
{
  struct lu_facts lu;

  map_get_facts (map, &lu);
  return lu.lbpme && !map->no_lba_status;
}

int
map_lba_status (struct map *map, uint64_t lba, uint32_t blocks,
                struct lba_status *out, int max)
{
  uint8_t answer[8 + 16 * 64];
  struct request req;
  struct lba_status found[64];
  int n, i, used = 0;
  uint32_t len;

  (void) blocks;
  if (map->no_lba_status) {
    errno = ENOTSUP;
    return -1;
  }
  if (request_init (&req, map, OP_LBA_STATUS, 1) == -1)
    return -1;
  memset (answer, 0, sizeof answer);
  req.part.lba = lba;
  req.part.optional = true;
  req.part.may_be_short = true;
  command_prepare (&req.part,
                   cdb_get_lba_status (req.part.cdb, lba, sizeof answer),
                   SCSI_XFER_READ, answer, sizeof answer);
  if (request_finish (&req) == -1) {
    if (errno == EINVAL)
      errno = ENOTSUP;
    if (errno == ENOTSUP)
      map->no_lba_status = true;
    return -1;
  }
  len = req.residual < sizeof answer ? sizeof answer - req.residual : 0;
  n = parse_lba_status (answer, len, found, 64);

  /* SBC-3 5.6.2: contiguous, and the first one contains the LBA asked for.
   * A target that does otherwise is not believed. */
  for (i = 0; i < n && used < max; ++i) {
    struct lba_status s = found[i];

    if (s.blocks == 0)
      continue;
    if (used == 0 && s.lba < lba && lba - s.lba < s.blocks) {
      s.blocks -= lba - s.lba;
      s.lba = lba;
    }
    if (s.lba != (used == 0 ? lba : out[used - 1].lba + out[used - 1].blocks))
      break;
    out[used++] = s;
  }
  if (used == 0) {
    map->no_lba_status = true;
    errno = ENOTSUP;
    return -1;
  }
  return used;
}
