/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules of health.h. */
#include <config.h>

#include "rules/health.h"

enum health_verdict
health_check (const struct health_input *in)
{
  const bool waiting = in->oldest_command > 0 || in->ping_sent > 0;
  double asked, silence;

  if (!waiting) {
    if (in->noop_out_interval > 0 &&
        in->now - in->last_rx >= in->noop_out_interval)
      return HEALTH_PING;
    return HEALTH_OK;
  }

  /* Since when do we wait for anything at all? */
  asked = in->oldest_command > 0 &&
    (in->ping_sent <= 0 || in->oldest_command < in->ping_sent)
    ? in->oldest_command : in->ping_sent;
  silence = in->now - (asked > in->last_rx ? asked : in->last_rx);

  if (in->unacked_since > 0) {
    const double patience =
      in->alternative ? HEALTH_NET_DEAD : in->fast_io_fail_tmo;

    if (patience >= 0 && silence >= patience &&
        in->now - in->unacked_since >= patience)
      return HEALTH_DEAD_NETWORK;
  }

  if (in->ping_sent > 0 && in->now - in->ping_sent >= in->noop_out_timeout &&
      silence >= in->noop_out_timeout &&
      in->alternative && in->others_last_rx > in->ping_sent)
    return HEALTH_DEAD_SILENT;

  if (in->command_timeout > 0 && silence >= in->command_timeout)
    return HEALTH_DEAD_COMMAND;
  /* Answers to other things come in, but not to this: the only way to end
   * a command that the target has lost is to end its nexus. */
  if (in->command_timeout > 0 && in->oldest_command > 0 &&
      in->now - in->oldest_command >= in->command_timeout)
    return HEALTH_DEAD_COMMAND;

  if (in->ping_sent <= 0 && in->noop_out_interval > 0) {
    const double limit = in->noop_out_interval < HEALTH_BUSY_PING
      ? in->noop_out_interval : HEALTH_BUSY_PING;

    if (silence >= limit)
      return HEALTH_PING;
  }
  return HEALTH_OK;
}

#define BACKOFF_FIRST 0.1
#define BACKOFF_CHEAP_CAP 1.5

double
backoff_delay (unsigned attempt, bool cheap, double cap, double random)
{
  double delay = BACKOFF_FIRST;

  /* The wait and the attempt after it must fit into one polling interval. */
  cap /= 2;
  if (cheap && cap > BACKOFF_CHEAP_CAP)
    cap = BACKOFF_CHEAP_CAP;
  while (attempt-- > 0 && delay < cap)
    delay *= 2;
  if (delay > cap)
    delay = cap;
  return delay * (0.75 + random / 4);
}

double
loss_delay (double dev_loss_tmo, double fast_io_fail_tmo, int no_path_retry,
            double polling_interval)
{
  double delay = dev_loss_tmo;

  if (dev_loss_tmo < 0 || no_path_retry < 0)
    return -1;
  if (delay < fast_io_fail_tmo)
    delay = fast_io_fail_tmo;
  if (delay < no_path_retry * polling_interval)
    delay = no_path_retry * polling_interval;
  return delay;
}
