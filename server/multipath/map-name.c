/* SPDX-License-Identifier: BSD-3-Clause */
/* What a map is called: its alias; with user_friendly_names "mpathN", the same
 * one each time; else the WWID.
 *
 * The bindings file, which has the friendly names, may be on a disk that hangs,
 * or even on the one that we serve.  So it is read once before anything is served
 * (map_names_start), and after that a thread of its own looks into it, and writes
 * a new name: until that is on disk the map is named by its WWID. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "engine/offload.h"
#include "multipath/multipath.h"
#include "rules/bindings.h"

/* Clients that come meanwhile wait for a name so long, in seconds. */
#define PATIENCE 3.0

struct map_names {
  char *file;                   /* NULL: the default */
  struct bindings *bindings;    /* NULL: there was none, or it cannot be read */
};

/* The thread's. */
struct query {
  char *file, *prefix;
  char wwid[WWID_SIZE];
  char *alias;                  /* the answer; NULL: err */
  char err[ERR_SIZE];
};

static bool
same (const char *a, const char *b)
{
  return a == NULL || b == NULL ? a == b : strcmp (a, b) == 0;
}

void
map_names_start (struct engine *e)
{
  const char *file = e->settings->bindings_file;
  char err[ERR_SIZE];

  if (e->names != NULL)
    return;
  e->names = calloc (1, sizeof *e->names);
  if (e->names == NULL || (file && (e->names->file = strdup (file)) == NULL))
    return;                     /* each name is looked up by itself */
  /* Whoever wants a name from it will say what is wrong. */
  e->names->bindings = bindings_load (file, err);
}

void
map_names_free (struct engine *e)
{
  if (e->names == NULL)
    return;
  bindings_free (e->names->bindings);
  free (e->names->file);
  free (e->names);
  e->names = NULL;
}

/* ---- the thread -------------------------------------------------------------- */

static void
query_free (void *data)
{
  struct query *q = data;

  free (q->file);
  free (q->prefix);
  free (q->alias);
  free (q);
}

static void
look_up (void *data)
{
  struct query *q = data;

  q->alias = bindings_alias (q->file, q->prefix, q->wwid, true, q->err);
}

/* ---- the loop ---------------------------------------------------------------- */

static int
rename_map (struct map *m, const char *to)
{
  char *name = strdup (to);

  if (name == NULL)
    return -1;
  if (m->name != NULL && strcmp (name, m->name) != 0) {
    log_info ("%s: is now named %s", m->name, name);
    map_note_change (m, "is now named %s", name);
  }
  free (m->name);
  m->name = name;
  return 0;
}

static void
named (struct map *m)
{
  m->naming_since = 0;
  m->engine->hooks->settled (m->engine);
  engine_changed (m->engine);
}

static void
answered (void *opaque, void *data)
{
  struct map *m = opaque;
  const struct query *q = data;
  struct map_names *names = m->engine->names;

  m->naming = NULL;
  if (q->alias == NULL)
    log_warning ("%s: no friendly name: %s", m->wwid, q->err);
  else if (rename_map (m, q->alias) == 0 && names != NULL &&
           names->bindings != NULL && same (names->file, q->file))
    bindings_note (names->bindings, m->wwid, q->alias);
  named (m);
}

static void
ask (struct map *m)
{
  const struct settings *st = m->engine->settings;
  struct query *q = calloc (1, sizeof *q);

  if (q == NULL)
    goto fail;
  strcpy (q->wwid, m->wwid);
  if ((st->bindings_file && (q->file = strdup (st->bindings_file)) == NULL) ||
      (q->prefix = strdup (m->settings.alias_prefix)) == NULL)
    goto fail;
  m->naming = offload_start (m->engine->loop, look_up, answered, query_free, q,
                             m);
  if (m->naming == NULL)
    goto fail;
  m->naming_since = engine_now ();
  return;

 fail:
  if (q != NULL)
    query_free (q);
  log_warning ("%s: no friendly name: out of memory", m->wwid);
}

int
map_choose_name (struct map *m)
{
  const struct map_names *names = m->engine->names;
  const char *alias;

  if (m->naming != NULL) {
    offload_cancel (m->naming);
    m->naming = NULL;
    m->naming_since = 0;
  }
  if (m->settings.alias)
    return rename_map (m, m->settings.alias);
  if (!m->settings.user_friendly_names)
    return rename_map (m, m->wwid);
  alias = names != NULL && names->bindings != NULL &&
    same (names->file, m->engine->settings->bindings_file)
    ? bindings_find (names->bindings, m->wwid) : NULL;
  if (alias != NULL)
    return rename_map (m, alias);
  if (rename_map (m, m->wwid) == -1)
    return -1;
  if (!m->engine->keeps_nothing)
    ask (m);
  return 0;
}

bool
map_is_named (const struct map *m)
{
  return m->naming_since == 0;
}

void
map_check_name (struct map *m, double now)
{
  if (m->naming_since == 0 || now - m->naming_since < PATIENCE)
    return;
  log_warning ("%s: no friendly name yet: the bindings file cannot be read or "
               "written in time", m->wwid);
  named (m);
}

void
map_forget_name (struct map *m)
{
  if (m->naming != NULL)
    offload_cancel (m->naming);
  free (m->name);
}
