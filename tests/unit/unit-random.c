/* SPDX-License-Identifier: BSD-3-Clause */
/* Random schedules: threads read and write, each its own blocks, and compare
 * with what they know, while paths die, hang, come back, answer out of order,
 * late, short, busy, and lose or change their LUN.
 *
 * Each schedule has settings, a target and a list of mishaps of its own, all
 * drawn from SEED (when exactly a mishap hits is up to the threads).  What
 * must hold in each:
 * - a request ends once, and a good one has the right data;
 * - with queueing, or one path that nothing happens to, no request fails;
 *   else only with EIO, and then only writes may have been done or not;
 * - nothing is left in any queue, list or counter at the end, and the disks
 *   are what was written.
 *
 *   SEED=N      the first schedule; schedule k has seed N + k
 *   SECONDS=S   start new schedules until then (12) */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "service/service.h"
#include "fence/fence.h"
#include "fence/nexus.h"
#include "fake-libiscsi.h"
#include "virtual-time.h"

#define BS 512
#define NR_DISKS 2
#define NR_WORKERS 6            /* half of them on each disk */
#define WORKER_BLOCKS 96
#define BLOCKS (NR_WORKERS / NR_DISKS * WORKER_BLOCKS)
#define MAX_BLOCKS 24           /* of one request */
#define MAX_PORTALS 4
/* Seconds. */
#define SCHEDULE 0.7
#define DEFAULT_SECONDS 12.0
/* All mishaps are over: then each request ends within. */
#define PATIENCE 30.0
#define SEARCH 2.0

/* ---- log: kept for the case that something fails ------------------------------------ */

#define MAX_LINES 4000
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static char *lines[MAX_LINES];
static unsigned nr_lines, nr_removed;

static void
sink (enum log_level level, const char *line)
{
  /* Again and again, and of no interest. */
  if (strstr (line, ": REPORT SUPPORTED OPERATION CODES failed"))
    return;
  pthread_mutex_lock (&log_mutex);
  free (lines[nr_lines % MAX_LINES]);
  lines[nr_lines++ % MAX_LINES] = strdup (line);
  nr_removed += strstr (line, ": remove path ") != NULL;
  pthread_mutex_unlock (&log_mutex);
  if (strstr (line, "internal error") || strstr (line, "unexpected event")) {
    fprintf (stderr, "level %d: %s\n", (int) level, line);
    abort ();
  }
}

static void
log_end (bool show)
{
  unsigned n = nr_lines < MAX_LINES ? nr_lines : MAX_LINES;
  unsigned first = nr_lines - n;

  for (unsigned i = 0; i < n; ++i) {
    if (show && i + 200 >= n)
      fprintf (stderr, "log: %s\n", lines[(first + i) % MAX_LINES]);
    free (lines[(first + i) % MAX_LINES]);
    lines[(first + i) % MAX_LINES] = NULL;
  }
  nr_lines = 0;
}

/* ---- a schedule ------------------------------------------------------------------------ */

enum retry { RETRY_FAIL, RETRY_QUEUE, RETRY_LONG, NR_RETRIES };

/* Written before the threads start. */
static struct {
  unsigned seed;
  unsigned nr_portals;
  enum retry retry;
  bool protected;               /* nothing happens to the first portal */
  bool may_fail;                /* EIO is an answer */
  bool wild;
  bool hedges;                  /* and reads that are late, for no other reason */
} plan;

static struct settings *settings;
static struct engine *engine;
static struct fake_disk *disks[NR_DISKS], *strange;
static struct fake_portal *portals[MAX_PORTALS];
static struct map *maps[NR_DISKS];
static _Atomic bool stop;
static _Atomic unsigned long long nr_reads, nr_writes, nr_flushes, nr_failed;
static unsigned nr_schedules, nr_left, nr_mishaps;
static unsigned long long nr_deaths, nr_troubles, nr_failovers, nr_hedges,
  nr_hedges_won;

/* What a block may contain: versions; two after a write that failed. */
struct block { uint32_t version, other; };

struct worker {
  pthread_t thread;
  unsigned nr;
  unsigned seed;
  struct block blocks[WORKER_BLOCKS];
  uint32_t last_version;
  _Atomic bool busy;            /* in a request */
  _Atomic bool done;
  char failure[200];            /* "": none */
};
static struct worker workers[NR_WORKERS];

static unsigned
draw (unsigned *seed, unsigned n)
{
  *seed = *seed * 1103515245u + 12345u;
  return (*seed >> 8) % n;
}

static void
fill (uint8_t *buf, unsigned lba, uint32_t version)
{
  uint32_t *words = (uint32_t *) buf;

  if (version == 0)
    memset (buf, 0, BS);
  else
    for (unsigned i = 0; i < BS / 4; ++i)
      words[i] = version * 2654435761u ^ (lba << 8) ^ i;
}

static bool
is_version (const uint8_t *buf, unsigned lba, uint32_t version)
{
  uint8_t expected[BS] __attribute__ ((aligned (4)));

  fill (expected, lba, version);
  return memcmp (buf, expected, BS) == 0;
}

/* ---- workers ------------------------------------------------------------------------------ */

/* What is read decides which of two versions it was. */
static bool
check (struct worker *w, unsigned at, unsigned n, const uint8_t *buf,
       unsigned lba, const char *what)
{
  for (unsigned i = 0; i < n; ++i) {
    struct block *b = &w->blocks[at + i];
    const uint8_t *data = buf + i * BS;

    if (is_version (data, lba + i, b->version))
      b->other = b->version;
    else if (is_version (data, lba + i, b->other))
      b->version = b->other;
    else {
      snprintf (w->failure, sizeof w->failure, "%s: LBA %u is neither version "
                "%u nor %u", what, lba + i, b->version, b->other);
      return false;
    }
  }
  return true;
}

static void
wrong (struct worker *w, const char *what, int error)
{
  snprintf (w->failure, sizeof w->failure, "%s failed: %s", what,
            strerror (error));
}

static void
operate (struct worker *w, uint8_t *buf)
{
  const unsigned n = 1 + draw (&w->seed, MAX_BLOCKS);
  const unsigned at = draw (&w->seed, WORKER_BLOCKS - n + 1);
  const unsigned lba = w->nr / NR_DISKS * WORKER_BLOCKS + at;
  struct map *map = maps[w->nr % NR_DISKS];
  const unsigned what = draw (&w->seed, 100);
  int r, error;

  w->busy = true;
  if (what < 3) {
    r = map_flush (map);
    error = errno;
    nr_flushes++;
    w->busy = false;
    if (r == -1 && !(plan.may_fail && error == EIO))
      wrong (w, "flush", error);
    nr_failed += r == -1;
  }
  else if (what < 52) {
    for (unsigned i = 0; i < n; ++i)
      fill (buf + i * BS, lba + i, w->last_version + 1);
    w->last_version++;
    r = map_write (map, buf, n * BS, (uint64_t) lba * BS,
                   draw (&w->seed, 8) == 0);
    error = errno;
    nr_writes++;
    w->busy = false;
    if (r == -1 && !(plan.may_fail && error == EIO))
      wrong (w, "write", error);
    nr_failed += r == -1;
    for (unsigned i = 0; i < n; ++i) {
      struct block *b = &w->blocks[at + i];

      if (r == -1 && b->version != b->other) {
        /* A second failure in a row: find out first what is there. */
        uint8_t now[BS] __attribute__ ((aligned (4)));

        fake_disk_read (disks[w->nr % NR_DISKS], lba + i, now, 1);
        if (is_version (now, lba + i, w->last_version))
          b->version = b->other = w->last_version;
        else if (!check (w, at + i, 1, now, lba + i, "failed write"))
          return;
      }
      b->other = w->last_version;
      if (r == 0)
        b->version = w->last_version;
    }
  }
  else {
    memset (buf, 0xee, n * BS);
    r = map_read (map, buf, n * BS, (uint64_t) lba * BS);
    error = errno;
    nr_reads++;
    w->busy = false;
    if (r == 0)
      check (w, at, n, buf, lba, "read");
    else if (!(plan.may_fail && error == EIO))
      wrong (w, "read", error);
    nr_failed += r == -1;
  }
}

static void *
work (void *opaque)
{
  struct worker *w = opaque;
  uint8_t *buf = aligned_alloc (64, MAX_BLOCKS * BS);

  if (buf == NULL)
    abort ();
  while (!stop && w->failure[0] == '\0') {
    operate (w, buf);
    /* Without paths each request fails at once: no need to burn the CPU. */
    if (plan.may_fail || draw (&w->seed, 16) == 0)
      usleep (draw (&w->seed, 500));
  }
  free (buf);
  w->done = true;
  return NULL;
}

/* ---- mishaps -------------------------------------------------------------------------------- */

static void
mishap (unsigned *seed)
{
  const unsigned first = plan.protected ? 1 : 0;
  struct fake_portal *p =
    portals[first + draw (seed, plan.nr_portals - first)];

  nr_mishaps++;
  switch (draw (seed, 16)) {
  case 0: case 1: case 2: case 3:
    fake_kill (p);
    break;
  case 4:
    fake_set_silent (p, true);
    break;
  case 5:
    fake_set_silent (p, false);
    break;
  case 6:
    fake_set_connect (p, draw (seed, 5));
    fake_kill (p);
    break;
  case 7:
    fake_set_login (p, draw (seed, 2) ? FAKE_LOGIN_LOST : FAKE_LOGIN_FAILS,
                    "Failed to log in to target. Status: Target error(768)");
    break;
  case 8: case 9:
    fake_set_connect (p, FAKE_CONNECT_OK);
    fake_set_login (p, FAKE_LOGIN_OK, NULL);
    break;
  case 10: {
    const unsigned lun = draw (seed, NR_DISKS);

    /* A LUN is another one only for a new nexus: else no initiator could
     * know whose data it gets. */
    fake_replace_lun (p, lun, draw (seed, 2) ? NULL : strange);
    break;
  }
  case 11: case 12:
    for (unsigned lun = 0; lun < NR_DISKS; ++lun)
      fake_map_lun (p, lun, disks[lun]);
    break;
  case 13:
    fake_set_delay (p, 0, draw (seed, 3) * 3000);
    break;
  case 14:
    fake_set_choked (p, draw (seed, 2));
    break;
  case 15:
    fake_fault (p, (struct fake_fault) {
        .opcode = draw (seed, 2) ? 0x28 : 0x2a, .lun = -1, .count = 1,
        .die = true, .execute = draw (seed, 2) });
    break;
  }
}

static void
heal (void)
{
  for (unsigned i = 0; i < plan.nr_portals; ++i) {
    struct fake_portal *p = portals[i];

    fake_set_connect (p, FAKE_CONNECT_OK);
    fake_set_login (p, FAKE_LOGIN_OK, NULL);
    fake_set_silent (p, false);
    fake_set_choked (p, false);
    for (unsigned lun = 0; lun < NR_DISKS; ++lun)
      fake_map_lun (p, lun, disks[lun]);
    for (unsigned t = 0; t < NR_FAKE_TROUBLES; ++t)
      fake_set_chance (p, t, 0);
  }
}

/* ---- one schedule ---------------------------------------------------------------------------- */

static void
set (const char *key, const char *value)
{
  char err[ERR_SIZE];

  if (settings_set (settings, key, value, err) == -1)
    fail_msg ("%s=%s: %s", key, value, err);
}

static void
make_plan (unsigned *seed)
{
  static const char *const selectors[] = {
    "round-robin 0", "queue-length 0", "service-time 0"
  };
  static const char *const policies[] = { "multibus", "failover" };
  static const char *const checkers[] = { "tur", "directio", "none" };
  static const char *const retries[] = { "fail", "queue", "10000" };
  char text[40];

  plan.nr_portals = 2 + draw (seed, MAX_PORTALS - 1);
  plan.retry = draw (seed, NR_RETRIES);
  plan.protected = plan.retry == RETRY_FAIL && draw (seed, 2);
  plan.may_fail = plan.retry == RETRY_FAIL && !plan.protected;
  plan.wild = draw (seed, 2);
  set ("path-selector", selectors[draw (seed, 3)]);
  set ("path-grouping-policy", policies[draw (seed, 2)]);
  set ("path-checker", checkers[draw (seed, 3)]);
  set ("failback", draw (seed, 2) ? "immediate" : "manual");
  set ("no-path-retry", retries[plan.retry]);
  /* A busy machine may be slow, but the last path must not be called dead. */
  set ("noop-out-timeout", plan.protected ? "3" : "0.2");
  sprintf (text, "%u", 1 + draw (seed, 8));
  set ("rr-min-io", text);
  sprintf (text, "%u", 1 + draw (seed, 12));
  set ("queue-depth", text);
  /* Only without queueing, and then soon; the last path must still not be
   * called dead for want of an answer. */
  if (draw (seed, 2)) {
    set ("dev-loss-tmo", "0.02");
    set ("fast-io-fail-tmo", "off");
  }
  plan.hedges = plan.seed % 2;
  set ("hedged-reads", plan.hedges ? "on" : "off");
  if (plan.hedges && draw (seed, 4))    /* else some groups have one path */
    set ("path-grouping-policy", "multibus");
}

static void
make_target (unsigned *seed)
{
  char text[MAX_PORTALS * 24] = "";

  fake_start (plan.seed);
  fake_set_wild (plan.wild);
  for (unsigned i = 0; i < NR_DISKS; ++i) {
    disks[i] = fake_disk_new (1 + i, BLOCKS, BS);
    fake_disk_limit (disks[i], draw (seed, 2) ? 0 : 4 + draw (seed, 12));
  }
  strange = fake_disk_new (77, BLOCKS, BS);
  for (unsigned i = 0; i < plan.nr_portals; ++i) {
    char address[40];

    sprintf (address, "127.0.0.1:%u", 4001 + i);
    sprintf (text + strlen (text), "%s%s", i ? "," : "", address);
    portals[i] = fake_portal_new (address);
    for (unsigned lun = 0; lun < NR_DISKS; ++lun)
      fake_map_lun (portals[i], lun, disks[lun]);
    fake_set_delay (portals[i], 0, draw (seed, 3) * 1000);
  }
  set ("portals", text);
}

static void
make_trouble (unsigned *seed)
{
  for (unsigned i = 0; i < plan.nr_portals; ++i) {
    fake_set_chance (portals[i], FAKE_BUSY, draw (seed, 8));
    fake_set_chance (portals[i], FAKE_TASK_SET_FULL, draw (seed, 8));
    fake_set_chance (portals[i], FAKE_ATTENTION, draw (seed, 30));
    fake_set_chance (portals[i], FAKE_ABORTED, draw (seed, 30));
    if (plan.hedges)
      fake_set_chance (portals[i], FAKE_HALF, 40 + draw (seed, 80));
    if (i == 0 && plan.protected)
      continue;
    fake_set_chance (portals[i], FAKE_SHORT_READ, draw (seed, 5));
    fake_set_chance (portals[i], FAKE_DIE, draw (seed, 5));
  }
}

static void
give_up (const char *why)
{
  fprintf (stderr, "SEED=%u: %s\n%u portals, no_path_retry %d, protected %d, "
           "wild %d\n", plan.seed, why, plan.nr_portals, (int) plan.retry,
           plan.protected, plan.wild);
  for (unsigned i = 0; i < NR_WORKERS; ++i)
    fprintf (stderr, "worker %u: %s %s\n", i,
             workers[i].busy ? "waits" : "runs", workers[i].failure);
  engine_enter (engine);
  for (unsigned i = 0; i < NR_DISKS; ++i) {
    struct list *l, *next;

    fprintf (stderr, "map %u: %u active, queue %s, delayed %s\n", i,
             maps[i]->nr_active,
             list_empty (&maps[i]->queue) ? "empty" : "not empty",
             list_empty (&maps[i]->delayed) ? "empty" : "not empty");
    list_for_each (l, next, &maps[i]->paths) {
      struct path *p = list_entry (l, struct path, map_node);

      fprintf (stderr, "  %s: path %s, session %s%s, %u in flight of %u\n",
               p->session->name, path_state_name (p->state),
               session_state_name (p->session->state),
               p->session->dying ? ", dying" : "", p->session->nr_in_flight,
               p->session->limit_now);
    }
  }
  for (struct list *l = engine->sessions.next; l != &engine->sessions;
       l = l->next) {
    const struct session *s = list_entry (l, struct session, node);
    struct list *k, *next;

    fprintf (stderr, "%s, %s:\n", s->name, session_state_name (s->state));
    list_for_each (k, next, &s->paths) {
      const struct path *p = list_entry (k, struct path, session_node);

      fprintf (stderr, "  LUN %u of %s: %s, %u in flight%s\n", p->lun,
               p->map->name, path_state_name (p->state), p->sel.in_flight,
               p->checking ? ", is checked" : "");
    }
  }
  engine_leave (engine);
  log_end (true);
  fflush (NULL);
  /* Threads hang in requests: nothing can be cleaned up. */
  _exit (1);
}

static void
end_workers (void)
{
  const double until = engine_now () + PATIENCE;

  stop = true;
  for (unsigned i = 0; i < NR_WORKERS; ++i) {
    while (!workers[i].done) {
      if (engine_now () > until)
        give_up ("a request does not end");
      usleep (2000);
    }
    pthread_join (workers[i].thread, NULL);
  }
  for (unsigned i = 0; i < NR_WORKERS; ++i)
    if (workers[i].failure[0])
      give_up ("a request went wrong");
}

/* A schedule is too short to find out what is usual: 2 ms, on every path. */
static void
teach_usual (void)
{
  engine_enter (engine);
  for (unsigned i = 0; i < NR_DISKS; ++i) {
    struct list *l, *next;

    list_for_each (l, next, &maps[i]->paths)
      for (unsigned k = 0; k < 256; ++k)
        lateness_add (&list_entry (l, struct path, map_node)->lateness, 0.002);
  }
  engine_leave (engine);
}

static bool
all_active (void)
{
  bool r = true;

  engine_enter (engine);
  for (unsigned i = 0; i < NR_DISKS; ++i)
    r &= maps[i]->nr_active == plan.nr_portals;
  engine_leave (engine);
  return r;
}

/* dev_loss_tmo has removed a path, the LUN was not there at the next login, or was
 * another one, and came without a word (a target says 3F/0E): nobody looks for
 * it, with no path and with no checker.  As an administrator would: log in again.
 * Others must come by themselves. */
static void
find_missing (void)
{
  bool missing[MAX_PORTALS] = { false };
  struct list *l, *next;

  engine_enter (engine);
  list_for_each (l, next, &engine->sessions) {
    struct session *s = list_entry (l, struct session, node);
    const int i = s->portal.port - 4001;

    if (session_has_paths (s) && s->state == SESSION_UP)
      for (unsigned lun = 0; lun < NR_DISKS; ++lun) {
        const struct path *p = path_find (s, lun);

        if (p == NULL || (p->map != maps[lun] && path_is_usable (p->state) &&
                          p->map->settings.path_checker == CHECKER_NONE))
          missing[i] = true;
      }
  }
  engine_leave (engine);
  for (unsigned i = 0; i < plan.nr_portals; ++i)
    if (missing[i])
      fake_kill (portals[i]);
}

/* Reads whose request was over long ago. */
static bool
no_hedges (void)
{
  bool r = true;

  engine_enter (engine);
  for (unsigned i = 0; i < NR_DISKS; ++i)
    r &= list_empty (&maps[i]->hedging.out);
  engine_leave (engine);
  return r;
}

static void
wait_for_hedges (void)
{
  const double until = engine_now () + PATIENCE;

  while (!no_hedges ()) {
    if (engine_now () > until)
      give_up ("a hedge does not end");
    usleep (2000);
  }
}

/* Nothing is under way. */
static void
check_idle (void)
{
  const char *left = NULL;

  engine_enter (engine);
  for (unsigned i = 0; i < NR_DISKS; ++i) {
    struct list *l, *next;

    if (!list_empty (&maps[i]->queue) || !list_empty (&maps[i]->delayed))
      left = "a command is left in a map's queue";
    if (maps[i]->hedging.nr_out != 0 || maps[i]->hedging.bytes_out != 0)
      left = "a map counts hedges that do not exist";
    if (!plan.hedges && maps[i]->hedging.sent > 0)
      left = "a read was hedged, against the settings";
    nr_hedges += maps[i]->hedging.sent;
    nr_hedges_won += maps[i]->hedging.won;
    list_for_each (l, next, &maps[i]->paths) {
      const struct path *p = list_entry (l, struct path, map_node);
      const struct session *s = p->session;
      struct list *k, *knext;
      unsigned n = 0;

      if (p->sel.in_flight != 0 || p->sel.in_flight_bytes != 0)
        left = "a selector counts commands that do not exist";
      list_for_each (k, knext, &s->in_flight) {
        n++;
        if (list_entry (k, struct command, node)->req != NULL)
          left = "a command is left in a session";
      }
      if (n != s->nr_in_flight)
        left = "a session counts commands that do not exist";
    }
  }
  nr_failovers += engine->failovers;
  engine_leave (engine);
  if (left)
    give_up (left);
}

static void
check_disks (void)
{
  uint8_t buf[BS] __attribute__ ((aligned (4)));

  for (unsigned i = 0; i < NR_WORKERS; ++i)
    for (unsigned b = 0; b < WORKER_BLOCKS; ++b) {
      const unsigned lba = i / NR_DISKS * WORKER_BLOCKS + b;

      fake_disk_read (disks[i % NR_DISKS], lba, buf, 1);
      if (!check (&workers[i], b, 1, buf, lba, "at the end"))
        give_up ("the disk is not what was written");
    }
  /* Nobody has ever written to the disk that came in place of another. */
  for (unsigned lba = 0; lba < BLOCKS; ++lba) {
    fake_disk_read (strange, lba, buf, 1);
    if (!is_version (buf, lba, 0))
      give_up ("a write went to another disk");
  }
}

/* What servers leave to the next one. */
static char state_dir[] = "/tmp/unit-random-XXXXXX";

/* As by a server that was killed: nexuses of the disks, through portals
 * that there are. */
static void
leave_behind (unsigned *seed)
{
  struct nexus_list list = { NULL, 0, 0 }, old = { NULL, 0, 0 };
  struct nexus_state st;
  char err[ERR_SIZE];

  for (unsigned i = 0; i < 1 + draw (seed, 4); ++i) {
    struct nexus x = { .isid_qualifier = i + 1 };

    strcpy (x.portal.host, "127.0.0.1");
    x.portal.port = 4001 + draw (seed, plan.nr_portals);
    x.portal.tpgt = draw (seed, 3) == 0 ? -1 : 1;
    strcpy (x.target, FAKE_TARGET);
    strcpy (x.wwid, fake_disk_wwid (disks[draw (seed, NR_DISKS)]));
    assert_true (nexus_list_add (&list, &x));
  }
  if (nexus_state_open (&st, NULL, "iqn.2026-11.test.unit:random", &old,
                        NULL, err) == -1 ||
      nexus_state_save (&st, &list, err) == -1)
    fail_msg ("%s", err);
  nexus_state_close (&st);
  nexus_list_free (&list);
  nexus_list_free (&old);
  nr_left++;
}

/* After a clean end there is nothing, if nothing was in doubt. */
static void
check_left (bool settled)
{
  struct nexus_list old = { NULL, 0, 0 };
  struct nexus_state st;
  char err[ERR_SIZE];

  if (nexus_state_open (&st, NULL, "iqn.2026-11.test.unit:random", &old,
                        NULL, err) == -1)
    fail_msg ("%s", err);
  if (settled && old.n > 0)
    fail_msg ("%zu nexuses are left to the next server", old.n);
  for (size_t i = 0; i < old.n; ++i)    /* the next schedule has other disks */
    assert_int_equal (nexus_state_drop (&st, old.v[i].isid_random,
                                        old.v[i].wwid, err), 0);
  nexus_state_close (&st);
  nexus_list_free (&old);
}

static void
run_schedule (unsigned number)
{
  bool settled;
  unsigned seed = number * 2654435761u;
  char err[ERR_SIZE] = "";
  double until, search;

  memset (&plan, 0, sizeof plan);
  plan.seed = number;
  settings = settings_new ();
  settings->guard = false;      /* the fake is no library */
  set ("initiator-name", "iqn.2026-11.test.unit:random");
  set ("target", FAKE_TARGET);
  set ("discovery", "off");
  set ("polling-interval", "0.1");
  set ("login-timeout", "0.15");
  set ("noop-out-interval", "0.1");
  set ("command-timeout", "5");
  make_plan (&seed);
  make_target (&seed);
  if (settings_check (settings, err) == -1)
    fail_msg ("%s", err);
  if (draw (&seed, 2))
    leave_behind (&seed);
  /* A busy machine may not manage a login in time: that is no finding. */
  for (unsigned tries = 1;; ++tries) {
    engine = engine_new (settings);
    assert_non_null (engine);
    engine_keep_record (engine);
    engine_start (engine);
    engine_run_until_settled (engine, PATIENCE);
    if (engine_verdict (engine, err, sizeof err) == 0)
      break;
    if (tries == 20)
      fail_msg ("%s", err);
    engine_free (engine);
  }
  assert_int_equal (engine_start_thread (engine), 0);
  for (unsigned i = 0; i < NR_DISKS; ++i) {
    maps[i] = engine_find_map (engine, fake_disk_wwid (disks[i]), PATIENCE,
                               err, sizeof err);
    if (maps[i] == NULL)
      fail_msg ("%s", err);
  }
  if (!all_active ())
    give_up ("a path is missing at the start");

  teach_usual ();
  stop = false;
  make_trouble (&seed);
  memset (workers, 0, sizeof workers);
  for (unsigned i = 0; i < NR_WORKERS; ++i) {
    workers[i].nr = i;
    workers[i].seed = draw (&seed, 1u << 23);
    assert_int_equal (pthread_create (&workers[i].thread, NULL, work,
                                      &workers[i]), 0);
  }
  until = engine_now () + SCHEDULE;
  while (engine_now () < until) {
    usleep (3000 + draw (&seed, 25000));
    mishap (&seed);
  }
  heal ();
  /* Workers go on until all paths are back. */
  until = engine_now () + PATIENCE;
  search = engine_now () + SEARCH;
  while (!all_active ()) {
    if (engine_now () > until)
      give_up ("a path does not come back");
    if (engine_now () > search) {
      find_missing ();
      search += SEARCH;
    }
    usleep (5000);
  }
  end_workers ();
  wait_for_hedges ();
  check_idle ();
  check_disks ();

  nr_deaths += fake_deaths ();
  for (unsigned t = 0; t < NR_FAKE_TROUBLES; ++t)
    nr_troubles += fake_troubles (t);
  engine_shutdown (engine, 3);
  settled = fence_settled (engine);
  engine_free (engine);
  check_left (settled);
  settings_free (settings);
  fake_end ();
  log_end (false);
  nr_schedules++;
}

static void
random_schedules (void **unused)
{
  const char *seed = getenv ("SEED"), *seconds = getenv ("SECONDS");
  const double until = engine_now () +
    (seconds ? strtod (seconds, NULL) : DEFAULT_SECONDS);
  unsigned number = seed ? (unsigned) strtoul (seed, NULL, 0)
    : (unsigned) time (NULL);

  (void) unused;
  print_message ("first SEED=%u\n", number);
  log_set_sink (sink);
  do
    run_schedule (number++);
  while (engine_now () < until);
  log_set_sink (NULL);

  print_message ("%u schedules: %llu reads, %llu writes, %llu flushes, %llu of "
                 "them failed where they may; %u killed servers before, "
                 "%u mishaps, %llu connections "
                 "died, %llu bad answers, "
                 "%llu commands failed over, %u paths removed, %llu reads "
                 "hedged and %llu of them answered by the second path first\n",
                 nr_schedules, nr_reads, nr_writes, nr_flushes, nr_failed,
                 nr_left, nr_mishaps, nr_deaths, nr_troubles, nr_failovers,
                 nr_removed, nr_hedges, nr_hedges_won);
  /* A run in which nothing happened proves nothing. */
  assert_true (nr_reads > 0 && nr_writes > 0);
  if (nr_schedules >= 8)
    assert_true (nr_hedges > 0);
  assert_true (nr_mishaps > 0 && nr_deaths > 0 && nr_failovers > 0);
}

static int
remove_state (void **unused)
{
  char command[100];

  (void) unused;
  snprintf (command, sizeof command, "rm -rf %s", state_dir);
  return system (command);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (random_schedules),
  };

  virtual_time_start ();
  if (mkdtemp (state_dir) == NULL)
    return 1;
  setenv ("STATE_DIRECTORY", state_dir, 1);
  return cmocka_run_group_tests_name ("random", tests, NULL, remove_state);
}
