/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients of the control socket that want to be told of changes. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "control/control.h"
#include "control/control-internal.h"
#include "control/control-request.h"

void
control_wake_cb (EV_P_ ev_async *w, int revents)
{
  struct control *c = w->data;
  struct list *l, *next;

  (void) loop;
  (void) revents;
  list_for_each (l, next, &c->clients) {
    struct client *cl = list_entry (l, struct client, node);

    if (cl->dead)
      control_client_free (cl);
    else if (cl->watching && cl->out_at < cl->out_len &&
             list_empty (&cl->source.node))
      control_client_wait (cl);
  }
}

bool
control_is_watched (const struct engine *e)
{
  return e->control != NULL && e->control->nr_watching > 0;
}

void
control_tell (struct engine *e, json_t *event)
{
  struct control *c = e->control;
  char *text = control_text (event);
  struct list *l, *next;

  json_decref (event);
  list_for_each (l, next, &c->clients) {
    struct client *cl = list_entry (l, struct client, node);

    if (cl->watching && !cl->dead &&
        (text == NULL ||
         !control_put (cl, text, strlen (text), CONTROL_WATCH_BACKLOG)))
      cl->dead = true;          /* one with gaps would be worse than none */
  }
  free (text);
  ev_async_send (e->loop, &c->wake);
}
