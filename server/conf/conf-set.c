/* SPDX-License-Identifier: BSD-3-Clause */
/* One option of the configuration file: known, misplaced, old, or unknown;
 * and its value set. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf-parser.h"

bool
conf_is_special (enum section section, const char *word)
{
  for (const struct conf_special *i = conf_specials; i->word; ++i)
    if (i->section == section && strcmp (i->word, word) == 0)
      return true;
  return false;
}

bool
conf_option_known (const struct conf_section *section, const char *word)
{
  const unsigned where = section->where;

  return conf_is_special (section->section, word) ||
    option_find (options, word, where) ||
    option_find (conf_nbd_options, word, where) ||
    conf_word_find (word, where);
}

static int
unknown_option (struct conf_parser *ps, const char *word)
{
  const unsigned where = conf_current_where (ps);
  const enum section section = conf_current (ps);
  struct nearest nearest;
  const char *near;
  char shown[64];

  printable (word, shown, sizeof shown);
  if (strchr (word, '='))
    return fail (ps, "'%s': between an option and its value stands a blank, "
                 "not '='", shown);
  for (const struct conf_section *i = conf_sections; i->name; ++i)
    if (strcmp (word, i->name) == 0)
      return fail (ps, "'{' is missing after '%s'", shown);
  for (const struct conf_section *i = conf_sections; i->name; ++i)
    if (conf_option_known (i, word)) {
      if (section == TOP)
        return fail (ps, "'%s' stands outside of any section: "
                     "it belongs in '%s'", shown, i->name);
      return fail (ps, "'%s' is not allowed in '%s': it belongs in '%s'",
                   shown, conf_current_name (ps), i->name);
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
  for (const struct conf_special *i = conf_specials; i->word; ++i)
    if (i->section == section)
      nearest_try (&nearest, i->word);
  near = nearest_word (&nearest);
  if (near)
    return fail (ps, "unknown option '%s' in '%s', did you mean '%s'?",
                 shown, conf_current_name (ps), near);
  return fail (ps, "unknown option '%s' in '%s'", shown, conf_current_name (ps));
}

static int
set_pattern (struct conf_parser *ps, struct conf_pattern **p, const char *word,
             const char *value, bool negate)
{
  struct conf_pattern *new;
  const char *why;
  char shown[128];

  if (strcmp (value, "*") == 0)
    conf_warning (ps, "'*' is no regular expression: taken as '.*'");
  new = conf_pattern_new (value, negate, &why);
  if (new == NULL)
    return fail (ps, "%s: '%s' is not a good regular expression: %s", word,
                 printable (value, shown, sizeof shown), why);
  conf_pattern_free (*p);
  *p = new;
  return 0;
}

static int
set_text (struct conf_parser *ps, char **text, const char *value)
{
  char *copy = strdup (value);

  if (copy == NULL)
    return fail (ps, "out of memory");
  free (*text);
  *text = copy;
  return 0;
}

static int
blacklist_rule (struct conf_parser *ps, const char *word, const char *value)
{
  struct conf_rule *rule;

  if (strcmp (word, "wwid") && strcmp (word, "target") &&
      strcmp (word, "portal")) {
    conf_warning (ps, "'%s' has no meaning here: only LUNs that were logged in to "
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
  conf_add_rule (ps, conf_current (ps), rule);
  return 0;
}

/* features and delay_*_checks: old ways to say what has an option of its own
 * today; applied when all sections are known. */
static int
old_option (struct conf_parser *ps, const char *word, const char *value)
{
  static const struct option checks =
    { "checks", OPTION_INT, 0, 1000000, 0, true, 0, NULL, NULL, NULL };
  char msg[ERR_SIZE];
  int n;

  if (strcmp (word, "features") == 0) {
    ps->options->queue_feature = strstr (value, "queue_if_no_path") != NULL;
    ps->options->queue_line = ps->options->queue_feature ? ps->line : 0;
    if (!ps->options->queue_feature)
      conf_warning (ps, "'features' has no meaning here: there is no device mapper");
    return 0;
  }
  if (option_set (&checks, &n, word, value, msg) == -1)
    return fail (ps, "%s", msg);
  if (strcmp (word, "delay_watch_checks") == 0) {
    ps->options->delay_watch = n;
    conf_warning (ps, "'%s' is obsolete: today's spelling is "
                  "'san_path_err_forget_rate'", word);
  }
  else {
    ps->options->delay_wait = n;
    conf_warning (ps, "'%s' is obsolete: today's spelling is "
                  "'san_path_err_recovery_time'", word);
  }
  return 0;
}

static int table_option (struct conf_parser *ps, const struct option *o,
                         const char *word, const char *value, bool old);

static int
special_option (struct conf_parser *ps, const char *word, const char *value)
{
  switch (conf_current (ps)) {
  case BLACKLIST: case EXCEPTIONS:
    return blacklist_rule (ps, word, value);
  case BLACKLIST_DEVICE: case EXCEPTIONS_DEVICE:
    return set_pattern (ps, word[0] == 'v' ? &ps->rule->pattern
                        : &ps->rule->product, word, value, true);
  case METRICS:
    return table_option (ps, option_find (options, "metrics_listen", ~0u), word,
                         value, false);
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
table_option (struct conf_parser *ps, const struct option *o, const char *word,
              const char *value, bool old)
{
  struct settings *values = ps->conf->values;
  const uint64_t bit = o->where & IN_NBD
    ? option_bit (conf_nbd_options, o) : option_bit (options, o);
  const enum section section = conf_current (ps);
  char msg[ERR_SIZE];
  uint64_t *given;
  void *field;
  int r;

  if (section == NBD) {
    field = (char *) &ps->conf->nbd + o->offset;
    given = &ps->conf->nbd_given;
  }
  else if (section == DEFAULTS || section == ISCSI || section == METRICS) {
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
      conf_warning (ps, "'%s' is given twice in '%s': the last one holds", word,
                    conf_current_name (ps));
    ps->seen |= bit;
  }
  /* As `multipath -t` prints what has no value. */
  if (value[0] == '\0' && strcmp (o->name, "prio_args") == 0)
    return 0;
  r = option_set (o, field, word, value, msg);
  if (r == -1)
    return fail (ps, "%s", msg);
  if (r == 1)
    conf_warning (ps, "%s", msg);
  *given |= bit;
  return 0;
}

int
conf_one_option (struct conf_parser *ps, const struct conf_line *line)
{
  const unsigned where = conf_current_where (ps);
  const struct conf_word *old;
  const struct option *o;
  const char *value = line->value;
  bool special;

  special = conf_is_special (conf_current (ps), line->word);
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
    conf_warning (ps, "'%s': only the first word of the value is taken: "
                  "put the value in quotes", line->word);
  }

  if (special)
    return special_option (ps, line->word, value);
  if (o)
    return table_option (ps, o, line->word, value, false);
  if (old->today == NULL) {
    conf_warning (ps, "'%s' has no meaning here: %s", old->word, old->why);
    return 0;
  }
  conf_warning (ps, "'%s' is obsolete: today's spelling is '%s'", old->word,
                old->today);
  if (strstr (old->word, "callout"))
    value = prio_of_callout (value);
  return table_option (ps, option_find (options, old->today, where), line->word,
                       value, true);
}
