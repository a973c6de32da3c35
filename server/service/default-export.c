/* SPDX-License-Identifier: BSD-3-Clause */
/* The default export: what a client gets that names none.
 *
 * With lun= or wwid= there is one LUN.  Without, the only one that is found is
 * meant; and it has to stay that when another one is mapped to this host, also
 * for clients that connect again, also after a restart: so it is written down
 * (rules/default-export.h) when the first client has been given it. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "rules/default-export.h"
#include "service/service-internal.h"

static bool
is_chosen (const struct settings *st)
{
  return st->lun >= 0 || st->wwid != NULL;
}

static struct default_key
key_of (const struct engine *e)
{
  return (struct default_key) {
    .initiator = e->initiator_name, .target = e->settings->target,
    .portals = e->settings->portals, .nr_portals = e->settings->nr_portals,
  };
}

void
engine_recall_default (struct engine *e)
{
  const struct default_key key = key_of (e);
  char err[ERR_SIZE];

  if (!is_chosen (e->settings) &&
      !default_export_read (NULL, &key, e->default_wwid, err) && err[0] != '\0')
    log_warning ("which LUN the default export was is not known: %s", err);
  strcpy (e->default_kept, e->default_wwid);
  e->recalls = !e->keeps_nothing;
}

/* One map, and no session that could bring another: the default export. */
void
default_settled (struct engine *e)
{
  if (e->alone == NULL && !list_empty (&e->maps) &&
      e->maps.next->next == &e->maps && engine_all_settled (e))
    e->alone = e->maps.next;
}

static struct map *
by_wwid (struct engine *e, const char *wwid)
{
  struct list *l, *next;

  list_for_each (l, next, &e->maps)
    if (strcmp (list_entry (l, struct map, node)->wwid, wwid) == 0)
      return list_entry (l, struct map, node);
  return NULL;
}

/* The only one there is, or was when all sessions had settled. */
static struct map *
alone (struct engine *e)
{
  struct list *node = e->alone;

  if (node == NULL && !list_empty (&e->maps) && e->maps.next->next == &e->maps)
    node = e->maps.next;
  return node ? list_entry (node, struct map, node) : NULL;
}

static bool
all_are_up (struct engine *e)
{
  struct list *l, *next;

  list_for_each (l, next, &e->sessions) {
    const struct session *s = list_entry (l, struct session, node);

    if (session_has_paths (s) && s->state != SESSION_UP)
      return false;
  }
  return true;
}

static void
list_exports (struct engine *e, char *err, size_t size)
{
  struct list *l, *next;
  size_t n;

  n = snprintf (err, size, "several LUNs were found, so there is no default "
                "export; choose one with lun= or wwid=, or ask for one of:");
  list_for_each (l, next, &e->maps)
    if (n < size)
      n += snprintf (err + n, size - n, " %s",
                     list_entry (l, struct map, node)->name);
}

struct map *
default_map (struct engine *e, char *err, size_t size)
{
  struct map *m = e->default_wwid[0] ? by_wwid (e, e->default_wwid) : NULL;

  if (m != NULL)
    return m;
  m = alone (e);
  if (m == NULL && list_empty (&e->maps))
    snprintf (err, size, "no LUN has been found yet: no path is up");
  else if (m == NULL)
    list_exports (e, err, size);
  /* Another disk than before is only given out when it is sure that that one
   * is gone. */
  else if (e->default_wwid[0] && !is_chosen (e->settings) && !all_are_up (e)) {
    snprintf (err, size, "the default export was the LUN with the WWID %s, "
              "which is not found, and not all portals are up; choose with "
              "lun= or wwid=, or ask for %s", e->default_wwid, m->name);
    m = NULL;
  }
  else {
    if (e->default_wwid[0] && !is_chosen (e->settings))
      log_warning ("%s: is the default export now; the LUN that was, WWID %s, "
                   "is gone", m->name, e->default_wwid);
    strcpy (e->default_wwid, m->wwid);
  }
  return m;
}

void
engine_keep_default (struct engine *e)
{
  char wwid[WWID_SIZE] = "", err[ERR_SIZE];
  struct default_key key = { 0 };

  engine_enter (e);
  if (!is_chosen (e->settings) && e->recalls &&
      strcmp (e->default_kept, e->default_wwid) != 0) {
    /* Settings live as long as the engine does. */
    key = key_of (e);
    strcpy (wwid, e->default_wwid);
    strcpy (e->default_kept, wwid);
  }
  engine_leave (e);
  if (wwid[0] != '\0' && default_export_write (NULL, &key, wwid, err) == -1)
    log_warning ("%s: the default export may be another one, or none, after a "
                 "restart, if there are more LUNs by then", err);
}

char *
engine_default_name (struct engine *e, double timeout)
{
  char err[ERR_SIZE];
  struct map *m;
  char *name;

  engine_wait_settled (e, timeout);
  engine_enter (e);
  m = default_map (e, err, sizeof err);
  name = strdup (m ? m->name : "");
  engine_leave (e);
  /* nbdkit asks for the name, and opens that. */
  if (m != NULL)
    engine_keep_default (e);
  return name;
}

void
engine_advise_default (struct engine *e)
{
  static const char rule[] = "without lun= or wwid= the default export is only "
    "unambiguous with one LUN";
  char err[ERR_SIZE];
  struct map *m;

  if (is_chosen (e->settings) || list_empty (&e->maps))
    return;
  m = default_map (e, err, sizeof err);
  if (m == NULL)
    log_warning ("%s: %s", rule, err);
  else
    log_warning ("%s: it is, and stays, %s; wwid=%s makes sure of it", rule,
                 m->name, m->wwid);
}
