/* SPDX-License-Identifier: BSD-3-Clause */
/* A front end's request, from start to end: one step after the other, each of
 * which is a request of the engine's (service.h). */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "service/service-internal.h"

/* ---- steps ------------------------------------------------------------------------- */

static void
finish (struct service_request *sr)
{
  if (sr->in_range)
    ranges_leave (&sr->disk->ranges, sr);
  free (sr->bounce);
  sr->bounce = NULL;
  if (sr->abandoned && sr->error == 0)
    sr->error = EIO;
  if (!sr->run)
    sr->done (sr);
}

static void completed (struct request *req);

static void
advance (struct service_request *sr, int error)
{
  for (;;) {
    if (sr->abandoned && error == 0)
      error = ECANCELED;
    if (!sr->step (sr, error)) {
      if (!sr->waits)
        finish (sr);
      return;
    }
    sr->req.share = sr->share;
    if (!sr->run) {
      sr->req.done = completed;
      sr->req.next = NULL;
      requests_start (&sr->req);
      return;
    }
    request_run (&sr->req);
    error = request_end (&sr->req);
  }
}

static void
completed (struct request *req)
{
  while (req != NULL) {
    struct service_request *const sr = (struct service_request *) req;

    req = req->next;
    advance (sr, request_end (&sr->req));
  }
}

void
service_continue (struct service_request *sr)
{
  sr->waits = false;
  advance (sr, 0);
}

bool
service_fail (struct service_request *sr, int error)
{
  sr->error = error == ECANCELED ? EIO : error;
  return false;
}

/* ---- flush ------------------------------------------------------------------------- */

static bool
flushed (struct service_request *sr, int error)
{
  if (error == ENOTSUP || error == EINVAL) {
    struct lu_facts lu;

    /* SBC-3 5.21: the command is optional.  Who does not know it has nothing
     * to flush, unless he says that he has. */
    map_get_facts (sr->map, &lu);
    error = lu.has_caching_page && lu.wce ? EIO : 0;
  }
  if (error == 0 && sr->losses != NULL) {
    /* After it, since the news may have come with its answer. */
    const unsigned now = map_losses (sr->map);

    if (now != *sr->losses) {
      *sr->losses = now;
      error = EIO;
    }
  }
  return service_fail (sr, error);
}

/* Also sent to a LUN that says it has no volatile cache: it answers at once,
 * and somebody may have enabled the cache since. */
static bool
flush (struct service_request *sr)
{
  struct lu_facts lu;

  map_get_facts (sr->map, &lu);
  if (request_init (&sr->req, sr->map, OP_FLUSH, 1) == -1)
    return service_fail (sr, errno);
  sr->req.part.optional = true;
  command_prepare (&sr->req.part,
                   cdb_synchronize_cache (sr->req.part.cdb, 0, 0,
                                          lu.blocks > UINT32_MAX),
                   SCSI_XFER_NONE, NULL, 0);
  sr->step = flushed;
  return true;
}

/* What FUA asks for, where the command itself has not done it: UNMAP and WRITE
 * SAME have no such bit (SBC-3 5.28, 5.40). */
static bool
force (struct service_request *sr)
{
  struct lu_facts lu;

  if (!sr->fua)
    return service_fail (sr, 0);
  /* As it is now: somebody may have enabled the cache since we promised. */
  map_get_facts (sr->map, &lu);
  if ((sr->op == SERVICE_WRITE && !sr->unforced) ||
      (lu.has_caching_page && !lu.wce))
    return service_fail (sr, 0);
  return flush (sr);
}

/* ---- whole blocks, and half ones at both ends -------------------------------------- */

static bool
transfer (struct service_request *sr, void *buf, uint64_t count,
          uint64_t offset, bool write)
{
  bool fua = write && sr->fua;

  if (fua) {
    struct lu_facts lu;

    map_get_facts (sr->map, &lu);
    fua = lu.dpofua;
    sr->unforced |= !fua;
  }
  if (request_transfer (&sr->req, sr->map, buf, count, offset, write, fua) == -1)
    return service_fail (sr, errno);
  return true;
}

static bool
last_step (struct service_request *sr, int error)
{
  return service_fail (sr, error);
}

static bool
patch_read (struct service_request *sr, int error)
{
  const unsigned i = sr->phase - 2;
  const uint32_t bs = sr->map->facts.block_size;
  const uint32_t n = sr->patch[i].to - sr->patch[i].from;

  if (error != 0)
    return service_fail (sr, error);
  if (sr->patch[i].data != NULL)
    memcpy ((uint8_t *) sr->bounce + sr->patch[i].from, sr->patch[i].data, n);
  else
    memset ((uint8_t *) sr->bounce + sr->patch[i].from, 0, n);
  sr->step = service_next_phase;
  return transfer (sr, sr->bounce, bs, sr->patch[i].lba * bs, true);
}

static bool
start_middle (struct service_request *sr)
{
  const uint32_t bs = sr->map->facts.block_size;

  sr->lba = sr->middle / bs;
  switch (sr->op) {
  case SERVICE_TRIM: return service_trim (sr);
  case SERVICE_ZERO: return service_zero (sr);
  default: break;
  }
  sr->step = service_next_phase;
  return transfer (sr, (char *) sr->buf + (sr->middle - sr->offset),
                   sr->left * bs, sr->middle, true);
}

bool
service_next_phase (struct service_request *sr, int error)
{
  const uint32_t bs = sr->map->facts.block_size;

  if (error != 0)
    return service_fail (sr, error);
  while (sr->phase < 3) {
    const unsigned phase = sr->phase++;

    if (phase == 0) {
      if (sr->left > 0)
        return start_middle (sr);
    }
    else if (sr->patch[phase - 1].from < sr->patch[phase - 1].to) {
      if (sr->bounce == NULL)
        sr->bounce = malloc (bs);
      if (sr->bounce == NULL)
        return service_fail (sr, ENOMEM);
      sr->step = patch_read;
      return transfer (sr, sr->bounce, bs, sr->patch[phase - 1].lba * bs,
                       false);
    }
  }
  return force (sr);
}

static void
plan_patch (struct service_request *sr, unsigned i, uint64_t from, uint64_t to)
{
  const uint32_t bs = sr->map->facts.block_size;

  if (from >= to || sr->op == SERVICE_TRIM)     /* half a block: not advised */
    return;
  sr->patch[i].lba = from / bs;
  sr->patch[i].from = from % bs;
  sr->patch[i].to = sr->patch[i].from + (to - from);
  if (sr->op == SERVICE_WRITE)
    sr->patch[i].data = (const uint8_t *) sr->buf + (from - sr->offset);
  sr->patches = true;
}

/* Write, trim, zero. */
static bool
modify (struct service_request *sr)
{
  const uint32_t bs = sr->map->facts.block_size;
  const uint64_t end = sr->offset + sr->count;
  uint64_t first = (sr->offset + bs - 1) / bs * bs, last = end / bs * bs;

  if (first >= last)            /* no whole block: one or two halves */
    first = last = sr->offset / bs * bs == last ? end : last;
  sr->middle = first;
  sr->left = (last - first) / bs;
  plan_patch (sr, 0, sr->offset, first < end ? first : end);
  plan_patch (sr, 1, last, end);
  if (sr->disk != NULL) {
    sr->range_from = sr->offset / bs * bs;
    sr->range_to = (end + bs - 1) / bs * bs;
    if (!ranges_take (&sr->disk->ranges, sr)) {
      sr->waits = true;
      sr->step = service_next_phase;
      return false;
    }
  }
  return service_next_phase (sr, 0);
}

static bool
bounced (struct service_request *sr, int error)
{
  const uint32_t bs = sr->map->facts.block_size;

  if (error == 0)
    memcpy (sr->buf, (char *) sr->bounce + sr->offset % bs, sr->count);
  return service_fail (sr, error);
}

static bool
read_half_blocks (struct service_request *sr)
{
  const uint32_t bs = sr->map->facts.block_size;
  const uint64_t from = sr->offset / bs * bs;
  const uint64_t to = (sr->offset + sr->count + bs - 1) / bs * bs;

  sr->bounce = malloc (to - from);
  if (sr->bounce == NULL)
    return service_fail (sr, ENOMEM);
  sr->step = bounced;
  return transfer (sr, sr->bounce, to - from, from, false);
}

/* ---- capacity ---------------------------------------------------------------------- */

#define CAPACITY_ANSWER 32

static bool
capacity_read (struct service_request *sr, int error)
{
  struct lu_facts seen;

  lu_facts_init (&seen);
  if (error == 0 && sr->req.residual < CAPACITY_ANSWER &&
      parse_read_capacity16 (&seen, sr->bounce,
                             CAPACITY_ANSWER - sr->req.residual) &&
      seen.block_size == sr->map->facts.block_size)
    sr->blocks = seen.blocks;
  return service_fail (sr, error);
}

static bool
read_capacity (struct service_request *sr)
{
  sr->bounce = calloc (1, CAPACITY_ANSWER);
  if (sr->bounce == NULL || request_init (&sr->req, sr->map, OP_READ, 1) == -1)
    return service_fail (sr, ENOMEM);
  sr->req.part.optional = true;
  sr->req.part.may_be_short = true;
  command_prepare (&sr->req.part,
                   cdb_read_capacity16 (sr->req.part.cdb, CAPACITY_ANSWER),
                   SCSI_XFER_READ, sr->bounce, CAPACITY_ANSWER);
  sr->step = capacity_read;
  return true;
}

/* ---- start and end ----------------------------------------------------------------- */

static bool
first_step (struct service_request *sr, int error)
{
  const uint32_t bs = sr->map->facts.block_size;
  const bool whole = (sr->offset | sr->count) % bs == 0;

  if (error != 0)
    return service_fail (sr, error);
  switch (sr->op) {
  case SERVICE_FLUSH: return flush (sr);
  case SERVICE_CAPACITY: return read_capacity (sr);
  case SERVICE_EXTENTS: return service_extents (sr);
  default: break;
  }
  if (sr->count == 0)
    return service_fail (sr, 0);
  if (!whole && sr->disk == NULL)
    return service_fail (sr, EINVAL);
  switch (sr->op) {
  case SERVICE_READ:
    sr->step = last_step;
    return whole ? transfer (sr, sr->buf, sr->count, sr->offset, false)
      : read_half_blocks (sr);
  case SERVICE_CACHE: return service_cache (sr);
  default: return modify (sr);
  }
}

void
service_prepare (struct service_request *sr)
{
  memset ((char *) sr + sizeof sr->req, 0, sizeof *sr - sizeof sr->req);
}

void
service_start (struct service_request *sr)
{
  sr->step = first_step;
  advance (sr, 0);
}

int
service_run (struct service_request *sr)
{
  sr->run = true;
  service_start (sr);
  if (sr->error != 0) {
    errno = sr->error;
    return -1;
  }
  return 0;
}

void
service_abandon (struct service_request *sr)
{
  if (sr->abandoned)
    return;
  sr->abandoned = true;
  if (sr->waits) {
    sr->waits = false;
    advance (sr, ECANCELED);
  }
  else
    request_cancel (&sr->req);
}

void
service_end (struct service_request *sr)
{
  free (sr->extents);
  sr->extents = NULL;
}

const char *
service_error_text (int err)
{
  switch (err) {
  case EPERM:
    /* Another host's reservation, or write protection: each request of a
     * client that goes on fails, and the server has logged it once. */
    return NULL;
  case EIO: return "I/O error, or no path left";
  case ESHUTDOWN: return "server is shutting down";
  case ENOSPC: return "the thin provisioned LUN has no space left";
  case ENOMEM: return "out of memory";
  default: return "not possible";
  }
}

/* ---- for those who may sleep ------------------------------------------------------- */

static int
run (struct service_request *sr, struct map *map, enum service_op op,
     void *buf, uint32_t count, uint64_t offset)
{
  sr->map = map;
  sr->op = op;
  sr->buf = buf;
  sr->count = count;
  sr->offset = offset;
  return service_run (sr);
}

int
map_read (struct map *map, void *buf, uint32_t count, uint64_t offset)
{
  struct service_request sr = { 0 };

  return run (&sr, map, SERVICE_READ, buf, count, offset);
}

int
map_write (struct map *map, const void *buf, uint32_t count, uint64_t offset,
           bool fua)
{
  struct service_request sr = { .fua = fua };

  return run (&sr, map, SERVICE_WRITE, (void *) buf, count, offset);
}

int
map_flush (struct map *map)
{
  struct service_request sr = { 0 };

  return run (&sr, map, SERVICE_FLUSH, NULL, 0, 0);
}

int
map_flush_told (struct map *map, unsigned *losses)
{
  _Atomic unsigned known = *losses;
  struct service_request sr = { .losses = &known };
  const int r = run (&sr, map, SERVICE_FLUSH, NULL, 0, 0);

  *losses = known;
  return r;
}

int
map_trim (struct map *map, uint32_t count, uint64_t offset)
{
  struct service_request sr = { 0 };

  return run (&sr, map, SERVICE_TRIM, NULL, count, offset);
}

int
map_zero (struct map *map, uint32_t count, uint64_t offset, bool may_trim,
          bool fast)
{
  struct service_request sr = { .may_trim = may_trim, .fast = fast };

  return run (&sr, map, SERVICE_ZERO, NULL, count, offset);
}

unsigned
map_losses (struct map *map)
{
  unsigned losses;

  engine_enter (map->engine);
  losses = map->losses;
  engine_leave (map->engine);
  return losses;
}
