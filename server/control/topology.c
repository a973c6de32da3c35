/* SPDX-License-Identifier: BSD-3-Clause */
/* The listings of topology.h, as text; topology-json.c has JSON. */
#include <config.h>

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/topology.h"

#define GREEN "\033[32m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

const char *
topology_size (double bytes, char *buf)
{
  static const char units[] = "KMGTPE";
  const char *u = units;
  double n = bytes / 1024;

  if (bytes <= 0)
    return strcpy (buf, "0");
  while (n >= 1024 && u[1]) {
    n /= 1024;
    u++;
  }
  snprintf (buf, 16, "%.*f%c", n < 10 ? 1 : 0, n, *u);
  return buf;
}

const char *
topology_hcil (unsigned session, int tpgt, unsigned lun, char *buf,
               size_t size)
{
  if (tpgt < 0)
    snprintf (buf, size, "%u:0:-:%u", session, lun);
  else
    snprintf (buf, size, "%u:0:%d:%u", session, tpgt, lun);
  return buf;
}

const char *
topology_dev_state (enum session_state state)
{
  return state == SESSION_LOGOUT || state == SESSION_CLOSED
    ? "offline" : "running";
}

static const char *
state_colour (enum path_state state)
{
  switch (state) {
  case PATH_UP: return GREEN;
  case PATH_GHOST: case PATH_SHAKY: case PATH_ADMIN: return YELLOW;
  case PATH_DOWN: case PATH_WRONG: case PATH_FENCED: case NR_PATH_STATES: break;
  }
  return RED;
}

const char *
topology_policy (enum selector_kind kind)
{
  switch (kind) {
  case SELECTOR_QUEUE_LENGTH: return "queue-length 0";
  case SELECTOR_SERVICE_TIME: return "service-time 0";
  case SELECTOR_ROUND_ROBIN: break;
  }
  return "round-robin 0";
}

/* dm's feature is on while I/O would wait for a path. */
const char *
topology_features (const struct snapshot_map *m)
{
  const bool queues = m->no_path_retry != NO_PATH_RETRY_FAIL &&
    !m->queueing_disabled && (m->nr_active > 0 || m->queueing);

  switch (m->fence.record) {
  case NEXUS_RECORD_MISSING:
    return queues ? "2 queue_if_no_path no_state_writes_fail"
      : "1 no_state_writes_fail";
  case NEXUS_RECORD_WITHOUT:
    return queues ? "2 queue_if_no_path fence_without_state"
      : "1 fence_without_state";
  case NEXUS_RECORD_KEPT: case NEXUS_RECORD_OFF:
    break;
  }
  return queues ? "1 queue_if_no_path" : "0";
}

const char *
topology_failback (const struct snapshot_map *m, char *buf, size_t size)
{
  if (m->failback == FAILBACK_IMMEDIATE)
    snprintf (buf, size, "immediate");
  else if (m->failback == FAILBACK_MANUAL)
    snprintf (buf, size, "manual");
  else if (m->failback == FAILBACK_FOLLOWOVER)
    snprintf (buf, size, "followover");
  else
    snprintf (buf, size, "%d", m->failback);
  return buf;
}

const char *
topology_hwhandler (const struct snapshot_map *m)
{
  return m->alua ? "1 alua" : "0";
}

/* multipathd's words: off, on, "12 chk" (polling intervals, when needed),
 * "12 sec" (left, now). */
const char *
topology_queueing (const struct snapshot_map *m, char *buf, size_t size)
{
  if (m->no_path_retry == NO_PATH_RETRY_FAIL || m->queueing_disabled)
    snprintf (buf, size, "off");
  else if (m->no_path_retry == NO_PATH_RETRY_QUEUE)
    snprintf (buf, size, "on");
  else if (m->nr_active > 0)
    snprintf (buf, size, "%d chk", m->no_path_retry);
  else if (m->queueing)
    snprintf (buf, size, "%.0f sec", m->queueing_left);
  else
    snprintf (buf, size, "off");
  return buf;
}

const char *
topology_group_state (const struct snapshot_group *g)
{
  return g->current ? "active" : "enabled";
}

/* ---- multipath -ll ------------------------------------------------------------- */

struct widths { int hcil, portal, dm, checker; };

static void
widen (int *width, const char *text)
{
  const int n = strlen (text);

  if (n > *width)
    *width = n;
}

/* Over all maps, so that the columns of the whole listing line up. */
static struct widths
get_widths (const struct snapshot *s)
{
  struct widths w = { 0, 0, 0, 0 };
  char hcil[48];

  for (unsigned i = 0; i < s->nr_maps; ++i)
    for (unsigned k = 0; k < s->maps[i].nr_paths; ++k) {
      const struct snapshot_path *p = &s->maps[i].paths[k];

      topology_hcil (p->session, p->tpgt, p->lun, hcil, sizeof hcil);
      widen (&w.hcil, hcil);
      widen (&w.portal, p->portal);
      widen (&w.dm, path_dm_state (p->state));
      widen (&w.checker, path_checker_state (p->state));
    }
  return w;
}

static void
print_map (FILE *fp, const struct snapshot_map *m, const struct widths *w,
           bool colour)
{
  char size[16], hcil[48];

  fprintf (fp, "%s", m->name);
  if (strcmp (m->name, m->facts.wwid) != 0)
    fprintf (fp, " (%s)", m->facts.wwid);
  fprintf (fp, " map-%u %s,%s\n", m->index, m->facts.vendor, m->facts.product);
  fprintf (fp, "size=%s features='%s' hwhandler='%s' wp=%s\n",
           topology_size ((double) m->facts.blocks * m->facts.block_size,
                          size),
           topology_features (m), topology_hwhandler (m),
           m->facts.write_protect ? "ro" : "rw");
  for (unsigned i = 0; i < m->nr_groups; ++i) {
    const struct snapshot_group *g = &m->groups[i];
    const bool last_group = i + 1 == m->nr_groups;

    fprintf (fp, "%s-+- policy='%s' prio=%d status=%s\n",
             last_group ? "`" : "|", topology_policy (m->selector), g->prio,
             topology_group_state (g));
    for (unsigned k = 0; k < g->nr_paths; ++k) {
      const struct snapshot_path *p = &m->paths[g->first + k];

      fprintf (fp, "%s %s- %-*s %-*s %s%-*s %-*s%s %s\n",
               last_group ? " " : "|", k + 1 == g->nr_paths ? "`" : "|",
               w->hcil, topology_hcil (p->session, p->tpgt, p->lun, hcil,
                                       sizeof hcil),
               w->portal, p->portal, colour ? state_colour (p->state) : "",
               w->dm, path_dm_state (p->state),
               w->checker, path_checker_state (p->state),
               colour ? PLAIN : "", topology_dev_state (p->session_state));
    }
  }
}

bool
topology_print (FILE *fp, const struct snapshot *s, bool colour)
{
  const struct widths w = get_widths (s);

  for (unsigned i = 0; i < s->nr_maps; ++i)
    print_map (fp, &s->maps[i], &w, colour);
  return true;
}

/* ---- tables ---------------------------------------------------------------------- */

/* Cells are kept until all are known: only then are the widths. */
#define MAX_COLUMNS 24
struct table {
  unsigned columns, rows;
  char **cells;                 /* columns * rows */
  const char **colours;         /* per row */
  bool failed;                  /* no memory */
};

static void
table_row (struct table *t, const char *colour, unsigned columns, ...)
{
  char **cells = reallocarray (t->cells, (t->rows + 1) * columns,
                               sizeof *cells);
  const char **colours = NULL;
  va_list args;

  assert (columns <= MAX_COLUMNS);
  t->columns = columns;
  if (cells != NULL) {
    t->cells = cells;
    colours = reallocarray (t->colours, t->rows + 1, sizeof *colours);
  }
  if (colours == NULL) {
    t->failed = true;
    return;
  }
  t->colours = colours;
  va_start (args, columns);
  for (unsigned i = 0; i < columns; ++i) {
    cells[t->rows * columns + i] = strdup (va_arg (args, const char *));
    if (cells[t->rows * columns + i] == NULL)
      t->failed = true;
  }
  va_end (args);
  t->colours[t->rows++] = colour;
}

/* Blank columns are "-", so that each line has the same number of words. */
static bool
table_print (FILE *fp, struct table *t, bool colour)
{
  int widths[MAX_COLUMNS] = { 0 };
  unsigned i, k;

  if (!t->failed && t->rows > 1) {
    for (i = 0; i < t->rows; ++i)
      for (k = 0; k < t->columns; ++k)
        widen (&widths[k], t->cells[i * t->columns + k]);
    for (i = 0; i < t->rows; ++i) {
      const bool paint = colour && t->colours[i] != NULL;

      if (paint)
        fputs (t->colours[i], fp);
      for (k = 0; k + 1 < t->columns; ++k)
        fprintf (fp, "%-*s ", widths[k], t->cells[i * t->columns + k]);
      fprintf (fp, "%s%s\n", t->cells[i * t->columns + k],
               paint ? PLAIN : "");
    }
  }
  for (i = 0; i < t->rows * t->columns; ++i)
    free (t->cells[i]);
  free (t->cells);
  free (t->colours);
  return !t->failed;
}

bool
topology_maps (FILE *fp, const struct snapshot *s, bool colour)
{
  struct table t = { 0 };

  table_row (&t, NULL, 11, "name", "sysfs", "uuid", "size", "failback",
             "queueing", "paths", "active", "write_prot", "vend", "prod");
  for (unsigned i = 0; i < s->nr_maps; ++i) {
    const struct snapshot_map *m = &s->maps[i];
    char sysfs[24], size[16], failback[24], queueing[24], paths[12], active[12];

    snprintf (sysfs, sizeof sysfs, "map-%u", m->index);
    topology_size ((double) m->facts.blocks * m->facts.block_size, size);
    topology_failback (m, failback, sizeof failback);
    topology_queueing (m, queueing, sizeof queueing);
    snprintf (paths, sizeof paths, "%u", m->nr_paths);
    snprintf (active, sizeof active, "%u", m->nr_active);
    table_row (&t, m->nr_active == 0 ? RED :
               m->nr_active < m->nr_paths ? YELLOW : GREEN,
               11, m->name, sysfs, m->facts.wwid, size, failback, queueing,
               paths, active, m->facts.write_protect ? "ro" : "rw",
               m->facts.vendor[0] ? m->facts.vendor : "-",
               m->facts.product[0] ? m->facts.product : "-");
  }
  return table_print (fp, &t, colour);
}

static const char *
time_text (double seconds, char *buf, size_t size)
{
  if (seconds <= 0)
    snprintf (buf, size, "-");
  else if (seconds < 1e-3)
    snprintf (buf, size, "%.0fus", seconds * 1e6);
  else if (seconds < 1)
    snprintf (buf, size, "%.1fms", seconds * 1e3);
  else
    snprintf (buf, size, "%.2fs", seconds);
  return buf;
}

bool
topology_paths (FILE *fp, const struct snapshot *s, bool colour)
{
  struct table t = { 0 };

  table_row (&t, NULL, 17, "hcil", "dev", "pri", "dm_st", "chk_st", "dev_st",
             "map", "ios", "read", "written", "errors", "retries", "in_flight",
             "mean", "p99", "hedged", "won");
  for (unsigned i = 0; i < s->nr_maps; ++i)
    for (unsigned k = 0; k < s->maps[i].nr_paths; ++k) {
      const struct snapshot_path *p = &s->maps[i].paths[k];
      const struct snapshot_counters *c = &p->counters;
      char hcil[48], prio[12], ios[24], rd[16], wr[16], errors[24], retries[24],
        in_flight[12], mean[24], p99[24], hedged[24], won[24];

      topology_hcil (p->session, p->tpgt, p->lun, hcil, sizeof hcil);
      snprintf (prio, sizeof prio, "%d", p->prio);
      snprintf (ios, sizeof ios, "%" PRIu64, c->ios);
      snprintf (errors, sizeof errors, "%" PRIu64, c->errors);
      snprintf (retries, sizeof retries, "%" PRIu64, c->retries);
      snprintf (in_flight, sizeof in_flight, "%u", c->in_flight);
      snprintf (hedged, sizeof hedged, "%" PRIu64, c->hedged);
      snprintf (won, sizeof won, "%" PRIu64, c->hedges_won);
      table_row (&t, state_colour (p->state), 17, hcil, p->portal, prio,
                 path_dm_state (p->state), path_checker_state (p->state),
                 topology_dev_state (p->session_state), s->maps[i].name, ios,
                 topology_size (c->bytes_read, rd),
                 topology_size (c->bytes_written, wr), errors, retries,
                 in_flight, time_text (c->mean, mean, sizeof mean),
                 time_text (c->p99, p99, sizeof p99),
                 hedged, won);
    }
  return table_print (fp, &t, colour);
}

bool
topology_sessions (FILE *fp, const struct snapshot *s, bool colour)
{
  struct table t = { 0 };

  table_row (&t, NULL, 7, "session", "portal", "state", "logins", "losses",
             "target", "last_failure");
  for (unsigned i = 0; i < s->nr_sessions; ++i) {
    const struct snapshot_session *n = &s->sessions[i];
    char id[12], portal[SNAPSHOT_NAME + 16], logins[24], losses[24];

    snprintf (id, sizeof id, "%u", n->id);
    if (n->tpgt < 0)
      snprintf (portal, sizeof portal, "%s", n->portal);
    else
      snprintf (portal, sizeof portal, "%s,%d", n->portal, n->tpgt);
    snprintf (logins, sizeof logins, "%" PRIu64, n->logins);
    snprintf (losses, sizeof losses, "%" PRIu64, n->losses);
    table_row (&t, n->state == SESSION_UP ? GREEN :
               n->state == SESSION_CLOSED ? NULL : RED, 7, id, portal,
               session_state_name (n->state), logins, losses,
               n->target[0] ? n->target : "(discovery)",
               n->why[0] ? n->why : "-");
  }
  return table_print (fp, &t, colour);
}

bool
topology_clients (FILE *fp, const struct snapshot *s, bool colour)
{
  struct table t = { 0 };

  table_row (&t, NULL, 12, "client", "peer", "export", "state", "tls",
             "in_flight", "memory", "reads", "writes", "read", "written",
             "latency_ms");
  for (unsigned i = 0; i < s->nr_clients; ++i) {
    const struct snapshot_client *c = &s->clients[i];
    char id[12], in_flight[12], memory[16], reads[24], writes[24], read[16],
      written[16], latency[40];

    snprintf (id, sizeof id, "%u", c->id);
    snprintf (in_flight, sizeof in_flight, "%u", c->in_flight);
    snprintf (reads, sizeof reads, "%" PRIu64, c->reads);
    snprintf (writes, sizeof writes, "%" PRIu64, c->writes);
    snprintf (latency, sizeof latency, "%.2f", c->mean * 1e3);
    table_row (&t, strcmp (c->state, "ready") == 0 ? GREEN : YELLOW, 12, id,
               c->peer, c->export[0] ? c->export : "-", c->state,
               c->tls ? "yes" : "no", in_flight,
               topology_size (c->memory, memory), reads, writes,
               topology_size (c->bytes_read, read),
               topology_size (c->bytes_written, written), latency);
  }
  return table_print (fp, &t, colour);
}
