/* SPDX-License-Identifier: BSD-3-Clause */
/* What glibc has and other C libraries have not. */

#ifndef MPISCSI_COMPAT_H
#define MPISCSI_COMPAT_H

#include <config.h>

#ifndef HAVE_STRERRORDESC_NP
#include <string.h>
/* Only glibc's strerror looks at the locale; musl's gives constants, too. */
#define strerrordesc_np strerror
#endif

#ifndef HAVE_SEM_CLOCKWAIT
#include <errno.h>
#include <semaphore.h>
#include <stdint.h>
#include <time.h>

/* Is late or early if somebody sets the clock meanwhile. */
static inline int
sem_clockwait (sem_t *sem, clockid_t clock, const struct timespec *until)
{
  struct timespec now, real;
  int64_t ns;

  if (clock_gettime (clock, &now) == -1 || clock_gettime (CLOCK_REALTIME, &real) == -1)
    return -1;
  ns = real.tv_nsec + (until->tv_nsec - now.tv_nsec);
  real.tv_sec += until->tv_sec - now.tv_sec;
  if (ns < 0)
    real.tv_sec--, ns += 1000000000;
  else if (ns >= 1000000000)
    real.tv_sec++, ns -= 1000000000;
  real.tv_nsec = ns;
  return sem_timedwait (sem, &real);
}
#endif

#endif /* MPISCSI_COMPAT_H */
