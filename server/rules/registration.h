/* SPDX-License-Identifier: BSD-3-Clause */
/* Which commands register one nexus with a persistent reservation key, and
 * when it must not be registered: another host has fenced us.
 *
 * A host is fenced by PREEMPT with its key: the target forgets all of its
 * registrations.  If it then registered again by itself, the fence would be
 * gone, and two hosts would write.  So a nexus is registered without a
 * question only the first time (REGISTER_FIRST); after that only while the
 * target still knows our key:
 *
 * 1. REGISTER with our key as the old and the new one.  It succeeds if this
 *    nexus still is registered with it (SPC-4 5.12.7.2), and says so in one
 *    step: nobody can come in between.
 * 2. Else this nexus is a new one to the target: READ KEYS.  Without our key
 *    among them we are fenced.
 * 3. REGISTER AND IGNORE EXISTING KEY, and READ KEYS again.  If our key is
 *    not there one more time than before, and it was not only we who changed
 *    something, then we were fenced between 2 and 3: the registration is taken
 *    back.
 *
 * If the session is lost in 3, what has become of it is in doubt, and READ KEYS
 * on the next nexus settles that first.
 *
 * Several nexuses of one server and one logical unit do that one after the
 * other: 3 counts.
 *
 * Pure: the caller sends what it is told to, and tells what came.
 */
#ifndef MPISCSI_REGISTRATION_H
#define MPISCSI_REGISTRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi/pr.h"

enum register_step {
  /* To be sent: */
  REGISTER_RECALL,              /* READ KEYS: what became of the last JOIN? */
  REGISTER_FIRST,               /* REGISTER AND IGNORE EXISTING KEY */
  REGISTER_CONFIRM,             /* REGISTER, KEY both times */
  REGISTER_LOOK,                /* READ KEYS */
  REGISTER_JOIN,                /* REGISTER AND IGNORE EXISTING KEY */
  REGISTER_LOOK_AGAIN,          /* READ KEYS */
  REGISTER_WITHDRAW,            /* REGISTER AND IGNORE EXISTING KEY, key 0 */
  /* The end: */
  REGISTER_DONE,                /* this nexus is registered */
  REGISTER_FENCED,              /* another host has removed our key */
  REGISTER_REFUSED,             /* the first time: the target cannot do it */
  REGISTER_FAILED,              /* not known; try again later */
};

/* How a command ended. */
enum register_answer {
  ANSWER_GOOD,
  ANSWER_CONFLICT,              /* RESERVATION CONFLICT */
  ANSWER_ILLEGAL,               /* ILLEGAL REQUEST: it does not know this */
  ANSWER_ERROR,                 /* any other */
};

struct registration {
  enum register_step step;
  uint64_t key;
  bool aptpl, all_tg_pt;
  uint32_t generation;          /* of LOOK, and how often KEY was there */
  unsigned count;
  bool in_doubt;                /* JOIN was sent, and not checked */
};

/* KNOWN: this key was registered before, by this server or the one before.
 * LAST: the one before of this logical unit, for what is in doubt; NULL: it
 * was another key, or there is none. */
extern void registration_start (struct registration *r, uint64_t key,
                                bool aptpl, bool all_tg_pt, bool known,
                                const struct registration *last);
/* The CDB of the step, its length; PARAMETERS is filled unless *in, then
 * ALLOC bytes are to be read. */
extern int registration_command (const struct registration *r,
                                 uint8_t cdb[16], uint16_t alloc,
                                 uint8_t parameters[PR_PARAMETERS], bool *in);
/* What came; BUF is READ KEYS' answer.  Sets the next step. */
extern void registration_answer (struct registration *r,
                                 enum register_answer answer,
                                 const uint8_t *buf, size_t len);
static inline bool
registration_is_over (const struct registration *r)
{
  return r->step >= REGISTER_DONE;
}

#endif /* MPISCSI_REGISTRATION_H */
