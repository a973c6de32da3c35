/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes to send: see buffer.h. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "nbd/buffer.h"

void
nbd_buffer_put (struct nbd_buffer *b, const void *data, size_t n)
{
  if (b->failed || n == 0)
    return;
  if (n > b->size - b->len) {
    const size_t size = (b->len + n) * 2;
    uint8_t *p = realloc (b->data, size);

    if (p == NULL) {
      b->failed = true;
      return;
    }
    b->data = p;
    b->size = size;
  }
  memcpy (b->data + b->len, data, n);
  b->len += n;
}

void
nbd_buffer_put16 (struct nbd_buffer *b, uint16_t v)
{
  uint8_t p[2];

  put_be16 (p, v);
  nbd_buffer_put (b, p, sizeof p);
}

void
nbd_buffer_put32 (struct nbd_buffer *b, uint32_t v)
{
  uint8_t p[4];

  put_be32 (p, v);
  nbd_buffer_put (b, p, sizeof p);
}

void
nbd_buffer_put64 (struct nbd_buffer *b, uint64_t v)
{
  uint8_t p[8];

  put_be64 (p, v);
  nbd_buffer_put (b, p, sizeof p);
}

void
nbd_buffer_drop (struct nbd_buffer *b, size_t n)
{
  b->len -= n;
  if (b->len > 0)
    memmove (b->data, b->data + n, b->len);
}

void
nbd_buffer_free (struct nbd_buffer *b)
{
  free (b->data);
  *b = (struct nbd_buffer) { NULL, 0, 0, false };
}
