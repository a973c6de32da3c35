/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of fence-ladder.h. */
#include <config.h>

#include <stddef.h>

#include "rules/fence-ladder.h"

#define F(action, next) { FENCE_ACT_##action, FENCE_##next }

/* Nothing comes after the end. */
#define ENDED {                                                 \
    [FENCE_EV_LOOK]         = F (NONE, RELEASED),               \
    [FENCE_EV_LOGIN]        = F (NONE, RELEASED),               \
    [FENCE_EV_RESET_SENT]   = F (NONE, RELEASED),               \
    [FENCE_EV_RESET_DONE]   = F (NONE, RELEASED),               \
    [FENCE_EV_RESET_FAILED] = F (NONE, RELEASED),               \
    [FENCE_EV_TIME]         = F (NONE, RELEASED),               \
  }

/* Time alone proves nothing.  With the settings changed on the way it may still
 * find what other rungs have reached. */
#define HOLD {                                                  \
    [FENCE_DOUBT] = {                                           \
      [FENCE_EV_LOOK]         = F (NONE, DOUBT),                \
      [FENCE_EV_LOGIN]        = F (NONE, DOUBT),                \
      [FENCE_EV_RESET_SENT]   = F (NONE, DOUBT),                \
      [FENCE_EV_RESET_DONE]   = F (NONE, DOUBT),                \
      [FENCE_EV_RESET_FAILED] = F (NONE, DOUBT),                \
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),          \
    },                                                          \
    [FENCE_REINSTATED] = {                                      \
      [FENCE_EV_LOOK]         = F (RELEASE, RELEASED),          \
      [FENCE_EV_LOGIN]        = F (NONE, REINSTATED),           \
      [FENCE_EV_RESET_SENT]   = F (NONE, REINSTATED),           \
      [FENCE_EV_RESET_DONE]   = F (NONE, REINSTATED),           \
      [FENCE_EV_RESET_FAILED] = F (NONE, REINSTATED),           \
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),          \
    },                                                          \
    [FENCE_COVERED] = {                                         \
      [FENCE_EV_LOOK]         = F (NONE, COVERED),              \
      [FENCE_EV_LOGIN]        = F (NONE, COVERED),              \
      [FENCE_EV_RESET_SENT]   = F (NONE, COVERED),              \
      [FENCE_EV_RESET_DONE]   = F (RELEASE, RELEASED),          \
      [FENCE_EV_RESET_FAILED] = F (NONE, DOUBT),                \
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),          \
    },                                                          \
    [FENCE_RELEASED] = ENDED,                                   \
  }

static const struct fence_transition
ladder_table[NR_FENCINGS][NR_FENCE_STATES][NR_FENCE_EVENTS] = {
  /* Both: a reset proves nothing while the old connection may still deliver,
   * and a login nothing of what a backing store has. */
  [FENCING_AUTO] = {
    [FENCE_DOUBT] = {
      [FENCE_EV_LOOK]         = F (NONE, DOUBT),
      [FENCE_EV_LOGIN]        = F (REINSTATE, REINSTATED),
      [FENCE_EV_RESET_SENT]   = F (NONE, DOUBT),
      [FENCE_EV_RESET_DONE]   = F (NONE, DOUBT),
      [FENCE_EV_RESET_FAILED] = F (NONE, DOUBT),
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),
    },
    [FENCE_REINSTATED] = {
      [FENCE_EV_LOOK]         = F (NONE, REINSTATED),
      [FENCE_EV_LOGIN]        = F (NONE, REINSTATED),
      [FENCE_EV_RESET_SENT]   = F (NONE, COVERED),
      /* It was sent before the login. */
      [FENCE_EV_RESET_DONE]   = F (NONE, REINSTATED),
      [FENCE_EV_RESET_FAILED] = F (NONE, REINSTATED),
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),
    },
    [FENCE_COVERED] = {
      [FENCE_EV_LOOK]         = F (NONE, COVERED),
      [FENCE_EV_LOGIN]        = F (NONE, COVERED),
      [FENCE_EV_RESET_SENT]   = F (NONE, COVERED),
      [FENCE_EV_RESET_DONE]   = F (RELEASE, RELEASED),
      [FENCE_EV_RESET_FAILED] = F (NONE, REINSTATED),
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),
    },
    [FENCE_RELEASED] = ENDED,
  },
  /* The login is all: RELEASE comes with the next look. */
  [FENCING_REINSTATE] = {
    [FENCE_DOUBT] = {
      [FENCE_EV_LOOK]         = F (NONE, DOUBT),
      [FENCE_EV_LOGIN]        = F (REINSTATE, REINSTATED),
      [FENCE_EV_RESET_SENT]   = F (NONE, DOUBT),
      [FENCE_EV_RESET_DONE]   = F (NONE, DOUBT),
      [FENCE_EV_RESET_FAILED] = F (NONE, DOUBT),
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),
    },
    [FENCE_REINSTATED] = {
      [FENCE_EV_LOOK]         = F (RELEASE, RELEASED),
      [FENCE_EV_LOGIN]        = F (NONE, REINSTATED),
      [FENCE_EV_RESET_SENT]   = F (NONE, REINSTATED),
      [FENCE_EV_RESET_DONE]   = F (NONE, REINSTATED),
      [FENCE_EV_RESET_FAILED] = F (NONE, REINSTATED),
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),
    },
    [FENCE_COVERED] = {
      [FENCE_EV_LOOK]         = F (NONE, COVERED),
      [FENCE_EV_LOGIN]        = F (NONE, COVERED),
      [FENCE_EV_RESET_SENT]   = F (NONE, COVERED),
      [FENCE_EV_RESET_DONE]   = F (RELEASE, RELEASED),
      [FENCE_EV_RESET_FAILED] = F (NONE, REINSTATED),
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),
    },
    [FENCE_RELEASED] = ENDED,
  },
  /* The reset is all. */
  [FENCING_LUN_RESET] = {
    [FENCE_DOUBT] = {
      [FENCE_EV_LOOK]         = F (NONE, DOUBT),
      [FENCE_EV_LOGIN]        = F (NONE, DOUBT),
      [FENCE_EV_RESET_SENT]   = F (NONE, COVERED),
      [FENCE_EV_RESET_DONE]   = F (NONE, DOUBT),
      [FENCE_EV_RESET_FAILED] = F (NONE, DOUBT),
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),
    },
    [FENCE_REINSTATED] = {
      [FENCE_EV_LOOK]         = F (NONE, REINSTATED),
      [FENCE_EV_LOGIN]        = F (NONE, REINSTATED),
      [FENCE_EV_RESET_SENT]   = F (NONE, COVERED),
      [FENCE_EV_RESET_DONE]   = F (NONE, REINSTATED),
      [FENCE_EV_RESET_FAILED] = F (NONE, REINSTATED),
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),
    },
    [FENCE_COVERED] = {
      [FENCE_EV_LOOK]         = F (NONE, COVERED),
      [FENCE_EV_LOGIN]        = F (NONE, COVERED),
      [FENCE_EV_RESET_SENT]   = F (NONE, COVERED),
      [FENCE_EV_RESET_DONE]   = F (RELEASE, RELEASED),
      [FENCE_EV_RESET_FAILED] = F (NONE, DOUBT),
      [FENCE_EV_TIME]         = F (GIVE_UP, RELEASED),
    },
    [FENCE_RELEASED] = ENDED,
  },
  [FENCING_HOLD] = HOLD,
  [FENCING_OFF] = HOLD,         /* what was in doubt when it was turned off */
};

struct fence_transition
fence_transition (enum fencing ladder, enum fence_state state,
                  enum fence_event event)
{
  return ladder_table[ladder][state][event];
}

const char *
fence_state_name (enum fence_state state)
{
  static const char *const names[NR_FENCE_STATES] = {
    [FENCE_DOUBT] = "doubt",
    [FENCE_REINSTATED] = "reinstated",
    [FENCE_COVERED] = "covered",
    [FENCE_RELEASED] = "released",
  };

  return names[state];
}

bool
fence_wants_login (enum fencing ladder, enum fence_state state)
{
  return fence_transition (ladder, state, FENCE_EV_LOGIN).action ==
    FENCE_ACT_REINSTATE;
}

bool
fence_wants_reset (enum fencing ladder, enum fence_state state)
{
  return fence_transition (ladder, state, FENCE_EV_RESET_SENT).next ==
    FENCE_COVERED;
}
