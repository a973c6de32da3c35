/* SPDX-License-Identifier: BSD-3-Clause */
/* Text from outside: what is printable stays, all else is \xNN, and no
 * character is cut. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"

static void
becomes (const char *in, const char *expected)
{
  char out[200];

  assert_ptr_equal (text_safe (in, out, sizeof out), out);
  assert_string_equal (out, expected);
}

static void
printable_stays (void **unused)
{
  (void) unused;
  becomes ("", "");
  becomes ("10.0.0.1:3260: session 3 lost: 100% 'x' \\d+", "10.0.0.1:3260: session 3 lost: 100% 'x' \\d+");
  becomes ("Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x92\xbe", "Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x92\xbe");
}

static void
the_rest_is_shown (void **unused)
{
  static const struct { const char *in, *out; } all[] = {
    { "x'\nmpiscsi: iscsi_data: Failing path", "x'\\x0ampiscsi: iscsi_data: Failing path" },
    { "\x1b[2J\x1b]0;t\a", "\\x1b[2J\\x1b]0;t\\x07" },
    { "\t\r\b\x7f", "\\x09\\x0d\\x08\\x7f" },
    { "\xc2\x9b" "2J", "\\xc2\\x9b2J" },        /* CSI in one character */
    { "\xe2\x80\xae" "fdp", "\\xe2\\x80\\xae" "fdp" },  /* right to left */
    { "\xe2\x80\xa8", "\\xe2\\x80\\xa8" },      /* line separator */
    { "\xef\xbb\xbf" "a", "\\xef\\xbb\\xbf" "a" },
    { "\xff\xfe", "\\xff\\xfe" },
    { "\x80", "\\x80" },                        /* no first byte */
    { "\xc3", "\\xc3" },                        /* cut off */
    { "\xe2\x82", "\\xe2\\x82" },
    { "\xc3(", "\\xc3(" },
    { "\xc0\x8a", "\\xc0\\x8a" },               /* a newline, too long */
    { "\xe0\x80\x8a", "\\xe0\\x80\\x8a" },
    { "\xed\xa0\x80", "\\xed\\xa0\\x80" },      /* surrogate */
    { "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },     /* past U+10FFFF */
    { "\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80" },
  };

  (void) unused;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; ++i)
    becomes (all[i].in, all[i].out);
}

/* Each byte alone: 95 stay. */
static void
each_byte (void **unused)
{
  unsigned same = 0;

  (void) unused;
  for (int c = 1; c < 256; ++c) {
    const char in[2] = { (char) c, '\0' };
    char out[8];

    text_safe (in, out, sizeof out);
    same += strcmp (in, out) == 0;
    for (const char *p = out; *p; ++p)
      assert_in_range (*p, ' ', '~');
  }
  assert_int_equal (same, 95);
}

/* In all sizes: never past the end, never half of a character or of \xNN. */
static void
what_does_not_fit (void **unused)
{
  static const char in[] = "a\xe2\x82\xac\n\xf0\x9f\x92\xbe!";
  static const char *const fits[] = {
    "", "a", "a", "a", "a\xe2\x82\xac", "a\xe2\x82\xac", "a\xe2\x82\xac",
    "a\xe2\x82\xac", "a\xe2\x82\xac\\x0a", "a\xe2\x82\xac\\x0a",
    "a\xe2\x82\xac\\x0a", "a\xe2\x82\xac\\x0a",
    "a\xe2\x82\xac\\x0a\xf0\x9f\x92\xbe",
    "a\xe2\x82\xac\\x0a\xf0\x9f\x92\xbe!",
  };

  (void) unused;
  for (size_t size = 1; size <= sizeof fits / sizeof fits[0]; ++size) {
    char *out = malloc (size);  /* exactly, for AddressSanitizer */

    assert_non_null (out);
    text_safe (in, out, size);
    assert_string_equal (out, fits[size - 1]);
    free (out);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (printable_stays),
    cmocka_unit_test (the_rest_is_shown),
    cmocka_unit_test (each_byte),
    cmocka_unit_test (what_does_not_fit),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
