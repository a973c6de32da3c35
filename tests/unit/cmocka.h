/* SPDX-License-Identifier: BSD-3-Clause */
/* cmocka's header, found before it: 2.0 deprecates assert_in_range, and 1.1 has not what it names
 * instead. */

#ifndef MPISCSI_TESTS_CMOCKA_H
#define MPISCSI_TESTS_CMOCKA_H

#include_next <cmocka.h>

#ifdef assert_uint_in_range
#undef assert_in_range
#define assert_in_range(value, least, most) assert_uint_in_range (value, least, most)
#endif

#endif /* MPISCSI_TESTS_CMOCKA_H */
