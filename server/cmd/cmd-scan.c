/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi scan: log in everywhere, say what LUNs there are, log out. */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "service/service.h"
#include "control/snapshot.h"
#include "control/topology.h"

static const char *
cache_text (const struct lu_facts *f)
{
  return !f->has_caching_page ? "unknown" : f->wce ? "write-back"
    : "write-through";
}

static void
print (const struct snapshot *s)
{
  for (unsigned i = 0; i < s->nr_maps; ++i) {
    const struct snapshot_map *m = &s->maps[i];
    const struct lu_facts *f = &m->facts;
    char size[16];

    printf ("%s", m->name);
    if (strcmp (m->name, f->wwid) != 0)
      printf (" (%s)", f->wwid);
    printf (" %s,%s rev=%s\n", f->vendor, f->product, f->revision);
    printf ("size=%s blocks=%" PRIu64 " block_size=%u physical_block_size=%u "
            "wp=%s cache=%s fua=%s thin=%s\n",
            topology_size ((double) f->blocks * f->block_size, size),
            f->blocks, f->block_size, f->physical_block_size,
            f->write_protect ? "ro" : "rw", cache_text (f),
            f->dpofua ? "yes" : "no", f->lbpme ? "yes" : "no");
    for (unsigned k = 0; k < m->nr_paths; ++k) {
      const struct snapshot_path *p = &m->paths[k];

      printf ("%s- %s", k + 1 == m->nr_paths ? "`" : "|", p->portal);
      if (p->tpgt >= 0)
        printf (",%d", p->tpgt);
      printf (" %s LUN %u\n", p->target, p->lun);
    }
  }
}

static json_t *
lun_json (const struct snapshot_map *m)
{
  const struct lu_facts *f = &m->facts;
  json_t *portals = json_array ();

  for (unsigned k = 0; k < m->nr_paths; ++k) {
    const struct snapshot_path *p = &m->paths[k];

    json_array_append_new (portals,
                           json_pack ("{s:s,s:i,s:s,s:i}", "portal", p->portal,
                                      "tpgt", p->tpgt, "target", p->target,
                                      "lun", (int) p->lun));
  }
  return json_pack ("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:i,s:i,s:s,s:s,s:b,s:b,"
                    "s:o}",
                    "wwid", f->wwid, "name", m->name, "vend", f->vendor,
                    "prod", f->product, "rev", f->revision,
                    "serial", f->serial,
                    "size", (json_int_t) (f->blocks * f->block_size),
                    "blocks", (json_int_t) f->blocks,
                    "block_size", (int) f->block_size,
                    "physical_block_size", (int) f->physical_block_size,
                    "write_prot", f->write_protect ? "ro" : "rw",
                    "cache", cache_text (f), "fua", (int) f->dpofua,
                    "thin", (int) f->lbpme, "portals", portals);
}

static void
print_json (const struct snapshot *s)
{
  json_t *luns = json_array ();

  for (unsigned i = 0; i < s->nr_maps; ++i)
    json_array_append_new (luns, lun_json (&s->maps[i]));
  luns = json_pack ("{s:s,s:o}", "initiator_name", s->initiator_name,
                    "luns", luns);
  json_dumpf (luns, stdout, JSON_INDENT (2) | JSON_ENSURE_ASCII);
  putchar ('\n');
  json_decref (luns);
}

int
cmd_scan (const struct cmd *cmd)
{
  struct settings *s = cmd_settings (cmd);
  struct engine *e = NULL;
  struct snapshot *snapshot = NULL;
  char err[ERR_SIZE];
  int status = 0;

  if (s == NULL)
    return CMD_FAILED;
  cmd_prepare_engine ();
  e = engine_new (s);
  if (e != NULL) {
    e->keeps_nothing = true;
    engine_start (e);
    engine_run_until_settled (e, 2 * s->login_timeout + 1);
    engine_enter (e);
    snapshot = snapshot_take (e, NULL);
    engine_leave (e);
  }
  if (snapshot == NULL) {
    cmd_error ("out of memory");
    status = CMD_FAILED;
  }
  else if (engine_verdict (e, err, sizeof err) == -1) {
    /* Some of them were told as they were found. */
    if (e->complaint == NULL || e->complaint_fatal)
      cmd_error ("%s", err);
    status = CMD_FAILED;
  }
  if (snapshot && (status == 0 || snapshot->nr_maps > 0)) {
    if (cmd->json)
      print_json (snapshot);
    else
      print (snapshot);
  }
  snapshot_free (snapshot);
  if (e) {
    engine_shutdown (e, 1.0);
    engine_free (e);
  }
  settings_free (s);
  return status;
}
