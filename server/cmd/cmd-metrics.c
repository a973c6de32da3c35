/* SPDX-License-Identifier: BSD-3-Clause */
/* mpiscsi metrics: what all servers count, as one exposition. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "control/metrics.h"

int
cmd_metrics (const struct cmd *cmd)
{
  struct server *servers;
  const size_t n = servers_open (cmd, &servers);
  json_t **answers = calloc (n + 1, sizeof *answers);
  const char **texts = calloc (n + 1, sizeof *texts);
  int status = n > 0 && answers && texts ? 0 : CMD_FAILED;
  size_t got = 0;

  for (size_t i = 0; i < n && answers && texts; ++i) {
    answers[i] = server_ask (&servers[i], json_pack ("{s:s,s:s}", "command",
                                                     "show", "what", "metrics"));
    if (answers[i] != NULL && !answer_ok (answers[i])) {
      cmd_error ("%s: %s", servers[i].path, answer_error (answers[i]));
      status = CMD_FAILED;
    }
    else if (answers[i] == NULL)
      status = CMD_FAILED;
    else {
      const char *text =
        json_string_value (json_object_get (answers[i], "output"));

      if (text != NULL)
        texts[got++] = text;
    }
  }
  /* Half of it would look like servers that have gone. */
  if (status == 0 && !metrics_merge (stdout, texts, got)) {
    cmd_error ("the servers are of different versions: choose one with "
               "--socket");
    status = CMD_FAILED;
  }
  for (size_t i = 0; i < n && answers; ++i)
    json_decref (answers[i]);
  free (answers);
  free (texts);
  servers_close (servers, n);
  return status;
}
