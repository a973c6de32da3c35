/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of this folder. */
#ifndef MPISCSI_SESSION_INTERNAL_H
#define MPISCSI_SESSION_INTERNAL_H

#include "iscsi/session.h"

/* session-common.c */
extern void session_set_timer (struct session *s, double after);
/* As many more, or fewer, are in flight. */
extern void session_count (struct session *s, int n);
/* The connection is lost: ERROR of a system call, or 0, the target closed it. */
extern void session_lost (struct session *s, int error);

/* session-login.c.  To s->address; then what its events say. */
extern double session_login_patience (const struct session *s);
extern void session_connect (struct session *s);
extern void session_log_in (struct session *s);
/* True: s->address is the new one, to connect to. */
extern bool session_redirected (struct session *s);
extern bool session_log_out (struct session *s);
/* Logged in: the connection is ours, if it is to be.  False: it dies. */
extern bool session_take_over (struct session *s);
/* libiscsi's part is over. */
extern void session_drop_context (struct session *s);
/* Does this process speak the full feature phase itself? */
extern bool session_is_own (void);

/* session-where.c.  For messages: " to ADDRESS" if the name does not say it. */
extern const char *session_elsewhere (const struct session *s, char *buf,
                                      size_t size);
/* Another address of the name is in s->address; false: there is no more. */
extern bool session_next_address (struct session *s);
/* It has failed, for the first time: if discovery told the address, why says so,
 * and if nothing that it told can be reached, the portal that was asked is
 * tried. */
extern void session_told_wrong (struct session *s);
/* Logged in: is another session there already, by another name?  Says so. */
extern bool session_is_double (struct session *s);

/* session-io.c */
extern void session_update_watcher (struct session *s);
/* CMD has an answer, on our own full feature phase. */
struct ffp_answer;
extern void session_answered (struct command *cmd, const struct ffp_answer *a);
/* For session_new. */
extern void session_works_init (struct session *s);

/* session-io.c */
extern void session_end_command (struct command *cmd);
/* By libiscsi, into the socket. */
extern bool session_all_sent (const struct session *s);
/* session-common.c: the response to session_reset_lun () is there. */
extern void session_was_reset (struct session *s, uint8_t response);

/* session-tmf.c: the context is gone. */
extern void session_tmfs_forget (struct session *s);

/* portal-group.c: what the target says of it at login, in portal.tpgt.  From
 * the new context on; until logged in; and iscsi_service () meanwhile. */
extern void portal_group_listen (struct session *s);
extern void portal_group_known (struct session *s);
extern int portal_group_service (struct session *s, int revents);
/* -1: it did not say. */
extern void portal_group_told (struct session *s, int tag);
/* -1: it did not say. */
extern void portal_group_told (struct session *s, int tag);

/* session-io.c: CMD has an answer, on our own full feature phase. */
struct ffp_answer;
extern void session_answered (struct command *cmd, const struct ffp_answer *a);
/* session.c: does this process speak the full feature phase itself? */
extern bool session_is_own (void);

/* discovery.c: all of the answer to SendTargets. */
extern void discovery_answered (struct session *s, const char *text,
                                size_t size);

#endif /* MPISCSI_SESSION_INTERNAL_H */
