/* SPDX-License-Identifier: BSD-3-Clause */
/* What getsockopt (TCP_INFO) of Linux 5.4 fills in: the kernel's ABI, which only grows at its end.
 *
 * Of our own, because linux/tcp.h cannot be included together with netinet/tcp.h, and glibc's
 * struct tcp_info has what its version has: 104 bytes before 2.42, more since then. */

#ifndef MPISCSI_TCP_INFO_H
#define MPISCSI_TCP_INFO_H

#include <stddef.h>
#include <stdint.h>

struct linux_tcp_info {
  uint8_t state, ca_state, retransmits, probes, backoff, options;
  uint8_t wscale, flags;                /* bit fields */
  uint32_t rto, ato, snd_mss, rcv_mss;
  uint32_t unacked, sacked, lost, retrans, fackets;
  uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
  uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
  uint32_t rcv_rtt, rcv_space, total_retrans;
  /* Since 4.6. */
  uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
  uint32_t segs_out, segs_in, notsent_bytes, min_rtt;
  /* Since 5.4, the window being the last. */
  uint32_t data_segs_in, data_segs_out;
  uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
  uint32_t delivered, delivered_ce;
  uint64_t bytes_sent, bytes_retrans;
  uint32_t dsack_dups, reord_seen, rcv_ooopack, snd_wnd;
};

/* As tools that read them print them (and linux/tcp.h has them). */
_Static_assert (offsetof (struct linux_tcp_info, unacked) == 24, "TCP_INFO");
_Static_assert (offsetof (struct linux_tcp_info, total_retrans) == 100, "TCP_INFO");
_Static_assert (offsetof (struct linux_tcp_info, pacing_rate) == 104, "TCP_INFO");
_Static_assert (offsetof (struct linux_tcp_info, bytes_acked) == 120, "TCP_INFO");
_Static_assert (offsetof (struct linux_tcp_info, notsent_bytes) == 144, "TCP_INFO");
_Static_assert (offsetof (struct linux_tcp_info, snd_wnd) == 228, "TCP_INFO");

#endif /* MPISCSI_TCP_INFO_H */
