/* SPDX-License-Identifier: BSD-3-Clause */
/* The listings, word for word: the layout is what administrators and their
 * scripts know.  And the histogram behind the latencies. */
#include <config.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rules/latency.h"
#include "control/topology.h"

/* ---- something to print ------------------------------------------------------- */

#define MAX_PATHS 4

struct fixture {
  struct snapshot s;
  struct snapshot_map maps[2];
  struct snapshot_group groups[2][2];
  struct snapshot_path paths[2][MAX_PATHS];
  struct snapshot_session sessions[2];
};

static void
set_path (struct snapshot_path *p, const char *portal, unsigned session,
          int tpgt, unsigned lun, enum path_state state)
{
  snprintf (p->portal, sizeof p->portal, "%s", portal);
  snprintf (p->target, sizeof p->target, "iqn.2026-11.example:data");
  p->session = session;
  p->tpgt = tpgt;
  p->lun = lun;
  p->state = state;
  p->session_state = SESSION_UP;
  p->prio = 1;
}

/* The map of the how-to: two paths in one group. */
static struct fixture *
howto (void)
{
  struct fixture *f = calloc (1, sizeof *f);
  struct snapshot_map *m = &f->maps[0];

  assert_non_null (f);
  f->s.pid = 4711;
  f->s.maps = f->maps;
  f->s.nr_maps = 1;
  f->s.sessions = f->sessions;
  m->name = (char *) "iscsi_data";
  strcpy (m->facts.wwid, "360000000000000000000000000000001");
  strcpy (m->facts.vendor, "TEST");
  strcpy (m->facts.product, "RIGDISK");
  strcpy (m->facts.revision, "0001");
  m->facts.blocks = 524288;
  m->facts.block_size = 512;
  m->failback = FAILBACK_IMMEDIATE;
  m->groups = f->groups[0];
  m->paths = f->paths[0];
  m->nr_groups = 1;
  m->nr_paths = 2;
  m->nr_active = 2;
  f->groups[0][0] = (struct snapshot_group) {
    .index = 1, .prio = 1, .current = true, .first = 0, .nr_paths = 2,
  };
  set_path (&f->paths[0][0], "127.0.0.1:3260", 1, 1, 1, PATH_UP);
  set_path (&f->paths[0][1], "127.0.0.1:3261", 2, 1, 1, PATH_UP);
  return f;
}

static char *
printed (bool (*print) (FILE *fp, const struct snapshot *s, bool colour),
         const struct snapshot *s, bool colour)
{
  char *text = NULL;
  size_t len;
  FILE *fp = open_memstream (&text, &len);

  assert_non_null (fp);
  assert_true (print (fp, s, colour));
  fclose (fp);
  return text;
}

#define ASSERT_PRINTS(print, s, colour, expected)       \
  do {                                                  \
    char *text_ = printed (print, s, colour);           \
    assert_string_equal (text_, expected);              \
    free (text_);                                       \
  } while (0)

/* ---- multipath -ll ------------------------------------------------------------- */

static void
both_paths_active (void **unused)
{
  struct fixture *f = howto ();

  (void) unused;
  ASSERT_PRINTS (topology_print, &f->s, false,
                 "iscsi_data (360000000000000000000000000000001) map-0 TEST,RIGDISK\n"
                 "size=256M features='0' hwhandler='0' wp=rw\n"
                 "`-+- policy='round-robin 0' prio=1 status=active\n"
                 "  |- 1:0:1:1 127.0.0.1:3260 active ready running\n"
                 "  `- 2:0:1:1 127.0.0.1:3261 active ready running\n");
  free (f);
}

static void
one_path_faulty (void **unused)
{
  struct fixture *f = howto ();

  (void) unused;
  f->paths[0][1].state = PATH_DOWN;
  f->paths[0][1].session_state = SESSION_WAIT;
  f->maps[0].nr_active = 1;
  ASSERT_PRINTS (topology_print, &f->s, false,
                 "iscsi_data (360000000000000000000000000000001) map-0 TEST,RIGDISK\n"
                 "size=256M features='0' hwhandler='0' wp=rw\n"
                 "`-+- policy='round-robin 0' prio=1 status=active\n"
                 "  |- 1:0:1:1 127.0.0.1:3260 active ready  running\n"
                 "  `- 2:0:1:1 127.0.0.1:3261 failed faulty running\n");
  free (f);
}

static void
all_paths_faulty (void **unused)
{
  struct fixture *f = howto ();

  (void) unused;
  f->paths[0][0].state = f->paths[0][1].state = PATH_DOWN;
  f->groups[0][0].current = false;
  f->maps[0].nr_active = 0;
  f->maps[0].no_path_retry = 12;
  f->maps[0].queueing = true;
  ASSERT_PRINTS (topology_print, &f->s, false,
                 "iscsi_data (360000000000000000000000000000001) map-0 TEST,RIGDISK\n"
                 "size=256M features='1 queue_if_no_path' hwhandler='0' wp=rw\n"
                 "`-+- policy='round-robin 0' prio=1 status=enabled\n"
                 "  |- 1:0:1:1 127.0.0.1:3260 failed faulty running\n"
                 "  `- 2:0:1:1 127.0.0.1:3261 failed faulty running\n");
  f->maps[0].queueing = false;  /* the time is over */
  ASSERT_PRINTS (topology_print, &f->s, false,
                 "iscsi_data (360000000000000000000000000000001) map-0 TEST,RIGDISK\n"
                 "size=256M features='0' hwhandler='0' wp=rw\n"
                 "`-+- policy='round-robin 0' prio=1 status=enabled\n"
                 "  |- 1:0:1:1 127.0.0.1:3260 failed faulty running\n"
                 "  `- 2:0:1:1 127.0.0.1:3261 failed faulty running\n");
  free (f);
}

/* Two groups; no alias; read-only; columns of both maps line up; one session
 * was deleted; a portal group that is not known. */
static void
groups_and_columns (void **unused)
{
  struct fixture *f = howto ();
  struct snapshot_map *m = &f->maps[1];

  (void) unused;
  f->s.nr_maps = 2;
  *m = f->maps[0];
  m->index = 1;
  m->name = m->facts.wwid;
  strcpy (m->facts.wwid, "360000000000000000000000000000002");
  m->facts.blocks = UINT64_C (3) << 30; /* 1.5 TiB */
  m->facts.write_protect = true;
  m->selector = SELECTOR_SERVICE_TIME;
  m->no_path_retry = NO_PATH_RETRY_QUEUE;
  m->groups = f->groups[1];
  m->paths = f->paths[1];
  m->nr_groups = 2;
  m->nr_paths = 3;
  f->groups[1][0] = (struct snapshot_group) { 1, 50, true, 0, 2 };
  f->groups[1][1] = (struct snapshot_group) { 2, 10, false, 2, 1 };
  set_path (&f->paths[1][0], "[fe80::1%eth0]:3260", 3, 12, 16383, PATH_UP);
  set_path (&f->paths[1][1], "10.0.0.1:3260", 4, -1, 2, PATH_GHOST);
  set_path (&f->paths[1][2], "10.0.0.2:3260", 10, 2, 2, PATH_WRONG);
  f->paths[1][2].session_state = SESSION_CLOSED;
  ASSERT_PRINTS (topology_print, &f->s, false,
                 "iscsi_data (360000000000000000000000000000001) map-0 TEST,RIGDISK\n"
                 "size=256M features='0' hwhandler='0' wp=rw\n"
                 "`-+- policy='round-robin 0' prio=1 status=active\n"
                 "  |- 1:0:1:1      127.0.0.1:3260      active ready  running\n"
                 "  `- 2:0:1:1      127.0.0.1:3261      active ready  running\n"
                 "360000000000000000000000000000002 map-1 TEST,RIGDISK\n"
                 "size=1.5T features='1 queue_if_no_path' hwhandler='0' wp=ro\n"
                 "|-+- policy='service-time 0' prio=50 status=active\n"
                 "| |- 3:0:12:16383 [fe80::1%eth0]:3260 active ready  running\n"
                 "| `- 4:0:-:2      10.0.0.1:3260       active ghost  running\n"
                 "`-+- policy='service-time 0' prio=10 status=enabled\n"
                 "  `- 10:0:2:2     10.0.0.2:3260       failed faulty offline\n");
  free (f);
}

static void
colours (void **unused)
{
  struct fixture *f = howto ();

  (void) unused;
  f->paths[0][1].state = PATH_DOWN;
  ASSERT_PRINTS (topology_print, &f->s, true,
                 "iscsi_data (360000000000000000000000000000001) map-0 TEST,RIGDISK\n"
                 "size=256M features='0' hwhandler='0' wp=rw\n"
                 "`-+- policy='round-robin 0' prio=1 status=active\n"
                 "  |- 1:0:1:1 127.0.0.1:3260 \033[32mactive ready \033[0m running\n"
                 "  `- 2:0:1:1 127.0.0.1:3261 \033[31mfailed faulty\033[0m running\n");
  free (f);
}

static void
without_paths (void **unused)
{
  struct fixture *f = howto ();

  (void) unused;
  f->maps[0].nr_groups = f->maps[0].nr_paths = f->maps[0].nr_active = 0;
  ASSERT_PRINTS (topology_print, &f->s, false,
                 "iscsi_data (360000000000000000000000000000001) map-0 TEST,RIGDISK\n"
                 "size=256M features='0' hwhandler='0' wp=rw\n");
  f->s.nr_maps = 0;
  ASSERT_PRINTS (topology_print, &f->s, false, "");
  ASSERT_PRINTS (topology_maps, &f->s, false, "");
  ASSERT_PRINTS (topology_paths, &f->s, false, "");
  ASSERT_PRINTS (topology_sessions, &f->s, false, "");
  free (f);
}

static void
sizes (void **unused)
{
  static const struct { double bytes; const char *text; } cases[] = {
    { 0, "0" }, { 512, "0.5K" }, { 1024, "1.0K" }, { 10 * 1024, "10K" },
    { 1048576, "1.0M" }, { 268435456, "256M" }, { 1610612736, "1.5G" },
    { 1e12, "931G" }, { 1649267441664., "1.5T" }, { 10995116277760., "10T" },
    { 1125899906842624., "1.0P" }, { 9223372036854774784., "8.0E" },
    { 1e21, "867E" },
  };
  char buf[16];

  (void) unused;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i)
    assert_string_equal (topology_size (cases[i].bytes, buf), cases[i].text);
}

/* Each state has its words: none is left out when one is added. */
static void
states (void **unused)
{
  static const char *const words[NR_PATH_STATES] = {
    [PATH_DOWN] = "failed faulty", [PATH_UP] = "active ready",
    [PATH_GHOST] = "active ghost", [PATH_WRONG] = "failed faulty",
    [PATH_ADMIN] = "failed ready", [PATH_SHAKY] = "failed shaky",
    [PATH_FENCED] = "failed fenced",
  };
  char expected[200];

  (void) unused;
  for (enum path_state state = 0; state < NR_PATH_STATES; ++state) {
    struct fixture *f = howto ();
    char *text;

    f->maps[0].nr_paths = f->groups[0][0].nr_paths = 1;
    f->paths[0][0].state = state;
    snprintf (expected, sizeof expected,
              "  `- 1:0:1:1 127.0.0.1:3260 %s running\n", words[state]);
    text = printed (topology_print, &f->s, false);
    assert_non_null (strstr (text, expected));
    free (text);
    free (f);
  }
  for (enum session_state state = 0; state < NR_SESSION_STATES; ++state)
    assert_string_equal (topology_dev_state (state),
                         state == SESSION_CLOSED || state == SESSION_LOGOUT
                         ? "offline" : "running");
}

/* ---- tables ---------------------------------------------------------------------- */

static void
tables (void **unused)
{
  struct fixture *f = howto ();

  (void) unused;
  f->paths[0][0].counters = (struct snapshot_counters) {
    .ios = 12345, .bytes_read = 1048576, .bytes_written = 0, .errors = 1,
    .retries = 2, .in_flight = 3, .mean = 0.000312, .p99 = 0.0125,
    .hedged = 4, .hedges = 7, .hedges_won = 6,
  };
  f->maps[0].no_path_retry = 12;
  ASSERT_PRINTS (topology_maps, &f->s, false,
                 "name       sysfs uuid                              size failback  queueing paths active write_prot vend prod\n"
                 "iscsi_data map-0 360000000000000000000000000000001 256M immediate 12 chk   2     2      rw         TEST RIGDISK\n");
  ASSERT_PRINTS (topology_paths, &f->s, false,
                 "hcil    dev            pri dm_st  chk_st dev_st  map        ios   read written errors retries in_flight mean  p99    hedged won\n"
                 "1:0:1:1 127.0.0.1:3260 1   active ready  running iscsi_data 12345 1.0M 0       1      2       3         312us 12.5ms 4      6\n"
                 "2:0:1:1 127.0.0.1:3261 1   active ready  running iscsi_data 0     0    0       0      0       0         -     -      0      0\n");
  f->s.nr_sessions = 1;
  f->sessions[0].id = 1;
  strcpy (f->sessions[0].portal, "127.0.0.1:3260");
  strcpy (f->sessions[0].target, "iqn.2026-11.example:data");
  f->sessions[0].tpgt = 1;
  f->sessions[0].state = SESSION_WAIT;
  strcpy (f->sessions[0].why, "cannot connect: Connection refused");
  f->sessions[0].logins = 7;
  f->sessions[0].losses = 6;
  ASSERT_PRINTS (topology_sessions, &f->s, false,
                 "session portal           state logins losses target                   last_failure\n"
                 "1       127.0.0.1:3260,1 wait  7      6      iqn.2026-11.example:data cannot connect: Connection refused\n");
  free (f);
}

static void
queueing_words (void **unused)
{
  static const struct {
    int retry; bool disabled; unsigned active; bool queueing; double left;
    const char *text, *features;
  } cases[] = {
    { NO_PATH_RETRY_FAIL, false, 2, false, 0, "off", "0" },
    { NO_PATH_RETRY_QUEUE, false, 2, false, 0, "on", "1 queue_if_no_path" },
    { NO_PATH_RETRY_QUEUE, false, 0, true, -1, "on", "1 queue_if_no_path" },
    { NO_PATH_RETRY_QUEUE, true, 0, false, 0, "off", "0" },
    { 5, false, 1, false, 0, "5 chk", "1 queue_if_no_path" },
    { 5, false, 0, true, 17.2, "17 sec", "1 queue_if_no_path" },
    { 5, false, 0, false, 0, "off", "0" },
    { 5, true, 1, false, 0, "off", "0" },
  };
  struct fixture *f = howto ();
  char buf[24];

  (void) unused;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    struct snapshot_map *m = &f->maps[0];

    m->no_path_retry = cases[i].retry;
    m->queueing_disabled = cases[i].disabled;
    m->nr_active = cases[i].active;
    m->queueing = cases[i].queueing;
    m->queueing_left = cases[i].left;
    assert_string_equal (topology_queueing (m, buf, sizeof buf),
                         cases[i].text);
    assert_string_equal (topology_features (m), cases[i].features);
  }
  f->maps[0].fence.record = NEXUS_RECORD_MISSING;
  assert_string_equal (topology_features (&f->maps[0]),
                       "1 no_state_writes_fail");
  f->maps[0].queueing_disabled = false;
  f->maps[0].fence.record = NEXUS_RECORD_WITHOUT;
  assert_string_equal (topology_features (&f->maps[0]),
                       "2 queue_if_no_path fence_without_state");
  f->maps[0].fence.record = NEXUS_RECORD_KEPT;
  f->maps[0].failback = FAILBACK_MANUAL;
  assert_string_equal (topology_failback (&f->maps[0], buf, sizeof buf),
                       "manual");
  f->maps[0].failback = 30;
  assert_string_equal (topology_failback (&f->maps[0], buf, sizeof buf), "30");
  free (f);
}

/* ---- JSON -------------------------------------------------------------------------- */

static void
has_keys (const json_t *object, const char *const *keys)
{
  for (; *keys; ++keys)
    if (json_object_get (object, *keys) == NULL)
      fail_msg ("there is no \"%s\"", *keys);
}

static void
json_has_multipathds_keys (void **unused)
{
  static const char *const map_keys[] = {
    "name", "uuid", "sysfs", "failback", "queueing", "paths", "write_prot",
    "dm_st", "features", "hwhandler", "action", "path_faults", "vend", "prod",
    "rev", "switch_grp", "map_loads", "total_q_time", "q_timeouts",
    "path_groups", NULL,
  };
  static const char *const fence_keys[] = {
    "in_doubt", "parked", "reinstated", "resets", "expired", "inherited", "pending",
    "waiting", "state_file", NULL,
  };
  static const char *const group_keys[] = {
    "selector", "pri", "dm_st", "marginal_st", "group", "paths", NULL,
  };
  static const char *const path_keys[] = {
    "dev", "dev_t", "dm_st", "dev_st", "chk_st", "checker", "pri",
    "host_wwnn", "target_wwnn", "host_wwpn", "target_wwpn", "host_adapter",
    "lun_hex", "marginal_st", NULL,
  };
  struct fixture *f = howto ();
  json_t *json, *map, *fence, *group, *path;

  (void) unused;
  f->paths[0][1].lun = 300;     /* flat addressing: 4000h | 300 */
  f->paths[0][1].faults = 2;
  f->maps[0].fence.parked = UINT64_C (5000000000);
  f->maps[0].fence.waiting = 3;
  f->paths[0][1].counters.hedged = 9;
  f->maps[0].hedged_reads = true;
  f->maps[0].hedges_won = 8;
  json = topology_json (&f->s);
  assert_non_null (json);
  assert_int_equal (json_integer_value (json_object_get (json,
                                                         "major_version")), 0);
  assert_int_equal (json_integer_value (json_object_get (json,
                                                         "minor_version")), 1);
  map = json_array_get (json_object_get (json, "maps"), 0);
  has_keys (map, map_keys);
  assert_string_equal (json_string_value (json_object_get (map, "name")),
                       "iscsi_data");
  assert_int_equal (json_integer_value (json_object_get (map, "paths")), 2);
  assert_int_equal (json_integer_value (json_object_get (map, "size")),
                    268435456);
  assert_int_equal (json_integer_value (json_object_get (map, "path_faults")),
                    2);
  fence = json_object_get (map, "fence");
  has_keys (fence, fence_keys);
  assert_true (json_integer_value (json_object_get (fence, "parked")) ==
               5000000000);
  assert_int_equal (json_integer_value (json_object_get (fence, "waiting")), 3);
  assert_int_equal (json_integer_value (json_object_get (fence, "pending")), 0);
  assert_int_equal (json_integer_value (json_object_get (map, "hedges_won")),
                    8);
  assert_true (json_is_true (json_object_get (map, "hedged_reads")));
  group = json_array_get (json_object_get (map, "path_groups"), 0);
  has_keys (group, group_keys);
  assert_int_equal (json_array_size (json_object_get (group, "paths")), 2);
  path = json_array_get (json_object_get (group, "paths"), 1);
  has_keys (path, path_keys);
  assert_string_equal (json_string_value (json_object_get (path, "dev")),
                       "127.0.0.1:3261");
  assert_string_equal (json_string_value (json_object_get (path, "lun_hex")),
                       "0x412c000000000000");
  path = json_object_get (path, "counters");
  assert_int_equal (json_integer_value (json_object_get (path, "hedged")), 9);
  json_decref (json);

  json = topology_paths_json (&f->s);
  assert_int_equal (json_array_size (json_object_get (json, "paths")), 2);
  json_decref (json);
  /* What is not UTF-8 cannot be said, and must not be left out silently. */
  f->maps[0].name = (char *) "\xe9";
  assert_null (topology_json (&f->s));
  assert_null (topology_paths_json (&f->s));
  free (f);
}

/* ---- latency ------------------------------------------------------------------------- */

static void
latencies (void **unused)
{
  struct latency l = { 0 };

  (void) unused;
  assert_true (latency_mean (&l) == 0 && latency_quantile (&l, 0.99) == 0);
  /* Evenly from 1 to 100000 us. */
  for (unsigned us = 1; us <= 100000; ++us)
    latency_add (&l, us / 1e6 + 1e-9);
  assert_int_equal (l.count, 100000);
  assert_true (fabs (latency_mean (&l) - 0.05) < 0.0005);
  for (double q = 0.01; q < 0.995; q += 0.01) {
    const double right = q * 0.1, got = latency_quantile (&l, q);

    assert_true (fabs (got - right) < right * 0.13);
  }
  /* One slow one in fifty is seen, one in a thousand is not. */
  l = (struct latency) { 0 };
  for (unsigned i = 0; i < 1000; ++i)
    latency_add (&l, i % 50 == 0 ? 2.0 : 0.001);
  assert_true (latency_quantile (&l, 0.99) > 1.5);
  l = (struct latency) { 0 };
  for (unsigned i = 0; i < 1000; ++i)
    latency_add (&l, i == 500 ? 2.0 : 0.001);
  assert_true (latency_quantile (&l, 0.99) < 0.0013);
  /* Out of range on either side: kept, in the first or the last bucket. */
  latency_add (&l, -1);
  latency_add (&l, 1e9);
  assert_int_equal (l.buckets[0], 1);
  assert_int_equal (l.buckets[LATENCY_BUCKETS - 1], 1);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (both_paths_active),
    cmocka_unit_test (one_path_faulty),
    cmocka_unit_test (all_paths_faulty),
    cmocka_unit_test (groups_and_columns),
    cmocka_unit_test (colours),
    cmocka_unit_test (without_paths),
    cmocka_unit_test (sizes),
    cmocka_unit_test (states),
    cmocka_unit_test (tables),
    cmocka_unit_test (queueing_words),
    cmocka_unit_test (json_has_multipathds_keys),
    cmocka_unit_test (latencies),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
