/* SPDX-License-Identifier: BSD-3-Clause */
/* What iscsi-proxy and fake-iscsi-target have in common: the layout of iSCSI PDUs
 * (RFC 7143 clause 11), a byte queue, and TCP sockets by "address:port".
 *
 * On purpose independent of server/ and of libiscsi: a test tool must not
 * share the mistakes of what it tests.
 */
#ifndef MPISCSI_TESTS_ISCSI_PDU_H
#define MPISCSI_TESTS_ISCSI_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define BHS_SIZE 48             /* basic header segment, RFC 7143 11.2.1 */
#define NO_TAG 0xffffffffu      /* reserved Initiator/Target Task/Transfer Tag */

enum pdu_opcode {
  OP_NOP_OUT = 0x00, OP_SCSI_COMMAND = 0x01, OP_TMF_REQUEST = 0x02,
  OP_LOGIN_REQUEST = 0x03, OP_TEXT_REQUEST = 0x04, OP_DATA_OUT = 0x05,
  OP_LOGOUT_REQUEST = 0x06, OP_SNACK = 0x10,
  OP_NOP_IN = 0x20, OP_SCSI_RESPONSE = 0x21, OP_TMF_RESPONSE = 0x22,
  OP_LOGIN_RESPONSE = 0x23, OP_TEXT_RESPONSE = 0x24, OP_DATA_IN = 0x25,
  OP_LOGOUT_RESPONSE = 0x26, OP_R2T = 0x31, OP_ASYNC = 0x32, OP_REJECT = 0x3f,
};

/* Offsets into the BHS. */
enum {
  BHS_FLAGS = 1, BHS_AHS_LENGTH = 4, BHS_DATA_LENGTH = 5, BHS_LUN = 8,
  BHS_ITT = 16,
  BHS_EDTL = 20,                /* SCSI command */
  BHS_TTT = 20,                 /* everything else that has one */
  BHS_CMDSN = 24, BHS_EXPSTATSN = 28, BHS_CDB = 32, /* from the initiator */
  BHS_STATSN = 24, BHS_EXPCMDSN = 28, BHS_MAXCMDSN = 32, /* from the target */
  BHS_DATASN = 36, BHS_OFFSET = 40,
  BHS_RESIDUAL = 44,            /* SCSI response and Data-In */
  BHS_R2T_LENGTH = 44,
};
#define FLAG_FINAL 0x80
#define FLAG_IMMEDIATE 0x40     /* in byte 0 */
#define FLAG_CONTINUE 0x40      /* login and text, byte 1 */
#define FLAG_READ 0x40          /* SCSI command, byte 1 */
#define FLAG_WRITE 0x20
#define FLAG_OVERFLOW 0x04      /* SCSI response and Data-In, byte 1 */
#define FLAG_UNDERFLOW 0x02
#define FLAG_STATUS 0x01        /* Data-In, byte 1 */

static inline uint16_t
get16 (const uint8_t *p)
{
  return (uint16_t) (p[0] << 8 | p[1]);
}

static inline uint32_t
get24 (const uint8_t *p)
{
  return (uint32_t) p[0] << 16 | (uint32_t) p[1] << 8 | p[2];
}

static inline uint32_t
get32 (const uint8_t *p)
{
  return (uint32_t) get16 (p) << 16 | get16 (p + 2);
}

static inline uint64_t
get64 (const uint8_t *p)
{
  return (uint64_t) get32 (p) << 32 | get32 (p + 4);
}

static inline void
put16 (uint8_t *p, uint32_t v)
{
  p[0] = (uint8_t) (v >> 8);
  p[1] = (uint8_t) v;
}

static inline void
put24 (uint8_t *p, uint32_t v)
{
  p[0] = (uint8_t) (v >> 16);
  put16 (p + 1, v);
}

static inline void
put32 (uint8_t *p, uint32_t v)
{
  put16 (p, v >> 16);
  put16 (p + 2, v);
}

static inline void
put64 (uint8_t *p, uint64_t v)
{
  put32 (p, (uint32_t) (v >> 32));
  put32 (p + 4, (uint32_t) v);
}

/* Sequence numbers wrap (RFC 7143 4.2.2.1): a before b? */
static inline bool
sn_before (uint32_t a, uint32_t b)
{
  return (int32_t) (a - b) < 0;
}

/* A queue of bytes: appended at the end, consumed at the front. */
struct bytes {
  uint8_t *data;
  size_t start, end, size;
};

static inline size_t
bytes_length (const struct bytes *b)
{
  return b->end - b->start;
}

static inline uint8_t *
bytes_front (const struct bytes *b)
{
  return b->data + b->start;
}

/* bytes_reserve makes room for n more and returns where they go; the caller
 * adds to end what it really wrote.  No memory: the program ends. */
extern uint8_t *bytes_reserve (struct bytes *b, size_t n);
extern void bytes_append (struct bytes *b, const void *p, size_t n);
extern void bytes_consume (struct bytes *b, size_t n);
extern void bytes_free (struct bytes *b);

/* One PDU, both digests off.  data is right behind the header segments. */
static inline uint8_t
pdu_opcode (const uint8_t *pdu)
{
  return pdu[0] & 0x3f;
}

static inline size_t
pdu_header_size (const uint8_t *pdu)
{
  return BHS_SIZE + 4u * pdu[BHS_AHS_LENGTH];
}

static inline uint32_t
pdu_data_length (const uint8_t *pdu)
{
  return get24 (pdu + BHS_DATA_LENGTH);
}

static inline size_t
pdu_size (const uint8_t *pdu)
{
  return pdu_header_size (pdu) + (((size_t) pdu_data_length (pdu) + 3) & ~(size_t) 3);
}

static inline uint8_t *
pdu_data (uint8_t *pdu)
{
  return pdu + pdu_header_size (pdu);
}

/* Size of the whole PDU at the front of b, or 0 if some of it is missing. */
extern size_t bytes_whole_pdu (const struct bytes *b);
/* "scsi-command"; "op-1c" (in a static buffer) for what has no name. */
extern const char *pdu_name (uint8_t opcode);

/* Text keys, RFC 7143 6.1: "key=value\0" ...  Walk them with
 *   for (k = NULL; (k = text_next (text, length, k, &n)) != NULL; )
 * k is the start of a pair, n its length without the NUL. */
extern const char *text_next (const char *text, size_t length, const char *k,
                              size_t *n);
/* Value of KEY, malloced; NULL if absent. */
extern char *text_get (const char *text, size_t length, const char *key);
/* Appends "key=value\0". */
extern void text_add (struct bytes *b, const char *key, const char *value);

/* SCSI command blocks: the opcode or a name for a group of opcodes. */
struct cdb_filter {
  bool any;
  uint8_t opcodes[8];
  int n;
};
/* "2a", "0x2a", "write", "read", "any" ...: false if it is none. */
extern bool cdb_filter_parse (const char *word, struct cdb_filter *filter);
extern bool cdb_filter_match (const struct cdb_filter *filter, uint8_t opcode);
extern const char cdb_filter_help[];
/* LBA and blocks of a READ, WRITE, WRITE SAME, SYNCHRONIZE CACHE ... (6, 10,
 * 12 or 16 bytes); false for other commands. */
extern bool cdb_range (const uint8_t *cdb, uint64_t *lba, uint32_t *blocks);

/* Fixed format sense, 18 bytes, SPC-4 4.5.3. */
#define SENSE_SIZE 18
extern void sense_build (uint8_t sense[SENSE_SIZE], uint8_t key, uint8_t asc,
                         uint8_t ascq);

/* Sockets.  addr is numeric, "1.2.3.4:port" or "[::1]:port". */
struct address {
  struct sockaddr_storage sa;
  socklen_t len;
};
#define ADDRESS_TEXT 64
extern bool address_parse (const char *text, struct address *addr);
extern const char *address_text (const struct address *addr,
                                 char buf[ADDRESS_TEXT]);
/* All file descriptors here are non-blocking and close-on-exec.  -1 and
 * errno on failure.  listen_on stores the port that was chosen for port 0. */
extern int listen_on (struct address *addr);
extern int connect_to (const struct address *addr);
extern int accept_from (int fd);
/* SO_LINGER 0: close sends RST. */
extern void close_with_rst (int fd);

/* Milliseconds of CLOCK_MONOTONIC. */
extern int64_t now_ms (void);
/* Print and exit (1). */
extern void die (const char *fmt, ...)
  __attribute__ ((format (printf, 1, 2), noreturn));

#endif
