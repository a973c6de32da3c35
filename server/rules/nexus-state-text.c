/* SPDX-License-Identifier: BSD-3-Clause */
/* The text of a nexus state file:
 *
 *   mpiscsi-nexus 1
 *   initiator NAME
 *   nexus QUALIFIER TPGT PORTAL TARGET WWID         any number of them
 *   end COUNT SUM
 *
 * SUM is FNV-1a of all that comes before the last line, in hex: not against
 * malice, but against a disk that was full, and an editor. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/nexus-state.h"

#define HEADER "mpiscsi-nexus "
#define FORMAT "1"

bool
nexus_list_add (struct nexus_list *list, const struct nexus *x)
{
  if (list->n == list->size) {
    const size_t size = list->size ? list->size * 2 : 8;
    struct nexus *v;

    if (list->n >= MAX_NEXUSES)
      return false;
    v = reallocarray (list->v, size, sizeof *v);
    if (v == NULL)
      return false;
    list->v = v;
    list->size = size;
  }
  list->v[list->n++] = *x;
  return true;
}

void
nexus_list_free (struct nexus_list *list)
{
  free (list->v);
  *list = (struct nexus_list) { NULL, 0, 0 };
}

static uint64_t
sum_of (const char *text, size_t len)
{
  uint64_t h = UINT64_C (0xcbf29ce484222325);

  for (size_t i = 0; i < len; ++i)
    h = (h ^ (unsigned char) text[i]) * UINT64_C (0x100000001b3);
  return h;
}

/* A word in a line: discovery takes names as they come. */
static bool
is_word (const char *text)
{
  return text[0] != '\0' && strpbrk (text, " \t\n\v\f\r") == NULL;
}

char *
nexus_state_format (const char *initiator, const struct nexus_list *list)
{
  char *text = NULL, portal[300];
  size_t len;
  FILE *fp = open_memstream (&text, &len);
  bool bad;

  if (fp == NULL)
    return NULL;
  fprintf (fp, HEADER FORMAT "\ninitiator %s\n", initiator);
  for (size_t i = 0; i < list->n; ++i) {
    const struct nexus *x = &list->v[i];

    if (!is_word (x->target) || !is_word (x->wwid)) {
      fclose (fp);
      free (text);
      errno = EINVAL;
      return NULL;
    }
    fprintf (fp, "nexus %" PRIu32 " %d %s %s %s\n", x->isid_qualifier,
             x->portal.tpgt, portal_text (&x->portal, portal, sizeof portal),
             x->target, x->wwid);
  }
  fflush (fp);                  /* sets text and len */
  if (!ferror (fp))
    fprintf (fp, "end %zu %016" PRIx64 "\n", list->n, sum_of (text, len));
  bad = ferror (fp);
  if (fclose (fp) != 0 || bad) {
    free (text);
    return NULL;
  }
  return text;
}

/* The next line without its newline, in BUF; false at the end, or if it is
 * too long or not text. */
static bool
next_line (const char **p, const char *end, char *buf, size_t size)
{
  const char *nl = memchr (*p, '\n', end - *p);
  size_t n;

  if (nl == NULL)
    return false;
  n = nl - *p;
  if (n >= size || memchr (*p, '\0', n) != NULL)
    return false;
  memcpy (buf, *p, n);
  buf[n] = '\0';
  *p = nl + 1;
  return true;
}

static bool
parse_nexus (const char *line, struct nexus *x)
{
  char portal[300];
  const char *why;
  int tpgt, n = 0;

  /* The widths are those of the fields less one. */
  if (sscanf (line, "nexus %5" SCNu32 " %5d %299s %223s %255s%n",
              &x->isid_qualifier, &tpgt, portal, x->target, x->wwid, &n) != 5 ||
      line[n] != '\0' || x->isid_qualifier > 0xffff || tpgt < -1 ||
      tpgt > 0xffff ||
      !portal_parse (portal, strlen (portal), &x->portal, &why))
    return false;
  x->portal.tpgt = tpgt;
  return true;
}

const char *
nexus_state_parse (const char *text, size_t len, uint32_t isid_random,
                   struct nexus_list *list, char initiator[ISCSI_NAME_SIZE],
                   bool *foreign)
{
  const char *p = text, *last = text, *end = text + len;
  const size_t before = list->n;
  const char *wrong = "is damaged";
  char line[1200], right[80], name[ISCSI_NAME_SIZE];
  struct nexus x;
  int n = 0;

  _Static_assert (ISCSI_NAME_SIZE == 224 && WWID_SIZE == 256,
                  "the widths in sscanf");
  memset (&x, 0, sizeof x);
  *foreign = false;
  if (!next_line (&p, end, line, sizeof line) ||
      strncmp (line, HEADER, strlen (HEADER)) != 0)
    return wrong;
  if (strcmp (line + strlen (HEADER), FORMAT) != 0) {
    *foreign = true;
    return "is of another version of mpiscsi";
  }
  if (!next_line (&p, end, line, sizeof line) ||
      sscanf (line, "initiator %223s%n", name, &n) != 1 || line[n] != '\0' ||
      iscsi_name_wrong (name) != NULL)
    return wrong;
  strcpy (x.initiator, name);
  x.isid_random = isid_random;
  for (;;) {
    last = p;
    if (!next_line (&p, end, line, sizeof line))
      goto bad;
    if (strncmp (line, "end ", 4) == 0)
      break;
    if (!parse_nexus (line, &x))
      goto bad;
    if (!nexus_list_add (list, &x)) {
      wrong = "is larger than it may be, or memory is short";
      goto bad;
    }
  }
  snprintf (right, sizeof right, "end %zu %016" PRIx64,
            list->n - before, sum_of (text, last - text));
  if (p != end || strcmp (line, right) != 0)
    goto bad;
  strcpy (initiator, name);
  return NULL;

 bad:
  list->n = before;
  return wrong;
}
