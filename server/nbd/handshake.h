/* SPDX-License-Identifier: BSD-3-Clause */
/* The handshake with a client (fixed newstyle), as a state machine over bytes.
 *
 * Pure: no sockets, no engine.  What exports there are, and TLS, is the
 * caller's business:
 *
 *   FLAGS -> OPTION -> (SKIP ->) OPTION ...
 *   OPTION -> WAIT           an export is being opened: handshake_opened ()
 *   OPTION -> TLS            the caller makes TLS: handshake_secured ()
 *   OPTION -> TRANSMISSION   transmission.h goes on
 *   any    -> CLOSE          once what is in out was sent
 */
#ifndef MPISCSI_NBD_HANDSHAKE_H
#define MPISCSI_NBD_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nbd/buffer.h"
#include "nbd/proto.h"

/* Data of one option, at most: what is longer is refused, not a reason to close.
 * So much at least of what came must be given to handshake_input (). */
#define HANDSHAKE_INPUT (16 + 16 * 1024)

struct nbd_export {
  char name[512], description[640];
  uint64_t size;                /* bytes */
  uint16_t flags;               /* NBD_FLAG_*; those of the handshake are added */
  uint32_t minimum, preferred, maximum;
  bool extents;                 /* base:allocation */
  bool strict;                  /* requests must be multiples of minimum */
};

enum handshake_tls { HANDSHAKE_TLS_OFF, HANDSHAKE_TLS_ON,
                     HANDSHAKE_TLS_REQUIRE };

struct handshake_ops {
  /* "" is the default.  0: *e is filled; 1: not yet, handshake_opened () will
   * be called; -1: err says why not.  GO: to be used; else only to be told. */
  int (*open) (void *opaque, const char *name, bool go, struct nbd_export *e,
               char *err, size_t size);
  /* The one of that name, as it is known now; false: none. */
  bool (*look) (void *opaque, const char *name, struct nbd_export *e);
  /* The Nth, from 0; false: there are no more. */
  bool (*list) (void *opaque, unsigned n, struct nbd_export *e);
};

enum handshake_state {
  HANDSHAKE_FLAGS, HANDSHAKE_OPTION, HANDSHAKE_SKIP, HANDSHAKE_WAIT,
  HANDSHAKE_TLS, HANDSHAKE_TRANSMISSION, HANDSHAKE_CLOSE,
};

struct handshake {
  const struct handshake_ops *ops;
  void *opaque;
  enum handshake_tls tls;
  enum handshake_state state;
  bool secure;                  /* TLS is on */
  bool no_zeroes;
  bool structured, extended;
  bool meta;                    /* base:allocation was chosen, for meta_name */
  char meta_name[NBD_NAME_MAX + 1];
  uint64_t skip;                /* bytes */
  uint32_t option;              /* that waits */
  bool want_name, want_description, want_sizes;
  char name[NBD_NAME_MAX + 1];   /* as the client has said it */
  struct nbd_export export;     /* from TRANSMISSION on */
};

/* Once, before all else. */
extern void handshake_start (struct handshake *h,
                             const struct handshake_ops *ops, void *opaque,
                             enum handshake_tls tls, struct nbd_buffer *out);
/* How many of the N bytes at IN it is done with; the others are to be given
 * again, with more behind them, unless the state has changed to one that needs
 * something else. */
extern size_t handshake_input (struct handshake *h, const uint8_t *in,
                               size_t n, struct nbd_buffer *out);
/* Ends WAIT.  E NULL: there is none, WHY. */
extern void handshake_opened (struct handshake *h, const struct nbd_export *e,
                              const char *why, struct nbd_buffer *out);
/* Ends TLS. */
extern void handshake_secured (struct handshake *h);
/* What the export is told to have: e->flags, and those of the handshake. */
extern uint16_t handshake_flags (const struct handshake *h,
                                 const struct nbd_export *e);

#endif /* MPISCSI_NBD_HANDSHAKE_H */
