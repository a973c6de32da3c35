/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi discover: SendTargets at each portal (RFC 7143 appendix C), printed
 * as `iscsiadm -m discovery -t sendtargets` does. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "service/service.h"

static const char *
member (const json_t *item, const char *key)
{
  return json_string_value (json_object_get (item, key));
}

/* By target, then portal.  Two portals of one target tell the same: each is
 * kept once. */
static void
found (void *opaque, const struct session *s, const struct portal *portal,
       const char *target)
{
  json_t *all = opaque, *item;
  char text[300];
  size_t i, at = 0;
  int order;

  (void) s;
  portal_text (portal, text, sizeof text);
  json_array_foreach (all, i, item) {
    order = strcmp (target, member (item, "target"));
    if (order == 0)
      order = strverscmp (text, member (item, "portal"));
    if (order == 0)
      return;
    if (order > 0)
      at = i + 1;
  }
  json_array_insert_new (all, at, json_pack ("{s:s,s:i,s:s}", "portal", text,
                                             "tpgt", portal->tpgt,
                                             "target", target));
}

static void
print (const json_t *all)
{
  size_t i;
  json_t *item;

  json_array_foreach (all, i, item)
    printf ("%s,%lld %s\n", member (item, "portal"),
            (long long) json_integer_value (json_object_get (item, "tpgt")),
            member (item, "target"));
}

int
cmd_discover (const struct cmd *cmd)
{
  struct settings *s = cmd_settings (cmd);
  struct engine *e;
  struct list *l, *next;
  json_t *all;
  bool failed = false;

  if (s == NULL)
    return CMD_FAILED;
  all = json_array ();
  cmd_prepare_engine ();
  /* All that is there, whatever the file would log in to. */
  free (s->target);
  s->target = NULL;
  s->discovery = true;
  e = engine_new (s);
  if (e == NULL) {
    cmd_error ("cannot start: %m");
    settings_free (s);
    json_decref (all);
    return CMD_FAILED;
  }
  e->keeps_nothing = true;
  e->found = found;
  e->found_opaque = all;
  engine_start (e);
  engine_run_until_settled (e, 2 * s->login_timeout + 1);
  list_for_each (l, next, &e->sessions) {
    const struct session *n = list_entry (l, struct session, node);

    /* The reason was logged as it happened. */
    if (n->failure != FAIL_NONE || !n->ever_up)
      failed = true;
  }
  engine_shutdown (e, 1.0);
  engine_free (e);
  settings_free (s);
  if (cmd->json) {
    json_dumpf (all, stdout, JSON_INDENT (2) | JSON_ENSURE_ASCII);
    putchar ('\n');
  }
  else
    print (all);
  if (json_array_size (all) == 0)
    failed = true;
  json_decref (all);
  return failed ? CMD_FAILED : 0;
}
