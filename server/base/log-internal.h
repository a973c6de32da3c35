/* SPDX-License-Identifier: BSD-3-Clause */
/* Between log.c and log-thread.c. */
#ifndef MPISCSI_LOG_INTERNAL_H
#define MPISCSI_LOG_INTERNAL_H

#include <stdbool.h>

#include "base/log.h"

#define LOG_LINE 1024           /* bytes, with the NUL */

/* log.c: to the sink, in this thread. */
extern void log_write (enum log_level level, const char *line);
/* log-thread.c: for the thread to write; false: there is none. */
extern bool log_thread_put (enum log_level level, const char *line);

#endif /* MPISCSI_LOG_INTERNAL_H */
