/* SPDX-License-Identifier: BSD-3-Clause */
/* For fuzz targets: assertions that no NDEBUG takes away. */
#ifndef MPISCSI_MUST_H
#define MPISCSI_MUST_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define MUST(cond)                                                      \
  do {                                                                  \
    if (!(cond)) {                                                      \
      fprintf (stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);       \
      abort ();                                                         \
    }                                                                   \
  } while (0)

#endif /* MPISCSI_MUST_H */
