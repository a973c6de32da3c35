/* SPDX-License-Identifier: BSD-3-Clause */
/* Tells the service manager how we are: sd_notify(3)'s protocol.
 *
 * READY=1   once a path is active, so that what is started after this unit
 *           can do I/O;
 * STATUS=   the number of active paths, whenever it changes;
 * STOPPING=1 when the engine ends.
 *
 * nbdkit tells nobody that it is ready, and only we know when I/O works.  The
 * protocol is one datagram of lines to the socket that $NOTIFY_SOCKET names,
 * so it is spoken here: libsystemd would be one more library in containers
 * and on hosts without systemd, where nothing listens anyway. */
#ifndef MPISCSI_NOTIFY_H
#define MPISCSI_NOTIFY_H

struct engine;

/* Does nothing without $NOTIFY_SOCKET.  After control_start () (it passes on
 * to the observer that it finds), before engine_start_thread (); once per
 * process.  What goes wrong is logged, and is no reason not to serve.  It ends
 * with the engine. */
extern void notify_start (struct engine *e);

#endif /* MPISCSI_NOTIFY_H */
