/* SPDX-License-Identifier: BSD-3-Clause */
/* Which nbdkit runs us?  Its API does not say. */
#include <config.h>

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin.h"

extern char **environ;

/* What PROGRAM --version says first; false: nothing. */
static bool
ask_version (const char *program, char *text, size_t size)
{
  char *argv[] = { (char *) program, (char *) "--version", NULL };
  posix_spawn_file_actions_t actions;
  int pipe_fds[2], status;
  size_t len = 0;
  ssize_t n;
  pid_t pid;
  bool spawned;

  if (pipe2 (pipe_fds, O_CLOEXEC) == -1)
    return false;
  posix_spawn_file_actions_init (&actions);
  posix_spawn_file_actions_adddup2 (&actions, pipe_fds[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen (&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  spawned = posix_spawn (&pid, program, &actions, NULL, argv, environ) == 0;
  posix_spawn_file_actions_destroy (&actions);
  close (pipe_fds[1]);
  while (spawned && (n = read (pipe_fds[0], text + len, size - 1 - len)) > 0)
    len += n;
  text[len] = '\0';
  close (pipe_fds[0]);
  if (spawned)
    waitpid (pid, &status, 0);
  return len > 0;
}

/* 1.32.4 and 1.32.5 (Debian 12) abort when a client goes away while two of their
 * own replies wait for its full socket: upstream's 9d82aa4f, in 1.33.10. */
static bool
ends_with_its_clients (const char *version)
{
  return strcmp (version, "1.32.4") == 0 || strcmp (version, "1.32.5") == 0;
}

void
nbdkit_version_warn (void)
{
  char self[4096], text[200], version[32];
  const ssize_t n = readlink ("/proc/self/exe", self, sizeof self - 1);

  if (n <= 0)
    return;
  self[n] = '\0';
  if (ask_version (self, text, sizeof text) &&
      sscanf (text, "nbdkit %31s", version) == 1 && ends_with_its_clients (version))
    log_warning ("nbdkit %s may end, with the disks of all clients, when one of them goes away "
                 "in the middle of replies: use 1.34 or later, or mpiscsi serve (see \"Which front end\" "
                 "in nbdkit-mpiscsi-plugin(1))", version);
}
