/* SPDX-License-Identifier: BSD-3-Clause */
/* iSCSI PDUs (RFC 7143 11): names of their fields, and the few that we make.
 *
 * Pure: bytes in, bytes out.  A header is PDU_BHS bytes; offsets count from its
 * first one, and fields are big-endian. */
#ifndef MPISCSI_PDU_H
#define MPISCSI_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

#define PDU_BHS 48              /* basic header segment, 11.2.1 */
#define PDU_DIGEST 4
#define PDU_NO_TAG 0xffffffff   /* no task tag, 11.2.1.8 */
#define PDU_MAX_DATA 0xffffff   /* DataSegmentLength has 24 bits */
/* RFC 7143 13.12 to 13.14: no length may be shorter. */
#define PDU_MIN_LENGTH 512

enum pdu_opcode {
  PDU_NOP_OUT = 0x00, PDU_SCSI_COMMAND = 0x01, PDU_TMF_REQUEST = 0x02,
  PDU_LOGIN_REQUEST = 0x03, PDU_TEXT_REQUEST = 0x04, PDU_DATA_OUT = 0x05,
  PDU_LOGOUT_REQUEST = 0x06,
  PDU_NOP_IN = 0x20, PDU_SCSI_RESPONSE = 0x21, PDU_TMF_RESPONSE = 0x22,
  PDU_LOGIN_RESPONSE = 0x23, PDU_TEXT_RESPONSE = 0x24, PDU_DATA_IN = 0x25,
  PDU_LOGOUT_RESPONSE = 0x26, PDU_R2T = 0x31, PDU_ASYNC = 0x32,
  PDU_REJECT = 0x3f,
};

enum {
  PDU_AT_FLAGS = 1, PDU_AT_RESPONSE = 2, PDU_AT_STATUS = 3,
  PDU_AT_AHS = 4,               /* TotalAHSLength, in words */
  PDU_AT_LENGTH = 5,            /* DataSegmentLength, 3 bytes */
  PDU_AT_LUN = 8, PDU_AT_ISID = 8, PDU_AT_TSIH = 14,
  PDU_AT_ITT = 16, PDU_AT_TTT = 20, PDU_AT_EDTL = 20, PDU_AT_CID = 20,
  PDU_AT_CMDSN = 24, PDU_AT_STATSN = 24,
  PDU_AT_EXPSTATSN = 28, PDU_AT_EXPCMDSN = 28, PDU_AT_MAXCMDSN = 32,
  PDU_AT_CDB = 32, PDU_AT_REFCMDSN = 32,
  PDU_AT_DATASN = 36, PDU_AT_STATUS_CLASS = 36, PDU_AT_STATUS_DETAIL = 37,
  PDU_AT_ASYNC_EVENT = 36, PDU_AT_ASYNC_PARAMETER = 38,
  PDU_AT_OFFSET = 40, PDU_AT_RESIDUAL = 44, PDU_AT_R2T_LENGTH = 44,
};

enum {
  PDU_IMMEDIATE = 0x40,         /* in the first byte, of a request */
  PDU_FINAL = 0x80,
  PDU_COMMAND_READ = 0x40, PDU_COMMAND_WRITE = 0x20, PDU_SIMPLE = 0x01,
  PDU_STATUS_HERE = 0x01,       /* of Data-In, 11.7.3 */
  PDU_UNDERFLOW = 0x02, PDU_OVERFLOW = 0x04,
  PDU_TRANSIT = 0x80, PDU_CONTINUE = 0x40, /* of login and text */
};

/* Task management functions, 11.5.1. */
enum pdu_tmf { PDU_ABORT_TASK = 1, PDU_LUN_RESET = 5 };

static inline uint8_t
pdu_opcode (const uint8_t *h)
{
  return h[0] & 0x3f;
}

/* Bytes, without padding. */
static inline uint32_t
pdu_data_size (const uint8_t *h)
{
  return get_be32 (&h[PDU_AT_LENGTH - 1]) & 0xffffff;
}

static inline void
pdu_set_data_size (uint8_t *h, uint32_t size)
{
  const uint8_t ahs = h[PDU_AT_AHS];

  put_be32 (&h[PDU_AT_LENGTH - 1], size);
  h[PDU_AT_AHS] = ahs;
}

static inline uint32_t
pdu_ahs_size (const uint8_t *h)
{
  return 4u * h[PDU_AT_AHS];
}

static inline uint32_t
pdu_padding (uint32_t size)
{
  return -size & 3;
}

/* Serial number arithmetic (RFC 1982; RFC 7143 4.2.2.1): is A before B? */
static inline bool
serial_before (uint32_t a, uint32_t b)
{
  return a != b && b - a < 0x80000000;
}

/* pdu.c: each fills all of H. */
extern void pdu_request (uint8_t *h, uint8_t opcode, uint8_t flags, uint32_t itt,
                         uint32_t cmdsn, uint32_t exp_statsn);
/* LUN: 16 bits as lun_encode makes them. */
extern void pdu_scsi_command (uint8_t *h, uint16_t lun, uint32_t itt,
                              uint8_t flags, uint32_t bytes, const uint8_t cdb[16],
                              uint32_t cmdsn, uint32_t exp_statsn);
extern void pdu_data_out (uint8_t *h, uint16_t lun, uint32_t itt, uint32_t ttt,
                          uint32_t datasn, uint32_t offset, uint32_t size,
                          bool final, uint32_t exp_statsn);
/* "Data-In", ..., for messages; "PDU" for what a target does not send. */
extern const char *pdu_name (uint8_t opcode);
/* What RESPONSE of a TMF means, 11.6.1; what a Reject's REASON does, 11.17.1. */
extern const char *pdu_tmf_response_text (uint8_t response);
extern const char *pdu_reject_text (uint8_t reason);

/* What came where a Login Response should is no iSCSI but text, as ssh and web
 * servers send: in BUF, in words; else NULL. */
extern const char *pdu_is_text (const uint8_t *bytes, size_t n, char *buf,
                                size_t size);

#endif
