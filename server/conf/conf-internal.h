/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files conf*.c share. */
#ifndef MPISCSI_CONF_INTERNAL_H
#define MPISCSI_CONF_INTERNAL_H

#include <regex.h>

#include "conf/conf.h"
#include "conf/options.h"

/* conf-lex.c: one line, cut in place. */
struct conf_line {
  char *word;                   /* option or section; NULL: nothing there */
  char *value;                  /* NULL: none */
  bool extra;                   /* more text behind the value */
  bool open, close;             /* "word {" and "}" */
};
/* Cuts the NUL-terminated line s (which is changed); NULL if well-formed,
 * else what is wrong with it (static text). */
extern const char *conf_lex (char *s, struct conf_line *line);

/* conf-words.c: words of multipath.conf, old and new, that are no options
 * here. */
struct conf_word {
  const char *word;
  unsigned where;               /* IN_ bits of options.h */
  const char *today;            /* the option to set instead; NULL: nothing acts */
  const char *why;              /* for the warning */
};
extern const struct conf_word conf_words[];     /* ends with a NULL word */
extern const struct conf_word *conf_word_find (const char *word, unsigned where);

/* conf-pattern.c: POSIX extended regular expressions, not anchored; with
 * `negate`, a '!' in front turns the match around ("\!" is a plain one). */
struct conf_pattern {
  regex_t re;
  bool negated;
  char *text;                   /* as it was given */
};
/* NULL: *why says what is wrong with it. */
extern struct conf_pattern *conf_pattern_new (const char *text, bool negate,
                                              const char **why);
extern void conf_pattern_free (struct conf_pattern *p); /* NULL ok */
extern bool conf_pattern_match (const struct conf_pattern *p, const char *text);

/* The options of one section that hold for maps. */
struct conf_options {
  struct map_settings values;   /* only those whose bit is in given */
  uint64_t given;
  int queue_feature;            /* features "1 queue_if_no_path": 1; other: 0;
                                 * not given: -1 */
  unsigned queue_line;          /* that said 1; 0: none */
  int delay_watch, delay_wait;  /* obsolete delay_*_checks; 0 none */
};

struct conf_device {            /* devices { device { } } */
  struct conf_device *next;
  unsigned line;
  struct conf_pattern *vendor, *product, *revision;     /* NULL: any */
  struct conf_options options;
};

struct conf_multipath {         /* multipaths { multipath { } } */
  struct conf_multipath *next;
  unsigned line;
  char *wwid;
  struct conf_options options;
};

/* conf-resolve.c */
extern bool conf_device_matches (const struct conf_device *d,
                                 const struct lu_facts *lu);
struct device_family;
/* What the device table gives; F NULL: nothing. */
extern void conf_builtin (const struct device_family *f,
                          struct conf_options *o);

enum conf_criterion { BY_DEVICE, BY_WWID, BY_TARGET, BY_PORTAL, NR_CRITERIA };
struct conf_rule {              /* one entry of blacklist or its exceptions */
  struct conf_rule *next;
  enum conf_criterion by;
  unsigned line;
  struct conf_pattern *pattern; /* BY_DEVICE: the vendor; NULL: any */
  struct conf_pattern *product; /* BY_DEVICE only; NULL: any */
};

struct conf {
  char *name;                   /* of the file */
  struct settings *values;      /* defaults and iscsi; ->given says which */
  struct conf_options extra;    /* defaults: only features and delay_* */
  char *password_file, *mutual_password_file;
  struct conf_nbd nbd;
  uint64_t nbd_given;
  struct conf_device *devices;          /* in the order of the file */
  struct conf_options overrides, protocol;
  struct conf_multipath *multipaths;    /* in the order of the file */
  struct conf_rule *blacklist, *exceptions;
};

/* conf-nbd.c */
extern const struct option conf_nbd_options[];
extern void conf_nbd_init (struct conf_nbd *nbd);

/* conf-parse.c: fills conf; -1: err says "NAME:LINE: what". */
extern int conf_parse_text (struct conf *conf, char *text, size_t len,
                            void (*warn) (void *opaque, const char *text),
                            void *opaque, char err[ERR_SIZE]);

#endif /* MPISCSI_CONF_INTERNAL_H */
