/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer target: an NBD client's bytes, handshake and transmission.
 *
 * What comes is given to one state machine at once, and to another one in
 * pieces: both must do the same.  A request that is good must be one that the
 * disk can do; a reply's length must be what its header says. */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "nbd/transmission.h"
#include "must.h"

#define SIZE (UINT64_C (1) << 40)
#define MAX_TAKEN 64

struct side {
  struct handshake h;
  struct transmission t;
  struct nbd_buffer out;
  bool transmission, waits;
  unsigned char options;        /* the input's first byte */
  unsigned nr;
  struct { struct nbd_request r; uint32_t error; uint64_t sum; } taken[MAX_TAKEN];
  uint8_t *payload;
};

static void
fill (struct nbd_export *e)
{
  memset (e, 0, sizeof *e);
  strcpy (e->name, "disk");
  strcpy (e->description, "a disk");
  e->size = SIZE;
  e->flags = NBD_FLAG_SEND_TRIM;
  e->minimum = 512;
  e->preferred = 4096;
  e->maximum = 1 << 20;
  e->extents = true;
}

static int
open_it (void *opaque, const char *name, bool go, struct nbd_export *e,
         char *err, size_t size)
{
  struct side *s = opaque;

  (void) go;
  MUST (strlen (name) <= NBD_NAME_MAX);
  if (name[0] == 'w') {
    s->waits = true;
    return 1;
  }
  fill (e);
  e->strict = s->options & 4;
  if (s->options & 8)
    e->flags |= NBD_FLAG_READ_ONLY;
  snprintf (err, size, "there is none");
  return name[0] == 'x' ? -1 : 0;
}

static bool
look (void *opaque, const char *name, struct nbd_export *e)
{
  (void) opaque;
  fill (e);
  return name[0] != 'x';
}

static bool
list (void *opaque, unsigned n, struct nbd_export *e)
{
  (void) opaque;
  fill (e);
  return n < 3;
}

static const struct handshake_ops ops = { open_it, look, list };

static void
take (struct side *s)
{
  struct transmission *t = &s->t;
  const struct nbd_request *r = &t->now;
  uint8_t reply[NBD_REPLY_MAX];
  uint64_t sum = 0;
  size_t n;

  if (t->error == 0 && r->type != NBD_CMD_FLUSH) {
    MUST (r->length > 0 && r->offset <= SIZE && r->length <= SIZE - r->offset);
    if (r->type == NBD_CMD_READ || r->type == NBD_CMD_WRITE)
      MUST (r->length <= t->maximum);
    if (t->strict && r->type <= NBD_CMD_WRITE && r->type != NBD_CMD_DISC)
      MUST (r->length % 512 == 0 && r->offset % 512 == 0);
    if (r->type == NBD_CMD_WRITE || r->type == NBD_CMD_TRIM ||
        r->type == NBD_CMD_WRITE_ZEROES)
      MUST (!(t->export_flags & NBD_FLAG_READ_ONLY));
  }
  if (s->payload != NULL)
    for (uint64_t i = 0; i < t->payload; ++i)
      sum = sum * 31 + s->payload[i];
  if (s->nr < MAX_TAKEN) {
    s->taken[s->nr].r = *r;
    s->taken[s->nr].error = t->error;
    s->taken[s->nr++].sum = sum;
  }
  n = nbd_reply (t, r, t->error, reply);
  MUST (n <= sizeof reply);
  if (get_be32 (reply) == NBD_EXTENDED_REPLY_MAGIC)
    MUST (get_be64 (reply + 24) == n - 32 +
          (r->type == NBD_CMD_READ && t->error == 0 ? r->length : 0));
  free (s->payload);
  s->payload = NULL;
}

/* What of IN was used. */
static size_t
feed_transmission (struct side *s, const uint8_t *in, size_t n)
{
  struct transmission *t = &s->t;
  size_t used = 0, k;

  for (;;)
    switch (t->state) {
    case TRANSMISSION_HEADER: case TRANSMISSION_PAYLOAD:
      k = transmission_input (t, in + used, n - used);
      MUST (k <= n - used);
      if (k == 0)
        return used;
      used += k;
      break;
    case TRANSMISSION_BEGUN:
      if (t->now.type == NBD_CMD_WRITE && t->error == 0)
        MUST ((s->payload = malloc (t->payload)) != NULL);
      transmission_accept (t, s->payload);
      break;
    case TRANSMISSION_READY:
      take (s);
      transmission_taken (t);
      break;
    default:
      return n;
    }
}

static size_t
feed (struct side *s, const uint8_t *in, size_t n)
{
  size_t used = 0;

  if (!s->transmission) {
    used = handshake_input (&s->h, in, n, &s->out);
    MUST (used <= n);
    while (s->waits) {
      struct nbd_export e;

      MUST (s->h.state == HANDSHAKE_WAIT);
      s->waits = false;
      fill (&e);
      handshake_opened (&s->h, s->h.name[1] ? &e : NULL, "no", &s->out);
      if (s->h.state == HANDSHAKE_OPTION)
        used += handshake_input (&s->h, in + used, n - used, &s->out);
    }
    if (s->h.state == HANDSHAKE_TLS)
      handshake_secured (&s->h);
    if (s->h.state == HANDSHAKE_TRANSMISSION) {
      transmission_start (&s->t, &s->h);
      s->transmission = true;
    }
  }
  if (s->transmission)
    used += feed_transmission (s, in + used, n - used);
  return used;
}

static void
start (struct side *s, unsigned char options)
{
  static const enum handshake_tls tls[4] = {
    HANDSHAKE_TLS_OFF, HANDSHAKE_TLS_ON, HANDSHAKE_TLS_REQUIRE,
    HANDSHAKE_TLS_OFF,
  };

  memset (s, 0, sizeof *s);
  s->options = options;
  handshake_start (&s->h, &ops, s, tls[options & 3], &s->out);
}

static void
feed_pieces (struct side *s, const uint8_t *in, size_t n, unsigned step)
{
  size_t from = 0;

  for (size_t to = 0; to < n; ) {
    size_t used;

    to = n - to > step ? to + step : n;
    do {
      used = feed (s, in + from, to - from);
      from += used;
    } while (used > 0 && from < to);
  }
}

/* Replies of the handshake are whole, one behind the other. */
static void
check_out (const struct side *s)
{
  size_t at = 18;

  if (s->h.no_zeroes || s->transmission)        /* EXPORT_NAME's has no header */
    return;
  while (at < s->out.len) {
    MUST (s->out.len - at >= 20);
    MUST (get_be64 (s->out.data + at) == NBD_REPLY_OPTION_MAGIC);
    at += 20 + get_be32 (s->out.data + at + 16);
  }
  MUST (at == s->out.len);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static struct side a, b;

  if (size < 2)
    return 0;
  start (&a, data[0]);
  start (&b, data[0]);
  feed_pieces (&a, data + 2, size - 2, size);
  feed_pieces (&b, data + 2, size - 2, data[1] % 61 + 1);
  MUST (a.out.len == b.out.len && memcmp (a.out.data, b.out.data, a.out.len) == 0);
  MUST (a.transmission == b.transmission && a.nr == b.nr);
  if (a.transmission)
    MUST (a.t.state == b.t.state);
  for (unsigned i = 0; i < a.nr; ++i)
    MUST (a.taken[i].r.type == b.taken[i].r.type &&
          a.taken[i].r.cookie == b.taken[i].r.cookie &&
          a.taken[i].error == b.taken[i].error &&
          a.taken[i].sum == b.taken[i].sum);
  check_out (&a);
  free (a.payload);
  free (b.payload);
  nbd_buffer_free (&a.out);
  nbd_buffer_free (&b.out);
  return 0;
}
