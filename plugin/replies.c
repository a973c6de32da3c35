/* SPDX-License-Identifier: BSD-3-Clause */
/* One system call per reply.
 *
 * nbdkit sends a reply in pieces: a structured reply to a read is its header,
 * the offset, and the data.  It marks all but the last with MSG_MORE, which
 * joins them on TCP, but which Unix sockets ignore: the client is woken for
 * each piece, and so are we by what it does then.  That costs more than all
 * else that this server does for a 4 KiB read.
 *
 * So nbdkit's send () is ours (hook.h): on a Unix socket, a piece with MSG_MORE
 * is kept and sent together with what follows, which is what MSG_MORE means
 * (send(2)).  nbdkit sends all pieces of a reply in one thread, with the
 * connection's write lock held, and a thread never serves two connections;
 * that is why what is kept can be the thread's. */
#include <config.h>

#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "plugin.h"
#include "hook.h"

static __thread struct {
  int fd_plus_1;                /* 0: none yet */
  bool is_unix;
  size_t size;
  char bytes[512];              /* headers are at most 32; block status has
                                   8 for each of its extents */
} kept;

static void
new_socket (int fd)
{
  int domain;
  socklen_t len = sizeof domain;

  kept.fd_plus_1 = fd + 1;
  kept.size = 0;
  kept.is_unix = getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
    domain == AF_UNIX;
}

static ssize_t
our_send (int fd, const void *buf, size_t n, int flags)
{
  if (kept.fd_plus_1 != fd + 1)
    new_socket (fd);
  if (!kept.is_unix)
    return send (fd, buf, n, flags);
  if ((flags & MSG_MORE) && n <= sizeof kept.bytes - kept.size) {
    memcpy (kept.bytes + kept.size, buf, n);
    kept.size += n;
    return n;
  }
  while (kept.size > 0) {
    struct iovec iov[2] = {
      { .iov_base = kept.bytes, .iov_len = kept.size },
      { .iov_base = (void *) buf, .iov_len = n }
    };
    const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
    const ssize_t r = sendmsg (fd, &msg, flags);

    if (r == -1)
      return -1;                /* EINTR: nbdkit tries this piece again */
    if ((size_t) r > kept.size) {
      n = r - kept.size;
      kept.size = 0;
      return n;
    }
    kept.size -= r;
    memmove (kept.bytes, kept.bytes + r, kept.size);
  }
  return send (fd, buf, n, flags);
}

/* Once, before the first connection.  False: all works, but slower. */
bool
replies_install (void)
{
  static const struct hook hooks[] = {
    { "send", (void *) our_send },
    { NULL, NULL }
  };

  return hook_library ((void *) nbdkit_error, "", hooks);
}
