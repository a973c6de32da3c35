/* SPDX-License-Identifier: BSD-3-Clause */
/* Persistent reservations by command: what mpathpersist does for a map.
 *
 * A registration belongs to one nexus, so REGISTER goes through every path
 * that has a session, whatever the array says of it (SPC-4 5.12.4 allows it in
 * standby), RELEASE as well, since only one nexus holds a reservation and the
 * others' do no harm; the rest through one path, and through the next one if
 * that one is not registered.  Paths that are not there now, or new ones, are
 * registered before they are used (registrant.h).
 *
 * Lock held, service thread. */
#ifndef MPISCSI_PERSIST_H
#define MPISCSI_PERSIST_H

#include "multipath/multipath.h"
#include "scsi/pr.h"

/* mpathpersist's exit status. */
enum persist_status {
  PERSIST_DONE = 0, PERSIST_NOT_READY = 2, PERSIST_MEDIUM = 3,
  PERSIST_HARDWARE = 4, PERSIST_ILLEGAL = 5, PERSIST_ATTENTION = 6,
  PERSIST_INVALID = 7, PERSIST_ABORTED = 8, PERSIST_CONFLICT = 11,
  PERSIST_NO_PATH = 13, PERSIST_OTHER = 15,
};

extern enum persist_status persist_status_of (enum scsi_result result,
                                              const struct sense *sense);

struct persist_request {
  bool in;
  enum pr_in read;              /* in */
  enum pr_out action;           /* else */
  unsigned type;
  struct pr_parameters parameters;
};

/* Does it register, or unregister?  Does it go through every path? */
extern bool persist_is_register (const struct persist_request *r);
extern bool persist_is_for_all (const struct persist_request *r);

#define PERSIST_ANSWER 65535    /* the allocation length has 16 bits */
#define PERSIST_PATHS 64        /* of a map, that are told of */

struct persist_path {
  char hcil[48], portal[300];
  enum persist_status status;
  char text[120];               /* what went wrong; "" nothing */
};

struct persist {
  struct list node;             /* map->persisting */
  struct map *map;
  struct persist_request request;
  void (*done) (struct persist *p);     /* NULL: nobody wants to know */
  void *opaque;
  /* For done: */
  enum persist_status status;
  const uint8_t *answer;        /* in, PERSIST_DONE */
  size_t answer_len;
  struct persist_path *paths;   /* that were tried */
  unsigned nr_paths;
};

/* NULL: no memory.  DONE is called later, never from in here, and then P is
 * freed. */
extern struct persist *persist_start (struct map *m,
                                      const struct persist_request *request,
                                      void (*done) (struct persist *p),
                                      void *opaque);
/* Is one at work on M?  What its paths are registered with changes: a
 * RESERVATION CONFLICT is not the last word. */
extern bool persist_runs (const struct map *m);
/* Nobody waits for it any more; what has begun goes on. */
extern void persist_abandon (struct persist *p);
/* The map goes: all of its are ended; none is told. */
extern void persist_forget (struct map *m);

#endif /* MPISCSI_PERSIST_H */
