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

#include <jansson.h>

#include "alloc-fail.h"

/* alloc-real.h has them. */
#undef malloc
#undef calloc
#undef realloc
#undef reallocarray
#undef strdup
#undef open_memstream
#undef pthread_create

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

bool
alloc_fails (unsigned only_if)
{
  unsigned n;

  if (!armed || (flags & only_if) != only_if ||
      ((flags & ALLOC_THIS_THREAD) && !pthread_equal (who, pthread_self ())))
    return false;
  n = ++count;
  if (n != first && !((flags & ALLOC_REST) && n > first))
    return false;
  failed++;
  errno = ENOMEM;
  return true;
}

#define WRAP(type, name, none, arguments, ...)                          \
  ALLOC_FAIL_WRAP (0, type, name, none, arguments, __VA_ARGS__)

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

  if (alloc_fails (0))
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
  if (alloc_fails (0))
    return -1;
  va_start (args, fs);
  r = vasprintf (text, fs, args);
  va_end (args);
  return r;
}
