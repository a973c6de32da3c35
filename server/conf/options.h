/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of options: one row drives the plugin's parameter, the option of
 * the configuration file, the error message and the help text.
 *
 * Pure.  Everything here may be called on any thread; the tables are const.
 */
#ifndef MPISCSI_OPTIONS_H
#define MPISCSI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/settings.h"

enum option_type {
  OPTION_BOOL,                  /* bool; yes/no/on/off..., or choices if any */
  OPTION_COUNT,                 /* unsigned */
  OPTION_INT,                   /* int; "no" and "off" are 0 */
  OPTION_LUN,                   /* int; -1 is "not given" */
  OPTION_SECONDS,               /* double; fractions are taken */
  OPTION_PAUSE,                 /* double; "no" and "off" are 0 */
  OPTION_TMO,                   /* double; "off" and "infinity" are TMO_OFF */
  OPTION_CHOICE,                /* an enum: one of choices */
  OPTION_RETRY,                 /* int: no_path_retry */
  OPTION_FAILBACK,              /* int: failback */
  OPTION_STRING,                /* char *; may not be empty */
  OPTION_PATH,                  /* the same; a file */
  OPTION_SOCKET,                /* the same; "", "none" and "off" are "" */
  OPTION_USER,                  /* the same; at most CHAP_MAX bytes */
  OPTION_SECRET,                /* the same; never shown, wiped */
  OPTION_NAME,                  /* the same; an iSCSI name */
  OPTION_OWN_NAME,              /* the same; or +FILE that has it */
  OPTION_KEY,                   /* the same; a reservation key, in hex */
  OPTION_ALIAS,                 /* the same; good as an export's name */
  OPTION_PORTALS,               /* the field is the struct settings itself */
};

/* libiscsi keeps CHAP names and secrets in 255 bytes and cuts what is longer
 * without a word. */
#define CHAP_MAX 255

/* Where an option may stand. */
enum {
  IN_PARAMETERS = 1,            /* nbdkit's command line */
  IN_ISCSI = 2,                 /* sections of the file from here */
  IN_NBD = 4,
  IN_DEFAULTS = 8,
  IN_DEVICE = 16,
  IN_OVERRIDES = 32,
  IN_PROTOCOL = 64,
  IN_MULTIPATH = 128,
};

struct choice {
  const char *name;
  int value;
  const char *remark;           /* not NULL: accepted, but say this */
};

struct option {
  const char *name;             /* multipath.conf's spelling, with '_' */
  enum option_type type;
  double min, max;              /* of numbers */
  size_t offset;                /* in struct settings; map: in map_settings */
  bool map;                     /* may differ from map to map */
  unsigned where;
  const struct choice *choices; /* ends with a NULL name */
  const char *value;            /* the default, as text for people */
  const char *help;
};

/* options.c */
extern const struct option options[];   /* ends with a NULL name */
/* In any of the places WHERE; '-' equals '_', other names of an option
 * ("portal" for "portals") are known.  NULL if there is none. */
extern const struct option *option_find (const struct option *table,
                                         const char *name, unsigned where);
/* Its bit in a word of given options: tables have at most 64 rows. */
extern uint64_t option_bit (const struct option *table,
                            const struct option *option);
extern void *option_field (const struct option *option, struct settings *s);
extern void *option_map_field (const struct option *option,
                               struct map_settings *m);

/* values.c */
/* 0 if set, 1 if set and msg has a remark, -1 if msg says what is wrong with
 * it (then nothing is changed).  NAME is as the person wrote it; msg is one
 * line.  Secrets are never shown in it. */
extern int option_set (const struct option *option, void *field,
                       const char *name, const char *value,
                       char msg[ERR_SIZE]);
/* Deep copy over what was in dst; -1: no memory. */
extern int option_copy (const struct option *option, void *dst,
                        const void *src);
extern void option_clear (const struct option *option, void *field);
/* The value as the file has it; "(secret)" for one.  Returns buf. */
extern const char *option_text (const struct option *option, const void *field,
                                char *buf, size_t size);

/* nearest.c: the word that was probably meant. */
struct nearest {
  const char *word, *best;
  unsigned distance;            /* of best: edits, a swap being one */
};
extern void nearest_start (struct nearest *n, const char *word);
extern void nearest_try (struct nearest *n, const char *candidate);
/* NULL if nothing is near enough to be worth a question. */
extern const char *nearest_word (const struct nearest *n);

/* Copies text for a message: cut to fit, without control characters. */
extern const char *printable (const char *text, char *buf, size_t size);

#endif /* MPISCSI_OPTIONS_H */
