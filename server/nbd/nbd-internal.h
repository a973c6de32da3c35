/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of this folder.  All of it belongs to the loop's thread. */
#ifndef MPISCSI_NBD_INTERNAL_H
#define MPISCSI_NBD_INTERNAL_H

#include <sys/uio.h>

#include <ev.h>

#include "base/list.h"
#include "conf/conf.h"
#include "nbd/handshake.h"
#include "nbd/nbd.h"
#include "nbd/transmission.h"
#include "rules/latency.h"
#include "service/service.h"

/* What is read of a client at once, besides the data of a write.  Behind a large
 * write less: its data would be copied. */
#define NBD_IN_SIZE (64 * 1024)
#define NBD_IN_BEHIND_LARGE 4096
#define NBD_LARGE (32 * 1024)
/* Replies in one system call. */
#define NBD_BATCH 128

struct nbd_connection;
struct nbd_tls;
struct nbd_tls_credentials;

/* A request, from its header to the last byte of its reply. */
struct nbd_slot {
  struct service_request sr;    /* the first: slot_done finds the slot */
  struct nbd_connection *c;
  struct list node;             /* connection->flight */
  struct nbd_slot *next;        /* connection->out, or server->slots */
  struct nbd_request nbd;
  uint32_t error;               /* NBD_E*, before it was started */
  bool no_status;
  double started;
  void *buf;
  size_t capacity;              /* of buf */
  size_t charged;               /* bytes that it counts for */
  uint8_t header[NBD_REPLY_MAX];
  uint8_t *whole;               /* instead of header: malloc'd */
  size_t header_size, data_size;
};

enum nbd_phase { NBD_HANDSHAKE, NBD_TRANSMISSION, NBD_CLOSING, NBD_GONE };

struct nbd_connection {
  struct nbd_server *srv;
  struct list node;             /* server->connections */
  struct list dirty;            /* server->dirty: something to do at the end of
                                   the turn */
  struct list hungry;           /* server->hungry: waits for memory */
  unsigned id;
  int fd;                       /* -1: GONE */
  char peer[120];
  ev_io io;
  enum nbd_phase phase;
  bool stopped;                 /* by the server: what fails is not told */
  bool blocked;                 /* no room for its next request */
  bool has_room;                /* since the last look: some was made */
  double since;                 /* engine_now () */

  struct nbd_tls *tls;          /* NULL: none */
  bool securing;                /* its handshake is not over */
  struct handshake *hs;         /* HANDSHAKE only */
  struct nbd_buffer say;        /* of the handshake, to be sent */
  struct nbd_open *opening;     /* open.c */
  struct transmission tr;
  struct service_client client;
  bool client_open;
  char export[sizeof ((struct nbd_export *) NULL)->name];

  uint8_t *rest;                /* read, and not used yet */
  size_t rest_len;

  struct nbd_slot *reading;     /* whose data is not all there */
  struct list flight;           /* slots that are not answered */
  unsigned nr_slots;            /* until their replies are sent */
  unsigned held;                /* by open.c */
  size_t charged;
  struct nbd_slot *out, **out_last;
  size_t out_sent;              /* bytes of the first of them */
  bool full;                    /* the socket is */

  uint64_t reads, writes, others, errors, bytes_read, bytes_written;
  struct latency latency;
  double last_failure;
  unsigned failures_unsaid;
};

struct nbd_listener {
  struct list node;             /* server->listeners */
  struct nbd_server *srv;
  int fd;
  int family;
  char name[140];               /* for logs; of a Unix socket its path */
  unsigned port;
  bool inherited;               /* its file is not ours to remove */
  ev_io io;
};

#define NBD_CLASSES 12          /* buffers of 4 KiB ... 8 MiB */

struct nbd_server {
  struct engine *engine;        /* NULL: not started */
  struct ev_loop *loop;
  /* Of the configuration. */
  enum handshake_tls tls;
  struct nbd_tls_credentials *credentials;
  bool readonly, strict;
  unsigned max_requests, max_connections;
  size_t connection_memory, total_memory;
  double handshake_timeout;

  struct list listeners;
  struct list connections, dirty, hungry;
  unsigned nr_connections;      /* with a socket */
  unsigned next_id;
  bool said_unaligned;
  bool full;                    /* no accept: too many, or no descriptors */
  double said_full;
  ev_timer tick;

  double now;                   /* engine_now () of this turn, nearly */
  size_t charged;
  bool has_room;                /* since the last look: memory was freed */
  struct nbd_slot *slots;       /* idle ones */
  void *buffers[NBD_CLASSES];   /* idle ones, linked by their first bytes */
  size_t idle_bytes;

  bool stopping;
  double stop_at;
  bool had_client;
  void (*idle) (void *opaque, bool stopped);
  void *idle_opaque;

  uint8_t in[NBD_IN_SIZE];
};

/* server.c */
extern void server_idle (struct nbd_server *srv);

/* sockets.c.  -1: one line in err. */
extern int listen_open (struct nbd_server *srv, const struct conf_nbd *conf,
                        const char *default_socket, char *err, size_t size);
/* listen.c */
struct sockaddr_storage;
extern void listen_address_name (const struct sockaddr_storage *ss,
                                 unsigned len, char *buf, size_t size);
extern void listen_start (struct nbd_server *srv);
/* When it was FULL and a client has gone, or some time later. */
extern void listen_again (struct nbd_server *srv);
extern void listen_close (struct nbd_server *srv);
/* Most clients that there are descriptors for. */
extern unsigned listen_limit (unsigned wanted);
extern void listen_peer_name (int fd, char *buf, size_t size);

/* connection.c */
extern struct nbd_connection *connection_new (struct nbd_server *srv, int fd);
extern void connection_dirty (struct nbd_connection *c);
/* At the end of the turn; it may be gone afterwards. */
extern void connection_turn (struct nbd_connection *c);
/* No more is read; closed when all is answered. */
extern void connection_finish (struct nbd_connection *c);
/* Closed now. */
extern void connection_drop (struct nbd_connection *c, const char *why);
/* open.c is done, and hs->state is not WAIT any more. */
extern void connection_opened (struct nbd_connection *c);
/* There is room again. */
extern void connection_continue (struct nbd_connection *c);
extern void connection_watch (struct nbd_connection *c);
/* Once a while. */
extern void connection_check (struct nbd_connection *c, double now);

/* request.c: the transmission phase.  How many bytes of IN were used. */
extern size_t requests_input (struct nbd_connection *c, const uint8_t *in,
                              size_t n);

/* slot.c.  NULL: no room now, or (*no_memory) none. */
extern struct nbd_slot *slot_new (struct nbd_connection *c, size_t bytes,
                                  bool *no_memory);
extern void slot_free (struct nbd_slot *slot);
extern void slots_free (struct nbd_server *srv);

/* send.c: false: the socket is broken. */
extern bool connection_send (struct nbd_connection *c);
extern bool connection_has_output (const struct nbd_connection *c);

/* open.c */
extern const struct handshake_ops open_ops;
/* The client has gone; what is in flight holds it. */
extern void open_cancel (struct nbd_connection *c);

/* tls.c.  NULL: one line in err. */
extern struct nbd_tls_credentials *
tls_credentials_new (const struct conf_nbd *conf, char *err, size_t size);
extern void tls_credentials_free (struct nbd_tls_credentials *cred);
extern struct nbd_tls *tls_new (const struct nbd_tls_credentials *cred, int fd);
extern void tls_free (struct nbd_tls *tls);
/* 1: it is on; 0: not yet; -1: it failed. */
extern int tls_handshake (struct nbd_tls *tls, char *err, size_t size);
/* As readv () and writev () (several records each); -1 and EAGAIN: later. */
extern ssize_t tls_readv (struct nbd_tls *tls, const struct iovec *iov, int n);
extern ssize_t tls_writev (struct nbd_tls *tls, const struct iovec *iov, int n);
/* Bytes that were read from the socket already / that the socket did not take. */
extern bool tls_has_input (const struct nbd_tls *tls);
extern bool tls_has_output (const struct nbd_tls *tls);
/* 1 all is sent, 0 the socket is full, -1 it is broken. */
extern int tls_flush (struct nbd_tls *tls);
extern void tls_bye (struct nbd_tls *tls);

/* clients.c: for `mpiscsi show clients`. */
struct snapshot;
extern void clients_list (void *opaque, struct snapshot *s);

#endif /* MPISCSI_NBD_INTERNAL_H */
