/* SPDX-License-Identifier: BSD-3-Clause */
/* Our own NBD server: clients' sockets on the engine's loop.
 *
 * THREADS
 *
 * One: the loop's, which runs to completion (server/README).  It reads clients,
 * sends commands to targets, reads their answers, and replies to clients; a
 * request is never handed to another thread, and takes no lock.  So nothing in
 * this folder may block: sockets are non-blocking, names were resolved before
 * serving, TLS handshakes go step by step.
 *
 * A CONNECTION
 *
 * is a state machine over bytes.  The pure half (handshake.c, transmission.c)
 * knows the protocol and no sockets; connection.c feeds it:
 *
 *   HANDSHAKE     options; TLS; opening an export, which may take a while
 *                 (open.c)
 *   TRANSMISSION  requests and replies
 *   CLOSING       no more is read: the client has said good-bye, or the server
 *                 ends.  What is in flight is done and answered first.
 *   GONE          the socket is closed.  What was not sent to the target yet
 *                 is dropped; the rest is waited for, since libiscsi has its
 *                 buffers, and nobody is told.
 *
 * LIFE OF A REQUEST
 *
 *   readable client  one recv: a write's data goes where it stays, all other
 *                    bytes into a buffer that the server has once for all
 *                    clients (server->in); what is left of it, half a request,
 *                    is kept in connection->rest
 *   its header       transmission_input (): a slot (slot.c) with a buffer, if
 *                    there is room; else the client is not read until there is
 *   its data         complete: service_start ()
 *   end of the turn  the engine sends, once per session
 *   its answer       slot_done (): the reply's header; the client is dirty
 *   end of the turn  server_turn (): one sendmsg for each dirty client
 *
 * FAIR AND BOUNDED
 *
 * - one recv for each readable client in a turn of the loop;
 * - of each client at most `threads` requests, and connection_memory of
 *   buffers, from the first byte of a request to the last one of its reply; of
 *   all at most total_memory, but a client with nothing in flight may always
 *   have one request; who is over that is not read;
 * - handshake_timeout for all of the handshake, TLS among it;
 * - max_connections, and never the last descriptors: those are for paths
 *   (listen.c).
 */
#ifndef MPISCSI_NBD_H
#define MPISCSI_NBD_H

#include <stdbool.h>
#include <stddef.h>

struct conf_nbd;
struct engine;
struct nbd_server;

/* Opens the sockets, reads certificates; nobody is served yet.
 * DEFAULT_SOCKET: where, if the configuration says nothing; NULL: nowhere then.
 * NULL: one line in err. */
extern struct nbd_server *nbd_server_new (const struct conf_nbd *conf,
                                          const char *default_socket,
                                          char *err, size_t size);
/* One client more, on an open socket (inetd's).  -1: one line in err. */
extern int nbd_server_add (struct nbd_server *srv, int fd, char *err,
                           size_t size);
/* The loop's thread, which runs to completion: from now on clients are
 * accepted. */
extern void nbd_server_start (struct nbd_server *srv, struct engine *e);
/* No new clients and requests; what is in flight is finished, for at most
 * TIMEOUT seconds, then clients are disconnected.  IDLE is called then. */
extern void nbd_server_stop (struct nbd_server *srv, double timeout);
/* Called in the loop: the last client has gone (after there was one); STOPPED:
 * after nbd_server_stop. */
extern void nbd_server_on_idle (struct nbd_server *srv,
                                void (*idle) (void *opaque, bool stopped),
                                void *opaque);
/* A URI for clients of this host.  Returns buf. */
extern const char *nbd_server_uri (const struct nbd_server *srv, char *buf,
                                   size_t size);
/* Of the first such socket; "" and 0 if there is none. */
extern const char *nbd_server_unix_socket (const struct nbd_server *srv);
extern unsigned nbd_server_port (const struct nbd_server *srv);
/* The engine is shut down: disconnects whoever is left. */
extern void nbd_server_end (struct nbd_server *srv);
/* After engine_free (), which gives back what was in flight. */
extern void nbd_server_free (struct nbd_server *srv);

#endif /* MPISCSI_NBD_H */
