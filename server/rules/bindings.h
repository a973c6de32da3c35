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
/* "a" for 0 ... "z", "aa" ...: as disks are named.  Returns buf. */
extern const char *bindings_suffix (unsigned n, char *buf, size_t size);

#endif /* MPISCSI_BINDINGS_H */
