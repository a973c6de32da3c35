/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands: those of our own, which no client has asked for. */
#include <config.h>

#include <string.h>

#include "iscsi/command.h"

void
command_prepare (struct command *cmd, int cdb_len, enum scsi_xfer_dir dir,
                 void *buf, uint32_t bytes)
{
  cmd->cdb_len = cdb_len;
  cmd->dir = dir;
  cmd->buf = buf;
  cmd->bytes = bytes;
}

static void
answer (struct work *w)
{
  struct command *cmd = container_of (w, struct command, answer);

  cmd->done (cmd, cmd->result, &cmd->sense);
}

void
command_internal (struct command *cmd, unsigned lun,
                  void (*done) (struct command *cmd, enum scsi_result result,
                                const struct sense *sense),
                  void *opaque)
{
  memset (cmd, 0, sizeof *cmd);
  list_init (&cmd->node);
  work_init (&cmd->answer, answer);
  cmd->lun = lun;
  cmd->done = done;
  cmd->opaque = opaque;
}

void
command_tell (struct engine *e, struct command *cmd, enum scsi_result result,
              const struct sense *sense)
{
  cmd->result = result;
  if (sense != NULL)
    cmd->sense = *sense;
  else
    cmd->sense.valid = false;
  engine_later (e, &cmd->answer);
}
