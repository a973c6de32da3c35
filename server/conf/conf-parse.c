/* SPDX-License-Identifier: BSD-3-Clause */
/* Sections and options of the configuration file, line by line, into a
 * struct conf.
 *
 * A mistake in a word, a brace, a quote or a value ends the parse: what a
 * mistyped line was meant to say about a disk is not for us to guess.  What
 * multipathd takes and we have no use for is only warned of. */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf-parser.h"

int
conf_fail_at (struct conf_parser *ps, unsigned line, const char *fs, ...)
{
  va_list args;
  int n = snprintf (ps->err, ERR_SIZE, "%.200s:%u: ", ps->conf->name, line);

  va_start (args, fs);
  vsnprintf (ps->err + n, (size_t) (ERR_SIZE - n), fs, args);
  va_end (args);
  return -1;
}

void
conf_warning (struct conf_parser *ps, const char *fs, ...)
{
  char text[ERR_SIZE], full[ERR_SIZE + 256];
  va_list args;

  if (ps->warn == NULL)
    return;
  va_start (args, fs);
  vsnprintf (text, sizeof text, fs, args);
  va_end (args);
  for (size_t i = 0; i < ps->nr_warned; ++i)
    if (strcmp (ps->warned[i], text) == 0)
      return;
  if (ps->nr_warned < WARNINGS) {
    char *copy = strdup (text);
    if (copy)
      ps->warned[ps->nr_warned++] = copy;
  }
  snprintf (full, sizeof full, "%.200s:%u: %s", ps->conf->name, ps->line, text);
  ps->warn (ps->opaque, full);
}

/* "device" on a line of its own, and "{" on the next one. */
static bool
is_section (const struct conf_parser *ps, const char *word)
{
  for (const struct conf_section *i = conf_sections; i->name; ++i)
    if (i->parent == conf_current (ps) && strcmp (i->name, word) == 0)
      return true;
  return false;
}

static int
missing_brace (struct conf_parser *ps)
{
  return ps->pending[0] == '\0' ? 0
    : conf_fail_at (ps, ps->pending_line, "'{' is missing after '%s'",
                    ps->pending);
}

static int
one_line (struct conf_parser *ps, char *text)
{
  struct conf_line line;
  char word[sizeof ps->pending];
  const char *wrong = conf_lex (text, &line);

  if (wrong)
    return fail (ps, "%s", wrong);
  if (line.open && line.word == NULL) {
    snprintf (word, sizeof word, "%s", ps->pending);
    ps->pending[0] = '\0';
    return word[0] ? conf_open_section (ps, word)
      : fail (ps, "'{' must follow the name of the section on the same line");
  }
  if (line.close || line.word) {
    if (missing_brace (ps) == -1)
      return -1;
  }
  if (line.close)
    return conf_close_section (ps);
  if (line.open)
    return conf_open_section (ps, line.word);
  if (line.word && line.value == NULL && is_section (ps, line.word)) {
    snprintf (ps->pending, sizeof ps->pending, "%s", line.word);
    ps->pending_line = ps->line;
    return 0;
  }
  if (line.word)
    return conf_one_option (ps, &line);
  return 0;
}

/* The obsolete delay_*_checks, in terms of san_path_err_* (man page). */
static void
apply_delays (const struct conf *conf, const struct conf_options *from,
              struct map_settings *values, uint64_t *given)
{
  const uint64_t threshold =
    option_bit (options, option_find (options, "san_path_err_threshold", ~0u));
  const uint64_t forget =
    option_bit (options, option_find (options, "san_path_err_forget_rate", ~0u));
  const uint64_t recovery =
    option_bit (options, option_find (options, "san_path_err_recovery_time", ~0u));
  const struct settings *s = conf->values;
  const double most = conf_gives (conf, "max_polling_interval")
    ? s->max_polling_interval : 4 * s->polling_interval;

  if ((from->delay_watch == 0 && from->delay_wait == 0) ||
      (*given & (threshold | forget | recovery)))
    return;
  values->san_path_err_threshold = 1;
  values->san_path_err_forget_rate = from->delay_watch;
  values->san_path_err_recovery_time = from->delay_wait * most < 1e6
    ? (int) (from->delay_wait * most) : 1000000;
  *given |= threshold | forget | recovery;
}

static int
finish (struct conf_parser *ps)
{
  struct conf *conf = ps->conf;

  if (missing_brace (ps) == -1)
    return -1;
  if (ps->depth > 0)
    return fail (ps, "'}' is missing: '%s' of line %u is still open",
                 conf_current_name (ps), ps->open[ps->depth - 1].line);
  if (conf->password_file && conf->values->password)
    return fail (ps, "both 'password' and 'password_file' are given");
  if (conf->mutual_password_file && conf->values->mutual_password)
    return fail (ps, "both 'mutual_password' and 'mutual_password_file' "
                 "are given");

  apply_delays (conf, &conf->extra, &conf->values->defaults,
                &conf->values->given);
  apply_delays (conf, &conf->overrides, &conf->overrides.values,
                &conf->overrides.given);
  for (struct conf_device *d = conf->devices; d; d = d->next)
    apply_delays (conf, &d->options, &d->options.values, &d->options.given);
  for (struct conf_multipath *m = conf->multipaths; m; m = m->next)
    apply_delays (conf, &m->options, &m->options.values, &m->options.given);
  return 0;
}

int
conf_parse_text (struct conf *conf, char *text, size_t len,
                 void (*warn) (void *opaque, const char *text),
                 void *opaque, char err[ERR_SIZE])
{
  struct conf_parser ps = { .conf = conf, .warn = warn, .opaque = opaque,
                       .err = err };
  char *p = text, *end = text + len;
  int r = 0;

  conf_options_init (&ps.protocol);
  if (len >= 3 && memcmp (text, "\xef\xbb\xbf", 3) == 0)
    p += 3;                     /* an editor's byte order mark */
  while (r == 0 && p < end) {
    char *eol = memchr (p, '\n', (size_t) (end - p));

    if (eol == NULL)
      eol = end;                /* text has a NUL there */
    ps.line++;
    if (memchr (p, '\0', (size_t) (eol - p)))
      r = fail (&ps, "there is a NUL byte: is this a text file?");
    else {
      *eol = '\0';
      r = one_line (&ps, p);
    }
    p = eol + 1;
  }
  if (ps.line == 0)
    ps.line = 1;
  if (r == 0)
    r = finish (&ps);

  if (ps.rule) {
    conf_pattern_free (ps.rule->pattern);
    conf_pattern_free (ps.rule->product);
    free (ps.rule);
  }
  map_settings_free (&ps.protocol.values);
  free (ps.protocol_type);
  free (ps.vendor);
  free (ps.product_blacklist);
  for (size_t i = 0; i < ps.nr_warned; ++i)
    free (ps.warned[i]);
  return r;
}
