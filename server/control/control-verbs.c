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
#include "multipath/alua.h"
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
    metrics_print, topology_status, topology_clients,
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
  case CONTROL_NBD_CLIENTS: return topology_clients_json (s);
  case CONTROL_TOPOLOGY: case CONTROL_MAPS: case CONTROL_METRICS: case CONTROL_STATUS:
  case NR_CONTROL_WHATS: break;
  }
  return topology_json (s);
}

static void (*list_clients) (void *opaque, struct snapshot *s);
static void *list_clients_opaque;

void
control_clients (void (*list) (void *opaque, struct snapshot *s), void *opaque)
{
  list_clients = list;
  list_clients_opaque = opaque;
}

static json_t *
do_show (struct engine *e, const struct control_request *req)
{
  struct snapshot *s = snapshot_take (e, req->map[0] ? req->map : NULL);
  json_t *json;

  if (s == NULL)
    return NULL;
  if (req->what == CONTROL_NBD_CLIENTS && list_clients == NULL) {
    snapshot_free (s);
    return control_error ("this server does not know its clients: that is "
                          "nbdkit's business");
  }
  if (req->what == CONTROL_NBD_CLIENTS)
    list_clients (list_clients_opaque, s);
  if (req->map[0] && s->nr_maps == 0)
    json = control_error ("no map is named '%s'", req->map);
  else {
    /* Workers may send meanwhile; sessions and maps are only changed by this
     * thread. */
    if (e->threaded)
      engine_lend (e);
    json = answer (req->json ? show_json (req, s) : show_text (req, s));
    if (json != NULL &&
        json_object_set_new (json, "state",
                             json_integer (topology_worst_state (s))) == -1) {
      json_decref (json);
      json = NULL;              /* no memory */
    }
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

/* H:C:I:L names one path; a portal, all that go through it. */
static unsigned
count_paths (struct engine *e, const struct control_request *req)
{
  struct list *l, *next, *pl, *pnext;
  unsigned n = 0;

  list_for_each (l, next, &e->maps) {
    const struct map *m = list_entry (l, struct map, node);

    if (!map_is (m, req->map))
      continue;
    list_for_each (pl, pnext, &m->paths)
      if (path_is (list_entry (pl, struct path, map_node), req->path))
        n++;
  }
  return n;
}

static const char *
states_text (const struct path *p, char *buf, size_t size)
{
  snprintf (buf, size, "%s %s %s", path_dm_state (p->state),
            path_checker_state (p->state),
            topology_dev_state (p->session->state));
  return buf;
}

/* One line of the answer. */
static void
steer_path (struct path *p, bool fail, FILE *fp)
{
  char states[80];

  if (p->state == PATH_ADMIN || fail || p->state == PATH_SHAKY)
    log_info ("%s: %s: %s by the administrator", p->map->name,
              p->session->name, fail ? "failed" : "to be reinstated");
  path_event (p, fail ? PATH_EV_ADMIN_FAIL : PATH_EV_ADMIN_REINSTATE,
              "by the administrator");
  if (!fail && !path_is_usable (p->state))
    fprintf (fp, "%s: %s: is being checked, and used as soon as it answers\n",
             p->map->name, p->session->name);
  else
    fprintf (fp, "%s: %s: %s, remaining active paths: %u\n", p->map->name,
             p->session->name, states_text (p, states, sizeof states),
             p->map->nr_active);
}

static json_t *
do_path (struct engine *e, const struct control_request *req)
{
  const bool fail = req->command == CONTROL_FAIL;
  struct list *l, *next, *pl, *pnext;
  char *text = NULL;
  size_t len = 0;
  json_t *json = NULL;
  FILE *fp;

  if (count_paths (e, req) == 0)
    return control_error ("no path is named '%s'%s%s", req->path,
                          req->map[0] ? " in map " : "", req->map);
  fp = open_memstream (&text, &len);
  if (fp == NULL)
    return NULL;
  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (!map_is (m, req->map))
      continue;
    list_for_each (pl, pnext, &m->paths) {
      struct path *p = list_entry (pl, struct path, map_node);

      if (path_is (p, req->path))
        steer_path (p, fail, fp);
    }
  }
  engine_kick (e);
  /* Without the last newline: one line for people. */
  if (fclose (fp) == 0 && len > 0)
    json = answer (json_stringn (text, len - 1));
  free (text);
  return json;
}

/* ---- maps, portals ------------------------------------------------------------------ */

static json_t *
do_queueing (struct engine *e, const struct control_request *req)
{
  const bool enable = req->command == CONTROL_RESTOREQUEUEING;
  const bool all = strcmp (req->map, "maps") == 0;
  struct list *l, *next;
  unsigned n = 0;

  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (!all && !map_is (m, req->map))
      continue;
    n++;
    map_set_queueing (m, enable);
    if (!all)
      return answer_text ("%s: %s", m->name,
                          !enable ? "without a path, I/O fails at once" :
                          m->settings.no_path_retry == NO_PATH_RETRY_FAIL
                          ? "no_path_retry is fail: without a path, I/O fails "
                          "at once" : "queueing as no_path_retry says");
  }
  if (all)
    return answer_text ("%u maps: %s", n, enable
                        ? "queueing as no_path_retry says"
                        : "without a path, I/O fails at once");
  return control_error ("no map is named '%s'", req->map);
}

static json_t *
do_switchgroup (struct engine *e, const struct control_request *req)
{
  struct list *l, *next;
  char err[ERR_SIZE];

  list_for_each (l, next, &e->maps) {
    struct map *m = list_entry (l, struct map, node);

    if (!map_is (m, req->map))
      continue;
    if (alua_switch_group (m, req->group, err, sizeof err) == -1)
      return control_error ("%s", err);
    return answer_text ("%s: the array was asked to make path group %u "
                        "active/optimized; mpiscsi -ll shows what it did",
                        m->name, req->group);
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

static struct map *
find_map (struct engine *e, const struct control_request *req)
{
  struct list *l, *next;

  list_for_each (l, next, &e->maps)
    if (map_is (list_entry (l, struct map, node), req->map))
      return list_entry (l, struct map, node);
  return NULL;
}

static json_t *
do_suspend (struct engine *e, const struct control_request *req)
{
  const bool suspend = req->command == CONTROL_SUSPEND;
  struct map *m = find_map (e, req);
  struct list *l, *next;
  unsigned in_flight = 0;

  if (m == NULL)
    return control_error ("no map is named '%s'", req->map);
  map_suspend (m, suspend);
  list_for_each (l, next, &m->paths)
    in_flight += list_entry (l, struct path, map_node)->sel.in_flight;
  return suspend
    ? answer_text ("%s: suspended: I/O waits for mpiscsi resume; %u commands are "
                   "in flight still", m->name, in_flight)
    : answer_text ("%s: resumed", m->name);
}

/* Everything again: targets and portals, LUNs, sizes, identities. */
static json_t *
do_rescan (struct engine *e, const struct control_request *req)
{
  struct list *l, *next;
  unsigned n = 0;

  if (req->map[0]) {
    struct map *m = find_map (e, req);

    if (m == NULL)
      return control_error ("no map is named '%s'", req->map);
    list_for_each (l, next, &m->paths) {
      session_look_again (list_entry (l, struct path, map_node)->session);
      n++;
    }
    return answer_text ("%s: identity and size are read again over %u path%s",
                        m->name, n, n == 1 ? "" : "s");
  }
  for (size_t i = 0; i < e->settings->nr_portals && e->settings->discovery; ++i)
    engine_add_portal (e, &e->settings->portals[i], true);
  list_for_each (l, next, &e->sessions) {
    struct session *s = list_entry (l, struct session, node);

    if (s->state == SESSION_UP) {
      session_look_again (s);
      n++;
    }
  }
  log_info ("rescan by the administrator");
  return answer_text ("%u session%s looked at again%s", n,
                      n == 1 ? " is" : "s are",
                      e->settings->discovery ? "; portals are asked for targets"
                      : "");
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
  case CONTROL_RESCAN: case CONTROL_RESIZE:
    return do_rescan (e, req);
  case CONTROL_SUSPEND: case CONTROL_RESUME:
    return do_suspend (e, req);
  case CONTROL_SWITCHGROUP:
    return do_switchgroup (e, req);
  case CONTROL_ADD: case CONTROL_DEL:
    return do_portal (e, req);
  case CONTROL_RECONFIGURE:     /* control.c: it takes its time */
    break;
  case CONTROL_WATCH:
    return json_pack ("{s:i,s:b,s:b}", "version", CONTROL_VERSION, "ok", 1,
                      "watching", 1);
  case CONTROL_VERSION_COMMAND:
    return json_pack ("{s:i,s:b,s:s,s:i,s:i}", "version", CONTROL_VERSION,
                      "ok", 1, "server", PACKAGE_VERSION,
                      "pid", (int) getpid (), "protocol", CONTROL_VERSION);
  case CONTROL_PERSIST:         /* control.c: its answer comes later */
  case NR_CONTROL_COMMANDS:
    break;
  }
  return control_error ("internal error");
}
