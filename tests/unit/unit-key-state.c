/* SPDX-License-Identifier: BSD-3-Clause */
/* The files with our reservation keys: what is written is read again, and what
 * is not whole is told, and not believed. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "rules/key-state.h"

#define NAME "iqn.2026-11.test.unit:keys"

static char dir[] = "/tmp/unit-key-XXXXXX";
static struct key_state found[8];
static unsigned nr_found, nr_warned;
static char err[ERR_SIZE];

static void
add (void *opaque, const struct key_state *ks)
{
  assert_ptr_equal (opaque, &nr_found);
  assert_in_range (nr_found, 0, 7);
  found[nr_found++] = *ks;
}

static void
warn (const char *line)
{
  assert_non_null (strstr (line, "only used if our reservation key"));
  nr_warned++;
}

static void
load (const char *initiator)
{
  nr_found = nr_warned = 0;
  key_state_load (dir, initiator, add, &nr_found, warn);
}

static int
setup (void **unused)
{
  char command[100];

  (void) unused;
  snprintf (command, sizeof command, "rm -rf %s/*", dir);
  return system (command);
}

static struct key_state
example (const char *wwid, uint64_t key, bool fenced)
{
  struct key_state ks = { .key = key, .fenced = fenced, .aptpl = key & 1,
                          .all_tg_pt = key & 2 };

  strcpy (ks.initiator, NAME);
  strcpy (ks.wwid, wwid);
  return ks;
}

static void
assert_same (const struct key_state *a, const struct key_state *b)
{
  assert_string_equal (a->initiator, b->initiator);
  assert_string_equal (a->wwid, b->wwid);
  assert_true (a->key == b->key);
  assert_int_equal (a->aptpl, b->aptpl);
  assert_int_equal (a->all_tg_pt, b->all_tg_pt);
  assert_int_equal (a->fenced, b->fenced);
}

static void
text (void **unused)
{
  static const char *const wwids[] = {
    "360000000000000000e00000000010001", "1ATA     a disk with blanks  in it",
  };

  (void) unused;
  for (unsigned i = 0; i < 16; ++i) {
    const struct key_state ks = example (wwids[i / 8], i % 4 ? i : UINT64_MAX,
                                         i & 4);
    struct key_state again;
    char buf[1100];
    const int len = key_state_format (&ks, buf, sizeof buf);

    assert_null (key_state_parse (buf, len, &again));
    assert_same (&ks, &again);
    /* Cut, or with one byte changed. */
    for (int n = 0; n < len; ++n) {
      const char was = buf[n];

      assert_non_null (key_state_parse (buf, n, &again));
      buf[n] = '\n';
      if (was != '\n')
        assert_non_null (key_state_parse (buf, len, &again));
      buf[n] = '\0';
      assert_non_null (key_state_parse (buf, len, &again));
      buf[n] = was;
    }
    buf[len] = '\n';
    assert_non_null (key_state_parse (buf, len + 1, &again));
  }
}

static void
files (void **unused)
{
  struct key_state a = example ("3aaa", 0xabc, false);
  struct key_state b = example ("3bbb", 0x1, true);
  struct key_state other = a;

  (void) unused;
  load (NAME);
  assert_int_equal (nr_found, 0);
  assert_int_equal (key_state_save (dir, &a, err), 0);
  assert_int_equal (key_state_save (dir, &b, err), 0);
  strcpy (other.initiator, NAME "-2");
  assert_int_equal (key_state_save (dir, &other, err), 0);
  load (NAME);
  assert_int_equal (nr_found, 2);
  assert_int_equal (nr_warned, 0);
  assert_same (&found[found[0].key != a.key], &a);
  assert_same (&found[found[0].key == a.key], &b);
  /* Changed, removed. */
  a.fenced = true;
  b.key = 0;
  assert_int_equal (key_state_save (dir, &a, err), 0);
  assert_int_equal (key_state_save (dir, &b, err), 0);
  assert_int_equal (key_state_save (dir, &b, err), 0);
  load (NAME);
  assert_int_equal (nr_found, 1);
  assert_same (&found[0], &a);
  load (NAME "-2");
  assert_int_equal (nr_found, 1);
}

static void
bad_files (void **unused)
{
  struct key_state a = example ("3aaa", 0xabc, false);
  char path[100], to[100];
  FILE *fp;

  (void) unused;
  assert_int_equal (key_state_save (dir, &a, err), 0);
  snprintf (path, sizeof path, "%s/key-%016llx", dir,
            (unsigned long long) key_state_hash (NAME, "3aaa"));
  /* It has another one's name. */
  snprintf (to, sizeof to, "%s/key-0123456789abcdef", dir);
  assert_int_equal (rename (path, to), 0);
  load (NAME);
  assert_int_equal (nr_found, 1);
  assert_true (found[0].damaged);
  assert_true (found[0].hash == 0x0123456789abcdef);
  assert_int_equal (nr_warned, 1);
  assert_int_equal (rename (to, path), 0);
  /* Empty; a link; somebody else's names are passed over. */
  fp = fopen (path, "w");
  assert_non_null (fp);
  fclose (fp);
  chmod (path, 0600);
  load (NAME);
  assert_true (nr_found == 1 && found[0].damaged);
  assert_true (found[0].hash == key_state_hash (NAME, "3aaa"));
  unlink (path);
  assert_int_equal (symlink ("/etc/passwd", path), 0);
  load (NAME);
  assert_true (nr_found == 1 && found[0].damaged);
  unlink (path);
  snprintf (path, sizeof path, "%s/key-0123456789abcdef.new", dir);
  fclose (fopen (path, "w"));
  load (NAME);
  assert_int_equal (nr_found, 0);
  /* It cannot be written. */
  assert_int_equal (key_state_save ("/dev/null/there", &a, err), -1);
  assert_non_null (strstr (err, "cannot write"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup (text, setup),
    cmocka_unit_test_setup (files, setup),
    cmocka_unit_test_setup (bad_files, setup),
  };
  int r;

  if (mkdtemp (dir) == NULL)
    return 1;
  r = cmocka_run_group_tests (tests, NULL, NULL);
  setup (NULL);
  rmdir (dir);
  return r;
}
