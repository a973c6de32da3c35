/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi: looks at servers and steers them; finds targets; starts a server.
 * mpiscsi(8). */
#include <config.h>

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/cmd.h"

static const char help[] =
  "mpiscsi looks after iSCSI disks that are served over NBD with all of their\n"
  "paths.  See mpiscsi(8).\n"
  "\n"
  "Running servers:\n"
  "  mpiscsi -ll [MAP]               the topology, as multipath -ll has it; the exit\n"
  "                                  status: 0 well, 1 degraded, 2 no path, 3 unknown\n"
  "  mpiscsi show [topology|maps|paths|sessions|clients|status] [MAP]\n"
  "  mpiscsi metrics                 OpenMetrics, of all servers\n"
  "  mpiscsi alive|ready             by exit status: does it answer, has each LUN a path?\n"
  "  mpiscsi watch                   the topology, and then each change\n"
  "  mpiscsi fail|reinstate PATH [MAP]\n"
  "  mpiscsi disablequeueing|restorequeueing MAP|maps\n"
  "  mpiscsi rescan                  targets, portals, LUNs and sizes, again\n"
  "  mpiscsi resize|suspend|resume MAP\n"
  "  mpiscsi switchgroup MAP N       explicit ALUA: make path group N the active one\n"
  "  mpiscsi add|del PORTAL\n"
  "  mpiscsi reconfigure\n"
  "  mpiscsi persist --help          persistent reservations, as mpathpersist\n"
  "Targets:\n"
  "  mpiscsi discover PORTAL... [KEY=VALUE...]\n"
  "  mpiscsi scan [PORTAL...] [KEY=VALUE...]\n"
  "Serving:\n"
  "  mpiscsi serve [PORTAL...] [KEY=VALUE...] [-- NBDKIT OPTION...]\n"
  "  mpiscsi check [KEY=VALUE...] [VENDOR,PRODUCT]\n"
  "                                  is the configuration file good? what holds\n"
  "                                  for that array?\n"
  "\n"
  "Options:\n"
  "  -c, --config FILE    configuration file (" CMD_CONF ")\n"
  "  -j, --json           JSON\n"
  "  -s, --socket PATH    only the server with this control socket\n"
  "  -q, --quiet          check: only the exit status, and what is wrong\n"
  "  -n, --dry-run        serve: only say what would be done\n"
  "      --run COMMAND    serve: until this shell command ends; it gets $uri\n"
  "      --exit-when-idle serve: until the last client has gone\n"
  "      --single         serve: one client, on standard input\n"
  "  -v, --verbose        serve: log more\n"
  "      --plugin FILE    serve: the plugin to run\n"
  "      --color[=WHEN]   auto, always, never\n"
  "  -h, --help\n"
  "  -V, --version\n";

/* Options, as bits: which command takes which. */
enum { CONF = 1, JSON = 2, SOCKET = 4, DRY_RUN = 8, PLUGIN = 16, RUN = 32,
       IDLE = 64, SINGLE = 128, VERBOSE = 256,
       QUIET = 512 };

static const struct {
  const char *name;
  int (*run) (const struct cmd *cmd);
  int min, max;                 /* arguments; max < 0: any number */
  unsigned options;
  const char *arguments;
} commands[] = {
  { "show", cmd_show, 0, 2, JSON | SOCKET,
    "[topology|maps|paths|sessions|clients|status] [MAP]" },
  { "metrics", cmd_metrics, 0, 0, SOCKET, "" },
  { "alive", cmd_alive, 0, 0, SOCKET, "" },
  { "ready", cmd_alive, 0, 0, SOCKET, "" },
  { "watch", cmd_watch, 0, 0, JSON | SOCKET, "" },
  { "fail", cmd_verb, 1, 2, SOCKET, "PATH [MAP]" },
  { "reinstate", cmd_verb, 1, 2, SOCKET, "PATH [MAP]" },
  { "disablequeueing", cmd_verb, 1, 1, SOCKET, "MAP|maps" },
  { "restorequeueing", cmd_verb, 1, 1, SOCKET, "MAP|maps" },
  { "rescan", cmd_verb, 0, 0, SOCKET, "" },
  { "resize", cmd_verb, 1, 1, SOCKET, "MAP" },
  { "suspend", cmd_verb, 1, 1, SOCKET, "MAP" },
  { "resume", cmd_verb, 1, 1, SOCKET, "MAP" },
  { "switchgroup", cmd_verb, 2, 2, SOCKET, "MAP N" },
  { "add", cmd_verb, 1, 1, SOCKET, "PORTAL" },
  { "del", cmd_verb, 1, 1, SOCKET, "PORTAL" },
  { "reconfigure", cmd_verb, 0, 0, SOCKET, "" },
  { "discover", cmd_discover, 0, -1, JSON | CONF, "PORTAL... [KEY=VALUE...]" },
  { "scan", cmd_scan, 0, -1, JSON | CONF, "[PORTAL...] [KEY=VALUE...]" },
  { "serve", cmd_serve, 0, -1,
    CONF | DRY_RUN | PLUGIN | RUN | IDLE | SINGLE | VERBOSE,
    "[PORTAL...] [KEY=VALUE...] [-- NBDKIT OPTION...]" },
  { "check", cmd_check, 0, -1, CONF | QUIET,
    "[KEY=VALUE...] [VENDOR,PRODUCT]" },
};

void
cmd_error (const char *fs, ...)
{
  char text[2048], line[2048];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  fprintf (stderr, "mpiscsi: %s\n", text_safe (text, line, sizeof line));
}

int
cmd_usage (const char *fs, ...)
{
  char text[1024];
  va_list args;

  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  cmd_error ("%s; see mpiscsi --help", text);
  return CMD_USAGE;
}

static int
no_command (const char *name)
{
  const char *words[sizeof commands / sizeof commands[0]], *near;

  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; ++i)
    words[i] = commands[i].name;
  near = cmd_nearest (name, words, sizeof words / sizeof words[0]);
  if (near == NULL)
    return cmd_usage ("there is no command '%s'", name);
  return cmd_usage ("there is no command '%s': did you mean '%s'?", name,
                    near);
}

static int
run (struct cmd *cmd, unsigned given)
{
  static const char *const names[] = {
    "--config", "--json", "--socket", "--dry-run", "--plugin", "--run",
    "--exit-when-idle", "--single", "--verbose", "--quiet",
  };
  size_t i;

  for (i = 0; i < sizeof commands / sizeof commands[0]; ++i)
    if (strcmp (cmd->name, commands[i].name) == 0)
      break;
  if (i == sizeof commands / sizeof commands[0])
    return no_command (cmd->name);
  for (unsigned k = 0; k < sizeof names / sizeof names[0]; ++k)
    if ((given & ~commands[i].options) >> k & 1)
      return cmd_usage ("%s takes no %s", cmd->name, names[k]);
  if (cmd->argc < commands[i].min ||
      (commands[i].max >= 0 && cmd->argc > commands[i].max))
    return cmd_usage ("usage: mpiscsi %s %s", cmd->name,
                      commands[i].arguments);
  if (cmd->more[0] != NULL && commands[i].run != cmd_serve)
    return cmd_usage ("%s takes nothing after --", cmd->name);
  return commands[i].run (cmd);
}

/* getopt would put what is behind "--" among the arguments. */
static char **
cut_at_dashes (int *argc, char **argv)
{
  for (int i = 1; i < *argc; ++i)
    if (strcmp (argv[i], "--") == 0) {
      *argc = i;
      argv[i] = NULL;
      return argv + i + 1;
    }
  return argv + *argc;
}

static int
finish (int status)
{
  /* A full disk or a closed pipe is no success. */
  if (fflush (stdout) == EOF || ferror (stdout)) {
    cmd_error ("cannot write the output: %m");
    return CMD_FAILED;
  }
  return status;
}

static const char *
program_name (const char *path)
{
  const char *slash = strrchr (path, '/');

  return slash ? slash + 1 : path;
}

/* Its options are mpathpersist's, and not those below. */
static bool
is_persist (int argc, char **argv)
{
  return argc > 1 && strcmp (argv[1], "persist") == 0;
}

int
main (int argc, char **argv)
{
  enum { OPT_PLUGIN = 256, OPT_COLOUR, OPT_RUN, OPT_IDLE, OPT_SINGLE };
  static const struct option long_options[] = {
    { "config", required_argument, NULL, 'c' },
    { "json", no_argument, NULL, 'j' },
    { "quiet", no_argument, NULL, 'q' },
    { "socket", required_argument, NULL, 's' },
    { "dry-run", no_argument, NULL, 'n' },
    { "plugin", required_argument, NULL, OPT_PLUGIN },
    { "run", required_argument, NULL, OPT_RUN },
    { "exit-when-idle", no_argument, NULL, OPT_IDLE },
    { "single", no_argument, NULL, OPT_SINGLE },
    { "verbose", no_argument, NULL, 'v' },
    { "colour", optional_argument, NULL, OPT_COLOUR },
    { "color", optional_argument, NULL, OPT_COLOUR },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
  };
  static char topology[] = "topology";
  char *listing[3] = { topology, NULL, NULL };
  struct cmd cmd = { .colour = isatty (STDOUT_FILENO) &&
                     getenv ("NO_COLOR") == NULL };
  unsigned given = 0;
  bool list = false;
  int c;

  if (is_persist (argc, argv))
    return finish (cmd_persist (argc - 1, argv + 1));
  if (strcmp (program_name (argv[0]), "mpathpersist") == 0)
    return finish (cmd_persist (argc, argv));
  cmd.more = cut_at_dashes (&argc, argv);
  while ((c = getopt_long (argc, argv, "c:js:nlqvhV", long_options, NULL)) != -1)
    switch (c) {
    case 'c': cmd.conf = optarg; given |= CONF; break;
    case 'j': cmd.json = true; given |= JSON; break;
    case 's': cmd.socket = optarg; given |= SOCKET; break;
    case 'n': cmd.dry_run = true; given |= DRY_RUN; break;
    case OPT_PLUGIN: cmd.plugin = optarg; given |= PLUGIN; break;
    case OPT_RUN: cmd.run = optarg; given |= RUN; break;
    case OPT_IDLE: cmd.exit_when_idle = true; given |= IDLE; break;
    case OPT_SINGLE: cmd.single = true; given |= SINGLE; break;
    case 'q': cmd.quiet = true; given |= QUIET; break;
    case 'v': cmd.verbose = true; given |= VERBOSE; break;
    case 'l': list = true; break;
    case OPT_COLOUR:
      if (optarg == NULL || strcmp (optarg, "always") == 0)
        cmd.colour = true;
      else if (strcmp (optarg, "never") == 0)
        cmd.colour = false;
      else if (strcmp (optarg, "auto") != 0)
        return cmd_usage ("--color is auto, always or never");
      break;
    case 'h':
      fputs (help, stdout);
      return finish (0);
    case 'V':
      printf ("mpiscsi %s\n", PACKAGE_VERSION);
      return finish (0);
    default:
      fputs ("see mpiscsi --help\n", stderr);
      return CMD_USAGE;
    }
  argc -= optind;
  argv += optind;

  if (list) {
    if (argc > 1)
      return cmd_usage ("usage: mpiscsi -ll [MAP]");
    listing[1] = argv[0];
    cmd.name = "show";
    cmd.argc = 1 + argc;
    cmd.argv = listing;
  }
  else if (argc == 1 && strcmp (argv[0], "help") == 0) {
    fputs (help, stdout);
    return finish (0);
  }
  else if (argc == 0) {
    fputs (help, stderr);
    return CMD_USAGE;
  }
  else {
    cmd.name = argv[0];
    cmd.argc = argc - 1;
    cmd.argv = argv + 1;
  }
  return finish (run (&cmd, given));
}
