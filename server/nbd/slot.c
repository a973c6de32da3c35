/* SPDX-License-Identifier: BSD-3-Clause */
/* Slots and their buffers: how much may be in flight, and where idle ones are
 * kept.  The last one that was used is the first to be used again: it is in the
 * CPU's cache. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "nbd/nbd-internal.h"

/* Idle buffers of all clients. */
#define MAX_IDLE_BYTES (32 * 1024 * 1024)
#define SMALLEST 4096

/* Larger ones than the last class are not kept: NBD_CLASSES. */
static unsigned
class_of (size_t n)
{
  unsigned i = 0;

  while (i < NBD_CLASSES && (size_t) SMALLEST << i < n)
    i++;
  return i;
}

static void *
buffer_new (struct nbd_server *srv, size_t n, size_t *capacity)
{
  const unsigned i = class_of (n);
  void *p;

  *capacity = i < NBD_CLASSES ? (size_t) SMALLEST << i : n;
  if (i == NBD_CLASSES || srv->buffers[i] == NULL)
    return malloc (*capacity);
  p = srv->buffers[i];
  memcpy (&srv->buffers[i], p, sizeof p);
  srv->idle_bytes -= *capacity;
  return p;
}

static void
buffer_free (struct nbd_server *srv, void *p, size_t capacity)
{
  const unsigned i = class_of (capacity);

  if (i == NBD_CLASSES || srv->idle_bytes + capacity > MAX_IDLE_BYTES) {
    free (p);
    return;
  }
  memcpy (p, &srv->buffers[i], sizeof p);
  srv->buffers[i] = p;
  srv->idle_bytes += capacity;
}

static bool
has_room (const struct nbd_connection *c, size_t bytes)
{
  const struct nbd_server *srv = c->srv;

  return c->nr_slots == 0 ||
    (c->nr_slots < srv->max_requests &&
     c->charged + bytes <= srv->connection_memory &&
     srv->charged + bytes <= srv->total_memory);
}

struct nbd_slot *
slot_new (struct nbd_connection *c, size_t bytes, bool *no_memory)
{
  struct nbd_server *srv = c->srv;
  struct nbd_slot *slot;

  *no_memory = false;
  if (!has_room (c, bytes)) {
    /* Room of its own comes with its own replies. */
    if (srv->charged + bytes > srv->total_memory && list_empty (&c->hungry))
      list_add_tail (&srv->hungry, &c->hungry);
    return NULL;
  }
  slot = srv->slots;
  if (slot != NULL)
    srv->slots = slot->next;
  else
    slot = malloc (sizeof *slot);
  if (slot == NULL) {
    *no_memory = true;
    return NULL;
  }
  slot->c = c;
  slot->buf = slot->whole = NULL;
  slot->capacity = slot->charged = 0;
  slot->data_size = 0;
  list_init (&slot->node);
  c->nr_slots++;
  if (bytes > 0) {
    slot->buf = buffer_new (srv, bytes, &slot->capacity);
    if (slot->buf == NULL) {
      *no_memory = true;
      slot_free (slot);
      return NULL;
    }
    slot->charged = slot->capacity;
    c->charged += slot->charged;
    srv->charged += slot->charged;
  }
  return slot;
}

void
slot_free (struct nbd_slot *slot)
{
  struct nbd_connection *c = slot->c;
  struct nbd_server *srv = c->srv;

  if (slot->buf != NULL)
    buffer_free (srv, slot->buf, slot->capacity);
  free (slot->whole);
  list_del (&slot->node);
  c->nr_slots--;
  c->has_room = true;
  c->charged -= slot->charged;
  srv->charged -= slot->charged;
  srv->has_room |= slot->charged > 0;
  slot->next = srv->slots;
  srv->slots = slot;
}

void
slots_free (struct nbd_server *srv)
{
  while (srv->slots != NULL) {
    struct nbd_slot *slot = srv->slots;

    srv->slots = slot->next;
    free (slot);
  }
  for (unsigned i = 0; i < NBD_CLASSES; ++i)
    while (srv->buffers[i] != NULL) {
      void *p = srv->buffers[i];

      memcpy (&srv->buffers[i], p, sizeof p);
      free (p);
    }
}
