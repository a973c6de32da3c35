/* SPDX-License-Identifier: BSD-3-Clause */
/* The PDUs that an initiator makes; see pdu.h. */
#include <config.h>

#include <stdio.h>

#include "iscsi/pdu.h"

void
pdu_request (uint8_t *h, uint8_t opcode, uint8_t flags, uint32_t itt,
             uint32_t cmdsn, uint32_t exp_statsn)
{
  memset (h, 0, PDU_BHS);
  h[0] = opcode;
  h[PDU_AT_FLAGS] = flags;
  put_be32 (&h[PDU_AT_ITT], itt);
  put_be32 (&h[PDU_AT_CMDSN], cmdsn);
  put_be32 (&h[PDU_AT_EXPSTATSN], exp_statsn);
}

void
pdu_scsi_command (uint8_t *h, uint16_t lun, uint32_t itt, uint8_t flags,
                  uint32_t bytes, const uint8_t cdb[16],
                  uint32_t cmdsn, uint32_t exp_statsn)
{
  pdu_request (h, PDU_SCSI_COMMAND, flags | PDU_SIMPLE, itt, cmdsn, exp_statsn);
  put_be16 (&h[PDU_AT_LUN], lun);
  put_be32 (&h[PDU_AT_EDTL], bytes);
  memcpy (&h[PDU_AT_CDB], cdb, 16);
}

void
pdu_data_out (uint8_t *h, uint16_t lun, uint32_t itt, uint32_t ttt,
              uint32_t datasn, uint32_t offset, uint32_t size, bool final,
              uint32_t exp_statsn)
{
  /* 11.7: no CmdSN; the LUN is there if the tag is. */
  pdu_request (h, PDU_DATA_OUT, final ? PDU_FINAL : 0, itt, 0, exp_statsn);
  if (ttt != PDU_NO_TAG)
    put_be16 (&h[PDU_AT_LUN], lun);
  put_be32 (&h[PDU_AT_TTT], ttt);
  put_be32 (&h[PDU_AT_DATASN], datasn);
  put_be32 (&h[PDU_AT_OFFSET], offset);
  pdu_set_data_size (h, size);
}

const char *
pdu_name (uint8_t opcode)
{
  switch (opcode) {
  case PDU_NOP_IN: return "NOP-In";
  case PDU_SCSI_RESPONSE: return "SCSI Response";
  case PDU_TMF_RESPONSE: return "Task Management Response";
  case PDU_LOGIN_RESPONSE: return "Login Response";
  case PDU_TEXT_RESPONSE: return "Text Response";
  case PDU_DATA_IN: return "Data-In";
  case PDU_LOGOUT_RESPONSE: return "Logout Response";
  case PDU_R2T: return "R2T";
  case PDU_ASYNC: return "Asynchronous Message";
  case PDU_REJECT: return "Reject";
  default: return "PDU";
  }
}

const char *
pdu_tmf_response_text (uint8_t response)
{
  switch (response) {
  case 0: return "function complete";
  case 1: return "task does not exist";
  case 2: return "LUN does not exist";
  case 3: return "task still allegiant";
  case 4: return "task allegiance reassignment not supported";
  case 5: return "function not supported";
  case 6: return "function authorization failed";
  case 255: return "function rejected";
  default: return "unknown response";
  }
}

const char *
pdu_reject_text (uint8_t reason)
{
  switch (reason) {
  case 0x02: return "data (payload) digest error";
  case 0x03: return "SNACK reject";
  case 0x04: return "protocol error";
  case 0x05: return "command not supported";
  case 0x06: return "immediate command reject, too many immediate commands";
  case 0x07: return "task in progress";
  case 0x08: return "invalid data ack";
  case 0x09: return "invalid PDU field";
  case 0x0a: return "out of resources";
  case 0x0b: return "negotiation reset";
  case 0x0c: return "waiting for logout";
  default: return "unknown reason";
  }
}

const char *
pdu_is_text (const uint8_t *bytes, size_t n, char *buf, size_t size)
{
  char text[41];
  size_t i;

  for (i = 0; i < n && i < sizeof text - 1; ++i) {
    if (bytes[i] == '\r' || bytes[i] == '\n')
      break;
    if (bytes[i] < ' ' || bytes[i] >= 0x7f)
      return NULL;
    text[i] = (char) bytes[i];
  }
  text[i] = '\0';
  if (i < 4)
    return NULL;
  snprintf (buf, size, "no iSCSI target answers here, but another service "
            "(\"%s\")", text);
  return buf;
}
