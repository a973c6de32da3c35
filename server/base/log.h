/* SPDX-License-Identifier: BSD-3-Clause */
/* Between log.c and log-thread.c; others use what engine.h has. */
#ifndef MPISCSI_LOG_H
#define MPISCSI_LOG_H

#include <stdbool.h>

#include "engine/engine.h"

#define LOG_LINE 1024           /* bytes, with the NUL */

/* log.c: to the sink, in this thread. */
extern void log_write (enum log_level level, const char *line);
/* log-thread.c: for the thread to write; false: there is none. */
extern bool log_thread_put (enum log_level level, const char *line);

#endif /* MPISCSI_LOG_H */
