/* SPDX-License-Identifier: BSD-3-Clause */
/* The fence ladder, as a table: what is known of a lost nexus whose writes are
 * in doubt, and what an event makes of that.
 *
 * Pure: the table says which action and which next state; the shell
 * (server/fence/fence.c) does the action.  tests/fence/fence.pml is a model of
 * it with the same states; tests/unit/unit-fence-ladder.c walks each cell, and
 * compares the names of the states with the model's.
 */
#ifndef MPISCSI_FENCE_LADDER_H
#define MPISCSI_FENCE_LADDER_H

#include <stdbool.h>

#include "conf/settings.h"

enum fence_state {
  FENCE_DOUBT,          /* its writes may be executed at any time */
  FENCE_REINSTATED,     /* a login in its place has ended it: nothing that was
                           on its connection comes any more, but what the
                           target's backing store has may still be written */
  FENCE_COVERED,        /* a reset that is good for it is on its way */
  FENCE_RELEASED,       /* nothing of it is waited for any more */
  NR_FENCE_STATES
};
enum fence_event {
  FENCE_EV_LOOK,        /* nothing has happened; the settings may have changed */
  FENCE_EV_LOGIN,       /* a login in its place (RFC 7143 6.3.5) */
  FENCE_EV_RESET_SENT,  /* LOGICAL UNIT RESET (SAM-5 7.8) */
  FENCE_EV_RESET_DONE,  /* "function complete" (RFC 7143 11.6.1) */
  FENCE_EV_RESET_FAILED,
  FENCE_EV_TIME,        /* fence_timeout is over */
  NR_FENCE_EVENTS
};
enum fence_action {
  FENCE_ACT_NONE,
  FENCE_ACT_REINSTATE,  /* say and count it */
  FENCE_ACT_RELEASE,    /* it executes nothing any more: let writes go */
  FENCE_ACT_GIVE_UP,    /* let them go, without proof, and say so */
};
struct fence_transition {
  enum fence_action action;
  enum fence_state next;
};
/* LADDER: the rungs that the settings allow. */
extern struct fence_transition fence_transition (enum fencing ladder,
                                                 enum fence_state state,
                                                 enum fence_event event);
extern const char *fence_state_name (enum fence_state state);
/* Would a login in its place be a step? */
extern bool fence_wants_login (enum fencing ladder, enum fence_state state);
/* Is a reset, which may wait until it is wanted, all that is left to do? */
extern bool fence_wants_reset (enum fencing ladder, enum fence_state state);

#endif /* MPISCSI_FENCE_LADDER_H */
