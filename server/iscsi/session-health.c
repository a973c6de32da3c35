/* SPDX-License-Identifier: BSD-3-Clause */
/* Is the session alive?  What health.h needs to know is read here, from TCP
 * and from the other paths, and what it says is done.  Service thread. */
#include <config.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "iscsi/session-internal.h"
#include "iscsi/wire.h"
#include "iscsi/tcp-info.h"
#include "rules/health.h"

/* With the server going down, what is in flight gets this long. */
#define SHUTDOWN_GRACE 2.0

static void
nop_cb (struct iscsi_context *ctx, int status, void *data, void *opaque)
{
  struct session *s = opaque;

  (void) ctx;
  (void) data;
  s->ping_sent = 0;
  if (status != SCSI_STATUS_GOOD && !s->dying)
    session_kill (s, FAIL_LOST, "connection lost");
}

/* Does something wait that a live peer would have acknowledged?  What a local
 * firewall drops counts as not sent.  A target that does not read leaves no
 * window, and then nothing can be told: its kernel answers for it. */
static bool
waits_for_ack (const struct linux_tcp_info *tcp, socklen_t len)
{
  const bool window_known =
    len >= offsetof (struct linux_tcp_info, snd_wnd) + sizeof tcp->snd_wnd;

  if (window_known && tcp->snd_wnd == 0)
    return false;
  return tcp->unacked > 0 ||
    (tcp->notsent_bytes > 0 && (window_known || tcp->probes > 0));
}

static void
look_at_tcp (struct session *s, double now)
{
  struct linux_tcp_info tcp;
  socklen_t len = sizeof tcp;

  memset (&tcp, 0, sizeof tcp);
  if (getsockopt (session_fd (s), IPPROTO_TCP, TCP_INFO,
                  &tcp, &len) == -1 ||
      len < offsetof (struct linux_tcp_info, min_rtt) ||
      !waits_for_ack (&tcp, len))
    s->unacked_since = 0;
  else if (s->unacked_since == 0 || s->bytes_acked != tcp.bytes_acked) {
    s->unacked_since = now;
    s->bytes_acked = tcp.bytes_acked;
  }
}

void
session_ping (struct session *s, double now)
{
  if (s->wire != NULL ? ffp_ping (wire_ffp (s->wire))
      : iscsi_nop_out_async (s->ctx, nop_cb, NULL, 0, s) == 0) {
    s->ping_sent = now;
    session_flush (s);
  }
}

static void
check_health (struct session *s, double now)
{
  const struct settings *st = s->engine->settings;
  struct health_input in = {
    .now = now, .last_rx = s->last_rx, .ping_sent = s->ping_sent,
    .noop_out_interval = st->noop_out_interval,
    .noop_out_timeout = st->noop_out_timeout,
    .fast_io_fail_tmo = st->defaults.fast_io_fail_tmo,
    .command_timeout = st->command_timeout,
  };

  if (!session_is_connected (s) || s->dying ||
      !session_is_full_feature (s->state) ||
      s->ops->others == NULL)
    return;
  if (s->engine->shutdown && s->nr_in_flight > 0 &&
      now - s->engine->shutdown_at > SHUTDOWN_GRACE) {
    session_kill (s, FAIL_LOST, "not answered before the server's end");
    return;
  }
  if (!list_empty (&s->in_flight))
    in.oldest_command =
      list_entry (s->in_flight.next, struct command, node)->submitted;
  if (in.oldest_command > 0 || in.ping_sent > 0) {
    look_at_tcp (s, now);
    in.unacked_since = s->unacked_since;
    in.alternative = s->ops->others (s, now, &in.others_last_rx);
  }

  switch (health_check (&in)) {
  case HEALTH_OK:
    break;
  case HEALTH_PING:
    session_ping (s, now);
    if (in.oldest_command > 0)
      s->ops->ask_others (s, now);
    break;
  case HEALTH_DEAD_NETWORK:
    session_kill (s, FAIL_LOST, "no TCP acknowledgement for %.1f s",
                  now - s->unacked_since);
    break;
  case HEALTH_DEAD_SILENT:
    session_kill (s, FAIL_LOST, "ping timeout of %g secs expired, while "
                  "another path answers", st->noop_out_timeout);
    break;
  case HEALTH_DEAD_COMMAND:
    session_kill (s, FAIL_LOST, "command timeout of %g secs expired",
                  st->command_timeout);
    break;
  }
}

void
session_tick (struct session *s, double now)
{
  check_health (s, now);
  if (s->worker_polls && !s->used)
    session_unsolo (s);
  s->used = false;
  /* After TASK SET FULL the depth comes back slowly. */
  if (s->depth < s->engine->settings->queue_depth && s->limit_now > 0)
    s->limit_now = ++s->depth;
}
