/* SPDX-License-Identifier: BSD-3-Clause */
/* A snapshot as OpenMetrics 1.0 text.
 *
 * Each family is there in each exposition, in the same order, also when it has no
 * samples: what several servers say can be put together family by family
 * (metrics_merge).  How many samples there are depends on maps, paths and sessions
 * only; names of clients or what they do never become a label.
 *
 * Pure: any thread.
 */
#ifndef MPISCSI_METRICS_H
#define MPISCSI_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "control/snapshot.h"

#define METRICS_TYPE \
  "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* false: fp has failed.  COLOUR is for its siblings in topology.h. */
extern bool metrics_print (FILE *fp, const struct snapshot *s, bool colour);
/* N expositions of metrics_print as one.  false: they are not alike (servers of
 * different versions), or fp has failed. */
extern bool metrics_merge (FILE *fp, const char *const *texts, size_t n);

#endif /* MPISCSI_METRICS_H */
