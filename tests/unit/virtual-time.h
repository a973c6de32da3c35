/* SPDX-License-Identifier: BSD-3-Clause */
/* Time that only passes when nobody has anything to do: a test that runs the whole
 * server, with its threads, waits for a second in less than a millisecond. */
#ifndef MPISCSI_VIRTUAL_TIME_H
#define MPISCSI_VIRTUAL_TIME_H

/* From now on CLOCK_MONOTONIC, epoll_wait, poll, nanosleep, usleep, sem_clockwait
 * and pthread_cond_timedwait of this process go by virtual time; not with
 * ThreadSanitizer, which has to see them.  First of all in main (). */
extern void virtual_time_start (void);

#endif /* MPISCSI_VIRTUAL_TIME_H */
