/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of this folder. */
#ifndef MPISCSI_SESSION_INTERNAL_H
#define MPISCSI_SESSION_INTERNAL_H

#include "iscsi/session.h"

/* session-io.c, for session_new. */
extern void session_works_init (struct session *s);

/* portal-group.c: what the target says of it at login, in portal.tpgt.  From
 * the new context on; until logged in; and iscsi_service () meanwhile. */
extern void portal_group_listen (struct session *s);
extern void portal_group_known (struct session *s);
extern int portal_group_service (struct session *s, int revents);

#endif /* MPISCSI_SESSION_INTERNAL_H */
