/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi check: is the configuration file good, and what would it do?
 * Nothing is connected to. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "base/state-dir.h"
#include "cmd/cmd.h"
#include "conf/conf-internal.h"
#include "conf/options.h"

static void
print_aliases (const struct conf *conf)
{
  for (const struct conf_multipath *m = conf->multipaths; m; m = m->next)
    if (m->options.values.alias)
      printf ("# export %s: the LUN with the WWID %s\n",
              m->options.values.alias, m->wwid);
}

/* Without it a server that is killed leaves writes behind that the next one
 * cannot fence. */
static void
print_state (const struct settings *s)
{
  char dir[512];
  const char *wrong = state_dir_problem (dir, sizeof dir);

  if (s->fence == FENCING_OFF)
    printf ("# nothing is kept in the state directory: fence is off\n");
  else if (wrong == NULL)
    printf ("# state directory: %s\n", dir);
  else
    printf ("# state directory %s cannot be written: %s: after a kill the next "
            "server could not fence; %s\n", dir, wrong,
            s->fence_without_state == WITHOUT_STATE_ALLOW
            ? "accepted (fence_without_state allow)"
            : "writes fail (fence_without_state deny)");
}

/* In the file's grammar, as `multipath -t` prints its own. */
static void
print_section (const char *name, struct settings *s, unsigned where)
{
  printf ("%s {\n", name);
  for (const struct option *o = options; o->name; ++o) {
    char text[1024];

    if (!(o->where & where))
      continue;
    if (o->type == OPTION_PORTALS) {
      for (size_t i = 0; i < s->nr_portals; ++i)
        printf ("\t%s \"%s\"\n", o->name,
                portal_text (&s->portals[i], text, sizeof text));
      continue;
    }
    /* "(secret)" is none. */
    if (o->type == OPTION_SECRET)
      continue;
    /* What is only taken for its age would get a remark when it is read again. */
    if (o->type == OPTION_BOOL && o->choices != NULL &&
        o->choices->remark != NULL)
      continue;
    option_text (o, option_field (o, s), text, sizeof text);
    if (text[0] && !(o->type == OPTION_LUN && s->lun < 0))
      printf (strchr (text, ' ') ? "\t%s \"%s\"\n" : "\t%s %s\n", o->name,
              text);
  }
  printf ("}\n");
}

/* Its argument is no portal. */
/* KEY=VALUE come first; a device behind them. */
static int
nr_devices (const struct cmd *cmd)
{
  return cmd->argc > 0 && strchr (cmd->argv[cmd->argc - 1], '=') == NULL;
}

static struct settings *
check_settings (const struct cmd *cmd)
{
  struct cmd these = *cmd;

  these.argc = cmd->argc - nr_devices (cmd);
  return cmd_settings (&these);
}

int
cmd_check (const struct cmd *cmd)
{
  struct settings *s = check_settings (cmd);
  char initiator[ISCSI_NAME_SIZE], portal[300];
  const struct conf_nbd *nbd;
  char **argv, remark[ERR_SIZE];
  int status;

  if (s == NULL)
    return CMD_FAILED;
  if (cmd->quiet) {
    settings_free (s);
    return 0;
  }
  if (nr_devices (cmd) > 0) {
    status = check_device (s, cmd->argv[cmd->argc - 1]);
    settings_free (s);
    return status;
  }
  printf ("# %s is good\n", cmd->conf ? cmd->conf : CMD_CONF);
  if (s->initiator_name == NULL) {
    settings_default_initiator (NULL, initiator, remark);
    if (remark[0] != '\0')
      cmd_error ("warning: %s", remark);
    printf ("# initiator name: %s\n", initiator);
  }
  print_state (s);
  nbd = conf_nbd (s->conf);
  if (cmd_serve_nbdkit (cmd, nbd) != NULL) {
    argv = cmd_serve_argv (cmd, s, nbd);
    printf ("#");
    for (char **p = argv; p && *p; ++p)
      printf (" %s", *p);
    putchar ('\n');
    cmd_free_argv (argv);
  }
  for (size_t i = 0; i < s->nr_portals; ++i)
    printf ("# portal: %s\n", portal_text (&s->portals[i], portal,
                                           sizeof portal));
  if (s->conf)
    print_aliases (s->conf);
  print_section ("iscsi", s, IN_ISCSI);
  print_section ("defaults", s, IN_DEFAULTS);
  /* The file's come after it, and win. */
  conf_print_table (stdout);
  if (s->conf)
    conf_print (s->conf, stdout);
  settings_free (s);
  return 0;
}
