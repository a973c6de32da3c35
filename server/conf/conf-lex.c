/* SPDX-License-Identifier: BSD-3-Clause */
/* One line of the configuration file: option and value, "section {", or
 * "}"; multipath.conf(5), SYNTAX. */
#include <config.h>

#include <string.h>

#include "conf/conf-internal.h"

#define BLANKS " \t\r\v\f"

/* Takes the text in quotes at *s (which is the opening one) out in place; two
 * quotes inside are one.  NULL if it does not end. */
static char *
quoted (char **s)
{
  char *start = *s + 1, *to = start, *from = start;

  for (;;) {
    if (*from == '\0')
      return NULL;
    if (*from == '"') {
      if (from[1] != '"')
        break;
      ++from;
    }
    *to++ = *from++;
  }
  *s = from + 1;
  *to = '\0';
  return start;
}

const char *
conf_lex (char *s, struct conf_line *line)
{
  char *value = NULL;
  size_t n;
  char end;

  memset (line, 0, sizeof *line);
  s += strspn (s, BLANKS);
  if (*s == '\0' || *s == '#' || *s == '!')
    return NULL;

  if (*s == '}') {
    line->close = true;
    s += 1 + strspn (s + 1, BLANKS);
    return *s == '\0' || *s == '#' || *s == '!'
      ? NULL : "'}' must stand alone on its line";
  }
  if (*s == '{') {
    line->open = true;
    s += 1 + strspn (s + 1, BLANKS);
    return *s == '\0' || *s == '#' || *s == '!'
      ? NULL : "nothing may follow '{' on the line";
  }
  if (*s == '"')
    return "a line begins with the name of an option or a section, not with '\"'";

  line->word = s;
  n = strcspn (s, BLANKS "\"#!{}");
  s += n;
  end = *s;
  /* The word is ended only after what follows has been looked at: a quote
   * may stand right behind it. */
  n = (size_t) (s - line->word);
  s += strspn (s, BLANKS);

  if (*s == '{') {
    line->open = true;
    ++s;
    s += strspn (s, BLANKS);
    if (*s == '}')
      return "'}' must stand alone on its line";
    if (*s != '\0' && *s != '#' && *s != '!')
      return "nothing may follow '{' on the line";
    line->word[n] = '\0';
    return NULL;
  }
  if (*s == '}')
    return "'}' must stand alone on its line";
  if (*s == '\0' || *s == '#' || *s == '!') {
    if (end != '\0')
      line->word[n] = '\0';
    return NULL;
  }

  if (*s == '"') {
    value = quoted (&s);
    if (value == NULL)
      return "the closing '\"' is missing";
    line->word[n] = '\0';
  }
  else {
    value = s;
    s += strcspn (s, BLANKS "\"#!{}");
    end = *s;
    if (end == '{' || end == '}')
      return "a value with '{' or '}' must be in quotes";
    line->word[n] = '\0';
    if (end != '\0') {
      *s = '\0';
      ++s;
    }
    if (end == '#' || end == '!')
      s = (char *) "";
    if (end == '"')
      return "a '\"' inside a word: put the whole value in quotes";
  }
  line->value = value;

  s += strspn (s, BLANKS);
  if (*s == '{')
    return "a section has a name and '{' only";
  if (*s == '}')
    return "'}' must stand alone on its line";
  line->extra = *s != '\0' && *s != '#' && *s != '!';
  return NULL;
}
