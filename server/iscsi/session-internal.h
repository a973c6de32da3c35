/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of this folder. */
#ifndef MPISCSI_SESSION_INTERNAL_H
#define MPISCSI_SESSION_INTERNAL_H

#include "iscsi/session.h"

/* session-common.c */
extern void session_set_timer (struct session *s, double after);
/* As many more, or fewer, are in flight. */
extern void session_count (struct session *s, int n);

/* session-login.c.  To s->address; then what its events say. */
extern double session_login_patience (const struct session *s);
extern void session_connect (struct session *s);
extern void session_log_in (struct session *s);
/* True: s->address is the new one, to connect to. */
extern bool session_redirected (struct session *s);
extern bool session_log_out (struct session *s);

/* session-io.c */
extern void session_update_watcher (struct session *s);
/* For session_new. */
extern void session_works_init (struct session *s);

/* portal-group.c: what the target says of it at login, in portal.tpgt.  From
 * the new context on; until logged in; and iscsi_service () meanwhile. */
extern void portal_group_listen (struct session *s);
extern void portal_group_known (struct session *s);
extern int portal_group_service (struct session *s, int revents);

#endif /* MPISCSI_SESSION_INTERNAL_H */
