/* SPDX-License-Identifier: BSD-3-Clause */
/* Hedged reads: what is late (pure), and who gets the data when one of two
 * paths is late, fails, dies, or the server ends meanwhile.  libiscsi is
 * fake-libiscsi.c, which delivers half of a late read's data at once and the
 * rest late, and ends the process when a task changes under it. */
#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "service/service.h"
#include "fake-libiscsi.h"
#include "virtual-time.h"
#include "multipath/hedge.h"

#define BLOCKS 1024
#define BS 512
#define NR_PORTALS 3
/* Seconds; sanitizers and a busy machine included. */
#define PATIENCE 10.0
/* A late read's second half comes after so many milliseconds. */
#define LATE 700
/* What the paths are told is usual, in seconds: late is three times that. */
#define USUAL 0.02

static struct engine *engine;
static struct settings *settings;
static struct map *map;
static struct fake_disk *disk;
static struct fake_portal *portal[NR_PORTALS];

static void
sink (enum log_level level, const char *line)
{
  (void) level;
  (void) line;
}

#define wait_for(condition)                                             \
  do {                                                                  \
    const double until_ = engine_now () + PATIENCE;                     \
    while (!(condition)) {                                              \
      if (engine_now () > until_)                                       \
        fail_msg ("waited in vain for %s", #condition);                 \
      usleep (1000);                                                    \
    }                                                                   \
  } while (0)

/* ---- pure ----------------------------------------------------------------- */

static void
add (struct lateness *l, unsigned n, double seconds)
{
  while (n-- > 0)
    lateness_add (l, seconds);
}

static void
assert_about (double value, double expected)
{
  if (value < expected * 0.85 || value > expected * 1.2)
    fail_msg ("%g is not about %g", value, expected);
}

static void
late_is_three_times_usual (void **unused)
{
  struct lateness l = { .usual = 0 };

  (void) unused;
  add (&l, 255, 0.01);
  assert_true (lateness_limit (&l) == 0);       /* not known */
  add (&l, 1, 0.01);
  assert_about (lateness_limit (&l), 0.03);
  /* One that is stuck now and then is not usual. */
  for (unsigned i = 0; i < 16; ++i) {
    add (&l, 31, 0.01);
    add (&l, 1, 1);
  }
  assert_about (lateness_limit (&l), 0.03);
  /* One in ten is. */
  for (unsigned i = 0; i < 60; ++i) {
    add (&l, 9, 0.01);
    add (&l, 1, 1);
  }
  assert_about (lateness_limit (&l), 3);
}

static void
late_follows_the_path (void **unused)
{
  struct lateness l = { .usual = 0 };

  (void) unused;
  add (&l, 256, 0.0001);
  assert_true (lateness_limit (&l) == 0.005);   /* never less */
  add (&l, 256, 0.1);
  assert_about (lateness_limit (&l), 0.3);
  /* The slower one of two looks. */
  add (&l, 256, 0.01);
  assert_about (lateness_limit (&l), 0.3);
  add (&l, 256, 0.01);
  assert_about (lateness_limit (&l), 0.03);
}

static void
budget_is_a_twentieth (void **unused)
{
  struct hedge_budget b;
  unsigned n = 0;

  (void) unused;
  hedge_budget_init (&b);
  while (hedge_budget_spend (&b))
    n++;
  assert_int_equal (n, HEDGE_BURST);
  n = 0;
  for (unsigned i = 0; i < 10000; ++i) {
    hedge_budget_earn (&b);
    n += hedge_budget_spend (&b);
  }
  assert_in_range (n, 498, 500);
  for (unsigned i = 0; i < 10000; ++i)
    hedge_budget_earn (&b);
  for (n = 0; hedge_budget_spend (&b); ++n)
    ;
  assert_int_equal (n, HEDGE_BURST);
}

/* ---- a server with its target ------------------------------------------------ */

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
  fake_portals_new (portal, NR_PORTALS, disk);
  set ("initiator-name", "iqn.2026-11.test.unit:hedge");
  set ("target", FAKE_TARGET);
  set ("discovery", "off");
  set ("rr-min-io", "1");
  set ("hedged-reads", "on");
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
}

static int
teardown (void **unused)
{
  (void) unused;
  end_engine ();
  settings_free (settings);
  fake_end ();
  log_set_sink (NULL);
  return 0;
}

static struct path *
path_at (unsigned i)
{
  struct list *l, *next;
  char name[40];

  sprintf (name, "127.0.0.1:%u", 4001 + i);
  list_for_each (l, next, &map->paths) {
    struct path *p = list_entry (l, struct path, map_node);

    if (strcmp (p->session->name, name) == 0)
      return p;
  }
  fail_msg ("no path %s", name);
  return NULL;
}

static void
teach (unsigned i)
{
  engine_enter (engine);
  add (&path_at (i)->lateness, 512, USUAL);
  engine_leave (engine);
}

/* Block N is full of N + 1. */
static void
serve (unsigned nr_portals)
{
  char text[NR_PORTALS * 24] = "", err[ERR_SIZE] = "";
  uint8_t buf[16 * BS];

  for (unsigned i = 0; i < nr_portals; ++i)
    sprintf (text + strlen (text), "%s127.0.0.1:%u", i ? "," : "", 4001 + i);
  set ("portals", text);
  assert_int_equal (settings_check (settings, err), 0);
  engine = engine_new (settings);
  assert_non_null (engine);
  engine_start (engine);
  engine_run_until_settled (engine, PATIENCE);
  if (engine_verdict (engine, err, sizeof err) == -1)
    fail_msg ("%s", err);
  assert_int_equal (engine_start_thread (engine), 0);
  map = engine_find_map (engine, "", PATIENCE, err, sizeof err);
  assert_non_null (map);
  for (unsigned i = 0; i < 16; ++i)
    memset (buf + i * BS, i + 1, BS);
  assert_int_equal (map_write (map, buf, sizeof buf, 0, false), 0);
  for (unsigned i = 0; i < nr_portals; ++i)
    teach (i);
}

struct counts { uint64_t sent, won, refused; unsigned out; };

static struct counts
counts (void)
{
  struct counts c;

  engine_enter (engine);
  c.sent = map->hedging.sent;
  c.won = map->hedging.won;
  c.refused = map->hedging.refused;
  c.out = map->hedging.nr_out;
  engine_leave (engine);
  return c;
}

/* ---- reads ---------------------------------------------------------------------- */

struct job {
  pthread_t thread;
  bool write;
  uint64_t lba;
  uint32_t blocks;
  uint8_t *buf;                 /* freed at the end: the sanitizer watches */
  int result;
  double seconds;
  _Atomic bool done;
};

static void *
job_thread (void *opaque)
{
  struct job *j = opaque;
  const double start = engine_now ();

  j->result = j->write
    ? map_write (map, j->buf, j->blocks * BS, j->lba * BS, false)
    : map_read (map, j->buf, j->blocks * BS, j->lba * BS);
  j->seconds = engine_now () - start;
  j->done = true;
  return NULL;
}

static void
job_start (struct job *j, bool write, uint64_t lba, uint32_t blocks)
{
  memset (j, 0, sizeof *j);
  j->write = write;
  j->lba = lba;
  j->blocks = blocks;
  j->buf = malloc (blocks * BS);
  assert_non_null (j->buf);
  for (uint32_t i = 0; i < blocks; ++i)
    memset (j->buf + i * BS, write ? (int) (lba + i + 1) & 0xff : 0xee, BS);
  assert_int_equal (pthread_create (&j->thread, NULL, job_thread, j), 0);
}

static void
job_end (struct job *j)
{
  wait_for (j->done);
  pthread_join (j->thread, NULL);
  assert_int_equal (j->result, 0);
  for (uint32_t i = 0; i < j->blocks * BS; ++i)
    if (j->buf[i] != j->lba + i / BS + 1)
      fail_msg ("wrong data at byte %u: %02x", i, j->buf[i]);
}

static void
job_free (struct job *j)
{
  free (j->buf);
}

/* The portal that has the client's read in flight; -1: none (yet). */
static int
portal_of_read (unsigned nr_portals)
{
  int r = -1;

  engine_enter (engine);
  for (unsigned i = 0; i < nr_portals; ++i) {
    struct list *l, *next;

    list_for_each (l, next, &path_at (i)->session->in_flight)
      if (list_entry (l, struct command, node)->req != NULL)
        r = i;
  }
  engine_leave (engine);
  return r;
}

static void
make_late (unsigned i, unsigned ms)
{
  fake_fault (portal[i], (struct fake_fault) {
      .opcode = 0x28, .lun = 1, .count = 1, .half_ms = ms });
}

/* Starts a read that gets half of its data and then is late, on the portal
 * that is returned; nothing is to happen to the other. */
static unsigned
late_read (struct job *j, uint64_t lba, uint32_t blocks)
{
  int at;

  make_late (0, LATE);
  make_late (1, LATE);
  job_start (j, false, lba, blocks);
  wait_for ((at = portal_of_read (2)) != -1);
  fake_forget_faults (portal[1 - at]);
  return at;
}

static void
second_wins (void **unused)
{
  struct job j;
  unsigned at;

  (void) unused;
  serve (2);
  at = late_read (&j, 3, 5);
  job_end (&j);
  assert_true (j.seconds > 2 * USUAL && j.seconds < LATE / 2e3);
  assert_int_equal (counts ().sent, 1);
  assert_int_equal (counts ().won, 1);
  engine_enter (engine);
  assert_int_equal (path_at (at)->hedged_away, 1);
  assert_int_equal (path_at (at)->hedges_sent, 0);
  assert_int_equal (path_at (1 - at)->hedges_sent, 1);
  assert_int_equal (path_at (1 - at)->hedges_won, 1);
  engine_leave (engine);
  /* The rest of the loser's data goes nowhere. */
  assert_int_equal (counts ().out, 1);
  memset (j.buf, 0x55, 5 * BS);
  wait_for (counts ().out == 0);
  for (unsigned i = 0; i < 5 * BS; ++i)
    assert_int_equal (j.buf[i], 0x55);
  job_free (&j);
}

/* The same, and the client's memory is gone when the loser's data comes. */
static void
buffer_is_gone (void **unused)
{
  struct job j;

  (void) unused;
  serve (2);
  late_read (&j, 3, 5);
  job_end (&j);
  job_free (&j);
  assert_int_equal (counts ().out, 1);
  wait_for (counts ().out == 0);
}

static void
first_wins (void **unused)
{
  struct job j;

  (void) unused;
  serve (2);
  /* The one that has it answers before the other does. */
  for (unsigned i = 0; i < 2; ++i) {
    int at;

    fake_forget_faults (portal[0]);
    fake_forget_faults (portal[1]);
    make_late (0, 150);
    make_late (1, 150);
    job_start (&j, false, 2, 4);
    wait_for ((at = portal_of_read (2)) != -1);
    fake_forget_faults (portal[1 - at]);
    make_late (1 - at, 600);
    job_end (&j);
    assert_true (j.seconds < 0.5);
    assert_int_equal (counts ().sent, i + 1);
    assert_int_equal (counts ().won, 0);
    memset (j.buf, 0x55, 4 * BS);
    wait_for (counts ().out == 0);
    for (unsigned k = 0; k < 4 * BS; ++k)
      assert_int_equal (j.buf[k], 0x55);
    job_free (&j);
  }
}

/* Parts of one request: one of them is late. */
static void
one_part_of_three (void **unused)
{
  struct job j;

  (void) unused;
  fake_disk_limit (disk, 4);
  serve (2);
  make_late (0, LATE);
  job_start (&j, false, 1, 12);
  job_end (&j);
  assert_true (j.seconds < LATE / 2e3);
  assert_int_equal (counts ().won, 1);
  job_free (&j);
  wait_for (counts ().out == 0);
}

static void
second_fails (void **unused)
{
  struct job j;
  unsigned at;

  (void) unused;
  serve (2);
  at = late_read (&j, 3, 5);
  fake_fault (portal[1 - at], (struct fake_fault) {
      .opcode = 0x28, .lun = 1, .count = 1, .key = 0xb,
      .status = SCSI_STATUS_CHECK_CONDITION });
  job_end (&j);
  assert_true (j.seconds > LATE / 1.1e3);
  assert_int_equal (counts ().sent, 1);         /* and not again */
  assert_int_equal (counts ().won, 0);
  assert_int_equal (counts ().out, 0);
  job_free (&j);
}

static void
second_dies (void **unused)
{
  struct job j;
  unsigned at;

  (void) unused;
  serve (2);
  at = late_read (&j, 3, 5);
  fake_fault (portal[1 - at], (struct fake_fault) {
      .opcode = 0x28, .lun = 1, .count = 1, .die = true });
  job_end (&j);
  assert_true (j.seconds > LATE / 1.1e3);
  assert_int_equal (counts ().won, 0);
  wait_for (counts ().out == 0);
  job_free (&j);
}

/* Both are late; the first one's path dies: sent again, on the second path. */
static void
first_dies (void **unused)
{
  struct job j;
  unsigned at;

  (void) unused;
  serve (2);
  at = late_read (&j, 3, 5);
  make_late (1 - at, LATE);
  wait_for (counts ().sent == 1);
  fake_kill (portal[at]);
  job_end (&j);
  assert_int_equal (counts ().won, 0);
  memset (j.buf, 0x55, 5 * BS);
  wait_for (counts ().out == 0);
  for (unsigned i = 0; i < 5 * BS; ++i)
    assert_int_equal (j.buf[i], 0x55);
  job_free (&j);
}

static void
loser_dies (void **unused)
{
  struct job j;
  unsigned at;

  (void) unused;
  serve (2);
  at = late_read (&j, 3, 5);
  job_end (&j);
  job_free (&j);
  assert_int_equal (counts ().out, 1);
  fake_kill (portal[at]);
  wait_for (counts ().out == 0);
}

static void
shutdown_with_loser (void **unused)
{
  struct job j;

  (void) unused;
  serve (2);
  late_read (&j, 3, 5);
  job_end (&j);
  job_free (&j);
  assert_int_equal (counts ().out, 1);
  end_engine ();
}

/* Is a read that is late sent once more? */
static void
assert_not_hedged (void)
{
  struct job j;

  late_read (&j, 3, 5);
  job_end (&j);
  job_free (&j);
  assert_true (j.seconds > LATE / 1.1e3);
  assert_int_equal (counts ().sent, 0);
}

static void
not_when_off (void **unused)
{
  (void) unused;
  set ("hedged-reads", "off");
  serve (2);
  assert_not_hedged ();
  engine_enter (engine);
  assert_false (engine->hedge_awake);
  engine_leave (engine);
}

static void
not_with_one_path (void **unused)
{
  struct job j;

  (void) unused;
  serve (1);
  make_late (0, LATE);
  job_start (&j, false, 3, 5);
  job_end (&j);
  job_free (&j);
  assert_int_equal (counts ().sent, 0);
}

static void
not_to_another_group (void **unused)
{
  (void) unused;
  set ("path-grouping-policy", "failover");
  serve (2);
  assert_not_hedged ();
}

static void
not_to_a_slow_path (void **unused)
{
  struct job j;

  (void) unused;
  serve (2);
  engine_enter (engine);
  path_at (1)->sel.slow = true;
  engine_leave (engine);
  make_late (0, LATE);
  job_start (&j, false, 3, 5);
  job_end (&j);
  job_free (&j);
  assert_int_equal (counts ().sent, 0);
}

/* Both are late: the target is busy. */
static void
not_when_all_are_late (void **unused)
{
  struct job j[2];

  (void) unused;
  serve (2);
  /* Late after 0.3 s: both are sent long before. */
  engine_enter (engine);
  for (unsigned i = 0; i < 2; ++i)
    add (&path_at (i)->lateness, 512, 0.1);
  engine_leave (engine);
  for (unsigned i = 0; i < 2; ++i)
    make_late (i, LATE);
  for (unsigned i = 0; i < 2; ++i)
    job_start (&j[i], false, 3, 5);
  for (unsigned i = 0; i < 2; ++i) {
    job_end (&j[i]);
    job_free (&j[i]);
  }
  assert_int_equal (counts ().sent, 0);
}

static void
never_a_write (void **unused)
{
  struct job j;

  (void) unused;
  serve (2);
  for (unsigned i = 0; i < 2; ++i)
    fake_set_delay (portal[i], 300000, 300000);
  job_start (&j, true, 3, 5);
  job_end (&j);
  job_free (&j);
  assert_true (j.seconds > 0.25);
  assert_int_equal (counts ().sent, 0);
  assert_int_equal (fake_executed (portal[0]) + fake_executed (portal[1]), 2);
}

static void
not_beyond_the_budget (void **unused)
{
  struct job j;

  (void) unused;
  serve (2);
  engine_enter (engine);
  map->hedging.budget.tokens = 1.5;
  engine_leave (engine);
  late_read (&j, 3, 5);
  job_end (&j);
  job_free (&j);
  assert_int_equal (counts ().won, 1);
  wait_for (counts ().out == 0);
  late_read (&j, 3, 5);
  job_end (&j);
  job_free (&j);
  assert_true (j.seconds > LATE / 1.1e3);
  assert_int_equal (counts ().sent, 1);
  assert_true (counts ().refused > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown (name, setup, teardown)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (late_is_three_times_usual),
    cmocka_unit_test (late_follows_the_path),
    cmocka_unit_test (budget_is_a_twentieth),
    TEST (second_wins),
    TEST (buffer_is_gone),
    TEST (first_wins),
    TEST (one_part_of_three),
    TEST (second_fails),
    TEST (second_dies),
    TEST (first_dies),
    TEST (loser_dies),
    TEST (shutdown_with_loser),
    TEST (not_when_off),
    TEST (not_with_one_path),
    TEST (not_to_another_group),
    TEST (not_to_a_slow_path),
    TEST (not_when_all_are_late),
    TEST (never_a_write),
    TEST (not_beyond_the_budget),
  };

  virtual_time_start ();
  return cmocka_run_group_tests_name ("hedge", tests, NULL, NULL);
}
