/* SPDX-License-Identifier: BSD-3-Clause */
/* The login phase (RFC 7143 6, 11.12, 11.13, 13) as it passes between libiscsi,
 * which leads it, and the target.
 *
 * Pure: PDUs in, PDUs out.  Each Login Request of libiscsi's goes through here
 * (our offers for digests and R2Ts replace its own: after the login it has
 * nothing to say any more), and each Login Response of the target's:
 * - what is negotiated is learned, with every answer that the RFC allows;
 * - what must not be is refused, with the key or field that is wrong;
 * - libiscsi is given only what it needs, in the one form that it understands:
 *   CHAP's numbers in decimal, its binary values as 0x and lower case (it takes no
 *   base64, no 0X, no hexadecimal CHAP_I), no length that it would misread;
 * - a response in parts (C bit) is asked for to its end and given in one.
 */
#ifndef MPISCSI_LOGIN_FILTER_H
#define MPISCSI_LOGIN_FILTER_H

#include "iscsi/ffp.h"
#include "iscsi/pdu.h"

/* Bytes: text of one response, all its parts (8192 in each: RFC 7143 13.12);
 * and a PDU of either direction. */
#define LOGIN_TEXT_MAX 16384
#define LOGIN_PDU_MAX (PDU_BHS + LOGIN_TEXT_MAX + 4)

struct login_filter {
  /* The caller's, from login_filter_start (). */
  const char *header_digest, *data_digest; /* what is offered */
  bool wants_proof;             /* mutual CHAP: the target has to answer */

  bool over;                    /* in the full feature phase: */
  struct ffp_start start;       /* .tasks is the caller's */
  uint16_t tsih;
  int tpgt;                     /* TargetPortalGroupTag; -1: not said */
  bool challenged, proof_came;
  uint32_t offered_first_burst, offered_max_burst;
  bool offered_initial_r2t, offered_immediate_data;
  uint8_t request[PDU_BHS];     /* the last one */
  bool auth_failed;             /* what was refused is that */
  char why[200];
  size_t text_size;
  char text[LOGIN_TEXT_MAX];
};

enum login_verdict {
  LOGIN_FORWARD,                /* OUT is for the other side */
  LOGIN_ASK,                    /* OUT is for the target: go on */
  LOGIN_REFUSED,                /* why says it all */
};

extern void login_filter_start (struct login_filter *f,
                                const char *header_digest,
                                const char *data_digest, bool wants_proof);
/* PDU is whole; OUT has room for LOGIN_PDU_MAX bytes. */
extern enum login_verdict login_filter_request (struct login_filter *f,
                                                const uint8_t *pdu,
                                                uint8_t *out, size_t *size);
extern enum login_verdict login_filter_response (struct login_filter *f,
                                                 const uint8_t *pdu,
                                                 uint8_t *out, size_t *size);
/* Of a header: can the PDU be read to its end?  False: why. */
extern bool login_filter_header (struct login_filter *f, const uint8_t *h);

/* The next KEY=VALUE of TEXT behind PAIR (NULL: the first); NULL: no more.  SIZE
 * is that of the whole text; *LENGTH excludes the NUL, which may be missing. */
extern const char *text_pair (const char *text, size_t size, const char *pair,
                              size_t *length);
/* RFC 7143 6.1, decimal or hexadecimal constant. */
extern bool text_number (const char *value, size_t length, uint32_t *n);
/* A binary value, hexadecimal or base64; bytes, or -1. */
extern int text_binary (const char *value, size_t length, uint8_t *out,
                        size_t room);

#endif
