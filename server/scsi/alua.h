/* SPDX-License-Identifier: BSD-3-Clause */
/* Asymmetric logical unit access (SPC-4 5.15): REPORT and SET TARGET PORT
 * GROUPS, as bytes.
 *
 * Pure.  One answer has the states of all target port groups of a logical
 * unit, through whichever port it was asked.
 */
#ifndef MPISCSI_ALUA_H
#define MPISCSI_ALUA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ASYMMETRIC ACCESS STATE, SPC-4 table 189.  What is reserved there is taken
 * for unavailable: nobody knows that I/O would work. */
enum alua_state {
  ALUA_OPTIMIZED = 0x0, ALUA_NON_OPTIMIZED = 0x1, ALUA_STANDBY = 0x2,
  ALUA_UNAVAILABLE = 0x3, ALUA_LBA_DEPENDENT = 0x4, ALUA_OFFLINE = 0xe,
  ALUA_TRANSITIONING = 0xf,
};

/* TPGS of the standard INQUIRY data (SPC-4 6.6.2), lu_facts.tpgs; or-ed. */
enum { TPGS_IMPLICIT = 1, TPGS_EXPLICIT = 2 };

struct alua_group {
  uint16_t id;                  /* target port group, as in VPD page 83h */
  enum alua_state state;
  bool preferred;
};

/* Arrays have 2 to 16; more are looked at, those behind are left out. */
#define ALUA_MAX_GROUPS 128

struct alua_report {
  struct alua_group groups[ALUA_MAX_GROUPS];
  unsigned nr_groups;           /* each id once, in the target's order */
  unsigned transition_time;     /* seconds; 0 not said */
  bool cut;                     /* there are more than those */
  uint32_t length;              /* bytes of the whole answer, as it says */
};

/* The answer, with or without the extended header (SPC-4 6.37; it says
 * itself which).  A list that ends too early is good as far as it goes: Linux's
 * target (6.1) counts its extended header 4 bytes short.  false: not even a
 * header. */
extern bool parse_port_groups (struct alua_report *report,
                               const uint8_t *buf, size_t len);
/* REPORT TARGET PORT GROUPS; old targets refuse the extended header, with
 * ILLEGAL REQUEST.  Returns the CDB's length. */
extern int cdb_report_port_groups (uint8_t cdb[16], bool extended,
                                   uint32_t alloc);
/* SET TARGET PORT GROUPS (SPC-4 6.45), and its list for one group, whose
 * state is to be active/optimized. */
#define SET_PORT_GROUP_PARAMETERS 8
extern int cdb_set_port_groups (uint8_t cdb[16], uint32_t param_len);
extern void set_port_group_parameters (uint8_t buf[SET_PORT_GROUP_PARAMETERS],
                                       uint16_t group);
/* "active/optimized", "standby" ...: as the kernel's logs have them. */
extern const char *alua_state_text (enum alua_state state);

#endif /* MPISCSI_ALUA_H */
