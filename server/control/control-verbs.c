/* SPDX-License-Identifier: BSD-3-Clause */
/* What a request on the control socket does. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "control/control.h"
#include "control/control-request.h"
#include "service/service.h"
#include "control/metrics.h"
#include "control/snapshot.h"
#include "control/topology.h"

json_t *
control_error (const char *fs, ...)
{
  char text[1024];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  return json_pack ("{s:i,s:b,s:s}", "version", CONTROL_VERSION, "ok", 0,
                    "error", text);
}

/* OUTPUT is taken. */
static json_t *
answer (json_t *output)
{
  return json_pack ("{s:i,s:b,s:o}", "version", CONTROL_VERSION, "ok", 1,
                    "output", output);
}

static json_t *
answer_text (const char *fs, ...)
{
  char text[1024];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  return answer (json_string (text));
}

/* ---- show ------------------------------------------------------------------------ */

static json_t *
show_text (const struct control_request *req, const struct snapshot *s)
{
  static bool (*const print[NR_CONTROL_WHATS]) (FILE *fp,
                                                const struct snapshot *s,
                                                bool colour) = {
    topology_print, topology_maps, topology_paths, topology_sessions,
    metrics_print,
  };
  char *text = NULL;
  size_t len = 0;
  FILE *fp = open_memstream (&text, &len);
  json_t *json = NULL;
  bool good;

  if (fp == NULL)
    return NULL;
  /* Half a listing must not pass for a whole one. */
  good = print[req->what] (fp, s, req->colour) && !ferror (fp);
  if (fclose (fp) == 0 && good)
    json = json_stringn (text, len);
  free (text);
  return json;
}

static json_t *
show_json (const struct control_request *req, const struct snapshot *s)
{
  switch (req->what) {
  case CONTROL_PATHS: return topology_paths_json (s);
  case CONTROL_SESSIONS: return topology_sessions_json (s);
  case CONTROL_TOPOLOGY: case CONTROL_MAPS: case CONTROL_METRICS:
  case NR_CONTROL_WHATS: break;
  }
  return topology_json (s);
}

static json_t *
do_show (struct engine *e, const struct control_request *req)
{
  struct snapshot *s = snapshot_take (e, req->map[0] ? req->map : NULL);
  json_t *json;

  if (s == NULL)
    return NULL;
  if (req->map[0] && s->nr_maps == 0)
    json = control_error ("no map is named '%s'", req->map);
  else {
    /* Workers may send meanwhile; sessions and maps are only changed by this
     * thread. */
    if (e->threaded)
      engine_lend (e);
    json = answer (req->json ? show_json (req, s) : show_text (req, s));
    if (e->threaded)
      engine_take_back (e);
  }
  snapshot_free (s);
  return json;
}

/* ---- paths ------------------------------------------------------------------------ */

static bool
map_is (const struct map *m, const char *name)
{
  return name[0] == '\0' || strcmp (m->name, name) == 0 ||
    strcmp (m->wwid, name) == 0;
}

static bool
path_is (const struct path *p, const char *name)
{
  char hcil[48];
  struct portal portal;
  const char *why;

  topology_hcil (p->session->id, p->session->portal.tpgt, p->lun, hcil,
                 sizeof hcil);
  return strcmp (name, hcil) == 0 || strcmp (name, p->session->name) == 0 ||
    (portal_parse (name, strlen (name), &portal, &why) &&
     portal_equal (&portal, &p->session->portal));
}

/* The one path that is meant; else NULL, and *error is the answer. */
static struct path *
find_path (struct engine *e, const struct control_request *req,
           json_t **error)
{
  struct list *l, *next, *pl, *pnext;
  struct path *found = NULL;
  char all[800] = "";
  size_t n = 0;
  unsigned count = 0;

  list_for_each (l, next, &e->maps) {
    const struct map *m = list_entry (l, struct map, node);

    if (!map_is (m, req->map))
      continue;
    list_for_each (pl, pnext, &m->paths) {
      struct path *p = list_entry (pl, struct path, map_node);
      char hcil[48];

      if (!path_is (p, req->path))
        continue;
      found = p;
      count++;
      if (n < sizeof all)
        n += snprintf (all + n, sizeof all - n, "%s %s (%s)",
                       count > 1 ? "," : "",
                       topology_hcil (p->session->id, p->session->portal.tpgt,
                                      p->lun, hcil, sizeof hcil), m->name);
    }
  }
  if (count == 1)
    return found;
  *error = count == 0
    ? control_error ("no path is named '%s'%s%s", req->path,
                     req->map[0] ? " in map " : "", req->map)
    : control_error ("'%s' names %u paths, say which:%.700s", req->path, count,
                     all);
  return NULL;
}

static const char *
states_text (const struct path *p, char *buf, size_t size)
{
  snprintf (buf, size, "%s %s %s", path_dm_state (p->state),
            path_checker_state (p->state),
            topology_dev_state (p->session->state));
  return buf;
}

static json_t *
do_path (struct engine *e, const struct control_request *req)
{
  const bool fail = req->command == CONTROL_FAIL;
  json_t *error = NULL;
  struct path *p = find_path (e, req, &error);
  char states[80];

  if (p == NULL)
    return error;
  if (p->state == PATH_ADMIN || fail || p->state == PATH_SHAKY)
    log_info ("%s: %s: %s by the administrator", p->map->name,
              p->session->name, fail ? "failed" : "to be reinstated");
  path_event (p, fail ? PATH_EV_ADMIN_FAIL : PATH_EV_ADMIN_REINSTATE,
              "by the administrator");
  engine_kick (e);
  if (!fail && !path_is_usable (p->state))
    return answer_text ("%s: %s: is being checked, and used as soon as it "
                        "answers", p->map->name, p->session->name);
  return answer_text ("%s: %s: %s, remaining active paths: %u", p->map->name,
                      p->session->name,
                      states_text (p, states, sizeof states),
                      p->map->nr_active);
}

/* ---- maps, portals ------------------------------------------------------------------ */

static json_t *
do_queueing (struct engine *e, const struct control_request *req)
{
  const bool enable = req->command == CONTROL_RESTOREQUEUEING;
  struct list *l, *next;

  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (!map_is (m, req->map))
      continue;
    map_set_queueing (m, enable);
    return answer_text ("%s: %s", m->name,
                        !enable ? "without a path, I/O fails at once" :
                        m->settings.no_path_retry == NO_PATH_RETRY_FAIL
                        ? "no_path_retry is fail: without a path, I/O fails "
                        "at once" : "queueing as no_path_retry says");
  }
  return control_error ("no map is named '%s'", req->map);
}

static unsigned
maps_without_paths (struct engine *e)
{
  struct list *l, *next;
  unsigned n = 0;

  list_for_each (l, next, &e->maps)
    if (list_entry (l, struct map, node)->nr_active == 0)
      n++;
  return n;
}

/* No client may make us log in everywhere in the world. */
#define MAX_SESSIONS 256

static bool
too_many_sessions (struct engine *e)
{
  struct list *l, *next;
  unsigned n = 0;

  list_for_each (l, next, &e->sessions)
    if (list_entry (l, struct session, node)->state != SESSION_CLOSED)
      n++;
  return n >= MAX_SESSIONS;
}

static json_t *
do_portal (struct engine *e, const struct control_request *req)
{
  struct portal portal;
  const char *why;
  char text[300];
  unsigned n;

  if (!portal_parse (req->portal, strlen (req->portal), &portal, &why))
    return control_error ("'%s' is no portal: %s", req->portal, why);
  portal_text (&portal, text, sizeof text);
  if (req->command == CONTROL_ADD) {
    if (too_many_sessions (e))
      return control_error ("there are %d sessions already", MAX_SESSIONS);
    log_info ("%s: added by the administrator", text);
    if (!engine_add_portal (e, &portal, true))
      return control_error ("%s is already there", text);
    return answer_text ("%s: %s", text, e->settings->discovery
                        ? "asking it for targets and their portals"
                        : "logging in");
  }
  log_info ("%s: deleted by the administrator", text);
  n = engine_del_portal (e, &portal);
  if (n == 0)
    return control_error ("there is no session at %s", text);
  n = maps_without_paths (e);
  if (n > 0)
    return answer_text ("%s: logging out; %u map%s without a path now", text,
                        n, n == 1 ? " is" : "s are");
  return answer_text ("%s: logging out", text);
}

static json_t *
do_reconfigure (struct engine *e)
{
  char err[ERR_SIZE] = "";

  if (e->reconfigure == NULL)
    return control_error ("this server cannot read its configuration again");
  if (e->reconfigure (e->reconfigure_opaque, err, sizeof err) == -1)
    return control_error ("not changed: %s", err);
  log_info ("reconfigured by the administrator");
  return answer_text ("reconfigured");
}

json_t *
control_do (struct engine *e, const struct control_request *req)
{
  switch (req->command) {
  case CONTROL_SHOW:
    return do_show (e, req);
  case CONTROL_FAIL: case CONTROL_REINSTATE:
    return do_path (e, req);
  case CONTROL_DISABLEQUEUEING: case CONTROL_RESTOREQUEUEING:
    return do_queueing (e, req);
  case CONTROL_ADD: case CONTROL_DEL:
    return do_portal (e, req);
  case CONTROL_RECONFIGURE:
    return do_reconfigure (e);
  case CONTROL_WATCH:
    return json_pack ("{s:i,s:b,s:b}", "version", CONTROL_VERSION, "ok", 1,
                      "watching", 1);
  case CONTROL_VERSION_COMMAND:
    return json_pack ("{s:i,s:b,s:s,s:i,s:i}", "version", CONTROL_VERSION,
                      "ok", 1, "server", PACKAGE_VERSION,
                      "pid", (int) getpid (), "protocol", CONTROL_VERSION);
  case NR_CONTROL_COMMANDS:
    break;
  }
  return control_error ("internal error");
}
