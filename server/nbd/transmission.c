/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests and replies: see transmission.h. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "nbd/transmission.h"

/* A payload that is refused is read all the same, up to so many bytes; with
 * more the connection is closed. */
#define MAX_SKIP (128u * 1024 * 1024)

#define CONTEXT_ID 1u           /* of base:allocation, as the handshake said */

void
transmission_start (struct transmission *t, const struct handshake *h)
{
  memset (t, 0, sizeof *t);
  t->size = h->export.size;
  t->block_size = h->export.minimum;
  t->maximum = h->export.maximum;
  t->export_flags = handshake_flags (h, &h->export);
  t->strict = h->export.strict;
  t->structured = h->structured;
  t->extended = h->extended;
  t->meta = h->meta;
}

/* ---- requests -------------------------------------------------------------------- */

static bool
parse (struct transmission *t, const uint8_t *p)
{
  struct nbd_request *r = &t->now;

  if (get_be32 (p) != (t->extended ? NBD_EXTENDED_REQUEST_MAGIC
                       : NBD_REQUEST_MAGIC))
    return false;
  r->flags = get_be16 (p + 4);
  r->type = get_be16 (p + 6);
  memcpy (&r->cookie, p + 8, sizeof r->cookie);
  r->offset = get_be64 (p + 16);
  r->length = t->extended ? get_be64 (p + 24) : get_be32 (p + 24);
  return true;
}

/* Flags that the command may have.  FUA is good, and means nothing, with those
 * that do not write. */
static unsigned
good_flags (const struct transmission *t, unsigned type)
{
  switch (type) {
  case NBD_CMD_READ:
    return NBD_CMD_FLAG_FUA |
      (t->structured || t->extended ? NBD_CMD_FLAG_DF : 0);
  case NBD_CMD_WRITE:
    return NBD_CMD_FLAG_FUA | (t->extended ? NBD_CMD_FLAG_PAYLOAD_LEN : 0);
  case NBD_CMD_WRITE_ZEROES:
    return NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO;
  case NBD_CMD_BLOCK_STATUS:
    return NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_REQ_ONE |
      (t->export_flags & NBD_FLAG_BLOCK_STATUS_PAYLOAD
       ? NBD_CMD_FLAG_PAYLOAD_LEN : 0);
  default:
    return NBD_CMD_FLAG_FUA;
  }
}

static bool
modifies (unsigned type)
{
  return type == NBD_CMD_WRITE || type == NBD_CMD_TRIM ||
    type == NBD_CMD_WRITE_ZEROES;
}

static uint32_t
check_range (const struct transmission *t)
{
  const struct nbd_request *r = &t->now;

  if (r->length == 0)
    return NBD_EINVAL;
  if (r->offset > t->size || r->length > t->size - r->offset)
    return r->type == NBD_CMD_WRITE || r->type == NBD_CMD_WRITE_ZEROES
      ? NBD_ENOSPC : NBD_EINVAL;
  if (t->strict && (modifies (r->type) || r->type == NBD_CMD_READ) &&
      (r->offset | r->length) % t->block_size != 0)
    return NBD_EINVAL;
  if ((r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE) &&
      r->length > t->maximum)
    return t->extended ? NBD_EOVERFLOW : NBD_EINVAL;
  return 0;
}

static uint32_t
check (const struct transmission *t)
{
  const struct nbd_request *r = &t->now;

  if (r->flags & ~good_flags (t, r->type))
    return NBD_EINVAL;
  switch (r->type) {
  case NBD_CMD_FLUSH:
    return 0;
  case NBD_CMD_WRITE:
    if (t->extended && !(r->flags & NBD_CMD_FLAG_PAYLOAD_LEN))
      return NBD_EINVAL;
    break;
  case NBD_CMD_TRIM:
    if (!(t->export_flags & NBD_FLAG_SEND_TRIM) &&
        !(t->export_flags & NBD_FLAG_READ_ONLY))
      return NBD_EINVAL;
    break;
  case NBD_CMD_BLOCK_STATUS:
    if (!t->meta)
      return NBD_EINVAL;
    if (r->flags & NBD_CMD_FLAG_PAYLOAD_LEN)
      return t->payload < 8 || t->payload > sizeof t->filter ||
        t->payload % 4 != 0 ? NBD_EINVAL : 0;   /* the range comes with it */
    break;
  case NBD_CMD_READ: case NBD_CMD_CACHE: case NBD_CMD_WRITE_ZEROES:
    break;
  default:
    return NBD_EINVAL;
  }
  if (modifies (r->type) && (t->export_flags & NBD_FLAG_READ_ONLY))
    return NBD_EPERM;
  return check_range (t);
}

/* The payload of a block status request: its length, and which contexts. */
static void
apply_filter (struct transmission *t)
{
  unsigned wanted = 0;

  t->now.length = get_be64 (t->filter);
  for (size_t at = 8; at < t->payload; at += 4)
    if (get_be32 (t->filter + at) != CONTEXT_ID || ++wanted > 1)
      t->error = NBD_EINVAL;    /* not known, or twice */
  t->no_status = wanted == 0;
  if (t->error == 0)
    t->error = check_range (t);
}

static bool
has_payload (const struct transmission *t)
{
  return t->extended ? t->now.flags & NBD_CMD_FLAG_PAYLOAD_LEN
    : t->now.type == NBD_CMD_WRITE;
}

static void
begin (struct transmission *t)
{
  t->payload = has_payload (t) ? t->now.length : 0;
  t->got = 0;
  t->no_status = false;
  t->error = check (t);
  t->state = t->payload > MAX_SKIP ? TRANSMISSION_BAD
    : t->now.type == NBD_CMD_DISC ? TRANSMISSION_DISC : TRANSMISSION_BEGUN;
}

static void
filled (struct transmission *t)
{
  if (t->got < t->payload)
    return;
  if (t->to == t->filter && t->error == 0)
    apply_filter (t);
  t->state = TRANSMISSION_READY;
}

void
transmission_accept (struct transmission *t, void *to)
{
  t->to = to;
  if (t->now.type == NBD_CMD_BLOCK_STATUS && t->payload > 0 && t->error == 0)
    t->to = t->filter;
  t->state = TRANSMISSION_PAYLOAD;
  filled (t);
}

uint8_t *
transmission_space (const struct transmission *t, size_t *n)
{
  *n = t->payload - t->got;
  return t->to != NULL ? t->to + t->got : NULL;
}

void
transmission_filled (struct transmission *t, size_t n)
{
  t->got += n;
  filled (t);
}

void
transmission_taken (struct transmission *t)
{
  t->to = NULL;
  t->state = TRANSMISSION_HEADER;
}

size_t
transmission_input (struct transmission *t, const uint8_t *in, size_t n)
{
  const size_t header = t->extended ? NBD_EXTENDED_REQUEST_SIZE
    : NBD_REQUEST_SIZE;

  if (t->state == TRANSMISSION_HEADER && n >= header) {
    if (!parse (t, in)) {
      t->state = TRANSMISSION_BAD;
      return n;
    }
    begin (t);
    return header;
  }
  if (t->state == TRANSMISSION_PAYLOAD && n > 0) {
    if (n > t->payload - t->got)
      n = t->payload - t->got;
    if (t->to != NULL)
      memcpy (t->to + t->got, in, n);
    transmission_filled (t, n);
    return n;
  }
  return 0;
}

bool
nbd_request_is_read (const struct nbd_request *r)
{
  return r->type == NBD_CMD_READ;
}

/* ---- replies --------------------------------------------------------------------- */

uint32_t
nbd_error (int err)
{
  switch (err) {
  case 0: return 0;
  case EPERM: return NBD_EPERM;
  case EIO: return NBD_EIO;
  case ENOMEM: return NBD_ENOMEM;
  case ENOSPC: return NBD_ENOSPC;
  case ENOTSUP: return NBD_ENOTSUP;
  case ESHUTDOWN: return NBD_ESHUTDOWN;
  default: return NBD_EINVAL;
  }
}

static size_t
put_simple (const struct nbd_request *r, uint32_t error, uint8_t *p)
{
  put_be32 (p, NBD_SIMPLE_REPLY_MAGIC);
  put_be32 (p + 4, error);
  memcpy (p + 8, &r->cookie, sizeof r->cookie);
  return 16;
}

/* The only chunk, and its payload of N bytes. */
static size_t
put_chunk (const struct transmission *t, const struct nbd_request *r,
           uint16_t type, uint64_t n, uint8_t *p)
{
  put_be32 (p, t->extended ? NBD_EXTENDED_REPLY_MAGIC
            : NBD_STRUCTURED_REPLY_MAGIC);
  put_be16 (p + 4, NBD_REPLY_FLAG_DONE);
  put_be16 (p + 6, type);
  memcpy (p + 8, &r->cookie, sizeof r->cookie);
  if (!t->extended) {
    put_be32 (p + 16, n);
    return 20;
  }
  put_be64 (p + 16, r->offset);
  put_be64 (p + 24, n);
  return 32;
}

size_t
nbd_reply (const struct transmission *t, const struct nbd_request *r,
           uint32_t error, uint8_t *p)
{
  size_t n;

  if (!t->extended &&
      (!t->structured || (r->type != NBD_CMD_READ &&
                          r->type != NBD_CMD_BLOCK_STATUS)))
    return put_simple (r, error, p);
  if (error != 0) {
    n = put_chunk (t, r, NBD_REPLY_TYPE_ERROR, 6, p);
    put_be32 (p + n, error);
    put_be16 (p + n + 4, 0);    /* bytes of a message */
    return n + 6;
  }
  if (r->type != NBD_CMD_READ)
    return put_chunk (t, r, NBD_REPLY_TYPE_NONE, 0, p);
  n = put_chunk (t, r, NBD_REPLY_TYPE_OFFSET_DATA, r->length + 8, p);
  put_be64 (p + n, r->offset);
  return n + 8;
}

uint8_t *
nbd_reply_block_status (const struct transmission *t,
                        const struct nbd_request *r,
                        const struct nbd_extent *extents, unsigned n,
                        size_t *size)
{
  const size_t each = t->extended ? 16 : 8, front = t->extended ? 8 : 4;
  uint8_t *const reply = malloc (NBD_REPLY_MAX + n * each);
  uint8_t *p;

  if (reply == NULL)
    return NULL;
  p = reply + put_chunk (t, r, t->extended ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT
                         : NBD_REPLY_TYPE_BLOCK_STATUS, 0, reply);
  put_be32 (p, CONTEXT_ID);
  p += front;
  for (unsigned i = 0; i < n; ++i, p += each) {
    /* The last one of which a part fits is cut: the answer may be short. */
    const uint64_t most = UINT32_MAX - (t->block_size - 1);
    const bool cut = !t->extended && extents[i].length > most;

    if (t->extended) {
      put_be64 (p, extents[i].length);
      put_be64 (p + 8, extents[i].flags);
    }
    else {
      put_be32 (p, cut ? most / t->block_size * t->block_size
                : extents[i].length);
      put_be32 (p + 4, extents[i].flags);
    }
    if (cut)
      n = i + 1;
  }
  if (t->extended)
    put_be32 (reply + 32 + 4, n);
  *size = p - reply;
  put_chunk (t, r, t->extended ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT
             : NBD_REPLY_TYPE_BLOCK_STATUS, front + n * each, reply);
  return reply;
}
