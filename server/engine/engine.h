/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine: one loop, one lock, one clock.  All that is made of sessions,
 * paths and maps hangs on it; what it is used for is none of its business.
 *
 * The lock covers everything: it is held for microseconds, never while waiting.
 * The service thread runs the loop and lets go of the lock while it blocks;
 * only it touches ev_* watchers.  Whoever holds the lock may submit commands.
 * server/README has the threads, and the life of a command.
 */
#ifndef MPISCSI_ENGINE_H
#define MPISCSI_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <pthread.h>

#include <ev.h>

#include "base/list.h"
#include "base/log.h"
#include "conf/settings.h"
#include "rules/states.h"
#include "scsi/scsi.h"

struct control;
struct engine;
struct gate_ops;
struct map;
struct map_names;
struct nexus_keeper;
struct path;
struct portal;
struct registrants;
struct request;
struct session;

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

/* One way to say "later": something to do, on the engine's queue once at most
 * however often it was asked for.  It lies in what it is for. */
struct work {
  struct list node;             /* alone: not queued */
  void (*run) (struct work *w);
};
extern void work_init (struct work *w, void (*run) (struct work *w));
/* What it is for goes. */
extern void work_cancel (struct work *w);
/* Lock held, from inside libiscsi too.  Before the lock is let go, outside of
 * libiscsi, in whichever thread; in the order of the calls. */
extern void engine_soon (struct engine *e, struct work *w);
/* The same in the service thread, which may start timers, and free sessions. */
extern void engine_later (struct engine *e, struct work *w);

/* What the engine calls: service/ has them.  Lock held if nothing else is
 * said. */
struct engine_hooks {
  /* Takes what clients have handed over; false: there was nothing. */
  bool (*take) (struct engine *e);
  /* Without the lock: these are complete, linked by next. */
  void (*completed) (struct request *completed);
  /* Without the lock, after it was let go: has somebody handed something over,
   * and relied on us since he did not get the lock? */
  bool (*handed_over) (struct engine *e);
  /* From time to time, in the service thread; is there work in flight? */
  bool (*tick) (struct engine *e, double now);
  /* A session was up, or has failed. */
  void (*settled) (struct engine *e);
  /* Discovery has found one: a session for it, if there is none.  ASKED: the
   * portal that told it; NULL: nobody had to. */
  void (*add_target) (struct engine *e, const struct portal *portal,
                      const char *target, const struct portal *asked);
};

/* clock.c. */
struct engine_clock {
  uint64_t last_turn;           /* ns, CLOCK_MONOTONIC; 0: none yet */
};

struct engine {
  const struct settings *settings;
  const struct engine_hooks *hooks;
  char initiator_name[ISCSI_NAME_SIZE];
  uint32_t isid_random;         /* 24 bits, one per process; or nexus.c's */
  uint64_t canary;              /* session-io.c: random */

  pthread_mutex_t lock;
  struct request *_Atomic pending;      /* the one thing outside the lock */
  /* Commands on all sessions.  Written under the lock; a worker that reads it
   * without may be wrong by a few (service/submit.c). */
  _Atomic unsigned in_flight;

  struct ev_loop *loop;
  ev_async kick;                /* stop is set, or more work for the loop */
  ev_async submitted;           /* something is in pending */
  ev_timer tick;
  ev_prepare prepare;
  ev_check check;
  struct engine_clock clock;
  pthread_t thread;
  int cpu;                      /* affinity.c; -1: any */
  bool one_cpu;                 /* there is no other */
  bool threaded;                /* the service thread runs */
  bool keeps_nothing;           /* only a look at what is there: no file of the
                                   state directory is written, no key is
                                   registered */
  /* RUN TO COMPLETION: thread is the one whose loop it is. */
  bool run_to_completion;
  _Atomic unsigned lock_wanted; /* by others, of that thread */
  pthread_cond_t lock_returned;
  /* Before the loop blocks; true: there is something new to settle. */
  bool (*end_of_turn) (void *opaque);
  void *end_of_turn_opaque;
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
  struct work new_sessions;     /* start them */
  char odd_target[ISCSI_NAME_SIZE];     /* discovery.c: said of this one */
  /* The default export (service/default-export.c): the node of the map that
   * was the only one when all sessions had settled; the WWID that it has, and
   * that the file has.  "": none. */
  struct list *alone;
  char default_wwid[WWID_SIZE], default_kept[WWID_SIZE];
  bool recalls;                 /* there is a file */
  /* Whose worker holds the lock to submit it, and could poll for it. */
  const struct request *submitter;
  unsigned next_session_id;
  /* Is this ISID qualifier one of a session that is gone, but may live on at
   * its target?  NULL: none is. */
  bool (*isid_taken) (struct engine *e, uint32_t qualifier);
  struct request *completed;    /* to be woken after unlock */
  ev_timer hedge_timer;
  struct work hedge_start;      /* the timer */
  bool hedge_awake;             /* it runs, or is about to */
  bool hedgeable_sent;          /* since its last look */
  uint64_t failovers;           /* commands sent again on another path */
  uint64_t last_origin;
  struct list soon, later;      /* struct work */
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
  const struct gate_ops *gate;  /* gate.h; NULL: nobody has registered */
  struct metrics_http *metrics; /* metrics-http.c; NULL: no listener */
  struct control *control;      /* control.c; NULL: no socket */
  struct nexus_keeper *nexus;   /* nexus.c; NULL: nothing is kept */
  struct map_names *names;      /* map-name.c; NULL: not read yet */
  struct registrants *registrants;      /* registrant.h; NULL: none */
  /* For `reconfigure`; NULL: there is nothing to read again.  A thread of its own,
   * no lock: reads the configuration.  NULL, and one line in err. */
  struct settings *(*reread) (void *opaque, char *err, size_t size);
  /* Service thread, lock held: takes what was read.  0, or -1 and err. */
  int (*reconfigure) (void *opaque, struct settings *settings, char *err,
                      size_t size);
  void *reconfigure_opaque;
};

/* engine.c */
/* Keep the calling thread, and those it makes, on the CPU of the service
 * thread, if settings say so: waking a thread on another CPU costs more than
 * all of a small request (affinity.c). */
extern void engine_bind_thread (struct engine *e);
extern int affinity_choose (enum affinity affinity);
/* Has this process one CPU only? */
extern bool affinity_one_cpu (void);

/* Seconds, monotonic, in which this process ran (clock.c).  Any thread. */
extern double engine_now (void);
/* What tells the time, in ns: CLOCK_MONOTONIC.  Another one is for tests, and
 * not to be set while threads run. */
extern uint64_t (*engine_clock) (void);

/* NULL: errno.  The settings must outlive it. */
extern struct engine *engine_create (const struct settings *settings,
                                     const struct engine_hooks *hooks);
extern void engine_destroy (struct engine *e);
extern int engine_start_thread (struct engine *e);
extern void engine_stop_thread (struct engine *e);
/* (server/README.)  From now on the calling thread has the lock; its loop runs
 * until ev_break; and it has it no more. */
extern void engine_own_loop (struct engine *e);
extern void engine_run (struct engine *e);
extern void engine_disown_loop (struct engine *e);
/* Takes the lock.  Leaves: does all work that there is, which sends commands, lets
 * go of the lock, and then tells those whose requests are complete. */
extern void engine_enter (struct engine *e);
extern void engine_leave (struct engine *e);
/* Lock held: does all work, until there is none left. */
extern void engine_settle (struct engine *e);
/* The service thread lets others have the lock, and takes it back: sessions and
 * maps do not go meanwhile. */
extern void engine_lend (struct engine *e);
extern void engine_take_back (struct engine *e);
/* Any thread, without the lock too: the loop does not block any longer. */
extern void engine_kick (struct engine *e);
/* The same, for what clients have handed over. */
extern void engine_wake (struct engine *e);
extern void engine_changed (struct engine *e);  /* lock held */
/* Logs the line; keeps the first (a fatal one wins) for engine_verdict. */
extern void engine_complain (struct engine *e, bool fatal, const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));
extern void engine_note_wwid (struct engine *e, const char *wwid);
/* WHY: which rule has left it out. */
extern void engine_note_blacklisted (struct engine *e, const char *portal,
                                     unsigned lun, const char *why);

/* In (0, 1]: jitter. */
extern double engine_random (struct engine *e);

#endif /* MPISCSI_ENGINE_H */
