/* SPDX-License-Identifier: BSD-3-Clause */
/* The pure core without memory: for each allocation of an operation, it alone
 * fails, and then it and all after it.  The operation succeeds all the same,
 * or says that there was no memory and has changed nothing; and nothing leaks
 * (tests/build/test-asan.sh runs this with LeakSanitizer).
 *
 * Linked with -Wl,--wrap: alloc-fail.h. */
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

#include "alloc-fail.h"
#include "rules/bindings.h"
#include "conf/conf.h"
#include "control/control-request.h"
#include "conf/options.h"
#include "rules/prio.h"
#include "control/topology.h"

static char dir[] = "/tmp/mpiscsi-unit.XXXXXX";
static char err[ERR_SIZE];

static void
write_file (const char *name, const char *text)
{
  char path[100];
  FILE *fp;

  snprintf (path, sizeof path, "%s/%s", dir, name);
  fp = fopen (path, "w");
  assert_non_null (fp);
  fputs (text, fp);
  assert_int_equal (fclose (fp), 0);
  assert_int_equal (chmod (path, 0600), 0);
}

static int
setup (void **unused)
{
  (void) unused;
  return mkdtemp (dir) ? 0 : -1;
}

static int
teardown (void **unused)
{
  static const char *const names[] = { "f.conf", "secret", "bindings" };
  char path[100];

  (void) unused;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
    snprintf (path, sizeof path, "%s/%s", dir, names[i]);
    unlink (path);
  }
  return rmdir (dir);
}

/* OPERATION succeeds (true), or has put into err why it does not.  Returns
 * how many allocations it makes when all goes well. */
static unsigned
each (bool (*operation) (void), unsigned flags)
{
  for (unsigned nth = 1; nth < 10000; ++nth) {
    unsigned failed;
    bool good;

    err[0] = '\0';
    alloc_fail_start (nth, flags);
    good = operation ();
    failed = alloc_fail_stop ();
    if (failed == 0) {
      if (!good)
        fail_msg ("with all memory: %s", err);
      return nth - 1;
    }
    if (!good && strstr (err, "out of memory") == NULL &&
        strstr (err, "Cannot allocate memory") == NULL)
      fail_msg ("allocation %u failed, and is not what is said: '%s'", nth,
                err);
  }
  fail_msg ("no end");
  return 0;
}

/* At least LEAST allocations, or the test has lost its subject. */
static void
both_ways (bool (*operation) (void), unsigned least)
{
  const unsigned n = each (operation, ALLOC_ONE);

  assert_true (n >= least);
  assert_int_equal (each (operation, ALLOC_REST), n);
}

static bool
no_memory (void)
{
  snprintf (err, sizeof err, "out of memory");
  return false;
}

/* ---- settings and configuration -------------------------------------------------- */

static const struct { const char *key, *value, *again; } parameters[] = {
  { "portals", "10.0.0.1,10.0.0.2:3261", "10.0.0.3,10.0.0.4" },
  { "target", "iqn.2026-11.test:disk", "iqn.2026-11.test:other" },
  { "wwid", "32017001378a8a9ff", "32017001378a8a900" },
  { "user", "me", "somebody" },
  { "password", "123456789012", "123456789013" },
  { "initiator-name", "iqn.2026-11.test:host", "iqn.2026-11.test:guest" },
};
#define NR_PARAMETERS (sizeof parameters / sizeof parameters[0])

static void
value_of (const struct settings *s, const char *key, char *buf, size_t size)
{
  const struct option *o = option_find (options, key, IN_PARAMETERS);
  char text[1000];

  snprintf (buf, size, "%s",
            option_text (o, (const char *) s + o->offset, text, sizeof text));
}

static bool
set_parameters (void)
{
  struct settings *s = settings_new ();
  bool good = false;

  if (s == NULL)
    return no_memory ();
  for (size_t i = 0; i < NR_PARAMETERS; ++i)
    if (settings_set (s, parameters[i].key, parameters[i].value, err) == -1)
      goto out;
  /* An option that is set again keeps what it has when that fails. */
  for (size_t i = 0; i < NR_PARAMETERS; ++i) {
    char before[1000], after[1000];

    value_of (s, parameters[i].key, before, sizeof before);
    if (settings_set (s, parameters[i].key, parameters[i].again, err) == 0)
      continue;
    value_of (s, parameters[i].key, after, sizeof after);
    assert_string_equal (after, before);
    goto out;
  }
  good = settings_check (s, err) == 0;
 out:
  settings_free (s);
  return good;
}

static void
settings_without_memory (void **unused)
{
  (void) unused;
  both_ways (set_parameters, 15);
}

/* Every kind of section and of value. */
static const char conf_text[] =
  "iscsi {\n"
  "  portals \"10.0.0.1, 10.0.0.2\"\n"
  "  target iqn.2026-11.test:disk\n"
  "  user me\n"
  "  password_file secret\n"
  "}\n"
  "nbd {\n"
  "  unix_socket /run/x.sock\n"
  "  filters \"log stats\"\n"
  "}\n"
  "defaults {\n"
  "  user_friendly_names yes\n"
  "  alias_prefix lun\n"
  "  prio weightedpath\n"
  "  prio_args \"hbtl 1:.:.:. 2\"\n"
  "  udev_dir /dev\n"
  "}\n"
  "devices {\n"
  "  device {\n"
  "    vendor IET\n"
  "    product VIRTUAL\n"
  "    prio_args \"hbtl 1:.:.:. 3\"\n"
  "    no_path_retry 5\n"
  "  }\n"
  "}\n"
  "overrides {\n"
  "  alias_prefix disk\n"
  "}\n"
  "multipaths {\n"
  "  multipath {\n"
  "    wwid 32017001378a8a9ff\n"
  "    alias data\n"
  "  }\n"
  "}\n"
  "blacklist {\n"
  "  wwid 3600\n"
  "  device {\n"
  "    vendor HP\n"
  "    product .*\n"
  "  }\n"
  "}\n"
  "blacklist_exceptions {\n"
  "  target iqn\n"
  "}\n";

static const struct lu_facts lu = {
  .vendor = "IET", .product = "VIRTUAL-DISK", .revision = "0001",
  .wwid = "32017001378a8a9ff",
};

static unsigned nr_warnings;

static void
on_warning (void *opaque, const char *text)
{
  (void) opaque;
  (void) text;
  nr_warnings++;
}

static bool
configure (void)
{
  struct settings *s = settings_new ();
  struct map_settings map;
  char path[100], why[300];
  bool good = false;

  if (s == NULL)
    return no_memory ();
  snprintf (path, sizeof path, "%s/f.conf", dir);
  s->warn = on_warning;
  s->conf = conf_load (path, on_warning, NULL, err);
  if (s->conf == NULL || conf_apply (s->conf, s, err) == -1)
    goto out;
  /* All or nothing. */
  assert_int_equal (s->nr_portals, 2);
  assert_string_equal (s->password, "123456789012");
  if (conf_resolve (s, &lu, NULL, &map) == -1) {
    no_memory ();
    goto out;
  }
  assert_string_equal (map.alias, "data");
  assert_string_equal (map.alias_prefix, "disk");
  assert_string_equal (map.prio_args, "hbtl 1:.:.:. 3");
  assert_int_equal (map.no_path_retry, 5);
  map_settings_free (&map);
  assert_false (conf_blacklisted (s, &lu, "iqn.x", NULL, why, sizeof why));
  good = true;
 out:
  settings_free (s);
  return good;
}

static void
configuration_without_memory (void **unused)
{
  (void) unused;
  write_file ("f.conf", conf_text);
  write_file ("secret", "123456789012\n");
  both_ways (configure, 30);
  assert_true (nr_warnings > 0);
}

static bool
parse (void)
{
  struct conf *conf = conf_parse ("x.conf", conf_text, sizeof conf_text - 1,
                                  NULL, NULL, err);

  conf_free (conf);
  return conf != NULL;
}

static void
parser_without_memory (void **unused)
{
  (void) unused;
  both_ways (parse, 20);
}

/* ---- names ----------------------------------------------------------------------------- */

static char bindings[100];

static unsigned
lines_of (const char *path, const char *wwid)
{
  FILE *fp = fopen (path, "r");
  char line[300];
  unsigned n = 0;

  assert_non_null (fp);
  while (fgets (line, sizeof line, fp))
    n += strstr (line, wwid) != NULL;
  fclose (fp);
  return n;
}

/* A LUN that has a name must not get a second one: it would be found under
 * that from then on. */
static bool
known_name (void)
{
  char *alias = bindings_alias (bindings, "mpath", "3600aa", true, err);

  assert_int_equal (lines_of (bindings, "3600aa"), 1);
  if (alias == NULL)
    return false;
  assert_string_equal (alias, "mpathb");
  free (alias);
  return true;
}

static bool
new_name (void)
{
  char *alias;

  write_file ("bindings", "mpatha 3600bb\nmpathb 3600aa\n");
  alias = bindings_alias (bindings, "mpath", "3600cc", true, err);
  if (alias == NULL) {
    assert_int_equal (lines_of (bindings, "3600cc"), 0);
    return false;
  }
  assert_string_equal (alias, "mpathc");
  assert_int_equal (lines_of (bindings, "3600cc"), 1);
  free (alias);
  return true;
}

static void
names_without_memory (void **unused)
{
  (void) unused;
  snprintf (bindings, sizeof bindings, "%s/bindings", dir);
  write_file ("bindings", "mpatha 3600bb\nmpathb 3600aa\n");
  both_ways (known_name, 1);    /* clang leaves one out */
  both_ways (new_name, 2);
}

static bool
weigh (void)
{
  const struct prio_names names = { .hbtl = "1:0:1:1" };
  const int prio = prio_weightedpath ("hbtl 2:.* 7 1:.* 9", &names, err,
                                      sizeof err);

  if (prio != -1)
    assert_int_equal (prio, 9);
  return prio != -1;
}

static void
priorities_without_memory (void **unused)
{
  (void) unused;
  both_ways (weigh, 1);
}

/* ---- listings --------------------------------------------------------------------------- */

static struct snapshot_group group = {
  .index = 1, .prio = 1, .current = true, .nr_paths = 2
};
static struct snapshot_path paths[2] = {
  { .portal = "10.0.0.1:3260", .session = 1, .tpgt = 1, .state = PATH_UP },
  { .portal = "10.0.0.2:3260", .session = 2, .tpgt = 1, .state = PATH_DOWN },
};
static struct snapshot_map map = {
  .name = (char *) "data", .nr_active = 1, .groups = &group, .nr_groups = 1,
  .paths = paths, .nr_paths = 2, .facts = { .blocks = 1000, .block_size = 512 },
};
static struct snapshot_session sessions[2] = {
  { .id = 1, .portal = "10.0.0.1:3260" }, { .id = 2, .portal = "10.0.0.2:3260" },
};
static const struct snapshot snapshot = {
  .maps = &map, .nr_maps = 1, .sessions = sessions, .nr_sessions = 2,
};

static const char *expected;
static bool (*print) (FILE *fp, const struct snapshot *s, bool colour);
static json_t *(*to_json) (const struct snapshot *s);

/* All of it, or false. */
static bool
print_it (void)
{
  char text[4000] = "";
  FILE *fp = fmemopen (text, sizeof text, "w");
  const bool good = print (fp, &snapshot, false);

  assert_int_equal (fclose (fp), 0);
  if (!good)
    return no_memory ();
  assert_string_equal (text, expected);
  return true;
}

static bool
json_it (void)
{
  json_t *json = to_json (&snapshot);
  char *text = control_text (json);

  json_decref (json);
  if (text == NULL)
    return no_memory ();
  assert_string_equal (text, expected);
  free (text);
  return true;
}

static void
listings_without_memory (void **unused)
{
  static bool (*const printers[]) (FILE *fp, const struct snapshot *s,
                                   bool colour) = {
    topology_maps, topology_paths, topology_sessions,
  };
  static json_t *(*const to_jsons[]) (const struct snapshot *s) = {
    topology_json, topology_paths_json, topology_sessions_json,
  };
  char text[4000];

  (void) unused;
  for (size_t i = 0; i < 3; ++i) {
    FILE *fp = fmemopen (text, sizeof text, "w");

    assert_true (printers[i] (fp, &snapshot, false));
    assert_int_equal (fclose (fp), 0);
    expected = text;
    print = printers[i];
    both_ways (print_it, 10);
  }
  for (size_t i = 0; i < 3; ++i) {
    json_t *json = to_jsons[i] (&snapshot);
    char *whole = json_dumps (json, JSON_COMPACT);

    assert_non_null (whole);
    json_decref (json);
    expected = whole;
    to_json = to_jsons[i];
    both_ways (json_it, 20);
    free (whole);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (settings_without_memory),
    cmocka_unit_test (configuration_without_memory),
    cmocka_unit_test (parser_without_memory),
    cmocka_unit_test (names_without_memory),
    cmocka_unit_test (priorities_without_memory),
    cmocka_unit_test (listings_without_memory),
  };

  return cmocka_run_group_tests (tests, setup, teardown);
}
