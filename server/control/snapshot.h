/* SPDX-License-Identifier: BSD-3-Clause */
/* A copy of what the engine has: plain data, for listings.
 *
 * snapshot_take () needs the engine lock; the copy belongs to the caller, is
 * not changed by anybody else, and may be read without any lock. */
#ifndef MPISCSI_SNAPSHOT_H
#define MPISCSI_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi/scsi.h"
#include "conf/settings.h"
#include "rules/latency.h"
#include "rules/nexus-state.h"
#include "rules/states.h"

struct engine;
struct path;

#define SNAPSHOT_NAME 300

struct snapshot_counters {
  uint64_t ios, bytes_read, bytes_written, errors, retries;
  /* Late reads of this path that went out on another one as well; such reads
   * of other paths on this one, and how many of them it answered first. */
  uint64_t hedged, hedges, hedges_won;
  unsigned in_flight;
  double mean, p99;             /* seconds from sending to the answer */
};

struct snapshot_path {
  char portal[SNAPSHOT_NAME];   /* "10.0.0.1:3260" */
  char target[ISCSI_NAME_SIZE];
  unsigned session;             /* its number */
  int tpgt;                     /* -1 unknown */
  unsigned lun;
  enum path_state state;
  enum session_state session_state;
  int prio;
  int port_group;               /* target port group; -1 unknown */
  const char *port_group_state; /* "standby" ...; static; NULL unknown */
  bool preferred;
  uint64_t faults;              /* times it failed */
  double changed;               /* its state; seconds since 1970 */
  struct latency latency;
  struct snapshot_counters counters;
};

struct snapshot_group {
  unsigned index;               /* from 1 */
  int prio;
  bool current;                 /* I/O goes here */
  unsigned first, nr_paths;     /* in the map's paths */
};

struct snapshot_map {
  unsigned index;               /* from 0, in order of discovery */
  char *name;                   /* alias, else WWID */
  struct lu_facts facts;
  enum selector_kind selector;
  enum checker_kind checker;
  bool alua;                    /* all paths have it, and it is used */
  int failback, no_path_retry;
  bool queueing_disabled, suspended;    /* by the administrator */
  bool queueing;                /* now: no path, and I/O waits for one */
  double queueing_left;         /* seconds; < 0: for ever */
  double queue_seconds;         /* so far, in its whole life */
  uint64_t queue_timeouts, group_switches, loads;
  uint64_t thin_thresholds;     /* that its pool has passed */
  bool fenced;                  /* registrant.h */
  uint64_t reservation_key;     /* 0: none */
  /* Fencing (fence.h): counters of its whole life; and lost sessions that are
   * not fenced yet, writes that wait for that, now. */
  struct {
    uint64_t in_doubt, parked, reinstated, resets, expired, inherited;
    unsigned pending, waiting;
    enum nexus_record record;
  } fence;
  bool hedged_reads;
  uint64_t hedges, hedges_won, hedges_refused;
  unsigned queued;              /* commands that wait for a path or for room */
  unsigned nr_active;
  unsigned nr_groups, nr_paths;
  struct snapshot_group *groups;
  struct snapshot_path *paths;  /* in order of groups */
};

struct snapshot_session {
  unsigned id;
  char portal[SNAPSHOT_NAME];
  char target[ISCSI_NAME_SIZE]; /* "" for discovery */
  int tpgt;
  enum session_state state;
  char why[400];                /* text of the last failure; "" none */
  uint64_t logins, losses;
};

/* Of our own NBD server. */
struct snapshot_client {
  unsigned id;
  char peer[120], export[512];
  const char *state;
  bool tls, extended;
  unsigned in_flight;           /* requests, until their replies are sent */
  uint64_t memory;              /* bytes that they take */
  uint64_t reads, writes, others, errors, bytes_read, bytes_written;
  double mean, p99;             /* seconds from request to answer */
  double connected;             /* seconds */
};

struct snapshot {
  int pid;
  char server[64];              /* of its control socket; "" none */
  uint64_t failovers;
  char initiator_name[ISCSI_NAME_SIZE];
  unsigned nr_maps, nr_sessions;
  struct snapshot_map *maps;
  struct snapshot_session *sessions;
  unsigned nr_clients;
  struct snapshot_client *clients;      /* NULL: not asked for */
};

/* Lock held.  Only the map with the name or WWID ONLY, if that is not NULL
 * (then none if there is no such map).  NULL: no memory. */
extern struct snapshot *snapshot_take (struct engine *e, const char *only);
extern void snapshot_free (struct snapshot *s); /* NULL ok */

#endif /* MPISCSI_SNAPSHOT_H */
