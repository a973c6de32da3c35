/* SPDX-License-Identifier: BSD-3-Clause */
/* What is in force, printed: the device table, and what holds for one array. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "conf/conf-internal.h"
#include "conf/devices.h"
#include "conf/options.h"

static void
print_options (FILE *fp, const char *indent, const struct conf_options *from)
{
  for (const struct option *o = options; o->name; ++o) {
    char text[1024];

    if (!o->map || !(from->given & option_bit (options, o)))
      continue;
    option_text (o, (const char *) &from->values + o->offset, text,
                 sizeof text);
    fprintf (fp, strchr (text, ' ') ? "%s%s \"%s\"\n" : "%s%s %s\n", indent,
            o->name, text);
  }
}

/* Names of arrays have no other special characters of an expression. */
static void
print_expression (FILE *fp, const char *word, const char *text, bool whole)
{
  if (text[0] != '\0')
    fprintf (fp, "\t\t%s \"^%s%s\"\n", word, text, whole ? "$" : "");
}

/* In the file's grammar. */
void
conf_print_table (FILE *fp)
{
  const struct device_family *f;
  struct conf_options given;

  fprintf (fp, "devices {\n\t# Built in; a device of the file beats it.\n");
  for (unsigned i = 0; (f = device_family_at (i)) != NULL; ++i) {
    conf_builtin (f, &given);
    for (const struct device_unit *u = f->units; u->vendor; ++u) {
      fprintf (fp, "\tdevice {\n\t\t# %s\n", f->name);
      print_expression (fp, "vendor", u->vendor, true);
      print_expression (fp, "product", u->product, false);
      print_options (fp, "\t\t", &given);
      fprintf (fp, "\t}\n");
    }
  }
  fprintf (fp, "}\n");
}

int
conf_print_device (FILE *fp, const struct settings *s,
                   const struct lu_facts *lu)
{
  const struct device_family *f = device_family (lu);
  struct conf_options given;
  struct map_settings m;

  if (f != NULL) {
    fprintf (fp, "# built in: %s\n", f->name);
    conf_builtin (f, &given);
    print_options (fp, "#\t", &given);
    if (f->to_alua)
      fprintf (fp, "# without ALUA: %s\n", f->to_alua);
  }
  else
    fprintf (fp, "# nothing is built in for it\n");
  if (s->conf)
    for (const struct conf_device *d = s->conf->devices; d; d = d->next)
      if (conf_device_matches (d, lu)) {
        fprintf (fp, "# device of %s:%u\n", s->conf->name, d->line);
        print_options (fp, "#\t", &d->options);
      }
  if (conf_resolve (s, lu, NULL, &m) == -1)
    return -1;
  given.values = m;
  given.given = ~UINT64_C (0);
  print_options (fp, "", &given);
  map_settings_free (&m);
  return 0;
}
