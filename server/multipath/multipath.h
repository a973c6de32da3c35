/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths and maps: which path a command takes, and what its answer means. */
#ifndef MPISCSI_MULTIPATH_H
#define MPISCSI_MULTIPATH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "conf/settings.h"
#include "engine/engine.h"
#include "iscsi/session.h"
#include "multipath/request.h"
#include "rules/flap.h"
#include "rules/indoubt.h"
#include "rules/lateness.h"
#include "rules/latency.h"
#include "rules/selector.h"
#include "rules/states.h"
#include "rules/turns.h"
#include "scsi/scsi.h"

struct fence;
struct registrant;

struct alua;
struct alua_answer;

/* probe.c: identify the LUNs of a session (all, or one path's again). */
extern void probe_start (struct session *s);
extern void probe_cancel (struct session *s);
/* Lock held: something may have changed there.  Once more, as soon as it is up
 * and no probe is running. */
extern void session_look_again (struct session *s);
/* Service thread: is that so now?  From the tick. */
extern void session_look_again_if_wanted (struct session *s);
extern void session_look (struct work *w);
/* session-paths.c: a session whose LUNs are to be used; NULL: no memory. */
extern const struct session_ops path_session_ops;
extern struct session *path_session_new (struct engine *e,
                                         const struct portal *portal,
                                         const char *target);
static inline bool
session_has_paths (const struct session *s)
{
  return s->ops == &path_session_ops;
}
/* Whose turn it is may look again: there may be room now. */
extern void session_offer_room (struct session *s);

struct path {
  struct selector_path sel;
  struct list session_node;     /* session->paths */
  struct list map_node;         /* map->paths */
  struct map *map;
  struct session *session;
  unsigned lun;
  struct lu_facts facts;        /* as last read through this path */
  enum path_state state;
  struct path_group *group;
  unsigned group_index;         /* map_regroup's scratch */
  int prio;
  bool announced;               /* the disk's facts were logged once */
  double odd_size_since;        /* reads another capacity than the map; 0 no */
  struct command check;         /* the checker's command */
  bool checking;
  void *check_buf;              /* directio; NULL until first used */
  double next_check;            /* ev time */
  double check_interval;
  struct session_stats stats;
  struct latency latency;       /* of commands that succeeded */
  struct lateness lateness;     /* of reads, while they may be hedged */
  uint64_t hedges_sent, hedges_won;     /* second reads on this path */
  uint64_t hedged_away;         /* late reads of it, sent on another one */
  uint64_t path_faults;
  bool check_identity;          /* the checker's second step */
  /* Read in a state of its port in which not everything can be read. */
  bool facts_partial;
  struct {                      /* alua-ask.c: REPORT TARGET PORT GROUPS */
    struct command cmd;
    void *buf;                  /* NULL until first used */
    uint32_t size;
    bool in_flight, again, extended;
    unsigned tries;
    double sent;
  } ask;
  double slow_proof;            /* flap.h; seconds */
  struct flap flap;
  double average_latency;       /* seconds, of what was answered lately; 0 none */
  double check_sent;
  double changed;               /* its state; seconds since 1970 */
  bool asked_of_reset;          /* by path_ask_of_reset (), which goes out always */
  bool is_asked;                /* by path_ask (): with a read */
  bool deaf;                    /* rules/deaf.h: no new I/O */
  double deaf_since;
  /* When it answered a command last, and the newest submit time of those. */
  double last_answer, answered_submitted;
  struct fence *fence;          /* gate_reserve; NULL while it is not in use */
  /* path-abort.c: of what was sent before (0: none) it is not known whether it
   * will be answered; since when. */
  double abort_before, abort_since;
  bool reset_expected;          /* our own reset: its UNIT ATTENTION is no news */
};

struct path_group {
  struct selector selector;
  int prio;
  unsigned index;               /* from 1, as multipath counts */
};

/* In its whole life. */
struct fence_stats {
  uint64_t in_doubt;            /* writes that got no answer */
  uint64_t parked;              /* writes that had to wait for a fence */
  /* Lost sessions that were ended by a new login; resets sent; lost sessions
   * given up after fence_timeout. */
  uint64_t reinstated, resets, expired;
  uint64_t inherited;           /* sessions of servers that were killed */
};

struct map {
  struct engine *engine;
  struct list node;             /* engine->maps */
  struct work dispatch;         /* map_dispatch */
  ev_timer retry_timer;         /* for what is in delayed */
  struct work retry_start;
  struct work fencing;          /* gate_check */
  char *name;                   /* alias, else WWID */
  struct offload *naming;       /* its friendly name is being looked up */
  double naming_since;          /* and waited for; 0: not, or not any more */
  char wwid[WWID_SIZE];
  char target[ISCSI_NAME_SIZE]; /* where it was found first */
  struct lu_facts facts;        /* of the first path; all others agree */
  struct map_settings settings;
  struct list paths;            /* in order of discovery */
  unsigned nr_paths, nr_active;
  struct path_group *groups;
  unsigned nr_groups;
  struct path_group *current;   /* NULL: no group has an active path */
  double failback_at;           /* 0: none pending */
  struct alua *alua;            /* alua.h; NULL: all ports are alike */
  bool in_recovery;             /* queueing without a path, for a limited time */
  struct list queue;            /* commands without a path or without room, by
                                   tag (turns.h) */
  uint64_t now_tag;             /* of what was sent last */
  struct share share;           /* of requests that are of no client */
  bool waits;                   /* some path is in line for room */
  struct list delayed;
  /* Writes that were acknowledged, and up to which of them a flush has
   * reached the medium.  With more written than flushed, a target that loses
   * its cache loses data: losses counts that, and each connection's next
   * flush fails (map_flush). */
  struct registrant *registrant;        /* registrant.h; NULL: no key */
  struct list persisting;       /* struct persist, the first one is at work */
  bool reserved;                /* log_failure (dispatch.c) */
  bool said_passive;            /* that its array has no ALUA */
  double last_failure;
  unsigned failures_unsaid;
  uint64_t written, flushed;
  unsigned losses;
  /* In-doubt write fencing: fence.h. */
  struct indoubt indoubt;
  struct list parked;           /* writes that wait for a fence */
  struct list fences;
  struct session *fencer;       /* NULL: none at work */
  bool reset_sent;              /* and not answered */
  bool frozen;                  /* a reset is about to be sent: send nothing */
  bool fence_plain;
  double frozen_since, fence_retry_at;
  unsigned fence_failures;      /* fencing sessions that failed, in a row */
  unsigned fence_via;           /* id of the session whose portal the last
                                   fencing session went through */
  /* LOGICAL UNIT RESET (fence-reset.c): over which session, by id (0: there is
   * none now), and in which login of it; when it was sent (0: not yet); -1, or the
   * response. */
  unsigned reset_over;
  uint64_t reset_login;
  double reset_at;
  int reset_response;
  double reset_ended;           /* the last one */
  double reset_credit, reset_counted;   /* resets that may be sent; when */
  double grace_until;           /* paths that we took down ourselves come back */
  struct fence_stats fence_stats;
  /* Its nexuses in the state file: nexus.h. */
  bool nexus_gate;              /* writes wait until they are there */
  struct indoubt_range nexus_range;
  bool nexus_written;           /* some write has come */
  bool nexus_kept;              /* they were there, once */
  unsigned nexus_generation;    /* of the file that will have them */
  /* No path: when queueing ends.  0: not in that state; < 0: never. */
  double no_path_until;
  double retry_until;           /* the same, by no_path_retry alone */
  bool held;                    /* it waits for the array (alua.h), and said so */
  bool bad_prio;                /* said that prio_args are wrong */
  bool queueing_disabled;       /* by the administrator */
  bool suspended;               /* by the administrator */
  double queueing_since;        /* without a path; 0: not now */
  double queue_seconds;         /* spent that way before */
  double latency_checked;       /* when, last */
  uint64_t queue_timeouts, group_switches, loads;
  /* UNIT ATTENTION 38/07: how often; when, and when it was said, last. */
  uint64_t thin_thresholds;
  double thin_threshold, thin_said;
  uint64_t transfer_limit;      /* bytes of one command */
  /* Of the settings.  Workers look without the lock: a stale value costs one
   * read without a hedge, or some memory. */
  _Atomic bool hedges;
  struct {
    struct list out;            /* struct hedge */
    unsigned nr_out;
    uint64_t bytes_out;
    struct hedge_budget budget;
    uint64_t sent, won, refused;        /* reads; by the budget */
  } hedging;
  /* Tried, and refused as unknown; workers read and write without the lock:
   * a stale value costs one more try. */
  _Atomic bool no_write_same, no_ndob, no_unmap;
  /* GET LBA STATUS: refusals in a row; not asked before (engine_now ()). */
  _Atomic unsigned status_refusals;
  _Atomic double status_at;
};

/* path.c, path-check.c: lock held. */
extern void path_event (struct path *p, enum path_event ev, const char *why);
extern struct path *path_find (struct session *s, unsigned lun);
/* May a path be used, as far as persistent reservations (registrant.h) and
 * arrays without ALUA (conf/devices.h) go? */
enum path_admission {
  PATH_IS_ADMITTED, PATH_IS_FENCED,
  PATH_IS_NOT_READY,            /* its key could not be registered */
  PATH_IS_PASSIVE,              /* another controller has the LUN: no ALUA */
};
/* A probe identified LUN through S: make the path, or check and reinstate. */
extern void path_identified (struct session *s, unsigned lun,
                             const struct lu_facts *facts,
                             enum path_admission admission,
                             const struct alua_answer *ports);
/* A LUN that we know is no longer there, or not usable. */
extern void path_vanished (struct path *p, const char *why);
extern void path_check (struct path *p, double now);
/* The checker asks now, also if there is no room for commands: a UNIT ATTENTION
 * may be waiting. */
extern void path_ask_of_reset (struct path *p, double now);
/* Reads a block through it now; what comes of it is in last_answer and
 * answered_submitted. */
extern void path_ask (struct path *p, double now);
/* deaf.c: from the tick. */
extern void path_check_deaf (struct path *p, double now);
/* Compare the latencies of a map's paths; mark the slow ones. */
extern void map_check_latency (struct map *m);
/* The target said that it was reset or restarted (29/00..04), or that an
 * acknowledged write failed (deferred error). */
extern void path_target_reset (struct path *p);
/* What an answer through P, to a command of that time, says of its target; and
 * that one says nothing. */
extern void path_heard (struct path *p, unsigned actions, double submitted);
extern void path_heard_nothing (struct path *p, double submitted);
/* path-abort.c.  What was sent through P before BEFORE will perhaps not be
 * answered: find out, and have it sent again.  Also from inside libiscsi. */
extern void path_abort_tasks (struct path *p, double before);
/* Service thread, from each gate_check. */
extern void map_check_aborted (struct map *m, double now);
/* S ends, or may end, because of us: nobody is to see an error for that. */
extern void session_give_grace (struct session *s);
/* Nothing is in flight on it; its session has no connection. */
extern void path_free (struct path *p);
/* path-loss.c: service thread.  From the tick: dev_loss_tmo. */
extern void session_check_loss (struct session *s, double now);
/* map-name.c: lock held.  Sets m->name, by its settings; -1: no memory, as it
 * was. */
extern int map_choose_name (struct map *m);
extern void map_forget_name (struct map *m);
/* It will not be another one in a moment. */
extern bool map_is_named (const struct map *m);
extern void map_check_name (struct map *m, double now);
/* No lock, before anything is served: reads the bindings file.  Once. */
extern void map_names_start (struct engine *e);
extern void map_names_free (struct engine *e);
/* map.c: lock held. */
extern struct map *map_new (struct engine *e, const struct lu_facts *facts,
                            const char *target);
extern void map_free (struct map *m);
/* Take engine->settings, which have changed.  -1: no memory, as it was. */
extern int map_reconfigure (struct map *m);
extern void map_add_path (struct map *m, struct path *p);
extern void path_set_prio (struct path *p);
extern void map_regroup (struct map *m);
/* The same after priorities have changed: the group in use stays so where
 * failback does not say that it is to go back at once. */
extern void map_regroup_keep (struct map *m);
/* How paths are grouped, and when the best group is gone back to: as set, or as
 * detect_pgpolicy and detect_prio have it. */
extern enum grouping map_grouping (const struct map *m);
extern int map_failback (const struct map *m);
/* A path that is alive, but not usable, has come or gone. */
extern void map_hold_changed (struct map *m);
extern void map_path_failed (struct map *m, struct path *p);
extern void map_path_reinstated (struct map *m, struct path *p);
extern void map_choose_group (struct map *m, bool failback);
/* Its registrant is fenced now: no path is used, I/O fails with EPERM. */
extern void map_fenced (struct map *m);
extern bool map_is_fenced (const struct map *m);
/* That its paths are, or were, registered with; 0: none. */
extern uint64_t map_reservation_key (const struct map *m);
/* Tells the observer, if there is one. */
extern void map_note_change (const struct map *m, const char *fs, ...)
  __attribute__ ((format (printf, 2, 3)));
/* SEEN is the path whose facts were just read. */
extern void map_capacity_seen (struct map *m, const struct path *seen);
extern void map_refresh_facts (struct map *m, const struct lu_facts *facts);
/* By the administrator: without a path, fail I/O at once whatever
 * no_path_retry says; and as it says again. */
/* By the administrator: nothing new is sent until it is resumed. */
extern void map_suspend (struct map *m, bool suspend);
extern void map_set_queueing (struct map *m, bool enabled);
/* P is about to be freed; nothing is in flight on it. */
extern void map_remove_path (struct map *m, struct path *p);
/* A path with room for one more command of BYTES, or NULL. */
extern struct path *map_select_path (struct map *m, uint32_t bytes);
/* dispatch.c: lock held. */
extern void map_submit (struct map *m, struct request *req);
extern void map_dispatch (struct map *m);
/* For map_new, map_free. */
extern void map_works_init (struct map *m);
extern void map_works_cancel (struct map *m);
/* Before the lock is let go. */
extern void schedule_dispatch (struct map *m);
extern void map_requeue (struct map *m, struct command *cmd);
/* From the tick: queueing without a path may be over; failback may be due. */
extern void map_check (struct map *m, double now);
extern void map_wake_delayed (struct map *m, double now);
extern void map_fail_all (struct map *m, int error);
/* For command_answered and hedge.c: what an answer says of the path and its
 * target besides; and the statistics of a good one. */
extern void path_verdict_actions (struct path *p, const struct verdict *v,
                                  double submitted);
extern void path_answered (struct path *p, const struct command *cmd,
                           double seconds);
/* What a client's commands are: dispatch.c. */
extern const struct command_ops client_command_ops;
/* A command that was sent through its path is over, one way or another. */
extern void path_command_over (struct command *cmd);
#endif /* MPISCSI_MULTIPATH_H */
