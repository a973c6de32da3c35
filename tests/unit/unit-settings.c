/* SPDX-License-Identifier: BSD-3-Clause */
/* Portals, names, parameters: what is taken, what is refused and how. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "conf/conf.h"
#include "conf/options.h"
#include "conf/settings.h"

static struct settings *s;
static char err[ERR_SIZE];
static char warnings[4096];

static void
on_warning (void *opaque, const char *text)
{
  const size_t n = strlen (warnings);

  (void) opaque;
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
  return 0;
}

static int
teardown (void **state)
{
  (void) state;
  settings_free (s);
  return 0;
}

static void
set (const char *key, const char *value)
{
  if (settings_set (s, key, value, err) == -1)
    fail_msg ("%s=%s: %s", key, value, err);
}

static void
refused (const char *key, const char *value, const char *text)
{
  assert_int_equal (settings_set (s, key, value, err), -1);
  assert_string_equal (err, text);
}

static void
good_portals (void **state)
{
  static const struct { const char *in, *text; int tpgt; } cases[] = {
    { "10.0.0.1", "10.0.0.1:3260", -1 },
    { "10.0.0.1:1", "10.0.0.1:1", -1 },
    { "10.0.0.1:65535,0", "10.0.0.1:65535", 0 },
    { "10.0.0.1,7", "10.0.0.1:3260", 7 },
    { "[fe80::1%eth0]:3261,65535", "[fe80::1%eth0]:3261", 65535 },
    { "[FE80:0::0001%2]", "[fe80::1%2]:3260", -1 },
    { "[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]:3260", -1 },
    { "san-1.example.org:860", "san-1.example.org:860", -1 },
    { "host.", "host.:3260", -1 },
    { "3com", "3com:3260", -1 },
  };
  (void) state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    struct portal p, again;
    const char *why;
    char text[300];

    if (!portal_parse (cases[i].in, strlen (cases[i].in), &p, &why))
      fail_msg ("%s: %s", cases[i].in, why);
    assert_string_equal (portal_text (&p, text, sizeof text), cases[i].text);
    assert_int_equal (p.tpgt, cases[i].tpgt);
    /* What is printed can be read, and means the same. */
    assert_true (portal_parse (text, strlen (text), &again, &why));
    assert_true (portal_equal (&p, &again));
  }
}

static void
bad_portals (void **state)
{
  static const struct { const char *in, *why; } cases[] = {
    { "", "it is empty" },
    { ":3260", "the host is missing" },
    { "10.0.0.256", "not an IPv4 address" },
    { "10.0.1", "not an IPv4 address" },
    { "3260", "not an IPv4 address" },
    { "host:", "the port must be a number from 1 to 65535" },
    { "host:0", "the port must be a number from 1 to 65535" },
    { "host:65536", "the port must be a number from 1 to 65535" },
    { "host:+1", "the port must be a number from 1 to 65535" },
    { "host:3260 ", "the port must be a number from 1 to 65535" },
    { "host,65536", "the portal group tag after ',' must be a number up to 65535" },
    { "host,", "the portal group tag after ',' must be a number up to 65535" },
    { "fe80::1", "an IPv6 address must be in brackets: [ADDRESS]:PORT" },
    { "[fe80::1", "']' is missing" },
    { "[10.0.0.1]", "not an IPv6 address between '[' and ']'" },
    { "[]", "not an IPv6 address between '[' and ']'" },
    { "[fe80::1%]", "not an IPv6 address between '[' and ']'" },
    { "[fe80::1%a-name-that-is-too-long]", "not an IPv6 address between '[' and ']'" },
    { "[fe80::1]3260", "after ']' only :PORT may follow" },
    { "a..b", "the host name has an empty part" },
    { "-a", "the host name has a character that is not allowed in one" },
    { "a b", "the host name has a character that is not allowed in one" },
    { "iscsi://a/", "the port must be a number from 1 to 65535" },
  };
  char longest[300];
  struct portal p;
  const char *why;

  (void) state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    assert_false (portal_parse (cases[i].in, strlen (cases[i].in), &p, &why));
    assert_string_equal (why, cases[i].why);
  }
  assert_false (portal_parse ("a\0b", 3, &p, &why));
  memset (longest, 'a', sizeof longest);
  assert_true (portal_parse (longest, 253, &p, &why));
  assert_false (portal_parse (longest, 254, &p, &why));
}

static void
lists_of_portals (void **state)
{
  char text[1024];

  (void) state;
  set ("portals", "10.0.0.1,10.0.0.2:3261 , [::1]");
  set ("portal", "host:860");
  /* Again, with what discovery prints: merged, the tag is learnt. */
  set ("portals", "10.0.0.1:3260,1,HOST:860,2");
  assert_int_equal (s->nr_portals, 4);
  assert_int_equal (s->portals[0].tpgt, 1);
  assert_int_equal (s->portals[1].tpgt, -1);
  assert_int_equal (s->portals[3].tpgt, 2);
  option_text (&options[0], s, text, sizeof text);
  assert_string_equal (text, "10.0.0.1:3260,10.0.0.2:3261,[::1]:3260,host:860");

  /* All or none. */
  refused ("portals", "10.0.0.9,10.0.0.1.1",
           "portals: '10.0.0.1.1' is not allowed: not an IPv4 address");
  refused ("portals", "[fe80::1]:3260", "portals: '[fe80::1]:3260' is not allowed: "
           "a link-local address needs a zone, as in [fe80::1%eth0]");
  refused ("portals", "10.0.0.9,", "portals: '' is not allowed: it is empty");
  refused ("portals", "10.0.0.9,,10.0.0.10",
           "portals: '' is not allowed: it is empty");
  assert_int_equal (s->nr_portals, 4);
}

static void
names (void **state)
{
  static const char *const good[] = {
    "iqn.2026-11.example", "iqn.2026-11.example:data",
    "iqn.1993-08.org.debian:01:abcDEF_1", "IQN.2001-04.com.Example:x",
    "eui.02004567A425678D", "naa.52004567BA64678D",
    "naa.62004567BA64678D0123456789ABCDEF", "iqn.2026-11.\xc3\xa4.de",
  };
  static const char *const odd[] = {
    "data", "iqn.", "iqn.2026-11", "iqn.2026-11.", "iqn.2026-13.example",
    "iqn.2026-00.example", "iqn.26-11.example", "iqn.2026-11.:x", "eui.0200",
    "eui.02004567A425678G", "naa.52004567BA64678", "iqn-2026.11.x",
    "iqn.2015-1.workgroup:x", "iqn.com.vendor", "iqn.2026-11.a/b",
  };
  static const char *const bad[] = {
    "", "iqn.2026-11.a b", "iqn.2026-11.a,iqn.2026-11.b", "iqn.2026-11.a\n",
    "iqn.2026-11.a\x1b[2J", "iqn.2026-11.\"a\"", "iqn.2026-11.a=b",
  };
  char longest[300] = "iqn.2026-11.";

  (void) state;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; ++i)
    if (iscsi_name_wrong (good[i]) || iscsi_name_odd (good[i]))
      fail_msg ("%s: %s", good[i], iscsi_name_odd (good[i]));
  for (size_t i = 0; i < sizeof odd / sizeof odd[0]; ++i)
    if (iscsi_name_wrong (odd[i]) || !iscsi_name_odd (odd[i]))
      fail_msg ("'%s' is not odd", odd[i]);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i)
    if (iscsi_name_wrong (bad[i]) == NULL)
      fail_msg ("'%s' was taken", bad[i]);
  memset (longest + 12, 'a', 223 - 12);
  assert_null (iscsi_name_wrong (longest));
  longest[223] = 'a';
  assert_non_null (iscsi_name_wrong (longest));
}

/* A value of each option that differs from the default, and what it reads
 * back as; a row for each one, or the test fails. */
static void
every_parameter (void **state)
{
  static const struct { const char *name, *value, *text; } cases[] = {
    { "portals", "h:1", "h:1" },
    { "discovery", "FALSE", "no" },
    { "target", "iqn.2026-11.example:a", "iqn.2026-11.example:a" },
    { "lun", "16383", "16383" },
    { "wwid", "3600", "3600" },
    { "initiator_name", "iqn.2026-11.example:b", "iqn.2026-11.example:b" },
    { "user", "u", "u" },
    { "password", "p", "(secret)" },
    { "mutual_user", "v", "v" },
    { "mutual_password", "q", "(secret)" },
    { "header_digest", "CRC32C,None", "crc32c,none" },
    { "data_digest", "crc32c", "crc32c" },
    { "nr_sessions", "32", "32" },
    { "queue_depth", "1024", "1024" },
    { "noop_out_interval", "off", "0" },
    { "noop_out_timeout", ".5", "0.5" },
    { "login_timeout", "2.5", "2.5" },
    { "command_timeout", "30", "30" },
    { "alua_transition_timeout", "15", "15" },
    { "cpu_affinity", "on", "on" },
    { "shortcut", "off", "off" },
    { "fence", "hold", "hold" },
    { "fence_timeout", "2.5", "2.5" },
    { "fence_without_state", "allow", "allow" },
    { "fence_across_targets", "on", "yes" },
    { "replacement_timeout", "120", "120" },
    { "control", "/run/x", "/run/x" },
    { "bindings_file", "/b", "/b" },
    { "config", "/c", "/c" },
    { "guard", "off", "no" },
    { "control_mode", "0660", "0660" },
    { "metrics_listen", "[::1]:9123", "[::1]:9123" },
    { "control_group", "disk", "disk" },
    { "polling_interval", "0.25", "0.25" },
    { "max_polling_interval", "1.75", "1.75" },
    { "path_selector", "service-time", "service-time 0" },
    { "path_grouping_policy", "group-by-prio", "group_by_prio" },
    { "path_checker", "directio", "directio" },
    { "prio", "sysfs", "alua" },
    { "prio_args", "serial a 1", "serial a 1" },
    { "detect_checker", "no", "no" },
    { "detect_prio", "no", "no" },
    { "detect_pgpolicy", "off", "no" },
    { "rr_min_io", "1", "1" },
    { "rr_weight", "priorities", "priorities" },
    { "io_weight", "250", "250" },
    { "failback", "immediate", "immediate" },
    { "no_path_retry", "queue", "queue" },
    { "fast_io_fail_tmo", "off", "off" },
    { "dev_loss_tmo", "600", "600" },
    { "hedged_reads", "on", "yes" },
    { "trust_wwid", "yes", "yes" },
    { "user_friendly_names", "yes", "yes" },
    { "reservation_key", "0x12aB:aptpl", "0x12aB:aptpl" },
    { "alias_prefix", "san", "san" },
    { "san_path_err_threshold", "3", "3" },
    { "san_path_err_forget_rate", "4", "4" },
    { "san_path_err_recovery_time", "5", "5" },
    { "marginal_path_err_sample_time", "120", "120" },
    { "marginal_path_err_rate_threshold", "1000", "1000" },
    { "marginal_path_err_recheck_gap_time", "6.5", "6.5" },
    { "marginal_path_double_failed_time", "7", "7" },
  };
  size_t n = 0;

  (void) state;
  for (const struct option *o = options; o->name; ++o) {
    char before[300], after[300], dashed[64];
    size_t i;

    if (!(o->where & IN_PARAMETERS))
      continue;
    for (i = 0; i < sizeof cases / sizeof cases[0]; ++i)
      if (strcmp (cases[i].name, o->name) == 0)
        break;
    if (i == sizeof cases / sizeof cases[0])
      fail_msg ("no case for %s", o->name);
    ++n;
    option_text (o, option_field (o, s), before, sizeof before);
    snprintf (dashed, sizeof dashed, "%s", o->name);
    for (char *p = dashed; *p; ++p)
      if (*p == '_')
        *p = '-';
    assert_false (s->given & option_bit (options, o));
    set (dashed, cases[i].value);
    assert_true (s->given & option_bit (options, o));
    option_text (o, option_field (o, s), after, sizeof after);
    assert_string_equal (after, cases[i].text);
    assert_string_not_equal (after, before);
  }
  assert_int_equal (n, sizeof cases / sizeof cases[0]);
  assert_string_equal (warnings, "shortcut: 'off': does nothing any more: `mpiscsi serve` needs no "
                       "shortcut\n");
  assert_int_equal (s->lun, 16383);
  assert_string_equal (s->password, "p");
}

static void
words_and_numbers (void **state)
{
  (void) state;
  set ("no-path-retry", "fail");
  assert_int_equal (s->defaults.no_path_retry, NO_PATH_RETRY_FAIL);
  set ("no_path_retry", "0");
  assert_int_equal (s->defaults.no_path_retry, NO_PATH_RETRY_FAIL);
  set ("no_path-retry", "12");
  assert_int_equal (s->defaults.no_path_retry, 12);
  set ("failback", "manual");
  assert_int_equal (s->defaults.failback, FAILBACK_MANUAL);
  set ("rr-min-io-rq", "5");
  assert_int_equal (s->defaults.rr_min_io, 5);
  set ("dev-loss-tmo", "infinity");
  assert_true (s->defaults.dev_loss_tmo == TMO_OFF);
  set ("control", "none");
  assert_string_equal (s->control, "");
  set ("path-checker", "readsector0");
  assert_int_equal (s->defaults.path_checker, CHECKER_DIRECTIO);
  assert_string_equal (warnings, "path-checker: 'readsector0': obsolete: "
                       "today's spelling is 'directio'\n");
}

static void
refusals (void **state)
{
  char secret[300];

  (void) state;
  refused ("protals", "h", "unknown parameter 'protals': did you mean 'portals'?");
  refused ("no-path-rety", "1",
           "unknown parameter 'no-path-rety': did you mean 'no-path-retry'?");
  refused ("selector", "x",
           "unknown parameter 'selector': did you mean 'path-selector'?");
  refused ("alias", "x", "unknown parameter 'alias': "
           "see nbdkit-mpiscsi-plugin(1) for those that exist");
  refused ("qwertyuiop", "x", "unknown parameter 'qwertyuiop': "
           "see nbdkit-mpiscsi-plugin(1) for those that exist");
  refused ("lun", "16384",
           "lun: '16384' is not allowed: a whole number from 0 to 16383");
  refused ("lun", "-1", "lun: '-1' is not allowed: a whole number from 0 to 16383");
  refused ("lun", "0x1", "lun: '0x1' is not allowed: a whole number from 0 to 16383");
  refused ("lun", "", "lun: '' is not allowed: a whole number from 0 to 16383");
  assert_int_equal (s->lun, -1);
  refused ("polling-interval", "1e3", "polling-interval: '1e3' is not allowed: "
           "a number of seconds from 0.1 to 86400");
  refused ("polling-interval", "nan", "polling-interval: 'nan' is not allowed: "
           "a number of seconds from 0.1 to 86400");
  refused ("rr-min-io", "1.5",
           "rr-min-io: '1.5' is not allowed: a whole number from 1 to 1000000");
  refused ("no-path-retry", "-1", "no-path-retry: '-1' is not allowed: "
           "'fail', 'queue', or a whole number from 0 to 1000000");
  refused ("discovery", "offf", "discovery: 'offf' is not allowed: "
           "did you mean 'off'? (one of 'yes', 'no', 'on', 'off', 'true', "
           "'false', '1', '0')");
  refused ("path-selector", "round-robin 1",
           "path-selector: 'round-robin 1' is not allowed: did you mean "
           "'round-robin 0'? (one of 'round-robin 0', 'queue-length 0', "
           "'service-time 0')");
  refused ("target", "data", "target: 'data' is not allowed: "
           "it must begin with 'iqn.', 'eui.' or 'naa.'");
  refused ("alias-prefix", "a/b", "alias-prefix: 'a/b' is not allowed: "
           "a name may have no blanks, control characters or '/'");
  refused ("wwid", "", "wwid: '' is not allowed: it is empty");

  /* A secret is in no message. */
  memset (secret, 'x', 256);
  secret[256] = '\0';
  refused ("password", secret, "password: not a good secret: longer than 255 bytes");
  secret[255] = '\0';
  set ("password", secret);
  /* Nor is what would break the line. */
  refused ("lun", "1\n2", "lun: '1\\x0a2' is not allowed: a whole number from 0 to 16383");
}

static void
check_is (const char *text)
{
  assert_int_equal (settings_check (s, err), text ? -1 : 0);
  if (text)
    assert_string_equal (err, text);
}

static void
contradictions (void **state)
{
  (void) state;
  check_is ("portals are missing: say where the target is, "
            "for instance portals=10.0.0.1:3260");
  set ("portals", "h");
  check_is (NULL);
  set ("discovery", "off");
  check_is ("discovery=off needs target=IQN: without discovery no target is found");
  set ("target", "iqn.2026-11.example:a");
  check_is (NULL);
  set ("lun", "1");
  set ("wwid", "3600");
  check_is (NULL);
  set ("mutual-user", "t");
  check_is ("mutual-user=t is given without mutual-password");
  set ("mutual-password", "same");
  check_is ("mutual-user needs user and password as well: "
            "the target proves itself only to whom it knows");
  set ("user", "me");
  check_is ("user=me is given without a password "
            "(password=+FILE reads it from a file)");
  set ("password", "same");
  check_is ("password and mutual-password must not be the same");
  set ("password", "other");
  check_is (NULL);
  set ("max-polling-interval", "4");
  check_is ("max-polling-interval 4 is less than polling-interval 5");
}

static void
password_without_user (void **state)
{
  (void) state;
  set ("portals", "h");
  set ("password", "x");
  check_is ("password is given without user=NAME");
}

static void
mutual_password_without_user (void **state)
{
  (void) state;
  set ("portals", "h");
  set ("mutual-password", "x");
  check_is ("mutual-password is given without mutual-user=NAME");
}

static void
dependent_times (void **state)
{
  (void) state;
  set ("portals", "h");
  set ("polling-interval", "2");
  set ("replacement-timeout", "20");
  check_is (NULL);
  assert_true (s->max_polling_interval == 8);
  assert_true (s->defaults.fast_io_fail_tmo == 20);
}

static void
fast_io_fail_wins (void **state)
{
  (void) state;
  set ("portals", "h");
  set ("fast-io-fail-tmo", "3");
  set ("replacement-timeout", "-1");
  check_is (NULL);
  assert_true (s->replacement_timeout == TMO_OFF);
  assert_true (s->defaults.fast_io_fail_tmo == 3);
}

static void
initiator (void **state)
{
  char file[] = "/tmp/unit-settings.XXXXXX";
  char name[ISCSI_NAME_SIZE], again[ISCSI_NAME_SIZE], plus[64], err[ERR_SIZE];
  struct settings *s;
  int fd = mkstemp (file);
  FILE *fp;

  (void) state;
  assert_true (fd >= 0);
  fp = fdopen (fd, "w");
  fputs ("## DO NOT EDIT\n#InitiatorName=iqn.2026-11.example:comment\n"
         "GenerateName=yes\nInitiatorName=wrong\n"
         " InitiatorName = iqn.1993-08.org.debian:01:abc \r\n"
         "InitiatorName=iqn.2026-11.example:second\n", fp);
  fclose (fp);
  settings_default_initiator (file, name, err);
  assert_string_equal (name, "iqn.1993-08.org.debian:01:abc");

  /* By option, from that file. */
  s = settings_new ();
  assert_non_null (s);
  snprintf (plus, sizeof plus, "+%s", file);
  assert_int_equal (settings_set (s, "initiator-name", plus, err), 0);
  assert_string_equal (s->initiator_name, "iqn.1993-08.org.debian:01:abc");
  /* What was given is not asked for. */
  setenv (INITIATOR_VARIABLE, "iqn.2026-11.example:pod-0", 1);
  assert_int_equal (settings_set (s, "portals", "10.0.0.1", err), 0);
  assert_int_equal (settings_check (s, err), 0);
  assert_string_equal (s->initiator_name, "iqn.1993-08.org.debian:01:abc");
  settings_free (s);
  /* From the environment, good and bad. */
  s = settings_new ();
  assert_int_equal (settings_set (s, "portals", "10.0.0.1", err), 0);
  assert_int_equal (settings_check (s, err), 0);
  assert_string_equal (s->initiator_name, "iqn.2026-11.example:pod-0");
  settings_free (s);
  s = settings_new ();
  assert_int_equal (settings_set (s, "portals", "10.0.0.1", err), 0);
  setenv (INITIATOR_VARIABLE, "pod-0", 1);
  assert_int_equal (settings_check (s, err), -1);
  assert_non_null (strstr (err, "MPISCSI_INITIATOR_NAME"));
  unsetenv (INITIATOR_VARIABLE);
  /* What is odd is said, and used: it is what the target knows. */
  {
    static const struct { const char *text, *name, *remark; } odd[] = {
      { "InitiatorName=\"iqn.2026-11.example:q\"\n", "iqn.2026-11.example:q", "in quotes" },
      { "\xef\xbb\xbfInitiatorName=iqn.2026-11.example:b\n", "iqn.2026-11.example:b",
        "byte order mark" },
      { "InitiatorName=iqn.2015-1.host\n", "iqn.2015-1.host", "YYYY-MM" },
      { "InitiatorName=myhost\n", "myhost", "must begin with" },
      { "InitiatorName=\n", NULL, "the name is empty" },
      { "InitiatorName=a b\n", "a", "must begin with" },
      { "Initiator\n", NULL, "no line InitiatorName=" },
    };

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; ++i) {
      fp = fopen (file, "w");
      fputs (odd[i].text, fp);
      fclose (fp);
      settings_default_initiator (file, name, err);
      if (odd[i].name)
        assert_string_equal (name, odd[i].name);
      else
        assert_null (iscsi_name_odd (name));
      if (strstr (err, odd[i].remark) == NULL || strstr (err, file) == NULL)
        fail_msg ("%s: %s", odd[i].text, err);
    }
    settings_default_initiator ("/tmp", name, err);
    assert_non_null (strstr (err, "/tmp: "));
    assert_null (iscsi_name_odd (name));
  }
  /* A file that is not there, and one without a name. */
  unlink (file);
  assert_int_equal (settings_set (s, "initiator-name", plus, err), -1);
  assert_non_null (strstr (err, "No such file"));
  assert_int_equal (settings_set (s, "initiator-name", "+/dev/null", err), -1);
  assert_non_null (strstr (err, "InitiatorName="));
  assert_null (s->initiator_name);
  settings_free (s);

  settings_default_initiator (file, name, err);
  settings_default_initiator (file, again, err);
  assert_string_equal (name, again);
  assert_null (iscsi_name_wrong (name));
  assert_int_equal (strlen (name), strlen ("iqn.2026-11.org.mpiscsi:") + 12);
}

static void
rows_are_sound (void **state)
{
  (void) state;
  for (const struct option *o = options; o->name; ++o) {
    assert_true (o->where != 0);
    assert_non_null (o->help);
    assert_non_null (o->value);
    assert_ptr_equal (option_find (options, o->name, o->where), o);
    assert_null (strchr (o->name, '-'));
    for (const struct option *p = options; p < o; ++p)
      assert_string_not_equal (p->name, o->name);
  }
}

int
main (void)
{
#define T(f) cmocka_unit_test_setup_teardown (f, setup, teardown)
  const struct CMUnitTest tests[] = {
    T (good_portals), T (bad_portals), T (lists_of_portals), T (names),
    T (every_parameter), T (words_and_numbers), T (refusals),
    T (contradictions), T (password_without_user),
    T (mutual_password_without_user), T (dependent_times),
    T (fast_io_fail_wins), T (initiator), T (rows_are_sound),
  };
  return cmocka_run_group_tests (tests, NULL, NULL);
}
