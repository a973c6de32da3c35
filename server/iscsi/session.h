/* SPDX-License-Identifier: BSD-3-Clause */
/* An iSCSI session, from connect to logout.  What others may use; the files of
 * this folder have session-internal.h besides. */
#ifndef MPISCSI_SESSION_H
#define MPISCSI_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "base/list.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "iscsi/command.h"
#include "iscsi/guard.h"
#include "rules/states.h"
#include "rules/turns.h"

struct map;
struct path;
struct probe;
struct relay;
struct resolve_job;
struct wire;

/* What a session is for.  Service thread, lock held, if nothing else is said. */
enum session_next {             /* after a failure, or a loss: */
  SESSION_RETRIES,              /* logs in again, with back-off */
  SESSION_RETRIES_SLOWLY,       /* each max_polling_interval */
  SESSION_ENDS,
};

struct session_ops {
  /* Of iSCSI's discovery type: SendTargets and nothing else. */
  bool discovery;
  /* There because a portal is configured, or was found: others serve one of
   * those, and end with what they have to do. */
  bool of_portal;
  /* The login goes through the security stage, also without CHAP. */
  bool (*secure) (const struct session *s);
  /* In full feature phase: looks at what is there, and says
   * session_event (s, SESSION_EV_PROBED) when that is done. */
  void (*logged_in) (struct session *s);
  void (*up) (struct session *s);
  /* Nothing is to be sent this way any more: before the connection is closed,
   * and its commands are given back. */
  void (*down) (struct session *s, const char *why);
  enum session_next (*lost) (struct session *s);
  void (*closed) (struct session *s);
  void (*freed) (struct session *s);
  /* Any thread, also inside libiscsi: a command is over, there is room. */
  void (*room) (struct session *s);
  /* Is there another usable session for all that goes through this one?  When
   * was one of them last heard of?  NULL: its health is nobody's business. */
  bool (*others) (const struct session *s, double now, double *last_rx);
  /* Ask those that would not tell by themselves (session_ping). */
  void (*ask_others) (struct session *s, double now);
};
/* Why the last attempt failed; worst news for the person at the terminal. */
enum session_failure {
  FAIL_NONE, FAIL_RESOLVE, FAIL_REFUSED, FAIL_UNREACHABLE, FAIL_TIMEOUT,
  FAIL_AUTH, FAIL_NOT_FOUND, FAIL_FORBIDDEN, FAIL_LOGIN, FAIL_LOST,
};

struct session_tmf;

struct session_stats {
  uint64_t ios, bytes_read, bytes_written, errors, retries, logins, losses;
};

struct session {
  struct engine *engine;
  struct list node;             /* engine->sessions */
  const struct session_ops *ops;
  void *opaque;                 /* of whoever gave the ops */
  struct portal portal;         /* as configured or discovered: the name */
  char name[300];               /* "10.0.0.1:3260", for logs */
  char target[ISCSI_NAME_SIZE]; /* "" for discovery */
  /* The engine's, but a fence may be for the nexus of an older server. */
  char initiator[ISCSI_NAME_SIZE];
  uint32_t isid_random;
  uint32_t isid_qualifier;      /* 0: not yet (session_choose_isid) */
  unsigned nth;                 /* of several to one portal, from 0 */
  unsigned id;                  /* number in logs and listings, from 1 */

  enum session_state state;
  /* Connecting and logging in; with libiscsi's full feature phase also after. */
  struct iscsi_context *ctx;
  struct relay *relay;          /* between ctx and the target, at login */
  struct wire *wire;            /* then the connection is here, and ctx NULL */
  void (*reset_done) (struct session *s, uint8_t response);
  void (*text_done) (struct session *s, const char *text, size_t size);
  struct guard guard;
  bool dying;                   /* ctx is dead; service thread will reap it */
  struct work flush;            /* send what libiscsi has queued */
  struct work watch;            /* session_update_watcher */
  struct work reap;             /* it is dying, or closed and to be forgotten */
  struct work event_work;       /* event, from a callback */
  enum session_event event;
  bool sends_data;              /* a write was submitted since the last flush */
  /* Commands that were alone in flight, in a row; see server/README. */
  unsigned solo;
  bool worker_polls;
  bool used;                    /* since the last tick */
  enum session_failure failure;
  char why[400];                /* text of the last failure */
  unsigned attempt;             /* since the last success */
  bool settled;                 /* was up, or failed, at least once */
  bool secured;                 /* this login goes through the security stage */
  bool plain_login;             /* not with made-up credentials again */
  double login_began, login_took;       /* the last one; the last good one */
  double login_patience;        /* seconds; 0: login_timeout */
  bool ever_up;
  bool asked_to_move;           /* the target wants to have it logged in again */
  bool forget;                  /* free it when it is closed */
  unsigned redirects;
  char address[300];            /* numeric ip:port to connect to */
  char addresses[640];          /* more of them, with blanks in between */
  bool was_told;                /* by discovery, at told_by */
  struct portal told_by;
  struct resolve_job *resolving;

  ev_io io;                     /* service thread only */
  ev_timer timer;               /* login deadline or back-off; same */
  double timer_at;              /* when it is due, by engine_now () */

  struct list in_flight;        /* struct command, oldest first */
  unsigned nr_in_flight;
  unsigned depth;               /* limit; queue_depth at most, less after
                                   TASK SET FULL */
  unsigned limit_now;           /* depth while up, else 0: selectors look here */
  bool flat_luns;               /* LUNs in flat form, also those below 256 */
  double last_rx;
  double ping_sent;
  double awake_since;           /* answers come in, without a gap */
  double unacked_since;         /* health.h; by bytes_acked of the last look */
  uint64_t bytes_acked;
  struct session_stats stats;
  struct list tmfs;             /* struct session_tmf: task management without
                                   an answer, with libiscsi's */
  double received;              /* what was submitted until then has come to the
                                   target: later ones were answered */

  /* multipath/: session.c makes them empty. */
  struct list paths;            /* struct path, session_node */
  struct turns turns;           /* of its paths, while there is no room */
  struct probe *probe;          /* running, NULL if none */
  double look_at;               /* look again then; 0 never */
  bool size_unknown;            /* of a LUN that waits for that */
  bool look_again;              /* the target said that something changed: */
  struct work look;             /* look what is behind it, if that is possible */
  double lost_since;            /* has paths, but no login; 0 otherwise */
  bool forgotten;               /* path-loss.c took its paths away */
  bool no_reset;                /* its target does without, for fence.c */
  int noted_tpgt;               /* portal group, for nexus.c */
};

/* session.c: service thread, lock held. */
extern struct session *session_new (struct engine *e,
                                    const struct session_ops *ops,
                                    const struct portal *portal,
                                    const char *target);
/* One with paths, before its first login. */
extern void session_choose_isid (struct session *s);
extern void session_free (struct session *s);
extern void session_event (struct session *s, enum session_event ev);
/* From the engine's tick. */
extern void session_tick (struct session *s, double now);
/* From a callback of libiscsi: EV, once that has returned. */
extern void session_event_later (struct session *s, enum session_event ev);
/* It is to be freed as soon as it is closed. */
extern void session_forget (struct session *s);
/* Is there a connection, or is one being made? */
static inline bool
session_is_connected (const struct session *s)
{
  return s->ctx != NULL || s->wire != NULL;
}
/* session-io.c: any thread, lock held. */
extern int session_fd (const struct session *s);        /* -1: none */
extern void session_submit (struct session *s, struct command *cmd);
extern bool session_has_room (const struct session *s);
/* What is still to come of CMD, a read in flight, goes to BUF. */
extern void session_redirect (struct command *cmd, void *buf);
/* Commands may be sent this way, once it is up; or not any more, or fewer at a
 * time: selectors look at limit_now. */
extern void session_open (struct session *s);
extern void session_shut (struct session *s);
extern void session_lower_depth (struct session *s);
extern void session_set_depth (struct session *s, unsigned depth);
/* Asks it whether it is alive. */
extern void session_ping (struct session *s, double now);
/* A worker polls it: is it to go on? */
extern bool session_is_solo (const struct session *s);
/* Back to the service thread. */
extern void session_unsolo (struct session *s);
/* Send what libiscsi has queued: at once (not from inside a callback), or soon. */
extern void session_flush (struct session *s);
extern void session_flush_soon (struct session *s);
/* The connection is no good any more.  Safe everywhere, callbacks too. */
extern void session_kill (struct session *s, enum session_failure failure,
                          const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));
extern void session_ready (struct session *s, int revents);
/* session-tmf.c: service thread, not from inside a callback.
 * ABORT TASK: when the target says that there is no such task any more, CMD is
 * answered with TASK ABORTED; if it refuses that, cmd->abort_refused.  False:
 * not now. */
extern bool session_abort (struct session *s, struct command *cmd);
/* LOGICAL UNIT RESET, over a session that goes on.  What it has of that LUN in
 * flight, and was sent before, is answered with TASK ABORTED if that is done.
 * DONE is called in the place of a command's answer, with the response (RFC 7143
 * 11.6.1); not if the session dies.  False: not now. */
extern bool session_reset_lun (struct session *s, unsigned lun,
                               void (*done) (struct session *s,
                                             uint8_t response));

extern const struct session_ops discovery_ops;

#endif /* MPISCSI_SESSION_H */
