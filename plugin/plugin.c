/* SPDX-License-Identifier: BSD-3-Clause */
/* Parameters, start and end.
 *
 * nbdkit's order is config* -> config_complete -> get_ready -> fork ->
 * after_fork.  Threads and sessions start in after_fork; but an error there
 * is not seen by the person at the terminal, so get_ready logs in everywhere
 * first, says what is wrong, logs out, and keeps nothing. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "control/control.h"
#include "control/notify.h"
#include "plugin.h"

struct engine *engine;

/* The current settings; those before a `reconfigure` stay with us, since
 * threads may still look at them. */
static struct settings *settings;
static struct settings *retired[64];
static size_t nr_retired;

/* The parameters as they were given, to do it again. */
static struct parameter {
  struct parameter *next;
  char *key, *value;
} *parameters, **last_parameter = &parameters;

/* Seconds that who reads the log has for the last lines. */
#define LOG_AT_END 1.0

/* Tells the engine that nbdkit is about to end: nbdkit has no callback for
 * it, but nbdkit_nanosleep returns at once then.  Without this, I/O that is
 * queued for want of a path would hold up the end. */
static pthread_t watcher;
static bool watcher_runs;

static void
warn_settings (void *opaque, const char *text)
{
  char line[1024];

  (void) opaque;
  fprintf (stderr, "mpiscsi: warning: %s\n",
           text_safe (text, line, sizeof line));
}

/* Of a file that is read again. */
static void
warn_reconfigured (void *opaque, const char *text)
{
  (void) opaque;
  log_warning ("%s", text);
}

static void
mpiscsi_load (void)
{
  settings = settings_new ();
  if (settings == NULL) {
    plugin_error ("out of memory");
    exit (EXIT_FAILURE);
  }
  settings->warn = warn_settings;
}

static void
mpiscsi_unload (void)
{
  engine_free (engine);
  engine = NULL;
  log_thread_stop (LOG_AT_END);
  settings_free (settings);
  settings = NULL;
  while (nr_retired > 0)
    settings_free (retired[--nr_retired]);
  while (parameters != NULL) {
    struct parameter *p = parameters;

    parameters = p->next;
    explicit_bzero (p->value, strlen (p->value));
    free (p->value);
    free (p->key);
    free (p);
  }
}

static int
remember (const char *key, const char *value)
{
  struct parameter *p = calloc (1, sizeof *p);

  if (p == NULL || (p->key = strdup (key)) == NULL ||
      (p->value = strdup (value)) == NULL) {
    plugin_error ("out of memory");
    if (p != NULL)
      free (p->key);
    free (p);
    return -1;
  }
  *last_parameter = p;
  last_parameter = &p->next;
  return 0;
}

/* A thread of its own: the file may be on a disk that hangs. */
static struct settings *
reread (void *opaque, char *err, size_t size)
{
  struct settings *new = settings_new ();
  struct parameter *p;
  char why[ERR_SIZE];

  (void) opaque;
  if (new == NULL) {
    snprintf (err, size, "out of memory");
    return NULL;
  }
  new->warn = warn_reconfigured;
  for (p = parameters; p != NULL; p = p->next)
    if (settings_set (new, p->key, p->value, why) == -1)
      break;
  if (p != NULL || settings_check (new, why) == -1) {
    snprintf (err, size, "%s", why);
    settings_free (new);
    return NULL;
  }
  return new;
}

/* The service thread, with the engine's lock. */
static int
reconfigure (void *opaque, struct settings *new, char *err, size_t size)
{
  (void) opaque;
  if (nr_retired == sizeof retired / sizeof retired[0]) {
    snprintf (err, size, "reconfigured too often: restart the server");
    settings_free (new);
    return -1;
  }
  retired[nr_retired++] = settings;
  settings = new;
  if (engine_reconfigure (engine, new) == -1) {
    snprintf (err, size, "out of memory: reconfigured in part");
    return -1;
  }
  return 0;
}

static bool
key_is (const char *key, const char *name)
{
  for (; *key && *name; ++key, ++name)
    if (*key != *name && !(*key == '_' && *name == '-'))
      return false;
  return *key == *name;
}

static int
mpiscsi_config (const char *key, const char *value)
{
  char err[ERR_SIZE];
  char *password = NULL, *path = NULL;
  int r;

  if (key_is (key, "password") || key_is (key, "mutual-password")) {
    if (nbdkit_read_password (value, &password) == -1)
      return -1;
    /* Of a file with CR LF nbdkit takes away the LF. */
    if (value[0] == '+')
      password[strcspn (password, "\r")] = '\0';
    value = password;
  }
  /* `reconfigure` will read it when we are in another folder. */
  if (key_is (key, "config")) {
    path = nbdkit_absolute_path (value);
    if (path == NULL)
      return -1;
    value = path;
  }
  r = settings_set (settings, key, value, err);
  if (r == 0 && remember (key, value) == -1)
    r = -1;
  else if (r == -1)
    plugin_error ("%s", err);
  if (password) {
    explicit_bzero (password, strlen (password));
    free (password);
  }
  free (path);
  return r;
}

static int
mpiscsi_config_complete (void)
{
  char err[ERR_SIZE];

  if (settings_check (settings, err) == -1) {
    plugin_error ("%s", err);
    return -1;
  }
  return 0;
}

static int
mpiscsi_get_ready (void)
{
  struct engine *probe;
  char err[ERR_SIZE];
  int r;

  log_sink_starting ();
  probe = engine_new (settings);
  if (probe == NULL) {
    plugin_error ("cannot start: %m");
    return -1;
  }
  nbdkit_version_warn ();
  /* nbdkit may be root still, and the server will not be. */
  probe->keeps_nothing = true;
  engine_recall_default (probe);
  engine_start (probe);
  /* One attempt at each portal: discovery, then its sessions. */
  engine_run_until_settled (probe, 2 * settings->login_timeout + 1);
  engine_run_until_active (probe, settings->login_timeout);
  r = engine_verdict (probe, err, sizeof err);
  /* The file may be for root to read, whom we may not be any more. */
  if (settings->initiator_name == NULL)
    settings->initiator_name = strdup (probe->initiator_name);
  if (r == 0)
    engine_advise_default (probe);
  log_sink_started (r == 0);
  engine_shutdown (probe, 1.0);
  engine_free (probe);
  if (r == -1)
    plugin_error ("%s", err);
  return r;
}

static void *
watch_for_end (void *opaque)
{
  (void) opaque;
  /* nbdkit_nanosleep prints an error when nbdkit ends: only called while
   * there is a reason to. */
  while (engine_wait_stuck (engine))
    if (nbdkit_nanosleep (0, 250000000) == -1) {
      engine_abandon (engine);
      break;
    }
  return NULL;
}

static int
start_serving (void)
{
  const struct control_place place = {
    .path = settings->control,
    .config = settings->config_file,
    .mode = settings->control_mode,
    .group = settings->control_group,
  };
  char err[ERR_SIZE];

  engine = engine_new (settings);
  if (engine == NULL) {
    plugin_error ("cannot start: %m");
    return -1;
  }
  if (!guard_is_installed ())
    log_warning ("this libiscsi cannot be guarded against targets that break "
                 "the protocol");
  engine->reread = reread;
  engine->reconfigure = reconfigure;
  /* Without it nothing can be shown or steered, but the disk is served;
   * unless it was asked for. */
  if (control_start (engine, &place, err, sizeof err) == -1) {
    if (settings->control != NULL || settings->control_group != NULL) {
      plugin_error ("%s", err);
      return -1;
    }
    log_warning ("%s", err);
  }
  notify_start (engine);
  engine_keep_record (engine);
  engine_recall_default (engine);
  engine_start (engine);
  if (engine_start_thread (engine) == -1) {
    plugin_error ("cannot start a thread: %m");
    return -1;
  }
  if (pthread_create (&watcher, NULL, watch_for_end, NULL) == 0)
    watcher_runs = true;
  return 0;
}

static int
mpiscsi_after_fork (void)
{
  log_sink_serving ();
  if (log_thread_start () == -1)
    log_warning ("no thread for the log (%m): I/O may wait for who reads it");
  if (start_serving () == -1) {
    log_thread_stop (LOG_AT_END); /* nbdkit ends at once */
    return -1;
  }
  return 0;
}

/* All connections are closed. */
static void
mpiscsi_cleanup (void)
{
  if (engine)
    engine_abandon (engine);
  if (watcher_runs) {
    pthread_join (watcher, NULL);
    watcher_runs = false;
  }
  if (engine)
    engine_shutdown (engine, 1.0);
}

static int
mpiscsi_thread_model (void)
{
  return NBDKIT_THREAD_MODEL_PARALLEL;
}

static void
mpiscsi_dump_plugin (void)
{
  printf ("mpiscsi_version=%s\n", PACKAGE_VERSION);
  printf ("mpiscsi_libev=%d.%d\n", ev_version_major (), ev_version_minor ());
#ifdef LIBISCSI_API_VERSION
  printf ("mpiscsi_libiscsi_api=%d\n", LIBISCSI_API_VERSION);
#endif
}

static struct nbdkit_plugin plugin = {
  .name              = "mpiscsi",
  .longname          = "multipathed iSCSI LUN",
  .version           = PACKAGE_VERSION,
  .description       = "Serves an iSCSI LUN over all of its portals at once.",
  .load              = mpiscsi_load,
  .unload            = mpiscsi_unload,
  .config            = mpiscsi_config,
  .config_complete   = mpiscsi_config_complete,
  .config_help       =
    "portals=ADDRESS[:PORT][,...]     (required) iSCSI portals\n"
    "target=IQN                       target (default: all that are found)\n"
    "lun=N                            LUN (default: all)\n"
    "wwid=WWID                        WWID (default: all)\n"
    "user=NAME password=[+]SECRET     CHAP\n"
    "no-path-retry=fail|queue|N       with no path left (default: fail)\n"
    "For all others see nbdkit-mpiscsi-plugin(1).",
  .magic_config_key  = "portals",
  .dump_plugin       = mpiscsi_dump_plugin,
  .thread_model      = mpiscsi_thread_model,
  .get_ready         = mpiscsi_get_ready,
  .after_fork        = mpiscsi_after_fork,
  .cleanup           = mpiscsi_cleanup,
  .list_exports      = mpiscsi_list_exports,
  .default_export    = mpiscsi_default_export,
  .export_description = mpiscsi_export_description,
  .open              = mpiscsi_open,
  .close             = mpiscsi_close,
  .get_size          = mpiscsi_get_size,
  .can_write         = mpiscsi_can_write,
  .can_flush         = mpiscsi_can_flush,
  .can_fua           = mpiscsi_can_fua,
  .can_multi_conn    = mpiscsi_can_multi_conn,
  .is_rotational     = mpiscsi_is_rotational,
  .block_size        = mpiscsi_block_size,
  .pread             = mpiscsi_pread,
  .pwrite            = mpiscsi_pwrite,
  .flush             = mpiscsi_flush,
  .can_trim          = mpiscsi_can_trim,
  .trim              = mpiscsi_trim,
  .can_zero          = mpiscsi_can_zero,
  .can_fast_zero     = mpiscsi_can_fast_zero,
  .zero              = mpiscsi_zero,
  .can_extents       = mpiscsi_can_extents,
  .extents           = mpiscsi_extents,
};

/* Called by name; nbdkit-plugin.h has no prototype. */
NBDKIT_DLL_PUBLIC struct nbdkit_plugin *plugin_init (void);
NBDKIT_REGISTER_PLUGIN (plugin)
