/* SPDX-License-Identifier: BSD-3-Clause */
/* Asymmetric access: the shell around rules/port-groups.h.
 *
 * A map whose LUN supports it (TPGS of INQUIRY, unless detect_prio says no)
 * has a struct alua.  Its array is asked in the probe; at each hint (a UNIT
 * ATTENTION, a refused command, a lost path) at once, through all sessions
 * that are alive; during a transition again and again; else now and then
 * through one.  An answer, whichever path it came by, settles the states and
 * the priorities of all paths of the map.
 *
 * Lock held.  Commands are sent in the service thread only (alua_check).
 */
#ifndef MPISCSI_ALUA_SHELL_H
#define MPISCSI_ALUA_SHELL_H

#include "multipath/multipath.h"
#include "rules/port-groups.h"

struct alua;

/* What a probe has found out about port groups. */
struct alua_answer {
  bool valid;                   /* report is one */
  bool refused;                 /* the target does not know that command */
  double asked;
  struct alua_report report;
};

/* The state of the unit's port in such an answer; optimized if that is not
 * said. */
extern enum alua_state alua_answer_state (const struct alua_answer *answer,
                                          const struct lu_facts *facts);
/* A probe has identified P; before P is used. */
extern void alua_path_seen (struct path *p, const struct alua_answer *answer);
/* P's memory. */
extern void alua_path_init (struct path *p);
extern void alua_path_free (struct path *p);
extern void alua_map_free (struct map *m);
/* The settings have changed. */
extern void alua_reconfigure (struct map *m);

/* May I/O be sent to the port of P?  Yes where nothing is known. */
extern bool alua_path_is_usable (const struct path *p);
/* "standby" ...: NULL where nothing is known. */
extern const char *alua_path_text (const struct path *p, bool *preferred);
/* Does P's priority come from its port group? */
extern bool alua_has_prio (const struct path *p);
extern int alua_prio (const struct path *p);
/* Do those of all paths?  Then they are grouped by it, and the best group is
 * used, if nothing else was asked for. */
extern bool alua_decides (const struct map *m);

/* A command through P was refused with this: does that say that the port
 * cannot take commands now?  Then what becomes of P has happened, and the
 * command goes back to the queue. */
extern bool alua_refused (struct path *p, enum scsi_result result,
                          const struct sense *sense);
/* Something hints at a change. */
extern void alua_ask (struct map *m);
/* Which of M's paths are usable or alive has changed. */
extern void alua_paths_changed (struct map *m);
/* No path is usable: until when does I/O wait for the array?  0: not. */
extern double alua_hold_until (struct map *m);
/* The same while nothing is served yet: is it the array's turn?  (Where we may
 * choose ourselves, the server that is about to start does.) */
extern bool alua_is_waited_for (struct map *m);
/* From the tick, and soon after alua_ask: service thread. */
extern void alua_check (struct map *m, double now);
/* By the administrator: SET TARGET PORT GROUPS for a path group (from 1).  -1:
 * err says why not. */
extern int alua_switch_group (struct map *m, unsigned index, char *err,
                              size_t size);

#endif /* MPISCSI_ALUA_SHELL_H */
