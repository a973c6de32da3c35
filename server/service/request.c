/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's side of a request: build its commands and hand them over; then
 * sleep until all are done, or be called.
 *
 * A request that is slept for lives on its worker's stack.  state is the only
 * field that worker and engine touch at the same time:
 *
 *   RUNNING  -> SLEEPING  by the worker, about to sleep (futex)
 *   RUNNING or SLEEPING -> DONE  by the engine; a sleeper is woken
 *
 * After DONE the engine does not touch the request again (the wake-up may
 * reach a futex word that is gone: harmless, at worst a spurious wake-up). */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "service/service-internal.h"
#include "multipath/hedge.h"

/* Milliseconds that a worker polls for its answer itself (server/README, Who
 * polls). */
#define SOLO_PATIENCE 4

enum { STATE_RUNNING, STATE_SLEEPING, STATE_DONE };

void
command_prepare (struct command *cmd, int cdb_len, enum scsi_xfer_dir dir,
                 void *buf, uint32_t bytes)
{
  cmd->cdb_len = cdb_len;
  cmd->dir = dir;
  cmd->buf = buf;
  cmd->bytes = bytes;
}

void
request_run (struct request *req)
{
  int expected = STATE_RUNNING;
  int fd;

  atomic_store_explicit (&req->state, STATE_RUNNING, memory_order_relaxed);
  req->parts_left = req->nr_parts;
  req->error = 0;
  engine_submit (req->map->engine, req, &fd);
  while (fd != -1 && atomic_load (&req->state) != STATE_DONE) {
    struct pollfd pfd = { .fd = fd, .events = POLLIN };

    engine_poll_done (req->map->engine, req,
                      poll (&pfd, 1, SOLO_PATIENCE) > 0, &fd);
  }
  if (!atomic_compare_exchange_strong (&req->state, &expected, STATE_SLEEPING))
    return;                     /* done already */
  do
    syscall (SYS_futex, &req->state, FUTEX_WAIT_PRIVATE, STATE_SLEEPING,
             NULL, NULL, 0);
  while (atomic_load (&req->state) != STATE_DONE);
}

void
requests_wake (struct request *req)
{
  struct request *called = NULL;

  while (req != NULL) {         /* the one that was completed last comes first */
    struct request *next = req->next;

    if (req->done != NULL) {
      req->next = called;
      called = req;
    }
    else if (atomic_exchange (&req->state, STATE_DONE) == STATE_SLEEPING)
      syscall (SYS_futex, &req->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    req = next;
  }
  while (called != NULL) {
    void (*const done) (struct request *) = called->done;
    struct request *others = NULL, **other = &others, *same = called,
      **last = &same;

    for (req = called; req != NULL; req = req->next)
      if (req->done == done) {
        *last = req;
        last = &req->next;
      }
      else {
        *other = req;
        other = &req->next;
      }
    *last = *other = NULL;
    called = others;
    done (same);
  }
}

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
  engine_submit_all (first->map->engine, first, last);
}
