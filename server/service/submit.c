/* SPDX-License-Identifier: BSD-3-Clause */
/* From the threads of clients to the engine, and back when requests are
 * complete.  server/README, The lock.
 *
 * A request that is slept for lives on its worker's stack.  state is the only
 * field that worker and engine touch at the same time:
 *
 *   RUNNING  -> SLEEPING  by the worker, about to sleep (futex)
 *   RUNNING or SLEEPING -> DONE  by the engine; a sleeper is woken
 *
 * After DONE the engine does not touch the request again (the wake-up may
 * reach a futex word that is gone: harmless, at worst a spurious wake-up). */
#include <config.h>

#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "service/service-internal.h"

/* From so many commands in flight on, workers (not readers, which come with all
 * that has come) leave sending to the service thread.  With 4 a client with 8
 * requests was 12 % slower than when its workers sent themselves, with 32 it is
 * 7 % faster. */
#define HAND_OVER 8

/* Milliseconds that a worker polls for its answer itself (server/README, Who
 * polls). */
#define SOLO_PATIENCE 4

enum { STATE_RUNNING, STATE_SLEEPING, STATE_DONE };

/* Lock held: may its worker poll for this request's answer? */
static int
fd_to_poll (const struct request *req)
{
  const struct session *s = req->nr_parts == 1 && req->parts_left == 1
    ? req->parts->session : NULL;

  return s != NULL && req->parts->accounted && session_is_solo (s)
    ? session_fd (s) : -1;
}

/* The requests from LAST to FIRST, by next, are the newest ones of the stack
 * now. */
static void
push_pending (struct engine *e, struct request *first, struct request *last)
{
  struct request *head = atomic_load_explicit (&e->pending,
                                               memory_order_relaxed);

  do
    first->next = head;
  while (!atomic_compare_exchange_weak (&e->pending, &head, last));
}

void
requests_submit (struct engine *e, struct request *first,
                 struct request *last)
{
  push_pending (e, first, last);
  if (e->run_to_completion)
    return;                     /* sent at the end of the turn */
  if (pthread_mutex_trylock (&e->lock) == 0)
    engine_leave (e);          /* settles */
}

/* When its one command is in flight on a session that its worker polls
 * (server/README, Who polls), *fd is that session's socket, which may be closed
 * and used for something else any time, and poll_done is to be called when it is
 * readable; else -1. */
static void
submit (struct engine *e, struct request *req, int *fd)
{
  push_pending (e, req, req);
  *fd = -1;
  /* Many in flight: so the service thread runs, or will be woken by their
   * answers or their sessions' end, at the latest.  With one CPU for all that
   * pays only for writes, whose data fills segments. */
  if (atomic_load_explicit (&e->in_flight, memory_order_relaxed) >=
      HAND_OVER && (!e->one_cpu || req->op == OP_WRITE)) {
    engine_wake (e);
    return;
  }
  if (pthread_mutex_trylock (&e->lock) == 0) {
    e->submitter = req;
    engine_settle (e);
    e->submitter = NULL;
    *fd = fd_to_poll (req);
    engine_leave (e);
  }
}

/* READABLE false: gives the socket to the service thread. */
static void
poll_done (struct engine *e, struct request *req, bool readable, int *fd)
{
  struct session *s;

  engine_enter (e);
  *fd = -1;
  if (fd_to_poll (req) != -1) {
    s = req->parts->session;
    if (readable) {
      session_ready (s, POLLIN);
      session_flush (s);        /* an R2T has made Data-Outs */
    }
    else
      session_unsolo (s);
    e->submitter = req;
    engine_settle (e);
    e->submitter = NULL;
    *fd = fd_to_poll (req);
  }
  engine_leave (e);
}

/* A worker that pushed while we held the lock relies on us.  This has to be a
 * read-modify-write: it orders the look at the stack after the unlock, so that
 * either we see its request or its trylock succeeds. */
bool
requests_handed_over (struct engine *e)
{
  struct request *none = NULL;

  return !atomic_compare_exchange_strong (&e->pending, &none, NULL);
}

bool
requests_take (struct engine *e)
{
  struct request *req = atomic_load_explicit (&e->pending,
                                              memory_order_relaxed);
  struct request *in_order = NULL;

  if (req == NULL)
    return false;
  req = atomic_exchange (&e->pending, NULL);
  while (req != NULL) {         /* the stack has the last one on top */
    struct request *next = req->next;

    req->next = in_order;
    in_order = req;
    req = next;
  }
  while (in_order != NULL) {
    req = in_order;
    in_order = req->next;
    req->next = NULL;
    map_submit (req->map, req);
  }
  return true;
}

void
requests_wake (struct request *req)
{
  struct request *called = NULL;

  while (req != NULL) {         /* the one that was completed last comes first */
    struct request *next = req->next;

    if (req->done != NULL) {
      req->next = called;
      called = req;
    }
    else if (atomic_exchange (&req->state, STATE_DONE) == STATE_SLEEPING)
      syscall (SYS_futex, &req->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    req = next;
  }
  while (called != NULL) {
    void (*const done) (struct request *) = called->done;
    struct request *others = NULL, **other = &others, *same = called,
      **last = &same;

    for (req = called; req != NULL; req = req->next)
      if (req->done == done) {
        *last = req;
        last = &req->next;
      }
      else {
        *other = req;
        other = &req->next;
      }
    *last = *other = NULL;
    called = others;
    done (same);
  }
}

void
request_run (struct request *req)
{
  int expected = STATE_RUNNING;
  int fd;

  atomic_store_explicit (&req->state, STATE_RUNNING, memory_order_relaxed);
  req->parts_left = req->nr_parts;
  req->error = 0;
  submit (req->map->engine, req, &fd);
  while (fd != -1 && atomic_load (&req->state) != STATE_DONE) {
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    poll_done (req->map->engine, req,
               poll (&pfd, 1, SOLO_PATIENCE) > 0, &fd);
  }
  if (!atomic_compare_exchange_strong (&req->state, &expected, STATE_SLEEPING))
    return;                     /* done already */
  do
    syscall (SYS_futex, &req->state, FUTEX_WAIT_PRIVATE, STATE_SLEEPING,
             NULL, NULL, 0);
  while (atomic_load (&req->state) != STATE_DONE);
}
