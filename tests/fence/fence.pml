/* SPDX-License-Identifier: BSD-3-Clause */
/* In-doubt write fencing (server/fence/fence.c, server/fence/nexus.c), as a model for spin:
 * one block, two paths A and B, two clients, a server that may be killed.
 * tests/fence/test-fence-model.sh runs it.
 *
 * Client 1 writes 1; its command goes by path A or B.  A path may die at any
 * moment; an unanswered command then goes on living: in the network, or
 * inside of the target, which executes it sooner or later or never.  Server:
 * sends it again by the other path (or by A, once A is logged in again) and
 * answers the client.  Client 2, which knows that client 1's write was
 * acknowledged, writes 2.  So whatever happens, the block has 2 when both
 * were acknowledged and nothing is on its way any more.
 *
 * The server may be killed at any moment, too.  Then another one starts, which
 * knows nothing but the state file, has an ISID of its own and so its own nexuses;
 * the clients connect again and send again what was not acknowledged, or client 1
 * gives up, and client 2 sees that.  What the model leaves out: a state file
 * that cannot be written (after some seconds the server goes on without).
 *
 * A copy of a command is in one of these places:
 *   NET     on the wire of a connection (or in the proxy, or in a socket)
 *   TARGET  taken by the target, not executed yet
 *   and then gone: executed, aborted, or lost.
 *
 * Variants:
 *   (none)         the ladder: RST, reinstatement, LOGICAL UNIT RESET; the file
 *                  has a nexus before the first write goes out on it, and until
 *                  what it had is fenced
 *   NOFENCE        writes do not wait: must be found wrong
 *   NORESET        reinstatement alone, on a target like tgt, which lets go on
 *                  what its backing store has already: must be found wrong
 *   NOREINSTATE    LOGICAL UNIT RESET alone, while the old connection may
 *                  still deliver: must be found wrong
 *   ABORTEDISDEAD  writes that were unanswered when the unit was reset count
 *                  as dead, without ABORT TASK, although they may not have
 *                  reached the target: must be found wrong
 *   OTHERS=N       another initiator resets the unit N times, without an answer to
 *                  what that ends; the UNIT ATTENTION has ABORT TASK sent
 *   UAISDEAD       what was in flight counts as dead with the UNIT ATTENTION,
 *                  without ABORT TASK: must be found wrong with OTHERS
 *   NOFILE         no state file: must be found wrong with KILLS
 *   FILELATE       it has a nexus some time after the first write: the same
 *   FILELIVE       it has the nexuses of live paths, not of those that died with
 *                  a write unanswered: the same
 *   FILEEARLY      a nexus goes from it when it is reinstated, before the reset:
 *                  must be found wrong with two KILLS
 *   REACH          fails when both writes are acknowledged, after all kills and a
 *                  reset: must be found wrong, or the model would prove nothing
 *   STRICT         a target that ends the tasks of a reinstated session (LIO);
 *                  with NORESET this must be right
 */
#define NEW 2                   /* what client 2 writes */
#ifndef DEATHS
#define DEATHS 2                /* sessions that are lost, in all */
#endif
#ifndef KILLS
#define KILLS 0                 /* servers that are killed */
#endif
#define RESETS 2                /* of each server */
#define SLOTS 4                 /* copies of commands at any one time */
#define PATHS 2
#define NEXUSES (PATHS * (KILLS + 1))

mtype = { FREE, NET, TARGET };
/* Of a lost nexus, as rules/fence-ladder.h has them. */
mtype = { DOUBT, REINSTATED, COVERED, RELEASED }; /* enum fence_state */

/* Copies of commands.  Live: so is its session, to which the answer goes.  The
 * target knows a session that is lost until it is reinstated. */
mtype place[SLOTS] = FREE;
byte value[SLOTS];
byte nexus[SLOTS];
bool live[SLOTS];

/* Of servers; each has nexuses of its own, one for each path. */
byte server_nr = 0;
#define nexus_of(on) (server_nr * PATHS + (on))
#define is_inherited(x) ((x) < server_nr * PATHS)

/* The server's side of a path. */
bool up[PATHS] = true;

byte block = 0;
byte deaths = 0;

/* The server's commands, by what they write: sent, not answered yet. */
bool wanted[3];                 /* in the queue: to be sent (again) */
bool in_flight[3];
byte sent_on[3];                /* path */
bool acked[3];
bool gave_up;                   /* client 1, its connection was lost */

/* In doubt, per nexus: unanswered writes of lost sessions. */
mtype state[NEXUSES] = RELEASED; /* writes of value 1 or 2: one block, they overlap; */
byte doubt_value[NEXUSES];      /* 0: of any value */

/* The state file. */
bool file[NEXUSES];

/* LOGICAL UNIT RESET: asked for, done by the target, its answer taken. */
bool reset_sent, reset_done;
byte resets = 0;

#ifdef OTHERS
byte others = 0, attention = 0;
#endif

byte s, v, x, p;                /* scratch: 0 when a step is over */

#define doubt(n) (state[n] != RELEASED)
#define doubts(n, val) (doubt (n) && doubt_value[n] != val)
#if KILLS == 0
#define overlaps(val) (doubts (0, val) || doubts (1, val))
#elif KILLS == 1
#define overlaps(val) (doubts (0, val) || doubts (1, val) || \
                       doubts (2, val) || doubts (3, val))
#else
#define overlaps(val) (doubts (0, val) || doubts (1, val) || \
                       doubts (2, val) || doubts (3, val) || \
                       doubts (4, val) || doubts (5, val))
#endif

#if KILLS == 0 || defined(NOFILE) || defined(FILELATE)
#define gate(on) false
#else
#define gate(on) (!file[nexus_of (on)])
#endif
#ifdef NOFENCE
#define may_send(val, on) (up[on] && !gate (on))
#else
#define may_send(val, on) (up[on] && !gate (on) && !overlaps (val))
#endif

/* Copies have no names: they move up, so that equal states are one. */
inline gone (i) {
  s = i;
  do
  :: s < SLOTS - 1 && place[s + 1] != FREE ->
     place[s] = place[s + 1]; value[s] = value[s + 1];
     nexus[s] = nexus[s + 1]; live[s] = live[s + 1]; s++
  :: else -> break
  od;
  place[s] = FREE; value[s] = 0; nexus[s] = 0; live[s] = false;
  s = 0
}

/* The server puts VAL on the wire of path ON. */
inline send (val, on) {
  s = 0;
  do
  :: s < SLOTS && place[s] != FREE -> s++
  :: else -> break
  od;
  if
  :: s < SLOTS ->
     place[s] = NET; value[s] = val; nexus[s] = nexus_of (on); live[s] = true;
     wanted[val] = false; in_flight[val] = true; sent_on[val] = on
  :: else                       /* no room in the model: later */
  fi;
  s = 0
}

/* The connection of path ON is gone. */
inline disconnect (on) {
  up[on] = false;
  s = 0;
  do
  :: s < SLOTS ->
     if
     :: place[s] != FREE && nexus[s] == nexus_of (on) -> live[s] = false
     :: else
     fi;
     s++
  :: else -> break
  od;
  s = 0
}

/* ... by RST: what was unanswered is in doubt. */
inline lose (on) {
  disconnect (on);
  x = nexus_of (on);
  v = 1;
  do
  :: v <= NEW ->
     if
     :: in_flight[v] && sent_on[v] == on ->
        in_flight[v] = false; wanted[v] = true; sent_on[v] = 0;
        if
        :: doubt (x) && doubt_value[x] != v -> doubt_value[x] = 0
           /* both: nothing may be sent that is not the same, so nothing at all */
        :: else -> doubt_value[x] = v
        fi;
        state[x] = DOUBT
     :: else
     fi;
     v++
  :: else -> break
  od;
#ifdef FILELIVE
  file[x] = false;
#endif
  v = 0; x = 0
}

/* ABORT TASK for the command that writes VAL: it comes after that one on the same
 * connection, and is answered when there is no such task any more, whether it was
 * executed before or not.  Then it is sent again. */
inline abort_task (val) {
  x = 0;
  do
  :: x < SLOTS ->
     if
     :: place[x] != FREE && live[x] && value[x] == val &&
        nexus[x] == nexus_of (sent_on[val]) ->
        if
        :: block = val
        :: skip
        fi;
        gone (x)
     :: else -> x++
     fi
  :: else -> break
  od;
  x = 0;
  in_flight[val] = false; wanted[val] = true; sent_on[val] = 0
}

/* A login in place of nexus N: the target ends the old session at that moment,
 * and all that is still on its connection goes nowhere.  What the target
 * has taken is dead with STRICT only. */
inline reinstate (n) {
  x = 0;
  do
  :: x < SLOTS ->
     if
     :: place[x] == NET && nexus[x] == n && !live[x] -> gone (x)
#ifdef STRICT
     :: place[x] == TARGET && nexus[x] == n && !live[x] -> gone (x)
#endif
     :: else -> x++
     fi
  :: else -> break
  od;
  x = 0;
  if
  :: state[n] == DOUBT -> state[n] = REINSTATED
#ifdef FILEEARLY
     if :: is_inherited (n) -> file[n] = false :: else fi
#endif
  :: else
  fi
}

inline release (n) {
  state[n] = RELEASED; doubt_value[n] = 0
}

/* kill -9, and the next server reads the state file: all that it has may be in
 * flight there, of any value.  A reset that nobody waits for any more can abort,
 * which is what may happen to each copy anyway. */
inline killed () {
  disconnect (0);
  disconnect (1);
  v = 1;
  do
  :: v <= NEW ->
     if
     :: in_flight[v] -> in_flight[v] = false; wanted[v] = true; sent_on[v] = 0
     :: else
     fi;
     v++
  :: else -> break
  od;
  if
  :: wanted[1] -> wanted[1] = false; gave_up = true
  :: true                       /* sends again */
  fi;
  reset_sent = false; reset_done = false; resets = 0;
  server_nr++;
  x = 0;
  do
  :: x < NEXUSES ->
     release (x);
     if :: file[x] -> state[x] = DOUBT :: else fi;
     x++
  :: else -> break
  od;
  v = 0; x = 0
}

#ifdef NOREINSTATE
#define ready(n) (doubt (n))
#else
#define ready(n) (state[n] == REINSTATED)
#endif

/* Each is one atomic step; spin tries all orders. */
active proctype server ()
{
end:
  do
  /* a command goes out */
  :: atomic { wanted[1] && may_send (1, 0) -> send (1, 0) }
  :: atomic { wanted[1] && may_send (1, 1) -> send (1, 1) }
  :: atomic { wanted[2] && may_send (2, 0) -> send (2, 0) }
  :: atomic { wanted[2] && may_send (2, 1) -> send (2, 1) }
  /* a path dies */
  :: atomic { up[0] && deaths < DEATHS -> deaths++; lose (0) }
  :: atomic { up[1] && deaths < DEATHS -> deaths++; lose (1) }
  /* ... and logs in again */
  :: atomic { !up[0] -> p = nexus_of (0); reinstate (p); up[0] = true; p = 0 }
  :: atomic { !up[1] -> p = nexus_of (1); reinstate (p); up[1] = true; p = 0 }
#ifndef NORESET
  /* its answer is here: what is unanswered now was aborted, perhaps */
  :: atomic { reset_sent && reset_done ->
       reset_sent = false; reset_done = false;
       p = 0;
       do
       :: p < NEXUSES ->
          if :: state[p] == COVERED -> release (p) :: else fi;
          p++
       :: else -> break
       od;
       p = 1;
       do
       :: p <= NEW ->
          if
          :: in_flight[p] && up[sent_on[p]] ->
#ifdef ABORTEDISDEAD
             in_flight[p] = false; wanted[p] = true;
             disconnect (sent_on[p]); sent_on[p] = 0
#else
             abort_task (p)
#endif
          :: else
          fi;
          p++
       :: else -> break
       od;
       p = 0 }
#endif
#if KILLS > 0
  :: atomic { server_nr < KILLS -> killed () }
#endif
#ifdef OTHERS
  /* a UNIT ATTENTION says that another initiator has reset the unit */
  :: atomic { attention > 0 && in_flight[1] && up[sent_on[1]] ->
       attention--;
#ifdef UAISDEAD
       in_flight[1] = false; wanted[1] = true; sent_on[1] = 0
#else
       abort_task (1)
#endif
     }
#endif
  od
}

/* The server's fences, one for each nexus, and its keeper of the state file. */
active [NEXUSES] proctype fence ()
{
  byte n = _pid - 1;
end:
  do
  /* What an older server left, or in place of the path's own login: through
   * another portal of the group. */
  :: atomic { state[n] == DOUBT &&
       (is_inherited (n) || !up[n % PATHS]) -> reinstate (n) }
#ifdef NORESET
  :: d_step { state[n] == REINSTATED -> release (n) }
#else
  /* One reset is for all that are ready. */
  :: atomic { !reset_sent && resets < RESETS && (up[0] || up[1]) && ready (n) ->
       resets++; reset_sent = true;
       x = 0;
       do
       :: x < NEXUSES -> if :: ready (x) -> state[x] = COVERED :: else fi; x++
       :: else -> break
       od;
       x = 0 }
#endif
#if KILLS > 0
#ifdef FILELATE
  :: d_step { n / PATHS == server_nr && up[n % PATHS] && !file[n] &&
       (in_flight[1] || in_flight[2]) -> file[n] = true }
#elif !defined(NOFILE)
  :: d_step { n / PATHS == server_nr && up[n % PATHS] && !file[n] &&
       (wanted[1] || wanted[2]) -> file[n] = true }
#endif
  :: d_step { is_inherited (n) && !doubt (n) && file[n] -> file[n] = false }
#endif
  od
}

/* One copy of a command on its way.  An answer reaches the server only if its
 * session still lives. */
inline answered (i) {
  if
  :: live[i] && in_flight[value[i]] ->
     in_flight[value[i]] = false; acked[value[i]] = true; sent_on[value[i]] = 0
  :: else
  fi
}

active [SLOTS] proctype copy ()
{
  byte i = _pid - 1 - NEXUSES;
end:
  do
  :: d_step { place[i] == NET -> place[i] = TARGET }
  :: d_step { place[i] == TARGET -> block = value[i]; answered (i);
              gone (i) }
  /* done, but the answer is lost with the connection */
  :: d_step { place[i] == TARGET -> block = value[i]; gone (i) }
  /* never done */
  :: d_step { place[i] != FREE && !live[i] -> gone (i) }
  od
}

#ifdef OTHERS
/* Another initiator's LOGICAL UNIT RESET. */
active proctype other ()
{
end:
  do
  :: atomic { attention == 0 && others < OTHERS ->
       others++;
       x = 0;
       do
       :: x < SLOTS ->
          if
          :: place[x] == TARGET ->
             if
             :: block = value[x]
             :: skip
             fi;
             gone (x)
          :: else -> x++
          fi
       :: else -> break
       od;
       x = 0;
       attention = 1 }
  od
}
#endif

/* LOGICAL UNIT RESET aborts or finishes all that the target has, of all
 * sessions, before it is answered; nothing that comes later. */
active proctype unit ()
{
end:
  do
  :: atomic { reset_sent && !reset_done ->
       x = 0;
       do
       :: x < SLOTS ->
          if
          :: place[x] == TARGET ->
             if
             :: block = value[x]        /* was done already */
             :: skip
             fi;
             gone (x)
          :: else -> x++
          fi
       :: else -> break
       od;
       x = 0;
       reset_done = true }
  od
}

active proctype clients ()
{
  atomic { wanted[1] = true }
  atomic { acked[1] || gave_up -> wanted[2] = true }
  (acked[2]);
#ifdef REACH
  (server_nr == KILLS && resets > 0);
  assert (false);
#endif
  /* Nothing may change the block from now on, nor may it have been old
   * already: whenever. */
end:
  do
  :: atomic { block != NEW -> assert (false) }
  od
}
