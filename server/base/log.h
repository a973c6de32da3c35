/* SPDX-License-Identifier: BSD-3-Clause */
/* The log: one line at a time, to stderr or to a sink. */
#ifndef MPISCSI_LOG_H
#define MPISCSI_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
                 LOG_LEVEL_DEBUG };
/* Any thread.  One line without a newline. */
extern void log_line (enum log_level level, const char *fs, ...)
  __attribute__ ((format (printf, 2, 3)));
#define log_error(...) log_line (LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line (LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line (LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line (LOG_LEVEL_DEBUG, __VA_ARGS__)
/* Where lines go; the default writes "mpiscsi: LINE" to stderr.  Not while
 * other threads log. */
extern void log_set_sink (void (*sink) (enum log_level level, const char *line));

/* log-system.c: stderr, the journal or syslog; DEBUG gets the lines of that
 * level, NULL: nobody does. */
extern void log_to_system (void (*debug) (const char *line));
/* Who reads stderr has seen this line: it is not written there once more. */
extern void log_was_said (const char *line);
extern void log_to_syslog (void);

/* log-thread.c: from now on a thread of its own calls the sink, so that nobody
 * waits for who reads the log; what does not fit into its queue is dropped,
 * and the log says how many lines.  -1 and errno: all is as it was. */
extern int log_thread_start (void);
/* Ends it when all is written, at most TIMEOUT seconds from now; if it hangs
 * then, that line was the last one. */
extern void log_thread_stop (double timeout);

#endif /* MPISCSI_LOG_H */
