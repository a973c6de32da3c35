/* SPDX-License-Identifier: BSD-3-Clause */
/* Which parts of a buffer have come, or may be sent: see ffp.h. */
#include <config.h>

#include "iscsi/ffp-internal.h"

/* The first one that ends behind AT. */
static unsigned
first_behind (const struct ffp_spans *s, uint32_t at)
{
  unsigned i = 0;

  while (i < s->n && s->span[i].to <= at)
    i++;
  return i;
}

bool
spans_touch (const struct ffp_spans *s, uint32_t from, uint32_t to)
{
  const unsigned i = first_behind (s, from);

  return from < to && i < s->n && s->span[i].from < to;
}

bool
spans_add (struct ffp_spans *s, uint32_t from, uint32_t to)
{
  unsigned i;

  if (from == to)
    return true;
  if (spans_touch (s, from, to))
    return false;
  i = first_behind (s, from);   /* it comes right before that one */
  if (i > 0 && s->span[i - 1].to == from) {
    s->span[i - 1].to = to;
    if (i < s->n && s->span[i].from == to) {
      s->span[i - 1].to = s->span[i].to;
      s->n--;
      memmove (&s->span[i], &s->span[i + 1], (s->n - i) * sizeof s->span[0]);
    }
    return true;
  }
  if (i < s->n && s->span[i].from == to) {
    s->span[i].from = from;
    return true;
  }
  if (s->n == FFP_SPANS)
    return false;
  memmove (&s->span[i + 1], &s->span[i], (s->n - i) * sizeof s->span[0]);
  s->span[i].from = from;
  s->span[i].to = to;
  s->n++;
  return true;
}

uint32_t
spans_front (const struct ffp_spans *s)
{
  return s->n > 0 && s->span[0].from == 0 ? s->span[0].to : 0;
}

uint32_t
spans_end (const struct ffp_spans *s)
{
  return s->n > 0 ? s->span[s->n - 1].to : 0;
}

uint32_t
spans_total (const struct ffp_spans *s)
{
  uint32_t n = 0;

  for (unsigned i = 0; i < s->n; i++)
    n += s->span[i].to - s->span[i].from;
  return n;
}
