/* SPDX-License-Identifier: BSD-3-Clause */
/* The socket of a session in the full feature phase, and who speaks on it:
 * ffp.h.  One receive for all that is there, data straight to where it belongs;
 * one send for all that is due.
 *
 * Lock held; any thread, but for wire_new and wire_free. */
#ifndef MPISCSI_WIRE_H
#define MPISCSI_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iscsi/ffp.h"

struct command;
struct session;
struct wire;

/* FD is its from now on; IN has come on it already, and is not used before the
 * first wire_ready ().  NULL: no memory, and FD is still the caller's. */
extern struct wire *wire_new (struct session *s, int fd,
                              const struct ffp_start *start, const uint8_t *in,
                              size_t size,
                              void (*answered) (struct command *cmd,
                                                const struct ffp_answer *a));
/* Closes the socket.  All tasks are the caller's again. */
extern void wire_free (struct wire *w);
extern int wire_fd (const struct wire *w);
extern bool wire_wants_out (const struct wire *w);
extern void wire_submit (struct session *s, struct command *cmd);
extern void wire_ready (struct session *s, int revents);
/* Sends what is due. */
extern void wire_flush (struct session *s);
extern struct ffp *wire_ffp (struct wire *w);

#endif
