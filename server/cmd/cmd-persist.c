/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi persist: persistent reservations, with mpathpersist's options, output
 * and exit status, so that what calls that one (fence_mpath, say) can call
 * this one.  mpiscsi(8). */
#include <config.h>

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/cmd-persist.h"

/* Of mpathpersist: the command line is wrong; there is no such device. */
#define SYNTAX_ERROR 1
#define NO_DEVICE 12
#define CONFLICT 11
#define OTHER_ERROR 15

static const char help[] =
  "Usage: mpiscsi persist [OPTION]... [-d] DEVICE\n"
  "DEVICE is a map (name or WWID), or a /dev/nbdN that is one of ours.\n"
  "  -i, --in                    PERSISTENT RESERVE IN, with one of\n"
  "    -k, --read-keys           -r, --read-reservation\n"
  "    -s, --read-full-status    -c, --report-capabilities\n"
  "  -o, --out                   PERSISTENT RESERVE OUT, with one of\n"
  "    -G, --register            -I, --register-ignore\n"
  "    -R, --reserve             -L, --release\n"
  "    -P, --preempt             -A, --preempt-abort\n"
  "    -C, --clear\n"
  "  -K, --param-rk=KEY          our key, in hex\n"
  "  -S, --param-sark=KEY        the new key; that of whom is to be preempted\n"
  "  -T, --prout-type=TYPE       type of the reservation, in hex\n"
  "  -Z, --param-aptpl           keep it over a power loss\n"
  "  -Y, --param-alltgpt         for all target ports\n"
  "  -d, --device=DEVICE\n"
  "  -v, --verbose LEVEL         from 1 on: what each path says\n"
  "      --socket=PATH           only the server with this control socket\n"
  "  -h, --help\n";

struct arguments {
  bool in, out;
  const char *action;           /* NULL: none; "": several */
  bool is_in;
  const char *rk, *sark, *device, *socket;
  unsigned type;
  bool aptpl, all_tg_pt;
  int verbose;
};

static bool
key (const char *text, const char **out)
{
  size_t n;

  if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
    text += 2;
  n = strspn (text, "0123456789abcdefABCDEF");
  if (n == 0 || n > 16 || text[n] != '\0')
    return false;
  *out = text;
  return true;
}

static void
choose (struct arguments *a, const char *action, bool in)
{
  a->action = a->action == NULL ? action : "";
  a->is_in = in;
}

/* 0, or the exit status; *over: there is nothing more to do. */
static int
take_options (int argc, char **argv, struct arguments *a, bool *over)
{
  enum { OPT_SOCKET = 256 };
  static const struct option options[] = {
    { "verbose", required_argument, NULL, 'v' },
    { "in", no_argument, NULL, 'i' }, { "out", no_argument, NULL, 'o' },
    { "device", required_argument, NULL, 'd' },
    { "help", no_argument, NULL, 'h' },
    { "read-keys", no_argument, NULL, 'k' },
    { "read-reservation", no_argument, NULL, 'r' },
    { "report-capabilities", no_argument, NULL, 'c' },
    { "read-full-status", no_argument, NULL, 's' },
    { "register", no_argument, NULL, 'G' },
    { "register-ignore", no_argument, NULL, 'I' },
    { "reserve", no_argument, NULL, 'R' },
    { "release", no_argument, NULL, 'L' },
    { "clear", no_argument, NULL, 'C' },
    { "preempt", no_argument, NULL, 'P' },
    { "preempt-abort", no_argument, NULL, 'A' },
    { "param-rk", required_argument, NULL, 'K' },
    { "param-sark", required_argument, NULL, 'S' },
    { "prout-type", required_argument, NULL, 'T' },
    { "param-aptpl", no_argument, NULL, 'Z' },
    { "param-alltgpt", no_argument, NULL, 'Y' },
    { "alloc-length", required_argument, NULL, 'l' },
    { "socket", required_argument, NULL, OPT_SOCKET },
    { NULL, 0, NULL, 0 },
  };
  char *end;
  int c;

  optind = 1;
  while ((c = getopt_long (argc, argv, "v:iod:hkrcsGIRLCPAK:S:T:ZYl:", options,
                           NULL)) != -1)
    switch (c) {
    case 'v': a->verbose = atoi (optarg); break;
    case 'i': a->in = true; break;
    case 'o': a->out = true; break;
    case 'd': a->device = optarg; break;
    case 'k': choose (a, "read-keys", true); break;
    case 'r': choose (a, "read-reservation", true); break;
    case 'c': choose (a, "report-capabilities", true); break;
    case 's': choose (a, "read-full-status", true); break;
    case 'G': choose (a, "register", false); break;
    case 'I': choose (a, "register-ignore", false); break;
    case 'R': choose (a, "reserve", false); break;
    case 'L': choose (a, "release", false); break;
    case 'C': choose (a, "clear", false); break;
    case 'P': choose (a, "preempt", false); break;
    case 'A': choose (a, "preempt-abort", false); break;
    case 'K': case 'S':
      if (!key (optarg, c == 'K' ? &a->rk : &a->sark)) {
        cmd_error ("'%s' is no key: 1 to 16 hexadecimal digits", optarg);
        return SYNTAX_ERROR;
      }
      break;
    case 'T':
      a->type = strtoul (optarg, &end, 16);
      if (end == optarg || *end != '\0' || a->type > 15) {
        cmd_error ("'%s' is no type of a reservation: 1, 3, 5 to 8", optarg);
        return SYNTAX_ERROR;
      }
      break;
    case 'Z': a->aptpl = true; break;
    case 'Y': a->all_tg_pt = true; break;
    case 'l': break;            /* all that comes is taken */
    case OPT_SOCKET: a->socket = optarg; break;
    case 'h':
      fputs (help, stdout);
      *over = true;
      return 0;
    default:
      fputs ("see mpiscsi persist --help\n", stderr);
      return SYNTAX_ERROR;
    }
  if (a->device == NULL && optind < argc)
    a->device = argv[optind++];
  return 0;
}

/* NULL: all is well. */
static const char *
wrong (const struct arguments *a)
{
  if (a->device == NULL)
    return "which map?";
  if (a->in == a->out)
    return "one of --in and --out is needed";
  if (a->action == NULL)
    return "what is to be done?";
  if (a->action[0] == '\0')
    return "one thing at a time";
  if (a->is_in != a->in)
    return a->in ? "that belongs to --out" : "that belongs to --in";
  if (a->in)
    return NULL;
  if (strncmp (a->action, "register", 8) == 0)
    return a->sark ? NULL : "--param-sark is needed";
  if (strncmp (a->action, "preempt", 7) == 0 && !a->sark)
    return "--param-sark is needed";
  if (!a->rk)
    return "--param-rk is needed";
  return strcmp (a->action, "clear") != 0 && a->type == 0
    ? "--prout-type is needed" : NULL;
}

/* ---- asking ---------------------------------------------------------------------- */

static bool
has_map (struct server *s, const char *name)
{
  json_t *answer = server_ask (s, json_pack ("{s:s,s:s,s:s,s:s}", "command",
                                             "show", "what", "maps", "map",
                                             name, "format", "json"));
  const bool found = answer && answer_ok (answer);

  json_decref (answer);
  return found;
}

/* The only map of all servers, for a client that asked for no name. */
static char *
only_map (struct server *servers, size_t n, struct server **one)
{
  char *name = NULL;

  for (size_t i = 0; i < n; ++i) {
    json_t *answer = server_ask (&servers[i], json_pack
                                 ("{s:s,s:s,s:s}", "command", "show", "what",
                                  "maps", "format", "json")), *map;
    size_t k;

    json_array_foreach (json_object_get (json_object_get (answer, "output"),
                                         "maps"), k, map) {
      if (name != NULL) {
        free (name);
        json_decref (answer);
        return NULL;
      }
      name = strdup (json_string_value (json_object_get (map, "name")) ?: "");
      *one = &servers[i];
    }
    json_decref (answer);
  }
  return name;
}

static struct server *
server_of (struct server *servers, size_t n, const char *map)
{
  struct server *one = NULL;

  for (size_t i = 0; i < n; ++i)
    if (has_map (&servers[i], map)) {
      if (one != NULL) {
        cmd_error ("'%s' is at several servers, choose with --socket: %s, %s",
                   map, one->path, servers[i].path);
        return NULL;
      }
      one = &servers[i];
    }
  if (one == NULL)
    cmd_error ("no server has '%s'", map);
  return one;
}

/* The map that is meant, malloc'd, and its server; NULL: said why. */
static char *
find (const struct arguments *a, struct server *servers, size_t n,
      struct server **one)
{
  char export[300], *map;

  switch (nbd_device_export (a->device, export, sizeof export)) {
  case NBD_NO_DEVICE:
    map = strdup (a->device);
    break;
  case NBD_NO_CLIENT:
    cmd_error ("%s: no client is known that serves it: name the map", a->device);
    return NULL;
  default:
    map = export[0] ? strdup (export) : only_map (servers, n, one);
    if (map == NULL)
      cmd_error ("%s has the default export, and there are several maps: name "
                 "the one that is meant", a->device);
  }
  if (map == NULL)
    return NULL;
  *one = server_of (servers, n, map);
  if (*one == NULL) {
    free (map);
    return NULL;
  }
  return map;
}

static void
tell_paths (const struct arguments *a, const json_t *answer, int status)
{
  const json_t *paths = json_object_get (answer, "paths"), *path;
  char line[500];
  size_t i;

  json_array_foreach (paths, i, path) {
    const char *hcil = "", *portal = "", *error = "";
    int one = 0;

    json_unpack ((json_t *) path, "{s:s,s:s,s:i,s:s}", "hcil", &hcil,
                 "portal", &portal, "status", &one, "error", &error);
    if (one == 0 && a->verbose < 1)
      continue;
    snprintf (line, sizeof line, "%s %s: %s", hcil, portal,
              one == 0 ? "done" : error[0] ? error : "no answer");
    if (one == 0 || status != 0)
      fprintf (stderr, "%s\n", line);
    else
      fprintf (stderr, "%s (not registered: not used before it is)\n", line);
  }
}

static int
run (const struct arguments *a, struct server *s, const char *map)
{
  json_t *request =
    json_pack ("{s:s,s:s,s:s,s:i,s:b,s:b,s:s*,s:s*}", "command", "persist",
               "map", map, "action", a->action, "type", (int) a->type,
               "aptpl", a->aptpl, "all_tg_pt", a->all_tg_pt, "rk", a->rk,
               "sark", a->sark);
  json_t *answer = server_ask (s, request);
  int status = OTHER_ERROR;

  if (answer == NULL)
    return OTHER_ERROR;
  if (!answer_ok (answer))
    cmd_error ("%s", answer_error (answer));
  else {
    status = json_integer_value (json_object_get (answer, "status"));
    tell_paths (a, answer, status);
    if (status == CONFLICT)
      fprintf (stderr, "persistent reserve %s: Reservation conflict\n",
               a->in ? "in" : "out");
    if (status != 0)
      fprintf (stderr, "PR %s: command failed\n", a->in ? "in" : "out");
    else if (a->in &&
             !persist_print (a->action, json_string_value
                             (json_object_get (answer, "data")))) {
      cmd_error ("%s: the answer makes no sense", map);
      status = 10;
    }
  }
  json_decref (answer);
  return status;
}

int
cmd_persist (int argc, char **argv)
{
  struct arguments a = { .verbose = 0 };
  struct server *servers, *one = NULL;
  bool over = false;
  int status = take_options (argc, argv, &a, &over);
  struct cmd cmd = { .name = "persist" };
  const char *why;
  char *map;
  size_t n;

  if (status != 0 || over)
    return status;
  why = wrong (&a);
  if (why != NULL) {
    cmd_error ("%s; see mpiscsi persist --help", why);
    return SYNTAX_ERROR;
  }
  cmd.socket = a.socket;
  n = servers_open (&cmd, &servers);
  if (n == 0)
    return NO_DEVICE;
  map = find (&a, servers, n, &one);
  status = map ? run (&a, one, map) : NO_DEVICE;
  free (map);
  servers_close (servers, n);
  return status;
}
