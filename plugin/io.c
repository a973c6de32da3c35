/* SPDX-License-Identifier: BSD-3-Clause */
/* What the disk is, and reading and writing it. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>

#include "plugin.h"

int64_t
mpiscsi_get_size (void *handle)
{
  const struct handle *h = handle;

  /* lu_unusable has refused what does not fit. */
  return h->client.facts.blocks * h->client.facts.block_size;
}

int
mpiscsi_can_write (void *handle)
{
  const struct handle *h = handle;

  return service_client_writable (&h->client);
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
  if (h->client.facts.dpofua || (h->client.facts.has_caching_page && !h->client.facts.wce))
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

  return h->client.facts.rotation_rate > 1;
}

int
mpiscsi_block_size (void *handle, uint32_t *minimum, uint32_t *preferred,
                    uint32_t *maximum)
{
  const struct handle *h = handle;

  service_block_sizes (&h->client.facts, minimum, preferred, maximum);
  return 0;
}

static int
check_aligned (const struct handle *h, uint32_t count, uint64_t offset)
{
  const uint32_t bs = h->client.facts.block_size;

  if (count % bs == 0 && offset % bs == 0)
    return 0;
  /* Read-modify-write here would race with other initiators. */
  plugin_error ("request at %" PRIu64 " of %" PRIu32 " bytes is not aligned "
                "to the LUN's %" PRIu32 " byte blocks: use "
                "--filter=blocksize minblock=%" PRIu32, offset, count, bs, bs);
  nbdkit_set_error (EINVAL);
  return -1;
}

static int
failed (const char *what)
{
  const int err = errno;
  const char *text = service_error_text (err);

  if (err == ENOTSUP)
    nbdkit_debug ("%s: would not be fast", what);
  else if (text != NULL)
    plugin_error ("%s: %s", what, text);
  else
    nbdkit_debug ("%s: not permitted", what);
  nbdkit_set_error (err);
  return -1;
}

/* Waits for it. */
static int
run (struct handle *h, struct service_request *sr, const char *what)
{
  sr->map = h->client.map;
  sr->losses = &h->client.losses;
  sr->share = &h->client.share;
  if (sr->op != SERVICE_FLUSH && sr->op != SERVICE_EXTENTS &&
      check_aligned (h, sr->count, sr->offset) == -1)
    return -1;
  return service_run (sr) == -1 ? failed (what) : 0;
}

int
mpiscsi_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
               uint32_t flags)
{
  struct service_request sr = {
    .op = SERVICE_READ, .buf = buf, .count = count, .offset = offset,
  };

  (void) flags;
  return run (handle, &sr, "read");
}

int
mpiscsi_pwrite (void *handle, const void *buf, uint32_t count,
                uint64_t offset, uint32_t flags)
{
  struct service_request sr = {
    .op = SERVICE_WRITE, .buf = (void *) buf, .count = count,
    .offset = offset, .fua = flags & NBDKIT_FLAG_FUA,
  };

  return run (handle, &sr, "write");
}

int
mpiscsi_flush (void *handle, uint32_t flags)
{
  struct service_request sr = { .op = SERVICE_FLUSH };

  (void) flags;
  return run (handle, &sr, "flush");
}

int
mpiscsi_can_trim (void *handle)
{
  const struct handle *h = handle;

  return lu_can_trim (&h->client.facts);
}

int
mpiscsi_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct service_request sr = {
    .op = SERVICE_TRIM, .count = count, .offset = offset,
    .fua = flags & NBDKIT_FLAG_FUA,
  };

  return run (handle, &sr, "trim");
}

int
mpiscsi_can_zero (void *handle)
{
  (void) handle;
  /* Whatever the LUN can do; if it must be, zeroes are written. */
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
  struct service_request sr = {
    .op = SERVICE_ZERO, .count = count, .offset = offset,
    .fua = flags & NBDKIT_FLAG_FUA,
    .may_trim = flags & NBDKIT_FLAG_MAY_TRIM,
    .fast = flags & NBDKIT_FLAG_FAST_ZERO,
  };

  return run (handle, &sr, "zero");
}

int
mpiscsi_can_extents (void *handle)
{
  const struct handle *h = handle;

  return map_can_extents (h->client.map);
}

int
mpiscsi_extents (void *handle, uint32_t count, uint64_t offset,
                 uint32_t flags, struct nbdkit_extents *extents)
{
  struct service_request sr = {
    .op = SERVICE_EXTENTS, .count = count, .offset = offset,
    .one = flags & NBDKIT_FLAG_REQ_ONE,
  };
  int r = run (handle, &sr, "block status");

  /* SERVICE_HOLE and SERVICE_ZEROES are nbdkit's, too. */
  for (unsigned i = 0; r == 0 && i < sr.nr_extents; ++i) {
    r = nbdkit_add_extent (extents, offset, sr.extents[i].length,
                           sr.extents[i].flags);
    offset += sr.extents[i].length;
  }
  service_end (&sr);
  return r;
}
