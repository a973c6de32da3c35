/* SPDX-License-Identifier: BSD-3-Clause */
/* The bindings file: a WWID keeps its name, no two have the same, whatever is
 * in the file and whoever else uses it. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "rules/bindings.h"

static char dir[40], file[80];
static char err[ERR_SIZE];

static int
setup (void **unused)
{
  (void) unused;
  strcpy (dir, "/tmp/mpiscsi-unit.XXXXXX");
  if (mkdtemp (dir) == NULL)
    return -1;
  snprintf (file, sizeof file, "%s/bindings", dir);
  err[0] = '\0';
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
contains (const char *text)
{
  FILE *fp = fopen (file, "w");

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
assert_alias (const char *prefix, const char *wwid, const char *expected)
{
  char *alias = bindings_alias (file, prefix, wwid, true, err);

  if (alias == NULL)
    fail_msg ("%s: %s", wwid, err);
  assert_string_equal (alias, expected);
  free (alias);
}

static void
suffixes (void **unused)
{
  static const struct { unsigned n; const char *text; } all[] = {
    { 0, "a" }, { 25, "z" }, { 26, "aa" }, { 51, "az" }, { 52, "ba" },
    { 701, "zz" }, { 702, "aaa" }, { 18277, "zzz" }, { 18278, "aaaa" },
  };
  char buf[16];

  (void) unused;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; ++i)
    assert_string_equal (bindings_suffix (all[i].n, buf, sizeof buf),
                         all[i].text);
  /* What does not fit is cut, not written. */
  strcpy (buf, "12345678");
  assert_string_equal (bindings_suffix (18278, buf, 3), "aa");
  assert_string_equal (buf + 3, "45678");
}

static void
in_order (void **unused)
{
  struct stat st;

  (void) unused;
  assert_alias ("mpath", "3600aa", "mpatha");
  assert_alias ("mpath", "3600bb", "mpathb");
  assert_alias ("mpath", "3600aa", "mpatha");
  assert_contains ("mpatha 3600aa\nmpathb 3600bb\n");
  /* Others' disks are nobody's business. */
  assert_int_equal (stat (file, &st), 0);
  assert_int_equal (st.st_mode & 0777, 0600);
}

/* As multipath's own file, and as people leave it. */
static void
what_is_there_counts (void **unused)
{
  static const char text[] =
    "# Multipath bindings, Version : 1.0\n"
    "# mpatha 3600zz\n"
    "\n"
    "mpathb\n"                  /* no WWID: no name is taken */
    "mpatha   3600aa   more\n"
    "data 3600dd\n"
    "lunb 3600ee\n"
    "mpathc 3600cc\n";
  char all[300];

  (void) unused;
  contains (text);
  assert_alias ("mpath", "3600aa", "mpatha");
  assert_alias ("mpath", "3600dd", "data");
  assert_contains (text);
  assert_alias ("mpath", "3600ff", "mpathb");
  /* Another prefix has its own letters. */
  assert_alias ("lun", "3600gg", "luna");
  assert_alias ("lun", "3600hh", "lunc");
  snprintf (all, sizeof all, "%s%s", text,
            "mpathb 3600ff\nluna 3600gg\nlunc 3600hh\n");
  assert_contains (all);
}

static void
refuses (const char *name, const char *why)
{
  char *alias = bindings_alias (name, "mpath", "3600aa", true, err);

  assert_null (alias);
  if (strstr (err, why) == NULL)
    fail_msg ("'%s' is not in: %s", why, err);
}

static void
cannot_be_used (void **unused)
{
  char name[100];

  (void) unused;
  refuses (dir, "Is a directory");
  contains ("");
  snprintf (name, sizeof name, "%s/below", file);
  refuses (name, "Not a directory");
  refuses ("/dev/full", "bindings file /dev/full: not a regular file");
}

/* Root may be who runs us: nobody else decides what is written, and where. */
static void
others_cannot_steer_it (void **unused)
{
  char target[60], link_name[60];
  struct stat st;

  (void) unused;
  snprintf (target, sizeof target, "%s/shadow", dir);
  assert_int_equal (symlink (target, file), 0);
  refuses (file, "bindings: is a symbolic link");
  assert_int_equal (stat (target, &st), -1);    /* not made through it either */
  assert_int_equal (unlink (file), 0);

  contains ("");
  snprintf (link_name, sizeof link_name, "%s/second", dir);
  assert_int_equal (link (file, link_name), 0);
  refuses (file, "has other names");
  assert_int_equal (unlink (link_name), 0);

  assert_int_equal (chmod (file, 0620), 0);
  refuses (file, "others may write it");
  assert_int_equal (chmod (file, 0602), 0);
  refuses (file, "others may write it");
  assert_int_equal (chmod (file, 0644), 0);
  if (geteuid () == 0) {
    assert_int_equal (chown (file, 12345, 12345), 0);
    refuses (file, "belongs to another user");
    assert_int_equal (chown (dir, 12345, 12345), 0);    /* a service's */
  }
  assert_contains ("");
  assert_alias ("mpath", "3600aa", "mpatha");
}

/* What root makes in a service's folder is the service's. */
static void
is_the_owners (void **unused)
{
  struct stat st;

  (void) unused;
  if (geteuid () != 0)
    skip ();
  assert_int_equal (chown (dir, 12345, 12346), 0);
  assert_alias ("mpath", "3600aa", "mpatha");
  assert_int_equal (stat (file, &st), 0);
  assert_int_equal (st.st_uid, 12345);
  assert_int_equal (st.st_gid, 12346);
}

/* For who only looks. */
static void
nothing_is_added (void **unused)
{
  char *alias;
  struct stat st;

  (void) unused;
  assert_null (bindings_alias (file, "mpath", "3600aa", false, err));
  assert_string_equal (err, "");
  assert_int_equal (stat (file, &st), -1);
  contains ("mpathb 3600bb\n");
  assert_null (bindings_alias (file, "mpath", "3600aa", false, err));
  assert_string_equal (err, "");
  alias = bindings_alias (file, "mpath", "3600bb", false, err);
  assert_string_equal (alias, "mpathb");
  free (alias);
  assert_contains ("mpathb 3600bb\n");
}

/* What could not be kept is no name. */
static void
disk_is_full (void **unused)
{
  static const char text[] = "mpatha 3600bb\n";
  const struct rlimit none = { .rlim_cur = sizeof text - 1,
                               .rlim_max = RLIM_INFINITY };
  struct rlimit before;

  (void) unused;
  contains (text);
  signal (SIGXFSZ, SIG_IGN);
  assert_int_equal (getrlimit (RLIMIT_FSIZE, &before), 0);
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &none), 0);
  refuses (file, "cannot write bindings file");
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &before), 0);
  assert_non_null (strstr (err, "File too large"));
  assert_contains (text);
  assert_alias ("mpath", "3600aa", "mpathb");
}

/* Another process has it for long: I/O must not wait for that. */
static void
locked (void **unused)
{
  struct timespec start, end;
  int fd;

  (void) unused;
  contains ("mpatha 3600aa\n");
  fd = open (file, O_RDWR | O_CLOEXEC);
  assert_int_equal (flock (fd, LOCK_EX), 0);
  clock_gettime (CLOCK_MONOTONIC, &start);
  refuses (file, "Device or resource busy");
  clock_gettime (CLOCK_MONOTONIC, &end);
  assert_true (end.tv_sec - start.tv_sec < 2);
  close (fd);
  assert_alias ("mpath", "3600aa", "mpatha");
}

/* Without a name of a file: where the service manager says, made if needed. */
static void
by_default (void **unused)
{
  char state[60];

  (void) unused;
  snprintf (state, sizeof state, "%s/state", dir);
  snprintf (file, sizeof file, "%s/bindings", state);
  assert_int_equal (setenv ("STATE_DIRECTORY", state, 1), 0);
  free (bindings_alias (NULL, "mpath", "3600aa", true, err));
  unsetenv ("STATE_DIRECTORY");
  assert_contains ("mpatha 3600aa\n");
  unlink (file);
  assert_int_equal (rmdir (state), 0);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {
    TEST (suffixes),
    TEST (in_order),
    TEST (what_is_there_counts),
    TEST (cannot_be_used),
    TEST (others_cannot_steer_it),
    TEST (is_the_owners),
    TEST (nothing_is_added),
    TEST (disk_is_full),
    TEST (locked),
    TEST (by_default),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
