/* SPDX-License-Identifier: BSD-3-Clause */
/* Threads for what may block.  See offload.h. */
#include <config.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include <ev.h>

#include "engine/offload.h"

struct offload {
  pthread_mutex_t lock;         /* covers these two */
  unsigned refs;
  bool wanted;                  /* false: cancelled, the loop may be gone */
  void (*work) (void *data);
  void (*free_data) (void *data);
  void *data;
  /* The loop's. */
  struct ev_loop *loop;
  ev_async finished;
  void (*done) (void *opaque, void *data);
  void *opaque;
};

static void
destroy (struct offload *o)
{
  pthread_mutex_destroy (&o->lock);
  free (o);
}

static void
unref (struct offload *o)
{
  unsigned left;

  pthread_mutex_lock (&o->lock);
  left = --o->refs;
  pthread_mutex_unlock (&o->lock);
  if (left == 0) {
    o->free_data (o->data);
    destroy (o);
  }
}

static void *
thread (void *opaque)
{
  struct offload *o = opaque;

  o->work (o->data);
  pthread_mutex_lock (&o->lock);
  if (o->wanted)
    ev_async_send (o->loop, &o->finished);
  pthread_mutex_unlock (&o->lock);
  unref (o);
  return NULL;
}

static void
finished_cb (EV_P_ ev_async *w, int revents)
{
  struct offload *o = w->data;

  (void) revents;
  ev_async_stop (EV_A_ w);
  /* The lock orders what the thread has written before what we read. */
  pthread_mutex_lock (&o->lock);
  pthread_mutex_unlock (&o->lock);
  o->done (o->opaque, o->data);
  unref (o);
}

struct offload *
offload_start (struct ev_loop *loop, void (*work) (void *data),
               void (*done) (void *opaque, void *data),
               void (*free_data) (void *data), void *data, void *opaque)
{
  struct offload *o = calloc (1, sizeof *o);
  pthread_attr_t attr;
  pthread_t id;
  int r;

  if (o == NULL)
    return NULL;
  pthread_mutex_init (&o->lock, NULL);
  o->refs = 2;
  o->wanted = true;
  o->work = work;
  o->free_data = free_data;
  o->data = data;
  o->loop = loop;
  o->done = done;
  o->opaque = opaque;
  ev_async_init (&o->finished, finished_cb);
  o->finished.data = o;
  ev_async_start (loop, &o->finished);
  pthread_attr_init (&attr);
  pthread_attr_setdetachstate (&attr, PTHREAD_CREATE_DETACHED);
  r = pthread_create (&id, &attr, thread, o);
  pthread_attr_destroy (&attr);
  if (r != 0) {
    ev_async_stop (loop, &o->finished);
    destroy (o);
    return NULL;
  }
  return o;
}

void
offload_cancel (struct offload *o)
{
  ev_async_stop (o->loop, &o->finished);
  pthread_mutex_lock (&o->lock);
  o->wanted = false;
  pthread_mutex_unlock (&o->lock);
  unref (o);
}
