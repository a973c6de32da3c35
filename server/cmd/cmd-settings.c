/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings of a command: the file, portals, and KEY=VALUE as the plugin takes
 * them. */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "conf/options.h"
#include "service/service.h"

static void
warn (void *opaque, const char *text)
{
  (void) opaque;
  cmd_error ("warning: %s", text);
}

static void
sink (enum log_level level, const char *line)
{
  if (level == LOG_LEVEL_ERROR)
    cmd_error ("%s", line);
  else if (level == LOG_LEVEL_WARNING)
    cmd_error ("warning: %s", line);
}

void
cmd_prepare_engine (void)
{
  log_set_sink (sink);
  /* libiscsi writes to sockets without MSG_NOSIGNAL. */
  signal (SIGPIPE, SIG_IGN);
}

/* As nbdkit reads them: +FILE, - for a prompt, -FD; else the secret itself.  A
 * new string, or NULL: said why. */
static char *
read_password (const char *key, const char *value)
{
  struct termios saved, silent;
  const bool prompt = strcmp (value, "-") == 0;
  const bool tty = prompt && tcgetattr (STDIN_FILENO, &saved) == 0;
  FILE *fp = stdin;
  char *line = NULL;
  size_t size = 0;
  ssize_t n;

  if (!prompt && value[0] == '-' && value[1] >= '0' && value[1] <= '9')
    fp = fdopen (atoi (value + 1), "r");
  else if (!prompt && value[0] != '+')
    return strdup (value);
  else if (!prompt)
    fp = fopen (value + 1, "re");
  if (fp == NULL) {
    cmd_error ("%s: %s: %m", key, value + 1);
    return NULL;
  }
  if (tty) {
    fprintf (stderr, "%s: ", key);
    silent = saved;
    silent.c_lflag &= ~ECHO;
    tcsetattr (STDIN_FILENO, TCSAFLUSH, &silent);
  }
  n = getline (&line, &size, fp);
  if (tty) {
    tcsetattr (STDIN_FILENO, TCSAFLUSH, &saved);
    fputc ('\n', stderr);
  }
  if (!prompt)
    fclose (fp);
  if (n <= 0) {
    cmd_error ("%s: there is nothing to read", key);
    free (line);
    return NULL;
  }
  line[strcspn (line, "\r\n")] = '\0';
  return line;
}

static bool
set (struct settings *s, const char *key, const char *value)
{
  char err[ERR_SIZE];
  char *secret = NULL;
  int r;

  if (strcmp (key, "password") == 0 || strcmp (key, "mutual-password") == 0 ||
      strcmp (key, "mutual_password") == 0) {
    secret = read_password (key, value);
    if (secret == NULL)
      return false;
    value = secret;
  }
  r = settings_set (s, key, value, err);
  if (secret) {
    explicit_bzero (secret, strlen (secret));
    free (secret);
  }
  if (r == -1)
    cmd_error ("%s", err);
  return r != -1;
}

static bool
set_argument (struct settings *s, char *argument)
{
  char *equals = strchr (argument, '=');
  bool good;

  if (equals == NULL)
    return set (s, "portals", argument);
  *equals = '\0';
  good = set (s, argument, equals + 1);
  *equals = '=';
  return good;
}

struct settings *
cmd_settings (const struct cmd *cmd)
{
  struct settings *s = settings_new ();
  const char *conf = cmd->conf;
  char err[ERR_SIZE];

  if (s == NULL) {
    cmd_error ("out of memory");
    return NULL;
  }
  s->warn = warn;
  for (int i = 0; i < cmd->argc; ++i)
    if (!set_argument (s, cmd->argv[i]))
      goto error;
  if (conf == NULL && s->nr_portals == 0 && s->config_file == NULL) {
    if (access (CMD_CONF, F_OK) == -1 && errno == ENOENT) {
      cmd_error ("say which portals, or -c FILE: there is no " CMD_CONF);
      goto error;
    }
    conf = CMD_CONF;
  }
  if (conf && !set (s, "config", conf))
    goto error;
  if (settings_check (s, err) == -1) {
    cmd_error ("%s", err);
    goto error;
  }
  return s;

 error:
  settings_free (s);
  return NULL;
}

const char *
cmd_nearest (const char *name, const char *const *words, size_t n)
{
  struct nearest near;

  nearest_start (&near, name);
  for (size_t i = 0; i < n; ++i)
    nearest_try (&near, words[i]);
  return nearest_word (&near);
}

/* ---- again ------------------------------------------------------------------------- */

static void
warn_again (void *opaque, const char *text)
{
  (void) opaque;
  log_warning ("%s", text);
}

/* A prompt cannot be answered any more. */
static int
set_again (struct settings *s, const char *argument,
           const struct settings *old, char *err)
{
  const char *equals = strchr (argument, '=');
  const char *value = equals ? equals + 1 : argument;
  char key[64], *secret = NULL;
  int r;

  snprintf (key, sizeof key, "%.*s", equals ? (int) (equals - argument) : 7,
            equals ? argument : "portals");
  if (value[0] == '-' && strcmp (key, "password") == 0)
    value = old->password;
  else if (value[0] == '-' && strstr (key, "password") != NULL)
    value = old->mutual_password;
  else if (strstr (key, "password") != NULL) {
    value = secret = read_password (key, value);
    if (secret == NULL) {
      snprintf (err, ERR_SIZE, "%s cannot be read", key);
      return -1;
    }
  }
  r = settings_set (s, key, value ? value : "", err);
  if (secret)
    explicit_bzero (secret, strlen (secret));
  free (secret);
  return r;
}

struct settings *
cmd_settings_again (const struct cmd *cmd, const struct settings *old,
                    char *err, size_t size)
{
  struct settings *s = settings_new ();
  char why[ERR_SIZE] = "out of memory";
  int r = s != NULL ? 0 : -1;

  if (s != NULL)
    s->warn = warn_again;
  for (int i = 0; i < cmd->argc && r != -1; ++i)
    r = set_again (s, cmd->argv[i], old, why);
  if (r != -1 && old->config_file != NULL && s->config_file == NULL)
    r = settings_set (s, "config", old->config_file, why);
  if (r != -1 && settings_check (s, why) != -1)
    return s;
  snprintf (err, size, "%s", why);
  settings_free (s);
  return NULL;
}
