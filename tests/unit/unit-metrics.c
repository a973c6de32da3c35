/* SPDX-License-Identifier: BSD-3-Clause */
/* control/metrics.c: the text, escaping, and several servers as one.  That it
 * is OpenMetrics, a parser of somebody else's says: cmd/test-cmd-metrics.sh. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/metrics.h"

static struct snapshot_path paths[2];
static struct snapshot_group group = { .index = 1, .current = true,
                                       .nr_paths = 2 };
static struct snapshot_session session = {
  .id = 3, .portal = "10.0.0.1:3260", .target = "iqn.a", .state = SESSION_UP,
  .logins = 2, .losses = 1,
};
static struct snapshot_map map;
static struct snapshot snapshot;

static void
make (const char *server)
{
  memset (paths, 0, sizeof paths);
  for (int i = 0; i < 2; ++i) {
    snprintf (paths[i].portal, sizeof paths[i].portal, "10.0.0.%d:3260", i + 1);
    strcpy (paths[i].target, "iqn.a");
    paths[i].lun = 1;
    paths[i].session = 3 + i;
    paths[i].state = i == 0 ? PATH_UP : PATH_DOWN;
  }
  for (int i = 0; i < 1000; ++i)
    latency_add (&paths[0].latency, 0.001);     /* between 256 us and 1 ms */
  latency_add (&paths[0].latency, 1000);        /* beyond all buckets */
  map = (struct snapshot_map) {
    .name = (char *) "say \"x\\y\"\nz", .nr_active = 1, .nr_groups = 1,
    .nr_paths = 2, .groups = &group, .paths = paths, .queued = 7,
    .fence = { .parked = 5, .record = NEXUS_RECORD_KEPT },
  };
  strcpy (map.facts.wwid, "36000");
  map.facts.blocks = 2048;
  map.facts.block_size = 512;
  snapshot = (struct snapshot) {
    .nr_maps = 1, .nr_sessions = 1, .maps = &map, .sessions = &session,
    .failovers = 12,
  };
  snprintf (snapshot.server, sizeof snapshot.server, "%s", server);
}

static char *
print (const char *server)
{
  char *text = NULL;
  size_t len;
  FILE *fp = open_memstream (&text, &len);

  make (server);
  assert_true (metrics_print (fp, &snapshot, false));
  fclose (fp);
  return text;
}

static void
assert_has (const char *text, const char *line)
{
  char whole[500];

  snprintf (whole, sizeof whole, "\n%s\n", line);
  if (strstr (text, whole) == NULL)
    fail_msg ("not there: %s\nin:\n%s", line, text);
}

#define MAP "server=\"a\",map=\"say \\\"x\\\\y\\\"\\nz\""
#define PATH0 MAP ",portal=\"10.0.0.1:3260\",target=\"iqn.a\",lun=\"1\",session=\"3\""

static void
test_text (void **state)
{
  char *text = print ("a");

  (void) state;
  assert_has (text, "mpiscsi_failovers_total{server=\"a\"} 12");
  assert_has (text, "mpiscsi_map_size_bytes{" MAP "} 1048576");
  assert_has (text, "mpiscsi_map_active_paths{" MAP "} 1");
  assert_has (text, "mpiscsi_map_queued_commands{" MAP "} 7");
  assert_has (text, "mpiscsi_fence_parked_writes_total{" MAP "} 5");
  assert_has (text, "mpiscsi_fence_recorded{" MAP "} 1");
  assert_has (text, "mpiscsi_path_usable{" PATH0 "} 1");
  assert_has (text, "mpiscsi_path_state{" PATH0 ",mpiscsi_path_state=\"up\"} 1");
  assert_has (text, "mpiscsi_path_state{" PATH0 ",mpiscsi_path_state=\"down\"} 0");
  assert_has (text, "mpiscsi_session_losses_total{server=\"a\","
              "portal=\"10.0.0.1:3260\",target=\"iqn.a\",session=\"3\"} 1");
  assert_true (strcmp (text + strlen (text) - 6, "# EOF\n") == 0);
  free (text);
}

static void
test_histogram (void **state)
{
  char *text = print ("a");

  (void) state;
  assert_has (text, "mpiscsi_path_latency_seconds_bucket{" PATH0
              ",le=\"0.000256\"} 0");
  assert_has (text, "mpiscsi_path_latency_seconds_bucket{" PATH0
              ",le=\"0.001024\"} 1000");
  assert_has (text, "mpiscsi_path_latency_seconds_bucket{" PATH0
              ",le=\"67.108864\"} 1000");
  assert_has (text, "mpiscsi_path_latency_seconds_bucket{" PATH0
              ",le=\"+Inf\"} 1001");
  assert_has (text, "mpiscsi_path_latency_seconds_count{" PATH0 "} 1001");
  free (text);
}

static void
test_merge (void **state)
{
  char *a = print ("a"), *b = print ("b"), *text = NULL;
  const char *both[] = { a, b }, *bad[] = { a, "# TYPE other gauge\n# EOF\n" };
  const char *cut[] = { a, b };
  size_t len;
  FILE *fp = open_memstream (&text, &len);
  unsigned types = 0, types_of_one = 0;

  (void) state;
  assert_true (metrics_merge (fp, both, 2));
  fclose (fp);
  /* One family of each name, with the samples of both. */
  for (const char *p = text; (p = strstr (p, "# TYPE ")) != NULL; ++p)
    types++;
  for (const char *p = a; (p = strstr (p, "# TYPE ")) != NULL; ++p)
    types_of_one++;
  assert_int_equal (types, types_of_one);
  assert_non_null (strstr (text, "mpiscsi_failovers_total{server=\"a\"} 12\n"
                           "mpiscsi_failovers_total{server=\"b\"} 12\n"));
  free (text);

  fp = open_memstream (&text, &len);
  assert_false (metrics_merge (fp, bad, 2));
  b[strlen (b) / 2] = '\0';
  assert_false (metrics_merge (fp, cut, 2));
  fclose (fp);
  free (text);
  free (a);
  free (b);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (test_text),
    cmocka_unit_test (test_histogram),
    cmocka_unit_test (test_merge),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
