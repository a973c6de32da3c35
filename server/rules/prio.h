/* SPDX-License-Identifier: BSD-3-Clause */
/* Prioritizer "weightedpath": a priority by what a path is called, as in
 * multipath.conf (prio_args "BY REGEX PRIO [REGEX PRIO]...").  Pure. */
#ifndef MPISCSI_PRIO_H
#define MPISCSI_PRIO_H

#include <stddef.h>

struct prio_names {
  const char *hbtl;             /* "SESSION:0:TPGT:LUN", as mpiscsi -ll shows it */
  const char *devname;          /* portal, "10.0.0.1:3260" */
  const char *serial;           /* VPD page 80h */
  const char *wwn;              /* target name */
};

/* BY is hbtl, devname, serial or wwn; the first REGEX (extended, unanchored)
 * that matches gives the priority.  0 if none does, as multipath has it; -1
 * and a message in err if ARGS are not of that form. */
extern int prio_weightedpath (const char *args, const struct prio_names *names,
                              char *err, size_t size);

#endif /* MPISCSI_PRIO_H */
