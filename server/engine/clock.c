/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine's time: seconds in which this process ran.
 *
 * A server that was stopped (SIGSTOP, a container that was frozen, a VM that was
 * paused) finds all its deadlines over when it goes on, although the answers
 * wait in its sockets.  So what it has not run does not count: the loop wakes up
 * each TICK_IDLE at the latest, and what goes beyond that by more than STOPPED
 * is taken off the clock, before any timer of that turn is looked at. */
#include <config.h>

#include <stdatomic.h>
#include <time.h>

#include "base/log.h"
#include "engine/engine-internal.h"

/* Seconds.  On a machine that has too much to do a turn may come that late;
 * nothing is decided by less. */
#define STOPPED 1.0

/* Of all engines: engine_now () is asked by those that know none. */
static _Atomic uint64_t lost_ns;

static uint64_t
monotonic_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

uint64_t (*engine_clock) (void) = monotonic_ns;

double
engine_now (void)
{
  return (engine_clock () -
          atomic_load_explicit (&lost_ns, memory_order_relaxed)) / 1e9;
}

void
clock_turn (struct engine_clock *clock, double longest)
{
  const uint64_t now = engine_clock ();
  const uint64_t most = (uint64_t) (longest * 1e9);

  if (clock->last_turn != 0 &&
      now - clock->last_turn > most + (uint64_t) (STOPPED * 1e9)) {
    const uint64_t lost = now - clock->last_turn - most;

    atomic_fetch_add_explicit (&lost_ns, lost, memory_order_relaxed);
    log_warning ("this process did not run for %.1f s: was it stopped?  That "
                 "time counts for no deadline", lost / 1e9);
  }
  clock->last_turn = now;
}
