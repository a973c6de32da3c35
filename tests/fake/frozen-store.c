/* SPDX-License-Identifier: BSD-3-Clause */
/* A backing store of which one write hangs: preloaded into tgtd by
 * test-stale-store.sh.
 *
 * FROZEN_STORE names a folder, FROZEN_OFFSET a byte of the disk.  The first
 * write that touches that byte while FOLDER/freeze exists renames it to
 * FOLDER/frozen and waits until that is gone (60 s at most); it is done only
 * then.  All other writes go on as ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LIMIT_MS 60000

static void
maybe_freeze (size_t n, int64_t offset)
{
  const char *folder = getenv ("FROZEN_STORE");
  const char *at = getenv ("FROZEN_OFFSET");
  char freeze[4096], frozen[4096];
  const int saved = errno;

  if (folder == NULL || at == NULL)
    return;
  if (offset > atoll (at) || atoll (at) - offset >= (int64_t) n)
    return;
  snprintf (freeze, sizeof freeze, "%s/freeze", folder);
  snprintf (frozen, sizeof frozen, "%s/frozen", folder);
  /* One of several threads gets it. */
  if (rename (freeze, frozen) == 0)
    for (int ms = 0; ms < LIMIT_MS && access (frozen, F_OK) == 0; ms += 10)
      usleep (10000);
  errno = saved;
}

ssize_t
pwrite64 (int fd, const void *buf, size_t n, off64_t offset)
{
  static ssize_t (*real) (int, const void *, size_t, off64_t);

  if (real == NULL)
    real = (ssize_t (*) (int, const void *, size_t, off64_t))
      dlsym (RTLD_NEXT, "pwrite64");
  maybe_freeze (n, offset);
  return real (fd, buf, n, offset);
}

ssize_t
pwrite (int fd, const void *buf, size_t n, off_t offset)
{
  return pwrite64 (fd, buf, n, offset);
}
