/* SPDX-License-Identifier: BSD-3-Clause */
/* Other functions for what a shared library imports. */
#ifndef MPISCSI_HOOK_H
#define MPISCSI_HOOK_H

#include <stdbool.h>

struct hook {
  const char *name;             /* NULL: the end */
  void *function;               /* of the same type */
};

/* The library that FUNCTION is in, if its soname begins with SONAME, calls
 * those from now on; nobody else does.  Undone when we are unloaded.  False:
 * nothing was changed.  Before the library is used; at most 8 in a process. */
extern bool hook_library (void *function, const char *soname,
                          const struct hook *hooks);

#endif
