/* SPDX-License-Identifier: BSD-3-Clause */
/* The files of key-state.h. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/state-dir.h"
#include "rules/key-state.h"

#define HEADER "mpiscsi-key 1\n"
#define PREFIX "key-"
#define HASH_DIGITS 16
/* A name, a WWID, and some words. */
#define MAX_BYTES 1024
/* More are somebody's mistake. */
#define MAX_FILES 16384

uint64_t
key_state_hash (const char *initiator, const char *wwid)
{
  const char *const words[] = { initiator, "\n", wwid };
  uint64_t h = UINT64_C (0xcbf29ce484222325);   /* FNV-1a */

  for (size_t i = 0; i < 3; ++i)
    for (const char *p = words[i]; *p; ++p)
      h = (h ^ (unsigned char) *p) * UINT64_C (0x100000001b3);
  return h;
}

int
key_state_format (const struct key_state *ks, char *text, size_t size)
{
  return snprintf (text, size, HEADER "initiator %s\nwwid %s\nkey %" PRIx64
                   "%s%s\nstate %s\n", ks->initiator, ks->wwid, ks->key,
                   ks->aptpl ? " aptpl" : "",
                   ks->all_tg_pt ? " all_tg_pt" : "",
                   ks->fenced ? "fenced" : "registered");
}

/* A WWID may have blanks in it (of T10 designators): all of the line. */
const char *
key_state_parse (const char *text, size_t len, struct key_state *ks)
{
  char again[MAX_BYTES], buf[MAX_BYTES + 1], flags[40] = "", state[12] = "";
  const char *at;
  int n;

  memset (ks, 0, sizeof *ks);
  if (len > MAX_BYTES || memchr (text, '\0', len) != NULL)
    return "is damaged";
  memcpy (buf, text, len);
  buf[len] = '\0';
  if (strncmp (buf, "mpiscsi-key ", 12) == 0 &&
      strncmp (buf, HEADER, strlen (HEADER)) != 0)
    return "is of another version of mpiscsi";
  /* The widths are those of the fields less one. */
  _Static_assert (ISCSI_NAME_SIZE == 224 && WWID_SIZE == 256,
                  "the widths in sscanf");
  at = strstr (buf, "\nstate ");
  if (sscanf (buf, HEADER "initiator %223[^\n]\nwwid %255[^\n]\nkey %16" SCNx64
              "%39[^\n]", ks->initiator, ks->wwid, &ks->key, flags) < 3 ||
      ks->key == 0 || at == NULL || sscanf (at, " state %11s", state) != 1)
    return "is damaged";
  ks->aptpl = strstr (flags, " aptpl") != NULL;
  ks->all_tg_pt = strstr (flags, " all_tg_pt") != NULL;
  ks->fenced = strcmp (state, "fenced") == 0;
  ks->hash = key_state_hash (ks->initiator, ks->wwid);
  /* Nothing else is in it. */
  n = key_state_format (ks, again, sizeof again);
  if (n < 0 || (size_t) n != len || memcmp (again, text, len) != 0)
    return "is damaged";
  return NULL;
}

/* ---- files ----------------------------------------------------------------------- */

static void
file_of (const char *dir, uint64_t hash, const char *suffix, char path[512])
{
  char name[64];

  snprintf (name, sizeof name, PREFIX "%016" PRIx64 "%s", hash, suffix);
  if (dir)
    snprintf (path, 512, "%s/%s", dir, name);
  else
    state_file (name, path, 512);
}

static void
load_one (const char *path, uint64_t hash, const char *initiator,
          void (*found) (void *opaque, const struct key_state *ks),
          void *opaque, void (*warn) (const char *line))
{
  char text[MAX_BYTES + 1], line[ERR_SIZE];
  struct key_state ks;
  const char *why;
  const int fd = state_open (path, O_RDONLY, &why);
  ssize_t n;

  memset (&ks, 0, sizeof ks);
  if (fd == -1 && errno == ENOENT)
    return;
  if (fd != -1) {
    n = read (fd, text, sizeof text);
    why = n < 0 ? strerrordesc_np (errno) : key_state_parse (text, n, &ks);
    if (why == NULL && ks.hash != hash)
      why = "has the name of another one";
    close (fd);
  }
  if (why == NULL) {
    if (strcmp (ks.initiator, initiator) == 0)
      found (opaque, &ks);
    return;
  }
  snprintf (line, sizeof line, "%s %s: its disk is only used if our "
            "reservation key is still registered there", path, why);
  warn (line);
  memset (&ks, 0, sizeof ks);
  ks.hash = hash;
  ks.damaged = true;
  found (opaque, &ks);
}

void
key_state_load (const char *dir, const char *initiator,
                void (*found) (void *opaque, const struct key_state *ks),
                void *opaque, void (*warn) (const char *line))
{
  char path[512], folder[512];
  struct dirent *entry;
  unsigned files = 0;
  DIR *d;

  file_of (dir, 0, "", path);
  strcpy (folder, path);
  *strrchr (folder, '/') = '\0';
  d = opendir (folder);
  if (d == NULL)
    return;                     /* nobody has written anything */
  while ((entry = readdir (d)) != NULL && files < MAX_FILES) {
    const char *name = entry->d_name + strlen (PREFIX);
    uint64_t hash;

    if (strncmp (entry->d_name, PREFIX, strlen (PREFIX)) != 0 ||
        strlen (name) != HASH_DIGITS ||
        strspn (name, "0123456789abcdef") != HASH_DIGITS)
      continue;
    files++;
    hash = strtoull (name, NULL, 16);
    file_of (dir, hash, "", path);
    load_one (path, hash, initiator, found, opaque, warn);
  }
  closedir (d);
}

static void
sync_folder (char *path)
{
  char *slash = strrchr (path, '/');
  int fd;

  *slash = '\0';
  fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  *slash = '/';
  if (fd != -1) {
    fsync (fd);                 /* some file systems cannot, and need not */
    close (fd);
  }
}

int
key_state_save (const char *dir, const struct key_state *ks,
                char err[ERR_SIZE])
{
  const uint64_t hash = key_state_hash (ks->initiator, ks->wwid);
  char text[MAX_BYTES], path[512], temporary[512];
  const char *why = NULL;
  bool good = false;
  int len, fd;

  file_of (dir, hash, "", path);
  file_of (dir, hash, ".new", temporary);
  if (ks->key == 0) {
    if (unlink (path) == 0 || errno == ENOENT) {
      sync_folder (path);
      return 0;
    }
    snprintf (err, ERR_SIZE, "cannot remove %s: %s", path,
              strerrordesc_np (errno));
    return -1;
  }
  len = key_state_format (ks, text, sizeof text);
  unlink (temporary);           /* of one who was killed here */
  fd = state_open (temporary, O_RDWR, &why);
  if (fd != -1) {
    good = len > 0 && len < (int) sizeof text &&
      write (fd, text, len) == len && fsync (fd) == 0;
    why = strerrordesc_np (errno);
    if (close (fd) == -1)
      good = false;
  }
  if (good && rename (temporary, path) == 0) {
    sync_folder (path);
    return 0;
  }
  snprintf (err, ERR_SIZE, "cannot write %s: %s", path, why ? why : "?");
  if (fd != -1)
    unlink (temporary);
  return -1;
}
