/* SPDX-License-Identifier: BSD-3-Clause */
/* Thin provisioning and zeroes: UNMAP, WRITE SAME, GET LBA STATUS (SBC-3 4.7,
 * 5.28, 5.40, 5.6); and PRE-FETCH (5.8).  Steps of service_request. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
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

/* Where nothing else is known, zeroes are written: so many bytes in one
 * command, so many commands at a time. */
#define WRITE_LIMIT (256 * 1024)
#define MAX_WRITES 16
static uint8_t zeroes[WRITE_LIMIT];

/* What is tried, one after the other. */
enum { WAY_UNMAP, WAY_SAME_UNMAP, WAY_SAME, WAY_WRITE };

static bool more (struct service_request *sr);

static bool
can_write_same (const struct map *map, const struct lu_facts *lu)
{
  return !map->no_write_same && lu->block_size <= sizeof zeroes;
}

/* The next way of a zero or trim; false: there is none, and what to say. */
static bool
next_way (struct service_request *sr, const struct lu_facts *lu, int *error)
{
  if (sr->op == SERVICE_TRIM) {
    if (sr->way == WAY_UNMAP && lu_has_write_same_unmap (lu) &&
        can_write_same (sr->map, lu)) {
      sr->way = WAY_SAME_UNMAP;
      return true;
    }
    *error = 0;                 /* it is only advice */
    return false;
  }
  if (sr->way < WAY_SAME && sr->fast) {
    *error = ENOTSUP;
    return false;
  }
  sr->way = sr->way < WAY_SAME && can_write_same (sr->map, lu) ? WAY_SAME
    : WAY_WRITE;
  return true;
}

static bool
tried (struct service_request *sr, int error)
{
  struct map *map = sr->map;
  struct lu_facts lu;

  if (error == 0)
    return more (sr);
  /* Invalid field: not that often, or not so, so it may be asked again. */
  if ((error != ENOTSUP && error != EINVAL) || sr->way == WAY_WRITE)
    return service_next_phase (sr, error);
  sr->lba = sr->batch_lba;
  sr->left = sr->batch_left;
  map_get_facts (map, &lu);
  if (sr->ndob) {
    /* It does not do what it said it does; with data, then. */
    map->no_ndob = true;
    return more (sr);
  }
  if (error == ENOTSUP && sr->way == WAY_UNMAP)
    map->no_unmap = true;
  else if (error == ENOTSUP && sr->way == WAY_SAME)
    map->no_write_same = true;
  if (!next_way (sr, &lu, &error))
    return service_next_phase (sr, error);
  return more (sr);
}

/* One of the commands of a batch, of N blocks. */
static void
prepare (struct service_request *sr, const struct lu_facts *lu,
         struct command *cmd, uint32_t n)
{
  cmd->lba = sr->lba;
  cmd->blocks = n;
  cmd->modifies = true;
  if (sr->way == WAY_WRITE) {
    command_prepare (cmd, cdb_write (cmd->cdb, sr->lba, n, false),
                     SCSI_XFER_WRITE, zeroes, n * lu->block_size);
    return;
  }
  cmd->optional = true;
  cmd->may_be_short = true;     /* tgt says so of parameters, too */
  if (sr->way == WAY_UNMAP) {
    /* One descriptor in each is enough: a request is one range, and the limit
     * is the sum over all descriptors (SBC-3 6.6.4). */
    const struct lba_range range = { .lba = sr->lba, .blocks = n };
    const size_t len = unmap_parameters (cmd->parameters, &range, 1);

    command_prepare (cmd, cdb_unmap (cmd->cdb, len), SCSI_XFER_WRITE,
                     cmd->parameters, len);
  }
  else
    /* One block of zeroes, or with NDOB none. */
    command_prepare (cmd, cdb_write_same16 (cmd->cdb, sr->lba, n,
                                            sr->way == WAY_SAME_UNMAP,
                                            sr->ndob),
                     sr->ndob ? SCSI_XFER_NONE : SCSI_XFER_WRITE,
                     sr->ndob ? NULL : zeroes, sr->ndob ? 0 : lu->block_size);
}

static uint64_t
limit_of (const struct service_request *sr, const struct lu_facts *lu)
{
  uint64_t limit;

  switch (sr->way) {
  case WAY_UNMAP:
    return lu->max_unmap_lba;
  case WAY_WRITE:
    limit = sr->map->transfer_limit < WRITE_LIMIT ? sr->map->transfer_limit
      : WRITE_LIMIT;
    return limit / lu->block_size;
  default:
    limit = (sr->way == WAY_SAME_UNMAP ? WRITE_SAME_UNMAP_LIMIT
             : WRITE_SAME_LIMIT) / lu->block_size;
    return lu->max_write_same > 0 && lu->max_write_same < limit
      ? lu->max_write_same : limit;
  }
}

/* The next batch. */
static bool
more (struct service_request *sr)
{
  struct lu_facts lu;
  uint64_t limit;
  unsigned n;

  if (sr->left == 0)
    return service_next_phase (sr, 0);
  map_get_facts (sr->map, &lu);
  limit = limit_of (sr, &lu);
  n = count_pieces (&lu, sr->lba, sr->left, limit);
  if (sr->way == WAY_WRITE && n > MAX_WRITES)
    n = MAX_WRITES;
  if (request_init (&sr->req, sr->map, sr->way == WAY_WRITE ? OP_WRITE
                    : sr->way == WAY_UNMAP ? OP_UNMAP : OP_WRITE_SAME,
                    n) == -1)
    return service_next_phase (sr, ENOMEM);
  sr->batch_lba = sr->lba;
  sr->batch_left = sr->left;
  sr->ndob = (sr->way == WAY_SAME || sr->way == WAY_SAME_UNMAP) && lu.ndob &&
    !sr->map->no_ndob;
  for (unsigned i = 0; i < n; ++i) {
    const uint32_t blocks = next_piece (&lu, sr->lba, sr->left, limit);

    prepare (sr, &lu, &sr->req.parts[i], blocks);
    sr->lba += blocks;
    sr->left -= blocks;
  }
  sr->step = tried;
  return true;
}

bool
service_trim (struct service_request *sr)
{
  struct lu_facts lu;
  int error;

  map_get_facts (sr->map, &lu);
  sr->way = WAY_UNMAP;
  if ((!lu_has_unmap (&lu) || sr->map->no_unmap) &&
      !next_way (sr, &lu, &error))
    return service_next_phase (sr, error);
  return more (sr);
}

bool
service_zero (struct service_request *sr)
{
  struct lu_facts lu;
  int error;

  map_get_facts (sr->map, &lu);
  sr->way = WAY_SAME_UNMAP;
  /* UNMAP alone is only advice; WRITE SAME with UNMAP leaves zeroes in any
   * case, by unmapping or by writing, where unmapped reads as zeroes. */
  if (!(sr->may_trim && lu_has_write_same_unmap (&lu) && lu.lbprz &&
        can_write_same (sr->map, &lu)) &&
      !next_way (sr, &lu, &error))
    return service_next_phase (sr, error);
  return more (sr);
}

/* ---- PRE-FETCH ----------------------------------------------------------------- */

static bool
prefetched (struct service_request *sr, int error)
{
  if (error == ENOTSUP || error == EINVAL) {
    /* Optional, and only advice. */
    sr->disk->no_prefetch = true;
    error = 0;
  }
  return service_fail (sr, error);
}

bool
service_cache (struct service_request *sr)
{
  const uint32_t bs = sr->map->facts.block_size;
  const uint64_t lba = sr->offset / bs;
  const uint64_t n = (sr->offset + sr->count + bs - 1) / bs - lba;

  if (sr->disk == NULL || sr->disk->no_prefetch)
    return service_fail (sr, 0);
  if (request_init (&sr->req, sr->map, OP_PREFETCH, 1) == -1)
    return service_fail (sr, ENOMEM);
  sr->req.part.lba = lba;
  sr->req.part.optional = true;
  command_prepare (&sr->req.part,
                   cdb_prefetch16 (sr->req.part.cdb, lba,
                                   n < UINT32_MAX ? n : UINT32_MAX),
                   SCSI_XFER_NONE, NULL, 0);
  sr->step = prefetched;
  return true;
}

/* ---- GET LBA STATUS ------------------------------------------------------------ */

/* Entries of one answer; commands of one request: a shorter answer is allowed,
 * and on a LUN in many pieces a whole one would keep the client waiting. */
#define LBA_ENTRIES 64
#define LBA_ANSWER (8 + 16 * LBA_ENTRIES)
#define LBA_COMMANDS 32

/* A refusal is one of its range: so many blocks are taken for data, and those
 * behind are asked for.  After so many in a row nothing is asked for a time. */
#define REFUSED_BLOCKS 2048
#define MOST_REFUSALS 8
#define STATUS_PAUSE 60.0       /* seconds */

static bool
status_is_off (const struct map *map)
{
  return map->status_at > 0 && engine_now () < map->status_at;
}

bool
map_can_extents (struct map *map)
{
  struct lu_facts lu;

  map_get_facts (map, &lu);
  return lu.lbpme && !status_is_off (map);
}

/* BLOCKS more from the last one on, cut to what was asked for. */
static bool
add_extent (struct service_request *sr, uint64_t blocks, uint32_t flags)
{
  struct service_extent *last =
    sr->nr_extents > 0 ? &sr->extents[sr->nr_extents - 1] : NULL;
  const uint32_t bs = sr->map->facts.block_size;
  uint64_t length;

  if (blocks > sr->left)
    blocks = sr->left;
  length = blocks * bs;
  if (last == NULL)             /* it may be asked for any byte */
    length -= sr->offset % bs;
  sr->lba += blocks;
  sr->left -= blocks;
  if (sr->left == 0)
    length -= (bs - (sr->offset + sr->count) % bs) % bs;
  if (last != NULL && last->flags == flags) {
    last->length += length;
    return true;
  }
  if (sr->nr_extents % LBA_ENTRIES == 0) {
    struct service_extent *p =
      reallocarray (sr->extents, sr->nr_extents + LBA_ENTRIES, sizeof *p);

    if (p == NULL)
      return false;
    sr->extents = p;
  }
  sr->extents[sr->nr_extents++] = (struct service_extent) { length, flags };
  return true;
}

static uint32_t
flags_of (const struct lu_facts *lu, unsigned provisioning)
{
  const uint32_t zero = lu->lbprz ? SERVICE_ZEROES : 0;

  return provisioning == 1 ? SERVICE_HOLE | zero
    : provisioning == 2 ? zero  /* anchored: allocated, no data */
    : 0;
}

static bool
unknown (struct service_request *sr)
{
  return service_fail (sr, add_extent (sr, sr->left, 0) ? 0 : ENOMEM);
}

static bool ask (struct service_request *sr);

static bool
refused (struct service_request *sr)
{
  struct map *map = sr->map;

  if (++map->status_refusals >= MOST_REFUSALS) {
    map->status_refusals = 0;
    map->status_at = engine_now () + STATUS_PAUSE;
    return unknown (sr);
  }
  if (!add_extent (sr, REFUSED_BLOCKS - sr->lba % REFUSED_BLOCKS, 0))
    return service_fail (sr, ENOMEM);
  return sr->left > 0 ? ask (sr) : service_fail (sr, 0);
}

static bool
answered (struct service_request *sr, int error)
{
  const uint32_t residual = sr->req.residual;
  const uint32_t len = residual < LBA_ANSWER ? LBA_ANSWER - residual : 0;
  struct lba_status found[LBA_ENTRIES];
  struct lu_facts lu;
  uint64_t at = sr->lba;
  int n, used = 0;

  if (error == EINVAL || error == ENOTSUP)
    return refused (sr);
  if (error != 0)
    return service_fail (sr, error);
  map_get_facts (sr->map, &lu);
  n = parse_lba_status (sr->bounce, len, found, LBA_ENTRIES);
  /* SBC-3 5.6.2: contiguous, and the first one contains the LBA asked for.
   * A target that does otherwise is not believed. */
  for (int i = 0; i < n && sr->left > 0; ++i) {
    struct lba_status s = found[i];

    if (s.blocks == 0)
      continue;
    if (used == 0 && s.lba < at && at - s.lba < s.blocks) {
      s.blocks -= at - s.lba;
      s.lba = at;
    }
    if (s.lba != at)
      break;
    at += s.blocks;
    used++;
    if (!add_extent (sr, s.blocks, flags_of (&lu, s.provisioning)))
      return service_fail (sr, ENOMEM);
  }
  if (used == 0)
    return refused (sr);
  sr->map->status_refusals = 0;
  if (sr->left == 0 || ++sr->commands == LBA_COMMANDS ||
      (sr->one && sr->nr_extents > 1)) {
    if (sr->one)
      sr->nr_extents = 1;
    return service_fail (sr, 0);
  }
  return ask (sr);
}

static bool
ask (struct service_request *sr)
{
  if (request_init (&sr->req, sr->map, OP_LBA_STATUS, 1) == -1)
    return service_fail (sr, ENOMEM);
  memset (sr->bounce, 0, LBA_ANSWER);
  sr->req.part.lba = sr->lba;
  sr->req.part.optional = true;
  sr->req.part.may_be_short = true;
  command_prepare (&sr->req.part,
                   cdb_get_lba_status (sr->req.part.cdb, sr->lba, LBA_ANSWER),
                   SCSI_XFER_READ, sr->bounce, LBA_ANSWER);
  sr->step = answered;
  return true;
}

bool
service_extents (struct service_request *sr)
{
  const uint32_t bs = sr->map->facts.block_size;

  sr->lba = sr->offset / bs;
  sr->left = (sr->offset + sr->count + bs - 1) / bs - sr->lba;
  if (!map_can_extents (sr->map))
    return unknown (sr);        /* that is "data" */
  sr->bounce = malloc (LBA_ANSWER);
  if (sr->bounce == NULL)
    return service_fail (sr, ENOMEM);
  return ask (sr);
}
