/* SPDX-License-Identifier: BSD-3-Clause */
/* Keeping the threads on one CPU.
 *
 * Each request crosses from a worker to the service thread and back.  On the
 * same CPU that is a switch; on another one it is an interrupt, which in a
 * virtual machine costs more than all the rest of a 4 KiB request.  With few
 * CPUs the scheduler moves what it can (target, client) out of the way; with
 * many it is better left alone, so that "auto" is off there. */
#include <config.h>

#include <sched.h>
#include <unistd.h>

#include "engine/engine.h"

#define AUTO_MIN_CPUS 2
#define AUTO_MAX_CPUS 4

bool
affinity_one_cpu (void)
{
  cpu_set_t set;

  return sched_getaffinity (0, sizeof set, &set) == 0 && CPU_COUNT (&set) == 1;
}

/* The CPU, or -1.  Any thread. */
int
affinity_choose (enum affinity affinity)
{
  cpu_set_t set;
  int n, cpu;

  if (affinity == AFFINITY_OFF || sched_getaffinity (0, sizeof set, &set) == -1)
    return -1;
  n = CPU_COUNT (&set);
  if (n < AUTO_MIN_CPUS ||
      (affinity == AFFINITY_AUTO && n > AUTO_MAX_CPUS))
    return -1;
  /* Several servers on one machine should not all take the same. */
  n = getpid () % n;
  for (cpu = 0; ; ++cpu)
    if (CPU_ISSET (cpu, &set) && n-- == 0)
      return cpu;
}

void
engine_bind_thread (struct engine *e)
{
  cpu_set_t set;

  if (e->cpu < 0)
    return;
  CPU_ZERO (&set);
  CPU_SET (e->cpu, &set);
  /* Not allowed (any more)?  Then it is only slower. */
  sched_setaffinity (0, sizeof set, &set);
}
