/* SPDX-License-Identifier: BSD-3-Clause */
/* Between alua.c and alua-ask.c. */
#ifndef MPISCSI_ALUA_INTERNAL_H
#define MPISCSI_ALUA_INTERNAL_H

#include "multipath/alua.h"

struct alua {
  struct map *map;
  struct work check;
  struct port_groups groups;
  bool refused;                 /* REPORT TARGET PORT GROUPS is not known */
  bool plain;                   /* not with the extended header */
  bool said;                    /* that something is odd */
  bool want;                    /* ask through all sessions, soon */
  double asked;                 /* last; 0 never */
  unsigned turn;                /* whose it is when one is enough */
  uint64_t changes;             /* of states of groups that we have paths in */
  /* SET TARGET PORT GROUPS. */
  struct command set;
  bool sending;
  uint16_t setting;             /* which one */
  uint8_t parameters[SET_PORT_GROUP_PARAMETERS];
};

extern void alua_check_work (struct work *w);
extern bool alua_path_is_alive (const struct path *p);
extern void alua_apply (struct map *m);
/* port_group_changed; OPAQUE is the map. */
extern void alua_group_changed (void *opaque, const struct port_group *g,
                                const enum alua_state *from);

#endif /* MPISCSI_ALUA_INTERNAL_H */
