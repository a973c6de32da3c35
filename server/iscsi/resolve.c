/* SPDX-License-Identifier: BSD-3-Clause */
/* Host names of portals.  See resolve.h. */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conf/conf.h"
#include "engine/offload.h"
#include "iscsi/resolve.h"

struct resolve_job {
  struct offload *offload;
  void (*done) (void *opaque, const char *address, const char *error);
  void *opaque;
};

/* The thread's. */
struct question {
  char host[256];
  uint16_t port;
  char address[640];            /* all of them; "" on error */
  char error[300];
};

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

static void
ask (void *data)
{
  struct question *q = data;

  look_up (q->host, q->port, 0, q->address, sizeof q->address, q->error,
           sizeof q->error);
}

static void
answered (void *opaque, void *data)
{
  struct resolve_job *job = opaque;
  const struct question *q = data;

  job->done (job->opaque, q->address[0] ? q->address : NULL, q->error);
  free (job);
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
  struct question *q = calloc (1, sizeof *q);

  if (job == NULL || q == NULL)
    goto fail;
  job->done = done;
  job->opaque = opaque;
  snprintf (q->host, sizeof q->host, "%s", portal->host);
  q->port = portal->port;
  job->offload = offload_start (loop, ask, answered, free, q, job);
  if (job->offload != NULL)
    return job;

 fail:
  free (job);
  free (q);
  return NULL;
}

void
resolve_cancel (struct resolve_job *job)
{
  offload_cancel (job->offload);
  free (job);
}
