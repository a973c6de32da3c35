/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine against a target that misbehaves: each test plays one thing and
 * looks at states, log lines, error texts and data, through the engine's
 * public functions.  libiscsi is fake-libiscsi.c, which ends the process when
 * it is misused. */
#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "fence/nexus.h"
#include "service/service.h"
#include "fake-libiscsi.h"
#include "log-capture.h"
#include "virtual-time.h"

#define BLOCKS 1024
#define BS 512
#define MAX_PORTALS 4
/* Seconds; sanitizers and a busy machine included. */
#define PATIENCE 10.0

static struct engine *engine;

/* ---- log ------------------------------------------------------------------------ */

static pthread_mutex_t log_gate = PTHREAD_MUTEX_INITIALIZER; /* locked: blocks */

static void
sink (enum log_level level, const char *line)
{
  pthread_mutex_lock (&log_gate);
  pthread_mutex_unlock (&log_gate);
  log_keep (level, line);
}

/* For the person who reads why a test failed. */
static void
states_show (void)
{
  struct list *l, *next, *pl, *pnext;

  if (engine == NULL)
    return;
  engine_enter (engine);
  list_for_each (l, next, &engine->sessions) {
    const struct session *s = list_entry (l, struct session, node);

    fprintf (stderr, "session %u %s: %s, %s%s%s%s, %u in flight of %u\n",
             s->id, s->name, session_has_paths (s) ? "paths" : s->ops->discovery ? "discovery" : "fence", session_state_name (s->state),
             s->ctx ? "" : ", no context", s->dying ? ", dying" : "",
             s->probe ? ", probes" : "", s->nr_in_flight, s->limit_now);
    list_for_each (pl, pnext, &s->paths) {
      const struct path *p = list_entry (pl, struct path, session_node);

      fprintf (stderr, "  path to LUN %u: %s\n", p->lun,
               path_state_name (p->state));
    }
  }
  engine_leave (engine);
}

/* Waits for CONDITION; a failed test shows the log and the states. */
#define wait_for(condition)                                             \
  do {                                                                  \
    const double until_ = engine_now () + PATIENCE;                     \
    while (!(condition)) {                                              \
      if (engine_now () > until_) {                                     \
        log_show ();                                                    \
        states_show ();                                                 \
        fail_msg ("waited in vain for %s", #condition);                 \
      }                                                                 \
      pause_ms (5);                                                     \
    }                                                                   \
  } while (0)

#define wait_log(part) wait_for (log_count (part) > 0)

static void
assert_logged (const char *part)
{
  if (log_count (part) == 0) {
    log_show ();
    fail_msg ("not in the log: %s", part);
  }
}

static void
assert_contains (const char *text, const char *part)
{
  if (strstr (text, part) == NULL)
    fail_msg ("'%s' is not in: %s", part, text);
}

/* ---- a server with its target ------------------------------------------------------ */

static struct settings *settings;
static struct map *map;
static struct fake_disk *disk;
static struct fake_portal *portal[MAX_PORTALS];

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
  (void) unused;
  fake_start (1);
  log_set_sink (sink);
  settings = settings_new ();
  settings->guard = false;      /* the fake is no library */
  disk = fake_disk_new (1, BLOCKS, BS);
  fake_portals_new (portal, MAX_PORTALS, disk);
  set ("initiator-name", "iqn.2026-11.test.unit:session");
  set ("target", FAKE_TARGET);
  set ("discovery", "off");
  set ("polling-interval", "0.2");
  set ("login-timeout", "0.5");
  set ("rr-min-io", "1");
  return 0;
}

static int
teardown (void **unused)
{
  (void) unused;
  if (engine != NULL) {
    engine_shutdown (engine, 2);
    engine_free (engine);
  }
  engine = NULL;
  map = NULL;
  settings_free (settings);
  fake_end ();
  log_set_sink (NULL);
  log_forget ();
  return 0;
}

static bool keeps;              /* a state file */

/* As the plugin's get_ready: run in this thread.  Returns engine_verdict. */
static int
run (unsigned nr_portals, char err[ERR_SIZE])
{
  char text[MAX_PORTALS * 24] = "";

  for (unsigned i = 0; i < nr_portals; ++i)
    sprintf (text + strlen (text), "%s127.0.0.1:%u", i ? "," : "", 4001 + i);
  set ("portals", text);
  assert_int_equal (settings_check (settings, err), 0);
  engine = engine_new (settings);
  assert_non_null (engine);
  if (keeps)
    engine_keep_record (engine);
  engine_start (engine);
  engine_run_until_settled (engine, PATIENCE);
  return engine_verdict (engine, err, ERR_SIZE);
}

static void
serve (unsigned nr_portals)
{
  char err[ERR_SIZE] = "";

  if (run (nr_portals, err) == -1)
    fail_msg ("%s", err);
  assert_int_equal (engine_start_thread (engine), 0);
  map = engine_find_map (engine, "", PATIENCE, err, sizeof err);
  if (map == NULL)
    fail_msg ("%s", err);
}

static void
serve_kept (unsigned nr_portals)
{
  keeps = true;
  serve (nr_portals);
  keeps = false;
}

static void
refuses (unsigned nr_portals, const char *part)
{
  char err[ERR_SIZE] = "";

  assert_int_equal (run (nr_portals, err), -1);
  assert_contains (err, part);
}

static unsigned
active (void)
{
  unsigned n;

  engine_enter (engine);
  n = map->nr_active;
  engine_leave (engine);
  return n;
}

static struct session *
session_of (unsigned i)
{
  char name[40];
  struct list *l, *next;

  sprintf (name, "127.0.0.1:%u", 4001 + i);
  list_for_each (l, next, &engine->sessions) {
    struct session *s = list_entry (l, struct session, node);

    if (session_has_paths (s) && strcmp (s->name, name) == 0)
      return s;
  }
  fail_msg ("no session %s", name);
  return NULL;
}

static enum path_state
path_of (unsigned i)
{
  struct path *p;
  enum path_state state;

  engine_enter (engine);
  p = path_find (session_of (i), 1);
  assert_non_null (p);
  state = p->state;
  engine_leave (engine);
  return state;
}

static unsigned
queued (void)
{
  struct list *l, *next;
  unsigned n = 0;

  engine_enter (engine);
  list_for_each (l, next, &map->queue)
    n++;
  list_for_each (l, next, &map->delayed)
    n++;
  engine_leave (engine);
  return n;
}

/* ---- requests ------------------------------------------------------------------------- */

struct job {
  pthread_t thread;
  enum request_op op;
  uint64_t lba;
  uint32_t blocks;
  uint8_t buf[16 * BS];
  int result, error;
  _Atomic bool done;
};

static void *
job_thread (void *opaque)
{
  struct job *j = opaque;
  const uint64_t at = j->lba * BS;
  const uint32_t n = j->blocks * BS;

  errno = 0;
  j->result = j->op == OP_READ ? map_read (map, j->buf, n, at)
    : j->op == OP_WRITE ? map_write (map, j->buf, n, at, false)
    : map_flush (map);
  j->error = errno;
  j->done = true;
  return NULL;
}

static void
job_start (struct job *j, enum request_op op, uint64_t lba, uint32_t blocks)
{
  memset (j, 0, sizeof *j);
  j->op = op;
  j->lba = lba;
  j->blocks = blocks;
  memset (j->buf, op == OP_WRITE ? (int) (lba + 1) & 0xff : 0xee,
          sizeof j->buf);
  assert_int_equal (pthread_create (&j->thread, NULL, job_thread, j), 0);
}

/* ERROR 0: it must succeed, with the data that write jobs write there. */
static void
job_end (struct job *j, int error)
{
  wait_for (j->done);
  pthread_join (j->thread, NULL);
  assert_int_equal (j->result, error ? -1 : 0);
  if (error)
    assert_int_equal (j->error, error);
  else if (j->op == OP_READ)
    for (uint32_t i = 0; i < j->blocks * BS; ++i)
      if (j->buf[i] != ((j->lba + 1) & 0xff))
        fail_msg ("wrong data of LBA %u at byte %u: %02x", (unsigned) j->lba,
                  i, j->buf[i]);
}

static void
do_job (enum request_op op, uint64_t lba, uint32_t blocks, int error)
{
  struct job j;

  job_start (&j, op, lba, blocks);
  job_end (&j, error);
}

static void
assert_on_disk (uint64_t lba, uint32_t blocks)
{
  uint8_t buf[16 * BS];

  fake_disk_read (disk, lba, buf, blocks);
  for (uint32_t i = 0; i < blocks * BS; ++i)
    assert_int_equal (buf[i], (lba + 1) & 0xff);
}

/* ---- all is well ------------------------------------------------------------------------ */

static void
two_paths (void **unused)
{
  struct lu_facts facts;

  (void) unused;
  serve (2);
  assert_int_equal (active (), 2);
  assert_int_equal (fake_logins (portal[0]), 1);
  assert_int_equal (fake_logins (portal[1]), 1);
  map_get_facts (map, &facts);
  assert_int_equal (facts.blocks, BLOCKS);
  assert_int_equal (facts.block_size, BS);
  assert_string_equal (facts.wwid, fake_disk_wwid (disk));
  for (unsigned i = 0; i < 16; ++i)
    do_job (OP_WRITE, 16 * i, 16, 0);
  for (unsigned i = 0; i < 16; ++i) {
    assert_on_disk (16 * i, 16);
    do_job (OP_READ, 16 * i, 16, 0);
  }
  do_job (OP_FLUSH, 0, 0, 0);
  /* rr_min_io 1: turn by turn. */
  assert_int_equal (fake_executed (portal[0]) + fake_executed (portal[1]), 33);
  assert_in_range (fake_executed (portal[0]), 16, 17);
  assert_logged ("LUN 1: Direct-Access FAKE MEMORY DISK 0001");
  assert_logged ("127.0.0.1:4001: reinstated");
  assert_logged ("127.0.0.1:4002: reinstated");
  assert_logged ("remaining active paths: 2");
  assert_int_equal (log_count ("Failing path"), 0);
}

static void
discovery_finds_the_other_portal (void **unused)
{
  const char *const portals[] = {
    "127.0.0.1:4001,1", "127.0.0.1:4002,1", NULL
  };

  (void) unused;
  fake_offer (FAKE_TARGET, portals);
  set ("discovery", "on");
  serve (1);
  wait_for (active () == 2);
  do_job (OP_WRITE, 0, 1, 0);
  assert_int_equal (fake_logins (portal[1]), 1);
}

static void
discovery_names_what_is_there (void **unused)
{
  const char *const portals[] = { "127.0.0.1:4001,1", NULL };

  (void) unused;
  fake_offer ("iqn.2026-11.test.fake:other", portals);
  set ("discovery", "on");
  refuses (1, "no such target " FAKE_TARGET "; check target=: this portal "
           "offers iqn.2026-11.test.fake:other");
}

static void
split_request (void **unused)
{
  (void) unused;
  fake_disk_limit (disk, 3);
  serve (2);
  do_job (OP_WRITE, 100, 16, 0);
  do_job (OP_READ, 100, 16, 0);
  assert_on_disk (100, 16);
  assert_int_equal (fake_executed (portal[0]) + fake_executed (portal[1]), 12);
}

static void
any_order (void **unused)
{
  struct job jobs[12];

  (void) unused;
  serve (2);
  fake_set_delay (portal[0], 0, 30000);
  fake_set_delay (portal[1], 0, 30000);
  for (unsigned round = 0; round < 6; ++round) {
    for (unsigned i = 0; i < 12; ++i)
      job_start (&jobs[i], round % 2 ? OP_READ : OP_WRITE, 16 * i, 16);
    for (unsigned i = 0; i < 12; ++i)
      job_end (&jobs[i], 0);
  }
}

/* More commands than room on the session: they wait for one another. */
static void
depth_is_kept (void **unused)
{
  struct job jobs[12];
  unsigned most = 0;

  (void) unused;
  set ("queue-depth", "2");
  serve (1);
  fake_set_delay (portal[0], 5000, 10000);
  for (unsigned i = 0; i < 12; ++i)
    job_start (&jobs[i], OP_WRITE, i, 1);
  for (unsigned i = 0; i < 20; ++i) {
    const unsigned n = fake_waiting (portal[0]);

    most = n > most ? n : most;
    pause_ms (1);
  }
  for (unsigned i = 0; i < 12; ++i)
    job_end (&jobs[i], 0);
  assert_in_range (most, 1, 2);
}

static void
full_socket (void **unused)
{
  struct job j;

  (void) unused;
  serve (1);
  fake_set_choked (portal[0], true);
  job_start (&j, OP_WRITE, 5, 4);
  pause_ms (100);
  assert_false (j.done);
  fake_set_choked (portal[0], false);
  job_end (&j, 0);
  assert_on_disk (5, 4);
  assert_int_equal (log_count ("lost"), 0);
}

/* ---- death ---------------------------------------------------------------------------------- */

static void
death_under_load (void **unused)
{
  struct job jobs[12];

  (void) unused;
  serve (2);
  fake_set_delay (portal[0], 20000, 40000);
  fake_set_delay (portal[1], 20000, 40000);
  for (unsigned round = 0; round < 4; ++round) {
    const unsigned lost = log_count ("session 1 lost: ");

    wait_for (active () == 2);
    for (unsigned i = 0; i < 12; ++i)
      job_start (&jobs[i], round % 2 ? OP_READ : OP_WRITE, 16 * i, 16);
    wait_for (fake_waiting (portal[0]) > 0);
    fake_kill (portal[0]);
    for (unsigned i = 0; i < 12; ++i)
      job_end (&jobs[i], 0);
    wait_for (log_count ("session 1 lost: ") > lost);
  }
  assert_logged ("127.0.0.1:4001: session 1 lost: connection ");
  assert_logged ("Failing path 127.0.0.1:4001: connection ");
  assert_logged ("127.0.0.1:4001 - tur checker reports path is down");
  assert_logged ("remaining active paths: 1");
  wait_for (active () == 2);
  /* Its own logins; those of fencing sessions come on top. */
  assert_true (fake_logins (portal[0]) >= 5);
  for (unsigned i = 0; i < 12; ++i)
    assert_on_disk (16 * i, 16);
}

/* Nothing in flight. */
static void
death_while_idle (void **unused)
{
  (void) unused;
  set ("noop-out-interval", "0");
  set ("path-checker", "none");
  serve (2);
  fake_kill (portal[1]);
  wait_log ("127.0.0.1:4002: session 2 lost: connection closed by the target");
  wait_log ("remaining active paths: 1");
  wait_for (active () == 2);
  do_job (OP_WRITE, 0, 1, 0);
  do_job (OP_WRITE, 1, 1, 0);
}

/* The command is accepted by a context that is dead already. */
static void
submit_to_the_dead (void **unused)
{
  (void) unused;
  set ("noop-out-interval", "0");
  set ("path-checker", "none");
  /* A fence's reset may end the other session as well, for a moment. */
  set ("no-path-retry", "100");
  serve (2);
  for (unsigned i = 0; i < 20; ++i) {
    wait_for (active () == 2);
    /* With the lock the service thread cannot see the death first. */
    engine_enter (engine);
    fake_kill (portal[i % 2]);
    engine_leave (engine);
    do_job (OP_WRITE, i, 1, 0);
    do_job (OP_WRITE, i + 1, 1, 0);
    assert_on_disk (i, 1);
  }
}

static void
all_paths_die_and_fail (void **unused)
{
  struct job jobs[4];

  (void) unused;
  set ("no-path-retry", "fail");
  serve (2);
  for (unsigned i = 0; i < 2; ++i) {
    fake_set_silent (portal[i], true);
    fake_set_connect (portal[i], FAKE_CONNECT_REFUSED);
  }
  for (unsigned i = 0; i < 4; ++i)
    job_start (&jobs[i], i % 2 ? OP_READ : OP_WRITE, i, 1);
  wait_for (fake_waiting (portal[0]) + fake_waiting (portal[1]) >= 4);
  fake_kill (portal[0]);
  fake_kill (portal[1]);
  for (unsigned i = 0; i < 4; ++i)
    job_end (&jobs[i], EIO);
  do_job (OP_FLUSH, 0, 0, EIO);
  assert_logged ("remaining active paths: 0");
  for (unsigned i = 0; i < 2; ++i) {
    fake_set_silent (portal[i], false);
    fake_set_connect (portal[i], FAKE_CONNECT_OK);
  }
  wait_for (active () == 2);
  do_job (OP_WRITE, 0, 1, 0);
}

static void
all_paths_die_and_queue (void **unused)
{
  struct job jobs[6];

  (void) unused;
  set ("no-path-retry", "queue");
  serve (2);
  for (unsigned i = 0; i < 2; ++i) {
    fake_set_connect (portal[i], FAKE_CONNECT_REFUSED);
    fake_kill (portal[i]);
  }
  wait_for (active () == 0);
  for (unsigned i = 0; i < 6; ++i)
    job_start (&jobs[i], OP_WRITE, i, 1);
  wait_for (queued () == 6);
  pause_ms (600);
  assert_int_equal (queued (), 6);
  fake_set_connect (portal[1], FAKE_CONNECT_OK);
  for (unsigned i = 0; i < 6; ++i)
    job_end (&jobs[i], 0);
  assert_int_equal (active (), 1);
}

/* 3 polling intervals of 0.2 s. */
static void
all_paths_die_and_queue_for_a_while (void **unused)
{
  struct job j;
  double start;

  (void) unused;
  set ("no-path-retry", "3");
  serve (1);
  fake_set_connect (portal[0], FAKE_CONNECT_REFUSED);
  fake_kill (portal[0]);
  wait_log ("Entering recovery mode: max_retries=3");
  start = engine_now ();
  job_start (&j, OP_WRITE, 0, 1);
  job_end (&j, EIO);
  assert_true (engine_now () - start > 0.3);
  assert_logged ("Disable queueing");
  do_job (OP_READ, 0, 1, EIO);
  fake_set_connect (portal[0], FAKE_CONNECT_OK);
  wait_for (active () == 1);
  do_job (OP_WRITE, 0, 1, 0);
  log_forget ();

  /* In time this time. */
  fake_kill (portal[0]);
  wait_log ("Entering recovery mode");
  do_job (OP_WRITE, 7, 1, 0);
  assert_logged ("Recovered to normal mode");
  assert_int_equal (log_count ("Disable queueing"), 0);
}

/* ---- whatever is negotiated ------------------------------------------------------------------ */

static void
any_parameters (void **unused)
{
  (void) unused;
  fake_set_wild (true);
  set ("no-path-retry", "100");
  serve (2);
  for (unsigned i = 0; i < 64; ++i) {
    do_job (OP_WRITE, 16 * (i % 8), 16, 0);
    do_job (OP_READ, 16 * (i % 8), 16, 0);
    /* The next login has others. */
    if (i % 4 == 3) {
      fake_kill (portal[i / 4 % 2]);
      wait_for (active () == 2);
    }
  }
  /* The answer that sends it again, and the one that fails the path. */
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x2a, .lun = 1, .count = 20,
      .status = SCSI_STATUS_CHECK_CONDITION, .key = 6, .asc = 0x2a,
      .ascq = 1 });
  for (unsigned i = 0; i < 20; ++i)
    do_job (OP_WRITE, i, 1, 0);
}

static void
any_parameters_death (void **unused)
{
  struct job jobs[8];

  (void) unused;
  fake_set_wild (true);
  /* A fence's reset may end the other session as well, for a moment. */
  set ("no-path-retry", "100");
  serve (2);
  fake_set_delay (portal[0], 1000, 5000);
  fake_set_delay (portal[1], 1000, 5000);
  for (unsigned round = 0; round < 12; ++round) {
    wait_for (active () == 2);
    for (unsigned i = 0; i < 4; ++i)
      job_start (&jobs[i], OP_WRITE, 16 * i, 16);
    engine_enter (engine);
    fake_kill (portal[round % 2]);
    engine_leave (engine);
    for (unsigned i = 4; i < 8; ++i)
      job_start (&jobs[i], OP_WRITE, 16 * i, 16);
    for (unsigned i = 0; i < 8; ++i)
      job_end (&jobs[i], 0);
  }
  for (unsigned i = 0; i < 8; ++i)
    assert_on_disk (16 * i, 16);
}

/* ---- getting there ---------------------------------------------------------------------------- */

static void
connect_refused (void **unused)
{
  (void) unused;
  fake_set_connect (portal[0], FAKE_CONNECT_REFUSED);
  refuses (1, "127.0.0.1:4001: cannot connect: Connection refused: target "
           FAKE_TARGET "; is the target running, and is this its port?");
}

static void
connect_refused_at_once (void **unused)
{
  (void) unused;
  fake_set_connect (portal[0], FAKE_CONNECT_AT_ONCE);
  refuses (1, "127.0.0.1:4001: cannot connect: "
           "Connection refused");
}

static void
connect_failed (void **unused)
{
  (void) unused;
  fake_set_connect (portal[0], FAKE_CONNECT_FAILED);
  refuses (1, "cannot connect: No route to host: ");
}

static void
connect_never_told (void **unused)
{
  double start;

  (void) unused;
  fake_set_connect (portal[0], FAKE_CONNECT_LOST);
  start = engine_now ();
  refuses (1, "127.0.0.1:4001: cannot connect: no answer within 0.5 s: target "
           FAKE_TARGET "; check address, network and firewall");
  assert_true (engine_now () - start >= 0.45);
  assert_true (engine_now () - start < 5);
}

static void
login_never_told (void **unused)
{
  (void) unused;
  fake_set_login (portal[0], FAKE_LOGIN_LOST, NULL);
  refuses (1, "127.0.0.1:4001: login: no answer within 0.5 s");
}

/* The other path serves; the bad one is tried until it is good. */
static void
one_of_two_comes_late (void **unused)
{
  (void) unused;
  fake_set_login (portal[1], FAKE_LOGIN_LOST, NULL);
  serve (2);
  assert_int_equal (active (), 1);
  assert_logged ("127.0.0.1:4002: login: no answer within 0.5 s");
  do_job (OP_WRITE, 0, 1, 0);
  fake_set_login (portal[1], FAKE_LOGIN_OK, NULL);
  wait_for (active () == 2);
}

static void
login_texts (void **unused)
{
  static const struct { const char *text, *expected; } cases[] = {
    { "Failed to log in to target. Status: Authentication failure(513)",
      "authentication failed: the target wants CHAP, or another initiator name: "
      "give user= and password= (Authentication failure, status 0201h)" },
    { "Failed to log in to target. It did not return CHAP_R during SECNEG.",
      "the target did not prove itself with mutual-user and mutual-password" },
    { "Authentication failed. Invalid CHAP_R response from the target",
      "; check mutual-user= and mutual-password=" },
    { "Authentication failed. Invalid CHAP_R response from the target",
      "the target did not prove itself" },
    { "Failed to log in to target. Status: Target not found(515)",
      "login failed: Target not found, status 0203h: target " FAKE_TARGET "; check "
      "target= (`mpiscsi discover` lists them), and that the target allows our "
      "initiator name, iqn." },
    { "Failed to log in to target. Status: Authorization failure(514)",
      "allow our initiator name, iqn." },
    { "Failed to log in to target. Status: Out of resources(770)",
      "see the target's log" },
  };

  (void) unused;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    if (i > 0) {
      teardown (NULL);
      setup (NULL);
    }
    fake_set_login (portal[0], FAKE_LOGIN_FAILS, cases[i].text);
    refuses (1, cases[i].expected);
  }
}

static void
redirected (void **unused)
{
  (void) unused;
  fake_set_login (portal[0], FAKE_LOGIN_REDIRECT, "127.0.0.1:4003");
  serve (1);
  assert_logged ("redirects to 127.0.0.1:4003");
  assert_int_equal (fake_logins (portal[0]), 0);
  assert_int_equal (fake_logins (portal[2]), 1);
  do_job (OP_WRITE, 0, 1, 0);
  assert_int_equal (fake_executed (portal[2]), 1);
}

static uint32_t
qualifier_of (const char *name)
{
  struct list *l, *next;
  uint32_t q = 0;

  engine_enter (engine);
  list_for_each (l, next, &engine->sessions) {
    const struct session *s = list_entry (l, struct session, node);

    if (strcmp (s->name, name) == 0)
      q = s->isid_qualifier;
  }
  engine_leave (engine);
  return q;
}

/* The same portals in any order, some of them, and in another process (a
 * clean restart has the same random part): the same ISIDs.  Else a target
 * does not know the registration of a persistent reservation again. */
static void
isids (void **unused)
{
  static const char *const orders[] = {
    "127.0.0.1:4001,127.0.0.1:4002,127.0.0.1:4003",
    "127.0.0.1:4003,127.0.0.1:4001,127.0.0.1:4002",
    "127.0.0.1:4002,127.0.0.1:4003",
  };
  uint32_t q[3][4];
  char err[ERR_SIZE];

  (void) unused;
  set ("nr-sessions", "2");
  for (unsigned i = 0; i < 3; ++i) {
    settings->nr_portals = 0;
    set ("portals", orders[i]);
    assert_int_equal (settings_check (settings, err), 0);
    engine = engine_new (settings);
    engine_start (engine);
    engine_run_until_settled (engine, PATIENCE);
    q[i][0] = qualifier_of ("127.0.0.1:4002");
    q[i][1] = qualifier_of ("127.0.0.1:4002#2");
    q[i][2] = qualifier_of ("127.0.0.1:4003");
    q[i][3] = qualifier_of ("127.0.0.1:4003#2");
    engine_shutdown (engine, 2);
    engine_free (engine);
    engine = NULL;
    for (unsigned k = 0; k < 4; ++k) {
      assert_int_not_equal (q[i][k], 0);
      assert_int_equal (q[i][k], q[0][k]);
      for (unsigned n = 0; n < k; ++n)
        assert_int_not_equal (q[i][k], q[i][n]);
    }
  }
}

static void
two_sessions_to_a_portal (void **unused)
{
  (void) unused;
  set ("nr-sessions", "2");
  serve (1);
  wait_for (active () == 2);
  assert_int_equal (fake_logins (portal[0]), 2);
  assert_logged ("127.0.0.1:4001#2: reinstated");
  do_job (OP_WRITE, 0, 1, 0);
  /* One of them is lost: the other one has it. */
  fake_kill (portal[0]);
  wait_for (fake_logins (portal[0]) == 4);
  do_job (OP_WRITE, 1, 1, 0);
}

static void
redirected_in_a_circle (void **unused)
{
  (void) unused;
  fake_set_login (portal[0], FAKE_LOGIN_REDIRECT, "127.0.0.1:4002");
  fake_set_login (portal[1], FAKE_LOGIN_REDIRECT, "127.0.0.1:4001");
  refuses (1, "redirected more than 8 times");
}

static void
no_lun (void **unused)
{
  (void) unused;
  fake_map_lun (portal[0], 1, NULL);
  refuses (1, "no LUN to serve was found on any target");
}

static void
not_that_lun (void **unused)
{
  (void) unused;
  set ("lun", "5");
  refuses (1, "127.0.0.1:4001: target " FAKE_TARGET " has no LUN 5; check lun=");
}

static void
two_disks_with_one_name (void **unused)
{
  struct fake_disk *twin;

  (void) unused;
  twin = fake_disk_new (1, BLOCKS * 2, BS);
  fake_map_lun (portal[1], 1, twin);
  refuses (2, "two different disks have the WWID 36");
}

/* ---- answers ------------------------------------------------------------------------------------ */

static void
retried_answers (void **unused)
{
  (void) unused;
  serve (1);
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x2a, .lun = 1, .count = 2, .status = SCSI_STATUS_BUSY });
  do_job (OP_WRITE, 0, 1, 0);
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x2a, .lun = 1, .count = 5, .key = 6, .asc = 0x29,
      .status = SCSI_STATUS_CHECK_CONDITION });
  do_job (OP_WRITE, 1, 1, 0);
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x2a, .lun = 1, .count = 3, .status = SCSI_STATUS_TASK_ABORTED,
      .execute = true });
  do_job (OP_WRITE, 2, 1, 0);
  for (unsigned i = 0; i < 3; ++i)
    assert_on_disk (i, 1);
  assert_int_equal (log_count ("Failing path"), 0);
}

/* What counts is for how long, not how often; 33 at once were too many once. */
static void
retried_often (void **unused)
{
  double start;

  (void) unused;
  serve (1);
  do_job (OP_WRITE, 0, 1, 0);
  start = engine_now ();
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x28, .lun = 1, .count = 9, .key = 6, .asc = 0x04, .ascq = 0x0a,
      .status = SCSI_STATUS_CHECK_CONDITION });
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x28, .lun = 1, .count = 4, .status = SCSI_STATUS_BUSY });
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x28, .lun = 1, .count = 3, .key = 0xb,
      .status = SCSI_STATUS_CHECK_CONDITION });
  do_job (OP_READ, 0, 1, 0);
  /* 2 + 4 ... + 32 ms, and 100 ms for each of the others. */
  assert_true (engine_now () - start > 0.7);
  assert_int_equal (log_count ("Failing path"), 0);
}

/* All that is retried shares one limit. */
static void
retried_too_long (void **unused)
{
  (void) unused;
  set ("command-timeout", "0.5");
  serve (1);
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x28, .lun = 1, .count = 4, .status = SCSI_STATUS_BUSY });
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x28, .lun = 1, .count = 33, .key = 0xb,
      .status = SCSI_STATUS_CHECK_CONDITION });
  do_job (OP_READ, 0, 1, EIO);
  assert_logged ("giving up on a command after 0.5 s and ");
  assert_logged (" retries: ABORTED COMMAND");
}

static void
busy_too_long (void **unused)
{
  (void) unused;
  set ("command-timeout", "0.5");
  serve (1);
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x28, .lun = 1, .count = 100000, .status = SCSI_STATUS_BUSY });
  do_job (OP_READ, 0, 1, EIO);
}

static unsigned
depth_of (unsigned i)
{
  unsigned depth;

  engine_enter (engine);
  depth = session_of (i)->depth;
  engine_leave (engine);
  return depth;
}

static void
task_set_full (void **unused)
{
  struct job jobs[8];

  (void) unused;
  set ("queue-depth", "16");
  serve (1);
  fake_set_delay (portal[0], 10000, 10000);
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x2a, .lun = 1, .count = 3,
      .status = SCSI_STATUS_TASK_SET_FULL });
  for (unsigned i = 0; i < 8; ++i)
    job_start (&jobs[i], OP_WRITE, i, 1);
  wait_for (depth_of (0) < 8);
  for (unsigned i = 0; i < 8; ++i)
    job_end (&jobs[i], 0);
  wait_for (depth_of (0) == 16);
}

static void
answers_that_fail_the_request (void **unused)
{
  static const struct {
    int status;
    uint8_t key, asc, ascq;
    int error;
  } cases[] = {
    { SCSI_STATUS_RESERVATION_CONFLICT, 0, 0, 0, EPERM },
    { SCSI_STATUS_CHECK_CONDITION, 3, 0x11, 0, EIO },
    { SCSI_STATUS_CHECK_CONDITION, 4, 0x44, 0, EIO },
    { SCSI_STATUS_CHECK_CONDITION, 7, 0x27, 7, ENOSPC },
    { SCSI_STATUS_CHECK_CONDITION, 7, 0x27, 0, EPERM },
  };

  (void) unused;
  serve (2);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    /* Round robin: one of the two has it soon. */
    for (unsigned k = 0; k < 2; ++k)
      fake_fault (portal[k], (struct fake_fault) {
          .opcode = 0x2a, .lun = 1, .count = 1, .status = cases[i].status,
          .key = cases[i].key, .asc = cases[i].asc, .ascq = cases[i].ascq });
    do_job (OP_WRITE, 0, 1, cases[i].error);
    do_job (OP_WRITE, 0, 1, cases[i].error);
  }
  do_job (OP_WRITE, 0, 1, 0);
  assert_int_equal (active (), 2);
  /* At most one line a second. */
  assert_in_range (log_count ("I/O error, LBA 0"), 1, 3);
  assert_int_equal (log_count ("RESERVATION CONFLICT"), 1);
  assert_logged ("MEDIUM ERROR 11/00 (unrecovered read error)");
}

static void
lun_not_supported (void **unused)
{
  (void) unused;
  serve (2);
  fake_map_lun (portal[0], 1, NULL);
  for (unsigned i = 0; i < 4; ++i)
    do_job (OP_WRITE, i, 1, 0);
  wait_log ("Failing path 127.0.0.1:4001: ILLEGAL REQUEST 25/00 "
            "(logical unit not supported)");
  assert_int_equal (active (), 1);
  assert_int_equal (fake_logins (portal[0]), 1);
  fake_map_lun (portal[0], 1, disk);
  wait_for (active () == 2);
  assert_int_equal (fake_logins (portal[0]), 1);
}

/* GOOD, but the end of the data is missing: old memory must not be taken for
 * the disk's. */
static void
short_read (void **unused)
{
  (void) unused;
  serve (2);
  do_job (OP_WRITE, 0, 16, 0);
  for (unsigned i = 0; i < 2; ++i)
    fake_fault (portal[i], (struct fake_fault) {
        .opcode = 0x28, .lun = 1, .count = 1, .residual = 700 });
  do_job (OP_READ, 0, 16, EIO);
  wait_for (active () == 2);
  assert_int_equal (log_count ("short transfer with GOOD status"), 4);
  do_job (OP_READ, 0, 16, 0);

  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x28, .lun = 1, .count = 1, .residual = 1 });
  do_job (OP_READ, 0, 16, 0);
  do_job (OP_READ, 0, 16, 0);
}

/* The same, and the target does not even say so.  Nothing counts here what
 * comes: the fake is no shared library and has no guard. */
static void
silent_short_read (void **unused)
{
  static const uint32_t missing[] = { 8, 700, 16 * 512 };

  (void) unused;
  serve (1);
  do_job (OP_WRITE, 0, 16, 0);
  for (unsigned i = 0; i < sizeof missing / sizeof missing[0]; ++i) {
    fake_fault (portal[0], (struct fake_fault) {
        .opcode = 0x28, .lun = 1, .count = 1, .residual = missing[i],
        .silent = true });
    do_job (OP_READ, 0, 16, EIO);
    wait_for (active () == 1);
    do_job (OP_READ, 0, 16, 0);
  }
  assert_int_equal (log_count ("short transfer with GOOD status"), 6);
}

/* ---- silence ------------------------------------------------------------------------------------- */

static void
silent_path (void **unused)
{
  struct job j;

  (void) unused;
  set ("noop-out-interval", "0.1");
  set ("noop-out-timeout", "0.3");
  serve (2);
  fake_set_silent (portal[0], true);
  for (unsigned i = 0; i < 2; ++i)
    do_job (OP_WRITE, i, 1, 0);
  wait_log ("127.0.0.1:4001: session 1 lost: ping timeout of 0.3 secs expired, "
            "while another path answers");
  job_start (&j, OP_WRITE, 9, 1);
  job_end (&j, 0);
  fake_set_silent (portal[0], false);
  wait_for (active () == 2);
}

/* Both are silent, and TCP acknowledges: a busy target loses no path. */
static void
busy_target (void **unused)
{
  struct job jobs[4];

  (void) unused;
  set ("noop-out-interval", "0.1");
  set ("noop-out-timeout", "0.2");
  serve (2);
  for (unsigned i = 0; i < 2; ++i) {
    fake_set_tcp (portal[i], 0, 0);
    fake_set_silent (portal[i], true);
  }
  for (unsigned i = 0; i < 4; ++i)
    job_start (&jobs[i], OP_WRITE, i, 1);
  pause_ms (1500);
  assert_int_equal (active (), 2);
  for (unsigned i = 0; i < 2; ++i)
    fake_set_silent (portal[i], false);
  for (unsigned i = 0; i < 4; ++i)
    job_end (&jobs[i], 0);
  assert_int_equal (log_count ("lost"), 0);
}

/* With the times as they are by default, for 20 s, and five times for 4 s: one
 * path wakes up half a second before the other, which is the dangerous moment. */
static void
busy_for_long (void **unused)
{
  static const unsigned ms[] = { 20000, 4000, 4000, 4000, 4000, 4000 };
  struct job jobs[4];

  (void) unused;
  serve (2);
  for (unsigned i = 0; i < 2; ++i)
    fake_set_tcp (portal[i], 0, 0);
  for (unsigned i = 0; i < 4; ++i)
    do_job (OP_WRITE, i, 1, 0);
  for (size_t k = 0; k < sizeof ms / sizeof ms[0]; ++k) {
    for (unsigned i = 0; i < 2; ++i)
      fake_set_silent (portal[i], true);
    for (unsigned i = 0; i < 4; ++i)
      job_start (&jobs[i], i % 2 ? OP_READ : OP_WRITE, i, 1);
    pause_ms (ms[k]);
    fake_set_silent (portal[k % 2], false);
    pause_ms (500);
    fake_set_silent (portal[1 - k % 2], false);
    for (unsigned i = 0; i < 4; ++i)
      job_end (&jobs[i], 0);
    pause_ms (1000);
  }
  assert_int_equal (active (), 2);
  assert_int_equal (log_count ("lost"), 0);
  assert_int_equal (log_count ("Failing path"), 0);
}

/* By default a path that is silent while another one answers is given up within
 * 3 s, and is not used before it is logged in again, however often that is tried. */
static void
silent_for_long (void **unused)
{
  double since;

  (void) unused;
  serve (2);
  fake_set_silent (portal[0], true);
  fake_set_connect (portal[0], FAKE_CONNECT_LOST);
  since = engine_now ();
  for (unsigned i = 0; i < 2; ++i)
    do_job (OP_WRITE, i, 1, 0);
  while (active () == 2)
    do_job (OP_WRITE, 3, 1, 0);
  assert_true (engine_now () - since < 3);
  pause_ms (8000);
  assert_int_equal (active (), 1);
  assert_int_equal (log_count ("127.0.0.1:4001: reinstated"), 1);
  fake_set_silent (portal[0], false);
  fake_set_connect (portal[0], FAKE_CONNECT_OK);
  wait_for (active () == 2);
}

static void
no_tcp_acknowledgement (void **unused)
{
  struct job j;

  (void) unused;
  set ("noop-out-interval", "0.1");
  set ("noop-out-timeout", "60");
  serve (2);
  fake_set_silent (portal[0], true);
  fake_set_tcp (portal[0], 3, 4);
  job_start (&j, OP_WRITE, 0, 1);
  wait_log ("127.0.0.1:4001: session 1 lost: no TCP acknowledgement");
  job_end (&j, 0);
  /* The last one gets fast_io_fail_tmo, 5 s: it does not die at once. */
  assert_int_equal (active (), 1);
}

static void
lost_command (void **unused)
{
  (void) unused;
  set ("command-timeout", "0.5");
  serve (2);
  for (unsigned i = 0; i < 2; ++i)
    fake_fault (portal[i], (struct fake_fault) {
        .opcode = 0x2a, .lun = 1, .count = 1, .hang = true });
  do_job (OP_WRITE, 0, 1, 0);
  assert_on_disk (0, 1);
  wait_log ("command timeout of 0.5 secs expired");
  wait_for (active () == 2);
}

/* ---- another disk ------------------------------------------------------------------------------------ */

static void
another_disk_after_login (void **unused)
{
  struct fake_disk *other;
  uint8_t zero[BS] = { 0 }, buf[BS];

  (void) unused;
  other = fake_disk_new (2, BLOCKS, BS);
  serve (2);
  fake_map_lun (portal[0], 1, other);
  fake_kill (portal[0]);
  wait_log ("127.0.0.1:4001: path is not used any more: another disk answers "
            "here now: WWID 360000000000000000000000000000002");
  assert_int_equal (path_of (0), PATH_WRONG);
  for (unsigned i = 0; i < 8; ++i)
    do_job (OP_WRITE, i, 1, 0);
  assert_int_equal (active (), 1);
  for (unsigned i = 0; i < 8; ++i) {
    fake_disk_read (other, i, buf, 1);
    assert_memory_equal (buf, zero, BS);
  }
  /* The checker sees when it is right again. */
  fake_map_lun (portal[0], 1, disk);
  wait_for (path_of (0) == PATH_UP);
  assert_int_equal (active (), 2);
}

/* Two disks change places behind a portal: a path is not for ever that of the
 * disk that it was found with. */
static void
two_disks_change_places (void **unused)
{
  char err[ERR_SIZE] = "";
  struct fake_disk *other;
  struct map *map2;
  uint8_t buf[BS];

  (void) unused;
  other = fake_disk_new (2, BLOCKS, BS);
  fake_map_lun (portal[0], 2, other);
  fake_map_lun (portal[1], 2, other);
  assert_int_equal (run (2, err), 0);
  assert_int_equal (engine_start_thread (engine), 0);
  map2 = engine_find_map (engine, fake_disk_wwid (other), PATIENCE, err,
                          sizeof err);
  map = engine_find_map (engine, fake_disk_wwid (disk), PATIENCE, err,
                         sizeof err);
  assert_non_null (map);
  assert_non_null (map2);
  wait_for (active () == 2);
  fake_map_lun (portal[0], 1, other);
  fake_map_lun (portal[0], 2, disk);
  fake_kill (portal[0]);
  wait_log ("127.0.0.1:4001: path is not used any more");
  wait_log ("360000000000000000000000000000001: remove path 127.0.0.1:4001: it "
            "leads to another disk, WWID 360000000000000000000000000000002");
  wait_for (active () == 2);
  for (unsigned i = 0; i < 8; ++i)
    do_job (OP_WRITE, i, 1, 0);
  assert_on_disk (7, 1);
  fake_disk_read (other, 7, buf, 1);
  assert_int_equal (buf[0], 0);
  map = map2;
  wait_for (active () == 2);
  for (unsigned i = 0; i < 8; ++i)
    do_job (OP_WRITE, 16 + i, 1, 0);
  fake_disk_read (other, 23, buf, 1);
  assert_int_equal (buf[0], 24);
  fake_disk_read (disk, 23, buf, 1);
  assert_int_equal (buf[0], 0);
}

/* Under a session that stays, told by 3F/03. */
static void
another_disk_by_attention (void **unused)
{
  struct fake_disk *other;

  (void) unused;
  other = fake_disk_new (2, BLOCKS, BS);
  serve (2);
  fake_map_lun (portal[0], 1, other);
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = -1, .lun = 1, .count = 1, .key = 6, .asc = 0x3f, .ascq = 3,
      .status = SCSI_STATUS_CHECK_CONDITION });
  wait_for (path_of (0) == PATH_WRONG);
  assert_int_equal (fake_logins (portal[0]), 1);
}

static void
disk_grows (void **unused)
{
  struct lu_facts facts;

  (void) unused;
  serve (2);
  fake_disk_resize (disk, BLOCKS * 2);
  for (unsigned i = 0; i < 2; ++i)
    fake_fault (portal[i], (struct fake_fault) {
        .opcode = 0x00, .lun = 1, .count = 1, .key = 6, .asc = 0x2a,
        .ascq = 9, .status = SCSI_STATUS_CHECK_CONDITION });
  wait_log ("capacity changed from 1024 to 2048 blocks");
  wait_for (active () == 2);
  map_get_facts (map, &facts);
  assert_int_equal (facts.blocks, BLOCKS * 2);
  assert_int_equal (log_count ("not used any more"), 0);
  do_job (OP_WRITE, BLOCKS * 2 - 1, 1, 0);
}

/* It might be on its way to be resized, for a while. */
static void
one_path_of_another_size (void **unused)
{
  struct fake_disk *other;

  (void) unused;
  other = fake_disk_new (1, BLOCKS * 2, BS);
  serve (2);
  fake_map_lun (portal[0], 1, other);
  fake_kill (portal[0]);
  wait_log ("127.0.0.1:4001: path is not used until its size is clear: 2048 "
            "blocks here, 1024 on the other paths");
  assert_int_equal (path_of (0), PATH_WRONG);
  assert_int_equal (log_count ("not used any more"), 0);
  wait_log ("127.0.0.1:4001: path is not used any more: 2048 blocks here, "
            "1024 on the other paths");
  assert_int_equal (active (), 1);
  fake_map_lun (portal[0], 1, disk);
  wait_for (active () == 2);
  assert_int_equal (log_count ("not used any more"), 1);
}

/* ---- the log -------------------------------------------------------------------------------------------- */

/* Nobody reads the log while paths die and come back: no I/O waits for that. */
static void
log_is_blocked (void **unused)
{
  unsigned before;

  (void) unused;
  serve (2);
  assert_int_equal (log_thread_start (), 0);
  pthread_mutex_lock (&log_gate);
  before = log_count ("");
  for (unsigned i = 0; i < 10; ++i) {
    fake_kill (portal[i % 2]);
    do_job (OP_WRITE, i, 1, 0);
    wait_for (active () == 2);
    do_job (OP_READ, i, 1, 0);
  }
  assert_int_equal (log_count (""), before);
  pthread_mutex_unlock (&log_gate);
  log_thread_stop (PATIENCE);
  assert_true (log_count ("Failing path") >= 10);
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

static void
shutdown_in_flight (void **unused)
{
  struct job jobs[3];

  (void) unused;
  serve (1);
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = -1, .lun = 1, .count = 3, .hang = true });
  for (unsigned i = 0; i < 3; ++i)
    job_start (&jobs[i], OP_WRITE, i, 1);
  wait_for (fake_waiting (portal[0]) >= 2);
  engine_shutdown (engine, 2);
  for (unsigned i = 0; i < 3; ++i)
    wait_for (jobs[i].done);
  for (unsigned i = 0; i < 3; ++i) {
    pthread_join (jobs[i].thread, NULL);
    if (jobs[i].result == -1)
      assert_int_equal (jobs[i].error, ESHUTDOWN);
  }
  do_job (OP_WRITE, 0, 1, ESHUTDOWN);
}

static void
shutdown_with_queue (void **unused)
{
  struct job jobs[3];
  double start;

  (void) unused;
  set ("no-path-retry", "queue");
  serve (1);
  fake_set_connect (portal[0], FAKE_CONNECT_REFUSED);
  fake_kill (portal[0]);
  wait_for (active () == 0);
  for (unsigned i = 0; i < 3; ++i)
    job_start (&jobs[i], OP_WRITE, i, 1);
  assert_true (engine_wait_stuck (engine));
  wait_for (queued () == 3);
  start = engine_now ();
  engine_abandon (engine);
  for (unsigned i = 0; i < 3; ++i)
    job_end (&jobs[i], ESHUTDOWN);
  assert_true (engine_now () - start < 1);
  assert_false (engine_wait_stuck (engine));
}

/* What waits for its next try is failed as well. */
static void
shutdown_with_delayed (void **unused)
{
  struct job jobs[2];

  (void) unused;
  serve (1);
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x2a, .lun = 1, .count = 100000, .key = 2, .asc = 4,
      .ascq = 0x0a, .status = SCSI_STATUS_CHECK_CONDITION });
  for (unsigned i = 0; i < 2; ++i)
    job_start (&jobs[i], OP_WRITE, i, 1);
  wait_for (queued () == 2);
  engine_shutdown (engine, 2);
  for (unsigned i = 0; i < 2; ++i)
    job_end (&jobs[i], ESHUTDOWN);
}

/* A worker's submit finds a session dead when the service thread is about to
 * end: nobody has destroyed its context when the logouts begin. */
static void
shutdown_of_the_dead (void **unused)
{
  struct job jobs[2];

  (void) unused;
  set ("noop-out-interval", "0");
  set ("path-checker", "none");
  serve (2);
  engine_enter (engine);
  engine->stop = true;          /* as engine_shutdown does */
  fake_kill (portal[0]);
  fake_set_connect (portal[0], FAKE_CONNECT_REFUSED);
  for (unsigned i = 0; i < 2; ++i)
    job_start (&jobs[i], OP_WRITE, i, 1);
  pause_ms (50);
  engine_leave (engine);
  pause_ms (50);
  engine_shutdown (engine, 2);
  for (unsigned i = 0; i < 2; ++i) {
    wait_for (jobs[i].done);
    pthread_join (jobs[i].thread, NULL);
    if (jobs[i].result == -1)
      assert_int_equal (jobs[i].error, ESHUTDOWN);
  }
  do_job (OP_WRITE, 0, 1, ESHUTDOWN);
}

static void
logout_closes (void **unused)
{
  double start;

  (void) unused;
  fake_set_logout (portal[0], FAKE_LOGOUT_CLOSES);
  serve (2);
  start = engine_now ();
  engine_shutdown (engine, 5);
  assert_true (engine_now () - start < 1);
  assert_int_equal (log_count ("Failing path 127.0.0.1:4001: logged out"), 1);
  assert_int_equal (log_count ("lost"), 0);
}

static void
logout_never_told (void **unused)
{
  double start;

  (void) unused;
  fake_set_logout (portal[0], FAKE_LOGOUT_LOST);
  serve (2);
  start = engine_now ();
  engine_shutdown (engine, 5);
  assert_true (engine_now () - start < 3);
}

static void
free_without_shutdown (void **unused)
{
  char err[ERR_SIZE];

  (void) unused;
  assert_int_equal (run (2, err), 0);
  engine_free (engine);
  engine = NULL;
}

/* ---- the fake itself -------------------------------------------------------------------------------------- */

static void
ignore_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  (void) ctx;
  (void) status;
  (void) data;
  (void) opaque;
}

static void
destroy_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  (void) status;
  (void) data;
  (void) opaque;
  iscsi_destroy_context (ctx);
}

/* Logs in, and then sends a NOP-Out with this CmdSN besides the right one. */
static void
log_in_and_ping (struct iscsi_context *c, uint32_t wrong)
{
  uint8_t request[1024], nop[48] = { 0x40, 0x80 };
  struct pollfd fd;
  ssize_t n = 0;

  iscsi_set_targetname (c, FAKE_TARGET);
  iscsi_connect_async (c, "127.0.0.1:4001", ignore_cb, NULL);
  iscsi_service (c, POLLOUT);
  iscsi_login_async (c, ignore_cb, NULL);
  iscsi_service (c, POLLOUT);
  fd = (struct pollfd) { .fd = iscsi_get_fd (c), .events = POLLIN };
  poll (&fd, 1, 5000);
  n = recv (fd.fd, request, sizeof request, 0);
  if (n < 48)
    return;
  /* ExpCmdSN of the response; StatSN + 1. */
  memcpy (&nop[24], &request[28], 4);
  nop[27] = (uint8_t) (nop[27] + wrong);
  memcpy (&nop[28], &request[24], 4);
  nop[31]++;
  memset (&nop[20], 0xff, 4);
  if (send (fd.fd, nop, sizeof nop, 0) != sizeof nop)
    return;
  poll (&fd, 1, 5000);
}

static void
commit (unsigned what)
{
  struct iscsi_context *c;

  fake_start (1);
  fake_map_lun (fake_portal_new ("127.0.0.1:4001"), 1,
                fake_disk_new (1, 8, 512));
  c = iscsi_create_context ("iqn.2026-11.test:x");
  switch (what) {
  case 0:                       /* twice */
    iscsi_destroy_context (c);
    iscsi_destroy_context (c);
    break;
  case 1:                       /* leak */
    fake_end ();
    break;
  case 2:                       /* use after destroy */
    iscsi_destroy_context (c);
    iscsi_which_events (c);
    break;
  case 3:                       /* destroy in a callback */
    iscsi_connect_async (c, "127.0.0.1:4001", destroy_cb, NULL);
    iscsi_service (c, POLLOUT);
    break;
  case 4:                       /* a wrong number */
    log_in_and_ping (c, 1);
    break;
  case 5:                       /* none: the child must survive this one */
    log_in_and_ping (c, 0);
    iscsi_destroy_context (c);
    fake_end ();
    break;
  }
}

/* A watch that never barks guards nothing. */
static void
misuse_is_noticed (void **unused)
{
  (void) unused;
  for (unsigned i = 0; i < 6; ++i) {
    const pid_t pid = fork ();
    int status;

    assert_true (pid >= 0);
    if (pid == 0) {
      const struct rlimit none = { 0, 0 };

      setrlimit (RLIMIT_CORE, &none);
      signal (SIGABRT, SIG_DFL);
      if (freopen ("/dev/null", "w", stderr) == NULL)
        _exit (3);
      commit (i);
      _exit (0);
    }
    assert_int_equal (waitpid (pid, &status, 0), pid);
    if (i < 5)
      assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGABRT);
    else
      assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
  }
}

/* ---- many sessions of few portals ----------------------------------------------- */

#define CROWD 8                 /* sessions of each portal */

static unsigned
sessions_up (void)
{
  struct list *l, *next;
  unsigned n = 0;

  engine_enter (engine);
  list_for_each (l, next, &engine->sessions)
    n += list_entry (l, struct session, node)->state == SESSION_UP;
  engine_leave (engine);
  return n;
}

/* Two portals with CROWD targets each, all lost and back again: never more
 * than one login at a time at a portal. */
static void
crowd (const char *host)
{
  static const struct {
    enum fake_connect connect;
    enum fake_login login;
  } troubles[] = {
    { FAKE_CONNECT_REFUSED, FAKE_LOGIN_OK },
    { FAKE_CONNECT_LOST, FAKE_LOGIN_OK },
    { FAKE_CONNECT_OK, FAKE_LOGIN_FAILS },
    { FAKE_CONNECT_OK, FAKE_LOGIN_LOST },
  };
  char text[80], err[ERR_SIZE] = "";
  struct fake_portal *v6[2];

  set ("login-timeout", "0.2");
  snprintf (text, sizeof text, "%s:4001,%s:4002", host, host);
  set ("portals", text);
  assert_int_equal (settings_check (settings, err), 0);
  for (unsigned i = 0; i < 2; ++i) {    /* "localhost" may be that, too */
    sprintf (text, "[::1]:%u", 4001 + i);
    v6[i] = fake_portal_new (text);
    fake_map_lun (v6[i], 1, disk);
    fake_set_delay (v6[i], 500, 3000);
    fake_set_delay (portal[i], 500, 3000);
  }
  engine = engine_new (settings);
  assert_non_null (engine);
  engine_start (engine);
  engine_enter (engine);
  for (unsigned i = 0; i < 2; ++i)
    for (unsigned t = 1; t < CROWD; ++t) {
      const char *why;
      struct portal where;

      sprintf (text, "%s:%u", host, 4001 + i);
      assert_true (portal_parse (text, strlen (text), &where, &why));
      sprintf (text, FAKE_TARGET ".%u", t);
      engine_add_target (engine, &where, text, NULL);
    }
  engine_leave (engine);
  engine_run_until_settled (engine, PATIENCE);
  assert_int_equal (engine_start_thread (engine), 0);
  map = engine_find_map (engine, "", PATIENCE, err, sizeof err);
  assert_non_null (map);
  wait_for (sessions_up () == 2 * CROWD);

  for (unsigned k = 0; k < sizeof troubles / sizeof troubles[0]; ++k) {
    for (unsigned i = 0; i < 2; ++i) {
      fake_set_connect (portal[i], troubles[k].connect);
      fake_set_connect (v6[i], troubles[k].connect);
      fake_set_login (portal[i], troubles[k].login, "no");
      fake_set_login (v6[i], troubles[k].login, "no");
      fake_logins_at_once (portal[i]);
      fake_logins_at_once (v6[i]);
    }
    for (unsigned i = 0; i < 2; ++i) {
      fake_kill (portal[i]);
      fake_kill (v6[i]);
    }
    wait_for (sessions_up () == 0);
    pause_ms (300);
    for (unsigned i = 0; i < 2; ++i) {
      fake_set_connect (portal[i], FAKE_CONNECT_OK);
      fake_set_connect (v6[i], FAKE_CONNECT_OK);
      fake_set_login (portal[i], FAKE_LOGIN_OK, "");
      fake_set_login (v6[i], FAKE_LOGIN_OK, "");
    }
    wait_for (sessions_up () == 2 * CROWD);
    for (unsigned i = 0; i < 2; ++i) {
      const unsigned n4 = fake_logins_at_once (portal[i]);
      const unsigned n6 = fake_logins_at_once (v6[i]);

      if (n4 > 1 || n6 > 1 || n4 + n6 == 0)
        fail_msg ("trouble %u: %u and %u logins at a time", k, n4, n6);
    }
  }
}

static void
one_login_at_a_time (void **unused)
{
  (void) unused;
  crowd ("127.0.0.1");
}

/* Looking up its name takes a while, in which nobody else may begin. */
static void
one_login_at_a_time_by_name (void **unused)
{
  (void) unused;
  crowd ("localhost");
}

/* ---- portal groups, without discovery ---------------------------------------------- */

/* Portal 0 dies with a write that it has not answered, and stays away; another
 * write to the same blocks is under way when this returns. */
static void
overwrite_what_is_in_doubt (struct job *again)
{
  struct job j[4];

  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x2a, .lun = -1, .count = 1, .hang = true });
  for (unsigned i = 0; i < 4; ++i)      /* by turns */
    job_start (&j[i], OP_WRITE, 4 * i, 4);
  wait_for (fake_waiting (portal[0]) == 1);
  fake_set_connect (portal[0], FAKE_CONNECT_LOST);
  fake_kill (portal[0]);
  for (unsigned i = 0; i < 4; ++i)
    job_end (&j[i], 0);
  job_start (again, OP_WRITE, 0, 16);
}

/* The group that both are in is only told at login. */
static void
group_told_at_login (void **unused)
{
  struct job again;

  (void) unused;
  fake_set_portal_group (portal[0], 7);
  fake_set_portal_group (portal[1], 7);
  serve (2);
  assert_int_equal (session_of (0)->portal.tpgt, 7);
  assert_int_equal (session_of (1)->portal.tpgt, 7);
  overwrite_what_is_in_doubt (&again);
  wait_log ("127.0.0.1:4001: session reinstated through 127.0.0.1:4002");
  job_end (&again, 0);
  assert_int_equal (log_count ("gave up fencing"), 0);
}

static void
two_groups_told_at_login (void **unused)
{
  struct job again;

  (void) unused;
  fake_set_portal_group (portal[0], 7);
  fake_set_portal_group (portal[1], 8);
  serve (2);
  assert_int_equal (session_of (1)->portal.tpgt, 8);
  overwrite_what_is_in_doubt (&again);
  pause_ms (1500);
  assert_false (again.done);
  assert_int_equal (log_count ("session reinstated"), 0);
  fake_set_connect (portal[0], FAKE_CONNECT_OK);
  wait_log ("127.0.0.1:4001: session reinstated through 127.0.0.1:4001");
  job_end (&again, 0);
}

/* The address is another controller's now: a login there ends nothing of the
 * session that was lost. */
static void
group_changes_at_login (void **unused)
{
  struct job again;

  (void) unused;
  fake_set_portal_group (portal[0], 7);
  fake_set_portal_group (portal[1], 8);
  serve (2);
  overwrite_what_is_in_doubt (&again);
  fake_set_portal_group (portal[0], 9);
  fake_set_connect (portal[0], FAKE_CONNECT_OK);
  wait_log ("127.0.0.1:4001: logged in to portal group 9: the session that was "
            "lost was in 7");
  wait_for (active () == 2);
  pause_ms (1500);
  assert_false (again.done);
  assert_int_equal (log_count ("session reinstated"), 0);
  assert_int_equal (log_count ("LOGICAL UNIT RESET"), 0);
  fake_set_portal_group (portal[0], 7);
  fake_kill (portal[0]);
  wait_log ("127.0.0.1:4001: session reinstated through 127.0.0.1:4001");
  job_end (&again, 0);
  assert_int_equal (log_count ("gave up fencing"), 0);
}

/* The line of the state file for portal I is of the group TPGT. */
static bool
state_file_has (unsigned i, int tpgt)
{
  char path[400], line[1000], text[100];
  bool found = false;
  FILE *f;

  snprintf (path, sizeof path, "%s/nexus-%06x", getenv ("STATE_DIRECTORY"),
            engine->isid_random);
  snprintf (text, sizeof text, " %d 127.0.0.1:%u ", tpgt, 4001 + i);
  f = fopen (path, "r");
  while (f != NULL && fgets (line, sizeof line, f) != NULL)
    if (strncmp (line, "nexus ", 6) == 0 && strstr (line, text) != NULL)
      found = true;
  if (f != NULL)
    fclose (f);
  return found;
}

/* The state file follows each login: the next server has to fence in the group
 * that the session is in now. */
static void
state_follows_the_login (void **unused)
{
  char dir[] = "/tmp/unit-session-XXXXXX", command[100];
  struct job j;

  (void) unused;
  assert_non_null (mkdtemp (dir));
  setenv ("STATE_DIRECTORY", dir, 1);
  fake_set_portal_group (portal[0], 7);
  fake_set_portal_group (portal[1], 8);
  serve_kept (2);
  do_job (OP_WRITE, 8, 8, 0);
  assert_true (state_file_has (0, 7) && state_file_has (1, 8));
  fake_set_connect (portal[0], FAKE_CONNECT_REFUSED);
  fake_kill (portal[0]);
  wait_for (active () == 1);
  fake_set_portal_group (portal[0], 9);
  fake_set_connect (portal[0], FAKE_CONNECT_OK);
  wait_for (active () == 2);
  /* Not one write before that is on the disk. */
  job_start (&j, OP_WRITE, 16, 8);
  job_end (&j, 0);
  assert_true (state_file_has (0, 9) && state_file_has (1, 8));
  assert_false (state_file_has (0, 7));
  engine_shutdown (engine, 2);
  engine_free (engine);
  engine = NULL;
  unsetenv ("STATE_DIRECTORY");
  snprintf (command, sizeof command, "rm -r %s", dir);
  assert_int_equal (system (command), 0);
}

/* A fencing session that is sent to another group has not fenced: the
 * next portal. */
/* The environment switches no rung of fencing off. */
static void
debugging_libiscsi_changes_nothing (void **unused)
{
  (void) unused;
  portal[0]->tpgt = 7;
  setenv ("LIBISCSI_DEBUG", "0", 1);
  serve (1);
  unsetenv ("LIBISCSI_DEBUG");
  assert_int_equal (session_of (0)->portal.tpgt, 7);
}

static void
fencing_is_redirected (void **unused)
{
  struct job again;

  (void) unused;
  set ("fence-timeout", "4");
  fake_set_portal_group (portal[0], 7);
  fake_set_portal_group (portal[1], 7);
  fake_set_portal_group (portal[2], 9);
  serve (2);
  fake_set_login (portal[1], FAKE_LOGIN_REDIRECT, "127.0.0.1:4003");
  overwrite_what_is_in_doubt (&again);
  wait_log ("fencing through 127.0.0.1:4002 failed: it is in portal group 9");
  assert_int_equal (log_count ("session reinstated"), 0);
  job_end (&again, 0);
  wait_log ("127.0.0.1:4001: gave up fencing after 4 s");
  assert_int_equal (log_count ("session reinstated"), 0);
  assert_true (fake_logins (portal[2]) < 12);
}

/* Each login takes longer than half a second: known from the first ones, so that the one that
 * fences is not given up before it can be done. */
static void
slow_logins (void **unused)
{
  struct job again;
  double begin;

  (void) unused;
  set ("login-timeout", "8");
  for (unsigned i = 0; i < 2; ++i) {
    fake_set_portal_group (portal[i], 7);
    fake_set_delay (portal[i], 700000, 700001);
  }
  serve (2);
  wait_for (active () == 2);
  begin = engine_now ();
  overwrite_what_is_in_doubt (&again);
  wait_log ("127.0.0.1:4001: session reinstated through 127.0.0.1:4002");
  job_end (&again, 0);
  assert_int_equal (log_count ("fencing through"), 0);
  if (engine_now () - begin > 8)
    fail_msg ("it took %.1f s", engine_now () - begin);
}

/* An outage that is longer than fence_timeout, with nobody waiting: when the
 * portal is back, the lost session is ended all the same. */
static void
outage_uses_up_no_time (void **unused)
{
  struct job j[2];

  (void) unused;
  set ("fence-timeout", "0.6");
  fake_set_portal_group (portal[0], 7);
  fake_set_portal_group (portal[1], 8);
  serve (2);
  fake_fault (portal[0], (struct fake_fault) {
      .opcode = 0x2a, .lun = -1, .count = 2, .hang = true });
  fake_fault (portal[1], (struct fake_fault) {
      .opcode = 0x2a, .lun = -1, .count = 2, .hang = true });
  for (unsigned i = 0; i < 2; ++i)
    job_start (&j[i], OP_WRITE, 8 * i, 8);
  wait_for (fake_waiting (portal[0]) + fake_waiting (portal[1]) == 2);
  for (unsigned i = 0; i < 2; ++i) {
    fake_set_connect (portal[i], FAKE_CONNECT_REFUSED);
    fake_kill (portal[i]);
  }
  for (unsigned i = 0; i < 2; ++i)
    job_end (&j[i], EIO);
  pause_ms (1200);
  assert_int_equal (log_count ("gave up fencing"), 0);
  for (unsigned i = 0; i < 2; ++i) {
    fake_forget_faults (portal[i]);
    fake_set_connect (portal[i], FAKE_CONNECT_OK);
  }
  wait_for (active () == 2);
  for (unsigned i = 0; i < 2; ++i)
    do_job (OP_WRITE, 8 * i, 8, 0);
  assert_int_equal (log_count ("gave up fencing"), 0);
  wait_for (log_count ("are fenced (LOGICAL UNIT RESET)") == 2);
}

/* Two targets, one disk: the one that was not asked to write knows nothing of
 * the write, unless we are told that they are one. */
static void
two_targets (const char *one_array)
{
  struct job again;

  set ("fence", "lun-reset");
  set ("fence-timeout", "1.5");
  set ("fence-across-targets", one_array);
  serve (2);
  engine_enter (engine);
  strcpy (session_of (1)->target, FAKE_TARGET "2");
  engine_leave (engine);
  overwrite_what_is_in_doubt (&again);
  job_end (&again, 0);
}

static void
two_targets_are_two (void **unused)
{
  (void) unused;
  two_targets ("no");
  assert_int_equal (log_count ("LOGICAL UNIT RESET through"), 0);
  assert_int_equal (log_count ("gave up fencing after 1.5 s"), 1);
}

static void
two_targets_are_one (void **unused)
{
  (void) unused;
  two_targets ("yes");
  assert_int_equal (log_count ("LOGICAL UNIT RESET through"), 1);
  assert_int_equal (log_count ("gave up fencing"), 0);
}

/* The portal that is to fence for the lost one takes no logins, though its
 * session is still good: the next one has to do it, soon. */
static void
fenced_by_the_next_one (void **unused)
{
  struct job again;
  struct path *first;
  double begin;
  char text[100];
  unsigned k;

  (void) unused;
  set ("login-timeout", "8");
  for (unsigned i = 0; i < 3; ++i)
    fake_set_portal_group (portal[i], 7);
  serve (3);
  wait_for (active () == 3);
  /* They are asked in order of discovery. */
  first = list_entry (map->paths.next, struct path, map_node);
  if (first->session == session_of (0))
    first = list_entry (first->map_node.next, struct path, map_node);
  k = first->session == session_of (1) ? 1 : 2;
  fake_set_login (portal[k], FAKE_LOGIN_LOST, "");
  begin = engine_now ();
  overwrite_what_is_in_doubt (&again);
  snprintf (text, sizeof text, "127.0.0.1:4001: session reinstated through "
            "127.0.0.1:%u", 4001 + 3 - k);
  wait_log (text);
  job_end (&again, 0);
  if (engine_now () - begin > 5)
    fail_msg ("it took %.1f s", engine_now () - begin);
}

/* What was configured, or told by discovery, is not what is true. */
static void
other_group_told_at_login (void **unused)
{
  (void) unused;
  fake_set_portal_group (portal[0], 65535);
  set ("portals", "127.0.0.1:4001,7");
  serve (1);
  assert_int_equal (session_of (0)->portal.tpgt, 65535);
  assert_logged ("this is its portal group 65535, not 7");
}

/* How many sessions were lost, of the first four: "connection lost: Broken pipe"
 * is a reason, and stands in other lines as well. */
static unsigned
losses (void)
{
  return log_count (": session 1 lost: ") + log_count (": session 2 lost: ") +
    log_count (": session 3 lost: ") + log_count (": session 4 lost: ");
}

/* ---- our own resets --------------------------------------------------------------- */

/* One connection is cut while clients overwrite the same blocks again and again,
 * on a target with slow commands: what the reset ends must not need another one.
 * Returns when all is done; nothing fails. */
#define STORM_JOBS 8
#define STORM_ROUNDS 3
static void
storm (void)
{
  struct job j[STORM_JOBS];

  wait_for (active () == 2);
  for (unsigned round = 0; round < STORM_ROUNDS; ++round) {
    for (unsigned i = 0; i < STORM_JOBS; ++i)
      job_start (&j[i], OP_WRITE, 16 * i, 16);
    if (round == 0) {
      wait_for (fake_waiting (portal[0]) > 1 && fake_waiting (portal[1]) > 1);
      fake_kill (portal[0]);
    }
    for (unsigned i = 0; i < STORM_JOBS; ++i)
      job_end (&j[i], 0);
  }
  for (unsigned i = 0; i < STORM_JOBS; ++i)
    assert_on_disk (16 * i, 16);
}

static void
no_reset_storm (void **unused)
{
  (void) unused;
  serve (2);
  for (unsigned i = 0; i < 2; ++i)
    fake_set_delay (portal[i], 300000, 2000000);
  storm ();
  /* The one that was cut. */
  assert_int_equal (losses (), 1);
  assert_int_equal (fake_resets (), 1);
  assert_int_equal (map->fence_stats.expired, 0);
}

/* The target drops all its sessions at a reset: they are waited for, and what
 * they had is not in doubt again. */
static void
reset_drops_sessions (void **unused)
{
  (void) unused;
  set ("no-path-retry", "fail");
  serve (2);
  for (unsigned i = 0; i < 2; ++i) {
    fake_set_delay (portal[i], 300000, 1500000);
    fake_set_reset (portal[i], FAKE_TMF_DROPS);
  }
  storm ();
  assert_true (fake_resets () <= 2);
}

/* A target that refuses resets: said once, and not tried again. */
static void
reset_is_refused (void **unused)
{
  double begin;

  (void) unused;
  serve (2);
  for (unsigned i = 0; i < 2; ++i) {
    fake_set_delay (portal[i], 200000, 600000);
    fake_set_reset (portal[i], FAKE_TMF_REFUSED);
  }
  begin = engine_now ();
  storm ();
  storm ();
  if (engine_now () - begin > 12)
    fail_msg ("it took %.1f s", engine_now () - begin);
  assert_int_equal (log_count ("LOGICAL UNIT RESET through"), 2);
  assert_int_equal (log_count ("refuses LOGICAL UNIT RESET (response 5)"), 1);
  assert_int_equal (log_count ("gave up fencing"), 0);
}

/* One that does not answer them: the first time it is waited for, since its
 * backing store may be what hangs; then no more. */
static void
reset_is_not_answered (void **unused)
{
  (void) unused;
  set ("fence-timeout", "1.5");
  serve (2);
  for (unsigned i = 0; i < 2; ++i) {
    fake_set_delay (portal[i], 200000, 600000);
    fake_set_reset (portal[i], FAKE_TMF_LOST);
  }
  storm ();
  wait_log ("does not answer LOGICAL UNIT RESET");
  storm ();
  assert_int_equal (log_count ("to fence unanswered writes"), 1);
  assert_int_equal (log_count ("does not answer LOGICAL UNIT RESET"), 1);
  assert_int_equal (log_count ("gave up fencing"), 1);
}

/* ---- flush after a reset of the target ------------------------------------------------ */

static void
attention (unsigned i, uint8_t ascq)
{
  fake_fault (portal[i], (struct fake_fault) {
      .opcode = -1, .lun = 1, .count = 1, .key = 6, .asc = 0x29, .ascq = ascq,
      .status = SCSI_STATUS_CHECK_CONDITION });
}

/* Another initiator's LOGICAL UNIT RESET, and no answer to what it has aborted:
 * found out by the UNIT ATTENTION, and sent again. */
static void
reset_of_others (enum fake_tmf how, uint8_t checker)
{
  struct job j[8];
  double begin;

  set ("queue-depth", "4");     /* none is left to hear of it */
  set ("path-checker", checker ? "tur" : "none");
  serve (2);
  for (unsigned i = 0; i < 2; ++i) {
    fake_set_abort (portal[i], how);
    fake_fault (portal[i], (struct fake_fault) {
        .opcode = 0x2a, .lun = -1, .count = 4, .hang = true });
    fake_fault (portal[i], (struct fake_fault) {
        .opcode = 0x28, .lun = -1, .count = 4, .hang = true });
  }
  do_job (OP_FLUSH, 0, 0, 0);
  for (unsigned i = 0; i < 8; ++i)
    job_start (&j[i], i % 2 ? OP_WRITE : OP_READ, 8 * (i | 1), 8);
  wait_for (fake_waiting (portal[0]) + fake_waiting (portal[1]) == 8);
  for (unsigned i = 0; i < 2; ++i)
    fake_forget_faults (portal[i]);
  begin = engine_now ();
  fake_reset_lun (portal[0], 1);
  for (unsigned i = 0; i < 8; ++i) {
    wait_for (j[i].done);
    pthread_join (j[i].thread, NULL);
    assert_int_equal (j[i].result, 0);
  }
  for (unsigned i = 1; i < 8; i += 2)
    assert_on_disk (8 * i, 8);
  if (engine_now () - begin > 4)
    fail_msg ("it took %.1f s", engine_now () - begin);
  assert_int_equal (fake_resets (), 0);
  if (how == FAKE_TMF_OK && losses () > 0) {
    log_show ();
    fail_msg ("a session was lost");
  }
}

static void
others_reset_is_noticed (void **unused)
{
  (void) unused;
  reset_of_others (FAKE_TMF_OK, 1);
  assert_int_equal (map->fence_stats.in_doubt, 0);
}

static void
others_reset_is_noticed_without_checker (void **unused)
{
  (void) unused;
  reset_of_others (FAKE_TMF_OK, 0);
}

/* A target without ABORT TASK: the session has to end. */
static void
abort_task_is_refused (void **unused)
{
  (void) unused;
  reset_of_others (FAKE_TMF_REFUSED, 1);
  wait_log ("a reset has aborted: the target refused ABORT TASK");
}

/* Each connection learns of it once. */
static void
flush_after_reset (void **unused)
{
  unsigned a, b;

  (void) unused;
  set ("path-checker", "none");
  serve (2);
  a = b = map_losses (map);
  for (uint8_t ascq = 0; ascq <= 7; ++ascq) {
    const bool lost = ascq <= 4 && ascq != 3;   /* a reset by a request */

    do_job (OP_WRITE, 0, 8, 0);
    /* Perhaps the flush itself hears of it. */
    attention (0, ascq);
    attention (1, ascq);
    errno = 0;
    assert_int_equal (map_flush_told (map, &a), lost ? -1 : 0);
    if (lost)
      assert_int_equal (errno, EIO);
    assert_int_equal (map_flush_told (map, &a), 0);
    assert_int_equal (map_flush_told (map, &b), lost ? -1 : 0);
    assert_int_equal (map_flush_told (map, &b), 0);
    fake_forget_faults (portal[0]);
    fake_forget_faults (portal[1]);
    /* All is flushed: there is nothing to be lost. */
    attention (0, ascq);
    attention (1, ascq);
    assert_int_equal (map_flush_told (map, &a), 0);
    do_job (OP_READ, 0, 8, 0);
    do_job (OP_READ, 0, 8, 0);
    assert_int_equal (map_flush_told (map, &a), 0);
    fake_forget_faults (portal[0]);
    fake_forget_faults (portal[1]);
  }
}

/* Each path is told of it; one line, one event, no error. */
static void
thin_threshold (void **unused)
{
  (void) unused;
  set ("path-checker", "none");
  serve (2);
  wait_for (active () == 2);
  for (unsigned i = 0; i < 2; ++i)
    fake_fault (portal[i], (struct fake_fault) {
        .opcode = -1, .lun = 1, .count = 2, .key = 6, .asc = 0x38, .ascq = 7,
        .status = SCSI_STATUS_CHECK_CONDITION });
  for (unsigned i = 0; i < 8; ++i)
    do_job (OP_WRITE, i, 1, 0);
  assert_int_equal (log_count ("thin provisioning soft threshold reached"), 1);
  engine_enter (engine);
  assert_int_equal (map->thin_thresholds, 1);
  engine_leave (engine);
}

/* A write was done before the reset, and its answer is read after it was heard of
 * through another path. */
static void
reset_with_write_in_flight (void **unused)
{
  struct job write, read[2];
  unsigned told;

  (void) unused;
  set ("path-checker", "none");
  serve (2);
  wait_for (active () == 2);
  told = map_losses (map);
  fake_set_delay (portal[1], 600000, 600000);
  for (;;) {
    job_start (&write, OP_WRITE, 0, 4);
    wait_for (write.done || fake_waiting (portal[1]) > 0);
    if (!write.done)
      break;
    job_end (&write, 0);
    fake_set_delay (portal[1], 0, 0);
    assert_int_equal (map_flush_told (map, &told), 0);
    do_job (OP_READ, 0, 4, 0);          /* three: the next one is another's turn */
    fake_set_delay (portal[1], 600000, 600000);
  }
  attention (0, 0);
  for (unsigned i = 0; i < 2; ++i)      /* by turns */
    job_start (&read[i], OP_READ, 16, 4);
  wait_log ("the target was reset or restarted");
  assert_false (write.done);
  job_end (&write, 0);
  for (unsigned i = 0; i < 2; ++i) {
    wait_for (read[i].done);
    pthread_join (read[i].thread, NULL);
  }
  assert_int_equal (map_flush_told (map, &told), -1);
  assert_int_equal (map_flush_told (map, &told), 0);
}

/* Of our own reset each live path hears once, or not at all; what it hears
 * later, or in another way, is news. */
static void
flush_after_own_reset (void **unused)
{
  struct job again;
  unsigned told;

  (void) unused;
  set ("path-checker", "none");
  fake_set_portal_group (portal[0], 7);
  fake_set_portal_group (portal[1], 7);
  serve (2);
  told = map_losses (map);
  /* The first path is not there when the LUN is reset: it takes the UNIT
   * ATTENTION at its login. */
  overwrite_what_is_in_doubt (&again);
  job_end (&again, 0);
  assert_logged ("LOGICAL UNIT RESET through");
  assert_int_equal (map_flush_told (map, &told), 0);
  fake_set_connect (portal[0], FAKE_CONNECT_OK);
  wait_for (active () == 2);
  for (unsigned i = 0; i < 2; ++i) {
    for (unsigned k = 0; k < 4; ++k)
      do_job (OP_WRITE, 4 * k, 4, 0);
    assert_int_equal (map_flush_told (map, &told), 0);
    do_job (OP_WRITE, 0, 8, 0);
    attention (i, 1);
    for (unsigned k = 0; k < 4; ++k)
      do_job (OP_READ, 0, 8, 0);
    assert_int_equal (map_flush_told (map, &told), -1);
    assert_int_equal (map_flush_told (map, &told), 0);
  }
}

/* The fake cannot be guarded, as a static library cannot: that is not needed. */
static void
no_library_is_touched (void **state)
{
  char err[ERR_SIZE];

  (void) state;
  settings->guard = true;
  assert_int_equal (run (2, err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    /* First, while there are no threads that a fork would lose. */
    cmocka_unit_test (misuse_is_noticed),
    TEST (no_library_is_touched),
    TEST (two_paths),
    TEST (discovery_finds_the_other_portal),
    TEST (discovery_names_what_is_there),
    TEST (split_request),
    TEST (any_order),
    TEST (depth_is_kept),
    TEST (full_socket),
    TEST (death_under_load),
    TEST (death_while_idle),
    TEST (submit_to_the_dead),
    TEST (all_paths_die_and_fail),
    TEST (all_paths_die_and_queue),
    TEST (all_paths_die_and_queue_for_a_while),
    TEST (any_parameters),
    TEST (any_parameters_death),
    TEST (connect_refused),
    TEST (connect_refused_at_once),
    TEST (connect_failed),
    TEST (connect_never_told),
    TEST (login_never_told),
    TEST (one_of_two_comes_late),
    TEST (one_login_at_a_time),
    TEST (one_login_at_a_time_by_name),
    TEST (group_told_at_login),
    TEST (two_groups_told_at_login),
    TEST (group_changes_at_login),
    TEST (state_follows_the_login),
    TEST (debugging_libiscsi_changes_nothing),
    TEST (fencing_is_redirected),
    TEST (fenced_by_the_next_one),
    TEST (slow_logins),
    TEST (outage_uses_up_no_time),
    TEST (two_targets_are_two),
    TEST (two_targets_are_one),
    TEST (other_group_told_at_login),
    TEST (no_reset_storm),
    TEST (reset_drops_sessions),
    TEST (reset_is_refused),
    TEST (reset_is_not_answered),
    TEST (others_reset_is_noticed),
    TEST (others_reset_is_noticed_without_checker),
    TEST (abort_task_is_refused),
    TEST (flush_after_reset),
    TEST (reset_with_write_in_flight),
    TEST (flush_after_own_reset),
    TEST (login_texts),
    TEST (redirected),
    TEST (redirected_in_a_circle),
    TEST (no_lun),
    TEST (not_that_lun),
    TEST (thin_threshold),
    TEST (isids),
    TEST (two_sessions_to_a_portal),
    TEST (two_disks_with_one_name),
    TEST (retried_answers),
    TEST (retried_often),
    TEST (retried_too_long),
    TEST (busy_too_long),
    TEST (task_set_full),
    TEST (answers_that_fail_the_request),
    TEST (lun_not_supported),
    TEST (short_read),
    TEST (silent_short_read),
    TEST (silent_path),
    TEST (busy_target),
    TEST (busy_for_long),
    TEST (silent_for_long),
    TEST (no_tcp_acknowledgement),
    TEST (lost_command),
    TEST (another_disk_after_login),
    TEST (two_disks_change_places),
    TEST (another_disk_by_attention),
    TEST (disk_grows),
    TEST (one_path_of_another_size),
    TEST (log_is_blocked),
    TEST (shutdown_in_flight),
    TEST (shutdown_with_queue),
    TEST (shutdown_with_delayed),
    TEST (shutdown_of_the_dead),
    TEST (logout_closes),
    TEST (logout_never_told),
    TEST (free_without_shutdown),
  };

  virtual_time_start ();
  return cmocka_run_group_tests_name ("session", tests, NULL, NULL);
}
