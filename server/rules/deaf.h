/* SPDX-License-Identifier: BSD-3-Clause */
/* A path that answers pings but not commands.
 *
 * Its session is alive by all that health.h knows, and a command may take
 * command_timeout.  What tells is another path to the same LUN: when that one
 * answers commands that were sent later, and this one has answered none for long
 * although it has some, the fault is the path's and not the LUN's.  How long is long
 * is measured on the other path as well: a multiple of what all but one in a
 * thousand of its commands take, and at least some time.
 *
 * Pure; seconds.
 */
#ifndef MPISCSI_DEAF_H
#define MPISCSI_DEAF_H

#include <stdbool.h>

struct deaf_input {
  double now;
  double oldest;                /* submit time of its oldest command; 0 none */
  double last_answer;           /* of any command, on this path; 0 never */
  /* Of the other usable paths, the one that answers best: */
  double other_answered;        /* newest submit time of what it answered */
  double other_last_answer;     /* and when it did, last; 0: there is none */
  double other_tail;            /* 99.9 % of its commands took less */
};
enum deaf_verdict {
  DEAF_NO,
  DEAF_AVOID,                   /* no new I/O that way */
  DEAF_DEAD,                    /* what it has goes another way */
};
/* For each: at least so many seconds, and so many times other_tail. */
#define DEAF_AVOID_MIN 0.5
#define DEAF_AVOID_TIMES 10
#define DEAF_DEAD_MIN 3.0
#define DEAF_DEAD_TIMES 30

extern enum deaf_verdict deaf_check (const struct deaf_input *in);

#endif /* MPISCSI_DEAF_H */
