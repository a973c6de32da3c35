/* SPDX-License-Identifier: BSD-3-Clause */
/* The sections of the configuration file: which there are, opened, closed. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf-parser.h"

const struct conf_section conf_sections[] = {
  { "defaults", DEFAULTS, TOP, IN_DEFAULTS },
  { "devices", DEVICES, TOP, 0 },
  { "device", DEVICE, DEVICES, IN_DEVICE },
  { "overrides", OVERRIDES, TOP, IN_OVERRIDES },
  { "protocol", PROTOCOL, OVERRIDES, IN_PROTOCOL },
  { "multipaths", MULTIPATHS, TOP, 0 },
  { "multipath", MULTIPATH, MULTIPATHS, IN_MULTIPATH },
  { "iscsi", ISCSI, TOP, IN_ISCSI },
  { "nbd", NBD, TOP, IN_NBD },
  { "metrics", METRICS, TOP, 0 },
  { "blacklist", BLACKLIST, TOP, 0 },
  { "devnode_blacklist", BLACKLIST, TOP, 0 },   /* until 2005 */
  { "device", BLACKLIST_DEVICE, BLACKLIST, 0 },
  { "blacklist_exceptions", EXCEPTIONS, TOP, 0 },
  { "device", EXCEPTIONS_DEVICE, EXCEPTIONS, 0 },
  { NULL, TOP, TOP, 0 },
};

const struct conf_special conf_specials[] = {
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
  { METRICS, "listen" },
  { TOP, NULL },
};

enum section
conf_current (const struct conf_parser *ps)
{
  return ps->depth ? ps->open[ps->depth - 1].section->section : TOP;
}

const char *
conf_current_name (const struct conf_parser *ps)
{
  return ps->depth ? ps->open[ps->depth - 1].section->name : "the file";
}

unsigned
conf_current_where (const struct conf_parser *ps)
{
  return ps->depth ? ps->open[ps->depth - 1].section->where : 0;
}

static int
unknown_section (struct conf_parser *ps, const char *word)
{
  const enum section here = conf_current (ps);
  struct nearest nearest;
  const char *near;
  char shown[64];

  printable (word, shown, sizeof shown);
  for (const struct conf_section *i = conf_sections; i->name; ++i)
    if (strcmp (word, i->name) == 0) {
      if (i->parent == TOP)
        return fail (ps, "section '%s' begins inside of '%s' of line %u: "
                     "is its '}' missing?", shown, conf_current_name (ps),
                     ps->open[ps->depth - 1].line);
      for (const struct conf_section *j = conf_sections; j->name; ++j)
        if (j->section == i->parent)
          return fail (ps, "section '%s' is not allowed in '%s': "
                       "it belongs in '%s'", shown, conf_current_name (ps),
                       j->name);
    }
  for (const struct conf_section *i = conf_sections; i->name; ++i)
    if (conf_option_known (i, word))
      return fail (ps, "'%s' is an option, not a section: no '{' after it",
                   shown);

  nearest_start (&nearest, word);
  for (const struct conf_section *i = conf_sections; i->name; ++i)
    if (i->parent == here)
      nearest_try (&nearest, i->name);
  near = nearest_word (&nearest);
  if (near)
    return fail (ps, "unknown section '%s', did you mean '%s'?", shown, near);
  return fail (ps, "unknown section '%s'", shown);
}

void
conf_options_init (struct conf_options *o)
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
int
conf_open_section (struct conf_parser *ps, const char *word)
{
  const enum section here = conf_current (ps);
  const struct conf_section *i;

  for (i = conf_sections; i->name; ++i)
    if (i->parent == here && strcmp (word, i->name) == 0)
      break;
  if (i->name == NULL)
    return unknown_section (ps, word);
  if (ps->depth == DEEPEST)
    return fail (ps, "sections are nested too deep");
  if (i->section == BLACKLIST && word[0] == 'd')
    conf_warning (ps, "'%s' is obsolete: today's spelling is 'blacklist'", word);

  ps->open[ps->depth].section = i;
  ps->open[ps->depth].line = ps->line;
  ps->depth++;
  ps->seen = 0;
  ps->options = NULL;
  switch (i->section) {
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
    ps->device->line = ps->line;
    conf_options_init (&ps->device->options);
    append (&ps->conf->devices, offsetof (struct conf_device, next),
            ps->device);
    ps->options = &ps->device->options;
    break;
  case MULTIPATH:
    ps->multipath = calloc (1, sizeof *ps->multipath);
    if (ps->multipath == NULL)
      return fail (ps, "out of memory");
    ps->multipath->line = ps->line;
    conf_options_init (&ps->multipath->options);
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
rules_of (struct conf_parser *ps, enum section section)
{
  return section == EXCEPTIONS || section == EXCEPTIONS_DEVICE
    ? &ps->conf->exceptions : &ps->conf->blacklist;
}

void
conf_add_rule (struct conf_parser *ps, enum section section, struct conf_rule *rule)
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
close_device (struct conf_parser *ps)
{
  struct conf_device *d = ps->device;
  const char *why = NULL;

  ps->device = NULL;
  if (d->vendor == NULL && d->product == NULL)
    /* multipathd leaves such a section out, too. */
    conf_warning (ps, "a 'device' without vendor and product matches nothing");
  if (ps->product_blacklist) {
    struct conf_rule *rule = calloc (1, sizeof *rule);

    if (rule == NULL)
      return fail (ps, "out of memory");
    rule->by = BY_DEVICE;
    rule->line = ps->open[ps->depth - 1].line;
    conf_add_rule (ps, BLACKLIST, rule);
    rule->product = conf_pattern_new (ps->product_blacklist, false, &why);
    if (rule->product && ps->vendor)
      rule->pattern = conf_pattern_new (ps->vendor, false, &why);
    if (rule->product == NULL || (ps->vendor && rule->pattern == NULL))
      return conf_fail_at (ps, rule->line, "'product_blacklist': %s", why);
  }
  free_string (&ps->vendor);
  free_string (&ps->product_blacklist);
  return 0;
}

static int
close_multipath (struct conf_parser *ps)
{
  const struct option *alias = option_find (options, "alias", IN_MULTIPATH);
  struct conf_multipath *m = ps->multipath;

  ps->multipath = NULL;
  if (m->wwid == NULL)
    return conf_fail_at (ps, m->line, "'multipath' has no 'wwid': "
                         "which LUN is it for?");
  if (!(m->options.given & option_bit (options, alias)))
    return 0;
  for (struct conf_multipath *o = ps->conf->multipaths; o != m; o = o->next)
    if (o->options.values.alias && strcmp (o->wwid, m->wwid) != 0 &&
        strcmp (o->options.values.alias, m->options.values.alias) == 0)
      return conf_fail_at (ps, m->line, "alias '%s' is that of another WWID "
                           "already, in line %u", m->options.values.alias, o->line);
  return 0;
}

/* features is an old way to say no_path_retry, and loses against that. */
static void
remark_on_features (struct conf_parser *ps)
{
  const uint64_t bit =
    option_bit (options, option_find (options, "no_path_retry", ~0u));
  const struct conf_options *o = ps->options;
  const unsigned line = ps->line;

  if (o == NULL || o->queue_line == 0)
    return;
  ps->line = o->queue_line;
  if ((o->given | ps->conf->values->given) & bit)
    conf_warning (ps, "'features' with queue_if_no_path is obsolete: the value "
                  "of 'no_path_retry' holds");
  else
    conf_warning (ps, "'features' with queue_if_no_path is obsolete: "
                  "today's spelling is 'no_path_retry queue'");
  ps->line = line;
}

int
conf_close_section (struct conf_parser *ps)
{
  const enum section section = conf_current (ps);
  int r = 0;

  remark_on_features (ps);

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
      r = conf_fail_at (ps, ps->open[ps->depth - 1].line,
                        "'protocol' has no 'type'");
    else if (strcmp (ps->protocol_type, "scsi:iscsi") == 0)
      move_options (&ps->conf->protocol, &ps->protocol);
    else
      conf_warning (ps, "a 'protocol' of another type than 'scsi:iscsi' "
                    "has no meaning here");
    free_string (&ps->protocol_type);
    map_settings_free (&ps->protocol.values);
    conf_options_init (&ps->protocol);
    break;
  case BLACKLIST_DEVICE: case EXCEPTIONS_DEVICE:
    if (ps->rule->pattern == NULL && ps->rule->product == NULL) {
      conf_warning (ps, "a 'device' without vendor and product matches nothing");
      free (ps->rule);
    }
    else
      conf_add_rule (ps, section, ps->rule);
    ps->rule = NULL;
    break;
  default:
    break;
  }
  ps->depth--;
  ps->seen = 0;
  ps->options = ps->depth && conf_current (ps) == OVERRIDES
    ? &ps->conf->overrides : NULL;
  return r;
}
