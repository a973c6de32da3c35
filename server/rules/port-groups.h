/* SPDX-License-Identifier: BSD-3-Clause */
/* The target port groups of one logical unit: what the array says of them,
 * for how long I/O waits for it, when to ask again, and when to ask for a
 * change (SPC-4 5.15).
 *
 * Pure: time is an argument, in seconds.  The rules:
 *
 * - One answer settles all groups.  An answer is of the moment when it was
 *   asked for: older ones say nothing any more.  Where answers of one moment
 *   differ, a group's own port knows best.
 * - A command that is refused (NOT READY 04/0A, 0B, 0C) says at once what has
 *   become of its group.  A group that the array calls active, and that goes
 *   on refusing, is believed less and less quickly.
 * - While some group is in transition, or none can be used, the array is
 *   asked every 0.25 s, after a minute every second.
 * - I/O waits as long as a transition may take, from when nothing could be
 *   used.  A transition that begins meanwhile gets its own time, once.
 * - SET TARGET PORT GROUPS (arrays with explicit ALUA) only where no group
 *   that we reach is active: at once where the array does not move by
 *   itself, else after a second.  A group that somebody took away from us is
 *   left alone for a minute while another one is active: two hosts that each
 *   reach one controller must not play ping-pong.  Failures: 1, 2, 4 ... 30 s.
 */
#ifndef MPISCSI_PORT_GROUPS_H
#define MPISCSI_PORT_GROUPS_H

#include "scsi/alua.h"

#define PORT_GROUPS_ASK_MIN 0.25
#define PORT_GROUPS_ASK_MAX 1.0
/* The array's own choice, or another host's, counts for so long. */
#define PORT_GROUPS_RESPECT 60.0

struct port_group {
  uint16_t id;
  enum alua_state state;
  bool preferred;
  bool live;                    /* the caller: a session that answers leads there */
  bool own;                     /* state is from one of its own ports */
  double as_of;                 /* when that was asked for */
  bool was_active;              /* before the transition that it is in, if any */
  double taken_at;              /* active until then; not our doing; 0 never */
  unsigned refusals;            /* while it was said to be active */
  double refused_at, believe_at;
};

struct port_groups {
  struct port_group groups[ALUA_MAX_GROUPS];
  unsigned nr;                  /* 0: nothing was said yet */
  unsigned transition_time;     /* seconds, as the array says; 0 it does not */
  double transition_since;      /* some group is in transition; 0 none */
  /* Nothing can be used, though sessions are alive. */
  double idle_since;            /* 0: something can be */
  double idle_until;            /* I/O waits for so long */
  bool extended;                /* by a transition that began meanwhile */
  double set_at;                /* SET TARGET PORT GROUPS, last; 0 never */
  double set_again;             /* not before */
  double set_delay;
  uint16_t set_group;
};

/* Tells of each group that changes; FROM is what it was.  A group that is new
 * has none: NULL. */
typedef void (*port_group_changed) (void *opaque, const struct port_group *g,
                                    const enum alua_state *from);

extern void port_groups_init (struct port_groups *pg);
/* NULL: the array did not say anything of it. */
extern struct port_group *port_groups_find (struct port_groups *pg,
                                            uint16_t id);
/* Takes an answer that was asked for at ASKED, through a port of the group VIA
 * (-1 unknown).  Did anything change? */
extern bool port_groups_report (struct port_groups *pg,
                                const struct alua_report *report, int via,
                                double asked, double now,
                                port_group_changed changed, void *opaque);
/* A command through the group ID was refused so. */
extern bool port_groups_refused (struct port_groups *pg, uint16_t id,
                                 enum alua_state state, double now,
                                 port_group_changed changed, void *opaque);
/* May I/O be sent there?  Also in lba-dependent. */
extern bool alua_is_active (enum alua_state state);
/* libmultipath's: 50, 10, 5, 1, 0; and 80 more for a preferred group which is
 * not optimized, or (exclusive_pref_bit) in any case. */
extern int alua_priority (enum alua_state state, bool preferred,
                          bool exclusive_pref_bit);

/* For how long a transition may last: as the array says, else FALLBACK. */
extern double port_groups_patience (const struct port_groups *pg,
                                    double fallback);
/* Whenever it may have changed: is there a path that can be used, or (only
 * then does I/O wait) one that is alive and cannot? */
extern void port_groups_idle (struct port_groups *pg, bool usable, bool alive,
                              double fallback, double now);
/* Is the array to be asked more often than usual?  If so, when again, after
 * ASKED (the last time, 0 never). */
extern bool port_groups_unsettled (const struct port_groups *pg);
extern double port_groups_ask_at (const struct port_groups *pg, double asked);
/* The group to be made active now, by SET TARGET PORT GROUPS; NULL none.
 * TPGS: how this array changes states. */
extern const struct port_group *port_groups_to_set (struct port_groups *pg,
                                                    unsigned tpgs, double now);
/* It was sent, for that or by hand. */
extern void port_groups_set_sent (struct port_groups *pg, uint16_t id,
                                  double now);

#endif /* MPISCSI_PORT_GROUPS_H */
