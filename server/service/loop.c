/* SPDX-License-Identifier: BSD-3-Clause */
/* For a front end that lives on the engine's loop: see service.h. */
#include <config.h>

#include "iscsi/guard.h"
#include "service/service-internal.h"

void
service_own_loop (struct engine *e)
{
  engine_own_loop (e);
}

void
service_run_loop (struct engine *e)
{
  engine_run (e);
}

void
service_disown_loop (struct engine *e)
{
  engine_disown_loop (e);
}

void
service_on_turn (struct engine *e, bool (*turn) (void *opaque), void *opaque)
{
  e->end_of_turn = turn;
  e->end_of_turn_opaque = opaque;
}

bool
service_has_new (struct engine *e)
{
  return atomic_load_explicit (&e->pending, memory_order_relaxed) != NULL;
}

void
service_take_new (struct engine *e)
{
  if (service_has_new (e))
    engine_settle (e);
}

void
service_bind_thread (struct engine *e)
{
  engine_bind_thread (e);
}

double
service_now (void)
{
  return engine_now ();
}

bool
service_is_guarded (void)
{
  return guard_is_installed ();
}
