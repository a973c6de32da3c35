/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration file: grammar, mistakes with their lines, warnings,
 * precedence, blacklist. */
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

#include "conf/conf-internal.h"
#include "conf/devices.h"

static struct settings *s;
static char err[ERR_SIZE];
static char warnings[16384];
static unsigned nr_warnings;

static struct lu_facts lu = {
  .vendor = "IET", .product = "VIRTUAL-DISK", .revision = "0001",
  .wwid = "32017001378a8a9ff",
};

static void
on_warning (void *opaque, const char *text)
{
  const size_t n = strlen (warnings);

  (void) opaque;
  ++nr_warnings;
  snprintf (warnings + n, sizeof warnings - n, "%s\n", text);
}

static int
setup (void **state)
{
  (void) state;
  s = settings_new ();
  if (s == NULL)
    return -1;
  s->warn = on_warning;
  warnings[0] = '\0';
  nr_warnings = 0;
  return 0;
}

static int
teardown (void **state)
{
  (void) state;
  settings_free (s);
  return 0;
}

static struct conf *
parse (const char *text)
{
  return conf_parse ("f.conf", text, strlen (text), on_warning, NULL, err);
}

/* Parses and puts it in the settings, as settings_check does. */
static void
load (const char *text)
{
  s->conf = parse (text);
  if (s->conf == NULL)
    fail_msg ("%s", err);
  if (conf_apply (s->conf, s, err) == -1)
    fail_msg ("%s", err);
}

static void
set (const char *key, const char *value)
{
  if (settings_set (s, key, value, err) == -1)
    fail_msg ("%s", err);
}

static struct map_settings
resolve (void)
{
  struct map_settings m;

  assert_int_equal (conf_resolve (s, &lu, NULL, &m), 0);
  return m;
}

/* Each with the line it is in and all that is said about it. */
static const struct { const char *text; const char *said; } mistakes[] = {
  /* Words. */
  { "defaults {\n  poling_interval 5\n}\n",
    "2: unknown option 'poling_interval' in 'defaults', did you mean 'polling_interval'?" },
  { "defaults {\n\n\n  qwertyuiop 5\n}\n",
    "4: unknown option 'qwertyuiop' in 'defaults'" },
  { "default {\n}\n", "1: unknown section 'default', did you mean 'defaults'?" },
  { "# x\nzzz {\n}\n", "2: unknown section 'zzz'" },
  { "devices {\n  devise {\n  }\n}\n",
    "2: unknown section 'devise', did you mean 'device'?" },
  { "blacklist {\n  wwidd x\n}\n",
    "2: unknown option 'wwidd' in 'blacklist', did you mean 'wwid'?" },
  { "nbd {\n  unix_sock /x\n}\n", "2: unknown option 'unix_sock' in 'nbd', did you mean 'unix_socket'?" },
  { "nbd {\n  unix_soket /x\n}\n",
    "2: unknown option 'unix_soket' in 'nbd', did you mean 'unix_socket'?" },
  { "iscsi {\n  pasword x\n}\n",
    "2: unknown option 'pasword' in 'iscsi', did you mean 'password'?" },
  /* Right word, wrong place. */
  { "defaults {\n  alias x\n}\n",
    "2: 'alias' is not allowed in 'defaults': it belongs in 'multipath'" },
  { "multipaths {\n  wwid x\n}\n",
    "2: 'wwid' is not allowed in 'multipaths': it belongs in 'multipath'" },
  { "polling_interval 5\n",
    "1: 'polling_interval' stands outside of any section: it belongs in 'defaults'" },
  { "multipath {\n}\n",
    "1: section 'multipath' is not allowed in 'the file': it belongs in 'multipaths'" },
  { "defaults {\n  device {\n  }\n}\n",
    "2: section 'device' is not allowed in 'defaults': it belongs in 'devices'" },
  { "defaults {\n  polling_interval {\n  }\n}\n",
    "2: 'polling_interval' is an option, not a section: no '{' after it" },
  { "defaults {\n  portals 10.0.0.1\n}\n",
    "2: 'portals' is not allowed in 'defaults': it belongs in 'iscsi'" },
  /* Braces. */
  { "defaults {\n  polling_interval 5\n",
    "2: '}' is missing: 'defaults' of line 1 is still open" },
  { "defaults {\n  polling_interval 5\nblacklist {\n}\n",
    "3: section 'blacklist' begins inside of 'defaults' of line 1: is its '}' missing?" },
  { "defaults {\n}\n}\n", "3: '}' closes nothing" },
  { "defaults\n}\n", "1: '{' is missing after 'defaults'" },
  { "defaults\n\n", "1: '{' is missing after 'defaults'" },
  { "defaults\nverbosity 2\n", "1: '{' is missing after 'defaults'" },
  { "devices {\n device\n  vendor X\n", "2: '{' is missing after 'device'" },
  { "defaults\n{ x\n}\n", "2: nothing may follow '{' on the line" },
  { "defualts\n{\n}\n", "1: unknown option 'defualts' in 'the file'" },
  { "\n{\n}\n",
    "2: '{' must follow the name of the section on the same line" },
  { "defaults { polling_interval 5 }\n",
    "1: nothing may follow '{' on the line" },
  { "defaults {}\n", "1: '}' must stand alone on its line" },
  { "defaults {\n  polling_interval 5 }\n",
    "2: '}' must stand alone on its line" },
  { "defaults {\n} blacklist {\n}\n", "2: '}' must stand alone on its line" },
  { "my defaults {\n}\n", "1: a section has a name and '{' only" },
  { "multipaths {\n  multipath {\n    wwid a\n",
    "3: '}' is missing: 'multipath' of line 2 is still open" },
  /* Quotes. */
  { "defaults {\n  alias_prefix \"x\n}\n", "2: the closing '\"' is missing" },
  { "defaults {\n  alias_prefix \"x\"\"\n}\n", "2: the closing '\"' is missing" },
  { "defaults {\n  alias_prefix a\"b\"\n}\n",
    "2: a '\"' inside a word: put the whole value in quotes" },
  { "defaults {\n  \"alias_prefix\" x\n}\n",
    "2: a line begins with the name of an option or a section, not with '\"'" },
  { "blacklist {\n  wwid a{2}\n}\n",
    "2: a value with '{' or '}' must be in quotes" },
  /* Values. */
  { "defaults {\n  polling_interval\n}\n", "2: 'polling_interval' has no value" },
  { "defaults {\n  polling_interval # 5\n}\n",
    "2: 'polling_interval' has no value" },
  { "defaults {\n  polling_interval five\n}\n",
    "2: polling_interval: 'five' is not allowed: a number of seconds from 0.1 to 86400" },
  { "defaults {\n  polling_interval = 5\n}\n",
    "2: 'polling_interval': between an option and its value stands a blank, not '='" },
  { "defaults {\n  polling_interval=5\n}\n",
    "2: 'polling_interval=5': between an option and its value stands a blank, not '='" },
  { "defaults {\n  path_grouping_policy multibuss\n}\n",
    "2: path_grouping_policy: 'multibuss' is not allowed: did you mean 'multibus'? "
    "(one of 'multibus', 'failover', 'group_by_prio', 'group_by_serial', 'group_by_tpg')" },
  { "defaults {\n  no_path_retry forever\n}\n",
    "2: no_path_retry: 'forever' is not allowed: "
    "'fail', 'queue', or a whole number from 0 to 1000000" },
  { "defaults {\n  failback soon\n}\n",
    "2: failback: 'soon' is not allowed: "
    "'immediate', 'manual', 'followover', or a whole number from 0 to 86400" },
  { "defaults {\n  user_friendly_name maybe\n}\n",
    "2: user_friendly_name: 'maybe' is not allowed: one of 'yes', 'no', 'on', "
    "'off', 'true', 'false', '1', '0'" },
  { "overrides {\n  fast_io_fail_tmo -1\n}\n",
    "2: fast_io_fail_tmo: '-1' is not allowed: "
    "'off', or a number of seconds from 0 to 2592000" },
  { "defaults {\n  delay_wait_checks x\n}\n",
    "2: delay_wait_checks: 'x' is not allowed: "
    "'no', or a whole number from 0 to 1000000" },
  { "blacklist {\n  wwid \"[a\"\n}\n",
    "2: wwid: '[a' is not a good regular expression: "
    "Unmatched [, [^, [:, [., or [=" },
  { "devices {\n  device {\n    vendor \"(a\"\n  }\n}\n",
    "3: vendor: '(a' is not a good regular expression: Unmatched ( or \\(" },
  { "blacklist {\n  wwid \"(.)\\1\"\n}\n",
    "2: wwid: '(.)\\1' is not a good regular expression: "
    "back-references are not taken" },
  { "blacklist {\n  wwid \"L****\"\n}\n",
    "2: wwid: 'L****' is not a good regular expression: "
    "a repetition of a repetition" },
  { "blacklist {\n  wwid \"a{200}b{200}\"\n}\n",
    "2: wwid: 'a{200}b{200}' is not a good regular expression: "
    "its '{N}' ask for too much" },
  { "multipaths {\n  multipath {\n    alias a/b\n  }\n}\n",
    "3: alias: 'a/b' is not allowed: "
    "a name may have no blanks, control characters or '/'" },
  { "multipaths {\n  multipath {\n    alias x\n  }\n}\n",
    "2: 'multipath' has no 'wwid': which LUN is it for?" },
  { "multipaths {\n  multipath {\n    wwid a\n    alias x\n  }\n"
    "  multipath {\n    wwid b\n    alias x\n  }\n}\n",
    "6: alias 'x' is that of another WWID already, in line 2" },
  { "overrides {\n  protocol {\n    dev_loss_tmo 5\n  }\n}\n",
    "2: 'protocol' has no 'type'" },
  { "iscsi {\n  portals 10.0.0.256\n}\n",
    "2: portals: '10.0.0.256' is not allowed: not an IPv4 address" },
  { "iscsi {\n  portals 10.0.0.1, 10.0.0.2\n}\n",
    "2: 'portals' has more than one word: put the value in quotes" },
  { "iscsi {\n  target iqn.2026-11.example:a b\n}\n",
    "2: 'target' has more than one word: put the value in quotes" },
  { "iscsi {\n  password two words\n}\n",
    "2: 'password' has more than one word: put the value in quotes" },
  { "iscsi {\n  password a\n  password_file b\n}\n",
    "4: both 'password' and 'password_file' are given" },
  { "nbd {\n  tls maybe\n}\n",
    "2: tls: 'maybe' is not allowed: one of 'off', 'on', 'require'" },
  { "nbd {\n  port 0\n}\n",
    "2: port: '0' is not allowed: a whole number from 1 to 65535" },
};

static void
each_mistake (void **state)
{
  (void) state;
  assert_true (sizeof mistakes / sizeof mistakes[0] >= 30);
  for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; ++i) {
    struct conf *conf = parse (mistakes[i].text);
    char want[ERR_SIZE];

    snprintf (want, sizeof want, "f.conf:%s", mistakes[i].said);
    if (conf)
      fail_msg ("taken, but should be: %s", want);
    assert_string_equal (err, want);
  }
}

static void
nul_byte (void **state)
{
  (void) state;
  assert_null (conf_parse ("f.conf", "# a\nb\0c\n", 8, NULL, NULL, err));
  assert_string_equal (err, "f.conf:2: there is a NUL byte: is this a text file?");
}

/* Nothing of a secret is in what is said, whatever is wrong with it. */
static void
secrets_are_not_said (void **state)
{
  (void) state;
  assert_null (parse ("iscsi {\n  password \"\"\n}\n"));
  assert_string_equal (err, "f.conf:2: password: not a good secret: it is empty");
  assert_null (parse ("iscsi {\n  password hush x\n}\n"));
  assert_null (strstr (err, "hush"));
  assert_null (parse ("iscsi {\n  password \"hush\n}\n"));
  assert_null (strstr (err, "hush"));
}

static void
grammar (void **state)
{
  (void) state;
  load ("\xef\xbb\xbf# with a byte order mark, CR LF and tabs\r\n"
        "! another comment\r\n"
        "defaults{ # behind a brace\r\n"
        "\talias_prefix\t \"a#b!c{}\"! behind a value\r\n"
        "rr_min_io 7# right behind\r\n"
        "prio_args \"2.5\"\" SSD\"\r\n"
        "} ! behind a brace\r\n"
        "defaults {\n}\n"
        "iscsi {\n user \"a b\"\n portal 10.0.0.1\n portals 10.0.0.2,10.0.0.3\n"
        " password \"\"\"\"\"\"\n}");
  assert_string_equal (warnings, "");
  assert_string_equal (s->defaults.alias_prefix, "a#b!c{}");
  assert_string_equal (s->defaults.prio_args, "2.5\" SSD");
  assert_int_equal (s->defaults.rr_min_io, 7);
  assert_string_equal (s->user, "a b");
  assert_string_equal (s->password, "\"\"");
  assert_int_equal (s->nr_portals, 3);
}

/* What multipath -t of Debian 12 prints, what its older releases took, and files
 * from before: warnings, and no mistake. */
static void
as_multipath_prints_it (void **state)
{
  static const char *const warned[] = {
    "mode", "uid", "gid", "max_retries", "replace_wwid_whitespace",
    "hwtable_regex_match", "hw_str_match", "reload_readwrite",
    "new_bindings_in_boot", "unpriv_sgio", "async_timeout",
  };
  struct map_settings m;

  (void) state;
  load ("defaults {\n verbosity 2\n prio \"const\"\n prio_args \"\"\n features \"0\"\n"
        " no_path_retry 12\n mode 0660\n uid 0\n gid disk\n max_retries 5\n"
        " replace_wwid_whitespace yes\n hwtable_regex_match no\n hw_str_match no\n"
        " reload_readwrite yes\n new_bindings_in_boot no\n unpriv_sgio no\n"
        " async_timeout 4\n}\n"
        "devnode_blacklist {\n wwid 3600a\n device {\n  vendor X\n }\n}\n"
        "devices\n{\n device\n # a comment between\n\n {\n  vendor \"IET\"\n"
        "  prio netapp\n  path_checker hp_tur\n  features \"1 queue_if_no_path\"\n"
        "  no_path_retry 7\n }\n}\n");
  for (size_t i = 0; i < sizeof warned / sizeof warned[0]; ++i) {
    char text[64];

    snprintf (text, sizeof text, ": '%s' has no meaning here: ", warned[i]);
    if (strstr (warnings, text) == NULL)
      fail_msg ("no warning of %s in: %s", warned[i], warnings);
  }
  assert_non_null (strstr (warnings, "'devnode_blacklist' is obsolete: today's spelling is 'blacklist'"));
  assert_non_null (strstr (warnings, "netapp"));
  assert_non_null (strstr (warnings, "hp_tur"));
  /* Where a value is given the advice to give one does not come. */
  assert_null (strstr (warnings, "no_path_retry queue"));
  assert_non_null (strstr (warnings, "the value of 'no_path_retry' holds"));
  m = resolve ();
  assert_int_equal (m.no_path_retry, 7);
  assert_int_equal (m.path_checker, CHECKER_TUR);
  map_settings_free (&m);
}

static void
empty_files (void **state)
{
  static const char *const texts[] = { "", "\n", "#", "  \t", "\n\n!x" };

  (void) state;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
    struct conf *conf = parse (texts[i]);
    assert_non_null (conf);
    conf_free (conf);
  }
  assert_string_equal (warnings, "");
}

/* The story's own file, word for word. */
static void
howto (void **state)
{
  struct map_settings m;

  (void) state;
  load ("defaults {\n"
        "    udev_dir                /dev\n"
        "    polling_interval        5\n"
        "    selector                \"round-robin 0\"\n"
        "    path_grouping_policy    multibus\n"
        "    getuid_callout          \"/lib/udev/scsi_id --whitelisted --device=/dev/%n\"\n"
        "    prio_callout            /bin/true\n"
        "    path_checker            directio\n"
        "    prio                    const\n"
        "    rr_min_io               100\n"
        "    rr_weight               priorities\n"
        "    failback                immediate\n"
        "    no_path_retry           fail\n"
        "    user_friendly_name      yes\n"
        "}\n"
        "blacklist {\n"
        "    devnode \"^(ram|sda|raw|loop|fd|md|dm-|sr|scd|st)[0-9]*\"\n"
        "    devnode \"^hd[a-z][[0-9]*]\"\n"
        "    devnode \"^vd[a-z]\"\n"
        "    devnode \"^cciss!c[0-9]d[0-9]*[p[0-9]*]\"\n"
        "}\n"
        "multipaths {\n"
        "    multipath {\n"
        "        wwid 32017001378a8a9ff\n"
        "        alias iscsi_data\n"
        "    }\n"
        "}\n");
  assert_string_equal
    (warnings,
     "f.conf:2: 'udev_dir' has no meaning here: obsolete, without a successor: "
     "LUNs are found by logging in, not through udev\n"
     "f.conf:4: 'selector' is obsolete: today's spelling is 'path_selector'\n"
     "f.conf:6: 'getuid_callout' has no meaning here: obsolete: today's spelling "
     "is 'uid_attribute'; the WWID is read from VPD page 83h\n"
     "f.conf:7: 'prio_callout' is obsolete: today's spelling is 'prio'\n"
     "f.conf:14: 'user_friendly_name' is obsolete: today's spelling is "
     "'user_friendly_names'\n"
     "f.conf:17: 'devnode' has no meaning here: only LUNs that were logged in to "
     "can be served; use wwid, device, target or portal\n");
  m = resolve ();
  assert_string_equal (m.alias, "iscsi_data");
  assert_int_equal (m.path_selector, SELECTOR_ROUND_ROBIN);
  assert_int_equal (m.path_grouping_policy, GROUP_MULTIBUS);
  assert_int_equal (m.path_checker, CHECKER_DIRECTIO);
  assert_int_equal (m.prio, PRIO_CONST);
  assert_int_equal (m.rr_min_io, 100);
  assert_true (m.rr_weight_priorities);
  assert_int_equal (m.failback, FAILBACK_IMMEDIATE);
  assert_int_equal (m.no_path_retry, NO_PATH_RETRY_FAIL);
  assert_true (m.user_friendly_names);
  map_settings_free (&m);
}

static const char layers[] =
  "defaults {\n rr_min_io 1\n failback 1\n no_path_retry 1\n"
  " fast_io_fail_tmo 1\n prio_args d\n dev_loss_tmo 1\n}\n"
  "devices {\n"
  " device {\n  vendor IET\n  product VIRTUAL\n  rr_min_io 2\n  failback 2\n"
  "  no_path_retry 2\n  fast_io_fail_tmo 2\n  prio_args e\n }\n"
  " device {\n  vendor \"^IET$\"\n  rr_min_io 3\n }\n"
  " device {\n  vendor OTHER\n  rr_min_io 99\n  failback 99\n }\n"
  " device {\n  vendor IET\n  revision \"9$\"\n  failback 98\n }\n"
  "}\n"
  "overrides {\n failback 4\n no_path_retry 4\n fast_io_fail_tmo 4\n"
  " protocol {\n  type \"scsi:iscsi\"\n  fast_io_fail_tmo 5\n }\n"
  " protocol {\n  type \"scsi:fcp\"\n  fast_io_fail_tmo 6\n }\n"
  "}\n"
  "multipaths {\n"
  " multipath {\n  wwid 32017001378a8a9ff\n  no_path_retry 7\n  alias a\n }\n"
  " multipath {\n  wwid 32017001378a8a9f\n  no_path_retry 97\n  alias b\n }\n"
  "}\n";

static void
precedence (void **state)
{
  struct map_settings m;

  (void) state;
  load (layers);
  assert_int_equal (s->defaults.rr_min_io, 1);
  m = resolve ();
  assert_true (m.dev_loss_tmo == 1);            /* defaults */
  assert_string_equal (m.prio_args, "e");       /* devices */
  assert_int_equal (m.rr_min_io, 3);            /* the later device */
  assert_int_equal (m.failback, 4);             /* overrides */
  assert_true (m.fast_io_fail_tmo == 5);        /* protocol */
  assert_int_equal (m.no_path_retry, 7);        /* multipaths */
  assert_string_equal (m.alias, "a");           /* exact, not a regex */
  assert_string_equal (m.alias_prefix, "mpath"); /* built-in */
  map_settings_free (&m);
}

static void
command_line_wins (void **state)
{
  struct map_settings m;

  (void) state;
  set ("rr-min-io", "11");
  set ("failback", "manual");           /* equal to the built-in one: given still */
  set ("no-path-retry", "13");
  set ("fast-io-fail-tmo", "14");
  set ("prio-args", "c");
  load (layers);
  m = resolve ();
  assert_int_equal (m.rr_min_io, 11);
  assert_int_equal (m.failback, FAILBACK_MANUAL);
  assert_int_equal (m.no_path_retry, 13);
  assert_true (m.fast_io_fail_tmo == 14);
  assert_string_equal (m.prio_args, "c");
  assert_true (m.dev_loss_tmo == 1);
  map_settings_free (&m);
}

static void
command_line_wins_over_iscsi (void **state)
{
  (void) state;
  set ("portals", "10.0.0.9");
  set ("user", "u");
  load ("iscsi {\n portals 10.0.0.1\n user f\n password p\n login_timeout 9\n}\n");
  assert_int_equal (s->nr_portals, 1);
  assert_string_equal (s->portals[0].host, "10.0.0.9");
  assert_string_equal (s->user, "u");
  assert_string_equal (s->password, "p");
  assert_true (s->login_timeout == 9);
}

/* The copies are deep: one map's end is not another's. */
static void
copies (void **state)
{
  struct map_settings a, b;

  (void) state;
  load (layers);
  a = resolve ();
  b = resolve ();
  map_settings_free (&a);
  assert_string_equal (b.alias, "a");
  map_settings_free (&b);
  assert_string_equal (s->defaults.alias_prefix, "mpath");
}

static void
queue_feature (void **state)
{
  static const struct { const char *text; int retry; } cases[] = {
    { "defaults {\n features \"1 queue_if_no_path\"\n}\n", NO_PATH_RETRY_QUEUE },
    { "devices {\n device {\n vendor IET\n features \"1 queue_if_no_path\"\n }\n}\n",
      NO_PATH_RETRY_QUEUE },
    { "devices {\n device {\n vendor X\n features \"1 queue_if_no_path\"\n }\n}\n",
      NO_PATH_RETRY_FAIL },
    /* no_path_retry wins, wherever it is. */
    { "defaults {\n no_path_retry 3\n}\noverrides {\n features \"1 queue_if_no_path\"\n}\n", 3 },
    { "defaults {\n features \"1 queue_if_no_path\"\n}\noverrides {\n features \"0\"\n}\n",
      NO_PATH_RETRY_FAIL },
  };
  (void) state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    struct map_settings m;

    load (cases[i].text);
    m = resolve ();
    assert_int_equal (m.no_path_retry, cases[i].retry);
    map_settings_free (&m);
    teardown (NULL);
    setup (NULL);
  }
}

static void
old_delays (void **state)
{
  (void) state;
  load ("defaults {\n delay_watch_checks 10\n delay_wait_checks 3\n"
        " polling_interval 2\n}\n");
  assert_int_equal (s->defaults.san_path_err_threshold, 1);
  assert_int_equal (s->defaults.san_path_err_forget_rate, 10);
  assert_int_equal (s->defaults.san_path_err_recovery_time, 3 * 4 * 2);
  assert_string_equal
    (warnings, "f.conf:2: 'delay_watch_checks' is obsolete: today's spelling is "
     "'san_path_err_forget_rate'\n"
     "f.conf:3: 'delay_wait_checks' is obsolete: today's spelling is "
     "'san_path_err_recovery_time'\n");
}

/* Each word that has no meaning is taken wherever it may stand, with exactly
 * one warning although it stands there twice. */
static void
each_word_is_warned_of_once (void **state)
{
  static const struct { unsigned where; const char *before, *after; } places[] = {
    { IN_DEFAULTS, "defaults {\n", "}\n" },
    { IN_DEVICE, "devices {\ndevice {\nvendor x\n", "}\n}\n" },
    { IN_OVERRIDES, "overrides {\n", "}\n" },
    { IN_PROTOCOL, "overrides {\nprotocol {\ntype scsi:iscsi\n", "}\n}\n" },
    { IN_MULTIPATH, "multipaths {\nmultipath {\nwwid x\n", "}\n}\n" },
  };
  (void) state;
  for (const struct conf_word *w = conf_words; w->word; ++w)
    for (size_t i = 0; i < sizeof places / sizeof places[0]; ++i) {
      const struct option *o =
        w->today ? option_find (options, w->today, places[i].where) : NULL;
      char text[512];
      const char *value = "x";
      struct conf *conf;

      if (!(w->where & places[i].where))
        continue;
      assert_true (o != NULL || w->today == NULL);
      if (o)
        value = strstr (w->word, "callout") ? "/bin/true"
          : o->type == OPTION_BOOL ? "yes"
          : strcmp (o->name, "path_selector") == 0 ? "\"round-robin 0\""
          : strcmp (o->name, "prio") == 0 ? "alua"
          : strcmp (o->name, "path_checker") == 0 ? "directio" : "failover";
      snprintf (text, sizeof text, "%s%s %s\n%s %s\n%s", places[i].before,
                w->word, value, w->word, value, places[i].after);
      nr_warnings = 0;
      warnings[0] = '\0';
      conf = parse (text);
      if (conf == NULL)
        fail_msg ("%s", err);
      conf_free (conf);
      if (nr_warnings != 1)
        fail_msg ("%s: %u warnings: %s", w->word, nr_warnings, warnings);
      assert_non_null (strstr (warnings, w->word));
      if (w->today)
        assert_non_null (strstr (warnings, w->today));
    }
}

static void
other_warnings (void **state)
{
  static const struct { const char *text, *said; } cases[] = {
    { "defaults {\n path_selector round-robin 0\n}\n",
      "f.conf:2: 'path_selector': only the first word of the value is taken: "
      "put the value in quotes\n" },
    { "defaults {\n failback 1\n failback 2\n}\n",
      "f.conf:3: 'failback' is given twice in 'defaults': the last one holds\n" },
    { "defaults {\n path_checker readsector0\n}\n",
      "f.conf:2: path_checker: 'readsector0': obsolete: today's spelling is 'directio'\n" },
    { "defaults {\n prio rdac\n}\n",
      "f.conf:2: prio: 'rdac': not available here; taken as 'const'\n" },
    { "blacklist {\n wwid \"*\"\n}\n",
      "f.conf:2: '*' is no regular expression: taken as '.*'\n" },
    { "devices {\n device {\n  rr_min_io 5\n }\n}\n",
      "f.conf:4: a 'device' without vendor and product matches nothing\n" },
    { "overrides {\n protocol {\n  type \"scsi:fcp\"\n }\n}\n",
      "f.conf:4: a 'protocol' of another type than 'scsi:iscsi' has no meaning here\n" },
    { "blacklist {\n devnode \"[a\"\n}\nblacklist_exceptions {\n devnode \"b\"\n}\n",
      "f.conf:2: 'devnode' has no meaning here: only LUNs that were logged in to "
      "can be served; use wwid, device, target or portal\n" },
  };
  (void) state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    struct conf *conf;

    warnings[0] = '\0';
    conf = parse (cases[i].text);
    if (conf == NULL)
      fail_msg ("%s", err);
    conf_free (conf);
    assert_string_equal (warnings, cases[i].said);
  }
}

static void
blacklists (void **state)
{
  static const struct { const char *text, *why; } cases[] = {
    { "", NULL },
    { "blacklist {\n wwid 3201\n}\n", "blacklisted, wwid: f.conf:2" },
    { "blacklist {\n wwid 9999\n}\n", NULL },
    /* Not a regular expression by POSIX, but found in many files. */
    { "blacklist {\n wwid \"*\"\n}\n", "blacklisted, wwid: f.conf:2" },
    { "blacklist {\n wwid \"^[[:digit:]*+?{]+$\"\n}\n", NULL },
    { "blacklist {\n wwid \"!^3201\"\n}\n", NULL },
    { "blacklist {\n wwid \"!^9\"\n}\n", "blacklisted, wwid: f.conf:2" },
    { "blacklist {\n wwid \"\\!^3\"\n}\n", NULL },
    { "blacklist {\n device {\n  vendor IET\n }\n}\n",
      "blacklisted, device: f.conf:2" },
    { "blacklist {\n device {\n  vendor IET\n  product LUNZ\n }\n}\n", NULL },
    { "blacklist {\n device {\n  product \"DISK$\"\n }\n}\n",
      "blacklisted, device: f.conf:2" },
    { "blacklist {\n target \":other$\"\n}\n", NULL },
    { "blacklist {\n target \":data$\"\n}\n", "blacklisted, target: f.conf:2" },
    { "blacklist {\n portal \"^10\\.0\\.0\\.1:3260$\"\n}\n",
      "blacklisted, portal: f.conf:2" },
    { "blacklist {\n portal \"^10\\.0\\.0\\.2:\"\n}\n", NULL },
    /* An exception of the same criterion helps, of another one not. */
    { "blacklist {\n wwid \".*\"\n}\nblacklist_exceptions {\n wwid \"^3201\"\n}\n", NULL },
    { "blacklist {\n wwid \".*\"\n}\nblacklist_exceptions {\n wwid \"^9\"\n}\n",
      "blacklisted, wwid: f.conf:2" },
    { "blacklist {\n wwid \".*\"\n}\nblacklist_exceptions {\n device {\n  vendor IET\n }\n}\n",
      "blacklisted, wwid: f.conf:2" },
    { "blacklist {\n device {\n  vendor \".*\"\n }\n}\n"
      "blacklist_exceptions {\n device {\n  vendor IET\n }\n}\n", NULL },
    { "devices {\n device {\n  product_blacklist VIRTUAL\n  vendor IET\n  product x\n }\n}\n",
      "blacklisted, device: f.conf:2" },
    { "devices {\n device {\n  vendor X\n  product_blacklist VIRTUAL\n }\n}\n", NULL },
    { "blacklist {\n devnode \".*\"\n protocol \".*\"\n property \".*\"\n}\n", NULL },
  };
  static const struct portal portal = { "10.0.0.1", 3260, 1 };

  (void) state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    char why[200];
    bool out;

    load (cases[i].text);
    out = conf_blacklisted (s, &lu, "iqn.2026-11.example:data", &portal, why,
                            sizeof why);
    if (out != (cases[i].why != NULL))
      fail_msg ("%s\n%s", cases[i].text, why);
    assert_string_equal (why, cases[i].why ? cases[i].why : "");
    teardown (NULL);
    setup (NULL);
  }
  /* Target and portal may be unknown. */
  load ("blacklist {\n target \".*\"\n portal \".*\"\n}\n");
  assert_false (conf_blacklisted (s, &lu, NULL, NULL, err, sizeof err));
}

static void
nbd_section (void **state)
{
  const struct conf_nbd *n;

  (void) state;
  load ("nbd {\n unix_socket /run/x\n port 10809\n ipaddr ::1\n tls require\n"
        " tls_certificates /c\n tls_psk /k\n tls_verify_peer yes\n threads 32\n"
        " read_only yes\n filters \"cow cache\"\n}\n");
  n = conf_nbd (s->conf);
  assert_string_equal (n->unix_socket, "/run/x");
  assert_int_equal (n->port, 10809);
  assert_string_equal (n->address, "::1");
  assert_int_equal (n->tls, TLS_REQUIRE);
  assert_string_equal (n->tls_certificates, "/c");
  assert_string_equal (n->tls_psk, "/k");
  assert_true (n->tls_verify_peer && n->read_only && !n->vsock);
  assert_int_equal (n->threads, 32);
  assert_string_equal (n->filters, "cow cache");
}

/* Through settings_check, with a password file beside the file. */
static void
files (void **state)
{
  char dir[] = "/tmp/unit-conf.XXXXXX", conf[64], secret[64], want[200];
  FILE *fp;

  (void) state;
  assert_non_null (mkdtemp (dir));
  snprintf (conf, sizeof conf, "%s/m.conf", dir);
  snprintf (secret, sizeof secret, "%s/secret", dir);
  fp = fopen (conf, "w");
  assert_non_null (fp);
  fputs ("iscsi {\n portals 10.0.0.1\n user me\n password_file secret\n"
         " replacement_timeout 7\n}\n"
         "defaults {\n polling_interval 3\n max_polling_interval 2\n}\n", fp);
  fclose (fp);
  set ("config", conf);

  /* Not there yet. */
  assert_int_equal (settings_check (s, err), -1);
  snprintf (want, sizeof want, "%s: password_file: %s: cannot be read: "
            "No such file or directory", conf, secret);
  assert_string_equal (err, want);
  teardown (NULL);
  setup (NULL);
  set ("config", conf);

  fp = fopen (secret, "w");
  assert_non_null (fp);
  fputs ("hush hush\nsecond line\n", fp);
  fclose (fp);
  chmod (secret, 0644);
  if (settings_check (s, err) == -1)
    fail_msg ("%s", err);
  unlink (secret);
  unlink (conf);
  rmdir (dir);
  assert_string_equal (s->password, "hush hush");
  assert_true (s->defaults.fast_io_fail_tmo == 7);
  /* What multipathd takes from a file, with a word about it, we take. */
  assert_true (s->max_polling_interval == 3);
  snprintf (want, sizeof want, "%s: holds a password and can be read by others: "
            "chmod 600\nmax-polling-interval 2 is less than polling-interval 3\n",
            secret);
  assert_string_equal (warnings, want);
}

static void
no_such_file (void **state)
{
  (void) state;
  assert_null (conf_load ("/nonexistent/x", NULL, NULL, err));
  assert_string_equal (err, "/nonexistent/x: cannot be read: No such file or directory");
  assert_null (conf_load ("/dev/null", NULL, NULL, err));
  assert_string_equal (err, "/dev/null: not a regular file");
}

/* conf/mpiscsi.conf: no warning; each option of each table is in it, and
 * what it shows as the default ("#\toption value", one '#') is the built-in. */
static char *
annotated (void)
{
  const char *srcdir = getenv ("srcdir");
  char path[512], *text = malloc (65536);
  size_t n;
  FILE *fp;

  assert_non_null (text);
  snprintf (path, sizeof path, "%s/../conf/mpiscsi.conf", srcdir ? srcdir : ".");
  fp = fopen (path, "r");
  if (fp == NULL)
    fail_msg ("%s: not found", path);
  n = fread (text, 1, 65535, fp);
  fclose (fp);
  text[n] = '\0';
  return text;
}

static void
annotated_file (void **state)
{
  char *text = annotated (), *copy;
  struct settings *builtin = settings_new ();
  struct conf *conf;
  size_t defaults = 0;

  (void) state;
  load (text);
  assert_string_equal (warnings, "");
  /* What is live in it changes nothing. */
  for (const struct option *o = options; o->name; ++o) {
    char a[300], b[300];

    if (s->conf->values->given & option_bit (options, o))
      ++defaults;
    option_text (o, option_field (o, s), a, sizeof a);
    option_text (o, option_field (o, builtin), b, sizeof b);
    if (strcmp (o->name, "portals") != 0)
      assert_string_equal (a, b);
  }
  assert_true (defaults >= 20);

  /* With one '#' taken away from each line that shows an option, it still
   * loads: every example in it is right. */
  copy = strdup (text);
  for (char *p = copy; p; p = strchr (p, '\n')) {
    p += *p == '\n';
    if (p[0] == '#' && p[1] == '\t')
      p[0] = ' ';
  }
  conf = conf_parse ("f.conf", copy, strlen (copy), on_warning, NULL, err);
  if (conf == NULL)
    fail_msg ("%s", err);
  /* One is there only so that old files still load. */
  assert_non_null (strstr (warnings, "shortcut: 'on': does nothing any more"));
  assert_ptr_equal (strchr (warnings, '\n'), warnings + strlen (warnings) - 1);
  for (const struct option *o = options; o->name; ++o)
    if (o->where & (IN_ISCSI | IN_DEFAULTS) &&
        !(conf->values->given & option_bit (options, o)))
      fail_msg ("conf/mpiscsi.conf does not show '%s'", o->name);
  for (const struct option *o = conf_nbd_options; o->name; ++o)
    if (!(conf->nbd_given & option_bit (conf_nbd_options, o)))
      fail_msg ("conf/mpiscsi.conf does not show '%s'", o->name);
  assert_non_null (conf->devices);
  assert_non_null (conf->multipaths);
  assert_non_null (conf->blacklist);
  assert_non_null (conf->exceptions);
  assert_true (conf->overrides.given != 0 && conf->protocol.given != 0);
  conf_free (conf);
  settings_free (builtin);
  free (copy);
  free (text);
}

/* The device table: above the defaults, below the file's devices, overrides and
 * multipaths, and below what the command line says. */
static void
device_table (void **unused)
{
  static const struct { const char *text; int retry; } cases[] = {
    { "defaults {\n no_path_retry 3\n}\n", NO_PATH_RETRY_QUEUE },
    { "devices {\n device {\n  vendor NETAPP\n  product LUN\n"
      "  no_path_retry 4\n }\n}\n", 4 },
    { "overrides {\n no_path_retry 5\n}\n", 5 },
    { "multipaths {\n multipath {\n  wwid 3600\n  no_path_retry 6\n }\n}\n", 6 },
  };
  const struct lu_facts before = lu;
  const struct device_family *f;
  struct map_settings m;

  (void) unused;
  strcpy (lu.vendor, "NETAPP");
  strcpy (lu.product, "LUN C-Mode");
  strcpy (lu.wwid, "3600");
  m = resolve ();
  assert_int_equal (m.no_path_retry, NO_PATH_RETRY_QUEUE);
  map_settings_free (&m);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    settings_free (s);
    s = settings_new ();
    load (cases[i].text);
    m = resolve ();
    assert_int_equal (m.no_path_retry, cases[i].retry);
    map_settings_free (&m);
  }
  settings_free (s);
  s = settings_new ();
  set ("no-path-retry", "fail");
  m = resolve ();
  assert_int_equal (m.no_path_retry, NO_PATH_RETRY_FAIL);
  map_settings_free (&m);
  strcpy (lu.vendor, "Qsan");
  strcpy (lu.product, "XS5226");
  m = resolve ();
  assert_string_equal (m.prio_args, "exclusive_pref_bit");
  map_settings_free (&m);
  /* detect_checker. */
  for (int i = 0; i < 4; ++i) {
    settings_free (s);
    s = settings_new ();
    load (i & 1 ? "defaults {\n path_checker directio\n detect_checker no\n}\n"
          : "defaults {\n path_checker directio\n}\n");
    lu.tpgs = i & 2 ? 3 : 0;
    m = resolve ();
    assert_int_equal (m.path_checker, i == 2 ? CHECKER_TUR : CHECKER_DIRECTIO);
    map_settings_free (&m);
  }
  /* Generic targets have no entry. */
  strcpy (lu.vendor, "LIO-ORG");
  assert_null (device_family (&lu));
  /* Each is found by each of its own strings, and not behind another one. */
  for (unsigned i = 0; (f = device_family_at (i)) != NULL; ++i)
    for (const struct device_unit *u = f->units; u->vendor; ++u) {
      assert_true (strlen (u->vendor) <= 8 && strlen (u->product) <= 16);
      strcpy (lu.vendor, u->vendor);
      strcpy (lu.product, u->product);
      assert_ptr_equal (device_family (&lu), f);
    }
  lu = before;
}

int
main (void)
{
#define T(f) cmocka_unit_test_setup_teardown (f, setup, teardown)
  const struct CMUnitTest tests[] = {
    T (each_mistake), T (nul_byte), T (secrets_are_not_said), T (grammar),
    T (as_multipath_prints_it),
    T (empty_files), T (howto), T (precedence), T (command_line_wins),
    T (command_line_wins_over_iscsi), T (copies), T (queue_feature),
    T (old_delays), T (each_word_is_warned_of_once), T (other_warnings),
    T (blacklists), T (nbd_section), T (files), T (no_such_file),
    T (annotated_file),
    T (device_table),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
