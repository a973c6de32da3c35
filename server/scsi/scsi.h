/* What SCSI says: facts of a logical unit, sense data, CDBs.
 *
 * Pure: no nbdkit, libev or libiscsi here.  Every parser takes the bytes
 * that really arrived (never what was asked for) and must not read beyond
 * them; a field that was not sent reads as "unknown" (0), never as garbage.
 */
#ifndef MPISCSI_SCSI_H
#define MPISCSI_SCSI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SCSI status codes, SAM-5 5.3.1, and what the transport adds. */
enum scsi_result {
  RESULT_GOOD = 0x00,
  RESULT_CHECK_CONDITION = 0x02,
  RESULT_CONDITION_MET = 0x04,
  RESULT_BUSY = 0x08,
  RESULT_RESERVATION_CONFLICT = 0x18,
  RESULT_TASK_SET_FULL = 0x28,
  RESULT_ACA_ACTIVE = 0x30,
  RESULT_TASK_ABORTED = 0x40,
  /* Not from the target: the answer never came or made no sense. */
  RESULT_LOST = 0x100,          /* session died with the command in flight */
  RESULT_PROTOCOL,              /* answered with nonsense, short data ... */
};

/* Sense data, SPC-4 4.5.  valid == false: the target sent none that could
 * be understood; key, asc and ascq are then 0. */
struct sense {
  bool valid;
  bool deferred;                /* response code 71h or 73h: about an EARLIER command */
  uint8_t key, asc, ascq;
};

enum sense_key {
  SENSE_NO_SENSE = 0x0, SENSE_RECOVERED_ERROR = 0x1, SENSE_NOT_READY = 0x2,
  SENSE_MEDIUM_ERROR = 0x3, SENSE_HARDWARE_ERROR = 0x4,
  SENSE_ILLEGAL_REQUEST = 0x5, SENSE_UNIT_ATTENTION = 0x6,
  SENSE_DATA_PROTECT = 0x7, SENSE_BLANK_CHECK = 0x8,
  SENSE_VENDOR_SPECIFIC = 0x9, SENSE_COPY_ABORTED = 0xa,
  SENSE_ABORTED_COMMAND = 0xb, SENSE_VOLUME_OVERFLOW = 0xd,
  SENSE_MISCOMPARE = 0xe, SENSE_COMPLETED = 0xf,
};

/* sense.c */
/* Parse raw sense data (fixed 70h/71h or descriptor 72h/73h, SPC-4 4.5.2,
 * 4.5.3). */
extern void sense_parse (const uint8_t *buf, size_t len, struct sense *sense);
/* The same for the data segment of an iSCSI SCSI Response: a 2 byte
 * SenseLength in front (RFC 7143 11.4.7.1), believed only as far as len. */
extern void sense_parse_iscsi (const uint8_t *buf, size_t len,
                               struct sense *sense);
/* "UNIT ATTENTION 29/00 (power on, reset, or bus device reset occurred)":
 * for logs.  Returns buf. */
extern const char *sense_text (const struct sense *sense,
                               char *buf, size_t size);
extern const char *result_text (enum scsi_result result); /* "BUSY", ... */

/* Longest WWID string we keep, with the NUL. */
#define WWID_SIZE 256

/* What is known of one logical unit.  Filled by the parsers below, one page
 * after the other; start with lu_facts_init. */
struct lu_facts {
  /* Standard INQUIRY, SPC-4 6.4.2. */
  uint8_t qualifier;            /* peripheral qualifier; 0: connected */
  uint8_t device_type;          /* 0: direct access block device */
  bool removable;
  uint8_t version;
  bool protect;                 /* supports protection information */
  uint8_t tpgs;                 /* ALUA support, 0..3 */
  char vendor[9], product[17], revision[5]; /* printable, trailing blanks cut */

  /* VPD 83h and 80h. */
  char wwid[WWID_SIZE];         /* scsi_id's string; "" if there is none */
  char serial[WWID_SIZE];       /* page 80h, blanks trimmed; "" if none */
  bool serial_indented;         /* page 80h began with blanks (scsi_id minds) */
  bool has_tpg;                 /* association 1, type 5: target port group */
  uint16_t tpg;
  uint16_t rtpi;                /* association 1, type 4: relative port; 0 unknown */

  /* READ CAPACITY(16), SBC-3 5.16; (10), 5.15. */
  uint64_t blocks;              /* number of logical blocks (last LBA + 1) */
  bool over_10;                 /* more than (10) can say, which is all there is */
  uint32_t block_size;          /* bytes */
  uint32_t physical_block_size; /* bytes; >= block_size */
  uint16_t lowest_aligned;      /* LBA */
  bool lbpme;                   /* thin or resource provisioned */
  bool lbprz;                   /* unmapped blocks read as zeroes (RC16 or VPD B2) */
  bool lbprz_rc16, lbprz_vpd;   /* what each of the two said; lbprz is either */
  bool prot_en;                 /* formatted with protection information */

  /* MODE SENSE, device specific parameter (SBC-3 6.4.1) and caching page 08h. */
  bool write_protect;
  bool dpofua;
  bool has_caching_page;
  bool wce;                     /* volatile write cache enabled; true when unknown */

  /* VPD B0h, SBC-3 6.6.4; counts of logical blocks; 0 = not reported. */
  bool has_limits;
  uint32_t max_transfer, optimal_transfer;
  uint16_t optimal_granularity;
  uint32_t max_unmap_lba, max_unmap_descriptors;
  uint32_t unmap_granularity, unmap_alignment;
  bool unmap_alignment_valid;
  uint64_t max_write_same;
  bool wsnz;                    /* WRITE SAME of 0 blocks not allowed */

  /* VPD B1h, SBC-3 6.6.2: 0 unknown, 1 non-rotating, else rpm. */
  uint16_t rotation_rate;

  /* VPD B2h, SBC-3 6.6.6. */
  bool has_provisioning;
  bool lbpu, lbpws, lbpws10;    /* UNMAP, WRITE SAME(16)/(10) with UNMAP */
  uint8_t provisioning_type;    /* 1 resource, 2 thin */
  uint8_t threshold_exponent;

  /* Pages C9h (RDAC) and C0h (CLARiiON) of arrays without ALUA: another
   * controller owns the unit, this path takes no I/O. */
  bool has_owner, owned_elsewhere;

  /* REPORT SUPPORTED OPERATION CODES, of WRITE SAME(16). */
  bool ndob;                    /* zeroes without a data-out buffer */
};

/* inquiry.c: return false, and change nothing that matters, when the answer
 * is too short or is another page. */
extern void lu_facts_init (struct lu_facts *lu);
extern bool parse_inquiry (struct lu_facts *lu, const uint8_t *buf, size_t len);
extern bool parse_vpd_serial (struct lu_facts *lu, const uint8_t *buf, size_t len);
extern bool parse_vpd_limits (struct lu_facts *lu, const uint8_t *buf, size_t len);
extern bool parse_vpd_rdac (struct lu_facts *lu, const uint8_t *buf, size_t len);
extern bool parse_vpd_clariion (struct lu_facts *lu, const uint8_t *buf, size_t len);
extern bool parse_vpd_characteristics (struct lu_facts *lu, const uint8_t *buf, size_t len);
extern bool parse_vpd_provisioning (struct lu_facts *lu, const uint8_t *buf, size_t len);
/* Page 00h: is PAGE in the list of supported pages? */
extern bool vpd_supported (const uint8_t *buf, size_t len, uint8_t page);
/* SPC-4 6.34, one command format, of WRITE SAME(16): sets ndob. */
extern bool parse_supported_write_same16 (struct lu_facts *lu,
                                          const uint8_t *buf, size_t len);
extern bool parse_read_capacity16 (struct lu_facts *lu, const uint8_t *buf, size_t len);
/* false also when the device is too large for it (last LBA FFFFFFFFh; over_10). */
extern bool parse_read_capacity10 (struct lu_facts *lu, const uint8_t *buf, size_t len);
/* A disk by its type that is the array's own, for its management software: what
 * it is (static text); NULL: none. */
extern const char *lu_management (const struct lu_facts *lu);
/* MODE SENSE(6) or (10), page 3Fh or 08h, with any block descriptors. */
extern bool parse_mode_sense6 (struct lu_facts *lu, const uint8_t *buf, size_t len);
extern bool parse_mode_sense10 (struct lu_facts *lu, const uint8_t *buf, size_t len);
/* REPORT LUNS, SPC-4 6.33.  Writes up to max LUN numbers (peripheral and
 * flat addressing, also extended flat up to 16383, SAM-5 4.7), returns how
 * many; -1 if malformed.  Well known and other extended LUNs are left out;
 * *truncated says that the list was longer than len or max; *flat, that numbers
 * below 256 are told in flat form, which is the only one then that the target
 * may take. */
extern int parse_report_luns (const uint8_t *buf, size_t len, uint16_t *luns,
                              int max, bool *truncated, bool *flat);
/* 16 bit LUN field as libiscsi wants it: < 256 peripheral, unless FLAT, else
 * flat (0x4000 | lun); lun <= 16383, or LUN_REPORT_LUNS. */
extern uint16_t lun_encode (unsigned lun, bool flat);
/* The well known logical unit of REPORT LUNS (SPC-4 8.2), C101h on the wire. */
#define LUN_REPORT_LUNS 0xc101u

/* GET LBA STATUS, SBC-3 5.6. */
struct lba_status {
  uint64_t lba;
  uint32_t blocks;
  uint8_t provisioning;         /* 0 mapped, 1 deallocated, 2 anchored */
};
/* Returns the number of descriptors written (<= max), -1 if malformed. */
extern int parse_lba_status (const uint8_t *buf, size_t len,
                             struct lba_status *out, int max);

/* wwid.c: VPD page 83h, SPC-4 7.8.6.  Sets wwid by scsi_id's rules (field
 * notes: association 0 only; NAA-6, NAA-5, any NAA, EUI-64, T10 vendor,
 * vendor specific; the SCSI name string never), tpg and rtpi. */
extern bool parse_vpd_identification (struct lu_facts *lu, const uint8_t *buf, size_t len);
/* Last resort, when page 83h gave none: "S" vendor product serial. */
extern void wwid_from_serial (struct lu_facts *lu);
/* Is it one that its target made up, so that different disks of different
 * targets may have the same?  NULL, or why (static text). */
extern const char *wwid_made_up (const char *wwid);
/* Why this unit cannot be exported as a disk (wrong type, size 0, block size
 * not a power of two >= 512, protection information, size over 2^63-1 ...),
 * as text for the user; NULL if it can. */
extern const char *lu_unusable (const struct lu_facts *lu, char *buf, size_t size);

/* verdict.c */
enum verdict_kind {
  VERDICT_DONE,                 /* succeeded; the caller checks the residual */
  VERDICT_RETRY,                /* on any path; the caller bounds the time */
  VERDICT_RETRY_LATER,          /* the same, not at once; the path is fine */
  VERDICT_PATH,                 /* the path is at fault: fail it, send elsewhere */
  VERDICT_FAIL,                 /* the command failed for good: error */
};
enum verdict_action {           /* to be done as well; or-ed */
  ACTION_CHECK_CAPACITY = 1,    /* 2A/09, and 2A/01 (mode parameters) */
  ACTION_CHECK_ALUA = 2,        /* 2A/06, 2A/07, 29/00..29/04, and 04/0A..04/0C */
  ACTION_CHECK_IDENTITY = 4,    /* 3F/0E (REPORTED LUNS), 3F/03 (INQUIRY) */
  ACTION_LOWER_DEPTH = 8,       /* TASK SET FULL */
  ACTION_TARGET_RESET = 16,     /* 29/00..29/04, but not 29/03 (and 29/07 nexus
                                   loss is NOT one): what was cached may be gone */
  ACTION_TASKS_GONE = 128,      /* 29/00..29/04, 29/07, 2F/..: what was in flight
                                   may have been aborted without an answer */
  ACTION_CHECK_REGISTRATION = 64,       /* 2A/03, 2A/05: preempted */
  ACTION_THIN_THRESHOLD = 256,          /* 38/07: the pool gets full */
  ACTION_DATA_LOST = 32,        /* deferred error: a write acknowledged before may
                                 * be lost; treat as TARGET_RESET for flush */
};
struct verdict {
  enum verdict_kind kind;
  int error;                    /* VERDICT_FAIL: errno for the NBD client */
  unsigned delay_ms;            /* VERDICT_RETRY_LATER; verdict_delay */
  unsigned actions;
};
/* One row of the table in the field notes per case.  sense may be invalid. */
extern struct verdict verdict_of (enum scsi_result result,
                                  const struct sense *sense);
/* Milliseconds before the next try, of a command that was answered RETRIES
 * times with a verdict of the two retry kinds, this one among them: at once at
 * first, later every VERDICT_DELAY_MAX. */
#define VERDICT_DELAY_MAX 100
extern unsigned verdict_delay (const struct verdict *v, unsigned retries);

/* cdb.c: builders.  cdb is zeroed first; the return value is its length. */
extern int cdb_test_unit_ready (uint8_t cdb[16]);
extern int cdb_inquiry (uint8_t cdb[16], bool evpd, uint8_t page, uint16_t alloc);
extern int cdb_report_luns (uint8_t cdb[16], uint32_t alloc);
extern int cdb_read_capacity10 (uint8_t cdb[16]);
extern int cdb_read_capacity16 (uint8_t cdb[16], uint32_t alloc);
extern int cdb_mode_sense6 (uint8_t cdb[16], uint8_t page, uint8_t alloc);
extern int cdb_mode_sense10 (uint8_t cdb[16], uint8_t page, uint16_t alloc);
/* READ/WRITE: the (16) form when lba or blocks needs it, else (10). */
extern int cdb_read (uint8_t cdb[16], uint64_t lba, uint32_t blocks, bool fua);
extern int cdb_write (uint8_t cdb[16], uint64_t lba, uint32_t blocks, bool fua);
/* blocks 0 = to the end; (16) only when use16. */
extern int cdb_synchronize_cache (uint8_t cdb[16], uint64_t lba, uint32_t blocks, bool use16);
extern int cdb_unmap (uint8_t cdb[16], uint16_t param_len);
/* Writes the UNMAP parameter list (SBC-3 5.28) for n ranges; buf must hold
 * 8 + 16 * n bytes; returns its length. */
struct lba_range { uint64_t lba; uint32_t blocks; };
extern size_t unmap_parameters (uint8_t *buf, const struct lba_range *ranges, int n);
extern int cdb_write_same16 (uint8_t cdb[16], uint64_t lba, uint32_t blocks, bool unmap, bool ndob);
/* REPORT SUPPORTED OPERATION CODES (SPC-4 6.34) of one opcode that has no
 * service actions; and WRITE SAME(16)'s. */
#define OPCODE_WRITE_SAME16 0x93
extern int cdb_report_opcode (uint8_t cdb[16], uint8_t opcode, uint32_t alloc);
extern int cdb_get_lba_status (uint8_t cdb[16], uint64_t lba, uint32_t alloc);
extern int cdb_prefetch16 (uint8_t cdb[16], uint64_t lba, uint32_t blocks);

#endif /* MPISCSI_SCSI_H */
