/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the files of this folder. */
#ifndef MPISCSI_SERVICE_INTERNAL_H
#define MPISCSI_SERVICE_INTERNAL_H

#include "service/service.h"

/* No lock: wake the workers of what engine_settle collected. */
extern void requests_wake (struct request *completed);
/* Hands the request over.  When its one command is in flight on a session
 * that its worker polls (server/README, Who polls), *fd is that session's socket, which may
 * be closed and used for something else any time, and engine_poll_done is to
 * be called when it is readable; else -1. */
extern void engine_submit (struct engine *e, struct request *req, int *fd);
/* Those from LAST to FIRST by next, for which nobody will poll. */
extern void engine_submit_all (struct engine *e, struct request *first,
                               struct request *last);
/* Reads what there is; READABLE false: gives the socket to the service
 * thread.  Returns as engine_submit. */
extern void engine_poll_done (struct engine *e, struct request *req,
                              bool readable, int *fd);

#endif /* MPISCSI_SERVICE_INTERNAL_H */
