/* SPDX-License-Identifier: BSD-3-Clause */
/* Where that is kept which outlives the process. */
#ifndef MPISCSI_STATE_DIR_H
#define MPISCSI_STATE_DIR_H

#include <stddef.h>

/* The name of FILE in the state directory: $STATE_DIRECTORY, as systemd sets
 * it, else /var/lib/mpiscsi for root, else $XDG_STATE_HOME or ~/.local/state
 * + /mpiscsi.  Any thread. */
extern void state_file (const char *file, char *path, size_t size);
/* mkdir -p of the folder that PATH is in; open () will tell of failure. */
extern void state_make_folders (const char *path);

#endif /* MPISCSI_STATE_DIR_H */
