/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's side of a request: its commands, made, run, and freed. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "service/service-internal.h"
#include "multipath/hedge.h"

int
request_end (struct request *req)
{
  if (req->hedgeable)
    read_parts_free (req->parts);
  else if (req->parts != &req->part)
    free (req->parts);
  return req->error;
}

static int
init (struct request *req, struct map *map, enum request_op op,
      unsigned nr_parts, bool hedgeable)
{
  memset (req, 0, sizeof *req);
  req->map = map;
  req->op = op;
  req->nr_parts = nr_parts;
  req->parts = &req->part;
  req->hedgeable = hedgeable;
  if (nr_parts > 1 || hedgeable) {
    req->parts = hedgeable ? read_parts_new (nr_parts)
      : calloc (nr_parts, sizeof *req->parts);
    if (req->parts == NULL) {
      errno = ENOMEM;
      return -1;
    }
  }
  for (unsigned i = 0; i < nr_parts; ++i) {
    req->parts[i].req = req;
    req->parts[i].ops = &client_command_ops;
    req->parts[i].hedgeable = hedgeable;
    list_init (&req->parts[i].node);
  }
  return 0;
}

int
request_init (struct request *req, struct map *map, enum request_op op,
              unsigned nr_parts)
{
  return init (req, map, op, nr_parts, false);
}

int
request_transfer (struct request *req, struct map *map, void *buf,
                  uint32_t count, uint64_t offset, bool write, bool fua)
{
  const uint32_t bs = map->facts.block_size;
  const uint32_t limit = map->transfer_limit;
  unsigned i;

  if (count == 0 || count % bs != 0 || offset % bs != 0) {
    errno = EINVAL;
    return -1;
  }
  if (init (req, map, write ? OP_WRITE : OP_READ,
            count / limit + (count % limit != 0),
            !write && atomic_load_explicit (&map->hedges,
                                            memory_order_relaxed)) == -1)
    return -1;
  for (i = 0; i < req->nr_parts; ++i) {
    struct command *cmd = &req->parts[i];
    const uint32_t at = i * limit;
    const uint32_t bytes = count - at < limit ? count - at : limit;
    int len;

    cmd->lba = (offset + at) / bs;
    cmd->blocks = bytes / bs;
    cmd->modifies = write;
    len = write ? cdb_write (cmd->cdb, cmd->lba, cmd->blocks, fua)
                : cdb_read (cmd->cdb, cmd->lba, cmd->blocks, false);
    command_prepare (cmd, len, write ? SCSI_XFER_WRITE : SCSI_XFER_READ,
                     (char *) buf + at, bytes);
  }
  return 0;
}

void
requests_start (struct request *last)
{
  struct request *first = last;

  for (struct request *req = last; req != NULL; first = req, req = req->next) {
    req->parts_left = req->nr_parts;
    req->error = 0;
  }
  requests_submit (first->map->engine, first, last);
}
