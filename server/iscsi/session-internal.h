/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of this folder. */
#ifndef MPISCSI_SESSION_INTERNAL_H
#define MPISCSI_SESSION_INTERNAL_H

#include "iscsi/session.h"

/* portal-group.c: what the target says of it at login, in portal.tpgt.  From
 * the new context on; until logged in; and iscsi_service () meanwhile. */
extern void portal_group_listen (struct session *s);
extern void portal_group_known (struct session *s);
extern int portal_group_service (struct session *s, int revents);

/* resolve.c: looks up a name in a thread of its own; session_resolved () is
 * called in the service thread.  Numeric addresses answer without a thread. */
struct resolve_job;
extern struct resolve_job *resolve_start (struct session *s);
extern void resolve_cancel (struct resolve_job *job);
extern void resolve_poll (struct session *s);

#endif /* MPISCSI_SESSION_INTERNAL_H */
