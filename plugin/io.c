/* SPDX-License-Identifier: BSD-3-Clause */
/* What the disk is, and reading and writing it. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>

#include "stream.h"

/* Requests are split anyway; this only bounds the client's buffers. */
#define MAXIMUM_BLOCK_SIZE (32 * 1024 * 1024)

int64_t
mpiscsi_get_size (void *handle)
{
  const struct handle *h = handle;

  /* lu_unusable has refused what does not fit. */
  return h->facts.blocks * h->facts.block_size;
}

int
mpiscsi_can_write (void *handle)
{
  const struct handle *h = handle;

  return !h->readonly && !h->facts.write_protect;
}

int
mpiscsi_can_flush (void *handle)
{
  (void) handle;
  return 1;
}

int
mpiscsi_can_fua (void *handle)
{
  const struct handle *h = handle;

  /* Without a volatile cache each write is forced to the medium anyway. */
  if (h->facts.dpofua || (h->facts.has_caching_page && !h->facts.wce))
    return NBDKIT_FUA_NATIVE;
  return NBDKIT_FUA_EMULATE;
}

/* True because there is no cache here, each connection uses the same paths,
 * and SYNCHRONIZE CACHE covers all of the LUN's volatile cache, whoever wrote
 * (SBC-3 5.22): a flush on one connection makes durable what was acknowledged
 * on any other. */
int
mpiscsi_can_multi_conn (void *handle)
{
  (void) handle;
  return 1;
}

int
mpiscsi_is_rotational (void *handle)
{
  const struct handle *h = handle;

  return h->facts.rotation_rate > 1;
}

int
mpiscsi_block_size (void *handle, uint32_t *minimum, uint32_t *preferred,
                    uint32_t *maximum)
{
  const struct lu_facts *f = &((struct handle *) handle)->facts;
  /* NBD wants a power of 2 for it, and at most the maximum. */
  uint32_t best = f->physical_block_size > 4096 &&
    f->physical_block_size <= MAXIMUM_BLOCK_SIZE ? f->physical_block_size
                                                 : 4096;
  const uint64_t granularity =
    (uint64_t) f->optimal_granularity * f->block_size;

  if (best < f->block_size)
    best = f->block_size;
  if (granularity > best && granularity <= 1024 * 1024 &&
      (granularity & (granularity - 1)) == 0)
    best = granularity;
  *minimum = f->block_size;
  *preferred = best;
  *maximum = MAXIMUM_BLOCK_SIZE;
  return 0;
}

static int
check_aligned (const struct handle *h, uint32_t count, uint64_t offset)
{
  const uint32_t bs = h->facts.block_size;

  if (count % bs == 0 && offset % bs == 0)
    return 0;
  /* Read-modify-write here would race with other initiators. */
  plugin_error ("request at %" PRIu64 " of %" PRIu32 " bytes is not aligned "
                "to the LUN's %" PRIu32 " byte blocks: use "
                "--filter=blocksize minblock=%" PRIu32, offset, count, bs, bs);
  nbdkit_set_error (EINVAL);
  return -1;
}

const char *
io_error_text (int err)
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

static int
failed (const char *what)
{
  const int err = errno;
  const char *text = io_error_text (err);

  if (text != NULL)
    plugin_error ("%s: %s", what, text);
  else
    nbdkit_debug ("%s: not permitted", what);
  nbdkit_set_error (err);
  return -1;
}

int
mpiscsi_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
               uint32_t flags)
{
  struct handle *h = handle;

  (void) flags;
  stream_called (h, NBD_CMD_READ, count, offset);
  if (check_aligned (h, count, offset) == -1)
    return -1;
  return map_read (h->map, buf, count, offset) == -1 ? failed ("read") : 0;
}

static int
flush (struct handle *h)
{
  unsigned losses = h->losses;
  const int r = map_flush_told (h->map, &losses);

  h->losses = losses;
  return r == -1 ? failed ("flush") : 0;
}

int
mpiscsi_flush (void *handle, uint32_t flags)
{
  struct handle *h = handle;

  (void) flags;
  return flush (h);
}

int
mpiscsi_can_trim (void *handle)
{
  const struct handle *h = handle;

  return lu_can_trim (&h->facts);
}

/* UNMAP and WRITE SAME have no FUA bit: what FUA asks for is a flush after
 * them (SBC-3 5.28, 5.40).  The handle's can_fua may say "native" for writes,
 * and that obliges here too. */
static int
force (struct handle *h, uint32_t flags)
{
  struct lu_facts now;

  if (!(flags & NBDKIT_FLAG_FUA))
    return 0;
  /* As it is now: somebody may have enabled the cache since we promised. */
  map_get_facts (h->map, &now);
  if (now.has_caching_page && !now.wce)
    return 0;
  return flush (h);
}

int
mpiscsi_pwrite (void *handle, const void *buf, uint32_t count,
                uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;
  const bool fua = (flags & NBDKIT_FLAG_FUA) && h->facts.dpofua;

  stream_called (h, NBD_CMD_WRITE, count, offset);
  if (check_aligned (h, count, offset) == -1)
    return -1;
  if (map_write (h->map, buf, count, offset, fua) == -1)
    return failed ("write");
  return fua ? 0 : force (h, flags);
}

int
mpiscsi_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;

  if (check_aligned (h, count, offset) == -1)
    return -1;
  /* A LUN that has come to refuse it: trim is only advice. */
  if (map_trim (h->map, count, offset) == -1 && errno != ENOTSUP)
    return failed ("trim");
  return force (h, flags);
}

int
mpiscsi_can_zero (void *handle)
{
  (void) handle;
  /* Tried; when the LUN refuses, ENOTSUP makes nbdkit write zeroes. */
  return 1;
}

int
mpiscsi_can_fast_zero (void *handle)
{
  (void) handle;
  /* That is: a request for a fast zero gets a quick answer. */
  return 1;
}

int
mpiscsi_zero (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct handle *h = handle;

  if (check_aligned (h, count, offset) == -1)
    return -1;
  if (map_zero (h->map, count, offset, flags & NBDKIT_FLAG_MAY_TRIM,
                flags & NBDKIT_FLAG_FAST_ZERO) == -1) {
    if (errno != ENOTSUP)
      return failed ("zero");
    nbdkit_set_error (ENOTSUP);
    return -1;
  }
  return force (h, flags);
}

int
mpiscsi_can_extents (void *handle)
{
  const struct handle *h = handle;

  return map_can_extents (h->map);
}

int
mpiscsi_extents (void *handle, uint32_t count, uint64_t offset,
                 uint32_t flags, struct nbdkit_extents *extents)
{
  struct handle *h = handle;
  const uint32_t bs = h->facts.block_size;
  /* Block status may be asked for any byte. */
  uint64_t lba = offset / bs;
  const uint64_t end = (offset + count + bs - 1) / bs;

  /* A shorter answer is allowed, and on a LUN in many pieces a whole one
   * would keep the client waiting. */
  for (int commands = 0; lba < end && commands < 32; ++commands) {
    struct lba_status status[64];
    const int n = map_lba_status (h->map, lba, end - lba, status, 64);

    if (n == -1) {
      if (errno != ENOTSUP)
        return failed ("block status");
      /* Unknown is "data". */
      return nbdkit_add_extent (extents, lba * bs, (end - lba) * bs, 0);
    }
    /* Only the last extent may go on behind what was asked for. */
    for (int i = 0; i < n && lba < end; ++i) {
      uint32_t type = 0;

      if (status[i].provisioning == 1)
        type = NBDKIT_EXTENT_HOLE | (h->facts.lbprz ? NBDKIT_EXTENT_ZERO : 0);
      else if (status[i].provisioning == 2 && h->facts.lbprz)
        type = NBDKIT_EXTENT_ZERO;      /* anchored: allocated, no data */
      if (nbdkit_add_extent (extents, status[i].lba * bs,
                             (uint64_t) status[i].blocks * bs, type) == -1)
        return -1;
      lba = status[i].lba + status[i].blocks;
    }
    if (flags & NBDKIT_FLAG_REQ_ONE)
      break;
  }
  return 0;
}
