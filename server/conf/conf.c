/* SPDX-License-Identifier: BSD-3-Clause */
/* A configuration file as an object: read, put into the settings, freed. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf-internal.h"

#define LARGEST (1024 * 1024)   /* bytes; the file of a big site has 20 KB */

/* Reads a regular file whole, up to `largest` bytes, with a NUL behind.
 * *open_to_others: others may read it.  NULL: err is set. */
static char *
read_whole (const char *file, size_t largest, size_t *len,
            bool *open_to_others, char err[ERR_SIZE])
{
  struct stat st;
  char *text = NULL;
  size_t n = 0;
  ssize_t r;
  int fd;

  /* O_NONBLOCK: a FIFO must not hold us up; it is refused below. */
  fd = open (file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd == -1 || fstat (fd, &st) == -1) {
    snprintf (err, ERR_SIZE, "%.200s: cannot be read: %s", file,
              strerror (errno));
    goto out;
  }
  if (!S_ISREG (st.st_mode)) {
    snprintf (err, ERR_SIZE, "%.200s: not a regular file", file);
    goto out;
  }
  if (st.st_size > (off_t) largest) {
    snprintf (err, ERR_SIZE, "%.200s: larger than %zu bytes: "
              "is this the right file?", file, largest);
    goto out;
  }
  text = malloc (largest + 1);
  if (text == NULL) {
    snprintf (err, ERR_SIZE, "%.200s: out of memory", file);
    goto out;
  }
  while (n < largest && (r = read (fd, text + n, largest - n)) != 0) {
    if (r == -1) {
      if (errno == EINTR)
        continue;
      snprintf (err, ERR_SIZE, "%.200s: cannot be read: %s", file,
                strerror (errno));
      explicit_bzero (text, n);
      free (text);
      text = NULL;
      goto out;
    }
    n += (size_t) r;
  }
  text[n] = '\0';
  *len = n;
  *open_to_others = (st.st_mode & (S_IRGRP | S_IROTH)) != 0;
 out:
  if (fd != -1)
    close (fd);
  return text;
}

static struct conf *
conf_new (const char *name)
{
  struct conf *conf = calloc (1, sizeof *conf);

  if (conf == NULL)
    return NULL;
  conf_nbd_init (&conf->nbd);
  conf->extra.queue_feature = -1;
  conf->overrides.queue_feature = -1;
  conf->protocol.queue_feature = -1;
  conf->name = strdup (name);
  conf->values = settings_new ();
  if (conf->name == NULL || conf->values == NULL) {
    conf_free (conf);
    return NULL;
  }
  return conf;
}

struct conf *
conf_parse (const char *name, const char *text, size_t len,
            void (*warn) (void *opaque, const char *text), void *opaque,
            char err[ERR_SIZE])
{
  struct conf *conf = conf_new (name);
  char *copy = malloc (len + 1);
  int r = -1;

  err[0] = '\0';
  if (conf && copy) {
    memcpy (copy, text, len);
    copy[len] = '\0';
    r = conf_parse_text (conf, copy, len, warn, opaque, err);
  }
  else
    snprintf (err, ERR_SIZE, "%.200s: out of memory", name);
  if (copy) {
    explicit_bzero (copy, len);
    free (copy);
  }
  if (r == -1) {
    conf_free (conf);
    return NULL;
  }
  return conf;
}

/* multipathd reads what is in /etc/multipath/conf.d after /etc/multipath.conf. */
static void
say_other_folder (const char *file, void (*warn) (void *opaque, const char *text),
                  void *opaque)
{
  const char *slash = strrchr (file, '/');
  const char *name = slash ? slash + 1 : file;
  char pattern[400], said[ERR_SIZE];
  glob_t found;

  if (strcmp (name, "multipath.conf") != 0 || name - file > 300)
    return;
  snprintf (pattern, sizeof pattern, "%.*smultipath/conf.d/*.conf",
            (int) (name - file), file);
  if (glob (pattern, 0, NULL, &found) != 0)
    return;
  snprintf (said, sizeof said, "%.340s, which multipathd would read as well, is "
            "not read: what it says belongs into this one file", pattern);
  warn (opaque, said);
  globfree (&found);
}

struct conf *
conf_load (const char *file, void (*warn) (void *opaque, const char *text),
           void *opaque, char err[ERR_SIZE])
{
  bool open_to_others;
  struct conf *conf;
  char *text, said[300];
  size_t len;

  text = read_whole (file, LARGEST, &len, &open_to_others, err);
  if (text == NULL)
    return NULL;
  conf = conf_parse (file, text, len, warn, opaque, err);
  explicit_bzero (text, len);
  free (text);
  if (conf && warn && open_to_others &&
      (conf->values->password || conf->values->mutual_password)) {
    snprintf (said, sizeof said, "%.200s: has a password and can be read by "
              "others: chmod 600, or use password_file", file);
    warn (opaque, said);
  }
  if (conf && warn)
    say_other_folder (file, warn, opaque);
  return conf;
}

static void
options_free (struct conf_options *o)
{
  map_settings_free (&o->values);
}

static void
rules_free (struct conf_rule *rule)
{
  while (rule) {
    struct conf_rule *next = rule->next;

    conf_pattern_free (rule->pattern);
    conf_pattern_free (rule->product);
    free (rule);
    rule = next;
  }
}

void
conf_free (struct conf *conf)
{
  if (conf == NULL)
    return;
  while (conf->devices) {
    struct conf_device *d = conf->devices;

    conf->devices = d->next;
    conf_pattern_free (d->vendor);
    conf_pattern_free (d->product);
    conf_pattern_free (d->revision);
    options_free (&d->options);
    free (d);
  }
  while (conf->multipaths) {
    struct conf_multipath *m = conf->multipaths;

    conf->multipaths = m->next;
    free (m->wwid);
    options_free (&m->options);
    free (m);
  }
  rules_free (conf->blacklist);
  rules_free (conf->exceptions);
  options_free (&conf->overrides);
  options_free (&conf->protocol);
  for (const struct option *o = conf_nbd_options; o->name; ++o)
    option_clear (o, (char *) &conf->nbd + o->offset);
  settings_free (conf->values);
  free (conf->password_file);
  free (conf->mutual_password_file);
  free (conf->name);
  free (conf);
}

bool
conf_gives (const struct conf *conf, const char *option)
{
  const struct option *o = option_find (options, option, ~0u);

  return o && (conf->values->given & option_bit (options, o));
}

/* The first line of a file, beside the configuration file unless absolute. */
static int
read_secret (const struct conf *conf, struct settings *s, const char *option,
             const char *file, char err[ERR_SIZE])
{
  const struct option *o = option_find (options, option, IN_ISCSI);
  const char *slash = strrchr (conf->name, '/');
  char *path = NULL, *text, why[ERR_SIZE];
  bool open_to_others;
  size_t len;
  int r = -1;

  if (file[0] == '/' || slash == NULL)
    path = strdup (file);
  else if (asprintf (&path, "%.*s/%s", (int) (slash - conf->name), conf->name,
                     file) == -1)
    path = NULL;
  if (path == NULL) {
    snprintf (err, ERR_SIZE, "%s_file: out of memory", option);
    return -1;
  }
  text = read_whole (path, 4096, &len, &open_to_others, why);
  if (text == NULL)
    snprintf (err, ERR_SIZE, "%.200s: %s_file: %.500s", conf->name, option,
              why);
  else {
    text[strcspn (text, "\r\n")] = '\0';
    r = option_set (o, option_field (o, s), option, text, why);
    if (r == -1)
      snprintf (err, ERR_SIZE, "%.200s: %s_file %.200s: %.300s", conf->name,
                option, path, why);
    else if (open_to_others && s->warn) {
      snprintf (why, sizeof why, "%.200s: holds a password and can be read by "
                "others: chmod 600", path);
      s->warn (s->warn_opaque, why);
    }
    explicit_bzero (text, len);
    free (text);
  }
  free (path);
  return r;
}

int
conf_apply (const struct conf *conf, struct settings *s, char err[ERR_SIZE])
{
  const struct option *password = option_find (options, "password", IN_ISCSI);
  const struct option *mutual = option_find (options, "mutual_password",
                                             IN_ISCSI);

  for (const struct option *o = options; o->name; ++o) {
    const uint64_t bit = option_bit (options, o);

    if ((conf->values->given & bit) && !(s->given & bit) &&
        option_copy (o, option_field (o, s),
                     option_field (o, conf->values)) == -1) {
      snprintf (err, ERR_SIZE, "%.200s: out of memory", conf->name);
      return -1;
    }
  }
  if (conf->password_file && !(s->given & option_bit (options, password)) &&
      read_secret (conf, s, "password", conf->password_file, err) == -1)
    return -1;
  if (conf->mutual_password_file &&
      !(s->given & option_bit (options, mutual)) &&
      read_secret (conf, s, "mutual_password", conf->mutual_password_file,
                   err) == -1)
    return -1;
  return 0;
}
