/* SPDX-License-Identifier: BSD-3-Clause */
/* The transmission phase: requests out of bytes, and replies into them, as a
 * state machine.  Pure: no sockets, no engine.
 *
 *   HEADER -> BEGUN     a request's header: t->now, t->error, t->payload
 *   BEGUN -> PAYLOAD    transmission_accept (): where its payload goes
 *   PAYLOAD -> READY    all of it is there
 *   READY -> HEADER     transmission_taken ()
 *   HEADER -> DISC      the client says good-bye
 *   HEADER -> BAD       not a request: nothing can be told any more
 *
 * The caller may stay in BEGUN as long as it has no room for the request.
 */
#ifndef MPISCSI_NBD_TRANSMISSION_H
#define MPISCSI_NBD_TRANSMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nbd/handshake.h"

struct nbd_request {
  uint16_t flags, type;
  uint64_t cookie;              /* as it came: nobody looks inside */
  uint64_t offset, length;
};

enum transmission_state {
  TRANSMISSION_HEADER, TRANSMISSION_BEGUN, TRANSMISSION_PAYLOAD,
  TRANSMISSION_READY, TRANSMISSION_DISC, TRANSMISSION_BAD,
};

/* Context ids that a block status request may name. */
#define TRANSMISSION_IDS 16

struct transmission {
  /* Constant. */
  uint64_t size;
  uint32_t block_size, maximum;
  uint16_t export_flags;
  bool strict, structured, extended, meta;

  enum transmission_state state;
  struct nbd_request now;
  uint32_t error;               /* NBD_E*: it is not to be done; 0 */
  uint64_t payload;             /* bytes that follow */
  bool no_status;               /* its payload asks for no context */
  uint8_t *to;                  /* NULL: nowhere */
  uint64_t got;
  uint8_t filter[8 + 4 * TRANSMISSION_IDS];
};

extern void transmission_start (struct transmission *t,
                                const struct handshake *h);
/* Uses some of the N bytes at IN, and returns how many; t->state tells what is
 * to be done. */
extern size_t transmission_input (struct transmission *t, const uint8_t *in,
                                  size_t n);
/* BEGUN: TO is where a write's data goes; NULL: nobody wants it. */
extern void transmission_accept (struct transmission *t, void *to);
/* PAYLOAD: instead of transmission_input, so many more bytes may be put there
 * directly (NULL: not), and were. */
extern uint8_t *transmission_space (const struct transmission *t, size_t *n);
extern void transmission_filled (struct transmission *t, size_t n);
/* READY. */
extern void transmission_taken (struct transmission *t);

/* Is it answered with data (if there is no error)? */
extern bool nbd_request_is_read (const struct nbd_request *r);

/* The front of the reply, into P of NBD_REPLY_MAX; returns its size.  A read's
 * data comes behind it. */
#define NBD_REPLY_MAX 48
extern size_t nbd_reply (const struct transmission *t,
                         const struct nbd_request *r, uint32_t error,
                         uint8_t *p);
struct nbd_extent { uint64_t length; uint32_t flags; };
/* The whole reply to a good block status request; malloc'd.  NULL: no
 * memory. */
extern uint8_t *nbd_reply_block_status (const struct transmission *t,
                                        const struct nbd_request *r,
                                        const struct nbd_extent *extents,
                                        unsigned n, size_t *size);
/* An errno as the protocol has it. */
extern uint32_t nbd_error (int err);

#endif /* MPISCSI_NBD_TRANSMISSION_H */
