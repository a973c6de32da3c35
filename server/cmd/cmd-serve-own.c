/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi serve with our own NBD server: one process, one loop.
 *
 * Sockets are opened, and privileges dropped, before targets are logged in to:
 * what is wrong with them is said first.  Clients are accepted once it is known
 * that there is something to serve. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "cmd/cmd.h"
#include "conf/conf.h"
#include "control/control.h"
#include "control/notify.h"
#include "nbd/nbd.h"
#include "service/service.h"

/* Seconds, at the end: for what is in flight, for logging out, and for who reads
 * the log. */
#define FINISH 1.0
#define LOG_OUT 0.5
#define LOG_AT_END 1.0

struct own {
  const struct cmd *cmd;
  const struct conf_nbd *nbd;
  struct settings *settings;
  const struct settings *first; /* those of the start */
  struct reread *reading;       /* by SIGHUP; NULL: not now */
  struct retired {              /* settings before a reconfigure: somebody may
                                   still look at them */
    struct retired *next;
    struct settings *settings;
  } *retired;
  struct engine *engine;
  struct nbd_server *srv;
  ev_signal signals[4];
  pid_t child;                  /* of --run; 0: none, or it has ended */
  int status;
};

/* ---- the log ----------------------------------------------------------------------- */

/* Lines of the start, until it is known how it went: if it went wrong the one
 * line that says why is enough. */
static struct kept {
  struct kept *next;
  enum log_level level;
  char line[];
} *kept, **last_kept = &kept;
static bool verbose;

static void
debug (const char *line)
{
  if (verbose)
    fprintf (stderr, "mpiscsi: debug: %s\n", line);
}

static void
keep (enum log_level level, const char *line)
{
  struct kept *k;

  if (level == LOG_LEVEL_DEBUG) {
    debug (line);
    return;
  }
  k = malloc (sizeof *k + strlen (line) + 1);
  if (k == NULL)
    return;
  k->next = NULL;
  k->level = level;
  strcpy (k->line, line);
  *last_kept = k;
  last_kept = &k->next;
}

static void
no_log (enum log_level level, const char *line)
{
  (void) level;
  (void) line;
}

static void
start_log (const struct conf_nbd *nbd, bool good)
{
  if (nbd->log != NULL && strcmp (nbd->log, "syslog") == 0)
    log_to_syslog ();
  else if (nbd->log != NULL && strcmp (nbd->log, "null") == 0)
    log_set_sink (no_log);
  else
    log_to_system (debug);
  while (kept != NULL) {
    struct kept *k = kept;

    kept = k->next;
    if (good)
      log_line (k->level, "%s", k->line);
    free (k);
  }
  last_kept = &kept;
}

/* ---- privileges -------------------------------------------------------------------- */

/* Once the sockets are bound. */
static bool
become (const struct conf_nbd *nbd)
{
  const struct passwd *pw = NULL;
  gid_t gid = -1;

  if (nbd->user != NULL && (pw = getpwnam (nbd->user)) == NULL) {
    cmd_error ("user: there is no user '%s'", nbd->user);
    return false;
  }
  if (pw != NULL)
    gid = pw->pw_gid;
  if (nbd->group != NULL) {
    const struct group *gr = getgrnam (nbd->group);

    if (gr == NULL) {
      cmd_error ("group: there is no group '%s'", nbd->group);
      return false;
    }
    gid = gr->gr_gid;
  }
  if ((pw != NULL && initgroups (pw->pw_name, gid) == -1) ||
      (gid != (gid_t) -1 && setgid (gid) == -1) ||
      (pw != NULL && setuid (pw->pw_uid) == -1)) {
    cmd_error ("cannot become %s: %m", nbd->user ? nbd->user : nbd->group);
    return false;
  }
  return true;
}

static bool
write_pid_file (const struct conf_nbd *nbd)
{
  FILE *fp;

  if (nbd->pid_file == NULL)
    return true;
  fp = fopen (nbd->pid_file, "we");
  if (fp == NULL || fprintf (fp, "%ld\n", (long) getpid ()) < 0 ||
      fclose (fp) == EOF) {
    cmd_error ("pid_file: %s: %m", nbd->pid_file);
    return false;
  }
  return true;
}

/* ---- --run ------------------------------------------------------------------------- */

/* As nbdkit has them. */
static bool
run (struct own *own)
{
  char uri[300], port[16];
  sigset_t none;

  if (own->cmd->run == NULL)
    return true;
  nbd_server_uri (own->srv, uri, sizeof uri);
  snprintf (port, sizeof port, "%u", nbd_server_port (own->srv));
  fflush (stdout);
  own->child = fork ();
  if (own->child == -1) {
    cmd_error ("--run: %m");
    own->child = 0;
    return false;
  }
  if (own->child > 0)
    return true;
  setenv ("uri", uri, 1);
  setenv ("nbd", uri, 1);
  setenv ("unixsocket", nbd_server_unix_socket (own->srv), 1);
  setenv ("port", port, 1);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  signal (SIGPIPE, SIG_DFL);
  execl ("/bin/sh", "sh", "-c", own->cmd->run, (char *) NULL);
  _exit (127);
}

static void
child_ended (struct own *own)
{
  int status;

  if (own->child == 0 || waitpid (own->child, &status, WNOHANG) != own->child)
    return;
  own->child = 0;
  own->status = WIFEXITED (status) ? WEXITSTATUS (status)
    : 128 + WTERMSIG (status);
  nbd_server_stop (own->srv, FINISH);
}

/* ---- while it serves --------------------------------------------------------------- */

/* A thread of its own: the file may be on a disk that hangs. */
static struct settings *
reread (void *opaque, char *err, size_t size)
{
  const struct own *own = opaque;

  return cmd_settings_again (own->cmd, own->first, err, size);
}

static int
reconfigure (void *opaque, struct settings *new, char *err, size_t size)
{
  struct own *own = opaque;
  struct retired *r = malloc (sizeof *r);

  if (r == NULL) {
    snprintf (err, size, "out of memory");
    settings_free (new);
    return -1;
  }
  r->settings = own->settings;
  r->next = own->retired;
  own->retired = r;
  own->settings = new;
  if (engine_reconfigure (own->engine, new) == -1) {
    snprintf (err, size, "out of memory: reconfigured in part");
    return -1;
  }
  return 0;
}

/* By SIGHUP. */
static void
reconfigured (void *opaque, json_t *answer)
{
  const char *why = json_string_value (json_object_get (answer, "error"));
  struct own *own = opaque;

  own->reading = NULL;
  if (why != NULL)
    log_error ("SIGHUP: %s", why);
  else
    log_info ("SIGHUP: reconfigured");
  json_decref (answer);
}

static void
signal_cb (EV_P_ ev_signal *w, int revents)
{
  struct own *own = w->data;
  json_t *error = NULL;

  (void) loop;
  (void) revents;
  switch (w->signum) {
  case SIGCHLD:
    child_ended (own);
    break;
  case SIGHUP:
    if (own->reading == NULL)
      own->reading = control_reread (own->engine, reconfigured, own, &error);
    if (error != NULL)
      reconfigured (own, error);
    break;
  default:
    log_info ("SIG%s: the server ends", sigabbrev_np (w->signum));
    nbd_server_stop (own->srv, FINISH);
  }
}

static void
watch_signals (struct own *own)
{
  static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };

  for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
    ev_signal_init (&own->signals[i], signal_cb, numbers[i]);
    own->signals[i].data = own;
    ev_signal_start (own->engine->loop, &own->signals[i]);
  }
}

/* The end takes a bounded time, in which writes in doubt are fenced and sessions
 * logged out: a second SIGTERM must not cut that short, as the default action
 * would, which libev puts back. */
static void
unwatch_signals (struct own *own)
{
  if (own->reading != NULL)
    control_reread_cancel (own->reading);
  own->reading = NULL;
  for (unsigned i = 0; i < sizeof own->signals / sizeof own->signals[0]; ++i) {
    ev_signal_stop (own->engine->loop, &own->signals[i]);
    if (own->signals[i].signum != SIGCHLD)
      signal (own->signals[i].signum, SIG_IGN);
  }
}

static void
idle (void *opaque, bool stopped)
{
  struct own *own = opaque;

  if (stopped)
    ev_break (own->engine->loop, EVBREAK_ALL);
  else if (own->cmd->exit_when_idle || own->cmd->single)
    nbd_server_stop (own->srv, FINISH);
}

/* ---- start and end ----------------------------------------------------------------- */

/* Everything that clients need.  False: said why. */
static bool
start_engine (struct own *own)
{
  const struct control_place place = {
    .path = own->settings->control,
    .config = own->settings->config_file,
    .mode = own->settings->control_mode,
    .group = own->settings->control_group,
  };
  char err[ERR_SIZE];

  own->engine = engine_new (own->settings);
  if (own->engine == NULL) {
    cmd_error ("cannot start: %m");
    return false;
  }
  if (!service_is_guarded ())
    log_warning ("this libiscsi cannot be guarded against targets that break "
                 "the protocol");
  /* Already for the start: the keeper needs the lock meanwhile. */
  service_own_loop (own->engine);
  own->first = own->settings;
  own->engine->reread = reread;
  own->engine->reconfigure = reconfigure;
  own->engine->reconfigure_opaque = own;
  /* Without it nothing can be shown or steered, but the disk is served;
   * unless it was asked for. */
  if (control_start (own->engine, &place, err, sizeof err) == -1) {
    if (own->settings->control != NULL ||
        own->settings->control_group != NULL) {
      cmd_error ("%s", err);
      return false;
    }
    log_warning ("%s", err);
  }
  notify_start (own->engine);
  engine_keep_record (own->engine);
  engine_recall_default (own->engine);
  engine_start (own->engine);
  /* One attempt at each portal: discovery, then its sessions. */
  engine_run_until_settled (own->engine,
                            2 * own->settings->login_timeout + 1);
  engine_run_until_active (own->engine, own->settings->login_timeout);
  if (engine_verdict (own->engine, err, sizeof err) == -1) {
    cmd_error ("error: %s", err);
    return false;
  }
  engine_advise_default (own->engine);
  /* Now, since it writes a file: not while clients wait. */
  free (engine_default_name (own->engine, 0));
  return true;
}

static int
serve (struct own *own)
{
  char err[ERR_SIZE];

  start_log (own->nbd, true);
  if (log_thread_start () == -1)
    log_warning ("no thread for the log (%m): I/O may wait for who reads it");
  if (own->settings->cpu_affinity == AFFINITY_ON)
    service_bind_thread (own->engine);
  nbd_server_on_idle (own->srv, idle, own);
  nbd_server_start (own->srv, own->engine);
  watch_signals (own);
  if (own->cmd->single &&
      nbd_server_add (own->srv, STDIN_FILENO, err, sizeof err) == -1) {
    cmd_error ("%s", err);
    own->status = CMD_FAILED;
  }
  else if (!write_pid_file (own->nbd) || !run (own))
    own->status = CMD_FAILED;
  else
    service_run_loop (own->engine);
  unwatch_signals (own);
  return own->status;
}

static void
end (struct own *own)
{
  if (own->child > 0)
    kill (own->child, SIGTERM);
  if (own->engine != NULL) {
    service_disown_loop (own->engine);
    engine_shutdown (own->engine, LOG_OUT);
  }
  nbd_server_end (own->srv);
  engine_free (own->engine);
  nbd_server_free (own->srv);
  log_thread_stop (LOG_AT_END);
  settings_free (own->settings);
  while (own->retired != NULL) {
    struct retired *r = own->retired;

    own->retired = r->next;
    settings_free (r->settings);
    free (r);
  }
}

/* For --run without a socket of the configuration's. */
static bool
private_socket (char *path, size_t size)
{
  char dir[] = "/tmp/mpiscsi.XXXXXX";

  if (mkdtemp (dir) == NULL) {
    cmd_error ("cannot make a directory in /tmp: %m");
    return false;
  }
  snprintf (path, size, "%s/socket", dir);
  return true;
}

int
cmd_serve_own (const struct cmd *cmd, struct settings *s,
               const struct conf_nbd *nbd)
{
  struct own own = { .cmd = cmd, .settings = s, .nbd = nbd };
  const bool private = cmd->run != NULL && nbd->unix_socket == NULL &&
    nbd->port == 0;
  char path[4096], err[ERR_SIZE];
  int status = CMD_FAILED;

  verbose = cmd->verbose;
  log_set_sink (keep);
  signal (SIGPIPE, SIG_IGN);
  if (!private)
    cmd_serve_socket (s, path, sizeof path);
  else if (!private_socket (path, sizeof path)) {
    settings_free (s);
    return CMD_FAILED;
  }
  own.srv = nbd_server_new (nbd, cmd->single ? NULL : path, err, sizeof err);
  if (own.srv == NULL)
    cmd_error ("error: %s", err);
  else if (become (nbd) && start_engine (&own))
    status = serve (&own);
  else
    start_log (nbd, false);
  end (&own);
  if (private)
    rmdir (dirname (path));
  return status;
}
