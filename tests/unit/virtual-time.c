/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtual time.  Whoever waits for a time says until when; a thread of its own
 * looks at the states of all others, and when all sleep it puts the clock forward
 * to the first of those times.
 *
 * The functions here are found before those of the C library, by libev too. */
#include <config.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "virtual-time.h"

#if defined __SANITIZE_THREAD__
#define REAL 1
#elif defined __has_feature
#if __has_feature (thread_sanitizer)
#define REAL 1
#endif
#endif

#ifdef REAL

void
virtual_time_start (void)
{
}

#else

#define NS 1000000000ll
#define NEVER INT64_MAX
/* Real ns: between two looks at the threads; and of a wait that cannot be
 * interrupted. */
#define LOOK 10000
#define SLICE 300000
/* Virtual ns. */
#define ROUNDING 1000

static _Atomic bool started;
static _Atomic int64_t virtual_now;

/* Who waits, and until when. */
struct wait {
  struct wait *next;
  int64_t until;
  pthread_t thread;
  bool interrupt;               /* by the signal */
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t later = PTHREAD_COND_INITIALIZER;
static struct wait *waits;
static pid_t conductor_id;

static int
wake_signal (void)
{
  return SIGRTMIN + 5;
}

static int64_t
real_now (void)
{
  struct timespec ts;

  syscall (SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * NS + ts.tv_nsec;
}

static struct timespec
spec (int64_t ns)
{
  return (struct timespec) { .tv_sec = ns / NS, .tv_nsec = ns % NS };
}

static void
begin (struct wait *w, int64_t until, bool interrupt)
{
  /* libev's timers, and times that were rounded, are due after that time. */
  w->until = until == NEVER ? until : until + ROUNDING;
  w->thread = pthread_self ();
  w->interrupt = interrupt;
  pthread_mutex_lock (&lock);
  w->next = waits;
  waits = w;
  pthread_mutex_unlock (&lock);
}

static void
end (struct wait *w)
{
  struct wait **p;

  pthread_mutex_lock (&lock);
  for (p = &waits; *p != w; p = &(*p)->next)
    ;
  *p = w->next;
  pthread_mutex_unlock (&lock);
}

/* ---- the conductor ----------------------------------------------------------- */

/* Does every other thread sleep in the kernel? */
static bool
all_sleep (void)
{
  DIR *dir = opendir ("/proc/self/task");
  struct dirent *d;
  bool all = dir != NULL;

  while (all && (d = readdir (dir)) != NULL) {
    char name[300], text[200];
    const char *state;
    ssize_t n;
    int fd;

    if (d->d_name[0] == '.' || atoi (d->d_name) == conductor_id)
      continue;
    snprintf (name, sizeof name, "/proc/self/task/%.20s/stat", d->d_name);
    fd = open (name, O_RDONLY | O_CLOEXEC);
    n = fd == -1 ? 0 : read (fd, text, sizeof text - 1);
    if (fd != -1)
      close (fd);
    text[n > 0 ? n : 0] = '\0';
    state = strrchr (text, ')');
    if (state != NULL && strchr ("SXZ", state[2]) == NULL)
      all = false;
  }
  if (dir != NULL)
    closedir (dir);
  return all;
}

static void
advance (void)
{
  int64_t first = NEVER;

  pthread_mutex_lock (&lock);
  for (const struct wait *w = waits; w != NULL; w = w->next)
    if (w->until < first)
      first = w->until;
  if (first != NEVER && first > virtual_now)
    virtual_now = first;
  for (const struct wait *w = waits; w != NULL; w = w->next)
    if (w->interrupt && w->until <= virtual_now)
      pthread_kill (w->thread, wake_signal ());
  pthread_cond_broadcast (&later);
  pthread_mutex_unlock (&lock);
}

static void *
conduct (void *unused)
{
  const struct timespec look = spec (LOOK);

  (void) unused;
  conductor_id = syscall (SYS_gettid);
  for (;;) {
    syscall (SYS_nanosleep, &look, NULL);
    /* Who was asleep at first may have been woken by who was not. */
    if (all_sleep () && all_sleep ())
      advance ();
  }
  return NULL;
}

static void
start_conductor (void)
{
  pthread_t id;

  if (pthread_create (&id, NULL, conduct, NULL) != 0)
    abort ();
  pthread_detach (id);
}

static void
before_fork (void)
{
  pthread_mutex_lock (&lock);
}

static void
after_fork (void)
{
  pthread_mutex_unlock (&lock);
}

static void
in_child (void)
{
  waits = NULL;
  pthread_mutex_init (&lock, NULL);
  pthread_cond_init (&later, NULL);
  start_conductor ();
}

static void
woken (int sig)
{
  (void) sig;
}

void
virtual_time_start (void)
{
  struct sigaction sa = { .sa_handler = woken };

  sigaction (wake_signal (), &sa, NULL);
  virtual_now = real_now ();
  started = true;
  pthread_atfork (before_fork, after_fork, in_child);
  start_conductor ();
}

/* ---- instead of the C library -------------------------------------------------- */

int
clock_gettime (clockid_t clock, struct timespec *ts)
{
  if (!started || clock != CLOCK_MONOTONIC)
    return syscall (SYS_clock_gettime, clock, ts);
  *ts = spec (virtual_now);
  return 0;
}

static int
sleep_ns (int64_t ns)
{
  struct wait w;

  if (!started) {
    const struct timespec ts = spec (ns);

    return syscall (SYS_nanosleep, &ts, NULL);
  }
  begin (&w, virtual_now + ns, false);
  pthread_mutex_lock (&lock);
  while (virtual_now < w.until)
    pthread_cond_wait (&later, &lock);
  pthread_mutex_unlock (&lock);
  end (&w);
  return 0;
}

int
nanosleep (const struct timespec *ts, struct timespec *rest)
{
  (void) rest;
  return sleep_ns (ts->tv_sec * NS + ts->tv_nsec);
}

int
usleep (useconds_t us)
{
  return sleep_ns (us * 1000ll);
}

/* The signal comes only while a thread waits: SET is its mask then. */
static void
listen_for_wake (sigset_t *set)
{
  sigset_t wake;

  sigemptyset (&wake);
  sigaddset (&wake, wake_signal ());
  pthread_sigmask (SIG_BLOCK, &wake, set);
  sigdelset (set, wake_signal ());
}

int
epoll_wait (int fd, struct epoll_event *events, int max, int timeout)
{
  sigset_t set;
  struct wait w;
  int r;

  if (!started || timeout == 0) {
    virtual_now += ROUNDING;    /* who only looks must not stop the clock */
    return syscall (SYS_epoll_pwait, fd, events, max, timeout, NULL, 8);
  }
  listen_for_wake (&set);
  begin (&w, timeout < 0 ? NEVER : virtual_now + timeout * 1000000ll, true);
  do
    r = syscall (SYS_epoll_pwait, fd, events, max, -1, &set, 8);
  while (r == -1 && errno == EINTR && virtual_now < w.until);
  end (&w);
  return r == -1 && errno == EINTR ? 0 : r;
}

int
poll (struct pollfd *fds, nfds_t n, int timeout)
{
  const struct timespec zero = spec (0);
  sigset_t set;
  struct wait w;
  int r;

  if (!started || timeout == 0) {
    const struct timespec ts = spec (timeout < 0 ? 0 : timeout * 1000000ll);

    return syscall (SYS_ppoll, fds, n, timeout < 0 ? NULL
                    : timeout == 0 ? &zero : &ts, NULL, 8);
  }
  listen_for_wake (&set);
  begin (&w, timeout < 0 ? NEVER : virtual_now + timeout * 1000000ll, true);
  do
    r = syscall (SYS_ppoll, fds, n, NULL, &set, 8);
  while (r == -1 && errno == EINTR && virtual_now < w.until);
  end (&w);
  return r == -1 && errno == EINTR ? 0 : r;
}

/* All of ours are of CLOCK_MONOTONIC. */
int
pthread_cond_timedwait (pthread_cond_t *cond, pthread_mutex_t *mutex,
                        const struct timespec *until)
{
  struct wait w;
  int r;

  begin (&w, started ? until->tv_sec * NS + until->tv_nsec : NEVER, false);
  do {
    const struct timespec slice = spec (real_now () + SLICE);

    r = pthread_cond_clockwait (cond, mutex, CLOCK_MONOTONIC,
                                started ? &slice : until);
  } while (started && r == ETIMEDOUT && virtual_now < w.until);
  end (&w);
  return r;
}

int
sem_clockwait (sem_t *sem, clockid_t clock, const struct timespec *until)
{
  static int (*real) (sem_t *, clockid_t, const struct timespec *);
  struct wait w;
  int r;

  if (real == NULL)
    real = (int (*) (sem_t *, clockid_t, const struct timespec *))
      dlsym (RTLD_NEXT, "sem_clockwait");
  if (!started || clock != CLOCK_MONOTONIC)
    return real (sem, clock, until);
  begin (&w, until->tv_sec * NS + until->tv_nsec, false);
  do {
    const struct timespec slice = spec (real_now () + SLICE);

    r = real (sem, clock, &slice);
  } while (r == -1 && errno == ETIMEDOUT && virtual_now < w.until);
  end (&w);
  return r;
}

#endif
