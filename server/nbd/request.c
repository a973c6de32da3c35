/* SPDX-License-Identifier: BSD-3-Clause */
/* The transmission phase: requests to the service, and its answers to replies. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "nbd/nbd-internal.h"

static const char *
command_name (unsigned type)
{
  static const char *const names[] = {
    "read", "write", "disconnect", "flush", "trim", "cache", "zero",
    "block status",
  };

  return type < sizeof names / sizeof names[0] ? names[type] : "request";
}

/* ---- replies --------------------------------------------------------------------- */

/* At most one line a second of each client: one that tries again and again must
 * not fill the log. */
static void
log_failure (struct nbd_connection *c, unsigned type, const char *text)
{
  const double now = service_now ();

  if (text == NULL)
    return;
  if (now - c->last_failure < 1) {
    c->failures_unsaid++;
    return;
  }
  if (c->failures_unsaid > 0)
    log_error ("%s: %s (client %u, %u more since the last such line)",
               command_name (type), text, c->id, c->failures_unsaid);
  else
    log_error ("%s: %s (client %u)", command_name (type), text, c->id);
  c->last_failure = now;
  c->failures_unsaid = 0;
}

static void
queue_reply (struct nbd_slot *slot)
{
  struct nbd_connection *c = slot->c;

  list_del (&slot->node);
  slot->next = NULL;
  *c->out_last = slot;
  c->out_last = &slot->next;
  connection_dirty (c);
}

/* The one that is never started, too. */
static void
answer (struct nbd_slot *slot, uint32_t error)
{
  struct nbd_connection *c = slot->c;

  slot->header_size = nbd_reply (&c->tr, &slot->nbd, error, slot->header);
  if (error != 0)
    c->errors++;
  else if (nbd_request_is_read (&slot->nbd))
    slot->data_size = slot->nbd.length;
  queue_reply (slot);
}

static void
answer_block_status (struct nbd_slot *slot)
{
  _Static_assert (sizeof (struct nbd_extent) == sizeof (struct service_extent),
                  "they are the same");
  slot->whole =
    nbd_reply_block_status (&slot->c->tr, &slot->nbd,
                            (const struct nbd_extent *) slot->sr.extents,
                            slot->sr.nr_extents, &slot->header_size);
  service_end (&slot->sr);
  if (slot->whole == NULL)
    answer (slot, NBD_ENOMEM);
  else
    queue_reply (slot);
}

static void
count (struct nbd_connection *c, const struct nbd_slot *slot)
{
  switch (slot->nbd.type) {
  case NBD_CMD_READ:
    c->reads++;
    c->bytes_read += slot->nbd.length;
    break;
  case NBD_CMD_WRITE:
    c->writes++;
    c->bytes_written += slot->nbd.length;
    break;
  default: c->others++;
  }
  latency_add (&c->latency, service_now () - slot->started);
}

static void
slot_done (struct service_request *sr)
{
  struct nbd_slot *slot = (struct nbd_slot *) sr;
  struct nbd_connection *c = slot->c;

  count (c, slot);
  if (c->phase == NBD_GONE || (c->stopped && sr->error != 0)) {
    service_end (sr);
    slot_free (slot);
    connection_dirty (c);       /* perhaps the last one */
    return;
  }
  if (sr->error != 0 && sr->error != ENOTSUP)
    log_failure (c, slot->nbd.type, service_error_text (sr->error));
  if (sr->error == 0 && slot->nbd.type == NBD_CMD_BLOCK_STATUS &&
      !slot->no_status)
    answer_block_status (slot);
  else {
    service_end (sr);
    answer (slot, nbd_error (sr->error));
  }
}

/* ---- requests -------------------------------------------------------------------- */

static void
say_unaligned (struct nbd_connection *c, const struct nbd_request *r)
{
  const uint32_t bs = c->client.facts.block_size;
  char text[200];

  if (c->tr.strict) {
    snprintf (text, sizeof text, "request at %" PRIu64 " of %" PRIu64 " bytes "
              "is not aligned to the LUN's %" PRIu32 " byte blocks: see "
              "the option unaligned", r->offset, r->length, bs);
    log_failure (c, r->type, text);
  }
  else if (!c->srv->said_unaligned) {
    c->srv->said_unaligned = true;
    log_warning ("client %u (%s) writes parts of the LUN's %" PRIu32 " byte "
                 "blocks: they are read, changed and written back, which is "
                 "slow, and not safe if another initiator writes them (said "
                 "once)", c->id, c->peer, bs);
  }
}

static void
look_at_alignment (struct nbd_connection *c, const struct nbd_request *r,
                   uint32_t error)
{
  if ((r->offset | r->length) % c->client.facts.block_size == 0)
    return;
  if (c->tr.strict ? error == NBD_EINVAL && r->type <= NBD_CMD_WRITE_ZEROES &&
      r->type != NBD_CMD_FLUSH
      : error == 0 && (r->type == NBD_CMD_WRITE ||
                       r->type == NBD_CMD_WRITE_ZEROES))
    say_unaligned (c, r);
}

/* The header of c->tr.now is there: a slot for it.  False: no room. */
static bool
begin (struct nbd_connection *c)
{
  struct transmission *t = &c->tr;
  const bool data = t->now.type == NBD_CMD_READ ||
    t->now.type == NBD_CMD_WRITE;
  struct nbd_slot *slot;
  bool no_memory;

  slot = slot_new (c, data && t->error == 0 ? t->now.length : 0, &no_memory);
  if (slot == NULL && no_memory && t->error == 0) {
    t->error = NBD_ENOMEM;
    slot = slot_new (c, 0, &no_memory);
  }
  if (slot == NULL && no_memory) {
    connection_drop (c, "out of memory");
    return false;
  }
  if (slot == NULL)
    return false;
  look_at_alignment (c, &t->now, t->error);
  list_add_tail (&c->flight, &slot->node);
  c->reading = slot;
  transmission_accept (t, t->now.type == NBD_CMD_WRITE ? slot->buf : NULL);
  return true;
}

/* All of it is there. */
static void
submit (struct nbd_connection *c)
{
  struct nbd_slot *slot = c->reading;
  struct service_request *sr = &slot->sr;
  const struct nbd_request *r = &slot->nbd;

  slot->nbd = c->tr.now;
  slot->no_status = c->tr.no_status;
  c->reading = NULL;
  service_prepare (sr);
  if (c->tr.error != 0) {
    answer (slot, c->tr.error);
    return;
  }
  slot->started = c->srv->now;
  sr->map = c->client.map;
  sr->disk = c->client.disk;
  sr->losses = &c->client.losses;
  sr->share = &c->client.share;
  sr->done = slot_done;
  sr->offset = r->offset;
  sr->count = r->length;
  sr->buf = slot->buf;
  sr->fua = r->flags & NBD_CMD_FLAG_FUA;
  switch (r->type) {
  case NBD_CMD_READ: sr->op = SERVICE_READ; break;
  case NBD_CMD_WRITE: sr->op = SERVICE_WRITE; break;
  case NBD_CMD_TRIM: sr->op = SERVICE_TRIM; break;
  case NBD_CMD_CACHE: sr->op = SERVICE_CACHE; break;
  case NBD_CMD_WRITE_ZEROES:
    sr->op = SERVICE_ZERO;
    sr->may_trim = !(r->flags & NBD_CMD_FLAG_NO_HOLE);
    sr->fast = r->flags & NBD_CMD_FLAG_FAST_ZERO;
    break;
  case NBD_CMD_BLOCK_STATUS:
    sr->op = SERVICE_EXTENTS;
    sr->one = r->flags & NBD_CMD_FLAG_REQ_ONE;
    break;
  default: sr->op = SERVICE_FLUSH;
  }
  service_start (sr);
}

size_t
requests_input (struct nbd_connection *c, const uint8_t *in, size_t n)
{
  struct transmission *t = &c->tr;
  size_t used = 0, k;

  while (c->phase == NBD_TRANSMISSION)
    switch (t->state) {
    case TRANSMISSION_HEADER: case TRANSMISSION_PAYLOAD:
      k = transmission_input (t, in + used, n - used);
      if (k == 0)
        return used;
      used += k;
      break;
    case TRANSMISSION_BEGUN:
      c->blocked = !begin (c);
      if (c->blocked)
        return used;
      break;
    case TRANSMISSION_READY:
      submit (c);
      transmission_taken (t);
      break;
    case TRANSMISSION_DISC:
      connection_finish (c);
      return n;
    case TRANSMISSION_BAD:
      connection_drop (c, "what it sends is not an NBD request");
      return n;
    }
  return n;
}
