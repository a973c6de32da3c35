/* SPDX-License-Identifier: BSD-3-Clause */
/* Path selectors: round-robin, queue-length, service-time. */
#include <config.h>

#include <assert.h>

#include "rules/selector.h"

/* A turn also ends after this many bytes, else large requests would fill one
 * path for rr_min_io of them while the others idle: with 256 KiB requests
 * each goes to another path, with 4 KiB ones rr_min_io decides (up to 64). */
#define TURN_BYTES (256 * 1024)

void
selector_init (struct selector *sel, const struct selector_ops *ops)
{
  sel->ops = ops;
  list_init (&sel->active);
  sel->nr_active = 0;
  sel->repeat_left = 0;
  sel->bytes_left = 0;
}

void
selector_path_init (struct selector_path *path)
{
  list_init (&path->node);
  turn_init (&path->turn);
}

void
selector_fail_path (struct selector *sel, struct selector_path *path)
{
  turns_leave (&path->turn);
  if (list_empty (&path->node))
    return;
  if (sel->active.next == &path->node)
    sel->repeat_left = 0;
  list_del (&path->node);
  assert (sel->nr_active > 0);
  sel->nr_active--;
}

void
selector_reinstate_path (struct selector *sel, struct selector_path *path)
{
  if (!list_empty (&path->node))
    return;
  list_add_tail (&sel->active, &path->node);
  sel->nr_active++;
}

void
selector_start_io (struct selector_path *path, uint32_t bytes)
{
  path->in_flight++;
  path->in_flight_bytes += bytes;
}

void
selector_end_io (struct selector_path *path, uint32_t bytes)
{
  assert (path->in_flight > 0 && path->in_flight_bytes >= bytes);
  path->in_flight--;
  path->in_flight_bytes -= bytes;
}

bool
selector_path_has_room (const struct selector_path *path)
{
  return path->in_flight < path->limit &&
    (path->shared_limit == NULL ||
     *path->shared_in_flight < *path->shared_limit) &&
    (path->turns == NULL || turns_may_take (path->turns, &path->turn));
}

/* Slow paths are taken only when no other path is active: rather wait for
 * room on a good path than for an answer from a bad one. */
static bool
only_slow_paths (const struct selector *sel)
{
  const struct list *l;

  for (l = sel->active.next; l != &sel->active; l = l->next)
    if (!list_entry (l, struct selector_path, node)->slow)
      return false;
  return true;
}

static bool
eligible (const struct selector_path *path, bool take_slow)
{
  return selector_path_has_room (path) && (take_slow || !path->slow);
}

static void
begin_turn (struct selector *sel, const struct selector_path *path)
{
  sel->repeat_left = path->repeat_count ? path->repeat_count : 1;
  sel->bytes_left = TURN_BYTES;
}

static void
rotate (struct selector *sel)
{
  struct list *first = sel->active.next;

  list_del (first);
  list_add_tail (&sel->active, first);
}

static struct selector_path *
round_robin_select (struct selector *sel, uint32_t bytes)
{
  unsigned i;
  bool take_slow;
  struct selector_path *path;

  if (sel->nr_active == 0)
    return NULL;

  path = list_entry (sel->active.next, struct selector_path, node);
  if (sel->repeat_left == 0 || sel->bytes_left <= 0) {
    rotate (sel);
    path = list_entry (sel->active.next, struct selector_path, node);
    begin_turn (sel, path);
  }

  take_slow = only_slow_paths (sel);
  for (i = 0; i < sel->nr_active; ++i) {
    if (eligible (path, take_slow)) {
      sel->repeat_left--;
      sel->bytes_left -= bytes;
      return path;
    }
    rotate (sel);
    path = list_entry (sel->active.next, struct selector_path, node);
    begin_turn (sel, path);
  }
  return NULL;
}

const struct selector_ops selector_round_robin = {
  .name = "round-robin",
  .select_path = round_robin_select,
};

/* The eligible path with the least COST; among equals the one that waited
 * longest, which then goes to the end of the list. */
static struct selector_path *
select_cheapest (struct selector *sel, uint32_t bytes,
                 uint64_t (*cost) (const struct selector_path *, uint32_t))
{
  struct list *l, *next;
  struct selector_path *best = NULL;
  uint64_t best_cost = 0;
  const bool take_slow = only_slow_paths (sel);

  list_for_each (l, next, &sel->active) {
    struct selector_path *path = list_entry (l, struct selector_path, node);
    uint64_t c;

    if (!eligible (path, take_slow))
      continue;
    c = cost (path, bytes);
    if (best == NULL || c < best_cost) {
      best = path;
      best_cost = c;
    }
  }
  if (best != NULL) {
    list_del (&best->node);
    list_add_tail (&sel->active, &best->node);
  }
  return best;
}

static uint64_t
queue_length_cost (const struct selector_path *path, uint32_t bytes)
{
  (void) bytes;
  return path->in_flight;
}

static struct selector_path *
queue_length_select (struct selector *sel, uint32_t bytes)
{
  return select_cheapest (sel, bytes, queue_length_cost);
}

const struct selector_ops selector_queue_length = {
  .name = "queue-length",
  .select_path = queue_length_select,
};

/* Time to serve what is in flight and this one: all paths are as fast as each
 * other. */
static uint64_t
service_time_cost (const struct selector_path *path, uint32_t bytes)
{
  return path->in_flight_bytes + bytes;
}

static struct selector_path *
service_time_select (struct selector *sel, uint32_t bytes)
{
  return select_cheapest (sel, bytes, service_time_cost);
}

const struct selector_ops selector_service_time = {
  .name = "service-time",
  .select_path = service_time_select,
};
