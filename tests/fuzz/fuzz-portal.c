/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer: any bytes as a portal, a list of portals and an iSCSI name.
 * What was taken must read back as the same portal. */
#include <config.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/settings.h"

#define CHECK(what) do { if (!(what)) abort (); } while (0)

extern int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct portal portal, again;
  char text[300], err[ERR_SIZE];
  struct settings *s;
  const char *why;
  char *string;

  if (portal_parse ((const char *) data, size, &portal, &why)) {
    CHECK (portal.port > 0 && portal.tpgt >= -1 && portal.tpgt <= 65535);
    portal_text (&portal, text, sizeof text);
    CHECK (portal_parse (text, strlen (text), &again, &why));
    CHECK (portal_equal (&portal, &again) && again.tpgt == -1);
  }
  else
    CHECK (why && *why);

  string = malloc (size + 1);
  CHECK (string);
  memcpy (string, data, size);
  string[size] = '\0';
  iscsi_name_wrong (string);

  s = settings_new ();
  CHECK (s);
  if (settings_set (s, "portals", string, err) == 0) {
    CHECK (s->nr_portals > 0);
    for (size_t i = 0; i < s->nr_portals; ++i)
      for (size_t j = 0; j < i; ++j)
        CHECK (!portal_equal (&s->portals[i], &s->portals[j]));
  }
  else
    CHECK (s->nr_portals == 0 && err[0] && strchr (err, '\n') == NULL);
  settings_free (s);
  free (string);
  return 0;
}
