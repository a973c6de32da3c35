/* SPDX-License-Identifier: BSD-3-Clause */
/* Host names: getaddrinfo blocks, so it runs in a thread of its own.  The
 * thread and the session share a job; whoever lets go last frees it, so that
 * a name service that hangs holds up nothing, not even the end. */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "iscsi/session-internal.h"
#include "multipath/multipath.h"

struct resolve_job {
  pthread_mutex_t lock;         /* covers all below */
  unsigned refs;
  struct engine *engine;        /* NULL: cancelled, nobody waits */
  bool done;
  char host[256];
  uint16_t port;
  unsigned choice;              /* which of several addresses */
  char address[300];            /* "" on error */
  char error[300];
};

static void
unref (struct resolve_job *job)
{
  unsigned left;

  pthread_mutex_lock (&job->lock);
  left = --job->refs;
  pthread_mutex_unlock (&job->lock);
  if (left == 0) {
    pthread_mutex_destroy (&job->lock);
    free (job);
  }
}

/* Writes "ip:port" or "[ip]:port", or an error. */
static void
look_up (const char *host, uint16_t port, int flags, unsigned choice,
         char *address, size_t asize, char *error, size_t esize)
{
  const struct addrinfo hints = {
    .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags,
  };
  struct addrinfo *ai = NULL, *p;
  char ip[NI_MAXHOST];
  unsigned n = 0;
  int r;

  address[0] = error[0] = '\0';
  r = getaddrinfo (host, NULL, &hints, &ai);
  if (r == 0) {
    for (p = ai; p; p = p->ai_next)
      n++;
    choice %= n;
    for (p = ai; choice > 0; choice--)
      p = p->ai_next;
    r = getnameinfo (p->ai_addr, p->ai_addrlen, ip, sizeof ip, NULL, 0,
                     NI_NUMERICHOST);
    if (r == 0)
      snprintf (address, asize, p->ai_family == AF_INET6 ? "[%s]:%u" : "%s:%u",
                ip, port);
    freeaddrinfo (ai);
  }
  if (r != 0)
    snprintf (error, esize, "cannot resolve '%s': %s", host,
              r == EAI_SYSTEM ? strerror (errno) : gai_strerror (r));
}

static void *
resolver (void *opaque)
{
  struct resolve_job *job = opaque;
  char address[300], error[300];

  look_up (job->host, job->port, 0, job->choice, address, sizeof address,
           error, sizeof error);
  pthread_mutex_lock (&job->lock);
  memcpy (job->address, address, sizeof address);
  memcpy (job->error, error, sizeof error);
  job->done = true;
  if (job->engine)
    engine_kick (job->engine);
  pthread_mutex_unlock (&job->lock);
  unref (job);
  return NULL;
}

struct resolve_job *
resolve_start (struct session *s)
{
  struct resolve_job *job = calloc (1, sizeof *job);
  pthread_attr_t attr;
  pthread_t thread;

  if (job == NULL)
    return NULL;
  pthread_mutex_init (&job->lock, NULL);
  job->refs = 1;
  job->engine = s->engine;
  snprintf (job->host, sizeof job->host, "%s", s->portal.host);
  job->port = s->portal.port;
  job->choice = s->attempt;

  look_up (job->host, job->port, AI_NUMERICHOST, 0,
           job->address, sizeof job->address, job->error, sizeof job->error);
  if (job->address[0]) {
    job->done = true;
    return job;
  }

  job->refs = 2;
  pthread_attr_init (&attr);
  pthread_attr_setdetachstate (&attr, PTHREAD_CREATE_DETACHED);
  if (pthread_create (&thread, &attr, resolver, job) != 0) {
    job->refs = 1;
    snprintf (job->error, sizeof job->error, "cannot start a thread to "
              "resolve '%s'", job->host);
    job->done = true;
  }
  pthread_attr_destroy (&attr);
  return job;
}

void
resolve_cancel (struct resolve_job *job)
{
  pthread_mutex_lock (&job->lock);
  job->engine = NULL;
  pthread_mutex_unlock (&job->lock);
  unref (job);
}

void
resolve_poll (struct session *s)
{
  struct resolve_job *job = s->resolving;
  char address[300], error[300];
  bool done;

  if (job == NULL)
    return;
  pthread_mutex_lock (&job->lock);
  done = job->done;
  if (done) {
    memcpy (address, job->address, sizeof address);
    memcpy (error, job->error, sizeof error);
  }
  pthread_mutex_unlock (&job->lock);
  if (!done)
    return;
  s->resolving = NULL;
  unref (job);
  session_resolved (s, address[0] ? address : NULL, error);
}
