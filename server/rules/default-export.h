/* SPDX-License-Identifier: BSD-3-Clause */
/* Which LUN the default export is, in case there are several after a restart:
 * the file "default-export" in the state directory (state-dir.h).
 *
 * Lines "WWID INITIATOR TARGET PORTAL...", the newest last; TARGET is "-" if
 * none is configured.  Servers of one host share the file: a line is a
 * server's if initiator name and target are its, and one of the portals. */
#ifndef MPISCSI_DEFAULT_EXPORT_H
#define MPISCSI_DEFAULT_EXPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/settings.h"
#include "scsi/scsi.h"

/* Whose it is. */
struct default_key {
  const char *initiator, *target;       /* target may be NULL */
  const struct portal *portals;
  size_t nr_portals;
};

/* FILE NULL: the one in the state directory.  false: none is remembered, err is
 * ""; or it cannot be read.  Nothing is made. */
extern bool default_export_read (const char *file, const struct default_key *key,
                                 char wwid[WWID_SIZE], char err[ERR_SIZE]);
/* Durable when this returns 0; -1 with a line in err.  May wait for the disk. */
extern int default_export_write (const char *file,
                                 const struct default_key *key,
                                 const char *wwid, char err[ERR_SIZE]);

#endif /* MPISCSI_DEFAULT_EXPORT_H */
