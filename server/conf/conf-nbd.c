/* SPDX-License-Identifier: BSD-3-Clause */
/* The options of `nbd { }`: they become nbdkit's own (nbdkit(1)) when
 * `mpiscsi serve` execs it. */
#include <config.h>

#include "conf/conf-internal.h"

static const struct choice tls[] = {
  { "off", TLS_OFF, NULL },
  { "on", TLS_ON, NULL },
  { "require", TLS_REQUIRE, NULL },
  { NULL, 0, NULL },
};

#define N(field) offsetof (struct conf_nbd, field), false, IN_NBD

const struct option conf_nbd_options[] = {
  { "unix_socket", OPTION_PATH, 0, 107, N (unix_socket), NULL,
    "(in the runtime directory)", "Unix socket to serve on" },
  { "port", OPTION_COUNT, 1, 65535, N (port), NULL, "(no TCP)",
    "TCP port to serve on; NBD's own is 10809" },
  { "address", OPTION_STRING, 0, 253, N (address), NULL, "(all)",
    "address to bind that port on" },
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
