/* SPDX-License-Identifier: BSD-3-Clause */
/* Persistent reservations: PERSISTENT RESERVE IN and OUT, SPC-4 6.15, 6.16.
 *
 * Pure.  Parsers take the bytes that really arrived, and read none beyond. */
#ifndef MPISCSI_PR_H
#define MPISCSI_PR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Service actions of PERSISTENT RESERVE OUT, SPC-4 table 229. */
enum pr_out {
  PR_REGISTER = 0, PR_RESERVE = 1, PR_RELEASE = 2, PR_CLEAR = 3,
  PR_PREEMPT = 4, PR_PREEMPT_ABORT = 5, PR_REGISTER_IGNORE = 6,
};
/* And of PERSISTENT RESERVE IN, table 214. */
enum pr_in {
  PR_READ_KEYS = 0, PR_READ_RESERVATION = 1, PR_CAPABILITIES = 2,
  PR_FULL_STATUS = 3,
};

/* The basic parameter list. */
#define PR_PARAMETERS 24
struct pr_parameters {
  uint64_t key;                 /* that this nexus is registered with */
  uint64_t action_key;          /* to be registered, or to be preempted */
  bool all_tg_pt, aptpl;
};

/* CDB zeroed first; its length.  TYPE and scope go together: the scope is
 * always the logical unit (0). */
extern int cdb_pr_out (uint8_t cdb[16], enum pr_out action, unsigned type);
extern void pr_parameters (uint8_t buf[PR_PARAMETERS],
                           const struct pr_parameters *p);
extern int cdb_pr_in (uint8_t cdb[16], enum pr_in action, uint16_t alloc);

/* READ KEYS. */
struct pr_keys {
  uint32_t generation;
  unsigned nr;                  /* those that came; see pr_key () */
  bool truncated;               /* there are more */
};
/* false: malformed. */
extern bool parse_pr_keys (const uint8_t *buf, size_t len,
                           struct pr_keys *keys);
/* The key number I of a buffer that parse_pr_keys took. */
extern uint64_t pr_key (const uint8_t *buf, unsigned i);
/* How often KEY is in it. */
extern unsigned pr_count_key (const uint8_t *buf, const struct pr_keys *keys,
                              uint64_t key);

/* READ RESERVATION. */
struct pr_reservation {
  uint32_t generation;
  bool held;
  uint64_t key;                 /* 0 for the "all registrants" types */
  uint8_t scope, type;
};
extern bool parse_pr_reservation (const uint8_t *buf, size_t len,
                                  struct pr_reservation *r);

/* REPORT CAPABILITIES. */
struct pr_capabilities {
  bool crh, sip_c, atp_c, ptpl_c;
  bool tmv, ptpl_a;
  uint8_t allow_commands;
  uint16_t types;               /* bit N: type N; valid if tmv */
};
extern bool parse_pr_capabilities (const uint8_t *buf, size_t len,
                                   struct pr_capabilities *c);

/* READ FULL STATUS: one descriptor after the other. */
struct pr_status {
  uint64_t key;
  bool all_tg_pt, holder;
  uint8_t scope, type;          /* of the holder */
  uint16_t rtpi;
  char initiator[300];          /* iSCSI name, and ",i,0xISID"; "" if it is
                                   another transport's */
};
/* AT: 0 first, then as the last call left it.  False: there are no more. */
extern bool parse_pr_status (const uint8_t *buf, size_t len, size_t *at,
                             struct pr_status *s);

/* "Write Exclusive, registrants only" and so on. */
extern const char *pr_type_text (unsigned type);

#endif /* MPISCSI_PR_H */
