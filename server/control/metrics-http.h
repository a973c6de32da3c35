/* SPDX-License-Identifier: BSD-3-Clause */
/* GET /metrics, for Prometheus and the like: HTTP/1.1, one request for each
 * connection, no TLS, nothing but that.
 *
 * It lives on the engine's loop and may not slow I/O down: at most
 * METRICS_CLIENTS connections, METRICS_TIME seconds for each, a request of
 * METRICS_REQUEST bytes; while one scrape is being sent no other is made. */
#ifndef MPISCSI_METRICS_HTTP_H
#define MPISCSI_METRICS_HTTP_H

#include <stddef.h>

struct engine;
struct metrics_http;

#define METRICS_CLIENTS 8
#define METRICS_TIME 5.0
#define METRICS_REQUEST 4096

/* WHERE: ADDRESS:PORT, [ADDRESS]:PORT, or the path of a Unix socket.  Before the
 * loop runs.  NULL: one line in err. */
extern struct metrics_http *metrics_http_start (struct engine *e,
                                                const char *where,
                                                char *err, size_t size);
/* No loop runs.  NULL ok. */
extern void metrics_http_stop (struct metrics_http *h);

#endif /* MPISCSI_METRICS_HTTP_H */
