/* SPDX-License-Identifier: BSD-3-Clause */
/* The parser while it runs: shared by conf-parse.c (lines, messages),
 * conf-sections.c and conf-set.c (options). */
#ifndef MPISCSI_CONF_PARSER_H
#define MPISCSI_CONF_PARSER_H

#include "conf/conf-internal.h"

enum section {
  TOP, DEFAULTS, BLACKLIST, BLACKLIST_DEVICE, EXCEPTIONS,
  EXCEPTIONS_DEVICE, DEVICES, DEVICE, OVERRIDES, PROTOCOL,
  MULTIPATHS, MULTIPATH, ISCSI, NBD, METRICS,
};

/* conf-sections.c.  Both tables end with a NULL name; where a word is known in
 * several sections, messages name the first. */
struct conf_section {
  const char *name;
  enum section section, parent;
  unsigned where;               /* which options may stand in it */
};
extern const struct conf_section conf_sections[];

/* Words that are no options of the tables, by section. */
struct conf_special {
  enum section section;
  const char *word;
};
extern const struct conf_special conf_specials[];

#define DEEPEST 2               /* sections in sections */
#define WARNINGS 256            /* more different ones are not remembered */

struct conf_parser {
  struct conf *conf;
  unsigned line;
  struct { const struct conf_section *section; unsigned line; } open[DEEPEST];
  unsigned depth;
  char pending[32];             /* a section's name; its '{' is to follow */
  unsigned pending_line;
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

/* conf-parse.c */
extern int conf_fail_at (struct conf_parser *ps, unsigned line, const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));
#define fail(ps, ...) conf_fail_at ((ps), (ps)->line, __VA_ARGS__)
/* Once for each text. */
extern void conf_warning (struct conf_parser *ps, const char *fs, ...)
  __attribute__ ((format (printf, 2, 3)));

/* conf-sections.c */
extern enum section conf_current (const struct conf_parser *ps);
extern const char *conf_current_name (const struct conf_parser *ps);
extern unsigned conf_current_where (const struct conf_parser *ps);
extern int conf_open_section (struct conf_parser *ps, const char *word);
extern int conf_close_section (struct conf_parser *ps);
extern void conf_add_rule (struct conf_parser *ps, enum section section,
                           struct conf_rule *rule);
extern void conf_options_init (struct conf_options *o);

/* conf-set.c */
extern bool conf_is_special (enum section section, const char *word);
/* Is the word an option, or once was, in this section? */
extern bool conf_option_known (const struct conf_section *section,
                               const char *word);
extern int conf_one_option (struct conf_parser *ps, const struct conf_line *line);

#endif /* MPISCSI_CONF_PARSER_H */
