/* SPDX-License-Identifier: BSD-3-Clause */
/* Registering one nexus.  See registration.h. */
#include <config.h>

#include "rules/registration.h"

void
registration_start (struct registration *r, uint64_t key, bool aptpl,
                    bool all_tg_pt, bool known,
                    const struct registration *last)
{
  *r = (struct registration) {
    .step = known ? REGISTER_CONFIRM : REGISTER_FIRST,
    .key = key, .aptpl = aptpl, .all_tg_pt = all_tg_pt,
  };
  if (known && last != NULL && last->in_doubt && last->key == key) {
    r->step = REGISTER_RECALL;
    r->generation = last->generation;
    r->count = last->count;
    r->in_doubt = true;
  }
}

int
registration_command (const struct registration *r, uint8_t cdb[16],
                      uint16_t alloc, uint8_t parameters[PR_PARAMETERS],
                      bool *in)
{
  struct pr_parameters p = { .action_key = r->key, .aptpl = r->aptpl,
                             .all_tg_pt = r->all_tg_pt };

  *in = false;
  switch (r->step) {
  case REGISTER_RECALL: case REGISTER_LOOK: case REGISTER_LOOK_AGAIN:
    *in = true;
    return cdb_pr_in (cdb, PR_READ_KEYS, alloc);
  case REGISTER_CONFIRM:
    p.key = r->key;
    pr_parameters (parameters, &p);
    return cdb_pr_out (cdb, PR_REGISTER, 0);
  case REGISTER_WITHDRAW:
    p.action_key = 0;
    break;
  case REGISTER_FIRST: case REGISTER_JOIN:
  case REGISTER_DONE: case REGISTER_FENCED: case REGISTER_REFUSED:
  case REGISTER_FAILED:
    break;
  }
  pr_parameters (parameters, &p);
  return cdb_pr_out (cdb, PR_REGISTER_IGNORE, 0);
}

/* PRGENERATION counts what is done to registrations (SPC-4 6.15.2): not more
 * than JOIN was done; or JOIN has added one, and none was removed. */
static bool
nothing_else (const struct registration *r, const uint8_t *buf,
              const struct pr_keys *keys)
{
  return keys->generation == r->generation ||
    keys->generation == r->generation + 1 ||
    pr_count_key (buf, keys, r->key) > r->count;
}

static enum register_step
recalled (struct registration *r, const uint8_t *buf, size_t len)
{
  struct pr_keys keys;

  if (!parse_pr_keys (buf, len, &keys))
    return REGISTER_FAILED;
  if (nothing_else (r, buf, &keys)) {
    r->in_doubt = false;
    return REGISTER_CONFIRM;
  }
  return REGISTER_FENCED;
}

static enum register_step
looked (struct registration *r, const uint8_t *buf, size_t len)
{
  struct pr_keys keys;

  if (!parse_pr_keys (buf, len, &keys))
    return REGISTER_FAILED;
  r->generation = keys.generation;
  r->count = pr_count_key (buf, &keys, r->key);
  if (r->count > 0) {
    r->in_doubt = true;
    return REGISTER_JOIN;
  }
  /* It may be among those that did not fit. */
  return keys.truncated ? REGISTER_FAILED : REGISTER_FENCED;
}

static enum register_step
looked_again (struct registration *r, const uint8_t *buf, size_t len)
{
  struct pr_keys keys;

  if (!parse_pr_keys (buf, len, &keys))
    return REGISTER_FAILED;
  r->in_doubt = false;
  return nothing_else (r, buf, &keys) ? REGISTER_DONE : REGISTER_WITHDRAW;
}

void
registration_answer (struct registration *r, enum register_answer answer,
                     const uint8_t *buf, size_t len)
{
  const bool good = answer == ANSWER_GOOD;

  switch (r->step) {
  case REGISTER_RECALL:
    r->step = good ? recalled (r, buf, len) : REGISTER_FAILED;
    break;
  case REGISTER_FIRST:
    r->step = good ? REGISTER_DONE
      : answer == ANSWER_ILLEGAL ? REGISTER_REFUSED : REGISTER_FAILED;
    break;
  case REGISTER_CONFIRM:
    r->step = good ? REGISTER_DONE
      : answer == ANSWER_CONFLICT ? REGISTER_LOOK : REGISTER_FAILED;
    break;
  case REGISTER_LOOK:
    r->step = good ? looked (r, buf, len) : REGISTER_FAILED;
    break;
  case REGISTER_JOIN:
    r->step = good ? REGISTER_LOOK_AGAIN : REGISTER_FAILED;
    break;
  case REGISTER_LOOK_AGAIN:
    r->step = good ? looked_again (r, buf, len) : REGISTER_FAILED;
    break;
  case REGISTER_WITHDRAW:
    /* Also if it was not taken: nothing goes this way any more. */
    r->step = REGISTER_FENCED;
    break;
  case REGISTER_DONE: case REGISTER_FENCED: case REGISTER_REFUSED:
  case REGISTER_FAILED:
    break;
  }
}
