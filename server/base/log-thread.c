/* SPDX-License-Identifier: BSD-3-Clause */
/* Log lines are written by a thread of their own: most are made with the
 * engine's lock held, and all I/O would wait for whoever reads our stderr (a
 * pipe, a terminal that was stopped) or for syslogd.
 *
 * THREADS: lines come from any thread, through a ring of bytes under a lock of
 * its own, which is never held while a line is written.  What does not fit is
 * dropped and counted.  The sink is only called by the thread, in order. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log-internal.h"

/* Bytes: some thousand lines, as at a start with hundreds of paths. */
#define RING_SIZE (1024 * 1024)

enum log_thread_state {
  LOG_DIRECT,                   /* no thread */
  LOG_RUNS,
  LOG_STOPS,                    /* to write what is left, and end */
  LOG_ENDED,                    /* has done so: to be joined */
  LOG_STUCK,                    /* the sink hangs: all lines are dropped */
};

static struct {
  pthread_mutex_t lock;
  pthread_cond_t more;          /* a line, or LOG_STOPS */
  pthread_cond_t ended;
  pthread_t thread;
  enum log_thread_state state;
  char *ring;                   /* lines: level, text, NUL */
  size_t first, used;
  unsigned long long dropped;   /* not said yet */
} queue = {
  .lock = PTHREAD_MUTEX_INITIALIZER,
  .more = PTHREAD_COND_INITIALIZER,
};

/* Lock held. */
static void
put_bytes (const char *p, size_t n)
{
  const size_t at = (queue.first + queue.used) % RING_SIZE;
  const size_t part = n < RING_SIZE - at ? n : RING_SIZE - at;

  memcpy (queue.ring + at, p, part);
  memcpy (queue.ring, p + part, n - part);
  queue.used += n;
}

static char
take_byte (void)
{
  const char c = queue.ring[queue.first];

  queue.first = (queue.first + 1) % RING_SIZE;
  queue.used--;
  return c;
}

static enum log_level
take_line (char line[LOG_LINE])
{
  const enum log_level level = (enum log_level) take_byte ();

  while ((*line++ = take_byte ()) != '\0')
    ;
  return level;
}

static bool
put_line (enum log_level level, const char *line)
{
  const char number = (char) level;
  const size_t n = strlen (line) + 1;
  bool taken = true;

  pthread_mutex_lock (&queue.lock);
  switch (queue.state) {
  case LOG_DIRECT:
    taken = false;
    break;
  case LOG_RUNS: case LOG_STOPS:
    if (1 + n > RING_SIZE - queue.used)
      queue.dropped++;
    else {
      put_bytes (&number, 1);
      put_bytes (line, n);
      pthread_cond_signal (&queue.more);
    }
    break;
  case LOG_ENDED: case LOG_STUCK:
    break;
  }
  pthread_mutex_unlock (&queue.lock);
  return taken;
}

static void
say_dropped (unsigned long long dropped)
{
  char line[LOG_LINE];

  snprintf (line, sizeof line, "%llu log lines were dropped: whoever reads "
            "the log is too slow", dropped);
  log_write (LOG_LEVEL_WARNING, line);
}

static void *
log_thread (void *unused)
{
  char line[LOG_LINE];

  (void) unused;
  pthread_mutex_lock (&queue.lock);
  for (;;) {
    unsigned long long dropped = 0;
    enum log_level level;

    while (queue.used == 0 && queue.state == LOG_RUNS)
      pthread_cond_wait (&queue.more, &queue.lock);
    if (queue.used == 0)
      break;
    level = take_line (line);
    /* They came after all that was in the ring. */
    if (queue.used == 0) {
      dropped = queue.dropped;
      queue.dropped = 0;
    }
    pthread_mutex_unlock (&queue.lock);
    log_write (level, line);
    if (dropped > 0)
      say_dropped (dropped);
    pthread_mutex_lock (&queue.lock);
  }
  if (queue.state == LOG_STOPS)
    queue.state = LOG_ENDED;
  pthread_cond_signal (&queue.ended);
  pthread_mutex_unlock (&queue.lock);
  return NULL;
}

int
log_thread_start (void)
{
  pthread_condattr_t attr;
  sigset_t all, old;
  int r;

  if (queue.state != LOG_DIRECT)
    return 0;
  queue.ring = malloc (RING_SIZE);
  if (queue.ring == NULL)
    return -1;
  queue.first = queue.used = 0;
  queue.dropped = 0;
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&queue.ended, &attr);
  pthread_condattr_destroy (&attr);
  queue.state = LOG_RUNS;
  log_set_thread (put_line);
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  r = pthread_create (&queue.thread, NULL, log_thread, NULL);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  if (r != 0) {
    queue.state = LOG_DIRECT;
    free (queue.ring);
    errno = r;
    return -1;
  }
  return 0;
}

void
log_thread_stop (double timeout)
{
  struct timespec until;
  int r = 0;

  clock_gettime (CLOCK_MONOTONIC, &until);
  until.tv_sec += (time_t) timeout;
  until.tv_nsec += (long) ((timeout - (time_t) timeout) * 1e9);
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  pthread_mutex_lock (&queue.lock);
  if (queue.state != LOG_RUNS) {
    pthread_mutex_unlock (&queue.lock);
    return;
  }
  queue.state = LOG_STOPS;
  pthread_cond_signal (&queue.more);
  while (queue.state == LOG_STOPS && r == 0)
    r = pthread_cond_timedwait (&queue.ended, &queue.lock, &until);
  if (queue.state == LOG_STOPS) {
    /* It may hang for ever; the process ends without it. */
    queue.state = LOG_STUCK;
    queue.used = 0;
    pthread_mutex_unlock (&queue.lock);
    pthread_detach (queue.thread);
    return;
  }
  pthread_mutex_unlock (&queue.lock);
  pthread_join (queue.thread, NULL);
  free (queue.ring);
  queue.ring = NULL;
  pthread_cond_destroy (&queue.ended);
  queue.state = LOG_DIRECT;
}
