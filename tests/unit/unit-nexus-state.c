/* SPDX-License-Identifier: BSD-3-Clause */
/* The nexus state file: its text, good and bad; who owns which; what is left
 * after a server that is gone.  Two states that are open at once stand for two
 * processes: OFD locks are of the open file. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "rules/nexus-state.h"
#include "base/state-dir.h"

#define NAME "iqn.2026-11.test.unit:nexus"
#define ISID 0x0a0b0c

static char dir[] = "/tmp/unit-nexus-XXXXXX";
static char said[4096];
static unsigned nr_said;
static char err[ERR_SIZE];

static void
say (const char *line)
{
  snprintf (said, sizeof said, "%s", line);
  nr_said++;
}

static void
clear (void)
{
  char command[100];

  chmod (dir, 0700);
  snprintf (command, sizeof command, "rm -rf %s/*", dir);
  assert_int_equal (system (command), 0);
  nr_said = 0;
  said[0] = err[0] = '\0';
}

static int
setup (void **unused)
{
  (void) unused;
  clear ();
  return 0;
}

static int
remove_all (void **unused)
{
  (void) unused;
  clear ();
  return rmdir (dir);
}

static struct nexus
nexus (uint32_t qualifier, const char *portal, int tpgt, const char *wwid)
{
  struct nexus x = { .isid_random = ISID, .isid_qualifier = qualifier,
                     .initiator = NAME };
  const char *why;

  assert_true (portal_parse (portal, strlen (portal), &x.portal, &why));
  x.portal.tpgt = tpgt;
  strcpy (x.target, "iqn.2026-11.test.unit:target");
  strcpy (x.wwid, wwid);
  return x;
}

static void
add (struct nexus_list *list, uint32_t qualifier, const char *portal, int tpgt,
     const char *wwid)
{
  const struct nexus x = nexus (qualifier, portal, tpgt, wwid);

  assert_true (nexus_list_add (list, &x));
}

static void
assert_same (const struct nexus *a, const struct nexus *b)
{
  assert_int_equal (a->isid_random, b->isid_random);
  assert_int_equal (a->isid_qualifier, b->isid_qualifier);
  assert_string_equal (a->initiator, b->initiator);
  assert_true (portal_equal (&a->portal, &b->portal));
  assert_int_equal (a->portal.tpgt, b->portal.tpgt);
  assert_string_equal (a->target, b->target);
  assert_string_equal (a->wwid, b->wwid);
}

/* ---- the text ----------------------------------------------------------------------- */

static const char *
parse (const char *text, size_t len, struct nexus_list *list, bool *foreign)
{
  char initiator[ISCSI_NAME_SIZE] = "";
  const char *why =
    nexus_state_parse (text, len, ISID, list, initiator, foreign);

  if (why == NULL)
    assert_string_equal (initiator, NAME);
  return why;
}

static char *
sample (struct nexus_list *list)
{
  char *text;

  add (list, 1, "10.0.0.1:3260", 1, "36000c29f");
  add (list, 0xffff, "[fe80::1%eth0]:860", 0xffff, "36000c29f");
  add (list, 0, "san.example.com:65535", -1, "1ATA_Disk_A-b.c:d");
  memset (list->v[2].target, 't', ISCSI_NAME_SIZE - 1);
  memset (list->v[2].wwid, 'w', WWID_SIZE - 1);
  text = nexus_state_format (NAME, list);
  assert_non_null (text);
  return text;
}

static void
there_and_back (void **unused)
{
  struct nexus_list list = { NULL, 0, 0 }, back = { NULL, 0, 0 };
  bool foreign;
  char *text;

  (void) unused;
  text = sample (&list);
  assert_null (parse (text, strlen (text), &back, &foreign));
  assert_int_equal (back.n, list.n);
  for (size_t i = 0; i < list.n; ++i)
    assert_same (&back.v[i], &list.v[i]);
  free (text);
  nexus_list_free (&list);
  nexus_list_free (&back);

  text = nexus_state_format (NAME, &list);      /* clean */
  assert_null (parse (text, strlen (text), &back, &foreign));
  assert_int_equal (back.n, 0);
  free (text);
}

/* Cut anywhere, any byte another one, anything behind: never taken for good,
 * and what the list had stays. */
static void
damaged (void **unused)
{
  struct nexus_list list = { NULL, 0, 0 }, back = { NULL, 0, 0 };
  bool foreign;
  size_t len;
  char *text, *copy;

  (void) unused;
  text = sample (&list);
  len = strlen (text);
  add (&back, 7, "10.0.0.7", 1, "before");
  for (size_t i = 0; i < len; ++i) {
    copy = malloc (i + 1);      /* so that sanitizers see the end */
    memcpy (copy, text, i);
    assert_non_null (parse (copy, i, &back, &foreign));
    free (copy);
  }
  for (size_t i = 0; i < len; ++i)
    for (int bit = 0; bit < 8; ++bit) {
      copy = strdup (text);
      copy[i] ^= 1 << bit;
      if (parse (copy, len, &back, &foreign) == NULL)
        fail_msg ("byte %zu, bit %d: %s", i, bit, copy);
      free (copy);
    }
  copy = malloc (2 * len);
  memcpy (copy, text, len);
  memcpy (copy + len, text, len);
  assert_non_null (parse (copy, 2 * len, &back, &foreign));
  assert_non_null (parse (copy, len + 1, &back, &foreign));
  assert_int_equal (back.n, 1);
  assert_string_equal (back.v[0].wwid, "before");
  free (copy);
  free (text);
  nexus_list_free (&list);
  nexus_list_free (&back);
}

/* With a right sum, but not what we write. */
static void
nonsense (void **unused)
{
  static const char *const lines[] = {
    "nexus 65536 1 10.0.0.1:3260 iqn.t w",
    "nexus -1 1 10.0.0.1:3260 iqn.t w",
    "nexus 1 65536 10.0.0.1:3260 iqn.t w",
    "nexus 1 -2 10.0.0.1:3260 iqn.t w",
    "nexus 1 1 10.0.0.1:0 iqn.t w",
    "nexus 1 1 :3260 iqn.t w",
    "nexus 1 1 10.0.0.1:3260 iqn.t",
    "nexus 1 1 10.0.0.1:3260 iqn.t w w",
    "nexus",
    "nexuses 1 1 10.0.0.1:3260 iqn.t w",
    "",
  };
  struct nexus_list list = { NULL, 0, 0 };
  char head[2000], text[4000];
  bool foreign;

  (void) unused;
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; ++i) {
    uint64_t h = UINT64_C (0xcbf29ce484222325);

    snprintf (head, sizeof head, "mpiscsi-nexus 1\ninitiator " NAME "\n%s\n",
              lines[i]);
    for (const char *p = head; *p; ++p)
      h = (h ^ (unsigned char) *p) * UINT64_C (0x100000001b3);
    snprintf (text, sizeof text, "%send 1 %016" PRIx64 "\n", head, h);
    if (parse (text, strlen (text), &list, &foreign) == NULL)
      fail_msg ("taken: %s", lines[i]);
    assert_false (foreign);
  }
  assert_non_null (parse ("mpiscsi-nexus 2\nwhat do I know\n", 31, &list,
                          &foreign));
  assert_true (foreign);
  assert_int_equal (list.n, 0);
}

/* A name that would be two words is refused, not written. */
static void
no_words (void **unused)
{
  struct nexus_list list = { NULL, 0, 0 };

  (void) unused;
  add (&list, 1, "10.0.0.1", 1, "two words");
  assert_null (nexus_state_format (NAME, &list));
  strcpy (list.v[0].wwid, "one");
  strcpy (list.v[0].target, "iqn.a\nnexus");
  assert_null (nexus_state_format (NAME, &list));
  list.v[0].target[0] = '\0';
  assert_null (nexus_state_format (NAME, &list));
  nexus_list_free (&list);
}

static void
not_too_many (void **unused)
{
  struct nexus_list list = { NULL, 0, 0 };
  const struct nexus x = nexus (1, "10.0.0.1", 1, "w");

  (void) unused;
  for (unsigned i = 0; i < MAX_NEXUSES; ++i)
    assert_true (nexus_list_add (&list, &x));
  assert_false (nexus_list_add (&list, &x));
  assert_int_equal (list.n, MAX_NEXUSES);
  nexus_list_free (&list);
}

/* ---- the directory -------------------------------------------------------------------- */

static int
open_state (struct nexus_state *st, struct nexus_list *old)
{
  nexus_list_free (old);
  return nexus_state_open (st, dir, NAME, old, say, err);
}

static void
must_open (struct nexus_state *st, struct nexus_list *old)
{
  if (open_state (st, old) == -1)
    fail_msg ("%s", err);
  assert_in_range (st->isid_random, 1, 0xffffff);
}

static unsigned
nr_files (const char *pattern)
{
  char command[200];
  unsigned n = 0;
  FILE *fp;

  snprintf (command, sizeof command, "ls -d %s/%s 2>/dev/null | wc -l", dir,
            pattern);
  fp = popen (command, "r");
  assert_int_equal (fscanf (fp, "%u", &n), 1);
  pclose (fp);
  return n;
}

static void
put (const char *name, const char *text)
{
  char path[100];
  FILE *fp;

  snprintf (path, sizeof path, "%s/%s", dir, name);
  fp = fopen (path, "w");
  assert_non_null (fp);
  fputs (text, fp);
  fclose (fp);
}

static void
clean_then_dirty (void **unused)
{
  struct nexus_list old = { NULL, 0, 0 }, mine = { NULL, 0, 0 };
  struct nexus_state st;
  uint32_t isid, dirty;

  (void) unused;
  must_open (&st, &old);
  isid = st.isid_random;
  nexus_state_close (&st);
  for (int i = 0; i < 3; ++i) { /* clean: the same again */
    must_open (&st, &old);
    assert_int_equal (st.isid_random, isid);
    assert_int_equal (old.n, 0);
    nexus_state_close (&st);
  }

  must_open (&st, &old);
  add (&mine, 1, "10.0.0.1", 1, "first");
  add (&mine, 2, "10.0.0.2", 2, "first");
  add (&mine, 2, "10.0.0.2", 2, "second");
  assert_int_equal (nexus_state_save (&st, &mine, err), 0);
  nexus_state_close (&st);      /* as by kill -9 */

  must_open (&st, &old);
  dirty = isid;
  isid = st.isid_random;
  assert_int_not_equal (isid, dirty);
  assert_int_equal (old.n, 3);
  mine.v[1].isid_random = dirty;
  assert_same (&old.v[1], &mine.v[1]);
  assert_int_equal (nr_files ("nexus-??????"), 2);

  /* Until all of it is fenced it is told to each server. */
  assert_int_equal (nexus_state_drop (&st, dirty, "none", err), 0);
  assert_int_equal (nexus_state_drop (&st, dirty, "first", err), 0);
  nexus_state_close (&st);
  must_open (&st, &old);
  assert_int_equal (st.isid_random, isid);
  assert_int_equal (old.n, 1);
  assert_string_equal (old.v[0].wwid, "second");
  assert_int_equal (nexus_state_drop (&st, dirty, "second", err), 0);
  assert_int_equal (nexus_state_drop (&st, dirty, "second", err), 0);
  nexus_state_close (&st);
  must_open (&st, &old);
  assert_int_equal (old.n, 0);
  assert_int_equal (nr_files ("*"), 2);         /* ours and the lock */
  nexus_state_close (&st);
  assert_int_equal (nr_said, 0);
  nexus_list_free (&mine);
  nexus_list_free (&old);
}

static void
two_live (void **unused)
{
  struct nexus_list old = { NULL, 0, 0 }, mine = { NULL, 0, 0 };
  struct nexus_state a, b, c;

  (void) unused;
  must_open (&a, &old);
  must_open (&b, &old);
  must_open (&c, &old);
  assert_int_not_equal (a.isid_random, b.isid_random);
  assert_int_not_equal (a.isid_random, c.isid_random);
  assert_int_not_equal (b.isid_random, c.isid_random);
  nexus_state_close (&c);

  /* The files of one that lives are nobody else's. */
  add (&mine, 1, "10.0.0.1", 1, "first");
  assert_int_equal (nexus_state_save (&a, &mine, err), 0);
  assert_int_equal (nexus_state_drop (&b, a.isid_random, "first", err), 0);
  must_open (&c, &old);
  assert_int_equal (old.n, 0);
  nexus_state_close (&c);
  nexus_state_close (&a);
  must_open (&c, &old);         /* now it is dead */
  assert_int_equal (old.n, 1);
  nexus_state_close (&b);
  nexus_state_close (&c);
  nexus_list_free (&mine);
  nexus_list_free (&old);
}

/* A process that is killed lets go of its ISID, and one that it forked does
 * not keep it. */
static void
killed (void **unused)
{
  struct nexus_list old = { NULL, 0, 0 }, mine = { NULL, 0, 0 };
  struct nexus_state st;
  uint32_t isid;
  int fds[2], status;
  pid_t pid;

  (void) unused;
  add (&mine, 3, "10.0.0.1", 1, "first");
  assert_int_equal (pipe (fds), 0);
  pid = fork ();
  if (pid == 0) {
    if (nexus_state_open (&st, dir, NAME, &old, say, err) == -1 ||
        nexus_state_save (&st, &mine, err) == -1 ||
        write (fds[1], &st.isid_random, sizeof isid) != sizeof isid)
      _exit (1);
    for (;;)
      pause ();
  }
  assert_int_equal (read (fds[0], &isid, sizeof isid), sizeof isid);
  must_open (&st, &old);
  assert_int_equal (old.n, 0);
  nexus_state_close (&st);
  kill (pid, SIGKILL);
  waitpid (pid, &status, 0);
  must_open (&st, &old);
  assert_int_equal (old.n, 1);
  assert_int_equal (old.v[0].isid_random, isid);
  nexus_state_close (&st);
  close (fds[0]);
  close (fds[1]);
  nexus_list_free (&mine);
  nexus_list_free (&old);
}

static void
another_name (void **unused)
{
  struct nexus_list old = { NULL, 0, 0 };
  struct nexus_state st;
  uint32_t isid;

  (void) unused;
  must_open (&st, &old);
  isid = st.isid_random;
  nexus_state_close (&st);
  assert_int_equal (nexus_state_open (&st, dir, NAME "2", &old, say, err), 0);
  assert_int_not_equal (st.isid_random, isid);
  nexus_state_close (&st);
}

static void
bad_files (void **unused)
{
  struct nexus_list old = { NULL, 0, 0 };
  struct nexus_state st;
  char path[100], away[100];

  (void) unused;
  put ("nexus-000001", "");
  put ("nexus-000002", "mpiscsi-nexus 1\ninitiator " NAME "\nend 0");
  put ("nexus-000003", "mpiscsi-nexus 1\n");
  snprintf (path, sizeof path, "%s/nexus-000003", dir);
  assert_int_equal (truncate (path, (off_t) 1 << 40), 0);       /* sparse */
  snprintf (path, sizeof path, "%s/nexus-000004", dir);
  assert_int_equal (mkdir (path, 0700), 0);
  snprintf (path, sizeof path, "%s/nexus-000005", dir);
  assert_int_equal (mkfifo (path, 0600), 0);
  snprintf (path, sizeof path, "%s/nexus-000006", dir);
  assert_int_equal (symlink ("/dev/zero", path), 0);
  put ("nexus-00000g", "");     /* not ours */
  put ("nexus-0000007", "");
  must_open (&st, &old);
  assert_int_equal (nr_said, 6);
  assert_int_equal (old.n, 0);
  assert_int_equal (nr_files ("nexus-*.bad"), 6);
  assert_true (st.isid_random > 6);
  nexus_state_close (&st);
  must_open (&st, &old);        /* said once */
  assert_int_equal (nr_said, 6);
  nexus_state_close (&st);

  /* Of another version: left alone. */
  put ("nexus-000008", "mpiscsi-nexus 99\nsomething new\n");
  snprintf (path, sizeof path, "%s/nexus-000008", dir);
  for (unsigned i = 1; i <= 2; ++i) {
    must_open (&st, &old);
    assert_int_equal (nr_said, 6 + i);
    assert_non_null (strstr (said, "another version"));
    assert_int_equal (access (path, R_OK), 0);
    nexus_state_close (&st);
  }
  snprintf (away, sizeof away, "%s/nexus-000004.bad", dir);
  rmdir (away);
}

static void
no_place (void **unused)
{
  struct nexus_list old = { NULL, 0, 0 }, mine = { NULL, 0, 0 };
  struct nexus_state st;
  char path[600];

  (void) unused;
  put ("file", "");
  snprintf (path, sizeof path, "%s/file", dir);
  assert_int_equal (nexus_state_open (&st, path, NAME, &old, say, err), -1);
  assert_non_null (strstr (err, "nexus.lock: Not a directory"));
  memset (path + 5, 'x', 500);
  path[505] = '\0';
  assert_int_equal (nexus_state_open (&st, path, NAME, &old, say, err), -1);
  assert_non_null (strstr (err, "too long"));

  /* It goes away later. */
  must_open (&st, &old);
  add (&mine, 1, "10.0.0.1", 1, "first");
  snprintf (path, sizeof path, "%s/nexus-%06" PRIx32 ".new", dir,
            st.isid_random);
  assert_int_equal (mkdir (path, 0700), 0);
  assert_int_equal (nexus_state_save (&st, &mine, err), -1);
  assert_non_null (strstr (err, "cannot write"));
  rmdir (path);
  assert_int_equal (nexus_state_save (&st, &mine, err), 0);
  nexus_state_close (&st);

  if (geteuid () == 0) {        /* whom modes do not stop */
    int status;
    const pid_t pid = fork ();

    if (pid == 0) {
      if (chown (dir, 0, 0) == -1 || setuid (65534) == -1)
        _exit (2);
      _exit (nexus_state_open (&st, dir, NAME, &old, say, err) == -1 &&
             strstr (err, "Permission denied") != NULL ? 0 : 1);
    }
    waitpid (pid, &status, 0);
    assert_int_equal (status, 0);
  }
  nexus_list_free (&mine);
}

static void
by_environment (void **unused)
{
  struct nexus_list old = { NULL, 0, 0 };
  struct nexus_state st;
  char path[300];

  (void) unused;
  snprintf (path, sizeof path, "%s/a/b", dir);
  setenv ("STATE_DIRECTORY", path, 1);
  assert_int_equal (nexus_state_open (&st, NULL, NAME, &old, say, err), 0);
  assert_string_equal (st.dir, path);
  nexus_state_close (&st);
  unsetenv ("STATE_DIRECTORY");
  setenv ("XDG_STATE_HOME", "/x", 1);
  state_file ("f", path, sizeof path);
  assert_string_equal (path, geteuid () == 0 ? "/var/lib/mpiscsi/f"
                       : "/x/mpiscsi/f");
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (there_and_back),
    cmocka_unit_test (damaged),
    cmocka_unit_test (nonsense),
    cmocka_unit_test (no_words),
    cmocka_unit_test (not_too_many),
    cmocka_unit_test_setup (clean_then_dirty, setup),
    cmocka_unit_test_setup (two_live, setup),
    cmocka_unit_test_setup (killed, setup),
    cmocka_unit_test_setup (another_name, setup),
    cmocka_unit_test_setup (bad_files, setup),
    cmocka_unit_test_setup (no_place, setup),
    cmocka_unit_test_setup (by_environment, setup),
  };

  if (mkdtemp (dir) == NULL)
    return 1;
  return cmocka_run_group_tests_name ("nexus-state", tests, NULL, remove_all);
}
