/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of the control socket: what is taken, and what is refused with
 * which words. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/control-request.h"

static void
good_requests (void **unused)
{
  static const struct {
    const char *line;
    struct control_request expected;
  } cases[] = {
    { "{\"version\":1,\"command\":\"show\"}", { .command = CONTROL_SHOW } },
    { " { \"command\" : \"show\", \"what\":\"paths\", \"version\": 1,"
      "\"map\":\"a b\",\"format\":\"json\",\"colour\":false}\r",
      { .command = CONTROL_SHOW, .what = CONTROL_PATHS, .json = true,
        .map = "a b" } },
    { "{\"version\":1,\"command\":\"show\",\"what\":\"sessions\","
      "\"format\":\"text\",\"colour\":true}",
      { .command = CONTROL_SHOW, .what = CONTROL_SESSIONS, .colour = true } },
    { "{\"version\":1,\"command\":\"fail\",\"path\":\"10.0.0.1:3260\","
      "\"map\":\"m\"}",
      { .command = CONTROL_FAIL, .path = "10.0.0.1:3260", .map = "m" } },
    { "{\"version\":1,\"command\":\"reinstate\",\"path\":\"1:0:1:1\"}",
      { .command = CONTROL_REINSTATE, .path = "1:0:1:1" } },
    { "{\"version\":1,\"command\":\"disablequeueing\",\"map\":\"m\"}",
      { .command = CONTROL_DISABLEQUEUEING, .map = "m" } },
    { "{\"version\":1,\"command\":\"restorequeueing\",\"map\":\"m\"}",
      { .command = CONTROL_RESTOREQUEUEING, .map = "m" } },
    { "{\"version\":1,\"command\":\"add\",\"portal\":\"[::1]\"}",
      { .command = CONTROL_ADD, .portal = "[::1]" } },
    { "{\"version\":1,\"command\":\"del\",\"portal\":\"h:1\"}",
      { .command = CONTROL_DEL, .portal = "h:1" } },
    { "{\"version\":1,\"command\":\"switchgroup\",\"map\":\"m\",\"group\":2}",
      { .command = CONTROL_SWITCHGROUP, .map = "m", .group = 2 } },
    { "{\"version\":1,\"command\":\"reconfigure\"}",
      { .command = CONTROL_RECONFIGURE } },
    { "{\"version\":1,\"command\":\"watch\"}", { .command = CONTROL_WATCH } },
    { "{\"version\":1,\"command\":\"persist\",\"map\":\"m\","
      "\"action\":\"preempt-abort\",\"rk\":\"a1\",\"sark\":"
      "\"fFffffffffffffff\",\"type\":5,\"aptpl\":true}",
      { .command = CONTROL_PERSIST, .map = "m", .action = 10, .rk = 0xa1,
        .sark = UINT64_MAX, .type = 5, .aptpl = true } },
    { "{\"version\":1,\"command\":\"version\"}",
      { .command = CONTROL_VERSION_COMMAND } },
  };

  (void) unused;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    struct control_request req;
    char err[200] = "";

    memset (&req, 0xff, sizeof req);
    if (control_parse (cases[i].line, strlen (cases[i].line), &req, err,
                       sizeof err) == -1)
      fail_msg ("%s: %s", cases[i].line, err);
    assert_int_equal (req.command, cases[i].expected.command);
    assert_int_equal (req.what, cases[i].expected.what);
    assert_int_equal (req.json, cases[i].expected.json);
    assert_int_equal (req.colour, cases[i].expected.colour);
    assert_int_equal (req.action, cases[i].expected.action);
    assert_int_equal (req.type, cases[i].expected.type);
    assert_true (req.rk == cases[i].expected.rk);
    assert_true (req.sark == cases[i].expected.sark);
    assert_int_equal (req.aptpl, cases[i].expected.aptpl);
    assert_int_equal (req.all_tg_pt, cases[i].expected.all_tg_pt);
    assert_int_equal (req.group, cases[i].expected.group);
    assert_string_equal (req.map, cases[i].expected.map);
    assert_string_equal (req.path, cases[i].expected.path);
    assert_string_equal (req.portal, cases[i].expected.portal);
  }
}

#define V "{\"version\":1,"

static void
bad_requests (void **unused)
{
  static const struct { const char *line, *err; } cases[] = {
    { "", "not JSON: " }, { "{", "not JSON: " }, { "hello", "not JSON: " },
    { V "\"command\":\"show\"} x", "not JSON: " },
    { V "\"command\":\"show\",\"command\":\"watch\"}", "not JSON: duplicate" },
    { "\xff\xfe{}", "not JSON: " },
    { V "\"command\":\"\\u0000\"}", "not JSON: " },
    { "[]", "a request is a JSON object" },
    { "{\"command\":\"show\"}", "\"version\" is missing" },
    { "{\"version\":\"1\",\"command\":\"show\"}", "\"version\" is missing" },
    { "{\"version\":2,\"command\":\"show\"}",
      "this server knows version 1 of the protocol" },
    { "{\"version\":1}", "\"command\" is missing" },
    { V "\"command\":7}", "\"command\" is missing" },
    { V "\"command\":\"format\"}", "unknown command \"format\"" },
    { V "\"command\":\"x\\ny\\u001b[2J\"}", "unknown command \"x\\x0ay\\x1b[2J\"" },
    { V "\"command\":\"show\",\"waht\":\"maps\"}", "unknown member \"waht\"" },
    { V "\"command\":\"show\",\"path\":\"a\"}",
      "this command takes no \"path\"" },
    { V "\"command\":\"watch\",\"map\":\"a\"}",
      "this command takes no \"map\"" },
    { V "\"command\":\"show\",\"what\":\"devices\"}", "bad value of \"what\"" },
    { V "\"command\":\"show\",\"what\":null}", "bad value of \"what\"" },
    { V "\"command\":\"show\",\"format\":1}", "bad value of \"format\"" },
    { V "\"command\":\"show\",\"colour\":\"yes\"}", "bad value of \"colour\"" },
    { V "\"command\":\"show\",\"map\":\"\"}", "bad value of \"map\"" },
    { V "\"command\":\"show\",\"map\":{}}", "bad value of \"map\"" },
    { V "\"command\":\"fail\"}", "\"path\" is missing" },
    { V "\"command\":\"add\"}", "\"portal\" is missing" },
    { V "\"command\":\"disablequeueing\"}", "\"map\" is missing" },
    { V "\"command\":\"persist\",\"map\":\"m\"}", "\"action\" is missing" },
    { V "\"command\":\"persist\",\"action\":\"clear\"}",
      "\"map\" is missing" },
    { V "\"command\":\"persist\",\"action\":\"cleer\"}",
      "bad value of \"action\"" },
    { V "\"command\":\"persist\",\"rk\":\"0x1\"}", "bad value of \"rk\"" },
    { V "\"command\":\"persist\",\"sark\":\"12345678901234567\"}",
      "bad value of \"sark\"" },
    { V "\"command\":\"persist\",\"type\":16}", "bad value of \"type\"" },
    { V "\"command\":\"persist\",\"aptpl\":1}", "bad value of \"aptpl\"" },
    { V "\"command\":\"switchgroup\",\"map\":\"m\"}",
      "\"group\" is missing" },
    { V "\"command\":\"switchgroup\",\"map\":\"m\",\"group\":0}",
      "bad value of \"group\"" },
    { V "\"command\":\"switchgroup\",\"map\":\"m\",\"group\":\"2\"}",
      "bad value of \"group\"" },
  };
  char err[200];
  struct control_request req;

  (void) unused;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    assert_int_equal (control_parse (cases[i].line, strlen (cases[i].line),
                                     &req, err, sizeof err), -1);
    if (strncmp (err, cases[i].err, strlen (cases[i].err)) != 0)
      fail_msg ("%s: \"%s\", not \"%s\"", cases[i].line, err, cases[i].err);
  }
}

/* The longest name that fits, and one byte more; and nesting. */
static void
limits (void **unused)
{
  char line[CONTROL_REQUEST], err[200];
  struct control_request req;

  (void) unused;
  for (int more = 0; more < 2; ++more) {
    const int n = CONTROL_NAME - 1 + more;
    const int len = snprintf (line, sizeof line, V "\"command\":\"show\","
                              "\"map\":\"%0*d\"}", n, 0);

    assert_int_equal (control_parse (line, len, &req, err, sizeof err), -more);
    if (!more)
      assert_int_equal (strlen (req.map), n);
  }
  memset (line, '[', sizeof line);
  assert_int_equal (control_parse (line, sizeof line, &req, err, sizeof err),
                    -1);
  /* The message is cut to its buffer. */
  assert_int_equal (control_parse (line, sizeof line, &req, err, 8), -1);
  assert_int_equal (strlen (err), 7);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (good_requests),
    cmocka_unit_test (bad_requests),
    cmocka_unit_test (limits),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
