/* SPDX-License-Identifier: BSD-3-Clause */
/* Which writes may run beside each other: see service-internal.h.  Without a
 * read-modify-write this is two links in a list for each write. */
#include <config.h>

#include "service/service-internal.h"

void
ranges_init (struct ranges *r)
{
  list_init (&r->active);
  list_init (&r->waiting);
  r->patches = 0;
}

static bool
conflict (const struct service_request *a, const struct service_request *b)
{
  return (a->patches || b->patches) && a->range_from < b->range_to &&
    b->range_from < a->range_to;
}

/* With one of LIST, up to END. */
static bool
conflicts (const struct list *list, const struct list *end,
           const struct service_request *sr)
{
  for (const struct list *l = list->next; l != end; l = l->next)
    if (conflict (list_entry (l, struct service_request, range_node), sr))
      return true;
  return false;
}

bool
ranges_take (struct ranges *r, struct service_request *sr)
{
  sr->in_range = true;
  if (sr->patches)
    r->patches++;
  /* Behind those that wait for longer, so that none waits for ever. */
  if (r->patches > 0 && (conflicts (&r->active, &r->active, sr) ||
                         conflicts (&r->waiting, &r->waiting, sr))) {
    list_add_tail (&r->waiting, &sr->range_node);
    return false;
  }
  list_add_tail (&r->active, &sr->range_node);
  return true;
}

/* Service_continue () may call us again: one at a time, from the start. */
static struct service_request *
next_turn (struct ranges *r)
{
  struct list *l, *next;

  list_for_each (l, next, &r->waiting) {
    struct service_request *sr =
      list_entry (l, struct service_request, range_node);

    if (conflicts (&r->active, &r->active, sr) ||
        conflicts (&r->waiting, l, sr))
      continue;
    list_del (&sr->range_node);
    list_add_tail (&r->active, &sr->range_node);
    return sr;
  }
  return NULL;
}

void
ranges_leave (struct ranges *r, struct service_request *sr)
{
  list_del (&sr->range_node);
  sr->in_range = false;
  if (sr->patches)
    r->patches--;
  while (!list_empty (&r->waiting)) {
    struct service_request *next = next_turn (r);

    if (next == NULL)
      return;
    service_continue (next);
  }
}
