/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration file: multipath.conf's grammar and sections, and two of
 * our own: iscsi (what to log in to) and nbd (where to serve).
 *
 * Why a parser of our own: the grammar is line-based and small, has its own
 * rules of quoting that no library knows, and whoever has mistyped a word
 * wants the file, the line and the word that was meant; libmultipath's own
 * parser is neither a public interface nor strict.
 *
 * Pure, except that conf_load reads FILE and conf_apply the password files.
 * A struct conf is written by the thread that loads it, and is read-only
 * after conf_apply: then any thread may resolve.
 */
#ifndef MPISCSI_CONF_H
#define MPISCSI_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "scsi/scsi.h"
#include "conf/settings.h"

/* settings.c: built-in values; -1: no memory. */
extern int map_settings_init (struct map_settings *m);
extern void map_settings_free (struct map_settings *m);
/* Has somebody set this option of a map, or is it the built-in value? */
extern bool map_settings_gives (const struct map_settings *m,
                                const char *option);

/* `nbd { }`: for `mpiscsi serve`. */
enum conf_tls { TLS_OFF, TLS_ON, TLS_REQUIRE };
enum conf_front_end { FRONT_END_AUTO, FRONT_END_OWN, FRONT_END_NBDKIT };
enum conf_unaligned { UNALIGNED_SERVE, UNALIGNED_REFUSE };
struct conf_nbd {
  enum conf_front_end front_end;
  char *unix_mode, *unix_group; /* of the socket; NULL: as the system has it */
  enum conf_unaligned unaligned;
  unsigned max_connections;
  unsigned connection_memory, total_memory;     /* MiB */
  double handshake_timeout;
  char *unix_socket;            /* NULL: none */
  char *address;                /* NULL: all; with port only */
  unsigned port;                /* 0: no TCP */
  bool vsock;                   /* port is one of AF_VSOCK */
  enum conf_tls tls;
  char *tls_certificates;       /* directory; NULL: nbdkit's default */
  char *tls_psk;                /* file */
  bool tls_verify_peer;
  unsigned threads;             /* requests at once per connection; 0: chosen */
  bool read_only;
  char *user, *group;           /* to become after the sockets are bound */
  char *pid_file;
  char *log;                    /* nbdkit's --log: stderr, syslog, null */
  char *filters;                /* names of nbdkit filters, blanks between */
};

struct conf;

/* NULL: err says "FILE:LINE: what".  warn is called with one such line for
 * each thing that is accepted but does nothing, or is spelt the old way (once
 * for each word); may be NULL. */
extern struct conf *conf_load (const char *file,
                               void (*warn) (void *opaque, const char *text),
                               void *opaque, char err[ERR_SIZE]);
/* The same from memory; NAME is for the messages and for relative names of
 * password files. */
extern struct conf *conf_parse (const char *name, const char *text, size_t len,
                                void (*warn) (void *opaque, const char *text),
                                void *opaque, char err[ERR_SIZE]);
extern void conf_free (struct conf *conf);      /* wipes secrets; NULL ok */
/* CONF NULL: the defaults. */
extern const struct conf_nbd *conf_nbd (const struct conf *conf);
/* conf-nbd.c: a copy of it (NULL: no memory), for KEY=VALUE on the command line:
 * 1: there is no such key; -1: err says what is wrong with the value. */
extern struct conf_nbd *conf_nbd_copy (const struct conf_nbd *nbd);
extern int conf_nbd_set (struct conf_nbd *nbd, const char *key,
                         const char *value, char err[ERR_SIZE]);
extern void conf_nbd_free (struct conf_nbd *nbd);
/* Does a `defaults` or `iscsi` section give this option? */
extern bool conf_gives (const struct conf *conf, const char *option);
/* Puts the iscsi and defaults sections into s, except what s->given has;
 * reads password files. */
extern int conf_apply (const struct conf *conf, struct settings *s,
                       char err[ERR_SIZE]);

/* conf-words.c: what replaced an obsolete option; NULL if it is none. */
extern const char *conf_todays_spelling (const char *word);

/* conf-resolve.c */
/* The options of one map, by its LUN's facts: command line, then multipaths,
 * overrides, devices, the device table (devices.h), defaults, built-in.  target (may be NULL) is for
 * messages only.  *out is new: map_settings_free.  -1: no memory. */
extern int conf_resolve (const struct settings *s, const struct lu_facts *lu,
                         const char *target, struct map_settings *out);
/* The file's sections that hold for some maps (overrides, devices, blacklists,
 * multipaths), in its own grammar: it can be loaded again. */
extern void conf_print (const struct conf *conf, FILE *out);
/* conf-print.c: the device table, in the file's grammar; and which rules fit a
 * LUN with that vendor and product, and what holds for it.  -1: no memory. */
extern void conf_print_table (FILE *fp);
extern int conf_print_device (FILE *fp, const struct settings *s,
                              const struct lu_facts *lu);
/* Is this LUN, seen through this target and portal (each may be NULL), kept
 * out?  Everything that was logged in to is let in by default.  why: for the
 * log, e.g. "blacklisted, wwid: /etc/mpiscsi.conf:12". */
extern bool conf_blacklisted (const struct settings *s,
                              const struct lu_facts *lu, const char *target,
                              const struct portal *portal,
                              char *why, size_t size);

#endif /* MPISCSI_CONF_H */
