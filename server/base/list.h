/* SPDX-License-Identifier: BSD-3-Clause */
/* Intrusive doubly linked list.  A node that is in no list points to itself
 * (list_init), so that list_del is harmless when done twice. */
#ifndef MPISCSI_LIST_H
#define MPISCSI_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list { struct list *next, *prev; };

#define LIST_INIT(name) { &(name), &(name) }
#define container_of(ptr, type, member) \
  ((type *) ((char *) (ptr) - offsetof (type, member)))
#define list_entry(ptr, type, member) container_of (ptr, type, member)
/* The current entry may be removed inside the loop. */
#define list_for_each(pos, nxt, head) \
  for ((pos) = (head)->next, (nxt) = (pos)->next; \
       (pos) != (head); \
       (pos) = (nxt), (nxt) = (pos)->next)

static inline void
list_init (struct list *l)
{
  l->next = l->prev = l;
}

static inline bool
list_empty (const struct list *l)
{
  return l->next == l;
}

static inline void
list_add_tail (struct list *head, struct list *node)
{
  node->prev = head->prev;
  node->next = head;
  head->prev->next = node;
  head->prev = node;
}

static inline void
list_add_head (struct list *head, struct list *node)
{
  list_add_tail (head->next, node);
}

static inline void
list_del (struct list *node)
{
  node->next->prev = node->prev;
  node->prev->next = node->next;
  list_init (node);
}

/* Move all of FROM to the head of TO, in order. */
static inline void
list_splice_head (struct list *to, struct list *from)
{
  if (list_empty (from))
    return;
  from->prev->next = to->next;
  to->next->prev = from->prev;
  to->next = from->next;
  from->next->prev = to;
  list_init (from);
}

#endif /* MPISCSI_LIST_H */
