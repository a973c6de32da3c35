/* SPDX-License-Identifier: BSD-3-Clause */
/* Friendly names (user_friendly_names): "mpatha", "mpathb" ... kept in a file
 * of "ALIAS WWID" lines, the format of multipath-tools' bindings file, so
 * that a disk has the same name after a restart. */
#ifndef MPISCSI_BINDINGS_H
#define MPISCSI_BINDINGS_H

#include "conf/settings.h"

/* The alias of WWID in FILE (NULL: "bindings" in the state directory, see
 * state-dir.h).  ADD: a new one with PREFIX if there is none; else nothing is
 * written.  Malloc'd; NULL: err says why, "" if it has none.  Any thread; the
 * file is locked meanwhile. */
extern char *bindings_alias (const char *file, const char *prefix,
                             const char *wwid, bool add, char err[ERR_SIZE]);
/* All of the file, as it is now.  NULL: err says why, "" if there is none. */
struct bindings;
extern struct bindings *bindings_load (const char *file, char err[ERR_SIZE]);
extern void bindings_free (struct bindings *b);
/* The alias of WWID; NULL: it has none there. */
extern const char *bindings_find (const struct bindings *b, const char *wwid);
/* -1: no memory. */
extern int bindings_note (struct bindings *b, const char *wwid,
                          const char *alias);
/* "a" for 0 ... "z", "aa" ...: as disks are named.  Returns buf. */
extern const char *bindings_suffix (unsigned n, char *buf, size_t size);

#endif /* MPISCSI_BINDINGS_H */
