/* SPDX-License-Identifier: BSD-3-Clause */
/* In-doubt write fencing (server/fence.c), as a model for spin: one block, two
 * paths A and B, two clients.  tests/test-fence-model.sh runs it.
 *
 * Client 1 writes 1; its command goes by path A or B.  Path A may die at any
 * moment; an unanswered command then goes on living: in the network, or
 * inside of the target, which executes it sooner or later or never.  Server:
 * sends it again by the other path (or by A, once A is logged in again) and
 * answers the client.  Client 2, which knows that client 1's write was
 * acknowledged, writes 2.  So whatever happens, the block has 2 when both
 * were acknowledged and nothing is on its way any more.
 *
 * A copy of a command is in one of these places:
 *   NET     on the wire of a connection (or in the proxy, or in a socket)
 *   TARGET  taken by the target, not executed yet
 *   and then gone: executed, aborted, or lost.
 *
 * Variants:
 *   (none)         the ladder: RST, reinstatement, LOGICAL UNIT RESET
 *   NOFENCE        writes do not wait: must be found wrong
 *   NORESET        reinstatement alone, on a target like tgt, which lets go on
 *                  what its backing store has already: must be found wrong
 *   NOREINSTATE    LOGICAL UNIT RESET alone, while the old connection may
 *                  still deliver: must be found wrong
 *   ABORTEDISDEAD  writes that were unanswered when the unit was reset count
 *                  as dead, although they may not have reached the target:
 *                  must be found wrong
 *   REACH          fails when both writes are acknowledged: must be found wrong,
 *                  or the model would prove nothing
 *   STRICT         a target that ends the tasks of a reinstated session (LIO);
 *                  with NORESET this must be right
 */
#define NEW 2                   /* what client 2 writes */
#ifndef DEATHS
#define DEATHS 2                /* sessions that are lost, in all */
#endif
#define RESETS 2
#define SLOTS 4                 /* copies of commands at any one time */
#define PATHS 2

mtype = { FREE, NET, TARGET };

/* Copies of commands.  Its session: path and login number; a session that
 * is lost lives on at the target until it is reinstated. */
mtype place[SLOTS] = FREE;
byte value[SLOTS];
byte path[SLOTS];
byte login[SLOTS];

/* The server's side of a path. */
bool up[PATHS] = true;
byte logins[PATHS];             /* number of the present session */
/* The target's side: sessions below that number have been reinstated. */
byte oldest[PATHS];

byte block = 0;
byte deaths = 0;

/* The server's commands, by what they write: sent, not answered yet. */
bool wanted[3];                 /* in the queue: to be sent (again) */
bool in_flight[3];
byte sent_on[3];
bool acked[3];

/* In doubt, per path: unanswered writes of lost sessions. */
bool doubt[PATHS];              /* of value 1 or 2: one block, they overlap */
byte doubt_value[PATHS];
bool reinstated[PATHS];

/* LOGICAL UNIT RESET: asked for, done by the target, its answer taken. */
bool reset_sent, reset_done;
byte resets = 0;
bool covered[PATHS];            /* fences that it is for */

byte s;                         /* scratch */
byte p;

#define overlaps(v) ((doubt[0] && doubt_value[0] != v) || \
                     (doubt[1] && doubt_value[1] != v))
#ifdef NOFENCE
#define may_send(v) true
#else
#define may_send(v) (!overlaps (v))
#endif

inline gone (i) {
  place[i] = FREE; value[i] = 0; path[i] = 0; login[i] = 0
}

inline free_slot () {
  s = 0;
  do
  :: s < SLOTS && place[s] != FREE -> s++
  :: else -> break
  od
}

/* The server puts V on the wire of path P. */
inline send (v, on) {
  free_slot ();
  if
  :: s < SLOTS ->
     place[s] = NET; value[s] = v; path[s] = on; login[s] = logins[on];
     wanted[v] = false; in_flight[v] = true; sent_on[v] = on
  :: else                       /* no room in the model: later */
  fi
}

inline lost (v, on) {
  if
  :: in_flight[v] && sent_on[v] == on ->
    in_flight[v] = false; wanted[v] = true;
    if
    :: doubt[on] && doubt_value[on] != v -> doubt_value[on] = 0
       /* both: nothing may be sent that is not the same, so nothing at all */
    :: else -> doubt_value[on] = v
    fi;
    doubt[on] = true; reinstated[on] = false; covered[on] = false
  :: else
  fi
}

/* The session on path ON is lost (RST): what was unanswered is in doubt. */
inline lose (on) {
  up[on] = false;
  lost (1, on);
  lost (2, on)
}

/* Each is one atomic step; spin tries all orders. */
active proctype server ()
{
end:
  do
  /* a command goes out */
  :: atomic { wanted[1] && may_send (1) && up[0] -> send (1, 0) }
  :: atomic { wanted[1] && may_send (1) && up[1] -> send (1, 1) }
  :: atomic { wanted[2] && may_send (2) && up[0] -> send (2, 0) }
  :: atomic { wanted[2] && may_send (2) && up[1] -> send (2, 1) }
  /* a path dies */
  :: atomic { up[0] && deaths < DEATHS -> deaths++; lose (0) }
  :: atomic { up[1] && deaths < DEATHS -> deaths++; lose (1) }
  /* ... and logs in again: the target ends the old session at that moment,
   * and all that is still on its connection goes nowhere.  What the target
   * has taken is dead with STRICT only. */
  :: atomic { !up[0] -> p = 0; goto again }
  :: atomic { !up[1] -> p = 1; goto again }
  /* release */
#ifdef NORESET
  :: atomic { doubt[0] && reinstated[0] -> doubt[0] = false }
  :: atomic { doubt[1] && reinstated[1] -> doubt[1] = false }
#else
#ifdef NOREINSTATE
#define ready(on) (doubt[on])
#else
#define ready(on) (doubt[on] && reinstated[on])
#endif
  :: atomic { !reset_sent && resets < RESETS && (up[0] || up[1]) && (ready (0) || ready (1)) ->
       resets++; reset_sent = true; reset_done = false;
       covered[0] = ready (0); covered[1] = ready (1) }
  /* its answer is here: what is unanswered now was aborted, perhaps */
  :: atomic { reset_sent && reset_done ->
       reset_sent = false;
       if :: covered[0] -> doubt[0] = false; covered[0] = false :: else fi;
       if :: covered[1] -> doubt[1] = false; covered[1] = false :: else fi;
#ifdef ABORTEDISDEAD
       if :: in_flight[1] -> in_flight[1] = false; wanted[1] = true;
             up[sent_on[1]] = false :: else fi;
       if :: in_flight[2] -> in_flight[2] = false; wanted[2] = true;
             up[sent_on[2]] = false :: else fi
#else
       if :: in_flight[1] && up[sent_on[1]] -> p = sent_on[1]; lose (p) :: else fi;
       if :: in_flight[2] && up[sent_on[2]] -> p = sent_on[2]; lose (p) :: else fi
#endif
     }
#endif
  od;
again:
  atomic {
    logins[p]++;
    oldest[p] = logins[p];
    s = 0;
    do
    :: s < SLOTS ->
       if
       :: path[s] == p && login[s] < oldest[p] && place[s] == NET ->
          gone (s)
#ifdef STRICT
       :: path[s] == p && login[s] < oldest[p] && place[s] == TARGET ->
          gone (s)
#endif
       :: else
       fi;
       s++
    :: else -> break
    od;
    up[p] = true;
    if :: doubt[p] -> reinstated[p] = true :: else fi
  }
  goto end
}

/* One copy of a command on its way.  An answer reaches the server only if its
 * session still lives. */
inline answered (i) {
  if
  :: in_flight[value[i]] && sent_on[value[i]] == path[i] &&
     up[path[i]] && login[i] == logins[path[i]] ->
     in_flight[value[i]] = false; acked[value[i]] = true
  :: else
  fi
}

active [SLOTS] proctype copy ()
{
  byte i = _pid - 1;
end:
  do
  :: atomic { place[i] == NET -> place[i] = TARGET }
  :: d_step { place[i] == TARGET -> block = value[i]; answered (i);
              gone (i) }
  /* done, but the answer is lost with the connection */
  :: d_step { place[i] == TARGET -> block = value[i]; gone (i) }
  od
}

/* LOGICAL UNIT RESET aborts or finishes all that the target has, of all
 * sessions, before it is answered; nothing that comes later. */
active proctype unit ()
{
  byte j;
end:
  do
  :: atomic { reset_sent && !reset_done ->
       j = 0;
       do
       :: j < SLOTS ->
          if
          :: place[j] == TARGET ->
             if
             :: block = value[j]        /* was done already */
             :: skip
             fi;
             gone (j)
          :: else
          fi;
          j++
       :: else -> break
       od;
       j = 0;
       reset_done = true }
  od
}

active proctype clients ()
{
  atomic { wanted[1] = true }
  atomic { acked[1] -> wanted[2] = true }
  (acked[2]);
#ifdef REACH
  assert (false);
#endif
  /* Nothing may change the block from now on, nor may it have been old
   * already: whenever. */
end:
  do
  :: atomic { block != NEW -> assert (false) }
  od
}
