/* SPDX-License-Identifier: BSD-3-Clause */
/* Regular expressions of the configuration file. */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "conf-internal.h"

/* regcomp needs memory and stack without bound for "((((...", for
 * "a{255}{255}" and the like, and a match with a back-reference may take for
 * ever: refuse those, which no one means. */
#define LONGEST 512
#define DEEPEST 32
#define MOST_COPIES 1000

static const char *
too_much (const char *text)
{
  unsigned depth = 0;
  unsigned long copies = 1;

  if (strlen (text) > LONGEST)
    return "longer than 512 characters";
  for (const char *p = text; *p; ++p) {
    if (*p == '\\') {
      if (p[1] >= '1' && p[1] <= '9')
        return "back-references are not taken";
      if (p[1])
        ++p;
    }
    else if (*p == '(') {
      if (++depth > DEEPEST)
        return "too many '('";
    }
    else if (*p == '{') {
      unsigned long most = 1;
      const char *q = p + 1;

      while (*q && *q != '}') {
        char *end;
        unsigned long n = strtoul (q, &end, 10);

        if (end == q) {
          ++q;
          continue;
        }
        if (n > most)
          most = n;
        q = end;
      }
      if (most > MOST_COPIES || (copies *= most) > MOST_COPIES)
        return "its '{N}' ask for too much";
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
  if (negate && text[0] == '!') {
    p->negated = true;
    ++text;
  }
  else if (negate && text[0] == '\\' && text[1] == '!')
    ++text;
  *why = too_much (text);
  if (*why) {
    free (p);
    return NULL;
  }
  r = regcomp (&p->re, text, REG_EXTENDED | REG_NOSUB);
  if (r != 0) {
    regerror (r, &p->re, buf, sizeof buf);
    *why = buf;
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
    free (p);
  }
}

bool
conf_pattern_match (const struct conf_pattern *p, const char *text)
{
  return (regexec (&p->re, text, 0, NULL, 0) == 0) != p->negated;
}
