/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of the control socket: one line of JSON, from whoever could open
 * it. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "control/control-request.h"
#include "scsi/pr.h"

enum {                          /* members, as bits */
  HAS_WHAT = 1, HAS_MAP = 2, HAS_PATH = 4, HAS_PORTAL = 8, HAS_FORMAT = 16,
  HAS_COLOUR = 32, HAS_ACTION = 64, HAS_RK = 128, HAS_SARK = 256,
  HAS_TYPE = 512, HAS_APTPL = 1024, HAS_ALL_TG_PT = 2048, HAS_GROUP = 4096,
};

static const struct {
  const char *name;
  unsigned allowed, required;
} commands[NR_CONTROL_COMMANDS] = {
  [CONTROL_VERSION_COMMAND] = { "version", 0, 0 },
  [CONTROL_SHOW] = { "show", HAS_WHAT | HAS_MAP | HAS_FORMAT | HAS_COLOUR, 0 },
  [CONTROL_FAIL] = { "fail", HAS_PATH | HAS_MAP, HAS_PATH },
  [CONTROL_REINSTATE] = { "reinstate", HAS_PATH | HAS_MAP, HAS_PATH },
  [CONTROL_DISABLEQUEUEING] = { "disablequeueing", HAS_MAP, HAS_MAP },
  [CONTROL_RESTOREQUEUEING] = { "restorequeueing", HAS_MAP, HAS_MAP },
  [CONTROL_SWITCHGROUP] = { "switchgroup", HAS_MAP | HAS_GROUP,
                            HAS_MAP | HAS_GROUP },
  [CONTROL_RECONFIGURE] = { "reconfigure", 0, 0 },
  [CONTROL_RESCAN] = { "rescan", HAS_MAP, 0 },
  [CONTROL_RESIZE] = { "resize", HAS_MAP, HAS_MAP },
  [CONTROL_SUSPEND] = { "suspend", HAS_MAP, HAS_MAP },
  [CONTROL_RESUME] = { "resume", HAS_MAP, HAS_MAP },
  [CONTROL_ADD] = { "add", HAS_PORTAL, HAS_PORTAL },
  [CONTROL_DEL] = { "del", HAS_PORTAL, HAS_PORTAL },
  [CONTROL_WATCH] = { "watch", 0, 0 },
  [CONTROL_PERSIST] = { "persist", HAS_MAP | HAS_ACTION | HAS_RK | HAS_SARK |
                        HAS_TYPE | HAS_APTPL | HAS_ALL_TG_PT,
                        HAS_MAP | HAS_ACTION },
};

static const char *const whats[NR_CONTROL_WHATS] = {
  "topology", "maps", "paths", "sessions", "metrics",
  "status", "clients",
};

const struct control_action control_actions[] = {
  { "read-keys", true, PR_READ_KEYS },
  { "read-reservation", true, PR_READ_RESERVATION },
  { "report-capabilities", true, PR_CAPABILITIES },
  { "read-full-status", true, PR_FULL_STATUS },
  { "register", false, PR_REGISTER },
  { "register-ignore", false, PR_REGISTER_IGNORE },
  { "reserve", false, PR_RESERVE },
  { "release", false, PR_RELEASE },
  { "clear", false, PR_CLEAR },
  { "preempt", false, PR_PREEMPT },
  { "preempt-abort", false, PR_PREEMPT_ABORT },
  { NULL, false, 0 },
};

static const struct { const char *name; unsigned bit; } members[] = {
  { "what", HAS_WHAT }, { "map", HAS_MAP }, { "path", HAS_PATH },
  { "portal", HAS_PORTAL }, { "format", HAS_FORMAT }, { "colour", HAS_COLOUR },
  { "action", HAS_ACTION }, { "rk", HAS_RK }, { "sark", HAS_SARK },
  { "type", HAS_TYPE }, { "aptpl", HAS_APTPL },
  { "all_tg_pt", HAS_ALL_TG_PT },
  { "group", HAS_GROUP },
};

static int
fail (char *err, size_t size, const char *what, const char *name)
{
  char text[400];

  snprintf (text, sizeof text, what, name);
  text_safe (text, err, size);
  return -1;
}

static bool
take_name (const json_t *value, char name[CONTROL_NAME])
{
  const size_t len = json_string_length (value);

  if (!json_is_string (value) || len == 0 || len >= CONTROL_NAME)
    return false;
  memcpy (name, json_string_value (value), len + 1);
  return true;
}

static bool
take_what (const json_t *value, enum control_what *what)
{
  for (unsigned i = 0; i < NR_CONTROL_WHATS; ++i)
    if (json_is_string (value) &&
        strcmp (json_string_value (value), whats[i]) == 0) {
      *what = i;
      return true;
    }
  return false;
}

static bool
take_format (const json_t *value, bool *json)
{
  const char *s = json_string_value (value);

  if (s == NULL || (strcmp (s, "json") != 0 && strcmp (s, "text") != 0))
    return false;
  *json = strcmp (s, "json") == 0;
  return true;
}

static bool
take_action (const json_t *value, unsigned *action)
{
  for (unsigned i = 0; control_actions[i].name; ++i)
    if (json_is_string (value) &&
        strcmp (json_string_value (value), control_actions[i].name) == 0) {
      *action = i;
      return true;
    }
  return false;
}

static bool
take_key (const json_t *value, uint64_t *key)
{
  const char *s = json_string_value (value);
  size_t digits = s ? strspn (s, "0123456789abcdefABCDEF") : 0;

  if (digits == 0 || digits > 16 || s[digits] != '\0')
    return false;
  *key = strtoull (s, NULL, 16);
  return true;
}

static bool
take_bool (const json_t *value, bool *b)
{
  *b = json_is_true (value);
  return json_is_boolean (value);
}

static bool
take_type (const json_t *value, unsigned *type)
{
  const json_int_t n = json_integer_value (value);

  *type = n & 0x0f;
  return json_is_integer (value) && n >= 0 && n <= 15;
}

static bool
take_member (unsigned bit, const json_t *value, struct control_request *req)
{
  switch (bit) {
  case HAS_WHAT: return take_what (value, &req->what);
  case HAS_MAP: return take_name (value, req->map);
  case HAS_PATH: return take_name (value, req->path);
  case HAS_PORTAL: return take_name (value, req->portal);
  case HAS_FORMAT: return take_format (value, &req->json);
  case HAS_GROUP:
    req->group = (unsigned) json_integer_value (value);
    return json_is_integer (value) && json_integer_value (value) >= 1 &&
      json_integer_value (value) <= 1000000;
  case HAS_COLOUR:
    return take_bool (value, &req->colour);
  case HAS_ACTION: return take_action (value, &req->action);
  case HAS_RK: return take_key (value, &req->rk);
  case HAS_SARK: return take_key (value, &req->sark);
  case HAS_TYPE: return take_type (value, &req->type);
  case HAS_APTPL: return take_bool (value, &req->aptpl);
  case HAS_ALL_TG_PT: return take_bool (value, &req->all_tg_pt);
  }
  return false;
}

/* All members but version and command. */
static int
take_members (json_t *object, struct control_request *req,
              char *err, size_t size)
{
  unsigned given = 0;
  const char *key;
  json_t *value;
  size_t i;

  json_object_foreach (object, key, value) {
    if (strcmp (key, "version") == 0 || strcmp (key, "command") == 0)
      continue;
    for (i = 0; i < sizeof members / sizeof members[0]; ++i)
      if (strcmp (key, members[i].name) == 0)
        break;
    if (i == sizeof members / sizeof members[0])
      return fail (err, size, "unknown member \"%.60s\"", key);
    if (!(commands[req->command].allowed & members[i].bit))
      return fail (err, size, "this command takes no \"%.60s\"", key);
    if (!take_member (members[i].bit, value, req))
      return fail (err, size, "bad value of \"%.60s\"", key);
    given |= members[i].bit;
  }
  for (i = 0; i < sizeof members / sizeof members[0]; ++i)
    if (commands[req->command].required & ~given & members[i].bit)
      return fail (err, size, "\"%.60s\" is missing", members[i].name);
  return 0;
}

static int
parse_object (json_t *object, struct control_request *req,
              char *err, size_t size)
{
  const json_t *version = json_object_get (object, "version");
  const char *name = json_string_value (json_object_get (object, "command"));
  unsigned i;

  if (!json_is_object (object))
    return fail (err, size, "a request is a JSON object%s", "");
  if (!json_is_integer (version))
    return fail (err, size, "\"%.60s\" is missing", "version");
  if (json_integer_value (version) != CONTROL_VERSION)
    return fail (err, size, "this server knows version 1 of the protocol%s",
                 "");
  if (name == NULL)
    return fail (err, size, "\"%.60s\" is missing", "command");
  for (i = 0; i < NR_CONTROL_COMMANDS; ++i)
    if (strcmp (name, commands[i].name) == 0)
      break;
  if (i == NR_CONTROL_COMMANDS)
    return fail (err, size, "unknown command \"%.60s\"", name);
  req->command = i;
  return take_members (object, req, err, size);
}

/* jansson 2.14 reads on when there was no memory for the next byte of a
 * string, and makes a shorter one of it: the name of another map.  So its
 * allocations are watched. */
static _Thread_local bool starved;

static void *
watched_malloc (size_t size)
{
  void *p = malloc (size);

  if (p == NULL)
    starved = true;
  return p;
}

int
control_parse (const char *line, size_t len, struct control_request *req,
               char *err, size_t size)
{
  json_error_t error;
  json_t *object;
  int r;

  memset (req, 0, sizeof *req);
  json_set_alloc_funcs (watched_malloc, free);
  starved = false;
  object = json_loadb (line, len, JSON_REJECT_DUPLICATES, &error);
  if (starved)
    r = fail (err, size, "out of memory%s", "");
  else if (object == NULL)
    r = fail (err, size, "not JSON: %.200s", error.text);
  else
    r = parse_object (object, req, err, size);
  json_decref (object);
  return r;
}

/* Not json_dumps: of jansson 2.14, it goes on when there was no memory for a
 * key, and what it returns has a hole. */
char *
control_text (const json_t *json)
{
  const size_t len = json ? json_dumpb (json, NULL, 0, JSON_COMPACT) : 0;
  char *text = len > 0 ? malloc (len + 1) : NULL;

  if (text == NULL)
    return NULL;
  if (json_dumpb (json, text, len, JSON_COMPACT) != len) {
    free (text);
    return NULL;
  }
  text[len] = '\0';
  return text;
}
