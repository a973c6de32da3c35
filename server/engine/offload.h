/* SPDX-License-Identifier: BSD-3-Clause */
/* What may block (a name service, a disk that hangs) is done in a thread of its
 * own, without the lock; the loop goes on when it is done.  The thread and the
 * loop share the job; the last of the two frees it, so that what hangs holds up
 * nothing, not even the end of the server. */
#ifndef MPISCSI_OFFLOAD_H
#define MPISCSI_OFFLOAD_H

struct ev_loop;
struct offload;

/* Calls WORK (DATA) in the thread, then DONE (OPAQUE, DATA) in the loop's, and
 * FREE_DATA (DATA) at the end, in whichever.  NULL: there is no memory, or no
 * thread; nothing is called, and DATA is the caller's still. */
extern struct offload *offload_start (struct ev_loop *loop,
                                      void (*work) (void *data),
                                      void (*done) (void *opaque, void *data),
                                      void (*free_data) (void *data),
                                      void *data, void *opaque);
/* The loop's thread: DONE is not called any more.  Not from DONE. */
extern void offload_cancel (struct offload *o);

#endif /* MPISCSI_OFFLOAD_H */
