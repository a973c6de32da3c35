/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread for what may block: writing files of the state directory, whose disk
 * may hang, or may even be the one that we serve.
 *
 * Jobs are done in order.  A job is malloc'd memory that begins with struct
 * job; it must know nothing of the engine, which may be gone when its turn
 * comes. */
#ifndef MPISCSI_KEEPER_H
#define MPISCSI_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

struct keeper;

struct job {
  struct job *next;
  void (*run) (struct job *job);        /* in the thread; it is freed after */
};

/* NULL: errno. */
extern struct keeper *keeper_start (void);
/* The number of the job, from 1. */
extern uint64_t keeper_put (struct keeper *k, struct job *job);
/* Is that one done, and all before it? */
extern bool keeper_is_done (struct keeper *k, uint64_t number);
/* Waits until all is done, at most SECONDS (whole ones); then the thread is
 * left to itself, and false is returned.  NULL ok. */
extern bool keeper_stop (struct keeper *k, unsigned seconds);

#endif /* MPISCSI_KEEPER_H */
