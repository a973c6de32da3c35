/* SPDX-License-Identifier: BSD-3-Clause */
/* For the sources of a unit test with failing memory (alloc-fail.h) that are
 * not under test, the fake of libiscsi among them: given with -include, it
 * keeps the linker's --wrap away from what they allocate. */
#ifndef ALLOC_REAL_H
#define ALLOC_REAL_H

#define malloc __real_malloc
#define calloc __real_calloc
#define realloc __real_realloc
#define reallocarray __real_reallocarray
#define strdup __real_strdup
#define open_memstream __real_open_memstream
#define pthread_create __real_pthread_create

#endif /* ALLOC_REAL_H */
