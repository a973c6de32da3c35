/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files control*.c share. */
#ifndef MPISCSI_CONTROL_INTERNAL_H
#define MPISCSI_CONTROL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <jansson.h>

struct control_place;
struct engine;
struct observer;

/* control-socket.c */
struct control_socket {
  int fd;                       /* listening, non-blocking */
  char path[108];               /* sun_path */
  dev_t dev;                    /* is it still ours when we remove it? */
  ino_t ino;
  bool shared;                  /* who may open the file may ask */
};
/* 0, or -1 with one line in err. */
extern int control_socket_open (struct control_socket *s,
                                const struct control_place *place,
                                char *err, size_t size);
extern void control_socket_close (struct control_socket *s);
/* May the process at the other end ask? */
extern bool control_peer_allowed (const struct control_socket *s, int fd);

/* control.c: lock held.  Is there anybody to tell? */
extern bool control_is_watched (const struct engine *e);
/* EVENT is taken; NULL ok. */
extern void control_tell (struct engine *e, json_t *event);

/* control-events.c */
extern const struct observer control_observer;

#endif /* MPISCSI_CONTROL_INTERNAL_H */
