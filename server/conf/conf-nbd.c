/* SPDX-License-Identifier: BSD-3-Clause */
/* The options of `nbd { }`, for `mpiscsi serve`. */
#include <config.h>

#include <stdlib.h>

#include "conf/conf-internal.h"
#include "conf/options.h"

static const struct choice tls[] = {
  { "off", TLS_OFF, NULL },
  { "on", TLS_ON, NULL },
  { "require", TLS_REQUIRE, NULL },
  { NULL, 0, NULL },
};

static const struct choice front_ends[] = {
  { "auto", FRONT_END_AUTO, NULL },
  { "own", FRONT_END_OWN, NULL },
  { "nbdkit", FRONT_END_NBDKIT, NULL },
  { NULL, 0, NULL },
};

static const struct choice unaligned[] = {
  { "serve", UNALIGNED_SERVE, NULL },
  { "refuse", UNALIGNED_REFUSE, NULL },
  { NULL, 0, NULL },
};

#define N(field) offsetof (struct conf_nbd, field), false, IN_NBD

const struct option conf_nbd_options[] = {
  { "front_end", OPTION_CHOICE, 0, 0, N (front_end), front_ends, "auto",
    "who speaks NBD: own (mpiscsi serve), nbdkit, or auto: nbdkit with filters" },
  { "unix_socket", OPTION_PATH, 0, 107, N (unix_socket), NULL,
    "(in the runtime directory)", "Unix socket to serve on" },
  { "unix_mode", OPTION_STRING, 0, 5, N (unix_mode), NULL, "(umask)",
    "mode of its file, in octal; 0660 with unix_group" },
  { "unix_group", OPTION_STRING, 0, 255, N (unix_group), NULL, "(unchanged)",
    "group of its file" },
  { "port", OPTION_COUNT, 1, 65535, N (port), NULL, "(no TCP)",
    "TCP port to serve on; NBD's own is 10809" },
  { "address", OPTION_STRING, 0, 4096, N (address), NULL, "(all)",
    "addresses to bind that port on, separated by commas" },
  { "vsock", OPTION_BOOL, 0, 0, N (vsock), NULL, "no",
    "the port is one of AF_VSOCK, for virtual machines" },
  { "tls", OPTION_CHOICE, 0, 0, N (tls), tls, "off", "off, on, or require" },
  { "tls_certificates", OPTION_PATH, 0, 0, N (tls_certificates), NULL,
    "(nbdkit's own)", "directory of the server's certificate" },
  { "tls_psk", OPTION_PATH, 0, 0, N (tls_psk), NULL, "(none)",
    "file of pre-shared keys" },
  { "tls_verify_peer", OPTION_BOOL, 0, 0, N (tls_verify_peer), NULL, "no",
    "clients must show a certificate" },
  { "threads", OPTION_COUNT, 0, 1024, N (threads), NULL, "0",
    "requests at once per connection; 0 leaves it to mpiscsi serve" },
  { "max_connections", OPTION_COUNT, 1, 100000, N (max_connections), NULL,
    "1024", "clients at once" },
  { "connection_memory", OPTION_COUNT, 1, 65536, N (connection_memory), NULL,
    "64", "MiB of data in flight per connection" },
  { "total_memory", OPTION_COUNT, 1, 1048576, N (total_memory), NULL, "512",
    "MiB of data in flight in all" },
  { "handshake_timeout", OPTION_SECONDS, 0.1, 86400, N (handshake_timeout),
    NULL, "15", "seconds that a client has to open an export" },
  { "unaligned", OPTION_CHOICE, 0, 0, N (unaligned), unaligned, "serve",
    "writes of half blocks: serve, by reading, changing and writing, or refuse" },
  { "read_only", OPTION_BOOL, 0, 0, N (read_only), NULL, "no",
    "clients may not write" },
  { "user", OPTION_STRING, 0, 255, N (user), NULL, "(unchanged)",
    "user to become once the sockets are bound" },
  { "group", OPTION_STRING, 0, 255, N (group), NULL, "(unchanged)",
    "group to become" },
  { "pid_file", OPTION_PATH, 0, 0, N (pid_file), NULL, "(none)",
    "written once the server is ready" },
  { "log", OPTION_STRING, 0, 255, N (log), NULL, "(stderr)",
    "where messages go: stderr, syslog, null" },
  { "filters", OPTION_STRING, 0, 4096, N (filters), NULL, "(none)",
    "nbdkit filters to put in front, outermost first, blanks between" },
  { NULL, 0, 0, 0, 0, false, 0, NULL, NULL, NULL },
};

static const struct conf_nbd defaults = {
  .max_connections = 1024,
  .connection_memory = 64,
  .total_memory = 512,
  .handshake_timeout = 15,
};

void
conf_nbd_init (struct conf_nbd *nbd)
{
  *nbd = defaults;
}

const struct conf_nbd *
conf_nbd (const struct conf *conf)
{
  return conf != NULL ? &conf->nbd : &defaults;
}

struct conf_nbd *
conf_nbd_copy (const struct conf_nbd *from)
{
  struct conf_nbd *to = calloc (1, sizeof *to);

  for (const struct option *o = conf_nbd_options; to && o->name; ++o)
    if (option_copy (o, (char *) to + o->offset,
                     (const char *) from + o->offset) == -1) {
      conf_nbd_free (to);
      return NULL;
    }
  return to;
}

int
conf_nbd_set (struct conf_nbd *nbd, const char *key, const char *value,
              char err[ERR_SIZE])
{
  const struct option *o = option_find (conf_nbd_options, key, IN_NBD);

  if (o == NULL)
    return 1;
  return option_set (o, (char *) nbd + o->offset, key, value, err) == -1
    ? -1 : 0;
}

void
conf_nbd_free (struct conf_nbd *nbd)
{
  if (nbd == NULL)
    return;
  for (const struct option *o = conf_nbd_options; o->name; ++o)
    option_clear (o, (char *) nbd + o->offset);
  free (nbd);
}
