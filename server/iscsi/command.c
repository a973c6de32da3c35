/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands: those of our own, which no client has asked for. */
#include <config.h>

#include <string.h>

#include "iscsi/command.h"
#include "iscsi/session.h"

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

static void
answered (struct command *cmd, enum scsi_result result,
          const struct sense *sense)
{
  cmd->result = result;
  cmd->sense = *sense;
  engine_later (cmd->session->engine, &cmd->answer);
}

static void
lost (struct command *cmd)
{
  const struct sense none = { .valid = false };

  answered (cmd, RESULT_LOST, &none);
}

static const struct command_ops internal_ops = { answered, lost };

void
command_internal (struct command *cmd, unsigned lun,
                  void (*done) (struct command *cmd, enum scsi_result result,
                                const struct sense *sense),
                  void *opaque)
{
  memset (cmd, 0, sizeof *cmd);
  list_init (&cmd->node);
  cmd->ops = &internal_ops;
  work_init (&cmd->answer, answer);
  cmd->lun = lun;
  cmd->done = done;
  cmd->opaque = opaque;
}
