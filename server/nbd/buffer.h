/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes to send, put together.  Pure. */
#ifndef MPISCSI_NBD_BUFFER_H
#define MPISCSI_NBD_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nbd_buffer {
  uint8_t *data;
  size_t len, size;
  bool failed;                  /* no memory: what is in here is not whole */
};

extern void nbd_buffer_put (struct nbd_buffer *b, const void *data, size_t n);
extern void nbd_buffer_put16 (struct nbd_buffer *b, uint16_t v);
extern void nbd_buffer_put32 (struct nbd_buffer *b, uint32_t v);
extern void nbd_buffer_put64 (struct nbd_buffer *b, uint64_t v);
/* The first N are sent. */
extern void nbd_buffer_drop (struct nbd_buffer *b, size_t n);
extern void nbd_buffer_free (struct nbd_buffer *b);

#endif /* MPISCSI_NBD_BUFFER_H */
