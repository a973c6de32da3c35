/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files control*.c share. */
#ifndef MPISCSI_CONTROL_INTERNAL_H
#define MPISCSI_CONTROL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <ev.h>
#include <jansson.h>

#include "control/control-request.h"
#include "engine/engine.h"

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

/* Something that has a turn: the listening socket or a client. */
struct source {
  struct control *control;
  struct list node;             /* control->ready, or alone */
  ev_io io;
  void (*turn) (struct source *source);
};

struct client {
  struct source source;
  struct list node;             /* control->clients */
  int fd;
  bool watching;
  struct reread *reading;       /* the configuration, for it; no requests until
                                   that is answered */
  bool closing;                 /* once all is written */
  struct persist *persist;      /* its answer is waited for; NULL: none is */
  bool dead;                    /* set under the lock by control_note_*;
                                   closed by the service thread */
  double last_request, last_progress;
  char in[CONTROL_REQUEST];
  size_t in_len;
  char *out;                    /* from out_at to out_len is not sent yet */
  size_t out_at, out_len, out_size;
};

struct control {
  struct engine *engine;
  struct control_socket socket;
  struct source listener;
  struct list clients;
  unsigned nr_clients, nr_watching;
  struct list ready;            /* sources that want a turn */
  ev_timer turn;
  bool in_turn;
  double rest_until;            /* engine_now () */
  ev_timer tick;
  ev_async wake;                /* a watching client has something to write */
};

/* control.c, of one client: lock held. */
/* Any thread.  false: more than LIMIT, or no memory. */
extern bool control_put (struct client *cl, const char *text, size_t len,
                         size_t limit);
/* Service thread: what it waits for now. */
extern void control_client_wait (struct client *cl);
extern void control_client_free (struct client *cl);
/* control-watch.c */
extern void control_wake_cb (struct ev_loop *loop, ev_async *w, int revents);

/* control-watch.c: lock held.  Is there anybody to tell? */
extern bool control_is_watched (const struct engine *e);
/* EVENT is taken; NULL ok. */
extern void control_tell (struct engine *e, json_t *event);

/* control-persist.c: starts it, and DONE is called later; else (NULL, and
 * *error) that is the answer.  And the answer to one that is done. */
struct control_request;
struct persist;
extern struct persist *control_persist (struct engine *e,
                                        const struct control_request *req,
                                        void (*done) (struct persist *p),
                                        void *opaque, json_t **error);
extern json_t *control_persist_answer (const struct persist *p);

/* control-events.c */
extern const struct observer control_observer;

#endif /* MPISCSI_CONTROL_INTERNAL_H */
