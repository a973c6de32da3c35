/* SPDX-License-Identifier: BSD-3-Clause */
/* Listings of a snapshot, in the layout of multipath(8) and multipathd(8).
 *
 * Pure: any thread.
 *
 * Where Linux has something that does not exist here:
 *
 *   H:C:I:L    SESSION:CONNECTION:TPGT:LUN.  The session's number (as in the
 *              log), the connection's (0: there is one per session), the
 *              target portal group tag ("-" until discovery tells), the LUN.
 *   sda 8:0    the portal, ADDRESS:PORT.
 *   dm-0       map-0: numbered in order of discovery.
 *   running    "running" as long as the session is wanted, logged in or not,
 *              for so Linux shows a lost path: "failed faulty running"; the
 *              checker's state tells the difference.  "offline": the session
 *              is closed for good (mpiscsi del).
 */
#ifndef MPISCSI_TOPOLOGY_H
#define MPISCSI_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "control/snapshot.h"

/* false: no memory, and not all was printed.  As `multipath -ll`. */
extern bool topology_print (FILE *fp, const struct snapshot *s, bool colour);
/* As `multipathd show maps` and `show paths`, with more columns; one header
 * line, left out when there is nothing below it. */
extern bool topology_maps (FILE *fp, const struct snapshot *s, bool colour);
extern bool topology_paths (FILE *fp, const struct snapshot *s, bool colour);
extern bool topology_sessions (FILE *fp, const struct snapshot *s, bool colour);
extern bool topology_clients (FILE *fp, const struct snapshot *s, bool colour);

/* As `multipathd show status`. */
extern bool topology_status (FILE *fp, const struct snapshot *s, bool colour);
/* 0: all paths of all maps are well; 1: some have failed; 2: a map has no path
 * to use; 3: there is no map. */
extern int topology_worst_state (const struct snapshot *s);

/* topology-json.c: a new reference, NULL: no memory.  The first one is
 * multipathd's `show maps json`; the others have its keys, in a flat list. */
extern json_t *topology_json (const struct snapshot *s);
extern json_t *topology_paths_json (const struct snapshot *s);
extern json_t *topology_sessions_json (const struct snapshot *s);
extern json_t *topology_clients_json (const struct snapshot *s);

/* "256M", "1.5T": powers of 1024 of BYTES, one decimal below 10.  Returns
 * buf, of at least 16 bytes. */
extern const char *topology_size (double bytes, char *buf);
/* The column H:C:I:L. */
extern const char *topology_hcil (unsigned session, int tpgt, unsigned lun,
                                  char *buf, size_t size);
/* multipathd's words; those with a buffer return it. */
extern const char *topology_policy (enum selector_kind kind);
extern const char *topology_features (const struct snapshot_map *m);
extern const char *topology_hwhandler (const struct snapshot_map *m);
extern const char *topology_failback (const struct snapshot_map *m,
                                      char *buf, size_t size);
extern const char *topology_queueing (const struct snapshot_map *m,
                                      char *buf, size_t size);
extern const char *topology_group_state (const struct snapshot_group *g);
/* "running" or "offline". */
extern const char *topology_dev_state (enum session_state state);

#endif /* MPISCSI_TOPOLOGY_H */
