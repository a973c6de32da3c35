/* SPDX-License-Identifier: BSD-3-Clause */
/* Is a session alive?  How long to wait before logging in again?  And how
 * long to remember the paths of one that is lost?
 *
 * Pure: time is an argument, in seconds.  The rules (issue: path health):
 *
 * - Dead network: what we sent is not even acknowledged by TCP, which a live
 *   peer does within 200 ms, however busy its target is.  (Retransmissions
 *   are no measure: the kernel does not count those that a local firewall
 *   drops.)  With another way to the LUN the session is given up after
 *   HEALTH_NET_DEAD, else after fast_io_fail_tmo: one lost second must not
 *   cost the last path.
 * - Silence: TCP acknowledges but nothing is answered.  Ask with a NOP-Out.
 *   When it stays unanswered for noop_out_timeout while another path to the
 *   LUN does answer, this one is dead; when all are silent alike the target
 *   is busy, and nothing is gained by failing them: wait up to the command
 *   timeout.
 * - A slow command on a session whose NOPs are answered is a slow command.
 */
#ifndef MPISCSI_HEALTH_H
#define MPISCSI_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds of unacknowledged data before the network counts as dead. */
#define HEALTH_NET_DEAD 0.8
/* Silence with commands in flight before we ask (noop_out_interval is for
 * idle sessions). */
#define HEALTH_BUSY_PING 0.5

struct health_input {
  double now;
  double last_rx;               /* when bytes last came in on the session */
  double oldest_command;        /* submit time of the oldest one; 0 none */
  double ping_sent;             /* NOP-Out under way since; 0 none */
  /* Since when TCP has not acknowledged a byte of what is under way; 0:
   * nothing is, or the last look found progress. */
  double unacked_since;
  bool alternative;             /* another usable path for each LUN here */
  double others_last_rx;        /* latest answer on any alternative; 0 none */
  /* Options. */
  double noop_out_interval;     /* <= 0: no NOPs */
  double noop_out_timeout;
  double fast_io_fail_tmo;      /* < 0: off */
  double command_timeout;
};
enum health_verdict {
  HEALTH_OK,
  HEALTH_PING,                  /* send a NOP-Out now */
  HEALTH_DEAD_NETWORK,
  HEALTH_DEAD_SILENT,
  HEALTH_DEAD_COMMAND,          /* command timeout */
};
extern enum health_verdict health_check (const struct health_input *in);

/* Seconds before attempt number ATTEMPT (0 = the first after a loss).
 * CHEAP: the portal answered "refused", so that asking often costs nothing.
 * CAP: polling_interval.  RANDOM in [0, 1): jitter, so that a thousand
 * initiators do not come back in step. */
extern double backoff_delay (unsigned attempt, bool cheap, double cap,
                             double random);

/* Seconds that the paths of a lost session are kept; < 0: for ever.  The
 * arguments are the options of the map, and as in multipath-tools: never
 * while I/O may queue for ever (NO_PATH_RETRY_QUEUE), and not before
 * fast_io_fail_tmo and the end of a limited queueing. */
extern double loss_delay (double dev_loss_tmo, double fast_io_fail_tmo,
                          int no_path_retry, double polling_interval);

#endif /* MPISCSI_HEALTH_H */
