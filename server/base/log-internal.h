/* SPDX-License-Identifier: BSD-3-Clause */
/* Between log.c and log-thread.c. */
#ifndef MPISCSI_LOG_INTERNAL_H
#define MPISCSI_LOG_INTERNAL_H

#include <stdbool.h>

#include "base/log.h"

#define LOG_LINE 1024           /* bytes, with the NUL */

/* log.c: to the sink, in this thread. */
extern void log_write (enum log_level level, const char *line);
/* From now on lines go to P, for another thread to write; it returns false when
 * there is none. */
extern void log_set_thread (bool (*p) (enum log_level level,
                                       const char *line));

#endif /* MPISCSI_LOG_INTERNAL_H */
