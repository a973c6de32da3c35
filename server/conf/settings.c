/* SPDX-License-Identifier: BSD-3-Clause */
/* The settings as one object: made, filled from parameters and the
 * configuration file, checked, wiped. */
#include <config.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/options.h"
#include "conf/settings.h"

struct settings *
settings_new (void)
{
  struct settings *s = calloc (1, sizeof *s);

  if (s == NULL)
    return NULL;
  s->discovery = true;
  s->shortcut = true;
  s->lun = -1;
  s->header_digest = DIGEST_NONE_CRC32C;
  s->nr_sessions = 1;
  s->data_digest = DIGEST_NONE_CRC32C;
  s->queue_depth = 64;
  s->polling_interval = 5;
  s->max_polling_interval = 4 * s->polling_interval;
  s->noop_out_interval = 1;
  s->noop_out_timeout = 2;
  s->login_timeout = 5;
  s->command_timeout = 60;
  s->alua_transition_timeout = 60;
  s->fence_timeout = 30;
  s->control_mode = 0600;
  s->guard = true;
  s->replacement_timeout = TMO_OFF;
  if (map_settings_init (&s->defaults) == -1) {
    free (s);
    return NULL;
  }
  return s;
}

int
map_settings_init (struct map_settings *m)
{
  memset (m, 0, sizeof *m);
  m->path_grouping_policy = GROUP_MULTIBUS;
  m->path_selector = SELECTOR_ROUND_ROBIN;
  m->path_checker = CHECKER_TUR;
  m->prio = PRIO_CONST;
  m->rr_min_io = 4;
  m->io_weight = 100;
  m->failback = FAILBACK_MANUAL;
  m->detect_checker = true;
  m->detect_prio = m->detect_pgpolicy = true;
  m->no_path_retry = NO_PATH_RETRY_FAIL;
  m->fast_io_fail_tmo = 5;
  m->dev_loss_tmo = TMO_OFF;
  m->alias_prefix = strdup ("mpath");
  return m->alias_prefix ? 0 : -1;
}

bool
map_settings_gives (const struct map_settings *m, const char *option)
{
  const struct option *o = option_find (options, option, ~0u);

  return o != NULL && (m->given & option_bit (options, o));
}

void
map_settings_free (struct map_settings *m)
{
  for (const struct option *o = options; o->name; ++o)
    if (o->map)
      option_clear (o, option_map_field (o, m));
}

void
settings_free (struct settings *s)
{
  if (s == NULL)
    return;
  for (const struct option *o = options; o->name; ++o)
    option_clear (o, option_field (o, s));
  conf_free (s->conf);
  free (s);
}

static void
warn (const struct settings *s, const char *text)
{
  if (s->warn)
    s->warn (s->warn_opaque, text);
}

/* multipath.conf's old words, too: whoever types one gets today's. */
static int
unknown (const char *key, char err[ERR_SIZE])
{
  const char *near = conf_todays_spelling (key);
  char shown[64], dashed[64];
  struct nearest nearest;

  printable (key, shown, sizeof shown);
  if (near == NULL) {
    nearest_start (&nearest, key);
    for (const struct option *o = options; o->name; ++o)
      if (o->where & IN_PARAMETERS)
        nearest_try (&nearest, o->name);
    near = nearest_word (&nearest);
  }
  if (near == NULL) {
    snprintf (err, ERR_SIZE, "unknown parameter '%s': "
              "see nbdkit-mpiscsi-plugin(1) for those that exist", shown);
    return -1;
  }
  snprintf (dashed, sizeof dashed, "%s", near);
  for (char *p = dashed; *p; ++p)
    if (*p == '_')
      *p = '-';
  snprintf (err, ERR_SIZE, "unknown parameter '%s': did you mean '%s'?",
            shown, dashed);
  return -1;
}

int
settings_set (struct settings *s, const char *key, const char *value,
              char err[ERR_SIZE])
{
  const struct option *o = option_find (options, key, IN_PARAMETERS);
  int r;

  if (o == NULL)
    return unknown (key, err);
  r = option_set (o, option_field (o, s), key, value, err);
  if (r == -1)
    return -1;
  if (r == 1)
    warn (s, err);
  err[0] = '\0';
  s->given |= option_bit (options, o);
  return 0;
}

static bool
given (const struct settings *s, const char *name)
{
  const struct option *o = option_find (options, name, ~0u);

  return o && (s->given & option_bit (options, o));
}

static void
mark_given (struct settings *s, const char *name)
{
  s->given |= option_bit (options, option_find (options, name, ~0u));
}

/* Times that depend on one another.  FROM_FILE: what the file says gets a
 * warning where multipathd would go on as well. */
static int
check_times (struct settings *s, bool from_file, char err[ERR_SIZE])
{
  if (!given (s, "max_polling_interval") &&
      !(from_file && conf_gives (s->conf, "max_polling_interval")))
    s->max_polling_interval = 4 * s->polling_interval;
  else if (s->max_polling_interval < s->polling_interval) {
    snprintf (err, ERR_SIZE, "max-polling-interval %.10g is less than "
              "polling-interval %.10g", s->max_polling_interval,
              s->polling_interval);
    if (given (s, "max_polling_interval"))
      return -1;
    warn (s, err);
    s->max_polling_interval = s->polling_interval;
  }
  return 0;
}

/* open-iscsi's replacement_timeout is what multipath.conf calls
 * fast_io_fail_tmo (multipathd sets the one from the other). */
static void
apply_replacement_timeout (struct settings *s)
{
  if (given (s, "fast_io_fail_tmo"))
    return;
  if (given (s, "replacement_timeout")) {
    s->defaults.fast_io_fail_tmo = s->replacement_timeout;
    mark_given (s, "fast_io_fail_tmo");
  }
  else if (s->conf && conf_gives (s->conf, "replacement_timeout") &&
           !conf_gives (s->conf, "fast_io_fail_tmo"))
    s->defaults.fast_io_fail_tmo = s->replacement_timeout;
}

static int
check_chap (const struct settings *s, char err[ERR_SIZE])
{
  if (s->user && s->password == NULL)
    snprintf (err, ERR_SIZE, "user=%.60s is given without a password "
              "(password=+FILE reads it from a file)", s->user);
  else if (s->password && s->user == NULL)
    snprintf (err, ERR_SIZE, "password is given without user=NAME");
  else if (s->mutual_user && s->mutual_password == NULL)
    snprintf (err, ERR_SIZE,
              "mutual-user=%.60s is given without mutual-password",
              s->mutual_user);
  else if (s->mutual_password && s->mutual_user == NULL)
    snprintf (err, ERR_SIZE,
              "mutual-password is given without mutual-user=NAME");
  else if (s->mutual_user && s->user == NULL)
    snprintf (err, ERR_SIZE, "mutual-user needs user and password as well: "
              "the target proves itself only to whom it knows");
  /* RFC 7143 9.2.1: the two secrets must differ, or the target's own
   * challenge could be sent back to it. */
  else if (s->mutual_password && strcmp (s->password, s->mutual_password) == 0)
    snprintf (err, ERR_SIZE,
              "password and mutual-password must not be the same");
  else
    return 0;
  return -1;
}

/* Numeric ADDRESS:PORT, or the path of a socket: it is opened when nobody looks
 * any more. */
static int
check_metrics (const struct settings *s, char err[ERR_SIZE])
{
  const char *where = s->metrics_listen, *colon;
  struct in6_addr address;
  struct portal p;
  const char *why;

  if (where == NULL || where[0] == '/')
    return 0;
  colon = strrchr (where, ':');
  if (colon != NULL && colon[1] != '\0' && strchr (where, '/') == NULL &&
      portal_parse (where, strlen (where), &p, &why) &&
      (inet_pton (AF_INET, p.host, &address) == 1 ||
       inet_pton (AF_INET6, p.host, &address) == 1))
    return 0;
  snprintf (err, ERR_SIZE, "metrics-listen: '%.200s' is no ADDRESS:PORT (in "
            "numbers), nor the path of a socket", where);
  return -1;
}

int
settings_check (struct settings *s, char err[ERR_SIZE])
{
  err[0] = '\0';
  if (s->config_file && s->conf == NULL) {
    s->conf = conf_load (s->config_file, s->warn, s->warn_opaque, err);
    if (s->conf == NULL)
      return -1;
    if (conf_apply (s->conf, s, err) == -1)
      return -1;
  }
  if (s->initiator_name == NULL && getenv (INITIATOR_VARIABLE) != NULL &&
      option_set (option_find (options, "initiator_name", IN_PARAMETERS), &s->initiator_name,
                  INITIATOR_VARIABLE, getenv (INITIATOR_VARIABLE), err) == -1)
    return -1;
  apply_replacement_timeout (s);
  if (check_times (s, s->conf != NULL, err) == -1 ||
      check_metrics (s, err) == -1)
    return -1;

  if (s->nr_portals == 0) {
    snprintf (err, ERR_SIZE, "portals are missing: "
              "say where the target is, for instance portals=10.0.0.1:3260");
    return -1;
  }
  if (!s->discovery && s->target == NULL) {
    snprintf (err, ERR_SIZE, "discovery=off needs target=IQN: "
              "without discovery no target is found");
    return -1;
  }
  return check_chap (s, err);
}
