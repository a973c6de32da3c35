/* SPDX-License-Identifier: BSD-3-Clause */
/* The server without memory, over the fake libiscsi: for each allocation of an
 * operation, it fails.  No crash, no leak (tests/build/test-asan.sh runs this with
 * LeakSanitizer), nothing left half done, a clear error or a line in the log;
 * and as soon as there is memory again, all works.
 *
 * Linked with -Wl,--wrap: alloc-fail.h. */
#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "alloc-fail.h"
#include "control/control.h"
#include "fake-libiscsi.h"
#include "log-capture.h"
#include "virtual-time.h"
#include "fence/fence.h"
#include "plugin.h"

#define BLOCKS 1024
#define BS 512
#define NR_PORTALS 2
/* Seconds; sanitizers and a busy machine included. */
#define PATIENCE 10.0

struct engine *engine;          /* as plugin/plugin.c has it */
static struct settings *settings;
static struct fake_disk *disk;
static struct fake_portal *portal[NR_PORTALS];
static struct map *map;

static unsigned nth;            /* of the round that runs */

#define wait_for(condition)                                             \
  do {                                                                  \
    const double until_ = engine_now () + PATIENCE;                     \
    while (!(condition)) {                                              \
      if (engine_now () > until_) {                                     \
        alloc_fail_stop ();                                             \
        log_show ();                                                    \
        fail_msg ("allocation %u: waited in vain for %s", nth,          \
                  #condition);                                          \
      }                                                                 \
      pause_ms (2);                                                     \
    }                                                                   \
  } while (0)

/* ---- what nbdkit is for plugin/exports.c ------------------------------------------ */

static char nbdkit_said[1000];
static unsigned nr_exports, exports_that_fit;

void
plugin_error (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  vsnprintf (nbdkit_said, sizeof nbdkit_said, fs, args);
  va_end (args);
}

void
nbdkit_set_error (int error)
{
  errno = error;
}

const char *
nbdkit_export_name (void)
{
  return "";
}

int
nbdkit_nanosleep (unsigned sec, unsigned nsec)
{
  (void) sec;
  pause_ms (nsec / 1000000);
  return 0;
}

int
nbdkit_add_export (struct nbdkit_exports *exports, const char *name,
                   const char *description)
{
  (void) exports;
  assert_string_equal (name, fake_disk_wwid (disk));
  assert_non_null (strstr (description, "2 of 2 paths active"));
  if (nr_exports == exports_that_fit) {
    plugin_error ("nbdkit_add_export: out of memory");
    return -1;
  }
  nr_exports++;
  return 0;
}

static const char *interned;

const char *
nbdkit_strdup_intern (const char *s)
{
  (void) s;
  return interned;
}

/* ---- a server with its target ------------------------------------------------------ */

static void
set (const char *key, const char *value)
{
  char err[ERR_SIZE];

  if (settings_set (settings, key, value, err) == -1)
    fail_msg ("%s=%s: %s", key, value, err);
}

static int
setup (void **unused)
{
  char err[ERR_SIZE];

  (void) unused;
  fake_start (1);
  log_set_sink (log_keep);
  settings = settings_new ();
  settings->guard = false;      /* the fake is no library */
  disk = fake_disk_new (1, BLOCKS, BS);
  fake_portals_new (portal, NR_PORTALS, disk);
  set ("initiator-name", "iqn.2026-11.test.unit:alloc");
  set ("target", FAKE_TARGET);
  set ("portals", "127.0.0.1:4001,127.0.0.1:4002");
  set ("discovery", "off");
  set ("polling-interval", "0.1");
  set ("max-polling-interval", "0.1");
  set ("login-timeout", "1");
  set ("control", "none");
  assert_int_equal (settings_check (settings, err), 0);
  return 0;
}

static void
end_engine (void)
{
  if (engine != NULL) {
    engine_shutdown (engine, 2);
    engine_free (engine);
  }
  engine = NULL;
  map = NULL;
}

/* Of the control socket. */
static char dir[40], path[100];

static int
teardown (void **unused)
{
  (void) unused;
  alloc_fail_stop ();
  end_engine ();
  if (dir[0]) {
    unlink (path);
    rmdir (dir);
    dir[0] = '\0';
  }
  settings_free (settings);
  fake_end ();
  log_set_sink (NULL);
  log_forget ();
  return 0;
}

static unsigned
active (void)
{
  struct list *l, *next;
  unsigned n = 0;

  engine_enter (engine);
  list_for_each (l, next, &engine->maps)
    n += list_entry (l, struct map, node)->nr_active;
  engine_leave (engine);
  return n;
}

static void
serve (void)
{
  char err[ERR_SIZE] = "";

  engine = engine_new (settings);
  assert_non_null (engine);
  engine_start (engine);
  assert_int_equal (engine_start_thread (engine), 0);
  map = engine_find_map (engine, "", PATIENCE, err, sizeof err);
  if (map == NULL)
    fail_msg ("%s", err);
  wait_for (active () == 2);
}

/* ---- starting ----------------------------------------------------------------------- */

static bool
said_why (const char *text)
{
  return strstr (text, "memory") != NULL ||
    /* What libiscsi could not do, and says itself. */
    strstr (text, "cannot connect") != NULL ||
    strstr (text, "cannot log in") != NULL ||
    strstr (text, "cannot send") != NULL ||
    strstr (text, "discovery failed") != NULL;
}

/* As the plugin's get_ready and after_fork do it.  Returns how many
 * allocations failed. */
static unsigned
start_once (unsigned flags)
{
  char err[ERR_SIZE] = "";
  unsigned failed, sessions = 0;
  struct list *l, *next;
  int r;

  log_forget ();
  alloc_fail_start (nth, flags);
  engine = engine_new (settings);
  if (engine == NULL) {
    assert_int_equal (errno, ENOMEM);
    return alloc_fail_stop ();
  }
  engine_start (engine);
  engine_run_until_settled (engine, PATIENCE);
  failed = alloc_fail_stop ();
  r = engine_verdict (engine, err, sizeof err);
  if (r == -1 && (failed == 0 || !said_why (err)))
    fail_msg ("allocation %u: the verdict is: %s", nth, err);

  /* There is memory again: whatever was begun is finished, without help; and
   * what was not even begun was said. */
  assert_int_equal (engine_start_thread (engine), 0);
  engine_enter (engine);
  list_for_each (l, next, &engine->sessions)
    sessions += session_has_paths (list_entry (l, struct session, node));
  engine_leave (engine);
  if (sessions < NR_PORTALS)
    assert_true (log_count ("127.0.0.1: out of memory") > 0);
  else
    wait_for (active () == NR_PORTALS);
  if (failed == 0)
    assert_int_equal (sessions, NR_PORTALS);
  return failed;
}

static void
start_each (unsigned flags, unsigned step)
{
  unsigned failed;

  nth = 1;
  do {
    failed = start_once (flags);
    end_engine ();
    nth += step;
  } while (failed > 0);
  /* Engine, two sessions, contexts, lookups, probes, paths, a map. */
  assert_true (nth > 15);
}

static void
start (void **unused)
{
  (void) unused;
  start_each (ALLOC_ONE | ALLOC_LIBISCSI, 1);
}

static void
discover (void **unused)
{
  const char *const portals[] = {
    "127.0.0.1:4001,1", "127.0.0.1:4002,1", NULL
  };

  (void) unused;
  fake_offer (FAKE_TARGET, portals);
  set ("discovery", "on");
  /* Not all, for time's sake: the rest is as above. */
  start_each (ALLOC_ONE | ALLOC_LIBISCSI, 4);
}

/* ---- requests ------------------------------------------------------------------------ */

static uint8_t buffer[16 * BS];

static int do_read (void) { return map_read (map, buffer, sizeof buffer, 0); }
static int do_write (void) { return map_write (map, buffer, sizeof buffer, 0, false); }
static int do_zero (void) { return map_zero (map, 64 * BS, 0, false, false); }
static int do_trim (void) { return map_trim (map, 64 * BS, 0); }

static bool
nothing_waits (void)
{
  struct list *l, *next;
  bool none;

  engine_enter (engine);
  none = list_empty (&map->queue) && list_empty (&map->delayed) &&
    list_empty (&map->parked) && engine->pending == NULL &&
    engine->completed == NULL;
  list_for_each (l, next, &engine->sessions)
    if (!list_empty (&list_entry (l, struct session, node)->in_flight))
      none = false;
  engine_leave (engine);
  return none;
}

/* Of several commands each: without memory for them nothing is sent. */
static void
requests (void **unused)
{
  static const struct { const char *name; int (*f) (void); }
  all[] = {
    { "read", do_read }, { "write", do_write },
    { "zero", do_zero }, { "trim", do_trim },
  };

  (void) unused;
  set ("path-checker", "none");
  set ("noop-out-interval", "0");
  fake_disk_limit (disk, 3);
  serve ();
  engine_enter (engine);
  map->facts.lbpme = map->facts.lbpu = map->facts.lbpws = true;
  map->facts.max_unmap_lba = map->facts.max_write_same = 3;
  map->facts.max_unmap_descriptors = 1;
  engine_leave (engine);
  for (size_t i = 0; i < sizeof all / sizeof all[0]; ++i) {
    unsigned failed, sent;
    int r;

    nth = 1;
    wait_for (nothing_waits ());
    sent = fake_executed (portal[0]) + fake_executed (portal[1]);
    alloc_fail_start (1, ALLOC_REST | ALLOC_THIS_THREAD);
    errno = 0;
    r = all[i].f ();
    failed = alloc_fail_stop ();
    if (failed == 0)
      fail_msg ("%s: made no allocation", all[i].name);
    assert_int_equal (r, -1);
    assert_int_equal (errno, ENOMEM);
    assert_true (nothing_waits ());
    assert_int_equal (fake_executed (portal[0]) + fake_executed (portal[1]),
                      sent);
    /* The fake has no thin provisioning: it is asked, and refuses.  Then
     * zeroes are written; to trim is only advice. */
    r = all[i].f ();
    assert_int_equal (r, 0);
  }
}

/* ---- in doubt -------------------------------------------------------------------------- */

struct job {
  pthread_t thread;
  uint64_t lba;
  uint8_t buf[BS];
  int result, error;
  _Atomic bool done;
};

static void *
job_thread (void *opaque)
{
  struct job *j = opaque;

  j->result = map_write (map, j->buf, BS, j->lba * BS, false);
  j->error = errno;
  j->done = true;
  return NULL;
}

static void
job_start (struct job *j, uint64_t lba, uint8_t byte)
{
  memset (j, 0, sizeof *j);
  j->lba = lba;
  memset (j->buf, byte, BS);
  assert_int_equal (pthread_create (&j->thread, NULL, job_thread, j), 0);
}

static void
job_end (struct job *j)
{
  wait_for (j->done);
  pthread_join (j->thread, NULL);
  if (j->result != 0)
    fail_msg ("allocation %u: a write failed: %s", nth, strerror (j->error));
}

static void
assert_on_disk (uint64_t lba, uint8_t byte)
{
  uint8_t buf[BS];

  fake_disk_read (disk, lba, buf, 1);
  assert_int_equal (buf[0], byte);
}

static unsigned
parked (void)
{
  struct list *l, *next;
  unsigned n = 0;

  engine_enter (engine);
  list_for_each (l, next, &map->parked)
    n++;
  engine_leave (engine);
  return n;
}

#define NR_LOST 6

/* Writes are under way on both paths; one dies, and there is no memory.  No
 * write is failed, and none that would overlap one that may still come is
 * sent. */
static void
in_doubt (unsigned flags, bool all_waits)
{
  static struct job lost[NR_LOST], after;
  static uint64_t base, fresh = 500;

  /* Blocks that are not in doubt since the last time. */
  base += 50;
  fresh++;
  wait_for (active () == 2 && nothing_waits ());
  log_forget ();
  fake_set_silent (portal[0], true);
  fake_set_silent (portal[1], true);
  for (unsigned i = 0; i < NR_LOST; ++i)
    job_start (&lost[i], base + 8 * i, 0x10 + i);
  wait_for (fake_waiting (portal[0]) + fake_waiting (portal[1]) == NR_LOST);
  assert_true (fake_waiting (portal[0]) >= 2);
  /* Nobody gets in again, nothing is fenced. */
  fake_set_login (portal[0], FAKE_LOGIN_LOST, "");
  fake_set_login (portal[1], FAKE_LOGIN_LOST, "");
  alloc_fail_start (nth, flags);
  fake_kill (portal[0]);
  wait_for (active () == 1);
  fake_set_silent (portal[1], false);
  if (all_waits) {
    wait_for (log_count ("out of memory: until the lost session is fenced, "
                         "every write waits") > 0);
    /* To where nobody has written. */
    job_start (&after, fresh, 0x77);
  }
  else
    /* Lost on portal 0, or not: on the path that lives it is done soon. */
    job_start (&after, base, 0x77);
  pause_ms (all_waits ? 300 : 30);
  if (all_waits) {
    assert_false (after.done);
    assert_true (parked () > 0);
    assert_on_disk (fresh, 0);
  }
  alloc_fail_stop ();
  fake_set_silent (portal[0], false);
  fake_set_login (portal[0], FAKE_LOGIN_OK, "");
  fake_set_login (portal[1], FAKE_LOGIN_OK, "");
  for (unsigned i = 0; i < NR_LOST; ++i)
    job_end (&lost[i]);
  job_end (&after);
  assert_int_equal (log_count ("gave up fencing"), 0);
  for (unsigned i = 1; i < NR_LOST; ++i)
    assert_on_disk (base + 8 * i, 0x10 + i);
  if (all_waits)
    assert_on_disk (fresh, 0x77);
}

static void
writes_in_doubt (void **unused)
{
  (void) unused;
  set ("path-checker", "none");
  set ("noop-out-interval", "0");
  set ("rr-min-io", "1");
  /* A fence's reset may end the other session as well, for a moment. */
  set ("no-path-retry", "100");
  serve ();
  nth = 1;
  in_doubt (ALLOC_REST, true);
  for (nth = 1; nth <= 8; ++nth)
    in_doubt (ALLOC_ONE, nth == 1);
}

/* A path for which nothing could be kept must not be used: its writes could
 * not be noted. */
static void
path_without_reserve (void **unused)
{
  (void) unused;
  set ("path-checker", "none");
  set ("noop-out-interval", "0");
  serve ();
  wait_for (nothing_waits ());
  /* On a busy machine the threads' allocations come in another order. */
  const char *const not_used = "out of memory: path is not used";
  for (int round = 0;
       round < 12 || (round < 60 && log_count (not_used) == 0); ++round) {
    nth = round % 12 + 1;
    const unsigned logins[2] = {
      fake_logins (portal[0]), fake_logins (portal[1])
    };
    static struct job j;
    bool all = true;

    /* Have what is in doubt fenced. */
    wait_for (do_write () == 0 && active () == 2 && nothing_waits () &&
              fence_settled (engine));
    /* It is used up when a write is lost. */
    fake_set_silent (portal[0], true);
    fake_set_silent (portal[1], true);
    job_start (&j, nth, 0x33);
    wait_for (fake_waiting (portal[0]) + fake_waiting (portal[1]) == 1);
    fake_kill (portal[0]);
    fake_kill (portal[1]);
    alloc_fail_start (nth, ALLOC_ONE);
    fake_set_silent (portal[0], false);
    fake_set_silent (portal[1], false);
    wait_for (fake_logins (portal[0]) > logins[0] &&
              fake_logins (portal[1]) > logins[1] && active () == 2);
    alloc_fail_stop ();
    wait_for (j.done);
    pthread_join (j.thread, NULL);
    engine_enter (engine);
    for (struct list *l = map->paths.next; l != &map->paths; l = l->next)
      if (path_is_usable (list_entry (l, struct path, map_node)->state) &&
          list_entry (l, struct path, map_node)->fence == NULL)
        all = false;
    engine_leave (engine);
    assert_true (all);
  }
  assert_true (log_count (not_used) > 0);
}

/* ---- the control socket ----------------------------------------------------------------- */

/* The answer; "" if the connection was closed without one. */
static void
ask (const char *request, char *answer, size_t size)
{
  struct sockaddr_un sa = { .sun_family = AF_UNIX };
  const int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const struct timeval tv = { .tv_sec = (time_t) PATIENCE };
  size_t n = 0;
  ssize_t r;

  assert_true (fd >= 0);
  strcpy (sa.sun_path, path);
  setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
  assert_int_equal (connect (fd, (struct sockaddr *) &sa, sizeof sa), 0);
  (void) send (fd, request, strlen (request), MSG_NOSIGNAL);
  while (n < size - 1 && (r = recv (fd, answer + n, size - 1 - n, 0)) != 0) {
    if (r == -1) {
      if (errno != ECONNRESET)
        fail_msg ("allocation %u: %s: %s", nth, request, strerror (errno));
      break;
    }
    n += r;
    if (answer[n - 1] == '\n')
      break;
  }
  answer[n] = '\0';
  close (fd);
}

static void
control_socket (void **unused)
{
  static const char *const requests[] = {
    "{\"version\":1,\"command\":\"show\"}\n",
    "{\"version\":1,\"command\":\"show\",\"format\":\"json\"}\n",
    "{\"version\":1,\"command\":\"show\",\"what\":\"maps\"}\n",
    "{\"version\":1,\"command\":\"restorequeueing\",\"map\":\"x\"}\n",
    "{\"version\":1,\"command\":\"version\"}\n",
    "{\"version\":1,\"command\":\"watch\"}\n",
  };
  char err[ERR_SIZE];
  static char whole[20000], answer[20000];

  (void) unused;
  set ("path-checker", "none");
  set ("noop-out-interval", "0");
  strcpy (dir, "/tmp/mpiscsi-unit.XXXXXX");
  assert_non_null (mkdtemp (dir));
  snprintf (path, sizeof path, "%s/control", dir);
  engine = engine_new (settings);
  assert_non_null (engine);
  assert_int_equal (control_start (engine, &(struct control_place) { .path = path },
                                   err, sizeof err), 0);
  engine_start (engine);
  assert_int_equal (engine_start_thread (engine), 0);
  map = engine_find_map (engine, "", PATIENCE, err, sizeof err);
  assert_non_null (map);
  wait_for (active () == 2 && nothing_waits ());
  for (size_t i = 0; i < sizeof requests / sizeof requests[0]; ++i)
    for (unsigned rest = 0; rest < (i < 2 ? 2 : 1); ++rest) {
      unsigned failed, closed = 0, sorry = 0;

      ask (requests[i], whole, sizeof whole);
      if (strchr (whole, '\n') == NULL)
        fail_msg ("%s: %s", requests[i], whole);
      nth = 0;
      do {
        nth++;
        alloc_fail_start (nth, rest ? ALLOC_REST : ALLOC_ONE);
        ask (requests[i], answer, sizeof answer);
        failed = alloc_fail_stop ();
        if (answer[0] == '\0')
          closed++;
        else if (strstr (answer, "\"ok\":false") &&
                 strstr (answer, "memory"))
          sorry++;
        else
          /* All or nothing. */
          assert_string_equal (answer, whole);
      } while (failed > 0);
      assert_string_equal (answer, whole);
      assert_true (closed > 0);
      assert_true (sorry > 0 || rest);
      assert_true (nth > 8);
    }
  end_engine ();
  assert_int_equal (rmdir (dir), 0);    /* the socket is gone */
  dir[0] = '\0';
}

/* ---- connections --------------------------------------------------------------------------- */

static void
exports (void **unused)
{
  void *h;

  (void) unused;
  set ("path-checker", "none");
  set ("noop-out-interval", "0");
  serve ();
  nth = 1;
  alloc_fail_start (1, ALLOC_REST | ALLOC_THIS_THREAD);
  nbdkit_said[0] = '\0';
  h = mpiscsi_open (0);
  assert_true (alloc_fail_stop () > 0);
  assert_null (h);
  assert_non_null (strstr (nbdkit_said, "Cannot allocate memory"));
  h = mpiscsi_open (0);
  assert_non_null (h);

  exports_that_fit = 1;
  assert_int_equal (mpiscsi_list_exports (0, 0, NULL), 0);
  assert_int_equal (nr_exports, 1);
  assert_int_equal (mpiscsi_list_exports (0, 0, NULL), -1);

  /* nbdkit takes NULL for an error. */
  assert_null (mpiscsi_default_export (0, 0));
  assert_null (mpiscsi_export_description (h));
  interned = "text";
  assert_string_equal (mpiscsi_default_export (0, 0), "text");
  assert_string_equal (mpiscsi_export_description (h), "text");
  mpiscsi_close (h);
}

int
main (void)
{
#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)
  const struct CMUnitTest tests[] = {

    TEST (start),
    TEST (discover),
    TEST (requests),
    TEST (writes_in_doubt),
    TEST (path_without_reserve),
    TEST (control_socket),
    TEST (exports),
  };

  virtual_time_start ();
  setbuf (stdout, NULL);
  cmocka_set_test_filter (getenv ("TEST"));
  return cmocka_run_group_tests (tests, NULL, NULL);
}
