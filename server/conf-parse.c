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

#include "conf-internal.h"

enum section {
  TOP, DEFAULTS, BLACKLIST, BLACKLIST_DEVICE, EXCEPTIONS,
  EXCEPTIONS_DEVICE, DEVICES, DEVICE, OVERRIDES, PROTOCOL,
  MULTIPATHS, MULTIPATH, ISCSI, NBD,
};

static const struct {
  const char *name;
  enum section section, parent;
  unsigned where;               /* which options may stand in it */
} sections[] = {
  { "defaults", DEFAULTS, TOP, IN_DEFAULTS },
  { "blacklist", BLACKLIST, TOP, 0 },
  { "device", BLACKLIST_DEVICE, BLACKLIST, 0 },
  { "blacklist_exceptions", EXCEPTIONS, TOP, 0 },
  { "device", EXCEPTIONS_DEVICE, EXCEPTIONS, 0 },
  { "devices", DEVICES, TOP, 0 },
  { "device", DEVICE, DEVICES, IN_DEVICE },
  { "overrides", OVERRIDES, TOP, IN_OVERRIDES },
  { "protocol", PROTOCOL, OVERRIDES, IN_PROTOCOL },
  { "multipaths", MULTIPATHS, TOP, 0 },
  { "multipath", MULTIPATH, MULTIPATHS, IN_MULTIPATH },
  { "iscsi", ISCSI, TOP, IN_ISCSI },
  { "nbd", NBD, TOP, IN_NBD },
};
#define NR_SECTIONS (sizeof sections / sizeof sections[0])
#define DEEPEST 2               /* sections in sections */
#define WARNINGS 256            /* more different ones are not remembered */

/* Words that are no options of the tables, by section. */
static const struct {
  enum section section;
  const char *word;
} specials[] = {
  { DEFAULTS, "features" }, { DEVICE, "features" }, { OVERRIDES, "features" },
  { MULTIPATH, "features" },
  { DEFAULTS, "delay_watch_checks" }, { DEVICE, "delay_watch_checks" },
  { OVERRIDES, "delay_watch_checks" }, { MULTIPATH, "delay_watch_checks" },
  { DEFAULTS, "delay_wait_checks" }, { DEVICE, "delay_wait_checks" },
  { OVERRIDES, "delay_wait_checks" }, { MULTIPATH, "delay_wait_checks" },
  { BLACKLIST, "wwid" }, { BLACKLIST, "target" }, { BLACKLIST, "portal" },
  { BLACKLIST, "devnode" }, { BLACKLIST, "property" }, { BLACKLIST, "protocol" },
  { EXCEPTIONS, "wwid" }, { EXCEPTIONS, "target" }, { EXCEPTIONS, "portal" },
  { EXCEPTIONS, "devnode" }, { EXCEPTIONS, "property" },
  { EXCEPTIONS, "protocol" },
  { BLACKLIST_DEVICE, "vendor" }, { BLACKLIST_DEVICE, "product" },
  { EXCEPTIONS_DEVICE, "vendor" }, { EXCEPTIONS_DEVICE, "product" },
  { DEVICE, "vendor" }, { DEVICE, "product" }, { DEVICE, "revision" },
  { DEVICE, "product_blacklist" },
  { PROTOCOL, "type" },
  { MULTIPATH, "wwid" },
  { ISCSI, "password_file" }, { ISCSI, "mutual_password_file" },
};
#define NR_SPECIALS (sizeof specials / sizeof specials[0])

struct parser {
  struct conf *conf;
  unsigned line;
  struct { size_t index; unsigned line; } open[DEEPEST];
  unsigned depth;
  uint64_t seen;                /* options that this section has set already */

  /* Of the innermost section, until it is closed. */
  struct conf_options *options;
  struct conf_device *device;
  struct conf_multipath *multipath;
  struct conf_rule *rule;
  struct conf_options protocol;
  char *protocol_type, *vendor, *product_blacklist;

  void (*warn) (void *opaque, const char *text);
  void *opaque;
  char *warned[WARNINGS];
  size_t nr_warned;
  char *err;
};

static int
fail_at (struct parser *ps, unsigned line, const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

static int
fail_at (struct parser *ps, unsigned line, const char *fs, ...)
{
  va_list args;
  int n = snprintf (ps->err, ERR_SIZE, "%.200s:%u: ", ps->conf->name, line);

  va_start (args, fs);
  vsnprintf (ps->err + n, (size_t) (ERR_SIZE - n), fs, args);
  va_end (args);
  return -1;
}

#define fail(ps, ...) fail_at ((ps), (ps)->line, __VA_ARGS__)

/* Once for each text. */
static void
warning (struct parser *ps, const char *fs, ...)
  __attribute__ ((format (printf, 2, 3)));

static void
warning (struct parser *ps, const char *fs, ...)
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

static enum section
current (const struct parser *ps)
{
  return ps->depth ? sections[ps->open[ps->depth - 1].index].section : TOP;
}

static const char *
current_name (const struct parser *ps)
{
  return ps->depth ? sections[ps->open[ps->depth - 1].index].name : "the file";
}

static unsigned
current_where (const struct parser *ps)
{
  return ps->depth ? sections[ps->open[ps->depth - 1].index].where : 0;
}

static bool
is_special (enum section section, const char *word)
{
  for (size_t i = 0; i < NR_SPECIALS; ++i)
    if (specials[i].section == section && strcmp (specials[i].word, word) == 0)
      return true;
  return false;
}

static bool
known_in (size_t index, const char *word)
{
  const unsigned where = sections[index].where;

  return is_special (sections[index].section, word) ||
    option_find (options, word, where) ||
    option_find (conf_nbd_options, word, where) ||
    conf_word_find (word, where);
}

static int
unknown_option (struct parser *ps, const char *word)
{
  const unsigned where = current_where (ps);
  const enum section section = current (ps);
  struct nearest nearest;
  const char *near;
  char shown[64];

  printable (word, shown, sizeof shown);
  if (strchr (word, '='))
    return fail (ps, "'%s': between an option and its value stands a blank, "
                 "not '='", shown);
  for (size_t i = 0; i < NR_SECTIONS; ++i)
    if (strcmp (word, sections[i].name) == 0)
      return fail (ps, "'{' is missing after '%s'", shown);
  for (size_t i = 0; i < NR_SECTIONS; ++i)
    if (known_in (i, word)) {
      if (section == TOP)
        return fail (ps, "'%s' stands outside of any section: "
                     "it belongs in '%s'", shown, sections[i].name);
      return fail (ps, "'%s' is not allowed in '%s': it belongs in '%s'",
                   shown, current_name (ps), sections[i].name);
    }

  nearest_start (&nearest, word);
  for (const struct option *o = options; o->name; ++o)
    if (o->where & where)
      nearest_try (&nearest, o->name);
  for (const struct option *o = conf_nbd_options; o->name; ++o)
    if (o->where & where)
      nearest_try (&nearest, o->name);
  for (const struct conf_word *w = conf_words; w->word; ++w)
    if (w->where & where)
      nearest_try (&nearest, w->today ? w->today : w->word);
  for (size_t i = 0; i < NR_SPECIALS; ++i)
    if (specials[i].section == section)
      nearest_try (&nearest, specials[i].word);
  near = nearest_word (&nearest);
  if (near)
    return fail (ps, "unknown option '%s' in '%s', did you mean '%s'?",
                 shown, current_name (ps), near);
  return fail (ps, "unknown option '%s' in '%s'", shown, current_name (ps));
}

/* Sections. */

static int
unknown_section (struct parser *ps, const char *word)
{
  const enum section here = current (ps);
  struct nearest nearest;
  const char *near;
  char shown[64];

  printable (word, shown, sizeof shown);
  for (size_t i = 0; i < NR_SECTIONS; ++i)
    if (strcmp (word, sections[i].name) == 0) {
      if (sections[i].parent == TOP)
        return fail (ps, "section '%s' begins inside of '%s' of line %u: "
                     "is its '}' missing?", shown, current_name (ps),
                     ps->open[ps->depth - 1].line);
      for (size_t j = 0; j < NR_SECTIONS; ++j)
        if (sections[j].section == sections[i].parent)
          return fail (ps, "section '%s' is not allowed in '%s': "
                       "it belongs in '%s'", shown, current_name (ps),
                       sections[j].name);
    }
  for (size_t i = 0; i < NR_SECTIONS; ++i)
    if (known_in (i, word))
      return fail (ps, "'%s' is an option, not a section: no '{' after it",
                   shown);

  nearest_start (&nearest, word);
  for (size_t i = 0; i < NR_SECTIONS; ++i)
    if (sections[i].parent == here)
      nearest_try (&nearest, sections[i].name);
  near = nearest_word (&nearest);
  if (near)
    return fail (ps, "unknown section '%s', did you mean '%s'?", shown, near);
  return fail (ps, "unknown section '%s'", shown);
}

static void
options_init (struct conf_options *o)
{
  memset (o, 0, sizeof *o);
  o->queue_feature = -1;
}

static void *
append (void *list, size_t next_offset, void *item)
{
  void **p = list;

  while (*p)
    p = (void **) ((char *) *p + next_offset);
  *p = item;
  return item;
}

/* Each new item goes into conf at once, so that conf_free finds it also when
 * a later line is wrong. */
static int
open_section (struct parser *ps, const char *word)
{
  const enum section here = current (ps);
  size_t i;

  for (i = 0; i < NR_SECTIONS; ++i)
    if (sections[i].parent == here && strcmp (word, sections[i].name) == 0)
      break;
  if (i == NR_SECTIONS)
    return unknown_section (ps, word);
  if (ps->depth == DEEPEST)
    return fail (ps, "sections are nested too deep");

  ps->open[ps->depth].index = i;
  ps->open[ps->depth].line = ps->line;
  ps->depth++;
  ps->seen = 0;
  ps->options = NULL;
  switch (sections[i].section) {
  case OVERRIDES:
    ps->options = &ps->conf->overrides;
    break;
  case PROTOCOL:
    ps->options = &ps->protocol;
    break;
  case DEFAULTS:
    ps->options = &ps->conf->extra;
    break;
  case DEVICE:
    ps->device = calloc (1, sizeof *ps->device);
    if (ps->device == NULL)
      return fail (ps, "out of memory");
    options_init (&ps->device->options);
    append (&ps->conf->devices, offsetof (struct conf_device, next),
            ps->device);
    ps->options = &ps->device->options;
    break;
  case MULTIPATH:
    ps->multipath = calloc (1, sizeof *ps->multipath);
    if (ps->multipath == NULL)
      return fail (ps, "out of memory");
    ps->multipath->line = ps->line;
    options_init (&ps->multipath->options);
    append (&ps->conf->multipaths, offsetof (struct conf_multipath, next),
            ps->multipath);
    ps->options = &ps->multipath->options;
    break;
  case BLACKLIST_DEVICE: case EXCEPTIONS_DEVICE:
    ps->rule = calloc (1, sizeof *ps->rule);
    if (ps->rule == NULL)
      return fail (ps, "out of memory");
    ps->rule->by = BY_DEVICE;
    ps->rule->line = ps->line;
    break;                      /* into its list once it is whole */
  default:
    break;
  }
  return 0;
}

static struct conf_rule **
rules_of (struct parser *ps, enum section section)
{
  return section == EXCEPTIONS || section == EXCEPTIONS_DEVICE
    ? &ps->conf->exceptions : &ps->conf->blacklist;
}

static void
add_rule (struct parser *ps, enum section section, struct conf_rule *rule)
{
  append (rules_of (ps, section), offsetof (struct conf_rule, next), rule);
}

static void
free_string (char **s)
{
  free (*s);
  *s = NULL;
}

static void
move_options (struct conf_options *to, struct conf_options *from)
{
  for (const struct option *o = options; o->name; ++o)
    if (o->map) {
      const uint64_t bit = option_bit (options, o);

      if ((from->given & bit) &&
          option_copy (o, option_map_field (o, &to->values),
                       option_map_field (o, &from->values)) == 0)
        to->given |= bit;
    }
}

static int
close_device (struct parser *ps)
{
  struct conf_device *d = ps->device;
  const char *why = NULL;

  ps->device = NULL;
  if (d->vendor == NULL && d->product == NULL)
    /* multipathd leaves such a section out, too. */
    warning (ps, "a 'device' without vendor and product matches nothing");
  if (ps->product_blacklist) {
    struct conf_rule *rule = calloc (1, sizeof *rule);

    if (rule == NULL)
      return fail (ps, "out of memory");
    rule->by = BY_DEVICE;
    rule->line = ps->open[ps->depth - 1].line;
    add_rule (ps, BLACKLIST, rule);
    rule->product = conf_pattern_new (ps->product_blacklist, false, &why);
    if (rule->product && ps->vendor)
      rule->pattern = conf_pattern_new (ps->vendor, false, &why);
    if (rule->product == NULL || (ps->vendor && rule->pattern == NULL))
      return fail_at (ps, rule->line, "'product_blacklist': %s", why);
  }
  free_string (&ps->vendor);
  free_string (&ps->product_blacklist);
  return 0;
}

static int
close_multipath (struct parser *ps)
{
  const struct option *alias = option_find (options, "alias", IN_MULTIPATH);
  struct conf_multipath *m = ps->multipath;

  ps->multipath = NULL;
  if (m->wwid == NULL)
    return fail_at (ps, m->line, "'multipath' has no 'wwid': "
                    "which LUN is it for?");
  if (!(m->options.given & option_bit (options, alias)))
    return 0;
  for (struct conf_multipath *o = ps->conf->multipaths; o != m; o = o->next)
    if (o->options.values.alias && strcmp (o->wwid, m->wwid) != 0 &&
        strcmp (o->options.values.alias, m->options.values.alias) == 0)
      return fail_at (ps, m->line, "alias '%s' is that of another WWID "
                      "already, in line %u", m->options.values.alias, o->line);
  return 0;
}

static int
close_section (struct parser *ps)
{
  const enum section section = current (ps);
  int r = 0;

  switch (section) {
  case TOP:
    return fail (ps, "'}' closes nothing");
  case DEVICE:
    r = close_device (ps);
    break;
  case MULTIPATH:
    r = close_multipath (ps);
    break;
  case PROTOCOL:
    if (ps->protocol_type == NULL)
      r = fail_at (ps, ps->open[ps->depth - 1].line,
                   "'protocol' has no 'type'");
    else if (strcmp (ps->protocol_type, "scsi:iscsi") == 0)
      move_options (&ps->conf->protocol, &ps->protocol);
    else
      warning (ps, "a 'protocol' of another type than 'scsi:iscsi' "
               "has no meaning here");
    free_string (&ps->protocol_type);
    map_settings_free (&ps->protocol.values);
    options_init (&ps->protocol);
    break;
  case BLACKLIST_DEVICE: case EXCEPTIONS_DEVICE:
    if (ps->rule->pattern == NULL && ps->rule->product == NULL) {
      warning (ps, "a 'device' without vendor and product matches nothing");
      free (ps->rule);
    }
    else
      add_rule (ps, section, ps->rule);
    ps->rule = NULL;
    break;
  default:
    break;
  }
  ps->depth--;
  ps->seen = 0;
  ps->options = ps->depth && current (ps) == OVERRIDES
    ? &ps->conf->overrides : NULL;
  return r;
}

/* Options. */

static int
set_pattern (struct parser *ps, struct conf_pattern **p, const char *word,
             const char *value, bool negate)
{
  struct conf_pattern *new;
  const char *why;
  char shown[128];

  new = conf_pattern_new (value, negate, &why);
  if (new == NULL)
    return fail (ps, "%s: '%s' is not a good regular expression: %s", word,
                 printable (value, shown, sizeof shown), why);
  conf_pattern_free (*p);
  *p = new;
  return 0;
}

static int
set_text (struct parser *ps, char **text, const char *value)
{
  char *copy = strdup (value);

  if (copy == NULL)
    return fail (ps, "out of memory");
  free (*text);
  *text = copy;
  return 0;
}

static int
blacklist_rule (struct parser *ps, const char *word, const char *value)
{
  struct conf_rule *rule;

  if (strcmp (word, "wwid") && strcmp (word, "target") &&
      strcmp (word, "portal")) {
    warning (ps, "'%s' has no meaning here: only LUNs that were logged in to "
             "can be served; use wwid, device, target or portal", word);
    return 0;
  }
  rule = calloc (1, sizeof *rule);
  if (rule == NULL)
    return fail (ps, "out of memory");
  rule->line = ps->line;
  rule->by = word[0] == 'w' ? BY_WWID : word[0] == 't' ? BY_TARGET : BY_PORTAL;
  if (set_pattern (ps, &rule->pattern, word, value, true) == -1) {
    free (rule);
    return -1;
  }
  add_rule (ps, current (ps), rule);
  return 0;
}

/* features and delay_*_checks: old ways to say what has an option of its own
 * today; applied when all sections are known. */
static int
old_option (struct parser *ps, const char *word, const char *value)
{
  static const struct option checks =
    { "checks", OPTION_INT, 0, 1000000, 0, true, 0, NULL, NULL, NULL };
  char msg[ERR_SIZE];
  int n;

  if (strcmp (word, "features") == 0) {
    ps->options->queue_feature = strstr (value, "queue_if_no_path") != NULL;
    if (ps->options->queue_feature)
      warning (ps, "'features' with queue_if_no_path is obsolete: "
               "today's spelling is 'no_path_retry queue'");
    else
      warning (ps, "'features' has no meaning here: there is no device mapper");
    return 0;
  }
  if (option_set (&checks, &n, word, value, msg) == -1)
    return fail (ps, "%s", msg);
  if (strcmp (word, "delay_watch_checks") == 0) {
    ps->options->delay_watch = n;
    warning (ps, "'%s' is obsolete: today's spelling is "
             "'san_path_err_forget_rate'", word);
  }
  else {
    ps->options->delay_wait = n;
    warning (ps, "'%s' is obsolete: today's spelling is "
             "'san_path_err_recovery_time'", word);
  }
  return 0;
}

static int
special_option (struct parser *ps, const char *word, const char *value)
{
  switch (current (ps)) {
  case BLACKLIST: case EXCEPTIONS:
    return blacklist_rule (ps, word, value);
  case BLACKLIST_DEVICE: case EXCEPTIONS_DEVICE:
    return set_pattern (ps, word[0] == 'v' ? &ps->rule->pattern
                        : &ps->rule->product, word, value, true);
  case PROTOCOL:
    return set_text (ps, &ps->protocol_type, value);
  case ISCSI:
    if (value[0] == '\0')
      return fail (ps, "%s: it is empty", word);
    return set_text (ps, word[0] == 'p' ? &ps->conf->password_file
                     : &ps->conf->mutual_password_file, value);
  case MULTIPATH:
    if (strcmp (word, "wwid") == 0) {
      if (value[0] == '\0' || strlen (value) >= WWID_SIZE)
        return fail (ps, "wwid: it is %s", value[0] ? "too long" : "empty");
      return set_text (ps, &ps->multipath->wwid, value);
    }
    break;
  case DEVICE:
    if (strcmp (word, "vendor") == 0) {
      if (set_text (ps, &ps->vendor, value) == -1)
        return -1;
      return set_pattern (ps, &ps->device->vendor, word, value, false);
    }
    if (strcmp (word, "product") == 0)
      return set_pattern (ps, &ps->device->product, word, value, false);
    if (strcmp (word, "revision") == 0)
      return set_pattern (ps, &ps->device->revision, word, value, false);
    if (strcmp (word, "product_blacklist") == 0)
      return set_text (ps, &ps->product_blacklist, value);
    break;
  default:
    break;
  }
  return old_option (ps, word, value);
}

/* prio_callout named a program: which prioritizer took its place? */
static const char *
prio_of_callout (const char *value)
{
  return strstr (value, "alua") ? "alua" : "const";
}

static int
table_option (struct parser *ps, const struct option *o, const char *word,
              const char *value, bool old)
{
  struct settings *values = ps->conf->values;
  const uint64_t bit = o->where & IN_NBD
    ? option_bit (conf_nbd_options, o) : option_bit (options, o);
  const enum section section = current (ps);
  char msg[ERR_SIZE];
  uint64_t *given;
  void *field;
  int r;

  if (section == NBD) {
    field = (char *) &ps->conf->nbd + o->offset;
    given = &ps->conf->nbd_given;
  }
  else if (section == DEFAULTS || section == ISCSI) {
    field = option_field (o, values);
    given = &values->given;
  }
  else {
    field = option_map_field (o, &ps->options->values);
    given = &ps->options->given;
  }

  if (old) {
    /* Today's spelling wins wherever it stands in the section. */
    if (ps->seen & bit)
      return 0;
  }
  else {
    if ((ps->seen & bit) && o->type != OPTION_PORTALS &&
        strcmp (o->name, "rr_min_io") != 0)
      warning (ps, "'%s' is given twice in '%s': the last one holds", word,
               current_name (ps));
    ps->seen |= bit;
  }
  r = option_set (o, field, word, value, msg);
  if (r == -1)
    return fail (ps, "%s", msg);
  if (r == 1)
    warning (ps, "%s", msg);
  *given |= bit;
  return 0;
}

static int
one_option (struct parser *ps, const struct conf_line *line)
{
  const unsigned where = current_where (ps);
  const struct conf_word *old;
  const struct option *o;
  const char *value = line->value;
  bool special;

  special = is_special (current (ps), line->word);
  o = special ? NULL : option_find (options, line->word, where);
  if (o == NULL && !special)
    o = option_find (conf_nbd_options, line->word, where);
  old = conf_word_find (line->word, where);
  if (o == NULL && old == NULL && !special)
    return unknown_option (ps, line->word);

  if (value == NULL)
    return fail (ps, "'%s' has no value", line->word);
  if (strcmp (value, "=") == 0)
    return fail (ps, "'%s': between an option and its value stands a blank, "
                 "not '='", line->word);
  if (line->extra) {
    /* multipathd takes the first word and says so. */
    if (where & (IN_ISCSI | IN_NBD))
      return fail (ps, "'%s' has more than one word: put the value in quotes",
                   line->word);
    warning (ps, "'%s': only the first word of the value is taken: "
             "put the value in quotes", line->word);
  }

  if (special)
    return special_option (ps, line->word, value);
  if (o)
    return table_option (ps, o, line->word, value, false);
  if (old->today == NULL) {
    warning (ps, "'%s' has no meaning here: %s", old->word, old->why);
    return 0;
  }
  warning (ps, "'%s' is obsolete: today's spelling is '%s'", old->word,
           old->today);
  if (strstr (old->word, "callout"))
    value = prio_of_callout (value);
  return table_option (ps, option_find (options, old->today, where), line->word,
                       value, true);
}

static int
one_line (struct parser *ps, char *text)
{
  struct conf_line line;
  const char *wrong = conf_lex (text, &line);

  if (wrong)
    return fail (ps, "%s", wrong);
  if (line.close)
    return close_section (ps);
  if (line.open)
    return open_section (ps, line.word);
  if (line.word)
    return one_option (ps, &line);
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
finish (struct parser *ps)
{
  struct conf *conf = ps->conf;

  if (ps->depth > 0)
    return fail (ps, "'}' is missing: '%s' of line %u is still open",
                 current_name (ps), ps->open[ps->depth - 1].line);
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
  struct parser ps = { .conf = conf, .warn = warn, .opaque = opaque,
                       .err = err };
  char *p = text, *end = text + len;
  int r = 0;

  options_init (&ps.protocol);
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
