/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that fails when a test wants it.  See alloc-fail.h. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <jansson.h>

#include "alloc-fail.h"

static _Atomic bool armed;
static _Atomic unsigned count, failed;
static unsigned first, flags;
static pthread_t who;

void
alloc_fail_start (unsigned nth, unsigned f)
{
  static bool jansson_knows;
  extern void *__wrap_malloc (size_t size);

  if (!jansson_knows)
    json_set_alloc_funcs (__wrap_malloc, free);
  jansson_knows = true;
  count = failed = 0;
  first = nth;
  flags = f;
  who = pthread_self ();
  armed = true;
}

unsigned
alloc_fail_stop (void)
{
  armed = false;
  return failed;
}

static bool
fails (void)
{
  unsigned n;

  if (!armed ||
      ((flags & ALLOC_THIS_THREAD) && !pthread_equal (who, pthread_self ())))
    return false;
  n = ++count;
  if (n != first && !((flags & ALLOC_REST) && n > first))
    return false;
  failed++;
  errno = ENOMEM;
  return true;
}

#define WRAP(type, name, none, arguments, ...)          \
  extern type __real_ ## name arguments;                \
  extern type __wrap_ ## name arguments;                \
  type                                                  \
  __wrap_ ## name arguments                             \
  {                                                     \
    return fails () ? none : __real_ ## name (__VA_ARGS__);     \
  }

WRAP (void *, malloc, NULL, (size_t size), size)
WRAP (void *, calloc, NULL, (size_t n, size_t size), n, size)
WRAP (void *, realloc, NULL, (void *p, size_t size), p, size)
WRAP (void *, reallocarray, NULL, (void *p, size_t n, size_t size), p, n, size)
WRAP (char *, strdup, NULL, (const char *s), s)
WRAP (FILE *, open_memstream, NULL, (char **text, size_t *len), text, len)
WRAP (int, pthread_create, EAGAIN,
      (pthread_t *thread, const pthread_attr_t *attr, void *(*f) (void *),
       void *opaque), thread, attr, f, opaque)

/* asprintf, and what it is with _FORTIFY_SOURCE. */
extern int __wrap_asprintf (char **text, const char *fs, ...);
extern int __wrap___asprintf_chk (char **text, int level, const char *fs, ...);

int
__wrap_asprintf (char **text, const char *fs, ...)
{
  va_list args;
  int r;

  if (fails ())
    return -1;
  va_start (args, fs);
  r = vasprintf (text, fs, args);
  va_end (args);
  return r;
}

int
__wrap___asprintf_chk (char **text, int level, const char *fs, ...)
{
  va_list args;
  int r;

  (void) level;
  if (fails ())
    return -1;
  va_start (args, fs);
  r = vasprintf (text, fs, args);
  va_end (args);
  return r;
}

/* ---- libiscsi's ---------------------------------------------------------------- */

static bool
libiscsi_fails (void)
{
  return (flags & ALLOC_LIBISCSI) && fails ();
}

#define WRAP_ISCSI(type, name, none, arguments, ...)    \
  extern type __real_ ## name arguments;                \
  extern type __wrap_ ## name arguments;                \
  type                                                  \
  __wrap_ ## name arguments                             \
  {                                                     \
    return libiscsi_fails () ? none : __real_ ## name (__VA_ARGS__);    \
  }

WRAP_ISCSI (struct iscsi_context *, iscsi_create_context, NULL,
            (const char *name), name)
WRAP_ISCSI (int, iscsi_connect_async, -1,
            (struct iscsi_context *ctx, const char *portal,
             iscsi_command_cb cb, void *opaque), ctx, portal, cb, opaque)
WRAP_ISCSI (int, iscsi_login_async, -1,
            (struct iscsi_context *ctx, iscsi_command_cb cb, void *opaque),
            ctx, cb, opaque)
WRAP_ISCSI (int, iscsi_logout_async, -1,
            (struct iscsi_context *ctx, iscsi_command_cb cb, void *opaque),
            ctx, cb, opaque)
WRAP_ISCSI (int, iscsi_discovery_async, -1,
            (struct iscsi_context *ctx, iscsi_command_cb cb, void *opaque),
            ctx, cb, opaque)
WRAP_ISCSI (int, iscsi_nop_out_async, -1,
            (struct iscsi_context *ctx, iscsi_command_cb cb,
             unsigned char *data, int len, void *opaque),
            ctx, cb, data, len, opaque)
WRAP_ISCSI (int, iscsi_task_mgmt_lun_reset_async, -1,
            (struct iscsi_context *ctx, uint32_t lun, iscsi_command_cb cb,
             void *opaque), ctx, lun, cb, opaque)
WRAP_ISCSI (int, iscsi_scsi_command_async, -1,
            (struct iscsi_context *ctx, int lun, struct scsi_task *task,
             iscsi_command_cb cb, struct iscsi_data *data, void *opaque),
            ctx, lun, task, cb, data, opaque)
