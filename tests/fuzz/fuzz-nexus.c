/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer target: the file that a killed server leaves behind.  As it is,
 * and with the right last line, which chance would not find. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules/nexus-state.h"
#include "must.h"

static bool
parse (const char *text, size_t len, struct nexus_list *list, char *initiator)
{
  bool foreign = false;
  const char *wrong;
  /* Without a NUL behind it, so that reading on is seen. */
  char *exact = malloc (len ? len : 1);

  MUST (exact != NULL);
  memcpy (exact, text, len);
  wrong = nexus_state_parse (exact, len, 0x123456, list, initiator, &foreign);
  free (exact);
  MUST (wrong == NULL || list->n == 0);
  MUST (!foreign || wrong != NULL);
  return wrong == NULL;
}

/* What was understood is written and understood again, alike. */
static void
round_trip (const struct nexus_list *list, const char *initiator)
{
  struct nexus_list again = { NULL, 0, 0 };
  char name[ISCSI_NAME_SIZE], *text = nexus_state_format (initiator, list);

  MUST (text != NULL);
  MUST (parse (text, strlen (text), &again, name));
  MUST (strcmp (name, initiator) == 0);
  MUST (again.n == list->n);
  for (size_t i = 0; i < list->n; i++) {
    const struct nexus *a = &list->v[i], *b = &again.v[i];

    MUST (a->isid_qualifier == b->isid_qualifier);
    MUST (a->portal.tpgt == b->portal.tpgt);
    MUST (a->portal.port == b->portal.port);
    MUST (strcmp (a->portal.host, b->portal.host) == 0);
    MUST (strcmp (a->target, b->target) == 0);
    MUST (strcmp (a->wwid, b->wwid) == 0);
  }
  free (text);
  nexus_list_free (&again);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct nexus_list list = { NULL, 0, 0 };
  char initiator[ISCSI_NAME_SIZE];
  uint64_t sum = UINT64_C (0xcbf29ce484222325);
  size_t lines = 0;
  char *text;

  if (parse ((const char *) data, size, &list, initiator))
    round_trip (&list, initiator);
  nexus_list_free (&list);

  text = malloc (size + 80);
  MUST (text != NULL);
  for (size_t i = 0; i < size; i++) {
    text[i] = data[i];
    lines += data[i] == '\n';
    sum = (sum ^ data[i]) * UINT64_C (0x100000001b3);
  }
  if (lines >= 2) {
    size += sprintf (text + size, "end %zu %016" PRIx64 "\n", lines - 2, sum);
    if (parse (text, size, &list, initiator))
      round_trip (&list, initiator);
    nexus_list_free (&list);
  }
  free (text);
  return 0;
}
