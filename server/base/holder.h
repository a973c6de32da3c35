/* SPDX-License-Identifier: BSD-3-Clause */
/* Who has a socket that is in the way. */
#ifndef MPISCSI_HOLDER_H
#define MPISCSI_HOLDER_H

#include <stddef.h>
#include <sys/socket.h>

/* After bind () failed with EADDRINUSE: " (pid 4711, nbdkit)", or "" if it is
 * not known: that takes a listener on a Unix socket, or, for TCP, one of the
 * same user (all, for root).  Keeps errno. */
extern const char *socket_holder (const struct sockaddr *sa, char *buf,
                                  size_t size);

#endif /* MPISCSI_HOLDER_H */
