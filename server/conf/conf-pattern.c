/* SPDX-License-Identifier: BSD-3-Clause */
/* Regular expressions of the configuration file. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "conf/conf-internal.h"

/* glibc's regcomp needs memory and stack without bound for "((((..." and
 * "a{255}{255}", time without bound for "a****..." and "(((a*)*)*)...", and a
 * match with a back-reference may take for ever.  No one means those: refuse them. */
#define LONGEST 512
#define DEEPEST 32              /* groups in groups */
#define MOST_REPEATED 8         /* groups with '*', '+', '?' or '{' behind */
#define MOST_COPIES 1000        /* product of all N in {N} */

/* p is at the '[' of a bracket expression; its ']' (or the NUL). */
static const char *
bracket_end (const char *p)
{
  ++p;
  if (*p == '^')
    ++p;
  if (*p == ']')
    ++p;                        /* a plain one */
  for (; *p && *p != ']'; ++p)
    if (*p == '[' && (p[1] == ':' || p[1] == '.' || p[1] == '=')) {
      const char end[] = { p[1], ']', '\0' };
      const char *close = strstr (p + 2, end);

      if (close == NULL)
        return p + strlen (p);
      p = close + 1;
    }
  return p;
}

/* p is at a '{': the largest number in it; *end its '}' (or the NUL). */
static unsigned long
largest_count (const char *p, const char **end)
{
  unsigned long most = 1;

  for (++p; *p && *p != '}'; ) {
    char *next;
    const unsigned long n = strtoul (p, &next, 10);

    if (next == p) {
      ++p;
      continue;
    }
    if (n > most)
      most = n;
    p = next;
  }
  *end = p;
  return most;
}

static const char *
too_much (const char *text)
{
  unsigned depth = 0, repeated = 0;
  unsigned long copies = 1, most;
  char last = '\0';             /* '*': a repetition; ')': end of a group */

  if (strlen (text) > LONGEST)
    return "longer than 512 characters";
  for (const char *p = text; *p; ++p) {
    switch (*p) {
    case '\\':
      if (p[1] >= '1' && p[1] <= '9')
        return "back-references are not taken";
      if (p[1])
        ++p;
      last = 'a';
      break;
    case '[':
      p = bracket_end (p);
      if (*p == '\0')
        return NULL;            /* regcomp says what is wrong */
      last = 'a';
      break;
    case '(':
      if (++depth > DEEPEST)
        return "too many '('";
      last = '(';
      break;
    case ')':
      if (depth > 0)
        --depth;
      last = ')';
      break;
    case '*': case '+': case '?': case '{':
      if (last == '*')
        return "a repetition of a repetition";
      if (last == ')' && ++repeated > MOST_REPEATED)
        return "too many repeated groups";
      if (*p == '{') {
        most = largest_count (p, &p);
        if (most > MOST_COPIES || (copies *= most) > MOST_COPIES)
          return "its '{N}' ask for too much";
        if (*p == '\0')
          return NULL;
      }
      last = '*';
      break;
    default:
      last = 'a';
    }
  }
  return NULL;
}

struct conf_pattern *
conf_pattern_new (const char *text, bool negate, const char **why)
{
  static _Thread_local char buf[160];
  struct conf_pattern *p = calloc (1, sizeof *p);
  int r;

  if (p == NULL) {
    *why = "out of memory";
    return NULL;
  }
  p->text = strdup (text);
  if (p->text == NULL) {
    free (p);
    *why = "out of memory";
    return NULL;
  }
  if (negate && text[0] == '!') {
    p->negated = true;
    ++text;
  }
  else if (negate && text[0] == '\\' && text[1] == '!')
    ++text;
  if (strcmp (text, "*") == 0)  /* found in many files; multipathd does so, too */
    text = ".*";
  *why = too_much (text);
  if (*why) {
    free (p->text);
    free (p);
    return NULL;
  }
  r = regcomp (&p->re, text, REG_EXTENDED | REG_NOSUB);
  if (r != 0) {
    regerror (r, &p->re, buf, sizeof buf);
    *why = buf;
    free (p->text);
    free (p);
    return NULL;
  }
  return p;
}

void
conf_pattern_free (struct conf_pattern *p)
{
  if (p) {
    regfree (&p->re);
    free (p->text);
    free (p);
  }
}

bool
conf_pattern_match (const struct conf_pattern *p, const char *text)
{
  return (regexec (&p->re, text, 0, NULL, 0) == 0) != p->negated;
}
