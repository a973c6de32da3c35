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
 * nothing was changed.  Before the library is used; at most 8 in a process.
 * SONAME "": also the program itself, if FUNCTION is its. */
extern bool hook_library (void *function, const char *soname,
                          const struct hook *hooks);

/* Does any library of this process export SYMBOL?  Also true if that cannot be
 * found out. */
extern bool hook_any_defines (const char *symbol);
/* Does the library, or program, that FUNCTION is in call any of those (the end:
 * NULL)? */
extern bool hook_imports (void *function, const char *const *names);

#endif
