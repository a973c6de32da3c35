/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server leaves behind for the next one: the persistent reservation keys
 * that it has registered, and whether another host has taken them away.  By
 * it a server that is started again after it was fenced knows that it must not
 * register anew.
 *
 * A file for each initiator name and logical unit in the state directory,
 * replaced as a whole (rename, fsync):
 *
 *   key-HASH      HASH: of both, 16 hex digits
 *
 *   mpiscsi-key 1
 *   initiator NAME
 *   wwid WWID
 *   key HEX [aptpl] [all_tg_pt]
 *   state registered|fenced
 *
 * Not thread-safe: one thread at a time for one file. */
#ifndef MPISCSI_KEY_STATE_H
#define MPISCSI_KEY_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/settings.h"
#include "scsi/scsi.h"

struct key_state {
  char initiator[ISCSI_NAME_SIZE];
  char wwid[WWID_SIZE];
  uint64_t key;                 /* 0: to be forgotten */
  bool aptpl, all_tg_pt;
  bool fenced;
  uint64_t hash;                /* set by key_state_hash; of the file */
  bool damaged;                 /* there is a file, and it tells nothing else */
};

extern uint64_t key_state_hash (const char *initiator, const char *wwid);
/* Calls FOUND for each file of INITIATOR, and each that cannot be read, which
 * is told through WARN as well, one line each.  DIR NULL: the state
 * directory. */
extern void key_state_load (const char *dir, const char *initiator,
                            void (*found) (void *opaque,
                                           const struct key_state *ks),
                            void *opaque, void (*warn) (const char *line));
/* Writes it, or with key 0 removes it: durable when this returns 0.  -1: err,
 * and the file is as it was. */
extern int key_state_save (const char *dir, const struct key_state *ks,
                           char err[ERR_SIZE]);

/* The text: length, as snprintf; and NULL if all is well, else what is wrong
 * (static text). */
extern int key_state_format (const struct key_state *ks, char *text,
                             size_t size);
extern const char *key_state_parse (const char *text, size_t len,
                                    struct key_state *ks);

#endif /* MPISCSI_KEY_STATE_H */
