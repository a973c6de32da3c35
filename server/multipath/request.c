/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of a request are over one by one; with the last of them it is
 * complete.  Lock held. */
#include <config.h>

#include "multipath/hedge.h"
#include "multipath/request.h"

void
request_part_over (struct engine *e, struct request *req, int error)
{
  if (error != 0 && req->error == 0)
    req->error = error;
  if (--req->parts_left == 0) {
    if (req->hedgeable)
      read_parts_abandon (req);
    req->next = e->completed;
    e->completed = req;
  }
}

void
request_part_done (struct engine *e, struct command *cmd, int error)
{
  request_part_over (e, cmd->req, error);
}
