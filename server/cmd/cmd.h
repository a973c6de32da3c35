/* SPDX-License-Identifier: BSD-3-Clause */
/* The command `mpiscsi`: what its files share.
 *
 * Exit status: 0 done, 1 it failed (one line on stderr says why), 2 the
 * command line is wrong. */
#ifndef MPISCSI_CMD_H
#define MPISCSI_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "conf/settings.h"

#define CMD_FAILED 1
#define CMD_USAGE 2
#define CMD_CONF "/etc/mpiscsi.conf"

struct cmd {
  const char *name;             /* "show" */
  int argc;                     /* what is behind it */
  char **argv;
  char **more;                  /* behind "--"; ends with NULL */
  bool json, colour, dry_run, quiet;
  const char *conf;             /* NULL: not given */
  const char *socket;           /* NULL: not given */
  const char *plugin;           /* NULL: not given */
  /* serve */
  const char *run;              /* shell command; NULL: none */
  bool single, exit_when_idle, verbose;
};

/* cmd-main.c: one line on stderr. */
extern void cmd_error (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));
/* The same, and where help is; returns CMD_USAGE. */
extern int cmd_usage (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));

/* The others: return the exit status. */
extern int cmd_show (const struct cmd *cmd);            /* cmd-show.c */
extern int cmd_metrics (const struct cmd *cmd);         /* cmd-metrics.c */
extern int cmd_alive (const struct cmd *cmd);           /* cmd-alive.c */
extern int cmd_verb (const struct cmd *cmd);            /* cmd-verb.c */
extern int cmd_watch (const struct cmd *cmd);           /* cmd-watch.c */
extern int cmd_discover (const struct cmd *cmd);        /* cmd-discover.c */
extern int cmd_scan (const struct cmd *cmd);            /* cmd-scan.c */
extern int cmd_serve (const struct cmd *cmd);           /* cmd-serve.c */
extern int cmd_check (const struct cmd *cmd);           /* cmd-check.c */

/* cmd-check-devices.c */
extern int check_device (const struct settings *s, const char *name);

/* cmd-persist.c: has options of its own, mpathpersist's; ARGV[0] is no option. */
extern int cmd_persist (int argc, char **argv);

/* cmd-serve.c: the command line of nbdkit; ends with NULL.  Both lists are
 * one malloc'd vector of malloc'd strings; NULL: no memory. */
struct conf_nbd;
extern char **cmd_serve_argv (const struct cmd *cmd, const struct settings *s,
                              const struct conf_nbd *nbd);
extern void cmd_free_argv (char **argv);
/* Is it nbdkit that serves?  NULL: no; else why. */
extern const char *cmd_serve_nbdkit (const struct cmd *cmd,
                                     const struct conf_nbd *nbd);
/* Below the runtime directory, named after the configuration file:
 * "mpiscsi.nbd". */
extern void cmd_serve_socket (const struct settings *s, char *buf, size_t size);

/* cmd-serve-own.c: with our own NBD server.  S is taken. */
extern int cmd_serve_own (const struct cmd *cmd, struct settings *s,
                          const struct conf_nbd *nbd);

/* cmd-settings.c: from -c FILE (or, without PORTALS on the command line,
 * CMD_CONF), portals, and KEY=VALUE as for the plugin.  NULL: said why. */
extern struct settings *cmd_settings (const struct cmd *cmd);
/* Which of WORDS was probably meant; NULL: none. */
extern const char *cmd_nearest (const char *name, const char *const *words,
                                size_t n);
/* The same once more, by a server that runs: OLD is what it has, and knows what
 * can be read only once.  NULL: err. */
extern struct settings *cmd_settings_again (const struct cmd *cmd,
                                            const struct settings *old,
                                            char *err, size_t size);
/* Before the first use of the engine: only its warnings and errors are shown,
 * and a connection that breaks is no signal. */
extern void cmd_prepare_engine (void);

/* cmd-client.c: running servers. */
struct server {
  char path[108];
  int fd;
  char *in;                     /* read, not yet given out */
  size_t in_len, in_size;
};
/* All that answer: the socket of --socket, or those in the runtime
 * directories.  How many; 0: said that there is none. */
extern size_t servers_open (const struct cmd *cmd, struct server **servers);
extern void servers_close (struct server *servers, size_t n);
/* REQUEST (taken) gets "version" and is sent.  The answer, or NULL: said what
 * went wrong.  An answer with "ok": false is an answer. */
extern json_t *server_ask (struct server *s, json_t *request);
/* One more line, waiting for it at most SECONDS (0: only what is there).
 * NULL: none, or *gone. */
extern json_t *server_line (struct server *s, double seconds, bool *gone);
extern bool answer_ok (const json_t *answer);
extern const char *answer_error (const json_t *answer);

#endif /* MPISCSI_CMD_H */
