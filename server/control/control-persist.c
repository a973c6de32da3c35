/* SPDX-License-Identifier: BSD-3-Clause */
/* The verb persist: persistent reservations, as mpathpersist has them. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "control/control-internal.h"
#include "control/control-request.h"
#include "multipath/persist.h"

static struct map *
find_map (struct engine *e, const char *name)
{
  struct list *l, *next;

  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (strcmp (m->name, name) == 0 || strcmp (m->wwid, name) == 0)
      return m;
  }
  return NULL;
}

struct persist *
control_persist (struct engine *e, const struct control_request *req,
                 void (*done) (struct persist *p), void *opaque,
                 json_t **error)
{
  const struct control_action *action = &control_actions[req->action];
  struct map *m = find_map (e, req->map);
  struct persist_request request = {
    .in = action->in, .read = action->code, .action = action->code,
    .type = req->type,
    .parameters = { .key = req->rk, .action_key = req->sark,
                    .aptpl = req->aptpl, .all_tg_pt = req->all_tg_pt },
  };
  struct persist *p;

  if (m == NULL) {
    *error = control_error ("no map is named '%s'", req->map);
    return NULL;
  }
  p = persist_start (m, &request, done, opaque);
  if (p == NULL)
    *error = control_error ("out of memory");
  return p;
}

static json_t *
hex (const uint8_t *data, size_t len)
{
  static const char digits[] = "0123456789abcdef";
  char *text = malloc (2 * len + 1);
  json_t *json;

  if (text == NULL)
    return NULL;
  for (size_t i = 0; i < len; ++i) {
    text[2 * i] = digits[data[i] >> 4];
    text[2 * i + 1] = digits[data[i] & 15];
  }
  json = json_stringn (text, 2 * len);
  free (text);
  return json;
}

json_t *
control_persist_answer (const struct persist *p)
{
  json_t *paths = json_array (), *data = NULL;

  for (unsigned i = 0; i < p->nr_paths; ++i) {
    const struct persist_path *path = &p->paths[i];

    if (json_array_append_new (paths, json_pack
                               ("{s:s,s:s,s:i,s:s}", "hcil", path->hcil,
                                "portal", path->portal,
                                "status", (int) path->status,
                                "error", path->text)) == -1)
      goto no_memory;
  }
  if (p->answer != NULL)
    data = hex (p->answer, p->answer_len);
  if (p->answer == NULL || data != NULL)
    return json_pack ("{s:i,s:b,s:i,s:o,s:o*}", "version", CONTROL_VERSION,
                      "ok", 1, "status", (int) p->status, "paths", paths,
                      "data", data);

 no_memory:
  json_decref (paths);
  return NULL;
}
