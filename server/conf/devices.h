/* SPDX-License-Identifier: BSD-3-Clause */
/* The device table: what is built in for arrays, by INQUIRY.
 *
 * It has only what a target does not say by itself.  ALUA is found by TPGS
 * (detect_prio, detect_pgpolicy), management LUNs by what they call themselves
 * (lu_management); what is left is how long the array takes to come back, since
 * that is what no_path_retry and fast_io_fail_tmo are about, and a few habits.
 *
 * Pure. */
#ifndef MPISCSI_DEVICES_H
#define MPISCSI_DEVICES_H

#include <stdbool.h>

#include "scsi/scsi.h"

/* INQUIRY: vendor, and what the product begins with; "" any. */
struct device_unit { const char *vendor, *product; };

struct device_family {
  const char *name;
  const struct device_unit *units;      /* ends with a NULL vendor */
  /* 0: not given.  no_path_retry as in settings.h. */
  int no_path_retry;
  double fast_io_fail_tmo;
  int failback;                 /* seconds */
  const char *prio_args;
  /* Paths of which one controller takes no I/O, unless the array is set to
   * ALUA: how to do that. */
  const char *to_alua;
};

/* NULL: none. */
extern const struct device_family *device_family (const struct lu_facts *lu);
/* All of them, for listings; NULL: no more. */
extern const struct device_family *device_family_at (unsigned i);

#endif /* MPISCSI_DEVICES_H */
