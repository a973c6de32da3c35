/* SPDX-License-Identifier: BSD-3-Clause */
/* assert_within (N, LEAST, MOST): cmocka's own assert_in_range is deprecated since 2.0, and what
 * replaces it there is not in 1.1. */

#ifndef MPISCSI_TESTS_WITHIN_H
#define MPISCSI_TESTS_WITHIN_H

#include <stdint.h>

#define assert_within(n, least, most) \
  do { \
    const uintmax_t within_n = (n), within_least = (least), within_most = (most); \
    if (within_n < within_least || within_n > within_most) \
      fail_msg ("%s is %ju, not within %ju to %ju", #n, within_n, within_least, within_most); \
  } while (0)

#endif /* MPISCSI_TESTS_WITHIN_H */
