/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is connected: for `mpiscsi show clients`. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "control/snapshot.h"
#include "nbd/nbd-internal.h"

static const char *
state_text (const struct nbd_connection *c)
{
  switch (c->phase) {
  case NBD_HANDSHAKE: return c->securing ? "tls" : "handshake";
  case NBD_TRANSMISSION: return c->blocked ? "full" : "ready";
  case NBD_CLOSING: return "closing";
  case NBD_GONE: break;
  }
  return "gone";
}

static void
copy (struct snapshot_client *to, const struct nbd_connection *c, double now)
{
  to->id = c->id;
  snprintf (to->peer, sizeof to->peer, "%s", c->peer);
  snprintf (to->export, sizeof to->export, "%s", c->export);
  to->state = state_text (c);
  to->tls = c->tls != NULL && !c->securing;
  to->extended = c->phase != NBD_HANDSHAKE && c->tr.extended;
  to->in_flight = c->nr_slots;
  to->memory = c->charged;
  to->reads = c->reads;
  to->writes = c->writes;
  to->others = c->others;
  to->errors = c->errors;
  to->bytes_read = c->bytes_read;
  to->bytes_written = c->bytes_written;
  to->mean = latency_mean (&c->latency);
  to->p99 = latency_quantile (&c->latency, 0.99);
  to->connected = now - c->since;
}

void
clients_list (void *opaque, struct snapshot *s)
{
  struct nbd_server *srv = opaque;
  const double now = service_now ();
  struct list *l, *next;
  unsigned n = 0;

  list_for_each (l, next, &srv->connections)
    n++;
  s->clients = calloc (n + 1, sizeof *s->clients);
  if (s->clients == NULL)
    return;
  list_for_each (l, next, &srv->connections)
    copy (&s->clients[s->nr_clients++],
          list_entry (l, struct nbd_connection, node), now);
}
