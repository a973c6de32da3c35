/* SPDX-License-Identifier: BSD-3-Clause */
/* Between libiscsi, which logs in, and the target.
 *
 * libiscsi connects as always; we watch a duplicate of its descriptor.  Then one
 * end of a socketpair is put in the place of libiscsi's (dup2), so that every
 * byte of the login passes through here: only public functions and POSIX,
 * whatever libiscsi's version is and however it was built.  What passes is judged
 * and learned by login-filter.h.  When the login is over libiscsi's context is
 * closed, and the socket is ours, with what has come on it already.
 *
 * The other end of the socketpair is never polled: what libiscsi has to say is
 * fetched after each call of iscsi_service (), and that is called when there is
 * something for it.
 *
 * Lock held, service thread, outside of libiscsi's callbacks. */
#ifndef MPISCSI_RELAY_H
#define MPISCSI_RELAY_H

#include <stdbool.h>
#include <stdint.h>

struct command;
struct ffp_answer;
struct relay;
struct session;
struct wire;

/* S has a descriptor, and begins to connect.  NULL: errno. */
extern struct relay *relay_new (struct session *s);
/* It is connected: libiscsi gets the socketpair.  False: errno. */
extern bool relay_splice (struct session *s);
extern void relay_free (struct relay *r);
extern int relay_fd (const struct relay *r);
extern bool relay_wants_out (const struct relay *r);
/* libiscsi may have something to send. */
extern void relay_pump (struct session *s);
/* The socket is ready; or S is dying after it. */
extern void relay_ready (struct session *s, int revents);
/* Logged in: the portal group that the target told, or -1; then the socket with
 * what has come on it goes over to a wire (NULL: no memory), and R is used up. */
extern int relay_portal_group (const struct relay *r);
extern struct wire *relay_end (struct relay *r, struct session *s,
                               void (*answered) (struct command *cmd,
                                                 const struct ffp_answer *a));

#endif
