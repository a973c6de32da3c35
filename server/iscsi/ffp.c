/* SPDX-License-Identifier: BSD-3-Clause */
/* The full feature phase: the session's numbers, its tasks and their tags.
 * See ffp.h. */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "iscsi/ffp-internal.h"

struct ffp *
ffp_new (const struct ffp_start *start, const struct ffp_ops *ops, void *opaque)
{
  struct ffp *f = calloc (1, sizeof *f);
  unsigned n = 32;

  if (f == NULL)
    return NULL;
  while (n < start->tasks + RESERVED && n < MAX_SLOTS)
    n *= 2;
  /* The last index with the last generation would be no tag at all. */
  f->nr_slots = n < MAX_SLOTS ? n : MAX_SLOTS - 1;
  f->slots = calloc (f->nr_slots, sizeof *f->slots);
  f->free_slots = calloc (f->nr_slots, sizeof *f->free_slots);
  if (f->slots == NULL || f->free_slots == NULL) {
    ffp_free (f);
    return NULL;
  }
  for (unsigned i = 0; i < f->nr_slots; i++)
    f->free_slots[f->nr_free++] = (uint16_t) (f->nr_slots - 1 - i);
  f->keys = start->keys;
  if (f->keys.max_r2t > FFP_R2TS)
    f->keys.max_r2t = FFP_R2TS;
  f->ops = ops;
  f->opaque = opaque;
  f->cmdsn = start->cmdsn;
  f->exp_statsn = start->exp_statsn;
  f->max_cmdsn = start->max_cmdsn;
  list_init (&f->waiting);
  list_init (&f->sending);
  return f;
}

void
ffp_free (struct ffp *f)
{
  if (f == NULL)
    return;
  while (f->outs > 0) {
    free (f->out[f->out_first].owned);
    f->out_first = (f->out_first + 1) % RING;
    f->outs--;
  }
  free (f->slots);
  free (f->free_slots);
  free (f->due);
  free (f->aux);
  free (f->text);
  free (f->text_out);
  free (f);
}

bool
ffp_refuse (struct ffp *f, enum ffp_end end, const char *fs, ...)
{
  va_list args;

  if (f->end != FFP_ALIVE)
    return false;
  f->end = end;
  va_start (args, fs);
  vsnprintf (f->why, sizeof f->why, fs, args);
  va_end (args);
  return false;
}

enum ffp_end
ffp_over (const struct ffp *f)
{
  return f->end;
}

const char *
ffp_why (const struct ffp *f)
{
  return f->why;
}

void
ffp_stop (struct ffp *f)
{
  ffp_refuse (f, FFP_END_STOPPED, "stopped");
}

uint32_t
ffp_cmdsn (const struct ffp *f)
{
  return f->cmdsn;
}

uint32_t
ffp_exp_statsn (const struct ffp *f)
{
  return f->exp_statsn;
}

bool
ffp_is_waiting (const struct ffp *f)
{
  return !list_empty (&f->waiting);
}

uint32_t
ffp_task_sent (const struct ffp_task *t)
{
  return t->sent;
}

/* ---- tags ------------------------------------------------------------------------ */

struct slot *
ffp_slot_new (struct ffp *f, enum slot_kind kind, unsigned reserve)
{
  unsigned i;
  struct slot *s;

  if (f->nr_free <= reserve)
    return NULL;
  i = f->free_slots[--f->nr_free];
  s = &f->slots[i];
  s->kind = kind;
  s->task = NULL;
  s->generation++;
  s->itt = s->generation << SLOT_BITS | i;
  return s;
}

struct slot *
ffp_slot_find (struct ffp *f, uint32_t itt, enum slot_kind kind)
{
  const unsigned i = itt & (MAX_SLOTS - 1);

  return i < f->nr_slots && f->slots[i].kind == kind && f->slots[i].itt == itt
    ? &f->slots[i] : NULL;
}

void
ffp_slot_free (struct ffp *f, struct slot *s)
{
  s->kind = SLOT_FREE;
  s->task = NULL;
  f->free_slots[f->nr_free++] = (uint16_t) (s - f->slots);
}

struct ffp_task *
ffp_task_find (struct ffp *f, uint32_t itt)
{
  struct slot *s = ffp_slot_find (f, itt, SLOT_TASK);

  return s ? s->task : NULL;
}

/* ---- tasks ------------------------------------------------------------------------- */

bool
ffp_is_large (const struct ffp_task *t)
{
  return t->direction == FFP_READ && t->bytes > AHEAD_MAX;
}

void
ffp_submit (struct ffp *f, struct ffp_task *t)
{
  t->has_slot = t->in_socket = false;
  t->datasn = t->unsolicited_datasn = 0;
  t->spans.n = 0;
  t->unsolicited = t->unsolicited_to = 0;
  t->sent = 0;
  t->pdus = t->r2t_first = t->r2ts = t->r2ts_open = 0;
  list_add_tail (&f->waiting, &t->node);
}

/* Nothing of ours refers to it any more. */
void
ffp_task_done (struct ffp *f, struct ffp_task *t, const struct ffp_answer *a)
{
  list_del (&t->node);
  if (!ffp_out_drop (f, t))
    return;
  if (t->has_slot) {
    ffp_slot_free (f, ffp_slot_find (f, t->itt, SLOT_TASK));
    t->has_slot = false;
    if (ffp_is_large (t))
      f->large_reads--;
  }
  f->ops->done (f->opaque, t, a);
}

/* ---- immediate requests ------------------------------------------------------------ */

bool
ffp_due (struct ffp *f, const struct due *d)
{
  if (f->dues == f->due_size) {
    const unsigned size = f->due_size ? 2 * f->due_size : 16;
    struct due *larger = malloc (size * sizeof *larger);

    if (larger == NULL)
      return false;
    for (unsigned i = 0; i < f->dues; i++)
      larger[i] = f->due[(f->due_first + i) % f->due_size];
    free (f->due);
    f->due = larger;
    f->due_size = size;
    f->due_first = 0;
  }
  f->due[(f->due_first + f->dues++) % f->due_size] = *d;
  return true;
}

static bool
request (struct ffp *f, enum slot_kind kind, struct due *d, uint32_t ref)
{
  struct slot *s;

  if (f->end != FFP_ALIVE || (s = ffp_slot_new (f, kind, 0)) == NULL)
    return false;
  s->lun = d->lun;
  s->function = d->function;
  s->ref = ref;
  d->itt = s->itt;
  if (!ffp_due (f, d)) {
    ffp_slot_free (f, s);
    return false;
  }
  return true;
}

bool
ffp_ping (struct ffp *f)
{
  return request (f, SLOT_NOP, &(struct due) {
    .opcode = PDU_NOP_OUT, .ttt = PDU_NO_TAG }, 0);
}

bool
ffp_lun_reset (struct ffp *f, uint16_t lun)
{
  return request (f, SLOT_TMF, &(struct due) {
    .opcode = PDU_TMF_REQUEST, .function = PDU_LUN_RESET, .lun = lun,
    .ttt = PDU_NO_TAG }, PDU_NO_TAG);
}

bool
ffp_abort_task (struct ffp *f, struct ffp_task *t)
{
  if (f->end != FFP_ALIVE)
    return false;
  if (!t->has_slot) {
    ffp_task_done (f, t, &(struct ffp_answer) { .aborted = true });
    return true;
  }
  /* 11.5.5: the tag of the task to be aborted is where others have a TTT. */
  return request (f, SLOT_TMF, &(struct due) {
    .opcode = PDU_TMF_REQUEST, .function = PDU_ABORT_TASK, .lun = t->lun,
    .ttt = t->itt }, t->itt);
}

bool
ffp_logout (struct ffp *f)
{
  return request (f, SLOT_LOGOUT, &(struct due) {
    .opcode = PDU_LOGOUT_REQUEST, .ttt = PDU_NO_TAG }, 0);
}

bool
ffp_text_request (struct ffp *f, const char *text, size_t size)
{
  if (f->text_out != NULL || size > PDU_MIN_LENGTH)
    return false;
  f->text_out = malloc (size);
  if (f->text_out == NULL)
    return ffp_refuse (f, FFP_END_MEMORY, "out of memory");
  memcpy (f->text_out, text, size);
  f->text_out_size = size;
  f->text_size = 0;
  return request (f, SLOT_TEXT, &(struct due) {
    .opcode = PDU_TEXT_REQUEST, .ttt = PDU_NO_TAG }, 0);
}
