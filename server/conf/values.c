/* SPDX-License-Identifier: BSD-3-Clause */
/* The value of an option: from text, to text, copied, freed. */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>

#include "conf/options.h"

/* "NAME: 'VALUE' is not allowed: WANTED". */
static int
refuse (const char *name, const char *value, const char *wanted,
        char msg[ERR_SIZE])
{
  char shown_name[64], shown[128];

  printable (name, shown_name, sizeof shown_name);
  printable (value, shown, sizeof shown);
  snprintf (msg, ERR_SIZE, "%s: '%s' is not allowed: %s",
            shown_name, shown, wanted);
  return -1;
}

static int
no_memory (const char *name, char msg[ERR_SIZE])
{
  snprintf (msg, ERR_SIZE, "%.60s: out of memory", name);
  return -1;
}

static bool
one_of (const char *value, const char *a, const char *b, const char *c)
{
  return strcasecmp (value, a) == 0 || (b && strcasecmp (value, b) == 0) ||
    (c && strcasecmp (value, c) == 0);
}

/* Digits with at most one '.', and a '-' only in front.  Not strtod: it reads
 * by the locale, and takes "inf", "1e9" and "0x10". */
static bool
decimal (const char *s, bool fractions, double *out)
{
  const bool negative = *s == '-';
  double n = 0, scale = 1;
  bool digits = false;
  size_t len = 0;

  for (s += negative; isdigit ((unsigned char) *s) && len < 18; ++s, ++len) {
    n = n * 10 + (*s - '0');
    digits = true;
  }
  if (fractions && *s == '.')
    for (++s; isdigit ((unsigned char) *s) && len < 18; ++s, ++len) {
      scale /= 10;
      n += (*s - '0') * scale;
      digits = true;
    }
  if (!digits || *s != '\0')
    return false;
  *out = negative ? -n : n;
  return true;
}

static int
set_number (const struct option *o, void *field, const char *name,
            const char *value, char msg[ERR_SIZE])
{
  const bool seconds = o->type == OPTION_SECONDS || o->type == OPTION_PAUSE ||
    o->type == OPTION_TMO;
  const char *words = "";
  char wanted[160];
  double n;

  switch (o->type) {
  case OPTION_INT: case OPTION_PAUSE:
    words = "'no', or ";
    if (one_of (value, "no", "off", NULL))
      value = "0";
    break;
  case OPTION_TMO:
    words = "'off', or ";
    if (one_of (value, "off", "infinity", NULL)) {
      *(double *) field = TMO_OFF;
      return 0;
    }
    break;
  case OPTION_RETRY:
    words = "'fail', 'queue', or ";
    if (one_of (value, "fail", NULL, NULL))
      value = "0";
    else if (one_of (value, "queue", NULL, NULL)) {
      *(int *) field = NO_PATH_RETRY_QUEUE;
      return 0;
    }
    break;
  case OPTION_FAILBACK:
    words = "'immediate', 'manual', 'followover', or ";
    if (one_of (value, "immediate", NULL, NULL))
      value = "0";
    else if (one_of (value, "manual", NULL, NULL)) {
      *(int *) field = FAILBACK_MANUAL;
      return 0;
    }
    else if (one_of (value, "followover", NULL, NULL)) {
      *(int *) field = FAILBACK_FOLLOWOVER;
      return 0;
    }
    break;
  default:
    break;
  }

  if (!decimal (value, seconds, &n) || n < o->min || n > o->max) {
    snprintf (wanted, sizeof wanted, "%sa %snumber%s from %.10g to %.10g",
              words, seconds ? "" : "whole ", seconds ? " of seconds" : "",
              o->type == OPTION_TMO ? 0 : o->min, o->max);
    return refuse (name, value, wanted, msg);
  }
  if (seconds)
    *(double *) field = n < 0 ? TMO_OFF : n;
  else if (o->type == OPTION_COUNT)
    *(unsigned *) field = (unsigned) n;
  else
    *(int *) field = (int) n;
  return 0;
}

/* multipath.conf's "round-robin 0": the number of arguments, always 0, is
 * often left out, and blanks vary. */
static bool
choice_equal (const char *name, const char *value)
{
  for (;;) {
    if (*name == ' ') {
      if (*value != '\0' && *value != ' ' && *value != '\t')
        return false;
      while (*value == ' ' || *value == '\t')
        ++value;
      if (*value == '\0')
        return strcmp (name, " 0") == 0;
      ++name;
      continue;
    }
    if (*name == '\0') {
      while (*value == ' ' || *value == '\t')
        ++value;
      return *value == '\0';
    }
    if (tolower ((unsigned char) *name) != tolower ((unsigned char) *value) &&
        !(*name == '_' && *value == '-'))
      return false;
    ++name;
    ++value;
  }
}

static int
set_choice (const struct option *o, void *field, const char *name,
            const char *value, char msg[ERR_SIZE])
{
  static const struct choice bools[] = {
    { "yes", true, NULL }, { "no", false, NULL },
    { "on", true, NULL }, { "off", false, NULL },
    { "true", true, NULL }, { "false", false, NULL },
    { "1", true, NULL }, { "0", false, NULL },
    { NULL, 0, NULL },
  };
  const struct choice *choices = o->choices ? o->choices : bools;
  struct nearest nearest;
  const char *near;
  char wanted[512];
  size_t len = 0;

  for (const struct choice *c = choices; c->name; ++c)
    if (choice_equal (c->name, value)) {
      if (o->type == OPTION_BOOL)
        *(bool *) field = c->value;
      else
        memcpy (field, &c->value, sizeof c->value);
      if (c->remark == NULL)
        return 0;
      snprintf (msg, ERR_SIZE, "%.60s: '%s': %s", name, c->name, c->remark);
      return 1;
    }

  nearest_start (&nearest, value);
  for (const struct choice *c = choices; c->name; ++c)
    nearest_try (&nearest, c->name);
  near = nearest_word (&nearest);
  if (near)
    len = (size_t) snprintf (wanted, sizeof wanted,
                             "did you mean '%s'? (", near);
  len += (size_t) snprintf (wanted + len, sizeof wanted - len, "one of");
  for (const struct choice *c = choices; c->name; ++c)
    if (c->remark == NULL && len < sizeof wanted - 40)
      len += (size_t) snprintf (wanted + len, sizeof wanted - len, "%s '%s'",
                                c == choices ? "" : ",", c->name);
  if (near)
    snprintf (wanted + len, sizeof wanted - len, ")");
  return refuse (name, value, wanted, msg);
}

bool
reservation_key_parse (const char *text, uint64_t *key, bool *aptpl)
{
  const char *p = text;
  uint64_t value = 0;
  bool persist = false;
  size_t digits;

  if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
    p += 2;
  digits = strspn (p, "0123456789abcdefABCDEF");
  if (digits == 0 || digits > 16)
    return false;
  value = strtoull (p, NULL, 16);
  if (strcmp (p + digits, ":aptpl") == 0)
    persist = true;
  else if (p[digits] != '\0')
    return false;
  if (value == 0)
    return false;
  if (key)
    *key = value;
  if (aptpl)
    *aptpl = persist;
  return true;
}

/* What is wrong with a string for this option; NULL if nothing. */
static const char *
string_wrong (const struct option *o, const char *value)
{
  const size_t len = strlen (value);

  if (o->type == OPTION_SOCKET)
    return NULL;
  if (len == 0)
    return "it is empty";
  switch (o->type) {
  case OPTION_NAME: case OPTION_OWN_NAME:
    /* Another word altogether is a mistake of who types. */
    if (iscsi_name_wrong (value) == NULL && strncasecmp (value, "iqn.", 4) != 0 &&
        strncasecmp (value, "eui.", 4) != 0 && strncasecmp (value, "naa.", 4) != 0)
      return iscsi_name_odd (value);
    return iscsi_name_wrong (value);
  case OPTION_USER: case OPTION_SECRET:
    return len > CHAP_MAX ? "longer than 255 bytes" : NULL;
  case OPTION_KEY:
    return reservation_key_parse (value, NULL, NULL) ? NULL
      : "a key is 1 to 16 hexadecimal digits, not all 0, and perhaps :aptpl";
  case OPTION_ALIAS:
    if (len > 127)              /* device mapper's limit for map names */
      return "longer than 127 bytes";
    for (size_t i = 0; i < len; ++i) {
      const unsigned char c = (unsigned char) value[i];
      if (c <= ' ' || c == 0x7f || c == '/')
        return "a name may have no blanks, control characters or '/'";
    }
    return NULL;
  default:
    return o->max > 0 && len > o->max ? "too long" : NULL;
  }
}

static int
set_string (const struct option *o, char **field, const char *name,
            const char *value, char msg[ERR_SIZE])
{
  const char *wrong = string_wrong (o, value);
  char *copy;

  if (wrong) {
    if (o->type != OPTION_SECRET)
      return refuse (name, value, wrong, msg);
    snprintf (msg, ERR_SIZE, "%.60s: not a good secret: %s", name, wrong);
    return -1;
  }
  if (o->type == OPTION_SOCKET && one_of (value, "none", "off", "no"))
    value = "";
  copy = strdup (value);
  if (copy == NULL)
    return no_memory (name, msg);
  option_clear (o, field);
  *field = copy;
  return 0;
}

/* "+FILE": our own name, as open-iscsi's initiatorname.iscsi has it. */
static int
set_target_name (const struct option *o, char **field, const char *name,
                 const char *value, char msg[ERR_SIZE])
{
  if (set_string (o, field, name, value, msg) == -1)
    return -1;
  if (iscsi_name_odd (value) == NULL)
    return 0;
  snprintf (msg, ERR_SIZE, "%s: '%s' is not in the form of RFC 7143 (%s): "
            "taken as it is", name, value, iscsi_name_odd (value));
  return 1;
}

static int
set_own_name (const struct option *o, char **field, const char *name,
              const char *value, char msg[ERR_SIZE])
{
  char own[ISCSI_NAME_SIZE];
  const char *remark;

  if (value[0] != '+')
    return set_target_name (o, field, name, value, msg);
  if (!initiator_from_file (value + 1, own, &remark))
    return refuse (name, value, remark, msg);
  if (set_string (o, field, name, own, msg) == -1)
    return -1;
  if (remark == NULL)
    return 0;
  snprintf (msg, ERR_SIZE, "%s: %s: %s: our name is taken to be %s", name,
            value + 1, remark, own);
  return 1;
}

/* The end of one portal in a list.  A comma also stands before the portal
 * group tag: "A:3260,1,B:3260,1".  A number alone is never a portal. */
static size_t
portal_length (const char *s)
{
  size_t len = strcspn (s, ", \t"), digits;

  if (s[len] == ',') {
    digits = strspn (s + len + 1, "0123456789");
    if (digits > 0 && strchr (", \t", s[len + 1 + digits]))
      len += 1 + digits;        /* strchr finds the NUL, too */
  }
  return len;
}

static int
set_portals (struct settings *s, const char *name, const char *value,
             char msg[ERR_SIZE])
{
  const size_t before = s->nr_portals;
  const char *p = value, *why = "it is empty";

  for (;;) {
    struct portal portal, *grown;
    size_t len, i;
    char shown[128];

    p += strspn (p, " \t");
    len = portal_length (p);
    if (portal_parse (p, len, &portal, &why) && portal_needs_zone (&portal))
      why = "a link-local address needs a zone, as in [fe80::1%eth0]";
    if (why != NULL) {
      snprintf (shown, sizeof shown, "%.*s", len > 100 ? 100 : (int) len, p);
      s->nr_portals = before;
      return refuse (name, shown, why, msg);
    }
    for (i = 0; i < s->nr_portals; ++i)
      if (portal_equal (&s->portals[i], &portal))
        break;
    if (i == s->nr_portals) {
      grown = reallocarray (s->portals, i + 1, sizeof *grown);
      if (grown == NULL) {
        s->nr_portals = before;
        return no_memory (name, msg);
      }
      s->portals = grown;
      s->portals[s->nr_portals++] = portal;
    }
    else if (s->portals[i].tpgt == -1)
      s->portals[i].tpgt = portal.tpgt;

    p += len;
    p += strspn (p, " \t");
    if (*p == '\0')
      return 0;
    if (*p == ',')
      ++p;                      /* then another one must follow */
  }
}

int
option_set (const struct option *o, void *field, const char *name,
            const char *value, char msg[ERR_SIZE])
{
  int lun;

  msg[0] = '\0';
  switch (o->type) {
  case OPTION_BOOL: case OPTION_CHOICE:
    return set_choice (o, field, name, value, msg);
  case OPTION_LUN:
    lun = -1;
    if (set_number (o, &lun, name, value, msg) == -1)
      return -1;
    *(int *) field = lun;
    return 0;
  case OPTION_COUNT: case OPTION_INT: case OPTION_SECONDS: case OPTION_PAUSE:
  case OPTION_TMO: case OPTION_RETRY: case OPTION_FAILBACK:
    return set_number (o, field, name, value, msg);
  case OPTION_PORTALS:
    return set_portals (field, name, value, msg);
  case OPTION_SECRET:
    /* From now on it is in this process, and in what libiscsi and stdio keep of
     * it: in no core dump. */
    prctl (PR_SET_DUMPABLE, 0, 0, 0, 0);
    return set_string (o, field, name, value, msg);
  case OPTION_OWN_NAME:
    return set_own_name (o, field, name, value, msg);
  case OPTION_NAME:
    return set_target_name (o, field, name, value, msg);
  case OPTION_STRING: case OPTION_PATH: case OPTION_SOCKET: case OPTION_USER:
  case OPTION_KEY: case OPTION_ALIAS:
    return set_string (o, field, name, value, msg);
  }
  return -1;
}

static bool
is_string (const struct option *o)
{
  return o->type >= OPTION_STRING && o->type <= OPTION_ALIAS;
}

static size_t
value_size (const struct option *o)
{
  switch (o->type) {
  case OPTION_BOOL:
    return sizeof (bool);
  case OPTION_SECONDS: case OPTION_PAUSE: case OPTION_TMO:
    return sizeof (double);
  default:
    return sizeof (int);
  }
}

void
option_clear (const struct option *o, void *field)
{
  if (o->type == OPTION_PORTALS) {
    struct settings *s = field;

    free (s->portals);
    s->portals = NULL;
    s->nr_portals = 0;
  }
  else if (is_string (o)) {
    char **string = field;

    if (*string && o->type == OPTION_SECRET)
      explicit_bzero (*string, strlen (*string));
    free (*string);
    *string = NULL;
  }
}

int
option_copy (const struct option *o, void *dst, const void *src)
{
  if (o->type == OPTION_PORTALS) {
    const struct settings *from = src;
    struct settings *to = dst;
    struct portal *copy = NULL;

    if (from->nr_portals > 0) {
      copy = reallocarray (NULL, from->nr_portals, sizeof *copy);
      if (copy == NULL)
        return -1;
      memcpy (copy, from->portals, from->nr_portals * sizeof *copy);
    }
    option_clear (o, dst);
    to->portals = copy;
    to->nr_portals = from->nr_portals;
  }
  else if (is_string (o)) {
    char *const *from = src;
    char *copy = *from ? strdup (*from) : NULL;

    if (*from && copy == NULL)
      return -1;
    option_clear (o, dst);
    *(char **) dst = copy;
  }
  else
    memcpy (dst, src, value_size (o));
  return 0;
}

static const char *
choice_text (const struct option *o, int value)
{
  for (const struct choice *c = o->choices; c->name; ++c)
    if (c->value == value)
      return c->name;
  return "?";
}

const char *
option_text (const struct option *o, const void *field, char *buf, size_t size)
{
  const struct settings *s = field;
  size_t len = 0;
  char one[280];
  double n;

  switch (o->type) {
  case OPTION_BOOL:
    snprintf (buf, size, "%s", o->choices
              ? choice_text (o, *(const bool *) field)
              : *(const bool *) field ? "yes" : "no");
    break;
  case OPTION_CHOICE:
    snprintf (buf, size, "%s", choice_text (o, *(const int *) field));
    break;
  case OPTION_COUNT:
    snprintf (buf, size, "%u", *(const unsigned *) field);
    break;
  case OPTION_INT: case OPTION_LUN:
    snprintf (buf, size, "%d", *(const int *) field);
    break;
  case OPTION_SECONDS: case OPTION_PAUSE: case OPTION_TMO:
    n = *(const double *) field;
    if (n < 0)
      snprintf (buf, size, "off");
    else
      snprintf (buf, size, "%.10g", n);
    break;
  case OPTION_RETRY:
    if (*(const int *) field > 0)
      snprintf (buf, size, "%d", *(const int *) field);
    else
      snprintf (buf, size, "%s", *(const int *) field == 0 ? "fail" : "queue");
    break;
  case OPTION_FAILBACK:
    if (*(const int *) field > 0)
      snprintf (buf, size, "%d", *(const int *) field);
    else
      snprintf (buf, size, "%s",
                *(const int *) field == 0 ? "immediate"
                : *(const int *) field == FAILBACK_MANUAL ? "manual"
                : "followover");
    break;
  case OPTION_PORTALS:
    buf[0] = '\0';
    for (size_t i = 0; i < s->nr_portals && len < size; ++i)
      len += (size_t) snprintf (buf + len, size - len, "%s%s", i ? "," : "",
                                portal_text (&s->portals[i], one, sizeof one));
    break;
  case OPTION_SECRET:
    snprintf (buf, size, "%s", *(char *const *) field ? "(secret)" : "");
    break;
  default:
    snprintf (buf, size, "%s",
              *(char *const *) field ? *(char *const *) field : "");
  }
  return buf;
}
