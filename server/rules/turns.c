/* SPDX-License-Identifier: BSD-3-Clause */
/* The two rules of turns.h. */
#include <config.h>

#include "rules/turns.h"

void
turns_init (struct turns *t)
{
  list_init (&t->waiting);
}

void
turn_init (struct turn *u)
{
  list_init (&u->node);
  u->credit = 0;
}

/* At least one command a turn. */
static int64_t
credit_of (unsigned weight)
{
  const int64_t credit = (int64_t) TURN_CREDIT * weight / WEIGHT_DEFAULT;

  return credit > 0 ? credit : 1;
}

void
turns_wait (struct turns *t, struct turn *u, unsigned weight)
{
  if (!list_empty (&u->node))
    return;
  u->credit = credit_of (weight);
  list_add_tail (&t->waiting, &u->node);
}

void
turns_taken (struct turns *t, struct turn *u, uint32_t bytes, unsigned weight)
{
  if (list_empty (&u->node))
    return;                     /* nobody waits: nothing is scarce */
  u->credit -= TURN_COST (bytes);
  if (u->credit > 0)
    return;
  /* What a large command took too much is missing in the next turns, but not
   * for ever: others may have had enough meanwhile. */
  u->credit += credit_of (weight);
  if (u->credit <= 0)
    u->credit = 1;
  list_del (&u->node);
  list_add_tail (&t->waiting, &u->node);
}

void
turns_leave (struct turn *u)
{
  list_del (&u->node);
}

struct turn *
turns_next (const struct turns *t)
{
  return list_empty (&t->waiting) ? NULL
    : list_entry (t->waiting.next, struct turn, node);
}

uint64_t
share_tag (struct share *s, uint64_t now, uint32_t bytes)
{
  /* Who was idle begins now: nothing is saved up. */
  const uint64_t tag = s->tag > now ? s->tag : now;

  s->tag = tag + TURN_COST (bytes);
  return tag;
}
