/* SPDX-License-Identifier: BSD-3-Clause */
/* OpenMetrics of a snapshot: metrics.h. */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/metrics.h"
#include "rules/latency.h"

/* One family: what it is, and how one map, path or session has it. */
enum subject { OF_SERVER, OF_MAP, OF_PATH, OF_SESSION };
enum type { COUNTER, GAUGE };

struct place {
  const struct snapshot *s;
  const struct snapshot_map *m;
  const struct snapshot_path *p;
  const struct snapshot_session *se;
};

#define VALUE(name, expression) \
  static double name (const struct place *o) { return (double) (expression); }

VALUE (server_maps, o->s->nr_maps)
VALUE (server_sessions, o->s->nr_sessions)
VALUE (server_failovers, o->s->failovers)
VALUE (map_size, (double) o->m->facts.blocks * o->m->facts.block_size)
VALUE (map_paths, o->m->nr_paths)
VALUE (map_active, o->m->nr_active)
VALUE (map_queued, o->m->queued)
VALUE (map_queueing, o->m->queueing)
VALUE (map_queue_seconds, o->m->queue_seconds)
VALUE (map_queue_timeouts, o->m->queue_timeouts)
VALUE (map_switches, o->m->group_switches)
VALUE (map_read_only, o->m->facts.write_protect)
VALUE (fence_in_doubt, o->m->fence.in_doubt)
VALUE (fence_parked, o->m->fence.parked)
VALUE (fence_reinstated, o->m->fence.reinstated)
VALUE (fence_resets, o->m->fence.resets)
VALUE (fence_expired, o->m->fence.expired)
VALUE (fence_inherited, o->m->fence.inherited)
VALUE (fence_pending, o->m->fence.pending)
VALUE (fence_waiting, o->m->fence.waiting)
VALUE (fence_recorded, o->m->fence.record == NEXUS_RECORD_KEPT)
VALUE (map_fenced, o->m->fenced)
VALUE (map_thin, o->m->thin_thresholds)
VALUE (hedges, o->m->hedges)
VALUE (hedges_won, o->m->hedges_won)
VALUE (hedges_refused, o->m->hedges_refused)
VALUE (path_usable, path_is_usable (o->p->state))
VALUE (path_prio, o->p->prio)
VALUE (path_changed, o->p->changed)
VALUE (path_ios, o->p->counters.ios)
VALUE (path_read, o->p->counters.bytes_read)
VALUE (path_written, o->p->counters.bytes_written)
VALUE (path_errors, o->p->counters.errors)
VALUE (path_retries, o->p->counters.retries)
VALUE (path_faults, o->p->faults)
VALUE (path_in_flight, o->p->counters.in_flight)
VALUE (session_up, session_is_full_feature (o->se->state))
VALUE (session_logins, o->se->logins)
VALUE (session_losses, o->se->losses)

static const struct family {
  const char *name, *unit, *help;
  enum subject subject;
  enum type type;
  double (*value) (const struct place *o);
} families[] = {
  { "mpiscsi_maps", "", "LUNs that are served.", OF_SERVER, GAUGE, server_maps },
  { "mpiscsi_sessions", "", "iSCSI sessions, logged in or not.", OF_SERVER,
    GAUGE, server_sessions },
  { "mpiscsi_failovers", "", "Commands sent again on another path.", OF_SERVER,
    COUNTER, server_failovers },

  { "mpiscsi_map_size_bytes", "bytes", "Capacity.", OF_MAP, GAUGE, map_size },
  { "mpiscsi_map_read_only", "", "1: the LUN is write protected.", OF_MAP,
    GAUGE, map_read_only },
  { "mpiscsi_map_paths", "", "Paths that are known.", OF_MAP, GAUGE,
    map_paths },
  { "mpiscsi_map_active_paths", "", "Paths that I/O may take; 0 is an outage.",
    OF_MAP, GAUGE, map_active },
  { "mpiscsi_map_queued_commands", "",
    "Commands that wait for a path, or for room on one.", OF_MAP, GAUGE,
    map_queued },
  { "mpiscsi_map_fenced", "",
    "1: another host has removed our reservation key; all I/O fails.", OF_MAP,
    GAUGE, map_fenced },
  { "mpiscsi_map_thin_thresholds", "",
    "Soft thresholds that its thin pool has passed.", OF_MAP, COUNTER,
    map_thin },
  { "mpiscsi_map_queueing", "", "1: no path, and I/O waits for one.", OF_MAP,
    GAUGE, map_queueing },
  { "mpiscsi_map_queueing_seconds", "seconds", "Time spent that way.", OF_MAP,
    COUNTER, map_queue_seconds },
  { "mpiscsi_map_queueing_timeouts", "",
    "How often no_path_retry was over, and I/O failed.", OF_MAP, COUNTER,
    map_queue_timeouts },
  { "mpiscsi_map_group_switches", "", "Changes of the path group in use.",
    OF_MAP, COUNTER, map_switches },
  { "mpiscsi_fence_in_doubt_writes", "",
    "Writes whose session was lost before they were answered.", OF_MAP, COUNTER,
    fence_in_doubt },
  { "mpiscsi_fence_parked_writes", "", "Writes that had to wait for a fence.",
    OF_MAP, COUNTER, fence_parked },
  { "mpiscsi_fence_reinstatements", "",
    "Lost sessions that the target has ended at a new login.", OF_MAP, COUNTER,
    fence_reinstated },
  { "mpiscsi_fence_resets", "", "LOGICAL UNIT RESETs sent.", OF_MAP, COUNTER,
    fence_resets },
  { "mpiscsi_fence_expired", "",
    "Lost sessions given up after fence_timeout: an old write may come.", OF_MAP,
    COUNTER, fence_expired },
  { "mpiscsi_fence_inherited", "", "Sessions of servers that were killed.",
    OF_MAP, COUNTER, fence_inherited },
  { "mpiscsi_fence_pending", "", "Lost sessions not fenced yet.", OF_MAP, GAUGE,
    fence_pending },
  { "mpiscsi_fence_waiting_writes", "", "Writes that wait for a fence now.",
    OF_MAP, GAUGE, fence_waiting },
  { "mpiscsi_fence_recorded", "",
    "1: the next server would know our sessions (state directory).", OF_MAP,
    GAUGE, fence_recorded },
  { "mpiscsi_hedged_reads", "", "Late reads sent on another path as well.",
    OF_MAP, COUNTER, hedges },
  { "mpiscsi_hedged_reads_won", "", "Those that it answered first.", OF_MAP,
    COUNTER, hedges_won },
  { "mpiscsi_hedged_reads_refused", "", "Late reads beyond the budget.", OF_MAP,
    COUNTER, hedges_refused },

  { "mpiscsi_path_usable", "", "1: I/O may go this way.", OF_PATH, GAUGE,
    path_usable },
  { "mpiscsi_path_priority", "", "As prio has it.", OF_PATH, GAUGE, path_prio },
  { "mpiscsi_path_changed_seconds", "seconds",
    "When its state changed last, since 1970.", OF_PATH, GAUGE, path_changed },
  { "mpiscsi_path_commands", "", "Commands that succeeded.", OF_PATH, COUNTER,
    path_ios },
  { "mpiscsi_path_read_bytes", "bytes", "Read.", OF_PATH, COUNTER, path_read },
  { "mpiscsi_path_written_bytes", "bytes", "Written.", OF_PATH, COUNTER,
    path_written },
  { "mpiscsi_path_errors", "", "Commands that failed on it.", OF_PATH, COUNTER,
    path_errors },
  { "mpiscsi_path_retries", "", "Commands that the target did not take.",
    OF_PATH, COUNTER, path_retries },
  { "mpiscsi_path_faults", "", "How often it was given up.", OF_PATH, COUNTER,
    path_faults },
  { "mpiscsi_path_in_flight_commands", "", "Sent and not answered.", OF_PATH,
    GAUGE, path_in_flight },

  { "mpiscsi_session_logged_in", "", "1: it is.", OF_SESSION, GAUGE,
    session_up },
  { "mpiscsi_session_logins", "", "Successful logins.", OF_SESSION, COUNTER,
    session_logins },
  { "mpiscsi_session_losses", "", "How often it was lost.", OF_SESSION, COUNTER,
    session_losses },
};

/* Label values: backslash, quote and newline are escaped, other control
 * characters do not come (text.h has seen to it, but names of maps are the
 * user's). */
static void
put_label (FILE *fp, const char *name, const char *value, bool first)
{
  fprintf (fp, "%s%s=\"", first ? "" : ",", name);
  for (; *value; ++value)
    if (*value == '\n')
      fputs ("\\n", fp);
    else {
      if (*value == '\\' || *value == '"')
        putc ('\\', fp);
      putc ((unsigned char) *value < ' ' ? ' ' : *value, fp);
    }
  putc ('"', fp);
}

static void
put_labels (FILE *fp, const struct place *o)
{
  char number[24];

  put_label (fp, "server", o->s->server, true);
  if (o->m != NULL)
    put_label (fp, "map", o->m->name, false);
  if (o->p != NULL) {
    put_label (fp, "portal", o->p->portal, false);
    put_label (fp, "target", o->p->target, false);
    snprintf (number, sizeof number, "%u", o->p->lun);
    put_label (fp, "lun", number, false);
    snprintf (number, sizeof number, "%u", o->p->session);
    put_label (fp, "session", number, false);
  }
  if (o->se != NULL) {
    put_label (fp, "portal", o->se->portal, false);
    put_label (fp, "target", o->se->target, false);
    snprintf (number, sizeof number, "%u", o->se->id);
    put_label (fp, "session", number, false);
  }
}

static void
put_family (FILE *fp, const char *name, const char *type, const char *unit,
            const char *help)
{
  fprintf (fp, "# TYPE %s %s\n", name, type);
  if (unit[0])
    fprintf (fp, "# UNIT %s %s\n", name, unit);
  fprintf (fp, "# HELP %s %s\n", name, help);
}

/* Calls F for all that a family is of. */
static void
each (enum subject subject, const struct snapshot *s,
      void (*f) (FILE *fp, const struct place *o, const void *what), FILE *fp,
      const void *what)
{
  struct place o = { .s = s };

  if (subject == OF_SERVER)
    f (fp, &o, what);
  if (subject == OF_SESSION)
    for (unsigned i = 0; i < s->nr_sessions; ++i) {
      o.se = &s->sessions[i];
      f (fp, &o, what);
    }
  if (subject == OF_MAP || subject == OF_PATH)
    for (unsigned i = 0; i < s->nr_maps; ++i) {
      o.m = &s->maps[i];
      o.p = NULL;
      if (subject == OF_MAP)
        f (fp, &o, what);
      else
        for (unsigned k = 0; k < o.m->nr_paths; ++k) {
          o.p = &o.m->paths[k];
          f (fp, &o, what);
        }
    }
}

static void
put_value (FILE *fp, const struct place *o, const void *what)
{
  const struct family *f = what;

  fprintf (fp, "%s%s{", f->name, f->type == COUNTER ? "_total" : "");
  put_labels (fp, o);
  fprintf (fp, "} %.17g\n", f->value (o));
}

static void
put_state (FILE *fp, const struct place *o, const void *what)
{
  (void) what;
  for (unsigned i = 0; i < NR_PATH_STATES; ++i) {
    fputs ("mpiscsi_path_state{", fp);
    put_labels (fp, o);
    put_label (fp, "mpiscsi_path_state", path_state_name (i), false);
    fprintf (fp, "} %d\n", o->p->state == i);
  }
}

static void
put_disk (FILE *fp, const struct place *o, const void *what)
{
  (void) what;
  fputs ("mpiscsi_map_info{", fp);
  put_labels (fp, o);
  put_label (fp, "wwid", o->m->facts.wwid, false);
  put_label (fp, "vendor", o->m->facts.vendor, false);
  put_label (fp, "product", o->m->facts.product, false);
  put_label (fp, "revision", o->m->facts.revision, false);
  fputs ("} 1\n", fp);
}

static void
put_server (FILE *fp, const struct place *o, const void *what)
{
  (void) what;
  fputs ("mpiscsi_build_info{", fp);
  put_labels (fp, o);
  put_label (fp, "version", PACKAGE_VERSION, false);
  put_label (fp, "initiator", o->s->initiator_name, false);
  fputs ("} 1\n", fp);
}

/* Four times as long from bucket to bucket, 16 us to 67 s: each is the end of
 * one of latency.h's. */
static void
put_histogram (FILE *fp, const struct place *o, const void *what)
{
  const struct latency *l = &o->p->latency;
  uint64_t below = 0;
  unsigned next = 0;

  (void) what;
  for (uint64_t us = 16; us <= UINT64_C (1) << 26; us *= 4) {
    for (; next < latency_bucket (us); ++next)
      below += l->buckets[next];
    fputs ("mpiscsi_path_latency_seconds_bucket{", fp);
    put_labels (fp, o);
    fprintf (fp, ",le=\"%.6f\"} %" PRIu64 "\n", us / 1e6, below);
  }
  fputs ("mpiscsi_path_latency_seconds_bucket{", fp);
  put_labels (fp, o);
  fprintf (fp, ",le=\"+Inf\"} %" PRIu64 "\n", l->count);
  fputs ("mpiscsi_path_latency_seconds_count{", fp);
  put_labels (fp, o);
  fprintf (fp, "} %" PRIu64 "\n", l->count);
  fputs ("mpiscsi_path_latency_seconds_sum{", fp);
  put_labels (fp, o);
  fprintf (fp, "} %.6f\n", l->total_us / 1e6);
}

bool
metrics_print (FILE *fp, const struct snapshot *s, bool colour)
{
  (void) colour;
  put_family (fp, "mpiscsi_build", "info", "", "The server.");
  each (OF_SERVER, s, put_server, fp, NULL);
  put_family (fp, "mpiscsi_map", "info", "", "The disk.");
  each (OF_MAP, s, put_disk, fp, NULL);
  for (size_t i = 0; i < sizeof families / sizeof families[0]; ++i) {
    const struct family *f = &families[i];

    put_family (fp, f->name, f->type == COUNTER ? "counter" : "gauge", f->unit,
                f->help);
    each (f->subject, s, put_value, fp, f);
  }
  put_family (fp, "mpiscsi_path_state", "stateset", "",
              "In which of the states a path is.");
  each (OF_PATH, s, put_state, fp, NULL);
  put_family (fp, "mpiscsi_path_latency_seconds", "histogram", "seconds",
              "From sending a command to its answer.");
  each (OF_PATH, s, put_histogram, fp, NULL);
  fputs ("# EOF\n", fp);
  return !ferror (fp);
}

/* The length of the line at P, with its newline; 0: it has none. */
static size_t
line_length (const char *p)
{
  const char *end = strchr (p, '\n');

  return end ? (size_t) (end + 1 - p) : 0;
}

/* AT: how far each was read. */
static bool
merge (FILE *fp, const char **at, size_t n)
{
  for (;;) {
    size_t len = line_length (at[0]);

    /* The lines that begin a family are the same in all of them ... */
    if (len == 0 || at[0][0] != '#')
      return false;
    for (size_t i = 1; i < n; ++i)
      if (strncmp (at[i], at[0], len) != 0)
        return false;
    fwrite (at[0], len, 1, fp);
    if (strncmp (at[0], "# EOF", 5) == 0)
      return !ferror (fp);
    for (size_t i = 0; i < n; ++i)
      at[i] += len;
    if (at[0][0] == '#' && strncmp (at[0], "# TYPE", 6) != 0 &&
        strncmp (at[0], "# EOF", 5) != 0)
      continue;
    /* ... and then come the samples of each. */
    for (size_t i = 0; i < n; ++i)
      for (; at[i][0] != '#'; at[i] += len) {
        len = line_length (at[i]);
        if (len == 0)
          return false;
        fwrite (at[i], len, 1, fp);
      }
  }
}

bool
metrics_merge (FILE *fp, const char *const *texts, size_t n)
{
  const char **at = n > 0 ? calloc (n, sizeof *at) : NULL;
  bool good;

  if (at == NULL)
    return false;
  memcpy (at, texts, n * sizeof *at);
  good = merge (fp, at, n);
  free (at);
  return good;
}
