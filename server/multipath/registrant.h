/* SPDX-License-Identifier: BSD-3-Clause */
/* A logical unit that we are registered with, for persistent reservations: our
 * key, and whether another host has taken it away (rules/registration.h says
 * when a path may be registered).
 *
 * One for each WWID with a key, from the first probe that wants one until
 * engine_free: it outlives paths, and maps point to it.
 *
 * A map whose registrant is fenced has all of its paths in the state "fenced":
 * nothing is sent, its clients get EPERM at once, and only the administrator
 * ends that: a restart does not (rules/key-state.h).
 *
 * Lock held, everywhere.  Written by the service thread; workers read the
 * state (dispatch).
 */
#ifndef MPISCSI_REGISTRANT_H
#define MPISCSI_REGISTRANT_H

#include "multipath/multipath.h"
#include "rules/registration.h"

enum registrant_state {
  REGISTRANT_NEVER,             /* not yet, as far as we know */
  REGISTRANT_REGISTERED,
  REGISTRANT_FENCED,            /* another host has removed our key */
};

struct registrant {
  struct list node;             /* engine->registrants */
  struct engine *engine;
  char wwid[WWID_SIZE];
  uint64_t key;                 /* 0: none, by the administrator */
  bool aptpl, all_tg_pt;
  enum registrant_state state;
  /* Of the file that the next server will read (rules/key-state.h): the number
   * of the keeper's job, and when it was put; 0: none yet. */
  uint64_t job;
  double job_since;
  struct registration last;     /* for what it left in doubt */
  const void *busy;             /* whose turn it is to register; NULL: free */
  bool refused;                 /* said that the target cannot do it */
  double checked;               /* after a RESERVATION CONFLICT, last */
};

/* Before the first login; does nothing if they are there, or if this engine is
 * only a look (keeps_nothing).  Reads what the server before has left. */
extern void registrants_start (struct engine *e);
extern void registrants_free (struct engine *e);
/* Of the LUN with these facts behind S; made if the settings have a key for
 * it, or the server before had one.  NULL: there is none; or no memory, which is told. */
extern struct registrant *registrant_for (struct session *s,
                                          const struct lu_facts *facts);
extern struct registrant *registrant_find (struct engine *e, const char *wwid);
/* WHO begins to register one path.  false: somebody else is at it, ask again. */
extern bool registrant_enter (struct registrant *g, const void *who,
                              struct registration *r);
/* WHO has ended, or given up (its session is lost). */
extern void registrant_leave (struct registrant *g, const void *who,
                              const struct registration *r);
/* How that ended for S and LUN; WHY is what the target said, if it refused. */
extern enum path_admission registrant_admits (struct registrant *g,
                                              const struct session *s,
                                              unsigned lun,
                                              enum register_step step,
                                              const char *why);
/* What an answer through P says of reservations (ACTION_CHECK_REGISTRATION, or
 * a RESERVATION CONFLICT): is it still registered?  V: while our own command
 * changes that, a conflict is not the last word. */
extern void registrant_heard (struct path *p, unsigned actions);
extern void registrant_conflict (struct path *p, struct verdict *v);

/* For persist.c.  That of M, made if there is none; NULL: no memory, or this
 * engine is only a look.  WHO has its turn from now on (false: not yet), and
 * has it no more. */
extern struct registrant *registrant_make (struct map *m);
extern bool registrant_turn (struct registrant *g, const void *who);
extern void registrant_turn_over (struct registrant *g, const void *who);
/* By the administrator: this key is registered; there is none.  Fenced it is
 * no more. */
extern void registrant_set (struct registrant *g, uint64_t key, bool aptpl,
                            bool all_tg_pt);
extern void registrant_resign (struct registrant *g);
/* Are all paths of M registered still? */
extern void registrant_look (struct map *m);
/* Will the next server know of it? */
extern bool registrant_is_saved (const struct registrant *g);

#endif /* MPISCSI_REGISTRANT_H */
