/* SPDX-License-Identifier: BSD-3-Clause */
/* Text from outside (clients, targets, files) on its way to a log or a
 * terminal. */
#ifndef MPISCSI_TEXT_H
#define MPISCSI_TEXT_H

#include <stddef.h>

/* What is printable, in valid UTF-8, as it is; each byte of all else as \xNN:
 * control characters (also those of C1: U+0080 to U+009F), line and paragraph
 * separators, characters that change the direction of what stands around
 * them, and bytes that are no UTF-8.  So one line stays one line, and shows
 * what it has.  Cut, between characters, to what fits in SIZE > 0 bytes with
 * the NUL.  Returns OUT, which must not be IN. */
extern char *text_safe (const char *in, char *out, size_t size);

#endif /* MPISCSI_TEXT_H */
