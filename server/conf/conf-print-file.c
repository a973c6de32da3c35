/* SPDX-License-Identifier: BSD-3-Clause */
/* The sections of the configuration file that hold for some maps, in its own
 * grammar, so that what `check` prints can be loaded again. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "conf/conf-internal.h"
#include "conf/options.h"

/* A quote inside is doubled (multipath.conf(5), SYNTAX). */
static void
print_value (FILE *out, const char *indent, const char *name, const char *text)
{
  fprintf (out, "%s%s \"", indent, name);
  for (; *text; ++text)
    fprintf (out, *text == '"' ? "\"\"" : "%c", *text);
  fputs ("\"\n", out);
}

static void
print_options (FILE *out, const char *indent, const struct conf_options *from)
{
  for (const struct option *o = options; o->name; ++o) {
    char text[1024];

    if (!o->map || !(from->given & option_bit (options, o)))
      continue;
    option_text (o, (const char *) &from->values + o->offset, text,
                 sizeof text);
    print_value (out, indent, o->name, text);
  }
}

static void
print_pattern (FILE *out, const char *indent, const char *name,
               const struct conf_pattern *p)
{
  if (p != NULL)
    print_value (out, indent, name, p->text);
}

static void
print_rules (FILE *out, const char *name, const struct conf_rule *rule)
{
  static const char *const names[] = {
    [BY_WWID] = "wwid", [BY_TARGET] = "target", [BY_PORTAL] = "portal",
  };

  if (rule == NULL)
    return;
  fprintf (out, "%s {\n", name);
  for (; rule; rule = rule->next)
    if (rule->by != BY_DEVICE)
      print_pattern (out, "\t", names[rule->by], rule->pattern);
    else {
      fputs ("\tdevice {\n", out);
      print_pattern (out, "\t\t", "vendor", rule->pattern);
      print_pattern (out, "\t\t", "product", rule->product);
      fputs ("\t}\n", out);
    }
  fputs ("}\n", out);
}

void
conf_print (const struct conf *conf, FILE *out)
{
  if (conf->overrides.given || conf->protocol.given) {
    fputs ("overrides {\n", out);
    print_options (out, "\t", &conf->overrides);
    if (conf->protocol.given) {
      fputs ("\tprotocol {\n\t\ttype \"scsi:iscsi\"\n", out);
      print_options (out, "\t\t", &conf->protocol);
      fputs ("\t}\n", out);
    }
    fputs ("}\n", out);
  }
  if (conf->devices)
    fputs ("devices {\n", out);
  for (const struct conf_device *d = conf->devices; d; d = d->next) {
    fputs ("\tdevice {\n", out);
    print_pattern (out, "\t\t", "vendor", d->vendor);
    print_pattern (out, "\t\t", "product", d->product);
    print_pattern (out, "\t\t", "revision", d->revision);
    print_options (out, "\t\t", &d->options);
    fputs ("\t}\n", out);
  }
  if (conf->devices)
    fputs ("}\n", out);
  print_rules (out, "blacklist", conf->blacklist);
  print_rules (out, "blacklist_exceptions", conf->exceptions);
  if (conf->multipaths)
    fputs ("multipaths {\n", out);
  for (const struct conf_multipath *m = conf->multipaths; m; m = m->next) {
    fputs ("\tmultipath {\n", out);
    print_value (out, "\t\t", "wwid", m->wwid);
    print_options (out, "\t\t", &m->options);
    fputs ("\t}\n", out);
  }
  if (conf->multipaths)
    fputs ("}\n", out);
}
