/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server leaves behind for the next one, in case it is killed: the
 * nexuses through which writes may be outstanding (fence.h).
 *
 * Files in the state directory:
 *
 *   nexus-ISID    of one server; ISID is the random part of its ISIDs, in six
 *                 hex digits.  Replaced as a whole (rename, fsync).  "Dirty"
 *                 if it has nexuses, else "clean".
 *   nexus.lock    empty.  A server holds a lock on byte ISID of it for as long
 *                 as it lives: no two servers that live have the same ISID, and
 *                 a file whose byte is not locked is that of a dead one.  (OFD
 *                 locks, fcntl(2): the kernel lets go of them however the
 *                 process ends, and unlike flock there is no file for each
 *                 server that would have to be removed.)
 *                 Byte NEXUS_DIRECTORY is locked, briefly, by who looks at or
 *                 changes files that are not its own.
 *
 * A new server takes the ISID of a clean file of its initiator name, if there
 * is one (RFC 7143 10.1.1, "conservative reuse"; a target knows it again), else
 * a new one, and is told what all the dirty files of dead servers have.  It
 * removes from them what is fenced.
 *
 * No libev or libiscsi here.  No thread-safety: one thread at a time has the
 * object.
 */
#ifndef MPISCSI_NEXUS_STATE_H
#define MPISCSI_NEXUS_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi/scsi.h"
#include "conf/settings.h"

/* One I_T nexus as far as one LUN is concerned. */
struct nexus {
  uint32_t isid_random;         /* 24 bits */
  uint32_t isid_qualifier;      /* 16 bits */
  char initiator[ISCSI_NAME_SIZE];
  struct portal portal;
  char target[ISCSI_NAME_SIZE];
  char wwid[WWID_SIZE];
};

struct nexus_list {
  struct nexus *v;
  size_t n, size;
};

#define MAX_NEXUSES 16384

/* Adds a copy.  false: no memory, or more than MAX_NEXUSES. */
extern bool nexus_list_add (struct nexus_list *list, const struct nexus *x);
extern void nexus_list_free (struct nexus_list *list);

struct nexus_state {
  int lock;                     /* nexus.lock; -1: not open */
  char dir[400];
  uint32_t isid_random;
  char initiator[ISCSI_NAME_SIZE];
};

#define NEXUS_DIRECTORY 0x1000000

/* What is there for the next server, if this one is killed. */
enum nexus_record {
  NEXUS_RECORD_KEPT,
  NEXUS_RECORD_OFF,             /* fence=off: not wanted */
  NEXUS_RECORD_MISSING,         /* cannot be written: writes fail */
  NEXUS_RECORD_WITHOUT,         /* the same, but that is accepted */
};
extern const char *nexus_record_name (enum nexus_record record);

/* DIR NULL: the state directory (state-dir.h).  Takes an ISID, and adds to OLD
 * what dead servers have left behind.  What is wrong with one of their files
 * is told through warn, one line each.  0, or -1 with a line in err; the state
 * is not open then. */
extern int nexus_state_open (struct nexus_state *st, const char *dir,
                             const char *initiator, struct nexus_list *old,
                             void (*warn) (const char *line),
                             char err[ERR_SIZE]);
/* The same for a server that has an ISID already, since the directory could not
 * be used when it started. */
extern int nexus_state_open_as (struct nexus_state *st, const char *dir,
                                const char *initiator, uint32_t isid_random,
                                struct nexus_list *old,
                                void (*warn) (const char *line),
                                char err[ERR_SIZE]);
/* Our own file: MINE is all it has from now on; n == 0: it is clean.  Durable
 * when this returns 0.  -1: err, and the file is as it was. */
extern int nexus_state_save (const struct nexus_state *st,
                             const struct nexus_list *mine,
                             char err[ERR_SIZE]);
/* What the dead server ISID left behind on the LUN WWID is fenced. */
extern int nexus_state_drop (const struct nexus_state *st, uint32_t isid_random,
                             const char *wwid, char err[ERR_SIZE]);
/* The ISID is anybody's now. */
extern void nexus_state_close (struct nexus_state *st);

/* nexus-state-text.c: a file's contents.  Format: malloc'd, NUL-terminated;
 * NULL: errno.  Parse: adds to LIST; INITIATOR is whose file it is.  NULL
 * if all is well, else what is wrong (static text), and LIST is as it was;
 * *foreign: a good file perhaps, but of another version of this program. */
extern char *nexus_state_format (const char *initiator,
                                 const struct nexus_list *list);
extern const char *nexus_state_parse (const char *text, size_t len,
                                      uint32_t isid_random,
                                      struct nexus_list *list,
                                      char initiator[ISCSI_NAME_SIZE],
                                      bool *foreign);

#endif /* MPISCSI_NEXUS_STATE_H */
