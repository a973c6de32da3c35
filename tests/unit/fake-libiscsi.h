/* SPDX-License-Identifier: BSD-3-Clause */
/* A libiscsi that plays, as far as it is used: it connects and logs in.  Linked
 * in place of the real one, with a target behind it that dies, hangs, answers in
 * any order, and lies, on request.
 *
 * fake-libiscsi.c: the functions of libiscsi, and the watch over their use.
 * fake-libiscsi-wire.c: the target's end of the connections: login, and then
 *   pdu-target.c, a target that is strict about each byte.
 * fake-libiscsi-target.c: portals, LUNs and disks, and what they answer.
 *
 * Each connection is a real socket pair, so that libev really polls, and bytes
 * are really sent.  The target executes a command after a delay drawn from the
 * portal's range (in order of the time that is due, so in any order).
 *
 * Misuse ends the process, with a line on stderr that begins with
 * "fake-libiscsi: misuse:" or "pdu-target:": a context used by two threads at a
 * time, from inside a callback where libiscsi cannot bear it, or after it was
 * destroyed; a context left over at the end; a PDU that is not as RFC 7143 has it.
 */
#ifndef FAKE_LIBISCSI_H
#define FAKE_LIBISCSI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "base/list.h"

#define FAKE_TARGET "iqn.2026-11.test.fake:disk"

struct fake_disk;
struct fake_portal;
struct pt_command;
struct pt_ops;

/* ---- for tests: any thread ------------------------------------------------- */

extern void fake_start (unsigned seed);
/* Checks that no context is left; frees disks and portals. */
extern void fake_end (void);

/* Disks of equal ID have the same WWID and are otherwise independent. */
extern struct fake_disk *fake_disk_new (unsigned id, uint64_t blocks,
                                        uint32_t block_size);
extern const char *fake_disk_wwid (const struct fake_disk *d);
extern void fake_disk_read (struct fake_disk *d, uint64_t lba, void *buf,
                            uint32_t blocks);
extern void fake_disk_resize (struct fake_disk *d, uint64_t blocks);
/* The longest transfer that it takes, and says so. */
extern void fake_disk_limit (struct fake_disk *d, uint32_t blocks);

/* ADDRESS as it is given to iscsi_connect_async: "127.0.0.1:3260". */
extern struct fake_portal *fake_portal_new (const char *address);
/* N of them, 127.0.0.1:4001 and so on, all to DISK as LUN 1. */
extern void fake_portals_new (struct fake_portal **portal, unsigned n,
                              struct fake_disk *disk);
/* D == NULL: no such LUN (any more). */
extern void fake_map_lun (struct fake_portal *p, unsigned lun,
                          struct fake_disk *d);
/* The same, and no nexus sees it happen: the connections are closed. */
extern void fake_replace_lun (struct fake_portal *p, unsigned lun,
                              struct fake_disk *d);

enum fake_connect {
  FAKE_CONNECT_OK,
  FAKE_CONNECT_REFUSED,         /* told by SO_ERROR */
  FAKE_CONNECT_AT_ONCE,         /* iscsi_connect_async returns -1 */
  FAKE_CONNECT_FAILED,          /* told by the callback */
  FAKE_CONNECT_LOST,            /* never told */
};
enum fake_login {
  FAKE_LOGIN_OK,
  FAKE_LOGIN_FAILS,             /* with TEXT */
  FAKE_LOGIN_REDIRECT,          /* 0101h, to the address TEXT */
  FAKE_LOGIN_LOST,              /* never told */
};
enum fake_logout {
  FAKE_LOGOUT_OK,
  FAKE_LOGOUT_CLOSES,           /* closes the connection before it answers */
  FAKE_LOGOUT_LOST,
};
extern void fake_set_connect (struct fake_portal *p, enum fake_connect how);
extern void fake_set_login (struct fake_portal *p, enum fake_login how,
                            const char *text);
enum fake_tmf {
  FAKE_TMF_OK,
  FAKE_TMF_REFUSED,             /* response 5: not supported */
  FAKE_TMF_LOST,                /* never answered, and not done */
  FAKE_TMF_DROPS,               /* done, answered, and all sessions closed */
};
/* Of LOGICAL UNIT RESET, and of ABORT TASK. */
extern void fake_set_reset (struct fake_portal *p, enum fake_tmf how);
extern void fake_set_abort (struct fake_portal *p, enum fake_tmf how);
/* LOGICAL UNIT RESET by another initiator. */
extern void fake_reset_lun (struct fake_portal *p, unsigned lun);
/* LOGICAL UNIT RESETs that were done, of ours. */
extern unsigned fake_resets (void);
extern void fake_set_logout (struct fake_portal *p, enum fake_logout how);
/* Time from command to answer, in microseconds. */
extern void fake_set_delay (struct fake_portal *p, unsigned min, unsigned max);
/* Nothing is executed or answered, connections stay. */
extern void fake_set_silent (struct fake_portal *p, bool silent);
/* The socket is full: nothing is taken. */
extern void fake_set_choked (struct fake_portal *p, bool choked);
/* What it says at login; -1, as at first: nothing. */
extern void fake_set_portal_group (struct fake_portal *p, int tag);
/* What TCP_INFO says of its connections. */
extern void fake_set_tcp (struct fake_portal *p, unsigned unacked,
                          unsigned retransmits);
/* New logins get parameters by lot: digests, lengths, windows, orders. */
extern void fake_set_wild (bool wild);
/* Close all connections of P.  What was under way is executed or not, and
 * its answer comes through or not, by lot. */
extern void fake_kill (struct fake_portal *p);
/* SendTargets of every portal: TARGET at these portals, "ip:port,tpgt" each,
 * NULL at the end. */
extern void fake_offer (const char *target, const char *const *portals);

/* What P does to the next COUNT commands that match. */
struct fake_fault {
  int opcode;                   /* first byte of the CDB; -1 any */
  int lun;                      /* -1 any */
  unsigned count;
  int status;                   /* SCSI_STATUS_* */
  uint8_t key, asc, ascq;       /* with CHECK CONDITION */
  uint32_t residual;            /* GOOD, but so many bytes are missing */
  bool silent;                  /* and that is not told */
  bool execute;                 /* executed, whatever is answered */
  unsigned half_ms;             /* half of a read's data, the rest so much later */
  bool hang;                    /* never answered */
  bool die;                     /* the connection is closed instead */
};
extern void fake_fault (struct fake_portal *p, struct fake_fault fault);
/* Takes back what was not used of them. */
extern void fake_forget_faults (struct fake_portal *p);
/* The same by lot, so many of 1000 commands. */
enum fake_trouble {
  FAKE_BUSY, FAKE_TASK_SET_FULL, FAKE_ATTENTION, FAKE_ABORTED, FAKE_SHORT_READ,
  FAKE_DIE, FAKE_HALF, NR_FAKE_TROUBLES
};
extern void fake_set_chance (struct fake_portal *p, enum fake_trouble trouble,
                             unsigned permille);

extern unsigned fake_logins (struct fake_portal *p);
/* The most connections at a time that were not logged in (yet), since the
 * last call. */
extern unsigned fake_logins_at_once (struct fake_portal *p);
/* Executed ones: reads, writes and flushes. */
extern unsigned fake_executed (struct fake_portal *p);
extern unsigned fake_troubles (enum fake_trouble trouble);
extern unsigned fake_deaths (void);
/* Commands that a portal has got and not answered. */
extern unsigned fake_waiting (struct fake_portal *p);

/* ---- between the two files: fake_lock held ---------------------------------- */

#define FAKE_MAX_LUNS 16
#define FAKE_MAX_FAULTS 16

enum fake_kind {
  FAKE_CMD_SCSI, FAKE_CMD_NOP, FAKE_CMD_LOGIN, FAKE_CMD_LOGOUT,
  FAKE_CMD_DISCOVERY, FAKE_CMD_LUN_RESET, FAKE_CMD_ABORT_TASK,
};

struct fake_command {
  struct list node;             /* in the connection's target */
  enum fake_kind kind;
  uint32_t itt;                 /* of all but FAKE_CMD_SCSI */
  uint32_t ritt;                /* of the task to be aborted */
  struct pt_command *pt;        /* FAKE_CMD_SCSI */
  uint8_t cdb[16];
  unsigned lun;
  uint8_t *data;                /* our copy of what goes out or comes in */
  uint32_t len;
  int status;
  uint8_t key, asc, ascq;
  uint32_t residual;
  bool silent;
  bool die;                     /* the connection ends instead */
  unsigned half_ms;             /* to be delivered in two pieces */
  bool rest;                    /* the first one was */
  double due;                   /* monotonic */
};

struct fake_portal {
  struct list node;
  char address[64];
  struct fake_disk *luns[FAKE_MAX_LUNS];
  enum fake_connect connect;
  enum fake_login login;
  enum fake_logout logout;
  enum fake_tmf reset, abort;
  char login_text[200];
  unsigned delay_min, delay_max;
  bool silent, choked;
  bool tcp_known;
  unsigned tcp_unacked, tcp_retransmits;
  struct fake_fault faults[FAKE_MAX_FAULTS];
  unsigned chance[NR_FAKE_TROUBLES];
  int tpgt;
  unsigned logins, logins_at_once, executed;
};

extern pthread_mutex_t fake_lock;
extern const struct pt_ops fake_pt_ops;
extern void fake_misuse (const char *fs, ...)
  __attribute__ ((noreturn, format (printf, 1, 2)));
/* The caller's end of a new connection to P. */
extern int fake_conn_new (struct fake_portal *p);
extern void fake_wire_start (void);
extern void fake_wire_end (void);
extern unsigned fake_random (void);
extern double fake_now (void);
/* Executes CMD, or does to it what a fault says: status, sense, data. */
extern void fake_execute (struct fake_portal *p, struct fake_command *cmd,
                          bool *attention);
/* Only what it does to the disk: the nexus is gone. */
extern void fake_execute_unseen (struct fake_portal *p,
                                 struct fake_command *cmd);
/* The one with a fault that says "hang". */
extern bool fake_hangs (struct fake_portal *p, struct fake_command *cmd);
extern struct fake_portal *fake_find_portal (const char *address);
extern void fake_target_start (unsigned seed);
extern void fake_target_end (void);

#endif /* FAKE_LIBISCSI_H */
