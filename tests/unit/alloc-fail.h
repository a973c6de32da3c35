/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that fails when a test wants it.
 *
 * Links with -Wl,--wrap=FUNCTION for each that alloc-fail.c has, so that what
 * server/ and plugin/ allocate comes here; jansson is asked to as well.  libev
 * is not: it ends the process when it has no memory. */
#ifndef ALLOC_FAIL_H
#define ALLOC_FAIL_H

#include <stdbool.h>

enum {
  ALLOC_ONE = 0,                /* only the one */
  ALLOC_REST = 1,               /* and all after it */
  ALLOC_THIS_THREAD = 2,        /* of the calling thread only */
  /* What libiscsi would need memory for fails as well: a context, a command. */
  ALLOC_LIBISCSI = 4,
};
/* The NTH allocation from now on fails (from 1). */
extern void alloc_fail_start (unsigned nth, unsigned flags);
/* No more; returns how many have failed. */
extern unsigned alloc_fail_stop (void);

/* For the wrappers: does this one fail?  Only with all of these flags. */
extern bool alloc_fails (unsigned only_if);
#define ALLOC_FAIL_WRAP(flags, type, name, none, arguments, ...)        \
  extern type __real_ ## name arguments;                                \
  extern type __wrap_ ## name arguments;                                \
  type                                                                  \
  __wrap_ ## name arguments                                             \
  {                                                                     \
    return alloc_fails (flags) ? none : __real_ ## name (__VA_ARGS__);  \
  }

#endif /* ALLOC_FAIL_H */
