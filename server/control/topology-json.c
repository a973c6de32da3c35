/* SPDX-License-Identifier: BSD-3-Clause */
/* The listings of topology.h, as JSON.  Names that are not UTF-8 cannot be
 * in it: then the result is NULL, as without memory. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>

#include "control/topology.h"

/* Takes MEMBER; NULL members of an array would be dropped without a word. */
static bool
add (json_t *array, json_t *member)
{
  return json_array_append_new (array, member) == 0;
}

/* What multipathd says of a path that has no such thing. */
#define UNDEF "[undef]"

static json_t *
counters_json (const struct snapshot_counters *c)
{
  return json_pack ("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f}",
                    "ios", (json_int_t) c->ios,
                    "bytes_read", (json_int_t) c->bytes_read,
                    "bytes_written", (json_int_t) c->bytes_written,
                    "errors", (json_int_t) c->errors,
                    "retries", (json_int_t) c->retries,
                    "hedged", (json_int_t) c->hedged,
                    "hedges", (json_int_t) c->hedges,
                    "hedges_won", (json_int_t) c->hedges_won,
                    "in_flight", (json_int_t) c->in_flight,
                    "latency_mean_us", c->mean * 1e6,
                    "latency_p99_us", c->p99 * 1e6);
}

static const char *
checker_text (enum checker_kind kind)
{
  return kind == CHECKER_DIRECTIO ? "directio" :
    kind == CHECKER_NONE ? "none" : "tur";
}

static json_t *
path_json (const struct snapshot_map *m, const struct snapshot_path *p)
{
  const unsigned lun = lun_encode (p->lun, false);
  char hcil[48], hex[24];

  topology_hcil (p->session, p->tpgt, p->lun, hcil, sizeof hcil);
  /* 8 bytes, as the target's REPORT LUNS has them (SAM-5 4.7). */
  snprintf (hex, sizeof hex, "0x%04x000000000000", lun);
  return json_pack ("{s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:s,"
                    "s:s,s:s,s:s,s:s,s:i,s:i,s:i,s:s,s:s,s:I,s:o,s:i,s:s,"
                    "s:b}",
                    "dev", p->portal, "dev_t", UNDEF,
                    "dm_st", path_dm_state (p->state),
                    "dev_st", topology_dev_state (p->session_state),
                    "chk_st", path_checker_state (p->state),
                    "checker", checker_text (m->checker), "pri", p->prio,
                    "host_wwnn", UNDEF, "target_wwnn", p->target,
                    "host_wwpn", UNDEF, "target_wwpn", UNDEF,
                    "host_adapter", UNDEF, "lun_hex", hex,
                    "marginal_st", p->state == PATH_SHAKY
                    ? "marginal" : "normal",
                    /* ours */
                    "hcil", hcil, "portal", p->portal, "map", m->name,
                    "session", (int) p->session, "tpgt", p->tpgt,
                    "lun", (int) p->lun,
                    "session_st", session_state_name (p->session_state),
                    "path_st", path_state_name (p->state),
                    "path_faults", (json_int_t) p->faults,
                    "counters", counters_json (&p->counters),
                    "port_group", p->port_group, "port_group_st",
                    p->port_group_state ? p->port_group_state : UNDEF,
                    "preferred", (int) p->preferred);
}

static json_t *
group_json (const struct snapshot_map *m, const struct snapshot_group *g)
{
  json_t *paths = json_array ();

  for (unsigned i = 0; i < g->nr_paths; ++i)
    if (!add (paths, path_json (m, &m->paths[g->first + i]))) {
      json_decref (paths);
      return NULL;
    }
  return json_pack ("{s:s,s:i,s:s,s:s,s:i,s:o}",
                    "selector", topology_policy (m->selector), "pri", g->prio,
                    "dm_st", topology_group_state (g), "marginal_st", "normal",
                    "group", (int) g->index, "paths", paths);
}

static json_t *
fence_json (const struct snapshot_map *m)
{
  return json_pack ("{s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:i,s:s}",
                    "in_doubt", (json_int_t) m->fence.in_doubt,
                    "parked", (json_int_t) m->fence.parked,
                    "reinstated", (json_int_t) m->fence.reinstated,
                    "resets", (json_int_t) m->fence.resets,
                    "expired", (json_int_t) m->fence.expired,
                    "inherited", (json_int_t) m->fence.inherited,
                    "pending", (int) m->fence.pending,
                    "waiting", (int) m->fence.waiting,
                    "state_file", nexus_record_name (m->fence.record));
}

static json_t *
map_json (const struct snapshot *s, const struct snapshot_map *m)
{
  char sysfs[24], failback[24], queueing[24], key[24] = "";
  json_t *groups = json_array ();
  uint64_t faults = 0;

  for (unsigned i = 0; i < m->nr_paths; ++i)
    faults += m->paths[i].faults;
  for (unsigned i = 0; i < m->nr_groups; ++i)
    if (!add (groups, group_json (m, &m->groups[i]))) {
      json_decref (groups);
      return NULL;
    }
  snprintf (sysfs, sizeof sysfs, "map-%u", m->index);
  topology_failback (m, failback, sizeof failback);
  topology_queueing (m, queueing, sizeof queueing);
  if (m->reservation_key != 0)
    snprintf (key, sizeof key, "0x%" PRIx64, m->reservation_key);
  return json_pack ("{s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:s,"
                    "s:s,s:I,s:I,s:I,s:I,s:I,s:i,s:i,s:b,s:I,s:b,s:s,s:b,s:I,s:I,s:I,s:i,s:o,s:o}",
                    "name", m->name, "uuid", m->facts.wwid, "sysfs", sysfs,
                    "failback", failback, "queueing", queueing,
                    "paths", (int) m->nr_paths,
                    "write_prot", m->facts.write_protect ? "ro" : "rw",
                    "dm_st", m->suspended ? "suspended" : "active", "features", topology_features (m),
                    "hwhandler", topology_hwhandler (m), "action", "",
                    "path_faults", (json_int_t) faults,
                    "vend", m->facts.vendor, "prod", m->facts.product,
                    "rev", m->facts.revision,
                    "switch_grp", (json_int_t) m->group_switches,
                    "map_loads", (json_int_t) m->loads,
                    "total_q_time", (json_int_t) m->queue_seconds,
                    "q_timeouts", (json_int_t) m->queue_timeouts,
                    /* ours */
                    "size", (json_int_t)
                    (m->facts.blocks * m->facts.block_size),
                    "block_size", (int) m->facts.block_size,
                    "active", (int) m->nr_active,
                    "thin", (int) m->facts.lbpme,
                    "thin_thresholds", (json_int_t) m->thin_thresholds,
                    "fenced", (int) m->fenced, "reservation_key", key,
                    "hedged_reads", (int) m->hedged_reads,
                    "hedges", (json_int_t) m->hedges,
                    "hedges_won", (json_int_t) m->hedges_won,
                    "hedges_refused", (json_int_t) m->hedges_refused,
                    "pid", s->pid,
                    "fence", fence_json (m),
                    "path_groups", groups);
}

json_t *
topology_json (const struct snapshot *s)
{
  json_t *maps = json_array ();

  for (unsigned i = 0; i < s->nr_maps; ++i)
    if (!add (maps, map_json (s, &s->maps[i]))) {
      json_decref (maps);
      return NULL;
    }
  return json_pack ("{s:i,s:i,s:o}", "major_version", 0, "minor_version", 1,
                    "maps", maps);
}

json_t *
topology_paths_json (const struct snapshot *s)
{
  json_t *paths = json_array ();

  for (unsigned i = 0; i < s->nr_maps; ++i)
    for (unsigned k = 0; k < s->maps[i].nr_paths; ++k)
      if (!add (paths, path_json (&s->maps[i], &s->maps[i].paths[k])))
        goto error;
  return json_pack ("{s:i,s:i,s:o}", "major_version", 0, "minor_version", 1,
                    "paths", paths);

 error:
  json_decref (paths);
  return NULL;
}

json_t *
topology_sessions_json (const struct snapshot *s)
{
  json_t *sessions = json_array ();

  for (unsigned i = 0; i < s->nr_sessions; ++i) {
    const struct snapshot_session *n = &s->sessions[i];

    if (!add (sessions,
              json_pack ("{s:i,s:s,s:s,s:i,s:s,s:s,s:I,s:I,s:i}",
                         "session", (int) n->id, "portal", n->portal,
                         "target", n->target, "tpgt", n->tpgt,
                         "state", session_state_name (n->state),
                         "last_failure", n->why,
                         "logins", (json_int_t) n->logins,
                         "losses", (json_int_t) n->losses, "pid", s->pid)))
      goto error;
  }
  return json_pack ("{s:i,s:i,s:s,s:o}", "major_version", 0,
                    "minor_version", 1, "initiator_name", s->initiator_name,
                    "sessions", sessions);

 error:
  json_decref (sessions);
  return NULL;
}

json_t *
topology_clients_json (const struct snapshot *s)
{
  json_t *clients = json_array ();

  for (unsigned i = 0; i < s->nr_clients; ++i) {
    const struct snapshot_client *c = &s->clients[i];

    if (!add (clients,
              json_pack ("{s:i,s:s,s:s,s:s,s:b,s:b,s:i,s:I,s:I,s:I,s:I,s:I,"
                         "s:I,s:I,s:f,s:f,s:f,s:i}",
                         "client", (int) c->id, "peer", c->peer,
                         "export", c->export, "state", c->state,
                         "tls", (int) c->tls,
                         "extended_headers", (int) c->extended,
                         "in_flight", (int) c->in_flight,
                         "memory", (json_int_t) c->memory,
                         "reads", (json_int_t) c->reads,
                         "writes", (json_int_t) c->writes,
                         "others", (json_int_t) c->others,
                         "errors", (json_int_t) c->errors,
                         "bytes_read", (json_int_t) c->bytes_read,
                         "bytes_written", (json_int_t) c->bytes_written,
                         "latency_mean", c->mean, "latency_p99", c->p99,
                         "connected", c->connected, "pid", s->pid)))
      goto error;
  }
  return json_pack ("{s:i,s:i,s:o}", "major_version", 0, "minor_version", 1,
                    "clients", clients);

 error:
  json_decref (clients);
  return NULL;
}
