/* SPDX-License-Identifier: BSD-3-Clause */
/* The two state machines, as tables: what an event does to a session and to
 * a path.  Pure: the tables say which action and which next state; the shell
 * (session.c, path.c) does the action.  tests/unit/unit-states.c walks each cell.
 */
#ifndef MPISCSI_STATES_H
#define MPISCSI_STATES_H

#include <stdbool.h>

/* A session, from nothing to a logged in nexus (RFC 7143 8.1). */
enum session_state {
  SESSION_IDLE,         /* not started */
  SESSION_WAIT,         /* lost or refused: back-off timer runs */
  SESSION_RESOLVE,      /* host name is being looked up */
  SESSION_CONNECT,      /* TCP connect under way */
  SESSION_LOGIN,        /* login negotiation */
  SESSION_PROBE,        /* full feature phase; LUNs being identified,
                           or SendTargets for a discovery session */
  SESSION_UP,           /* in use */
  SESSION_LOGOUT,       /* logout sent, or flushing before it */
  SESSION_CLOSED,       /* for good */
  NR_SESSION_STATES
};
enum session_event {
  SESSION_EV_START,
  SESSION_EV_TIMER,     /* back-off over */
  SESSION_EV_RESOLVED,
  SESSION_EV_CONNECTED,
  SESSION_EV_REDIRECT,  /* login answered 0101h */
  SESSION_EV_LOGGED_IN,
  SESSION_EV_PROBED,
  SESSION_EV_LOST,      /* anything that ends the connection, or a deadline */
  SESSION_EV_STOP,      /* we want it to end */
  SESSION_EV_LOGGED_OUT,
  NR_SESSION_EVENTS
};
enum session_action {
  SESSION_ACT_NONE,     /* ignore: late or repeated */
  SESSION_ACT_RESOLVE,
  SESSION_ACT_CONNECT,
  SESSION_ACT_LOGIN,
  SESSION_ACT_REDIRECT, /* connect to the address in the login answer */
  SESSION_ACT_PROBE,
  SESSION_ACT_UP,
  SESSION_ACT_DROP,     /* RST, destroy the context, requeue, start back-off */
  SESSION_ACT_LOGOUT,
  SESSION_ACT_CLOSE,    /* destroy the context; never again */
  SESSION_ACT_BUG,      /* cannot happen; treated as DROP, logged */
};
struct session_transition {
  enum session_action action;
  enum session_state next;
};
extern struct session_transition session_transition (enum session_state state,
                                                     enum session_event event);
extern const char *session_state_name (enum session_state state);
/* A nexus exists at the target: commands may be sent. */
extern bool session_is_full_feature (enum session_state state);

/* A path: one LUN through one session. */
enum path_state {
  PATH_DOWN,            /* "failed faulty": no session, or the LUN does not answer */
  PATH_UP,              /* "active ready" */
  PATH_GHOST,           /* "active ghost": its port is in standby, unavailable,
                           offline or in transition; alive, but no I/O */
  PATH_WRONG,           /* another disk (WWID, size) answers here: never used */
  PATH_ADMIN,           /* failed by the administrator until reinstated */
  PATH_SHAKY,           /* up, but put aside: fails too often */
  PATH_FENCED,          /* another host has taken our reservation key away */
  NR_PATH_STATES
};
enum path_event {
  PATH_EV_UP,           /* identified, checker says ready */
  PATH_EV_GHOST,        /* the array says that its port takes no I/O now */
  PATH_EV_DOWN,         /* session lost or checker says faulty */
  PATH_EV_IO_ERROR,     /* a command's verdict was VERDICT_PATH */
  PATH_EV_WRONG,        /* identity changed */
  PATH_EV_ADMIN_FAIL,
  PATH_EV_ADMIN_REINSTATE,
  PATH_EV_SHAKY,        /* failed too often lately */
  PATH_EV_STEADY,       /* held still long enough */
  PATH_EV_FENCED,       /* our reservation key is gone */
  PATH_EV_UNFENCED,     /* the administrator has registered it again */
  NR_PATH_EVENTS
};
enum path_action {
  PATH_ACT_NONE,
  PATH_ACT_FAIL,        /* out of the selector; log; requeue */
  PATH_ACT_REINSTATE,   /* into the selector; log; dispatch */
  /* The same without a word: nothing has failed, the array has moved.  What it
   * said was logged once for all paths. */
  PATH_ACT_REST,
  PATH_ACT_WAKE,
  PATH_ACT_COMPLAIN,    /* out, loudly */
  PATH_ACT_CHECK,       /* ask the checker now; its answer decides */
};
struct path_transition {
  enum path_action action;
  enum path_state next;
};
extern struct path_transition path_transition (enum path_state state,
                                               enum path_event event);
/* dm state, checker state, device state, as `multipath -ll` has them. */
extern const char *path_dm_state (enum path_state state);
extern const char *path_checker_state (enum path_state state);
extern const char *path_state_name (enum path_state state);
/* May I/O be sent this way? */
extern bool path_is_usable (enum path_state state);

#endif /* MPISCSI_STATES_H */
