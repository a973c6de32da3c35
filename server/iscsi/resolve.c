/* SPDX-License-Identifier: BSD-3-Clause */
/* Host names: getaddrinfo blocks, so it runs in a thread of its own.  The
 * thread and the loop share a job; the last of the two frees it, so that a name
 * service that hangs holds up nothing, not even the end. */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conf/conf.h"
#include "iscsi/resolve.h"

struct resolve_job {
  pthread_mutex_t lock;         /* covers refs, wanted, and the two results */
  unsigned refs;
  bool wanted;                  /* false: cancelled, the loop may be gone */
  char address[640];            /* all of them; "" on error */
  char error[300];
  char host[256];
  uint16_t port;
  /* The loop's. */
  struct ev_loop *loop;
  ev_async answered;
  void (*done) (void *opaque, const char *address, const char *error);
  void *opaque;
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

/* Writes "ip:port" or "[ip]:port", with blanks between several, in the order of
 * the resolver; or an error.  What does not fit is left out. */
static void
look_up (const char *host, uint16_t port, int flags, char *address,
         size_t asize, char *error, size_t esize)
{
  const struct addrinfo hints = {
    .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags,
  };
  struct addrinfo *ai = NULL, *p;
  char ip[NI_MAXHOST], one[NI_MAXHOST + 16];
  size_t n = 0;
  int r;

  address[0] = error[0] = '\0';
  r = getaddrinfo (host, NULL, &hints, &ai);
  for (p = r == 0 ? ai : NULL; p && r == 0; p = p->ai_next) {
    r = getnameinfo (p->ai_addr, p->ai_addrlen, ip, sizeof ip, NULL, 0,
                     NI_NUMERICHOST);
    snprintf (one, sizeof one, p->ai_family == AF_INET6 ? "[%s]:%u" : "%s:%u",
              ip, port);
    if (r == 0 && n + 1 + strlen (one) < asize)
      n += snprintf (address + n, asize - n, "%s%s", n ? " " : "", one);
  }
  if (ai != NULL)
    freeaddrinfo (ai);
  if (address[0] == '\0')
    snprintf (error, esize, "cannot resolve '%s': %s", host,
              r == EAI_SYSTEM ? strerror (errno) : gai_strerror (r));
}

static void *
resolver (void *opaque)
{
  struct resolve_job *job = opaque;
  char address[640], error[300];

  look_up (job->host, job->port, 0, address, sizeof address, error,
           sizeof error);
  pthread_mutex_lock (&job->lock);
  memcpy (job->address, address, sizeof address);
  memcpy (job->error, error, sizeof error);
  if (job->wanted)
    ev_async_send (job->loop, &job->answered);
  pthread_mutex_unlock (&job->lock);
  unref (job);
  return NULL;
}

static void
answered_cb (EV_P_ ev_async *w, int revents)
{
  struct resolve_job *job = w->data;
  char address[640], error[300];

  (void) revents;
  pthread_mutex_lock (&job->lock);
  memcpy (address, job->address, sizeof address);
  memcpy (error, job->error, sizeof error);
  pthread_mutex_unlock (&job->lock);
  ev_async_stop (EV_A_ w);
  job->done (job->opaque, address[0] ? address : NULL, error);
  unref (job);
}

bool
resolve_numeric (const struct portal *portal, char *address, size_t size)
{
  char error[300];

  look_up (portal->host, portal->port, AI_NUMERICHOST, address, size, error,
           sizeof error);
  return address[0] != '\0';
}

struct resolve_job *
resolve_start (struct ev_loop *loop, const struct portal *portal,
               void (*done) (void *opaque, const char *address,
                             const char *error),
               void *opaque)
{
  struct resolve_job *job = calloc (1, sizeof *job);
  pthread_attr_t attr;
  pthread_t thread;

  if (job == NULL)
    return NULL;
  pthread_mutex_init (&job->lock, NULL);
  job->refs = 2;
  job->wanted = true;
  job->loop = loop;
  job->done = done;
  job->opaque = opaque;
  snprintf (job->host, sizeof job->host, "%s", portal->host);
  job->port = portal->port;
  ev_async_init (&job->answered, answered_cb);
  job->answered.data = job;
  ev_async_start (loop, &job->answered);

  pthread_attr_init (&attr);
  pthread_attr_setdetachstate (&attr, PTHREAD_CREATE_DETACHED);
  if (pthread_create (&thread, &attr, resolver, job) != 0) {
    job->refs = 1;
    snprintf (job->error, sizeof job->error, "cannot start a thread to "
              "resolve '%s'", job->host);
    ev_async_send (loop, &job->answered);
  }
  pthread_attr_destroy (&attr);
  return job;
}

void
resolve_cancel (struct resolve_job *job)
{
  ev_async_stop (job->loop, &job->answered);
  pthread_mutex_lock (&job->lock);
  job->wanted = false;
  pthread_mutex_unlock (&job->lock);
  unref (job);
}
