/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of nexus-state.h: who owns them, reading and replacing them.
 *
 * strerrordesc_np, since the keeper runs beside other threads, and strerror
 * would want the locale. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rules/nexus-state.h"
#include "base/compat.h"
#include "base/state-dir.h"

#define PREFIX "nexus-"
/* A line of 1 KiB for each nexus, which is more than it can be. */
#define MAX_BYTES (MAX_NEXUSES * 1024)
/* Files that are looked at; more is somebody's mistake. */
#define MAX_FILES 4096

static void
__attribute__ ((format (printf, 2, 3)))
say (char err[ERR_SIZE], const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  vsnprintf (err, ERR_SIZE, fs, args);
  va_end (args);
}

static void
file_of (const struct nexus_state *st, uint32_t isid, const char *suffix,
         char path[512])
{
  snprintf (path, 512, "%s/" PREFIX "%06" PRIx32 "%s", st->dir, isid, suffix);
}

/* ---- locks --------------------------------------------------------------------- */

static bool
lock_byte (int fd, uint32_t at)
{
  struct flock lk = {
    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1,
  };

  return fcntl (fd, F_OFD_SETLK, &lk) == 0;
}

static void
unlock_byte (int fd, uint32_t at)
{
  struct flock lk = {
    .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1,
  };

  fcntl (fd, F_OFD_SETLK, &lk);
}

/* Does another process that lives have it? */
static bool
is_locked (int fd, uint32_t at)
{
  struct flock lk = {
    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1,
  };

  return fcntl (fd, F_OFD_GETLK, &lk) == -1 || lk.l_type != F_UNLCK;
}

/* Others hold it for the time of a few small files: a second at most. */
static bool
lock_directory (const struct nexus_state *st)
{
  for (int i = 0; i < 100; ++i) {
    if (lock_byte (st->lock, NEXUS_DIRECTORY))
      return true;
    if (errno != EAGAIN && errno != EACCES)
      return false;
    usleep (10000);
  }
  errno = EBUSY;
  return false;
}

/* ---- one file ------------------------------------------------------------------- */

/* Malloc'd; NULL: *why. */
static const char not_readable[] = "cannot be read";

static char *
read_file (const char *path, size_t *len, const char **why)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  struct stat st;
  char *text = NULL;
  ssize_t n;

  *why = not_readable;
  if (fd == -1) {
    if (errno == ELOOP)         /* O_NOFOLLOW */
      *why = "is no file";
    return NULL;
  }
  if (fstat (fd, &st) == -1)
    goto out;
  if (!S_ISREG (st.st_mode)) {
    *why = "is no file";
    goto out;
  }
  if (st.st_size > MAX_BYTES) {
    *why = "is larger than it may be";
    goto out;
  }
  text = malloc (st.st_size + 1);
  if (text == NULL)
    goto out;
  for (*len = 0; *len < (size_t) st.st_size; *len += n) {
    n = read (fd, text + *len, st.st_size - *len);
    if (n == -1 && errno == EINTR)
      n = 0;
    else if (n == -1) {
      free (text);
      text = NULL;
      goto out;
    }
    else if (n == 0)            /* shorter than it was */
      break;
  }
  text[*len] = '\0';

 out:
  close (fd);
  return text;
}

static bool
write_all (int fd, const char *text)
{
  size_t left = strlen (text);

  while (left > 0) {
    const ssize_t n = write (fd, text, left);

    if (n == -1 && errno != EINTR)
      return false;
    if (n > 0) {
      text += n;
      left -= n;
    }
  }
  return true;
}

static void
sync_directory (const char *dir)
{
  const int fd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd != -1) {
    fsync (fd);                 /* some file systems cannot, and need not */
    close (fd);
  }
}

/* Old or new, never in between: with SYNC also after a power failure. */
static int
replace (const struct nexus_state *st, uint32_t isid, const char *initiator,
         const struct nexus_list *list, bool sync, char err[ERR_SIZE])
{
  char *text = nexus_state_format (initiator, list);
  char path[512], temporary[512];
  bool good;
  int fd;

  file_of (st, isid, "", path);
  file_of (st, isid, ".new", temporary);
  if (text == NULL) {
    say (err, "%s: %s", path, strerrordesc_np (errno));
    return -1;
  }
  unlink (temporary);           /* of one who was killed here */
  fd = open (temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  state_give_to_owner (path, fd);
  good = fd != -1 && write_all (fd, text) && (!sync || fsync (fd) == 0);
  if (fd != -1 && close (fd) == -1)
    good = false;
  free (text);
  if (good && rename (temporary, path) == 0) {
    if (sync)
      sync_directory (st->dir);
    return 0;
  }
  say (err, "cannot write %s: %s", path, strerrordesc_np (errno));
  if (fd != -1)
    unlink (temporary);
  return -1;
}

/* ---- the directory --------------------------------------------------------------- */

/* The ISID in a file's name; false: it is not one of ours. */
static bool
isid_of (const char *name, uint32_t *isid)
{
  const size_t len = strlen (PREFIX);

  if (strncmp (name, PREFIX, len) != 0 || strlen (name) != len + 6 ||
      strspn (name + len, "0123456789abcdef") != 6)
    return false;
  *isid = strtoul (name + len, NULL, 16);
  return true;
}

static void
look_at (struct nexus_state *st, uint32_t isid, struct nexus_list *old,
         void (*warn) (const char *line))
{
  char path[512], aside[512], initiator[ISCSI_NAME_SIZE], line[ERR_SIZE];
  const size_t before = old->n;
  const char *why;
  bool foreign = false;
  size_t len;
  char *text;
  bool was_read;

  file_of (st, isid, "", path);
  text = read_file (path, &len, &why);
  was_read = text != NULL;
  if (was_read)
    why = nexus_state_parse (text, len, isid, old, initiator, &foreign);
  free (text);
  if (was_read && why == NULL) {
    if (old->n == before && st->isid_random == 0 &&
        strcmp (initiator, st->initiator) == 0 && lock_byte (st->lock, isid))
      st->isid_random = isid;
    return;
  }
  /* Said once.  What another version can read is left to it, and what may be
   * readable another time (no descriptor, no memory) to then. */
  file_of (st, isid, ".bad", aside);
  say (line, "%s %s: what the server before has sent and was not answered is "
       "not fenced%s", path, why,
       !foreign && why != not_readable && strstr (why, "memory") == NULL &&
       rename (path, aside) == 0 ? " (file renamed)" : "");
  warn (line);
}

/* Takes a clean file's ISID, if there is one. */
static void
look_around (struct nexus_state *st, struct nexus_list *old,
             void (*warn) (const char *line))
{
  DIR *dir = opendir (st->dir);
  struct dirent *entry;
  unsigned files = 0;
  uint32_t isid;

  if (dir == NULL)
    return;                     /* nexus.lock could be opened */
  while ((entry = readdir (dir)) != NULL && files < MAX_FILES)
    if (isid_of (entry->d_name, &isid) && !is_locked (st->lock, isid)) {
      look_at (st, isid, old, warn);
      files++;
    }
  closedir (dir);
}

/* One that no server has, and none has left behind. */
static bool
new_isid (struct nexus_state *st)
{
  for (int i = 0; i < 1000; ++i) {
    struct stat sb;
    char path[512];
    uint32_t isid;

    if (getrandom (&isid, sizeof isid, 0) != sizeof isid)
      isid = (uint32_t) time (NULL) ^ ((uint32_t) getpid () << 12) ^ i;
    isid &= 0xffffff;
    file_of (st, isid, "", path);
    if (isid == 0 || lstat (path, &sb) == 0 || !lock_byte (st->lock, isid))
      continue;
    st->isid_random = isid;
    return true;
  }
  return false;
}

const char *
nexus_record_name (enum nexus_record record)
{
  static const char *const names[] = {
    [NEXUS_RECORD_KEPT] = "kept",
    [NEXUS_RECORD_OFF] = "off",
    [NEXUS_RECORD_MISSING] = "missing",
    [NEXUS_RECORD_WITHOUT] = "without",
  };

  return names[record];
}

int
nexus_state_open (struct nexus_state *st, const char *dir,
                  const char *initiator, struct nexus_list *old,
                  void (*warn) (const char *line), char err[ERR_SIZE])
{
  return nexus_state_open_as (st, dir, initiator, 0, old, warn, err);
}

int
nexus_state_open_as (struct nexus_state *st, const char *dir,
                     const char *initiator, uint32_t isid,
                     struct nexus_list *old, void (*warn) (const char *line),
                     char err[ERR_SIZE])
{
  const struct nexus_list none = { NULL, 0, 0 };
  char path[512];
  bool found;

  st->lock = -1;
  st->isid_random = 0;
  snprintf (st->initiator, sizeof st->initiator, "%s", initiator);
  if (dir != NULL)
    snprintf (path, sizeof path, "%s/nexus.lock", dir);
  else
    state_file ("nexus.lock", path, sizeof path);
  if (strlen (path) >= sizeof st->dir) {
    say (err, "%s: the name is too long", path);
    return -1;
  }
  strcpy (st->dir, path);
  *strrchr (st->dir, '/') = '\0';
  state_make_folders (path);
  st->lock = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (st->lock == -1) {
    say (err, "cannot open %s: %s", path, strerrordesc_np (errno));
    return -1;
  }
  state_give_to_owner (path, st->lock);
  if (!lock_directory (st)) {
    say (err, "cannot lock %s: %s", path, strerrordesc_np (errno));
    goto failed;
  }
  if (isid != 0) {
    if (!lock_byte (st->lock, isid)) {
      say (err, "%s: another server has our ISID", path);
      goto failed;
    }
    st->isid_random = isid;
  }
  look_around (st, old, warn);
  found = isid == 0 && st->isid_random != 0;
  if (!found && isid == 0 && !new_isid (st)) {
    say (err, "cannot lock %s: %s", path, strerrordesc_np (errno));
    goto failed;
  }
  /* Better to know now than at the first write whether it can be written. */
  if (found && access (st->dir, W_OK | X_OK) == -1) {
    say (err, "cannot write to %s: %s", st->dir, strerrordesc_np (errno));
    goto failed;
  }
  /* What is in OLD must be fenced all the same; save () will try again. */
  if (!found &&
      replace (st, st->isid_random, st->initiator, &none, false, err) == -1)
    warn (err);
  unlock_byte (st->lock, NEXUS_DIRECTORY);
  return 0;

 failed:
  nexus_state_close (st);
  return -1;
}

int
nexus_state_save (const struct nexus_state *st, const struct nexus_list *mine,
                  char err[ERR_SIZE])
{
  return replace (st, st->isid_random, st->initiator, mine, true, err);
}

int
nexus_state_drop (const struct nexus_state *st, uint32_t isid,
                  const char *wwid, char err[ERR_SIZE])
{
  struct nexus_list list = { NULL, 0, 0 };
  char path[512], initiator[ISCSI_NAME_SIZE];
  const char *why;
  bool foreign;
  char *text;
  size_t len, i, n = 0;
  int r = 0;

  file_of (st, isid, "", path);
  if (!lock_directory (st)) {
    say (err, "%s: %s", path, strerrordesc_np (errno));
    return -1;
  }
  /* Gone, or another server's by now: somebody else has fenced it as well. */
  if (is_locked (st->lock, isid) ||
      (text = read_file (path, &len, &why)) == NULL)
    goto out;
  if (nexus_state_parse (text, len, isid, &list, initiator, &foreign) == NULL) {
    for (i = 0; i < list.n; ++i)
      if (strcmp (list.v[i].wwid, wwid) != 0)
        list.v[n++] = list.v[i];
    if (n == 0) {
      unlink (path);
      sync_directory (st->dir);
    }
    else if (n < list.n) {
      list.n = n;
      r = replace (st, isid, initiator, &list, true, err);
    }
  }
  free (text);

 out:
  unlock_byte (st->lock, NEXUS_DIRECTORY);
  nexus_list_free (&list);
  return r;
}

void
nexus_state_close (struct nexus_state *st)
{
  if (st->lock != -1)
    close (st->lock);
  st->lock = -1;
}
