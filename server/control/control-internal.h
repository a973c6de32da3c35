/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files control*.c share. */
#ifndef MPISCSI_CONTROL_INTERNAL_H
#define MPISCSI_CONTROL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <jansson.h>

struct engine;
struct observer;

/* control-socket.c */
struct control_socket {
  int fd;                       /* listening, non-blocking */
  char path[108];               /* sun_path */
  dev_t dev;                    /* is it still ours when we remove it? */
  ino_t ino;
};
/* PATH NULL: the default.  0, or -1 with one line in err. */
extern int control_socket_open (struct control_socket *s, const char *path,
                                char *err, size_t size);
extern void control_socket_close (struct control_socket *s);
/* Is the process at the other end root's, or our own user's? */
extern bool control_peer_allowed (int fd);

/* control.c: lock held.  Is there anybody to tell? */
extern bool control_is_watched (const struct engine *e);
/* EVENT is taken; NULL ok. */
extern void control_tell (struct engine *e, json_t *event);

/* control-events.c */
extern const struct observer control_observer;

#endif /* MPISCSI_CONTROL_INTERNAL_H */
