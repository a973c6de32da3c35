/* SPDX-License-Identifier: BSD-3-Clause */
/* The state tables of states.h. */
#include <config.h>

#include <stddef.h>

#include "rules/states.h"

#define S(action, next) { SESSION_ACT_##action, SESSION_##next }

static const struct session_transition
session_table[NR_SESSION_STATES][NR_SESSION_EVENTS] = {
  [SESSION_IDLE] = {
    [SESSION_EV_START]      = S (RESOLVE, RESOLVE),
    [SESSION_EV_TIMER]      = S (NONE, IDLE),
    [SESSION_EV_RESOLVED]   = S (NONE, IDLE),
    [SESSION_EV_CONNECTED]  = S (BUG, WAIT),
    [SESSION_EV_REDIRECT]   = S (BUG, WAIT),
    [SESSION_EV_LOGGED_IN]  = S (BUG, WAIT),
    [SESSION_EV_PROBED]     = S (BUG, WAIT),
    [SESSION_EV_LOST]       = S (NONE, IDLE),
    [SESSION_EV_STOP]       = S (CLOSE, CLOSED),
    [SESSION_EV_LOGGED_OUT] = S (NONE, IDLE),
  },
  [SESSION_WAIT] = {
    [SESSION_EV_START]      = S (NONE, WAIT),
    [SESSION_EV_TIMER]      = S (RESOLVE, RESOLVE),
    /* A look-up that was given up answers late. */
    [SESSION_EV_RESOLVED]   = S (NONE, WAIT),
    [SESSION_EV_CONNECTED]  = S (BUG, WAIT),
    [SESSION_EV_REDIRECT]   = S (BUG, WAIT),
    [SESSION_EV_LOGGED_IN]  = S (BUG, WAIT),
    [SESSION_EV_PROBED]     = S (BUG, WAIT),
    [SESSION_EV_LOST]       = S (NONE, WAIT),
    [SESSION_EV_STOP]       = S (CLOSE, CLOSED),
    [SESSION_EV_LOGGED_OUT] = S (NONE, WAIT),
  },
  [SESSION_RESOLVE] = {
    [SESSION_EV_START]      = S (NONE, RESOLVE),
    [SESSION_EV_TIMER]      = S (NONE, RESOLVE),
    [SESSION_EV_RESOLVED]   = S (CONNECT, CONNECT),
    [SESSION_EV_CONNECTED]  = S (BUG, WAIT),
    [SESSION_EV_REDIRECT]   = S (BUG, WAIT),
    [SESSION_EV_LOGGED_IN]  = S (BUG, WAIT),
    [SESSION_EV_PROBED]     = S (BUG, WAIT),
    [SESSION_EV_LOST]       = S (DROP, WAIT),
    [SESSION_EV_STOP]       = S (CLOSE, CLOSED),
    [SESSION_EV_LOGGED_OUT] = S (NONE, RESOLVE),
  },
  [SESSION_CONNECT] = {
    [SESSION_EV_START]      = S (NONE, CONNECT),
    [SESSION_EV_TIMER]      = S (NONE, CONNECT),
    [SESSION_EV_RESOLVED]   = S (NONE, CONNECT),
    [SESSION_EV_CONNECTED]  = S (LOGIN, LOGIN),
    [SESSION_EV_REDIRECT]   = S (BUG, WAIT),
    [SESSION_EV_LOGGED_IN]  = S (BUG, WAIT),
    [SESSION_EV_PROBED]     = S (BUG, WAIT),
    [SESSION_EV_LOST]       = S (DROP, WAIT),
    [SESSION_EV_STOP]       = S (CLOSE, CLOSED),
    [SESSION_EV_LOGGED_OUT] = S (NONE, CONNECT),
  },
  [SESSION_LOGIN] = {
    [SESSION_EV_START]      = S (NONE, LOGIN),
    [SESSION_EV_TIMER]      = S (NONE, LOGIN),
    [SESSION_EV_RESOLVED]   = S (NONE, LOGIN),
    [SESSION_EV_CONNECTED]  = S (NONE, LOGIN),
    [SESSION_EV_REDIRECT]   = S (REDIRECT, CONNECT),
    [SESSION_EV_LOGGED_IN]  = S (PROBE, PROBE),
    [SESSION_EV_PROBED]     = S (BUG, WAIT),
    [SESSION_EV_LOST]       = S (DROP, WAIT),
    /* No nexus yet that a logout could end. */
    [SESSION_EV_STOP]       = S (CLOSE, CLOSED),
    [SESSION_EV_LOGGED_OUT] = S (NONE, LOGIN),
  },
  [SESSION_PROBE] = {
    [SESSION_EV_START]      = S (NONE, PROBE),
    [SESSION_EV_TIMER]      = S (NONE, PROBE),
    [SESSION_EV_RESOLVED]   = S (NONE, PROBE),
    [SESSION_EV_CONNECTED]  = S (NONE, PROBE),
    [SESSION_EV_REDIRECT]   = S (BUG, WAIT),
    [SESSION_EV_LOGGED_IN]  = S (NONE, PROBE),
    [SESSION_EV_PROBED]     = S (UP, UP),
    [SESSION_EV_LOST]       = S (DROP, WAIT),
    [SESSION_EV_STOP]       = S (LOGOUT, LOGOUT),
    [SESSION_EV_LOGGED_OUT] = S (BUG, WAIT),
  },
  [SESSION_UP] = {
    [SESSION_EV_START]      = S (NONE, UP),
    [SESSION_EV_TIMER]      = S (NONE, UP),
    [SESSION_EV_RESOLVED]   = S (NONE, UP),
    [SESSION_EV_CONNECTED]  = S (NONE, UP),
    [SESSION_EV_REDIRECT]   = S (BUG, WAIT),
    [SESSION_EV_LOGGED_IN]  = S (NONE, UP),
    /* A LUN was looked at again while in use. */
    [SESSION_EV_PROBED]     = S (UP, UP),
    [SESSION_EV_LOST]       = S (DROP, WAIT),
    [SESSION_EV_STOP]       = S (LOGOUT, LOGOUT),
    [SESSION_EV_LOGGED_OUT] = S (BUG, WAIT),
  },
  [SESSION_LOGOUT] = {
    [SESSION_EV_START]      = S (NONE, LOGOUT),
    [SESSION_EV_TIMER]      = S (NONE, LOGOUT),
    [SESSION_EV_RESOLVED]   = S (NONE, LOGOUT),
    [SESSION_EV_CONNECTED]  = S (NONE, LOGOUT),
    [SESSION_EV_REDIRECT]   = S (NONE, LOGOUT),
    [SESSION_EV_LOGGED_IN]  = S (NONE, LOGOUT),
    [SESSION_EV_PROBED]     = S (NONE, LOGOUT),
    /* Some targets close before they answer (istgt): as good as logged out. */
    [SESSION_EV_LOST]       = S (CLOSE, CLOSED),
    [SESSION_EV_STOP]       = S (NONE, LOGOUT),
    [SESSION_EV_LOGGED_OUT] = S (CLOSE, CLOSED),
  },
  [SESSION_CLOSED] = {
    [SESSION_EV_START]      = S (NONE, CLOSED),
    [SESSION_EV_TIMER]      = S (NONE, CLOSED),
    [SESSION_EV_RESOLVED]   = S (NONE, CLOSED),
    [SESSION_EV_CONNECTED]  = S (NONE, CLOSED),
    [SESSION_EV_REDIRECT]   = S (NONE, CLOSED),
    [SESSION_EV_LOGGED_IN]  = S (NONE, CLOSED),
    [SESSION_EV_PROBED]     = S (NONE, CLOSED),
    [SESSION_EV_LOST]       = S (NONE, CLOSED),
    [SESSION_EV_STOP]       = S (NONE, CLOSED),
    [SESSION_EV_LOGGED_OUT] = S (NONE, CLOSED),
  },
};
#undef S

struct session_transition
session_transition (enum session_state state, enum session_event event)
{
  return session_table[state][event];
}

const char *
session_state_name (enum session_state state)
{
  static const char *const names[NR_SESSION_STATES] = {
    "idle", "wait", "resolve", "connect", "login", "probe", "up", "logout",
    "closed",
  };
  return names[state];
}

bool
session_is_full_feature (enum session_state state)
{
  return state == SESSION_PROBE || state == SESSION_UP;
}

#define P(action, next) { PATH_ACT_##action, PATH_##next }

static const struct path_transition
path_table[NR_PATH_STATES][NR_PATH_EVENTS] = {
  [PATH_DOWN] = {
    [PATH_EV_UP]              = P (REINSTATE, UP),
    [PATH_EV_GHOST]           = P (NONE, GHOST),
    [PATH_EV_DOWN]            = P (NONE, DOWN),
    [PATH_EV_IO_ERROR]        = P (NONE, DOWN),
    [PATH_EV_WRONG]           = P (COMPLAIN, WRONG),
    [PATH_EV_ADMIN_FAIL]      = P (NONE, ADMIN),
    [PATH_EV_ADMIN_REINSTATE] = P (CHECK, DOWN),
    /* It answers again, but has failed too often. */
    [PATH_EV_SHAKY]           = P (NONE, SHAKY),
    [PATH_EV_STEADY]          = P (NONE, DOWN),
    [PATH_EV_FENCED]          = P (NONE, FENCED),
    [PATH_EV_UNFENCED]        = P (NONE, DOWN),
  },
  [PATH_UP] = {
    [PATH_EV_UP]              = P (NONE, UP),
    [PATH_EV_GHOST]           = P (REST, GHOST),
    [PATH_EV_DOWN]            = P (FAIL, DOWN),
    [PATH_EV_IO_ERROR]        = P (FAIL, DOWN),
    [PATH_EV_WRONG]           = P (COMPLAIN, WRONG),
    [PATH_EV_ADMIN_FAIL]      = P (FAIL, ADMIN),
    [PATH_EV_ADMIN_REINSTATE] = P (NONE, UP),
    [PATH_EV_SHAKY]           = P (FAIL, SHAKY),
    [PATH_EV_STEADY]          = P (NONE, UP),
    [PATH_EV_FENCED]          = P (FAIL, FENCED),
    [PATH_EV_UNFENCED]        = P (NONE, UP),
  },
  [PATH_GHOST] = {
    [PATH_EV_UP]              = P (WAKE, UP),
    [PATH_EV_GHOST]           = P (NONE, GHOST),
    [PATH_EV_DOWN]            = P (NONE, DOWN),
    [PATH_EV_IO_ERROR]        = P (NONE, GHOST),
    [PATH_EV_WRONG]           = P (COMPLAIN, WRONG),
    [PATH_EV_ADMIN_FAIL]      = P (NONE, ADMIN),
    [PATH_EV_ADMIN_REINSTATE] = P (CHECK, GHOST),
    [PATH_EV_SHAKY]           = P (NONE, GHOST),
    [PATH_EV_STEADY]          = P (NONE, GHOST),
    [PATH_EV_FENCED]          = P (NONE, FENCED),
    [PATH_EV_UNFENCED]        = P (NONE, GHOST),
  },
  [PATH_WRONG] = {
    /* "Up" is only said after the identity was found to be right again. */
    [PATH_EV_UP]              = P (REINSTATE, UP),
    [PATH_EV_GHOST]           = P (NONE, GHOST),
    /* What answers here is not known any more; it is identified again
     * before it can come up. */
    [PATH_EV_DOWN]            = P (NONE, DOWN),
    [PATH_EV_IO_ERROR]        = P (NONE, WRONG),
    [PATH_EV_WRONG]           = P (NONE, WRONG),
    [PATH_EV_ADMIN_FAIL]      = P (NONE, ADMIN),
    /* Not even an administrator can have the wrong disk. */
    [PATH_EV_ADMIN_REINSTATE] = P (CHECK, WRONG),
    [PATH_EV_SHAKY]           = P (NONE, WRONG),
    [PATH_EV_STEADY]          = P (NONE, WRONG),
    [PATH_EV_FENCED]          = P (NONE, WRONG),
    [PATH_EV_UNFENCED]        = P (NONE, WRONG),
  },
  [PATH_ADMIN] = {
    [PATH_EV_UP]              = P (NONE, ADMIN),
    [PATH_EV_GHOST]           = P (NONE, ADMIN),
    [PATH_EV_DOWN]            = P (NONE, ADMIN),
    [PATH_EV_IO_ERROR]        = P (NONE, ADMIN),
    [PATH_EV_WRONG]           = P (COMPLAIN, WRONG),
    [PATH_EV_ADMIN_FAIL]      = P (NONE, ADMIN),
    [PATH_EV_ADMIN_REINSTATE] = P (CHECK, DOWN),
    [PATH_EV_SHAKY]           = P (NONE, ADMIN),
    [PATH_EV_STEADY]          = P (NONE, ADMIN),
    [PATH_EV_FENCED]          = P (NONE, ADMIN),
    [PATH_EV_UNFENCED]        = P (NONE, ADMIN),
  },
  [PATH_SHAKY] = {
    [PATH_EV_UP]              = P (NONE, SHAKY),
    [PATH_EV_GHOST]           = P (NONE, GHOST),
    [PATH_EV_DOWN]            = P (NONE, DOWN),
    [PATH_EV_IO_ERROR]        = P (NONE, DOWN),
    [PATH_EV_WRONG]           = P (COMPLAIN, WRONG),
    [PATH_EV_ADMIN_FAIL]      = P (NONE, ADMIN),
    [PATH_EV_ADMIN_REINSTATE] = P (REINSTATE, UP),
    [PATH_EV_SHAKY]           = P (NONE, SHAKY),
    [PATH_EV_STEADY]          = P (REINSTATE, UP),
    [PATH_EV_FENCED]          = P (NONE, FENCED),
    [PATH_EV_UNFENCED]        = P (NONE, SHAKY),
  },
  [PATH_FENCED] = {
    /* Whatever is said of the path: only the administrator ends it. */
    [PATH_EV_UP]              = P (NONE, FENCED),
    [PATH_EV_GHOST]           = P (NONE, FENCED),
    [PATH_EV_DOWN]            = P (NONE, FENCED),
    [PATH_EV_IO_ERROR]        = P (NONE, FENCED),
    [PATH_EV_WRONG]           = P (COMPLAIN, WRONG),
    [PATH_EV_ADMIN_FAIL]      = P (NONE, ADMIN),
    /* This is no registration. */
    [PATH_EV_ADMIN_REINSTATE] = P (NONE, FENCED),
    [PATH_EV_SHAKY]           = P (NONE, FENCED),
    [PATH_EV_STEADY]          = P (NONE, FENCED),
    [PATH_EV_FENCED]          = P (NONE, FENCED),
    [PATH_EV_UNFENCED]        = P (CHECK, DOWN),
  },
};
#undef P

struct path_transition
path_transition (enum path_state state, enum path_event event)
{
  return path_table[state][event];
}

const char *
path_dm_state (enum path_state state)
{
  return state == PATH_UP || state == PATH_GHOST ? "active" : "failed";
}

const char *
path_checker_state (enum path_state state)
{
  static const char *const names[NR_PATH_STATES] = {
    /* An administrator's failed path still answers its checker. */
    "faulty", "ready", "ghost", "faulty", "ready", "shaky", "fenced",
  };
  return names[state];
}

const char *
path_state_name (enum path_state state)
{
  static const char *const names[NR_PATH_STATES] = {
    "down", "up", "ghost", "wrong", "admin", "shaky", "fenced",
  };
  return names[state];
}

bool
path_is_usable (enum path_state state)
{
  return state == PATH_UP;
}
