/* SPDX-License-Identifier: BSD-3-Clause */
/* The multipath server: its threads, its locks, and the life of a request.
 *
 * THREADS
 *
 * - Readers: one per NBD connection, whichever of nbdkit's threads reads its
 *   socket (plugin/stream.h).  It makes requests of plain reads and writes,
 *   starts them with requests_start (), and reads on.
 * - Workers: nbdkit's threads (16 per connection), for all other requests, and
 *   for all of them where there is no shortcut.  A worker builds a request on
 *   its own stack, hands it over with request_run (), and sleeps until it is
 *   complete.
 * - The service thread, one per process: runs the libev loop.  It owns all
 *   watchers and timers, connects, logs in, finds out that a session died,
 *   and destroys dead sessions.  It also sends most of the replies to readers'
 *   requests, as far as the client's socket takes them at once.
 * - Writers: one per NBD connection whose client has been slower than that.
 * - The log thread: writes log lines, so that no other one has to wait for who
 *   reads them (log-thread.c).
 * - Resolver threads: one per host name being looked up; they touch nothing
 *   of the engine but their own job (resolve.c).
 * - The keeper, if a state file is kept: writes it, without the lock (nexus.c).
 *
 * LOCKING
 *
 * There is one lock, engine->lock.  It covers everything here: sessions,
 * paths, maps, requests between submit and completion, and each libiscsi
 * context (1.19 is not thread-safe).  It is held for microseconds, never
 * while waiting for anything.  The service thread lets go of it while
 * it blocks in epoll (ev_set_loop_release_cb), so that workers can send
 * commands meanwhile.
 *
 * To submit, a reader or worker does not wait for the lock.  It pushes its
 * requests on the lock-free stack engine->pending.  With little in flight (less than
 * HAND_OVER commands; with one CPU reads always) it tries the lock and sends
 * the command itself.  If that fails, whoever holds it will look at the stack
 * AFTER having let go (engine_unlock), so that no request is left behind.  With
 * more in flight a worker only wakes the service thread, once for all that
 * is on the stack when it gets there: what is taken together is sent together,
 * in one TCP segment (session_flush), and that is cheaper for us and for the
 * target.  A reader always tries the lock: it has read all that was there, and
 * sends that together.
 *
 * Whoever holds the lock may submit commands to libiscsi and write to its
 * socket, but only the service thread may touch ev_* watchers: others set
 * the state (engine->need_watchers, session->dying) and call engine_kick ().
 *
 * WHO POLLS
 *
 * Usually the service thread polls all sockets.  But then a client that has
 * one request at a time pays for two thread switches per request, where a worker
 * sleeps for it (a reader does not, and never polls).  So a session that had one command in flight at a time for a while is left to its
 * workers (session->worker_polls, after SOLO_ENOUGH): the service thread stops
 * watching its socket, and the worker that has sent the command polls it itself,
 * for a few milliseconds.  A second command, an answer that takes longer, or a quiet
 * time (tick) give the socket back to the service thread.
 *
 * libiscsi calls back from inside iscsi_service (): never destroy, never
 * submit from there.  Callbacks put the command on a list (done, requeue) and
 * return; engine_settle (), run before the lock is let go and by the service
 * thread before it blocks, does the rest.
 *
 * COMPLETION
 *
 * A request is complete when its last command is.  Completed requests are
 * collected while the lock is held; after it was let go their workers are
 * woken (only sleeping ones cost a system call), and request->done is called
 * once for all that have one.  After that a request belongs to its worker
 * again, and may be gone from the stack, or to the reader's next request.
 *
 * LIFE OF A COMMAND
 *
 *   worker: request_run -> pending          reader: requests_start -> pending
 *   lock:   map_submit -> map->queue -> map_dispatch: selector picks a path
 *           -> session_submit (in session->in_flight)
 *   answer: command_done -> verdict ->
 *             DONE, FAIL     request_part_done
 *             RETRY          head of map->queue
 *             RETRY_LATER    map->delayed until its time
 *             PATH           path fails; head of map->queue
 *   session dies: all of session->in_flight -> head of map->queue, in order,
 *           AFTER the context is destroyed, since libiscsi keeps pointers to
 *           the tasks inside the commands until then.
 *   late: a read, if the settings say so, goes out on another path as well;
 *           when that one wins it has no request any more (hedge.h).
 *   no usable path: no_path_retry decides: fail at once, or wait in
 *           map->queue until a path is back or the time is over.
 *
 * So each command is in exactly one place: a session's in_flight list, its
 * map's queue, or its map's delayed list; and it leaves by request_part_done,
 * once.
 *
 * OWNERSHIP
 *
 * The engine owns sessions, maps and paths; they are made by the thread that
 * holds the lock.  Maps live until engine_free (), so connections may keep
 * pointers to them.  Sessions (`mpiscsi del`) and paths (with their session,
 * or by dev_loss_tmo) may go before that, in the service thread, when nothing
 * is in flight on them: whoever lets go of the lock must look them up again.
 */
#ifndef MPISCSI_ENGINE_H
#define MPISCSI_ENGINE_H

#include <stdatomic.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <pthread.h>

#include <ev.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "rules/flap.h"
#include "iscsi/guard.h"
#include "rules/health.h"
#include "rules/indoubt.h"
#include "rules/lateness.h"
#include "base/list.h"
#include "scsi/scsi.h"
#include "rules/selector.h"
#include "conf/settings.h"
#include "rules/states.h"

struct engine;
struct probe;
struct session;
struct path;
struct map;
struct request;
struct hedge;

/* ---- log.c --------------------------------------------------------------- */

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
                 LOG_LEVEL_DEBUG };
/* Any thread.  One line without a newline. */
extern void log_line (enum log_level level, const char *fs, ...)
  __attribute__ ((format (printf, 2, 3)));
#define log_error(...) log_line (LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line (LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line (LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line (LOG_LEVEL_DEBUG, __VA_ARGS__)
/* Where lines go; the default writes "mpiscsi: LINE" to stderr.  Not while
 * other threads log. */
extern void log_set_sink (void (*sink) (enum log_level level, const char *line));

/* log-thread.c: from now on a thread of its own calls the sink, so that nobody
 * waits for who reads the log; what does not fit into its queue is dropped,
 * and the log says how many lines.  -1 and errno: all is as it was. */
extern int log_thread_start (void);
/* Ends it when all is written, at most TIMEOUT seconds from now; if it hangs
 * then, that line was the last one. */
extern void log_thread_stop (double timeout);

/* ---- commands and requests ------------------------------------------------ */

enum request_op {
  OP_READ, OP_WRITE, OP_FLUSH, OP_UNMAP, OP_WRITE_SAME, OP_LBA_STATUS,
};

/* One SCSI command; a part of a request.  All under the engine lock from
 * request_run () until its request is complete. */
struct command {
  struct list node;             /* in_flight, queue, delayed or told */
  struct request *req;          /* NULL: internal (probe, checker) */
  struct path *path;            /* in flight here; NULL: not sent */
  struct session *session;      /* in flight here; NULL: not sent */
  struct scsi_task task;        /* embedded: no allocation per command */
  struct scsi_iovec iov;
  uint8_t cdb[16];
  uint8_t cdb_len;
  unsigned lun;
  enum scsi_xfer_dir dir;
  uint32_t bytes;               /* expected transfer length */
  void *buf;
  /* guard.c, bytes: of a read, what came; of a write, the end of what is in
   * the socket, of what the target may have, and of the last R2T. */
  uint32_t arrived, sent, asked, r2t_end;
  uint64_t lba;                 /* what it touches; blocks 0: nothing */
  uint32_t blocks;
  bool modifies;                /* write, unmap, write same */
  uint64_t origin;              /* in-doubt: number of this write; 0 none yet */
  bool aborted;                 /* by our own LOGICAL UNIT RESET: not in doubt */
  bool may_be_short;            /* an answer shorter than bytes is good */
  bool hedgeable;               /* in a struct read_parts: may be hedged */
  bool hedged;                  /* was, once: never again */
  bool refused;                 /* by the budget; perhaps not the next time */
  struct hedge *hedge;          /* hedge.h: of it, or that it belongs to */
  bool optional;                /* not every target has it: no error in the log */
  uint8_t parameters[24];       /* UNMAP's list with one range */
  bool accounted;               /* counts in the selector */
  double submitted;             /* engine_now (), this time */
  double first_submitted;       /* 0: not yet */
  double not_before;            /* in map->delayed until then */
  unsigned retries;             /* verdicts other than PATH */
  unsigned failovers;
  /* Internal commands: called under the lock, never from inside libiscsi. */
  void (*done) (struct command *cmd, enum scsi_result result,
                const struct sense *sense);
  void *opaque;
  enum scsi_result result;      /* internal: kept until done is called */
  struct sense sense;
};

#define REQUEST_INLINE_PARTS 1

struct request {
  struct request *next;         /* in pending, or in engine->completed; before
                                   and after that its owner's */
  struct map *map;
  enum request_op op;
  struct command *parts;        /* &part, or malloc'd by request_run's caller */
  bool hedgeable;               /* parts are of read_parts_new () */
  struct command part;
  unsigned nr_parts;
  uint64_t flush_reaches;       /* map->written when the flush was sent */
  unsigned parts_left;
  int error;                    /* 0 or the errno of the first failed part */
  uint32_t residual;            /* may_be_short: bytes that did not come */
  _Atomic int state;            /* request.c */
  /* Nobody sleeps for it: called when it is complete, without the lock, by
   * whichever thread has let go of it; with all others that have one and are
   * complete too, by next, the first one first: there is one such function in
   * a process.  NULL: a worker does. */
  void (*done) (struct request *completed);
};

/* request.c: worker threads.  Synchronous; each returns 0, or -1 with errno
 * one of EIO ENOSPC EPERM ENOMEM ESHUTDOWN ENOTSUP EINVAL.  offset and count
 * are bytes, multiples of the logical block size (else EINVAL). */
extern int map_read (struct map *map, void *buf, uint32_t count, uint64_t offset);
extern int map_write (struct map *map, const void *buf, uint32_t count,
                      uint64_t offset, bool fua);
extern int map_flush (struct map *map);
/* *losses: what the connection knows of map->losses; EIO, and up to date
 * after, when there were more: data that it was told is written may be gone. */
extern int map_flush_told (struct map *map, unsigned *losses);
extern unsigned map_losses (struct map *map);
/* provision.c: worker threads; the same errors, and ENOTSUP when the LUN
 * cannot do it.  Advisory: what the LUN does not unmap is left as it is. */
extern int map_trim (struct map *map, uint32_t count, uint64_t offset);
/* may_trim: the blocks may be unmapped if they read as zeroes then.
 * fast: ENOTSUP at once unless that is what happens. */
extern int map_zero (struct map *map, uint32_t count, uint64_t offset,
                     bool may_trim, bool fast);
/* The status of the blocks from LBA on; returns how many entries of OUT were
 * filled (at least 1, the first one contains LBA), or -1. */
extern int map_lba_status (struct map *map, uint64_t lba, uint32_t blocks,
                           struct lba_status *out, int max);
/* What the LUN said it can do, and did not refuse so far. */
extern bool lu_can_trim (const struct lu_facts *lu);
extern bool map_can_extents (struct map *map);
/* Asynchronous reads and writes: any thread.  Prepares a zeroed request (the
 * caller sets done), 0 or -1 with errno EINVAL (as above, or no bytes) or
 * ENOMEM.  REQ and BUF must stay as they are until done is called. */
extern int request_transfer (struct request *req, struct map *map, void *buf,
                             uint32_t count, uint64_t offset, bool write,
                             bool fua);
/* Starts those that are linked by next, of one engine, the last one first. */
extern void requests_start (struct request *last);
/* In done: frees what request_transfer has made; 0, or the errno. */
extern int request_end (struct request *req);
/* For those two files: a zeroed request of N commands, run, and its errno. */
extern int request_init (struct request *req, struct map *map,
                         enum request_op op, unsigned nr_parts);
extern int request_finish (struct request *req);
/* Lock held: the last step of each part; ERROR 0 or errno. */
extern void request_part_done (struct engine *e, struct command *cmd, int error);
extern void request_part_over (struct engine *e, struct request *req, int error);
/* No lock: wake the workers of what engine_settle collected. */
extern void requests_wake (struct request *completed);
extern void command_prepare (struct command *cmd, int cdb_len,
                             enum scsi_xfer_dir dir, void *buf, uint32_t bytes);

/* ---- sessions --------------------------------------------------------------- */

enum session_kind { SESSION_NORMAL, SESSION_DISCOVERY, SESSION_FENCE };
/* Why the last attempt failed; worst news for the person at the terminal. */
enum session_failure {
  FAIL_NONE, FAIL_RESOLVE, FAIL_REFUSED, FAIL_UNREACHABLE, FAIL_TIMEOUT,
  FAIL_AUTH, FAIL_NOT_FOUND, FAIL_FORBIDDEN, FAIL_LOGIN, FAIL_LOST,
};

struct session_stats {
  uint64_t ios, bytes_read, bytes_written, errors, retries, logins, losses;
};

struct session {
  struct engine *engine;
  struct list node;             /* engine->sessions */
  enum session_kind kind;
  struct portal portal;         /* as configured or discovered: the name */
  char name[300];               /* "10.0.0.1:3260", for logs */
  char target[ISCSI_NAME_SIZE]; /* "" for discovery */
  /* The engine's, but a fence may be for the nexus of an older server. */
  char initiator[ISCSI_NAME_SIZE];
  uint32_t isid_random;
  uint32_t isid_qualifier;
  unsigned id;                  /* number in logs and listings, from 1 */

  enum session_state state;
  struct iscsi_context *ctx;    /* NULL: no connection */
  struct guard guard;
  bool dying;                   /* ctx is dead; service thread will reap it */
  bool need_flush;              /* in engine->flush */
  bool sends_data;              /* a write was submitted since the last flush */
  /* Commands that were alone in flight, in a row; see WHO POLLS. */
  unsigned solo;
  bool worker_polls;
  bool used;                    /* since the last tick */
  bool starved;                 /* a map waits for room on it */
  struct list flush_node;
  int deferred_event;           /* session_event from a callback; -1 none */
  enum session_failure failure;
  char why[400];                /* text of the last failure */
  unsigned attempt;             /* since the last success */
  bool settled;                 /* was up, or failed, at least once */
  /* This login goes through the security stage, or cannot: see fence.c. */
  bool secured;
  bool fence_plain;             /* not with made-up credentials again */
  /* SESSION_FENCE: what it was made for. */
  struct map *fence_map;
  unsigned fence_lun;
  bool fence_reset;             /* to reset the LUN; else to log in */
  bool fence_sent, fence_done;
  double login_patience;        /* seconds; 0: login_timeout */
  bool ever_up;
  bool forget;                  /* free it when it is closed */
  double lost_since;            /* has paths, but no login; 0 otherwise */
  bool forgotten;               /* path-loss.c took its paths away */
  unsigned redirects;
  char address[300];            /* numeric ip:port to connect to */
  struct resolve_job *resolving;

  ev_io io;                     /* service thread only */
  ev_timer timer;               /* login deadline or back-off; same */

  struct list in_flight;        /* struct command, oldest first */
  unsigned nr_in_flight;
  unsigned depth;               /* limit; queue_depth at most, less after
                                   TASK SET FULL */
  unsigned limit_now;           /* depth while up, else 0: selectors look here */
  bool want_probe;              /* the target said that something changed */
  double last_rx;
  double ping_sent;
  double awake_since;           /* answers come in, without a gap */
  double unacked_since;         /* health.h; by bytes_acked of the last look */
  uint64_t bytes_acked;
  struct list paths;            /* struct path, session_node */
  struct probe *probe;          /* running, NULL if none */
  struct session_stats stats;
};

/* session.c: service thread, lock held. */
extern struct session *session_new (struct engine *e, enum session_kind kind,
                                    const struct portal *portal,
                                    const char *target);
extern void session_free (struct session *s);
extern void session_event (struct session *s, enum session_event ev);
extern void session_reap (struct session *s);
extern void session_update_watcher (struct session *s);
extern void session_check_health (struct session *s, double now);
extern void session_resolved (struct session *s, const char *address,
                              const char *error);
/* session-io.c: any thread, lock held. */
extern void session_submit (struct session *s, struct command *cmd);
extern bool session_has_room (const struct session *s);
extern void session_count (struct session *s, int n);
/* A worker polls it: is it to go on? */
extern bool session_is_solo (const struct session *s);
/* Back to the service thread. */
extern void session_unsolo (struct session *s);
/* Send what libiscsi has queued.  Not from inside a callback. */
extern void session_flush (struct session *s);
/* The connection is no good any more.  Safe everywhere, callbacks too. */
extern void session_kill (struct session *s, enum session_failure failure,
                          const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));
extern void session_ready (struct session *s, int revents);

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

/* ---- probing ---------------------------------------------------------------- */

/* probe.c: identify the LUNs of a session (all, or one path's again). */
extern void probe_start (struct session *s);
extern void probe_cancel (struct session *s);
/* discovery.c */
extern void discovery_start (struct session *s);

/* ---- paths and maps ----------------------------------------------------------- */

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
  double slow_proof;            /* flap.h; seconds */
  struct flap flap;
  double average_latency;       /* seconds, of what was answered lately; 0 none */
  double check_sent;
  struct fence *fence;          /* fence_reserve; NULL while it is not in use */
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
  struct list dispatch_node;    /* engine->dispatch, or alone */
  char *name;                   /* alias, else WWID */
  char wwid[WWID_SIZE];
  struct lu_facts facts;        /* of the first path; all others agree */
  struct map_settings settings;
  struct list paths;            /* in order of discovery */
  unsigned nr_paths, nr_active;
  struct path_group *groups;
  unsigned nr_groups;
  struct path_group *current;   /* NULL: no group has an active path */
  double failback_at;           /* 0: none pending */
  bool in_recovery;             /* queueing without a path, for a limited time */
  struct list queue;            /* commands without a path or without room */
  struct list delayed;
  /* Writes that were acknowledged, and up to which of them a flush has
   * reached the medium.  With more written than flushed, a target that loses
   * its cache loses data: losses counts that, and each connection's next
   * flush fails (map_flush). */
  bool reserved;                /* log_failure (dispatch.c) */
  double last_failure;
  unsigned failures_unsaid;
  uint64_t written, flushed;
  unsigned losses;
  /* In-doubt write fencing: fence.h. */
  struct indoubt indoubt;
  struct list parked;           /* writes that wait for a fence */
  struct list fences;
  struct session *fencer;       /* NULL: none at work */
  bool frozen;                  /* a reset is about to be sent: send nothing */
  bool fence_plain;
  double frozen_since, fence_retry_at;
  unsigned fence_failures;      /* fencing sessions that failed, in a row */
  unsigned fence_via;           /* id of the session whose portal the last
                                   fencing session went through */
  double grace_until;           /* paths that we took down ourselves come back */
  struct fence_stats fence_stats;
  /* Its nexuses in the state file: nexus.h. */
  bool nexus_gate;              /* writes wait until they are there */
  struct indoubt_range nexus_range;
  bool nexus_written;           /* some write has come */
  unsigned nexus_generation;    /* of the file that will have them */
  /* No path: when queueing ends.  0: not in that state; < 0: never. */
  double no_path_until;
  bool bad_prio;                /* said that prio_args are wrong */
  bool queueing_disabled;       /* by the administrator */
  double queueing_since;        /* without a path; 0: not now */
  double queue_seconds;         /* spent that way before */
  double latency_checked;       /* when, last */
  uint64_t queue_timeouts, group_switches, loads;
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
  _Atomic bool no_write_same, no_ndob, no_unmap, no_lba_status;
};

/* path.c, path-check.c: lock held. */
extern void path_event (struct path *p, enum path_event ev, const char *why);
extern struct path *path_find (struct session *s, unsigned lun);
/* A probe identified LUN through S: make the path, or check and reinstate. */
extern void path_identified (struct session *s, unsigned lun,
                             const struct lu_facts *facts);
/* A LUN that we know is no longer there, or not usable. */
extern void path_vanished (struct path *p, const char *why);
extern void path_check (struct path *p, double now);
/* Compare the latencies of a map's paths; mark the slow ones. */
extern void map_check_latency (struct map *m);
/* The target said that it was reset or restarted (29/00..04), or that an
 * acknowledged write failed (deferred error). */
extern void path_target_reset (struct path *p);
/* Nothing is in flight on it; its session has no connection. */
extern void path_free (struct path *p);
/* path-loss.c: service thread.  From the tick: dev_loss_tmo. */
extern void session_check_loss (struct session *s, double now);
/* map.c: lock held. */
extern struct map *map_new (struct engine *e, const struct lu_facts *facts,
                            const char *target);
extern void map_free (struct map *m);
/* Take engine->settings, which have changed.  -1: no memory, as it was. */
extern int map_reconfigure (struct map *m);
extern void map_add_path (struct map *m, struct path *p);
extern void path_set_prio (struct path *p);
extern void map_regroup (struct map *m);
extern void map_path_failed (struct map *m, struct path *p);
extern void map_path_reinstated (struct map *m, struct path *p);
extern void map_choose_group (struct map *m, bool failback);
/* Tells the observer, if there is one. */
extern void map_note_change (const struct map *m, const char *fs, ...)
  __attribute__ ((format (printf, 2, 3)));
/* SEEN is the path whose facts were just read. */
extern void map_capacity_seen (struct map *m, const struct path *seen);
extern void map_refresh_facts (struct map *m, const struct lu_facts *facts);
/* By the administrator: without a path, fail I/O at once whatever
 * no_path_retry says; and as it says again. */
extern void map_set_queueing (struct map *m, bool enabled);
/* P is about to be freed; nothing is in flight on it. */
extern void map_remove_path (struct map *m, struct path *p);
/* A path with room for one more command of BYTES, or NULL. */
extern struct path *map_select_path (struct map *m, uint32_t bytes);
/* dispatch.c: lock held. */
extern void map_submit (struct map *m, struct request *req);
extern void map_dispatch (struct map *m);
extern void map_requeue (struct map *m, struct command *cmd);
/* From the tick: queueing without a path may be over; failback may be due. */
extern void map_check (struct map *m, double now);
extern void map_wake_delayed (struct map *m, double now);
extern void map_fail_all (struct map *m, int error);
/* For command_answered and hedge.c: what an answer says of the path and its
 * target besides; and the statistics of a good one. */
extern void path_verdict_actions (struct path *p, const struct verdict *v);
extern void path_answered (struct path *p, const struct command *cmd,
                           double seconds);
/* From a libiscsi callback: what to do with the answer to a NBD command. */
extern void command_answered (struct command *cmd, enum scsi_result result,
                              const struct sense *sense);
/* Session died: command was in flight on it.  Lock held, ctx destroyed. */
extern void command_lost (struct command *cmd);

/* ---- the engine -------------------------------------------------------------- */

/* Who wants to know of changes.  Called by any thread with the lock held,
 * also from inside libiscsi: may only take notes. */
struct observer {
  void (*path_changed) (const struct path *p, enum path_state from,
                        const char *why);       /* why may be NULL */
  void (*session_changed) (const struct session *s, enum session_state from);
  void (*map_changed) (const struct map *m, const char *what);
  /* The loop is about to go: once, without the lock, no service thread. */
  void (*stop) (struct engine *e);
};

struct engine {
  const struct settings *settings;
  char initiator_name[ISCSI_NAME_SIZE];
  uint32_t isid_random;         /* 24 bits, one per process; or nexus.c's */
  uint64_t canary;              /* session-io.c: random */

  pthread_mutex_t lock;
  struct request *_Atomic pending;      /* the one thing outside the lock */
  /* Commands on all sessions.  Written under the lock; a worker that reads it
   * without may be wrong by a few (engine_submit). */
  _Atomic unsigned in_flight;

  struct ev_loop *loop;
  ev_async kick;
  ev_async submitted;           /* something is in pending */
  ev_timer tick;
  ev_prepare prepare;
  pthread_t thread;
  int cpu;                      /* affinity.c; -1: any */
  bool one_cpu;                 /* there is no other */
  bool threaded;                /* the service thread runs */
  bool stop;                    /* set under lock; service thread ends */
  bool shutdown;                /* no new work: queued I/O fails */
  double shutdown_at;
  bool stuck;                   /* some I/O waits for more than a second */
  /* Start-up has made progress (engine_find_map waits).  changes is written
   * under both locks and read under either. */
  pthread_mutex_t changed_lock;
  pthread_cond_t changed;
  unsigned changes;

  struct list sessions, maps;
  unsigned nr_sessions;         /* made by engine_add_target */
  /* Whose worker holds the lock to submit it, and could poll for it. */
  const struct request *submitter;
  unsigned next_session_id;
  struct request *completed;    /* to be woken after unlock */
  struct list dispatch;         /* maps with something to send */
  struct list flush;            /* sessions with something to write */
  struct list told;             /* internal commands that have an answer */
  struct list hedges_over;      /* to be freed outside of libiscsi */
  ev_timer hedge_timer;
  bool hedge_awake;             /* the timer runs, or is about to */
  bool hedgeable_sent;          /* since its last look */
  uint64_t failovers;           /* commands sent again on another path */
  bool need_fence;              /* fence_check for all maps, soon */
  uint64_t last_origin;
  bool need_reap, need_watchers;
  bool in_settle;
  bool loop_is_ours;            /* the holder of the lock is the service thread
                                   (or there is none): may touch watchers */
  /* What went wrong while probing, for the person at the terminal. */
  char *complaint;              /* first one; NULL none */
  bool complaint_fatal;         /* not only a warning when other paths work */
  char other_wwids[300];        /* seen, but not what wwid= asks for */
  unsigned blacklisted;         /* LUNs found through a session, and left out */
  char blacklisted_first[600];
  /* NULL: sessions are made for what discovery finds.  Else it is only told,
   * in the service thread with the lock held. */
  void (*found) (void *opaque, const struct session *s,
                 const struct portal *portal, const char *target);
  void *found_opaque;

  const struct observer *observer;      /* NULL: nobody */
  struct control *control;      /* control.c; NULL: no socket */
  struct nexus_keeper *nexus;   /* nexus.c; NULL: nothing is kept */
  /* Service thread, lock held: read the configuration again.  0, or -1 with
   * one line in err.  NULL: there is none. */
  int (*reconfigure) (void *opaque, char *err, size_t size);
  void *reconfigure_opaque;
};

/* engine.c */
/* Reads settings only; they must outlive it.  NULL: errno. */
extern struct engine *engine_new (const struct settings *settings);
/* Start sessions or discovery for every configured portal. */
extern void engine_start (struct engine *e);
/* Run the loop in the calling thread until every session has settled or
 * TIMEOUT seconds are over. */
extern void engine_run_until_settled (struct engine *e, double timeout);
/* 0, or -1 with one line for the user in err: is there anything to serve? */
extern int engine_verdict (struct engine *e, char *err, size_t size);
extern int engine_start_thread (struct engine *e);
/* Keep the calling thread, and those it makes, on the CPU of the service
 * thread, if settings say so: waking a thread on another CPU costs more than
 * all of a small request (affinity.c). */
extern void engine_bind_thread (struct engine *e);
extern int affinity_choose (enum affinity affinity);
/* Has this process one CPU only? */
extern bool affinity_one_cpu (void);
/* Fail what is queued, log out (bounded by TIMEOUT seconds), end the thread. */
extern void engine_shutdown (struct engine *e, double timeout);
/* At once and from any thread: no more waiting for paths; queued I/O fails
 * with ESHUTDOWN; what is in flight is answered, or its session dies. */
extern void engine_abandon (struct engine *e);
extern void engine_free (struct engine *e);
/* Service thread, lock held: go on with other settings, which must outlive
 * the engine, as the old ones must.  Portals that are new are logged in to;
 * what is in use stays in use. */
extern int engine_reconfigure (struct engine *e,
                               const struct settings *settings);
/* Waits until some I/O is stuck (true), or the engine is shut down (false). */
extern bool engine_wait_stuck (struct engine *e);

extern void engine_lock (struct engine *e);
extern void engine_unlock (struct engine *e);
/* Hands the request over.  When its one command is in flight on a session
 * that its worker polls (WHO POLLS), *fd is that session's socket, which may
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
extern void engine_kick (struct engine *e);
extern void engine_changed (struct engine *e);  /* lock held */
extern void engine_settle (struct engine *e);
/* Logs the line; keeps the first (a fatal one wins) for engine_verdict. */
extern void engine_complain (struct engine *e, bool fatal, const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));
extern void engine_note_wwid (struct engine *e, const char *wwid);
/* Sessions for one more target portal; does nothing if it is known. */
extern void engine_add_target (struct engine *e, const struct portal *portal,
                               const char *target);
/* For `add` and `del`: service thread, lock held.  Discovery there, or a
 * session for the configured target; false: nothing to do, or no memory. */
extern bool engine_add_portal (struct engine *e, const struct portal *portal,
                               bool forget);
/* Logs out of all that is at the portal and forgets it; how many sessions. */
extern unsigned engine_del_portal (struct engine *e,
                                   const struct portal *portal);

/* Maps, for connections: any thread, takes the lock.  Waits until start-up
 * has settled, at most TIMEOUT.  NULL: err says why; it lists the exports
 * when NAME is "" and there are several. */
extern struct map *engine_find_map (struct engine *e, const char *name,
                                    double timeout, char *err, size_t size);
/* Lock held: each session was up, or has failed, at least once. */
extern bool engine_all_settled (struct engine *e);
/* Until each session was up or has failed once, at most TIMEOUT seconds. */
extern void engine_wait_settled (struct engine *e, double timeout);
/* A copy, as they are now. */
extern void map_get_facts (struct map *m, struct lu_facts *facts);
/* Calls f for each map, lock held. */
extern void engine_each_map (struct engine *e,
                             void (*f) (struct map *m, void *opaque),
                             void *opaque);
/* Seconds, monotonic.  Any thread. */
extern double engine_now (void);
extern void schedule_dispatch (struct map *m);
/* In (0, 1]: jitter. */
extern double engine_random (struct engine *e);

#endif /* MPISCSI_ENGINE_H */
