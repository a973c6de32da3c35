/* SPDX-License-Identifier: BSD-3-Clause */
/* In-doubt ranges.  A list: a dead nexus had at most queue_depth commands in
 * flight, and this is looked at only while one is not fenced. */
#include <config.h>

#include <stdlib.h>

#include "rules/indoubt.h"

static struct indoubt_range *
find (const struct indoubt *set, const void *nexus, uint64_t origin,
      uint64_t lba, uint64_t end)
{
  struct list *l, *next;

  list_for_each (l, next, &set->ranges) {
    struct indoubt_range *r = list_entry (l, struct indoubt_range, node);

    if (r->nexus == nexus && r->origin == origin && r->lba <= lba &&
        r->end >= end)
      return r;
  }
  return NULL;
}

void
indoubt_init (struct indoubt *set)
{
  list_init (&set->ranges);
  set->count = 0;
}

static void
put (struct indoubt *set, struct indoubt_range *r)
{
  list_add_tail (&set->ranges, &r->node);
  set->count++;
}

static void
drop (struct indoubt *set, struct indoubt_range *r)
{
  list_del (&r->node);
  set->count--;
  if (!r->lent)
    free (r);
}

void
indoubt_clear (struct indoubt *set)
{
  while (!list_empty (&set->ranges))
    drop (set, list_entry (set->ranges.next, struct indoubt_range, node));
}

bool
indoubt_add (struct indoubt *set, const void *nexus, uint64_t origin,
             uint64_t lba, uint64_t blocks)
{
  const uint64_t end = lba + blocks < lba ? UINT64_MAX : lba + blocks;
  struct indoubt_range *r;

  if (blocks == 0 || find (set, nexus, origin, lba, end) != NULL)
    return true;
  r = malloc (sizeof *r);
  if (r == NULL) {
    struct list *l, *next;

    /* Widen one that is there, to all and for everybody. */
    list_for_each (l, next, &set->ranges) {
      r = list_entry (l, struct indoubt_range, node);
      if (r->nexus == nexus) {
        r->origin = 0;
        r->lba = 0;
        r->end = UINT64_MAX;
        return true;
      }
    }
    return false;
  }
  r->nexus = nexus;
  r->origin = origin;
  r->lba = lba;
  r->end = end;
  r->lent = false;
  put (set, r);
  return true;
}

void
indoubt_add_all (struct indoubt *set, const void *nexus,
                 struct indoubt_range *range)
{
  range->nexus = nexus;
  range->origin = 0;
  range->lba = 0;
  range->end = UINT64_MAX;
  range->lent = true;
  put (set, range);
}

void
indoubt_release (struct indoubt *set, const void *nexus)
{
  struct list *l, *next;

  list_for_each (l, next, &set->ranges) {
    struct indoubt_range *r = list_entry (l, struct indoubt_range, node);

    if (r->nexus == nexus)
      drop (set, r);
  }
}

bool
indoubt_overlaps (const struct indoubt *set, uint64_t origin, uint64_t lba,
                  uint64_t blocks)
{
  const uint64_t end = lba + blocks < lba ? UINT64_MAX : lba + blocks;
  struct list *l, *next;

  if (blocks == 0)
    return false;
  list_for_each (l, next, &set->ranges) {
    const struct indoubt_range *r = list_entry (l, struct indoubt_range, node);

    if (r->lba < end && lba < r->end && (origin == 0 || r->origin != origin))
      return true;
  }
  return false;
}
