/* SPDX-License-Identifier: BSD-3-Clause */
/* fake-iscsi-target: the medium.  In memory it is a hash table of chunks, so that
 * it may be as large as an LBA can say; in a file it is sparse. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake-iscsi-target.h"

#define BUCKETS 4096

struct chunk {
  struct chunk *next;
  uint64_t index;               /* lba / DISK_CHUNK */
  uint8_t data[];
};

struct disk {
  int fd;                       /* -1: in memory */
  uint32_t block_size;
  struct chunk *buckets[BUCKETS];
};

struct disk *
disk_open (const char *file, uint32_t block_size)
{
  struct disk *d = calloc (1, sizeof *d);

  if (d == NULL)
    die ("out of memory");
  d->block_size = block_size;
  d->fd = -1;
  if (file) {
    d->fd = open (file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (d->fd == -1)
      die ("fake-iscsi-target: %s: %s", file, strerror (errno));
  }
  return d;
}

void
disk_close (struct disk *d)
{
  struct chunk *c;

  for (int i = 0; i < BUCKETS; i++)
    while ((c = d->buckets[i]) != NULL) {
      d->buckets[i] = c->next;
      free (c);
    }
  if (d->fd != -1)
    close (d->fd);
  free (d);
}

static struct chunk **
find (struct disk *d, uint64_t index)
{
  struct chunk **p = &d->buckets[(index ^ index >> 20) % BUCKETS];

  while (*p != NULL && (*p)->index != index)
    p = &(*p)->next;
  return p;
}

bool
disk_read (struct disk *d, uint64_t lba, uint32_t blocks, uint8_t *buf)
{
  size_t bs = d->block_size;

  if (d->fd != -1) {
    size_t done = 0, want = blocks * bs;
    ssize_t n;

    for (; done < want; done += (size_t) n) {
      n = pread (d->fd, buf + done, want - done, (off_t) (lba * bs + done));
      if (n == -1)
        return false;
      if (n == 0) {             /* behind the end of the sparse file */
        memset (buf + done, 0, want - done);
        break;
      }
    }
    return true;
  }
  while (blocks > 0) {
    uint32_t at = (uint32_t) (lba % DISK_CHUNK), n = DISK_CHUNK - at;
    struct chunk *c = *find (d, lba / DISK_CHUNK);

    if (n > blocks)
      n = blocks;
    if (c)
      memcpy (buf, c->data + at * bs, n * bs);
    else
      memset (buf, 0, n * bs);
    buf += n * bs;
    lba += n;
    blocks -= n;
  }
  return true;
}

bool
disk_write (struct disk *d, uint64_t lba, uint32_t blocks, const uint8_t *buf)
{
  size_t bs = d->block_size;

  if (d->fd != -1) {
    size_t done = 0, want = blocks * bs;
    ssize_t n;

    for (; done < want; done += (size_t) n) {
      n = pwrite (d->fd, buf + done, want - done, (off_t) (lba * bs + done));
      if (n <= 0)
        return false;
    }
    return true;
  }
  while (blocks > 0) {
    uint32_t at = (uint32_t) (lba % DISK_CHUNK), n = DISK_CHUNK - at;
    struct chunk **p = find (d, lba / DISK_CHUNK);

    if (n > blocks)
      n = blocks;
    if (*p == NULL) {
      *p = calloc (1, sizeof **p + DISK_CHUNK * bs);
      if (*p == NULL)
        return false;
      (*p)->index = lba / DISK_CHUNK;
    }
    memcpy ((*p)->data + at * bs, buf, n * bs);
    buf += n * bs;
    lba += n;
    blocks -= n;
  }
  return true;
}

bool
disk_unmap (struct disk *d, uint64_t lba, uint64_t blocks)
{
  size_t bs = d->block_size;

  if (d->fd != -1)
    return fallocate (d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      (off_t) (lba * bs), (off_t) (blocks * bs)) == 0;
  if (blocks / DISK_CHUNK > BUCKETS) {
    /* Far more chunks than can exist in a test: look at those that do. */
    uint64_t end = lba + blocks;

    for (int i = 0; i < BUCKETS; i++)
      for (struct chunk **p = &d->buckets[i], *c; (c = *p) != NULL; ) {
        uint64_t first = c->index * DISK_CHUNK, last = first + DISK_CHUNK;
        uint64_t from = lba > first ? lba : first;
        uint64_t to = end < last ? end : last;

        if (from == first && to == last) {
          *p = c->next;
          free (c);
          continue;
        }
        if (from < to)
          memset (c->data + (from - first) * bs, 0, (to - from) * bs);
        p = &c->next;
      }
    return true;
  }
  while (blocks > 0) {
    uint32_t at = (uint32_t) (lba % DISK_CHUNK), n = DISK_CHUNK - at;
    struct chunk **p = find (d, lba / DISK_CHUNK), *c = *p;

    if (n > blocks)
      n = (uint32_t) blocks;
    if (c && n == DISK_CHUNK) {
      *p = c->next;
      free (c);
    }
    else if (c)
      memset (c->data + at * bs, 0, n * bs);
    lba += n;
    blocks -= n;
  }
  return true;
}

void
disk_sync (struct disk *d)
{
  if (d->fd != -1)
    fdatasync (d->fd);
}

bool
disk_mapped (struct disk *d, uint64_t lba, uint64_t max, uint64_t *run)
{
  size_t bs = d->block_size;
  bool mapped;
  uint64_t n;

  if (d->fd != -1) {
    off_t at = (off_t) (lba * bs), data = lseek (d->fd, at, SEEK_DATA), end;

    if (data == -1) {           /* only a hole is left */
      *run = max;
      return false;
    }
    mapped = data < at + (off_t) bs;
    end = mapped ? lseek (d->fd, data, SEEK_HOLE) : data;
    n = end == -1 ? max : (uint64_t) (end - at) / bs;
    *run = n == 0 ? 1 : n < max ? n : max;
    return mapped;
  }
  mapped = *find (d, lba / DISK_CHUNK) != NULL;
  n = DISK_CHUNK - lba % DISK_CHUNK;
  /* At most 65536 chunks are looked at: a shorter answer is an answer. */
  for (int i = 0; i < 65536 && n < max; i++, n += DISK_CHUNK)
    if ((*find (d, (lba + n) / DISK_CHUNK) != NULL) != mapped)
      break;
  *run = n < max ? n : max;
  return mapped;
}
