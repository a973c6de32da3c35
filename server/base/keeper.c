/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread for what may block.  See keeper.h. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/keeper.h"

struct keeper {
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  struct job *first, **last;
  uint64_t put, done;
  bool stop;                    /* when all is done */
  bool ended;                   /* it touches nothing any more but this */
  bool orphan;                  /* nobody waits: it frees all */
};

static void
keeper_free (struct keeper *k)
{
  while (k->first != NULL) {
    struct job *job = k->first;

    k->first = job->next;
    free (job);
  }
  pthread_cond_destroy (&k->changed);
  pthread_mutex_destroy (&k->lock);
  free (k);
}

static void *
keep (void *opaque)
{
  struct keeper *k = opaque;
  bool orphan;

  pthread_mutex_lock (&k->lock);
  while (k->first != NULL || !k->stop) {
    struct job *job = k->first;

    if (job == NULL) {
      pthread_cond_wait (&k->changed, &k->lock);
      continue;
    }
    k->first = job->next;
    if (k->first == NULL)
      k->last = &k->first;
    pthread_mutex_unlock (&k->lock);
    job->run (job);
    free (job);
    pthread_mutex_lock (&k->lock);
    k->done++;
    if (k->orphan)
      break;
  }
  k->ended = true;
  orphan = k->orphan;
  pthread_cond_broadcast (&k->changed);
  pthread_mutex_unlock (&k->lock);
  if (orphan)
    keeper_free (k);
  return NULL;
}

struct keeper *
keeper_start (void)
{
  struct keeper *k = calloc (1, sizeof *k);
  pthread_condattr_t attr;
  sigset_t all, old;
  int r;

  if (k == NULL)
    return NULL;
  k->last = &k->first;
  pthread_mutex_init (&k->lock, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&k->changed, &attr);
  pthread_condattr_destroy (&attr);
  /* Signals are for others. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  r = pthread_create (&k->thread, NULL, keep, k);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  if (r != 0) {
    keeper_free (k);
    errno = r;
    return NULL;
  }
  return k;
}

uint64_t
keeper_put (struct keeper *k, struct job *job)
{
  uint64_t number;

  job->next = NULL;
  pthread_mutex_lock (&k->lock);
  *k->last = job;
  k->last = &job->next;
  number = ++k->put;
  pthread_cond_broadcast (&k->changed);
  pthread_mutex_unlock (&k->lock);
  return number;
}

bool
keeper_is_done (struct keeper *k, uint64_t number)
{
  bool r;

  pthread_mutex_lock (&k->lock);
  r = k->done >= number;
  pthread_mutex_unlock (&k->lock);
  return r;
}

bool
keeper_stop (struct keeper *k, unsigned seconds)
{
  struct timespec until;
  pthread_t thread;
  bool ended;
  int r = 0;

  if (k == NULL)
    return true;
  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec += seconds;
  pthread_mutex_lock (&k->lock);
  k->stop = true;
  pthread_cond_broadcast (&k->changed);
  while (!k->ended && r == 0)
    r = pthread_cond_timedwait (&k->changed, &k->lock, &until);
  ended = k->ended;
  k->orphan = !ended;
  thread = k->thread;
  pthread_mutex_unlock (&k->lock);
  if (ended) {
    pthread_join (thread, NULL);
    keeper_free (k);
  }
  else
    pthread_detach (thread);
  return ended;
}
