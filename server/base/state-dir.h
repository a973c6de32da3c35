/* SPDX-License-Identifier: BSD-3-Clause */
/* Where that is kept which outlives the process. */
#ifndef MPISCSI_STATE_DIR_H
#define MPISCSI_STATE_DIR_H

#include <stdbool.h>
#include <stddef.h>

/* The name of FILE in the state directory: $STATE_DIRECTORY, as systemd sets
 * it, else /var/lib/mpiscsi for root, else $XDG_STATE_HOME or ~/.local/state
 * + /mpiscsi.  Any thread. */
extern void state_file (const char *file, char *path, size_t size);
/* mkdir -p of the folder that PATH is in; open () will tell of failure. */
extern void state_make_folders (const char *path);

/* Opens a file of ours there, or where an option says.  O_RDWR: it is made (0600)
 * if there is none, with its folders; by root for who owns the folder.
 * O_RDONLY: nothing is made.  What others could have put there is refused, since
 * root may be who runs us: links, what is no regular file, files of other
 * users, or that others may write.  -1: *why (static text), and errno. */
extern int state_open (const char *path, int access, const char **why);
/* Could files be made there, as far as can be seen without making one?  NULL,
 * or what is wrong (static text); the folder that it is about in DIR. */
extern const char *state_dir_problem (char *dir, size_t size);
/* Another process may have it, for moments: a tenth of a second at most, since
 * who calls may hold up I/O.  false: errno.  close () lets go of it. */
extern bool state_lock (int fd);
/* Root may start a server in the service's directory: what it makes there must
 * be the service's. */
extern void state_give_to_owner (const char *path, int fd);

#endif /* MPISCSI_STATE_DIR_H */
