/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket of a running server: who may ask, how much, and what is
 * answered.  The protocol is described in control-request.h.
 *
 * It lives on the engine's loop.  Whoever connects must be root or the user
 * that the server runs as, unless the mode of its file lets others in; still, nobody who is stuck or hostile may slow
 * I/O down, so all of it is bounded:
 *
 * - at most CONTROL_CLIENTS at once, the others are told so and closed;
 * - a request is one line of at most CONTROL_REQUEST bytes; a client's next
 *   request is not looked at before its last answer has been taken;
 * - one step (accept, read and do one request, write 64 KiB) at a time, and
 *   after each nine times as long as it took is left to others: all clients
 *   together get at most a tenth of the service thread;
 * - what a client does not read is kept up to CONTROL_BACKLOG bytes for one
 *   answer, and CONTROL_WATCH_BACKLOG for `watch`; more drops it, and so does
 *   not reading anything for CONTROL_STUCK seconds;
 * - without a request for CONTROL_IDLE seconds it is closed, unless it
 *   watches.
 */
#ifndef MPISCSI_CONTROL_H
#define MPISCSI_CONTROL_H

#include <stddef.h>

struct engine;

#define CONTROL_CLIENTS 16
#define CONTROL_BACKLOG (16 * 1024 * 1024)
#define CONTROL_WATCH_BACKLOG (256 * 1024)
#define CONTROL_IDLE 60.0
#define CONTROL_STUCK 10.0

/* Where it is, and whose. */
struct control_place {
  const char *path;             /* "": none; NULL: the default, which is
                                 * ${XDG_RUNTIME_DIR or /run}/mpiscsi/NAME.sock */
  const char *config;           /* NAME is that of this file, without .conf; NULL: "nbdkit" */
  unsigned mode;                /* of the file; 0: 0600 */
  const char *group;            /* of the file, by name or number; NULL: as it comes */
};

/* Opens the socket.  Before engine_start_thread (), in the process that
 * serves.  0, or -1 with one line in err. */
extern int control_start (struct engine *e, const struct control_place *place,
                          char *err, size_t size);
/* No service thread runs.  Closes all, removes the socket; does nothing if
 * there is none.  The engine calls it at its end. */
extern void control_stop (struct engine *e);

/* What the server is called: its control socket without folder and ".sock"; ""
 * if there is none. */
extern void control_name (const struct engine *e, char *buf, size_t size);

/* Who fills in s->clients; the front end, NULL: there is none that knows them.
 * Loop's thread, before or after it runs. */
struct snapshot;
extern void control_clients (void (*list) (void *opaque, struct snapshot *s),
                             void *opaque);

/* control-verbs.c: service thread, lock held (let go of meanwhile).  The
 * answer; a new reference, NULL: no memory. */
struct control_request;
struct json_t;
extern struct json_t *control_do (struct engine *e,
                                  const struct control_request *req);
extern struct json_t *control_error (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));

/* control-reread.c: `reconfigure`, and SIGHUP.  DONE gets the answer, a new reference; NULL:
 * *error is it, at once. */
struct reread;
extern struct reread *control_reread (struct engine *e,
                                      void (*done) (void *opaque,
                                                    struct json_t *answer),
                                      void *opaque, struct json_t **error);
extern void control_reread_cancel (struct reread *reread);

#endif /* MPISCSI_CONTROL_H */
