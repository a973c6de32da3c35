/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi check VENDOR,PRODUCT: what holds for one array, and why. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "conf/conf.h"

/* NAME: "VENDOR,PRODUCT", as mpiscsi -ll has it. */
int
check_device (const struct settings *s, const char *name)
{
  const char *comma = strchr (name, ',');
  struct lu_facts lu;

  if (comma == NULL || comma == name || comma - name > 8 ||
      strlen (comma + 1) > 16) {
    cmd_error ("'%s' is no VENDOR,PRODUCT, as mpiscsi -ll shows it", name);
    return CMD_USAGE;
  }
  lu_facts_init (&lu);
  memcpy (lu.vendor, name, comma - name);
  strcpy (lu.product, comma + 1);
  if (conf_print_device (stdout, s, &lu) == -1) {
    cmd_error ("out of memory");
    return CMD_FAILED;
  }
  return 0;
}
