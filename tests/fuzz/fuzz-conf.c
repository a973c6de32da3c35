/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer: any text as a configuration file, then questions to what came
 * out of it.  Checked besides crashes: an error names file and line and is
 * one line; so is each warning. */
#include <config.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

#define CHECK(what) do { if (!(what)) abort (); } while (0)

extern int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
on_warning (void *opaque, const char *text)
{
  (void) opaque;
  CHECK (strncmp (text, "fuzz:", 5) == 0);
  CHECK (strchr (text, '\n') == NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const struct lu_facts lu = {
    .vendor = "IET", .product = "VIRTUAL-DISK", .revision = "0001",
    .wwid = "32017001378a8a9ff",
  };
  struct portal portal = { "10.0.0.1", ISCSI_PORT, 1 };
  char err[ERR_SIZE], why[256];
  struct map_settings map;
  struct settings *s;
  unsigned line;

  s = settings_new ();
  CHECK (s);
  s->conf = conf_parse ("fuzz", (const char *) data, size, on_warning, NULL,
                        err);
  if (s->conf == NULL) {
    CHECK (sscanf (err, "fuzz:%u: ", &line) == 1 && line > 0);
    CHECK (strchr (err, '\n') == NULL);
  }
  /* Not conf_apply: it would open any file that the fuzzer can name. */
  CHECK (conf_resolve (s, &lu, "iqn.2026-11.example:a", &map) == 0);
  CHECK (map.rr_min_io > 0 && map.alias_prefix);
  map_settings_free (&map);
  if (conf_blacklisted (s, &lu, "iqn.2026-11.example:a", &portal, why,
                        sizeof why))
    CHECK (why[0] != '\0');
  conf_blacklisted (s, &lu, NULL, NULL, why, sizeof why);
  settings_free (s);
  return 0;
}
