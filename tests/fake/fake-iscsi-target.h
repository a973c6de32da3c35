/* SPDX-License-Identifier: BSD-3-Clause */
/* Internals of fake-iscsi-target: see the top of fake-iscsi-target.c for what it is. */
#ifndef MPISCSI_TESTS_FAKE_ISCSI_TARGET_H
#define MPISCSI_TESTS_FAKE_ISCSI_TARGET_H

#include "iscsi-pdu.h"

/* What the unit is.  Lengths in bytes unless they say blocks. */
struct facts {
  uint64_t blocks;
  uint32_t block_size, physical_block_size;
  unsigned lowest_aligned;
  bool thin, lbprz, write_protect, wce, dpofua, caching_page, removable,
    no_medium, reserved, no_rc16, no_vpd, ndob;
  uint8_t device_type, protection; /* protection: type 1..3, 0 none */
  uint8_t qualifier;
  uint8_t owner_page;           /* C9h, C0h: the first portal owns the LUN; 0 */
  unsigned rotation;            /* VPD B1h: 1 SSD, else rpm, 0 unknown */
  uint32_t max_transfer, optimal_transfer; /* blocks, 0 unlimited */
  uint32_t max_unmap;           /* blocks per UNMAP descriptor list, 0 none */
  uint8_t wwid[16];
  size_t wwid_length;
  char serial[64], vendor[9], product[17];
};
extern struct facts facts;

struct lun {
  unsigned number;
  struct disk *disk;
};
#define MAX_LUNS 64
extern struct lun luns[MAX_LUNS];
extern int n_luns;

struct pending_write {
  struct pending_write *next;
  uint8_t command[BHS_SIZE];
  uint8_t *data;
  uint32_t edtl, got, asked, r2tsn, ttt;
};

#define CHAP_CHALLENGE 32       /* bytes; and the longest that we answer */

struct connection {
  struct connection *next;
  int fd, portal;
  struct bytes in, out, text;   /* text: rest of a continued answer */
  bool started, full_feature, discovery, closing, silent, storm, deaf;
  bool shrunk, grown, other_wwid, other_block_size; /* evil, since login */
  bool authenticated, chap_asked;
  uint8_t chap_id, chap_challenge[CHAP_CHALLENGE];
  char initiator[256];
  uint8_t isid[6];
  uint16_t tsih;
  uint32_t statsn, expcmdsn, mrdsl, max_burst, first_burst;
  bool initial_r2t, immediate_data;
  uint8_t ua_asc, ua_ascq;      /* unit attention; ua_asc 0: none */
  struct pending_write *writes;
};
extern struct connection *connections;

extern struct address portal_address[];
extern int portal_tpgt[];
extern int n_portals;
extern char target_name[];
extern bool opt_initial_r2t, opt_immediate_data;
extern uint32_t opt_max_burst, opt_first_burst, opt_mrdsl;
extern int opt_delay_ms;

/* fake-iscsi-target.c */
extern void connection_rst (struct connection *c);
extern void logout_session (struct connection *by); /* reinstatement */

/* fake-iscsi-target-login.c */
extern void handle_login (struct connection *c, uint8_t *pdu);
extern void handle_text (struct connection *c, uint8_t *pdu);

/* fake-iscsi-target-chap.c */
extern const char *chap_user, *chap_secret;     /* NULL: not demanded */
extern const char *chap_mutual_user, *chap_mutual_secret; /* NULL: cannot */
extern bool chap_discovery_only;
enum chap {
  CHAP_NOT_NOW,                 /* nothing to do with this request */
  CHAP_GOES_ON, CHAP_PASSED,    /* answer with what was put in out */
  CHAP_REFUSED,
};
extern enum chap chap_step (struct connection *c, uint8_t *pdu,
                            struct bytes *out);
extern bool md5_works (void);

/* fake-iscsi-target-io.c */
extern void handle_pdu (struct connection *c, uint8_t *pdu);
extern void forget_writes (struct connection *c);
/* A PDU with its StatSN, ExpCmdSN and MaxCmdSN; sn: it uses up a StatSN. */
extern void send_pdu (struct connection *c, uint8_t bhs[BHS_SIZE],
                      const void *data, size_t n, bool sn);

/* Hostile: the answer to any request is a Data-In, or an R2T, of its tag. */
extern void answer_with_data (struct connection *c, const uint8_t *pdu);
extern void answer_with_r2t (struct connection *c, const uint8_t *pdu);
/* NOP-In without end: some more of them, if the last ones are gone. */
extern void go_on_storming (struct connection *c);

/* fake-iscsi-target-scsi.c */
struct result {
  uint8_t status, key, asc, ascq;
  uint8_t *data;                /* malloced */
  size_t n;
};
extern void scsi_execute (struct connection *c, const uint8_t *lun_field,
                          const uint8_t *cdb, const uint8_t *out, size_t n_out,
                          struct result *r);
extern struct lun *find_lun (const uint8_t *lun_field);

/* fake-iscsi-target-alua.c: target port groups, and the control FIFO. */
extern void alua_option_groups (char *arg);
extern void alua_option_more (unsigned n);
extern bool alua_option (const char *name, const char *arg);
extern uint8_t alua_inquiry_tpgs (void);
extern int alua_inquiry_group (const struct connection *c);
extern uint8_t alua_inquiry_qualifier (const struct connection *c);
extern bool alua_execute (struct connection *c, const uint8_t *cdb,
                          const uint8_t *out, size_t n_out, struct result *r);
extern void control_open (const char *path);
extern int control_fd (void);   /* -1: none */
extern void control_ready (void);

/* fake-iscsi-target-disk.c: sparse, in memory or in a file. */
extern struct disk *disk_open (const char *file, uint32_t block_size);
extern void disk_close (struct disk *d);
extern bool disk_read (struct disk *d, uint64_t lba, uint32_t blocks, uint8_t *buf);
extern bool disk_write (struct disk *d, uint64_t lba, uint32_t blocks, const uint8_t *buf);
extern bool disk_unmap (struct disk *d, uint64_t lba, uint64_t blocks);
extern void disk_sync (struct disk *d);
/* Is lba mapped, and for how many blocks (at most max) is that so? */
extern bool disk_mapped (struct disk *d, uint64_t lba, uint64_t max, uint64_t *run);
#define DISK_CHUNK 128          /* blocks: the granularity of mapping */

/* fake-iscsi-target-evil.c */
#define EVILS(X) \
  X (LOGIN_BAD_TEXT, "login-bad-text", 0, "pairs without =, without NUL, and binary rubbish") \
  X (LOGIN_NEGATIVE, "login-negative", 0, "negative and overflowing numbers for all lengths") \
  X (LOGIN_ZERO, "login-zero", 0, "zero for all lengths") \
  X (LOGIN_HUGE_DSL, "login-huge-dsl", 0, "login response that announces 16 MiB of text") \
  X (LOGIN_STATUS, "login-status", 0, "login response with status 7f7fh") \
  X (LOGIN_UNAVAILABLE, "login-unavailable", 0, "status 0301h, service unavailable") \
  X (LOGIN_ENDLESS, "login-endless", 0, "never leaves the negotiation") \
  X (LOGIN_SILENT, "login-silent", 0, "never answers a login") \
  X (LOGIN_WRONG_ITT, "login-wrong-itt", 0, "answers another Initiator Task Tag") \
  X (LOGIN_WRONG_STAGE, "login-wrong-stage", 0, "goes to the reserved stage 2") \
  X (LOGIN_UNPROVED, "login-unproved", 0, "leaves out the security stage") \
  X (LOGIN_PROOF_FORM, "login-proof-form", 0, "... and sends a proof in base 64") \
  X (LOGIN_PROOF_ZERO, "login-proof-zero", 0, "... and one of zeroes") \
  X (LOGIN_PROOF_HIDDEN, "login-proof-hidden", 0, "... and one behind an empty pair") \
  X (LOGIN_DISCONNECT, "login-disconnect", 0, "closes at the login request") \
  X (LOGIN_REDIRECT_LOOP, "login-redirect-loop", 0, "0101h to itself, for ever") \
  X (LOGIN_REDIRECT_RUBBISH, "login-redirect-rubbish", 0, "0101h to no address") \
  X (LOGIN_REDIRECT_EMPTY, "login-redirect-empty", 0, "0101h without TargetAddress") \
  X (LOGIN_DATAIN, "login-datain", 0, "a login is answered with Data-In") \
  X (LOGIN_R2T, "login-r2t", 0, "a login is answered with an R2T") \
  X (TEXT_CONTINUATION, "text-continuation", 0, "SendTargets in parts of 16 bytes (allowed)") \
  X (TEXT_ENDLESS, "text-endless", 0, "SendTargets continues for ever") \
  X (TEXT_BAD, "text-bad", 0, "SendTargets: address before any name, rubbish addresses") \
  X (TEXT_EMPTY, "text-empty", 0, "SendTargets lists nothing") \
  X (TEXT_FLOOD, "text-flood", 0, "SendTargets lists 600 targets with 8 addresses each") \
  X (TEXT_DATAIN, "text-datain", 0, "SendTargets is answered with Data-In") \
  X (INQUIRY_SHORT, "inquiry-short", 0, "standard INQUIRY of 5 bytes") \
  X (INQUIRY_EMPTY, "inquiry-empty", 0, "INQUIRY, any page: GOOD and no data") \
  X (FACTS_LONG, "facts-long", 0, "4096 bytes more than were asked for, not I/O") \
  X (FACTS_SHORT, "facts-short", 0, "6 bytes in place of more, no residual, not I/O") \
  X (VPD_WRONG_PAGE, "vpd-wrong-page", 0, "each VPD page says it is C0h") \
  X (VPD_LYING, "vpd-lying", 0, "each VPD page says it is 65535 bytes long") \
  X (VPD83_SHORT, "vpd83-short", 0, "page 83h cut in the first designator") \
  X (VPD83_LYING, "vpd83-lying", 0, "designator lengths beyond the page") \
  X (VPD83_NONE, "vpd83-none", 0, "page 83h without designators") \
  X (VPDB0_SHORT, "vpdb0-short", 0, "page B0h of 6 bytes") \
  X (VPDB0_RUBBISH, "vpdb0-rubbish", 0, "page B0h of FFh (and transfer length 1)") \
  X (REPORT_LUNS_SHORT, "report-luns-short", 0, "list cut inside of an entry") \
  X (REPORT_LUNS_LYING, "report-luns-lying", 0, "list length FFFFFFF8h") \
  X (REPORT_LUNS_ODD, "report-luns-odd", 0, "list length not a multiple of 8") \
  X (MODE_SENSE_SHORT, "mode-sense-short", 0, "MODE SENSE of 3 bytes") \
  X (MODE_SENSE_LYING, "mode-sense-lying", 0, "block descriptor and page lengths beyond the end") \
  X (RC16_SHORT, "rc16-short", 0, "READ CAPACITY of 7 bytes") \
  X (RC16_EMPTY, "rc16-empty", 0, "READ CAPACITY: GOOD and no data") \
  X (RC16_BLOCK_0, "rc16-block-0", 0, "READ CAPACITY: block length 0") \
  X (RC16_HUGE, "rc16-huge", 0, "READ CAPACITY: more bytes than 64 bits hold") \
  X (LBA_STATUS_SHORT, "lba-status-short", 0, "GET LBA STATUS cut in a descriptor") \
  X (LBA_STATUS_LYING, "lba-status-lying", 0, "descriptor length beyond the data") \
  X (LBA_STATUS_ZERO, "lba-status-zero", 0, "descriptors of 0 blocks") \
  X (LBA_STATUS_BACKWARDS, "lba-status-backwards", 0, "descriptors of other blocks") \
  X (NDOB_LYING, "ndob-lying", 0, "WRITE SAME without data is refused whatever --ndob says") \
  X (SENSE_EMPTY, "sense-0", 0, "CHECK CONDITION without sense data, for I/O") \
  X (SENSE_ONE, "sense-1", 0, "one byte of sense data") \
  X (SENSE_LYING, "sense-lying", 0, "SenseLength 65535 with 18 bytes") \
  X (SENSE_RUBBISH, "sense-rubbish", 0, "sense data of FFh") \
  X (SENSE_DESCRIPTORS, "sense-descriptors", 0, "8 bytes of sense data that promise 255 of descriptors") \
  X (DATAIN_CHECK, "datain-check", 0, "reads: CHECK CONDITION in the last Data-In") \
  X (STATUS_RUBBISH, "status-rubbish", 0, "SCSI status 77h for I/O") \
  X (RESPONSE_FAILURE, "response-failure", 0, "iSCSI response 01h, target failure, for I/O") \
  X (DATAIN_BEYOND, "datain-beyond", 0, "reads: Data-In behind the end of the buffer") \
  X (DATAIN_FAR, "datain-far", 0, "reads: Data-In at offset FFFFF000h") \
  X (DATAIN_MORE, "datain-more", 0, "reads: 4096 bytes more than were asked for") \
  X (DATAIN_OVERLAP, "datain-overlap", 0, "reads: the first part comes twice") \
  X (DATAIN_FOR_WRITE, "datain-for-write", 0, "writes are answered with Data-In") \
  X (DATAIN_NONE_FOR_WRITE, "datain-none-for-write", 0, "writes are ended by an empty Data-In") \
  X (DATAIN_HOLE, "datain-hole", 0, "reads: first and last 512 bytes only, GOOD, no residual") \
  X (DATAIN_AFTER, "datain-after", 0, "reads: Data-In once more after the status") \
  X (DATAIN_FOR_NOP, "datain-for-nop", 0, "NOP-Out is answered with Data-In") \
  X (DATAIN_FOR_LOGOUT, "datain-for-logout", 0, "a logout is answered with Data-In") \
  X (DATAIN_HUGE_DSL, "datain-huge-dsl", 0, "reads: Data-In that announces 16 MiB") \
  X (UNKNOWN_ITT, "unknown-itt", 0, "I/O: answers of unknown tasks before the right one") \
  X (WRONG_ITT, "wrong-itt", 0, "I/O: only an unknown task is answered") \
  X (DOUBLE_ANSWER, "double-answer", 0, "I/O is answered twice") \
  X (R2T_FOR_READ, "r2t-for-read", 0, "reads get an R2T first") \
  X (R2T_HUGE, "r2t-huge", 0, "writes: R2T for FFFFF000h bytes") \
  X (R2T_BEYOND, "r2t-beyond", 0, "writes: R2T behind the end of the data") \
  X (R2T_ZERO, "r2t-zero", 0, "writes: R2T for 0 bytes first") \
  X (R2T_UNKNOWN, "r2t-unknown", 0, "writes: R2T of an unknown task first") \
  X (R2T_FOR_NOP, "r2t-for-nop", 0, "NOP-Out is answered with an R2T") \
  X (R2T_AGAIN, "r2t-again", 0, "writes: each R2T comes 2000 times") \
  X (R2T_SENT, "r2t-sent", 0, "writes: R2T for all that has come, and GOOD") \
  X (EARLY_ANSWER, "early-answer", 0, "writes: R2T for all, and GOOD without waiting for it") \
  X (SHORT_READ, "short-read", 0, "reads: half of it, GOOD, residual") \
  X (SHORT_READ_SILENT, "short-read-silent", 0, "reads: half of it, GOOD, no residual") \
  X (EMPTY_READ, "empty-read", 0, "reads: GOOD and no data, no residual") \
  X (SHORT_WRITE, "short-write", 0, "writes: half of it taken, GOOD, residual") \
  X (RESIDUAL_LYING, "residual-lying", 0, "I/O: residual larger than the transfer") \
  X (RESIDUAL_OVERFLOW, "residual-overflow", 0, "I/O: overflow residual with all data") \
  X (CAPACITY_SHRINK, "capacity-shrink", 1, "half the size for sessions after the first") \
  X (CAPACITY_GROW, "capacity-grow", 1, "double the size for sessions after the first") \
  X (WWID_CHANGE, "wwid-change", 1, "another WWID for sessions after the first") \
  X (BLOCK_SIZE_CHANGE, "block-size-change", 1, "8 times the block size after the first session") \
  X (AHS, "ahs", 0, "an additional header segment in each answer") \
  X (AHS_LYING, "ahs-lying", 0, "TotalAHSLength 255 without any") \
  X (BAD_OPCODE, "bad-opcode", 0, "I/O: a PDU with opcode 2Fh first") \
  X (REJECT, "reject", 0, "I/O gets a Reject") \
  X (NOP_FLOOD, "nop-flood", 0, "I/O: 100 NOP-In first") \
  X (NOP_STORM, "nop-storm", 0, "I/O: NOP-In without end") \
  X (ASYNC_RUBBISH, "async-rubbish", 0, "I/O: Asynchronous Message of event 77h first") \
  X (ASYNC_LYING, "async-lying", 0, "I/O: event 0 with SenseLength 65535") \
  X (RUBBISH, "rubbish", 0, "I/O: 1000 bytes that are no PDU") \
  X (STATSN, "statsn", 0, "StatSN jumps about") \
  X (WINDOW_CLOSED, "window-closed", 0, "MaxCmdSN never lets a command in") \
  X (SILENT, "silent", 0, "I/O: answers nothing any more on that connection") \
  X (DEAF, "deaf", 0, "I/O: answers no command any more on that connection, but pings") \
  X (DISCONNECT, "disconnect", 0, "I/O: FIN") \
  X (RESET, "reset", 0, "I/O: RST") \
  X (HALF_PDU, "half-pdu", 0, "I/O: half a header, then FIN")

enum evil {
#define X(id, name, after, help) EVIL_##id,
  EVILS (X)
#undef X
  N_EVILS
};
/* "name[:after[:times]]"; false if there is none of that name. */
extern bool evil_enable (const char *arg);
/* Is the role played now?  Each call is one occasion, and counts. */
extern bool evil (enum evil e);
extern const char *evil_name (int i, const char **help); /* NULL: no more */

#endif
