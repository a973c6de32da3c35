/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of the default exports: each server finds its own line, the newest
 * one, whatever else is in the file. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "rules/default-export.h"

static char dir[40], file[80], err[ERR_SIZE];

static const struct portal portals[] = {
  { "10.0.0.1", 3260, -1 }, { "fe80::1%eth0", 3261, 2 },
};
static const struct default_key ours = {
  "iqn.2026-11.example:host", NULL, portals, 2,
};

static int
setup (void **unused)
{
  (void) unused;
  strcpy (dir, "/tmp/mpiscsi-unit.XXXXXX");
  if (mkdtemp (dir) == NULL)
    return -1;
  snprintf (file, sizeof file, "%s/default-export", dir);
  return 0;
}

static int
teardown (void **unused)
{
  (void) unused;
  unlink (file);
  return rmdir (dir);
}

static void
is (const struct default_key *key, const char *expected)
{
  char wwid[WWID_SIZE];

  assert_int_equal (default_export_read (file, key, wwid, err),
                    expected[0] != '\0');
  assert_string_equal (wwid, expected);
  assert_string_equal (err, "");
}

static void
keep (const struct default_key *key, const char *wwid)
{
  if (default_export_write (file, key, wwid, err) == -1)
    fail_msg ("%s: %s", wwid, err);
}

static void
put (const char *text)
{
  FILE *fp = fopen (file, "a");

  assert_non_null (fp);
  fputs (text, fp);
  assert_int_equal (fclose (fp), 0);
}

static void
assert_contains (const char *text)
{
  char found[2000];
  FILE *fp = fopen (file, "r");
  size_t n;

  assert_non_null (fp);
  n = fread (found, 1, sizeof found - 1, fp);
  found[n] = '\0';
  fclose (fp);
  assert_string_equal (found, text);
}

static void
newest_counts (void **unused)
{
  static const char two[] =
    "3600aa iqn.2026-11.example:host - 10.0.0.1:3260 [fe80::1%eth0]:3261\n"
    "3600bb iqn.2026-11.example:host - 10.0.0.1:3260 [fe80::1%eth0]:3261\n";

  (void) unused;
  is (&ours, "");
  keep (&ours, "3600aa");
  is (&ours, "3600aa");
  keep (&ours, "3600bb");
  keep (&ours, "3600bb");
  is (&ours, "3600bb");
  assert_contains (two);
  keep (&ours, "3600aa");
  is (&ours, "3600aa");
}

/* Servers of one host share the file. */
static void
others_have_theirs (void **unused)
{
  struct default_key other;

  (void) unused;
  keep (&ours, "3600aa");
  other = ours;
  other.target = "iqn.2026-11.example:t";
  is (&other, "");
  keep (&other, "3600bb");
  is (&other, "3600bb");
  is (&ours, "3600aa");
  other = ours;
  other.initiator = "iqn.2026-11.example:other";
  is (&other, "");
  other = ours;
  other.portals = &portals[1];          /* one was taken away */
  other.nr_portals = 1;
  is (&other, "3600aa");
  other.portals = &(const struct portal) { "10.0.0.1", 3261, -1 };
  is (&other, "");
}

static void
odd_lines (void **unused)
{
  (void) unused;
  put ("# 3600aa iqn.2026-11.example:host - 10.0.0.1:3260\n"
       "\n \n3600aa\n3600aa iqn.2026-11.example:host\n"
       "3600aa iqn.2026-11.example:host - \n"
       "3600cc   iqn.2026-11.example:host - x 10.0.0.1:3260 \n"
       "3600dd iqn.2026-11.example:host - 10.0.0.1:3260");  /* killed here */
  is (&ours, "3600cc");
  keep (&ours, "3600ee");
  is (&ours, "3600ee");
}

static void
refused (void **unused)
{
  char wwid[WWID_SIZE];

  (void) unused;
  assert_int_equal (default_export_write (file, &ours, "", err), -1);
  assert_int_equal (default_export_write (file, &ours, "a b", err), -1);
  assert_int_equal (default_export_write (file, &ours, "a\nb", err), -1);
  assert_int_equal (access (file, F_OK), -1);
  assert_int_equal (symlink ("/dev/null", file), 0);
  assert_int_equal (default_export_write (file, &ours, "3600aa", err), -1);
  assert_non_null (strstr (err, "default-export: is a symbolic link"));
  assert_false (default_export_read (file, &ours, wwid, err));
  assert_non_null (strstr (err, "is a symbolic link"));
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    TEST (newest_counts),
    TEST (others_have_theirs),
    TEST (odd_lines),
    TEST (refused),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
