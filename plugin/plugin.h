/* SPDX-License-Identifier: BSD-3-Clause */
/* The nbdkit plugin: glue between nbdkit's callbacks and the server behind. */
#ifndef MPISCSI_PLUGIN_H
#define MPISCSI_PLUGIN_H

#define NBDKIT_API_VERSION 2
#include <stdbool.h>

#include <nbdkit-plugin.h>

#include "service/service.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* One per NBD connection. */
struct handle {
  struct service_client client;
};

/* plugin.c.  NULL before after_fork. */
extern struct engine *engine;

/* io.c */
extern int64_t mpiscsi_get_size (void *handle);
extern int mpiscsi_can_write (void *handle);
extern int mpiscsi_can_flush (void *handle);
extern int mpiscsi_can_fua (void *handle);
extern int mpiscsi_can_multi_conn (void *handle);
extern int mpiscsi_is_rotational (void *handle);
extern int mpiscsi_block_size (void *handle, uint32_t *minimum,
                               uint32_t *preferred, uint32_t *maximum);
extern int mpiscsi_pread (void *handle, void *buf, uint32_t count,
                          uint64_t offset, uint32_t flags);
extern int mpiscsi_pwrite (void *handle, const void *buf, uint32_t count,
                           uint64_t offset, uint32_t flags);
extern int mpiscsi_flush (void *handle, uint32_t flags);
extern int mpiscsi_can_trim (void *handle);
extern int mpiscsi_trim (void *handle, uint32_t count, uint64_t offset,
                         uint32_t flags);
extern int mpiscsi_can_zero (void *handle);
extern int mpiscsi_can_fast_zero (void *handle);
extern int mpiscsi_zero (void *handle, uint32_t count, uint64_t offset,
                         uint32_t flags);
extern int mpiscsi_can_extents (void *handle);
extern int mpiscsi_extents (void *handle, uint32_t count, uint64_t offset,
                            uint32_t flags, struct nbdkit_extents *extents);

/* exports.c */
extern void *mpiscsi_open (int readonly);
extern void mpiscsi_close (void *handle);
extern int mpiscsi_list_exports (int readonly, int is_tls,
                                 struct nbdkit_exports *exports);
extern const char *mpiscsi_default_export (int readonly, int is_tls);
extern const char *mpiscsi_export_description (void *handle);

/* nbdkit-version.c.  At the start: one thread, and the log goes to the terminal. */
extern void nbdkit_version_warn (void);

/* log-sink.c */
/* nbdkit_error, which prints names as they come: only log-sink.c calls that. */
extern void plugin_error (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));
extern void log_sink_starting (void);   /* at the terminal, before the fork */
/* The start is over: warnings are worth telling only if it went well, else
 * the one line that says why not is. */
extern void log_sink_started (bool good);
/* What was told then is not told again there. */
extern void log_sink_serving (void);    /* after it: stderr or syslog */

#endif /* MPISCSI_PLUGIN_H */
