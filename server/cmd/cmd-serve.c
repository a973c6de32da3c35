/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi serve: which front end, and becoming nbdkit with our plugin, if it is
 * that, with what the file's nbd section says. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/holder.h"
#include "cmd/cmd.h"
#include "conf/conf.h"
#include "conf/options.h"

/* Each of nbdkit's threads waits for one request: more of them than its own
 * 16 keep several paths busy, and sleeping ones cost nothing but a stack. */
#define THREADS 64

struct vector {
  char **v;
  size_t n;
  bool failed;
};

static void
__attribute__ ((format (printf, 2, 3)))
add (struct vector *a, const char *fs, ...)
{
  char **v = reallocarray (a->v, a->n + 2, sizeof *v);
  va_list args;

  if (v == NULL) {
    a->failed = true;
    return;
  }
  a->v = v;
  va_start (args, fs);
  if (vasprintf (&v[a->n], fs, args) == -1) {
    v[a->n] = NULL;
    a->failed = true;
  }
  va_end (args);
  a->n++;
  v[a->n] = NULL;
}

void
cmd_free_argv (char **argv)
{
  for (char **p = argv; p && *p; ++p)
    free (*p);
  free (argv);
}

/* Built next to us, or installed where nbdkit finds it by its name. */
static const char *
find_plugin (const struct cmd *cmd, char *buf, size_t size)
{
  char self[4096];
  const ssize_t n = readlink ("/proc/self/exe", self, sizeof self - 1);
  char *slash;

  if (cmd->plugin)
    return cmd->plugin;
  if (getenv ("MPISCSI_PLUGIN"))
    return getenv ("MPISCSI_PLUGIN");
  if (n > 0) {
    self[n] = '\0';
    for (int up = 0; up < 3; ++up) {
      slash = strrchr (self, '/');
      if (slash == NULL)
        break;
      *slash = '\0';
      if (snprintf (buf, size, "%s/mpiscsi.so", self) < (int) size &&
          access (buf, R_OK) == 0)
        return buf;
    }
  }
  return "mpiscsi";
}

void
cmd_serve_socket (const struct settings *s, char *buf, size_t size)
{
  const char *run = getenv ("XDG_RUNTIME_DIR");
  const char *file = s->config_file ? s->config_file : "mpiscsi";
  const char *base = strrchr (file, '/');
  size_t len;

  if (run == NULL || run[0] != '/')
    run = "/run";
  base = base ? base + 1 : file;
  len = strlen (base);
  if (len > 5 && strcmp (base + len - 5, ".conf") == 0)
    len -= 5;
  snprintf (buf, size, "%s/mpiscsi/%.*s.nbd", run, (int) len, base);
}

static void
add_default_socket (struct vector *a, const struct settings *s)
{
  char path[4096];

  cmd_serve_socket (s, path, sizeof path);
  add (a, "-U");
  add (a, "%s", path);
}

/* nbdkit itself listens on one kind of socket only. */
static bool
needs_two (const struct conf_nbd *nbd)
{
  return nbd->unix_socket && nbd->port > 0;
}

static void
add_sockets (struct vector *a, const struct conf_nbd *nbd,
             const struct settings *s)
{
  if (needs_two (nbd))
    return;                     /* they are handed over open */
  if (nbd->unix_socket == NULL && nbd->port == 0)
    add_default_socket (a, s);
  else if (nbd->unix_socket) {
    add (a, "-U");
    add (a, "%s", nbd->unix_socket);
  }
  else {
    if (nbd->vsock)
      add (a, "--vsock");
    else if (nbd->address) {
      add (a, "-i");
      add (a, "%s", nbd->address);
    }
    add (a, "-p");
    add (a, "%u", nbd->port);
  }
}

static void
add_words (struct vector *a, const char *prefix, const char *words)
{
  while (words && *words) {
    const size_t n = strcspn (words, " \t");

    if (n > 0)
      add (a, "%s%.*s", prefix, (int) n, words);
    words += n + strspn (words + n, " \t");
  }
}

const char *
cmd_serve_nbdkit (const struct cmd *cmd, const struct conf_nbd *nbd)
{
  if (nbd->front_end == FRONT_END_NBDKIT)
    return "front_end nbdkit";
  if (nbd->filters != NULL)
    return "filters";
  if (cmd->more != NULL && cmd->more[0] != NULL)
    return "options behind --";
  return NULL;
}

char **
cmd_serve_argv (const struct cmd *cmd, const struct settings *s,
                const struct conf_nbd *nbd)
{
  static const char *const tls[] = {
    [TLS_OFF] = "off", [TLS_ON] = "on", [TLS_REQUIRE] = "require",
  };
  struct vector a = { NULL, 0, false };
  char plugin[4200], *absolute;

  add (&a, "%s", getenv ("NBDKIT") ? getenv ("NBDKIT") : "nbdkit");
  add (&a, "-f");
  add_sockets (&a, nbd, s);
  add (&a, "-t");
  add (&a, "%u", nbd->threads ? nbd->threads : THREADS);
  if (nbd->tls != TLS_OFF)
    add (&a, "--tls=%s", tls[nbd->tls]);
  if (nbd->tls_certificates)
    add (&a, "--tls-certificates=%s", nbd->tls_certificates);
  if (nbd->tls_psk)
    add (&a, "--tls-psk=%s", nbd->tls_psk);
  if (nbd->tls_verify_peer)
    add (&a, "--tls-verify-peer");
  if (nbd->read_only)
    add (&a, "-r");
  if (nbd->user)
    add (&a, "--user=%s", nbd->user);
  if (nbd->group)
    add (&a, "--group=%s", nbd->group);
  if (nbd->pid_file)
    add (&a, "--pidfile=%s", nbd->pid_file);
  if (nbd->log)
    add (&a, "--log=%s", nbd->log);
  add_words (&a, "--filter=", nbd->filters);
  if (cmd->run)
    add (&a, "--run=%s", cmd->run);
  if (cmd->verbose)
    add (&a, "-v");
  for (char **p = cmd->more; p && *p; ++p)
    add (&a, "%s", *p);
  add (&a, "%s", find_plugin (cmd, plugin, sizeof plugin));
  for (int i = 0; i < cmd->argc; ++i)
    add (&a, "%s%s", strchr (cmd->argv[i], '=') ? "" : "portals=",
         cmd->argv[i]);
  if (s->config_file) {
    absolute = realpath (s->config_file, NULL);
    add (&a, "config=%s", absolute ? absolute : s->config_file);
    free (absolute);
  }
  if (a.failed) {
    cmd_free_argv (a.v);
    return NULL;
  }
  return a.v;
}

/* nbdkit leaves its socket's file when it ends, and does not start when there
 * is one: without this, no service could be restarted. */
static bool
remove_left_behind (const char *path)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  struct stat st;
  bool in_use;
  char who[80];
  int fd;

  if (strlen (path) >= sizeof addr.sun_path || lstat (path, &st) == -1 ||
      !S_ISSOCK (st.st_mode))
    return true;                /* bind says what is wrong, if anything is */
  strcpy (addr.sun_path, path);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd == -1)
    return true;
  in_use = connect (fd, (const struct sockaddr *) &addr, sizeof addr) == 0;
  if (!in_use && errno == ECONNREFUSED)
    unlink (path);
  close (fd);
  if (in_use)
    cmd_error ("%s: %s%s", path, strerror (EADDRINUSE),
               socket_holder ((const struct sockaddr *) &addr, who,
                              sizeof who));
  return !in_use;
}

/* ---- two sockets at once ------------------------------------------------------------- */

static int
listen_unix (const char *path)
{
  struct sockaddr_un addr = { .sun_family = AF_UNIX };
  char who[80];
  int fd;

  if (strlen (path) >= sizeof addr.sun_path) {
    cmd_error ("%s: longer than %zu bytes", path, sizeof addr.sun_path - 1);
    return -1;
  }
  strcpy (addr.sun_path, path);
  if (!remove_left_behind (path))
    return -1;
  fd = socket (AF_UNIX, SOCK_STREAM, 0);
  if (fd == -1 ||
      bind (fd, (const struct sockaddr *) &addr, sizeof addr) == -1 ||
      listen (fd, SOMAXCONN) == -1) {
    cmd_error ("%s: %m%s", path, errno == EADDRINUSE
               ? socket_holder ((const struct sockaddr *) &addr, who, sizeof who)
               : "");
    return -1;
  }
  return fd;
}

static int
listen_tcp (const struct conf_nbd *nbd)
{
  const struct addrinfo hints = {
    .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM,
  };
  const int one = 1, zero = 0;
  struct addrinfo *ai = NULL;
  char port[8], who[80];
  int fd, r;

  snprintf (port, sizeof port, "%u", nbd->port);
  /* Without an address: one IPv6 socket that takes IPv4 as well. */
  r = getaddrinfo (nbd->address ? nbd->address : "::", port, &hints, &ai);
  if (r != 0 && nbd->address == NULL)
    r = getaddrinfo ("0.0.0.0", port, &hints, &ai);
  if (r != 0) {
    cmd_error ("%s: %s", nbd->address ? nbd->address : "::",
               gai_strerror (r));
    return -1;
  }
  fd = socket (ai->ai_family, SOCK_STREAM, 0);
  if (fd != -1) {
    setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (ai->ai_family == AF_INET6)
      setsockopt (fd, IPPROTO_IPV6, IPV6_V6ONLY, nbd->address ? &one : &zero,
                  sizeof one);
  }
  if (fd == -1 || bind (fd, ai->ai_addr, ai->ai_addrlen) == -1 ||
      listen (fd, SOMAXCONN) == -1) {
    cmd_error ("port %u: %m%s", nbd->port, errno == EADDRINUSE
               ? socket_holder (ai->ai_addr, who, sizeof who) : "");
    fd = -1;
  }
  freeaddrinfo (ai);
  return fd;
}

/* As systemd hands over sockets: file descriptors 3 and 4 (sd_listen_fds). */
static bool
hand_over (const struct conf_nbd *nbd)
{
  const int fds[2] = { listen_unix (nbd->unix_socket), listen_tcp (nbd) };
  int high[2];
  char pid[24];

  if (fds[0] == -1 || fds[1] == -1)
    return false;
  for (int i = 0; i < 2; ++i) {
    high[i] = fcntl (fds[i], F_DUPFD, 10);      /* out of the way */
    close (fds[i]);
  }
  for (int i = 0; i < 2; ++i) {
    if (high[i] == -1 || dup2 (high[i], 3 + i) == -1) {
      cmd_error ("cannot hand over the sockets: %m");
      return false;
    }
    close (high[i]);
  }
  snprintf (pid, sizeof pid, "%ld", (long) getpid ());
  setenv ("LISTEN_PID", pid, 1);
  setenv ("LISTEN_FDS", "2", 1);
  unsetenv ("LISTEN_FDNAMES");
  return true;
}

/* The default socket's directory. */
static void
make_run_directory (void)
{
  const char *run = getenv ("XDG_RUNTIME_DIR");
  char dir[4096];

  snprintf (dir, sizeof dir, "%s/mpiscsi", run && run[0] == '/' ? run : "/run");
  mkdir (dir, 0700);            /* nbdkit says what is wrong */
}

static int
serve_nbdkit (const struct cmd *cmd, const struct settings *s,
              const struct conf_nbd *nbd)
{
  char **argv;

  if (cmd->single || cmd->exit_when_idle)
    return cmd_usage ("--single and --exit-when-idle are not for nbdkit");
  argv = cmd_serve_argv (cmd, s, nbd);
  if (argv == NULL) {
    cmd_error ("out of memory");
    return CMD_FAILED;
  }
  if (cmd->dry_run) {
    for (char **p = argv; *p; ++p)
      printf ("%s%s", *p, p[1] ? " " : "\n");
    if (needs_two (nbd))
      printf ("# with sockets handed over: %s, port %u\n", nbd->unix_socket,
              nbd->port);
  }
  else if (!needs_two (nbd) || hand_over (nbd)) {
    make_run_directory ();
    for (char **p = argv; *p; ++p)
      if (strcmp (*p, "-U") == 0 && p[1] && !remove_left_behind (p[1]))
        exit (CMD_FAILED);
    fflush (stdout);
    execvp (argv[0], argv);
    cmd_error ("cannot run %s: %m", argv[0]);
  }
  cmd_free_argv (argv);
  return cmd->dry_run ? 0 : CMD_FAILED;
}

static int
serve_own (const struct cmd *cmd, struct settings *s,
           const struct conf_nbd *nbd)
{
  char path[4096];

  if (!cmd->dry_run) {
    make_run_directory ();
    return cmd_serve_own (cmd, s, nbd);
  }
  cmd_serve_socket (s, path, sizeof path);
  if (nbd->unix_socket || nbd->port == 0)
    printf ("# serves on %s\n", nbd->unix_socket ? nbd->unix_socket : path);
  if (nbd->port > 0)
    printf ("# serves on %s%s, port %u\n", nbd->vsock ? "vsock" : "TCP",
            nbd->vsock ? "" : nbd->address ? nbd->address : ", all addresses",
            nbd->port);
  settings_free (s);
  return 0;
}

/* Options of the nbd section, as KEY=VALUE, are taken out of CMD's arguments.
 * False: said why. */
static bool
take_nbd_options (struct cmd *cmd, struct conf_nbd *nbd, char **taken)
{
  int n = 0;

  for (int i = 0; i < cmd->argc; ++i) {
    char *equals = strchr (cmd->argv[i], '=');
    char err[ERR_SIZE];
    int r = 1;

    if (equals != NULL) {
      *equals = '\0';
      /* "user" is CHAP's here, as for the plugin. */
      if (option_find (options, cmd->argv[i], IN_PARAMETERS) == NULL)
        r = conf_nbd_set (nbd, cmd->argv[i], equals + 1, err);
      *equals = '=';
    }
    if (r == -1) {
      cmd_error ("%s", err);
      return false;
    }
    if (r == 1)
      taken[n++] = cmd->argv[i];
  }
  cmd->argc = n;
  cmd->argv = taken;
  return true;
}

int
cmd_serve (const struct cmd *given)
{
  struct cmd cmd = *given;
  char **rest = calloc (cmd.argc + 1, sizeof *rest);
  struct conf_nbd *nbd = conf_nbd_copy (conf_nbd (NULL));
  struct settings *s = NULL;
  int status = CMD_FAILED;

  /* Twice: what is on the command line wins over the file, which is not read
   * before its name is known. */
  if (rest == NULL || nbd == NULL)
    cmd_error ("out of memory");
  else if (take_nbd_options (&cmd, nbd, rest) &&
           (s = cmd_settings (&cmd)) != NULL) {
    struct cmd again = *given;
    char **same = calloc (again.argc + 1, sizeof *same);

    conf_nbd_free (nbd);
    nbd = conf_nbd_copy (conf_nbd (s->conf));
    if (nbd == NULL || same == NULL)
      cmd_error ("out of memory");
    else if (take_nbd_options (&again, nbd, same)) {
      if (cmd_serve_nbdkit (&cmd, nbd) == NULL) {
        status = serve_own (&cmd, s, nbd);
        s = NULL;               /* taken */
      }
      else if (nbd->front_end == FRONT_END_OWN)
        cmd_error ("front_end own has no %s: that is nbdkit's",
                   cmd_serve_nbdkit (&cmd, nbd));
      else
        status = serve_nbdkit (&cmd, s, nbd);
    }
    free (same);
  }
  settings_free (s);
  conf_nbd_free (nbd);
  free (rest);
  return status;
}
