/* SPDX-License-Identifier: BSD-3-Clause */
/* Host names of portals, looked up without blocking. */
#ifndef MPISCSI_RESOLVE_H
#define MPISCSI_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>

#include <ev.h>

struct portal;
struct resolve_job;

/* Is it an address?  Then "ip:port" or "[ip]:port" is in ADDRESS. */
extern bool resolve_numeric (const struct portal *portal, char *address,
                             size_t size);
/* Else: looks it up in a thread of its own, and calls DONE from the loop: with
 * its addresses, blanks in between, in the resolver's order, or with NULL and
 * what is wrong.  The job is gone then.  NULL: no memory, or
 * no thread. */
extern struct resolve_job *resolve_start (
  struct ev_loop *loop, const struct portal *portal,
  void (*done) (void *opaque, const char *address, const char *error),
  void *opaque);
/* DONE is not called any more. */
extern void resolve_cancel (struct resolve_job *job);

#endif /* MPISCSI_RESOLVE_H */
