/* SPDX-License-Identifier: BSD-3-Clause */
/* The qualifier of a session's ISID (RFC 7143 11.12.5): a function of what the
 * session leads to, and not of the order in which sessions are made.  A
 * target knows a registration of a persistent reservation by initiator name,
 * ISID and portal group: after a restart it is found again.
 *
 * Pure. */
#ifndef MPISCSI_ISID_H
#define MPISCSI_ISID_H

#include <stdint.h>

/* For the session number NTH (from 0) to PORTAL ("10.0.0.1:3260") of TARGET;
 * never 0.  ROUND: from 0; the next one if another session has this one
 * already. */
extern uint32_t isid_qualifier (const char *target, const char *portal,
                                unsigned nth, unsigned round);

#endif /* MPISCSI_ISID_H */
