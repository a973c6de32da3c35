/* SPDX-License-Identifier: BSD-3-Clause */
/* Internals of iscsi-proxy: see the top of iscsi-proxy.c for what it is.
 *
 * One thread, one poll loop.  A portal is one listening address with the
 * target behind it and the faults that are switched on for it.  A link is one
 * client connection and the target connection that belongs to it.
 *
 * Sequence numbers.  The proxy takes commands away (inject, hold), adds
 * answers (inject, async) and changes the order of answers, so the numbers of
 * the two sides differ:
 * - CmdSN: cmd_shift is the number of commands of this connection which the
 *   target has not been sent.  Towards the target CmdSN (and RefCmdSN) are
 *   lowered by it, towards the client ExpCmdSN and MaxCmdSN raised.
 * - StatSN: given anew to each answer in the order in which they are sent to
 *   the client.  unacked remembers which number of the target's became which
 *   number of ours, so that the client's ExpStatSN can be turned into the one
 *   that is right for the target: all below it has reached the client.
 */
#ifndef MPISCSI_TESTS_ISCSI_PROXY_H
#define MPISCSI_TESTS_ISCSI_PROXY_H

#include "iscsi-pdu.h"

struct inject {
  uint8_t status, key, asc, ascq;
  long count;                   /* answers left; -1: no end */
  struct cdb_filter filter;
};

struct hold {                   /* armed for writes that touch this range */
  uint64_t lba, blocks;
  long count;
  bool all;                     /* hold everything behind it as well */
};

#define MAX_ARMED 16
struct rules {
  int64_t delay_ms, slow_ms;
  int64_t delay_permille;       /* by lot */
  struct cdb_filter delay_filter;
  bool delay_filtered;
  bool drop_c2t, drop_t2c, pause, refuse, stop_accept;
  struct inject inject[MAX_ARMED];
  int n_inject;
  struct hold hold[MAX_ARMED];
  int n_hold;
  long corrupt;                 /* Data-In PDUs left to corrupt */
  long short_count;             /* reads left to shorten */
  uint32_t short_bytes;
  bool short_silent;            /* without a residual */
  unsigned reorder;             /* answers per batch; 0 off */
  int64_t reorder_ms;
  char redirect[ADDRESS_TEXT];  /* "" off */
  long redirect_count;          /* -1: no end */
  uint8_t wwid[32];
  size_t wwid_length;           /* 0 off */
  bool capacity_on;
  uint64_t capacity;            /* logical blocks */
};

struct stats {
  uint64_t c2t_pdus[64], t2c_pdus[64], scsi[256];
  uint64_t c2t_bytes, t2c_bytes, connections;
  uint64_t injected, dropped, corrupted, shortened, reordered;
  uint64_t held_lost;           /* the target closed before the release */
};

struct portal {
  struct address listen, target;
  char name[ADDRESS_TEXT];      /* of listen */
  int fd;                       /* -1: refuse */
  struct rules rules;
  struct stats stats;
};

struct task {                   /* a SCSI command that was not answered yet */
  uint32_t itt, edtl;
  uint8_t cdb[16];
  bool swallow;                 /* answered by us: its Data-Out goes nowhere */
  uint32_t short_bytes;
  bool short_silent;
};

struct held {                   /* a write that the target has not seen */
  struct held *next;
  uint8_t *command;             /* the whole PDU */
  uint8_t *data;                /* edtl bytes */
  uint32_t itt, edtl, got, unsolicited, r2tsn, r2t_end;
  bool released;
  uint64_t waiter;              /* control connection that wants the outcome */
};

struct answer {                 /* on the way to the client */
  struct answer *next;
  int64_t due;
  uint8_t *pdu;
  bool from_target;
};

struct unacked {
  uint32_t target_sn, client_sn;
  bool sent;
};

struct link {
  struct link *next;
  struct portal *portal;
  int cfd, tfd;                 /* -1: that side is gone */
  bool connected;               /* tfd */
  bool target_eof;
  bool close_client, doomed;    /* after the output; at once */
  bool full_feature, discovery, keep;
  struct bytes cin, cout, tin, tout;

  uint32_t cmd_shift, next_cmdsn; /* as the client counts */
  uint32_t exp_cmdsn, max_cmdsn; /* latest, as the target counts */
  bool cmdsn_known, statsn_known;
  uint32_t client_statsn, target_statsn; /* next of each side */
  struct unacked *unacked;
  size_t n_unacked, size_unacked;

  struct task *tasks;
  size_t n_tasks, size_tasks;
  struct answer *delayed;       /* by due */
  struct answer *batch;         /* reorder: newest first */
  unsigned n_batch;
  int64_t batch_due, slow_due;
  struct held *held;            /* in order of arrival */
  bool stuck;                   /* hold ... all: cin is not parsed any more */
  uint32_t target_mrdsl, max_burst;
};

extern struct portal portals[];
extern int n_portals;
extern struct link *links;

/* iscsi-proxy.c */
extern const char *map_address (const char *real); /* NULL: as it is */
extern void portal_listen (struct portal *p);
extern void link_cut (struct link *l, bool rst, bool client_only);

/* iscsi-proxy-pdu.c */
extern void from_client (struct link *l, uint8_t *pdu);
/* Targets do not tell their portal group at login. */
extern bool hide_group;
extern void from_target (struct link *l, uint8_t *pdu);
/* Sends what is due; returns when the next is, INT64_MAX for never. */
extern int64_t send_due (struct link *l, int64_t now);
extern void send_async (struct link *l, uint8_t event, uint8_t key,
                        uint8_t asc, uint8_t ascq);
extern void forget_answers (struct link *l);

/* iscsi-proxy-hold.c */
/* Takes the command if it is one to hold. */
extern bool hold_command (struct link *l, const uint8_t *pdu);
/* Data-Out of the client / R2T of the target: belongs to a held write? */
extern bool hold_data_out (struct link *l, const uint8_t *pdu);
extern bool hold_r2t (struct link *l, const uint8_t *pdu);
/* The released write was answered; status -1: it never will be. */
extern void hold_answered (struct link *l, uint32_t itt, int status);
extern int release_held (struct link *l, uint64_t waiter);
extern void forget_held (struct link *l);
extern bool is_held (const struct link *l, uint32_t itt);
/* Helpers of -pdu.c that -hold.c needs. */
extern void to_target (struct link *l, const uint8_t *pdu);
extern void to_client (struct link *l, uint8_t *pdu, bool from_target);
extern uint32_t expstatsn_for_target (struct link *l);

/* iscsi-proxy-control.c */
struct pollfd;
extern void control_listen (const char *path);
extern int control_poll (struct pollfd *fds, int max); /* returns how many */
extern void control_service (const struct pollfd *fds, int n);
extern int64_t control_timers (int64_t now);
extern void control_outcome (uint64_t waiter, int status);
extern void control_close (void);
extern int control_main (int argc, char **argv); /* the ctl mode */
extern const char control_help[];

#endif
