/* SPDX-License-Identifier: BSD-3-Clause */
/* Sense data (SPC-4 4.5): from bytes to key and code, and from there to
 * words for the log.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi/scsi.h"

void
sense_parse (const uint8_t *buf, size_t len, struct sense *sense)
{
  uint8_t code;

  memset (sense, 0, sizeof *sense);
  if (len < 1)
    return;

  code = buf[0] & 0x7f;
  switch (code) {
  case 0x70:
  case 0x71:
    if (len < 3)
      return;
    sense->key = buf[2] & 0x0f;
    /* Bytes behind ADDITIONAL SENSE LENGTH are not sense data even if they
     * came along. */
    if (len > 7 && len > (size_t) 8 + buf[7])
      len = (size_t) 8 + buf[7];
    if (len > 12)
      sense->asc = buf[12];
    if (len > 13)
      sense->ascq = buf[13];
    break;

  case 0x72:
  case 0x73:
    if (len < 2)
      return;
    sense->key = buf[1] & 0x0f;
    if (len > 2)
      sense->asc = buf[2];
    if (len > 3)
      sense->ascq = buf[3];
    break;

  default:
    return;
  }

  sense->valid = true;
  sense->deferred = code & 1;
}

void
sense_parse_iscsi (const uint8_t *buf, size_t len, struct sense *sense)
{
  size_t n = 0;

  if (len >= 2) {
    n = get_be16 (buf);
    if (n > len - 2)
      n = len - 2;
  }
  sense_parse (n > 0 ? buf + 2 : NULL, n, sense);
}

static const char *const key_names[16] = {
  [SENSE_NO_SENSE] = "NO SENSE",
  [SENSE_RECOVERED_ERROR] = "RECOVERED ERROR",
  [SENSE_NOT_READY] = "NOT READY",
  [SENSE_MEDIUM_ERROR] = "MEDIUM ERROR",
  [SENSE_HARDWARE_ERROR] = "HARDWARE ERROR",
  [SENSE_ILLEGAL_REQUEST] = "ILLEGAL REQUEST",
  [SENSE_UNIT_ATTENTION] = "UNIT ATTENTION",
  [SENSE_DATA_PROTECT] = "DATA PROTECT",
  [SENSE_BLANK_CHECK] = "BLANK CHECK",
  [SENSE_VENDOR_SPECIFIC] = "VENDOR SPECIFIC",
  [SENSE_COPY_ABORTED] = "COPY ABORTED",
  [SENSE_ABORTED_COMMAND] = "ABORTED COMMAND",
  [0xc] = "RESERVED KEY C",
  [SENSE_VOLUME_OVERFLOW] = "VOLUME OVERFLOW",
  [SENSE_MISCOMPARE] = "MISCOMPARE",
  [SENSE_COMPLETED] = "COMPLETED",
};

/* Those of SPC-4 annex F.2 that a disk behind iSCSI is known to send.
 * Sorted, for the reader. */
static const struct {
  uint8_t asc, ascq;
  const char *text;
} codes[] = {
  { 0x00, 0x00, "no additional sense information" },
  { 0x00, 0x06, "I/O process terminated" },
  { 0x02, 0x00, "no seek complete" },
  { 0x03, 0x00, "peripheral device write fault" },
  { 0x04, 0x00, "not ready, cause not reportable" },
  { 0x04, 0x01, "becoming ready" },
  { 0x04, 0x02, "initializing command required" },
  { 0x04, 0x03, "manual intervention required" },
  { 0x04, 0x04, "format in progress" },
  { 0x04, 0x05, "rebuild in progress" },
  { 0x04, 0x06, "recalculation in progress" },
  { 0x04, 0x07, "operation in progress" },
  { 0x04, 0x08, "long write in progress" },
  { 0x04, 0x09, "self-test in progress" },
  { 0x04, 0x0a, "asymmetric access state transition" },
  { 0x04, 0x0b, "target port in standby state" },
  { 0x04, 0x0c, "target port in unavailable state" },
  { 0x04, 0x0d, "structural check" },
  { 0x04, 0x0e, "security session in progress" },
  { 0x04, 0x10, "auxiliary memory not accessible" },
  { 0x04, 0x11, "notify (enable spinup) required" },
  { 0x04, 0x12, "offline" },
  { 0x04, 0x13, "SA creation in progress" },
  { 0x04, 0x14, "space allocation in progress" },
  { 0x04, 0x1a, "start stop unit command in progress" },
  { 0x04, 0x1b, "sanitize in progress" },
  { 0x04, 0x1c, "additional power use not yet granted" },
  { 0x04, 0x1d, "configuration in progress" },
  { 0x04, 0x1e, "microcode activation required" },
  { 0x04, 0x1f, "microcode download required" },
  { 0x04, 0x20, "logical unit reset required" },
  { 0x04, 0x21, "hard reset required" },
  { 0x04, 0x22, "power cycle required" },
  { 0x04, 0x24, "depopulation in progress" },
  { 0x04, 0x25, "depopulation restoration in progress" },
  { 0x05, 0x00, "logical unit does not respond to selection" },
  { 0x08, 0x00, "logical unit communication failure" },
  { 0x08, 0x01, "logical unit communication time-out" },
  { 0x09, 0x00, "track following error" },
  { 0x0b, 0x01, "warning: specified temperature exceeded" },
  { 0x0c, 0x00, "write error" },
  { 0x0c, 0x02, "write error, auto reallocation failed" },
  { 0x0c, 0x03, "write error, recommend reassignment" },
  { 0x0c, 0x0c, "write error, unexpected unsolicited data" },
  { 0x0c, 0x0d, "write error, not enough unsolicited data" },
  { 0x0e, 0x00, "invalid information unit" },
  { 0x0e, 0x03, "invalid field in command information unit" },
  { 0x10, 0x00, "ID CRC or ECC error" },
  { 0x10, 0x01, "logical block guard check failed" },
  { 0x10, 0x02, "logical block application tag check failed" },
  { 0x10, 0x03, "logical block reference tag check failed" },
  { 0x11, 0x00, "unrecovered read error" },
  { 0x11, 0x01, "read retries exhausted" },
  { 0x11, 0x04, "unrecovered read error, auto reallocate failed" },
  { 0x11, 0x0b, "unrecovered read error, recommend reassignment" },
  { 0x11, 0x14, "read error, block marked bad by application client" },
  { 0x13, 0x00, "address mark not found for data field" },
  { 0x14, 0x00, "recorded entity not found" },
  { 0x14, 0x01, "record not found" },
  { 0x15, 0x00, "random positioning error" },
  { 0x16, 0x00, "data synchronization mark error" },
  { 0x17, 0x00, "recovered data with no error correction applied" },
  { 0x18, 0x00, "recovered data with error correction applied" },
  { 0x19, 0x00, "defect list error" },
  { 0x1a, 0x00, "parameter list length error" },
  { 0x1d, 0x00, "miscompare during verify operation" },
  { 0x20, 0x00, "invalid command operation code" },
  { 0x20, 0x01, "access denied, initiator pending-enrolled" },
  { 0x20, 0x02, "access denied, no access rights" },
  { 0x20, 0x03, "access denied, invalid management ID key" },
  { 0x20, 0x08, "access denied, enrollment conflict" },
  { 0x20, 0x09, "access denied, invalid LU identifier" },
  { 0x20, 0x0a, "access denied, invalid proxy token" },
  { 0x20, 0x0b, "access denied, ACL LUN conflict" },
  { 0x21, 0x00, "logical block address out of range" },
  { 0x21, 0x01, "invalid element address" },
  { 0x22, 0x00, "illegal function" },
  { 0x24, 0x00, "invalid field in CDB" },
  { 0x25, 0x00, "logical unit not supported" },
  { 0x26, 0x00, "invalid field in parameter list" },
  { 0x26, 0x01, "parameter not supported" },
  { 0x26, 0x02, "parameter value invalid" },
  { 0x26, 0x04, "invalid release of persistent reservation" },
  { 0x27, 0x00, "write protected" },
  { 0x27, 0x01, "hardware write protected" },
  { 0x27, 0x02, "logical unit software write protected" },
  { 0x27, 0x07, "space allocation failed write protect" },
  { 0x28, 0x00, "not ready to ready change, medium may have changed" },
  { 0x29, 0x00, "power on, reset, or bus device reset occurred" },
  { 0x29, 0x01, "power on occurred" },
  { 0x29, 0x02, "SCSI bus reset occurred" },
  { 0x29, 0x03, "bus device reset function occurred" },
  { 0x29, 0x04, "device internal reset" },
  { 0x29, 0x05, "transceiver mode changed to single-ended" },
  { 0x29, 0x06, "transceiver mode changed to LVD" },
  { 0x29, 0x07, "I_T nexus loss occurred" },
  { 0x2a, 0x00, "parameters changed" },
  { 0x2a, 0x01, "mode parameters changed" },
  { 0x2a, 0x02, "log parameters changed" },
  { 0x2a, 0x03, "reservations preempted" },
  { 0x2a, 0x04, "reservations released" },
  { 0x2a, 0x05, "registrations preempted" },
  { 0x2a, 0x05, "registrations preempted" },
  { 0x2a, 0x06, "asymmetric access state changed" },
  { 0x2a, 0x07, "implicit asymmetric access state transition failed" },
  { 0x2a, 0x08, "priority changed" },
  { 0x2a, 0x09, "capacity data has changed" },
  { 0x2a, 0x10, "timestamp changed" },
  { 0x2c, 0x00, "command sequence error" },
  { 0x2f, 0x00, "commands cleared by another initiator" },
  { 0x2f, 0x02, "commands cleared by device server" },
  { 0x31, 0x00, "medium format corrupted" },
  { 0x32, 0x00, "no defect spare location available" },
  { 0x38, 0x07, "thin provisioning soft threshold reached" },
  { 0x39, 0x00, "saving parameters not supported" },
  { 0x3a, 0x00, "medium not present" },
  { 0x3e, 0x00, "not self-configured yet" },
  { 0x3e, 0x01, "logical unit failure" },
  { 0x3e, 0x02, "timeout on logical unit" },
  { 0x3f, 0x00, "target operating conditions have changed" },
  { 0x3f, 0x01, "microcode has been changed" },
  { 0x3f, 0x02, "changed operating definition" },
  { 0x3f, 0x03, "inquiry data has changed" },
  { 0x3f, 0x05, "device identifier changed" },
  { 0x3f, 0x0e, "reported LUNs data has changed" },
  { 0x43, 0x00, "message error" },
  { 0x44, 0x00, "internal target failure" },
  { 0x45, 0x00, "select or reselect failure" },
  { 0x47, 0x00, "SCSI parity error" },
  { 0x47, 0x01, "data phase CRC error detected" },
  { 0x47, 0x05, "protocol service CRC error" },
  { 0x49, 0x00, "invalid message error" },
  { 0x4a, 0x00, "command phase error" },
  { 0x4b, 0x00, "data phase error" },
  { 0x4e, 0x00, "overlapped commands attempted" },
  { 0x55, 0x00, "system resource failure" },
  { 0x55, 0x03, "insufficient resources" },
  { 0x55, 0x04, "insufficient registration resources" },
  { 0x5d, 0x00, "failure prediction threshold exceeded" },
  { 0x5e, 0x00, "low power condition on" },
  { 0x65, 0x00, "voltage fault" },
  { 0x67, 0x0a, "set target port groups command failed" },
  { 0x74, 0x71, "logical unit access not authorized" },
};

const char *
sense_text (const struct sense *sense, char *buf, size_t size)
{
  const char *deferred = sense->deferred ? "deferred " : "";
  const char *key = key_names[sense->key & 0x0f];
  size_t i;

  if (!sense->valid) {
    snprintf (buf, size, "no sense data");
    return buf;
  }
  for (i = 0; i < sizeof codes / sizeof codes[0]; i++)
    if (codes[i].asc == sense->asc && codes[i].ascq == sense->ascq) {
      snprintf (buf, size, "%s%s %02X/%02X (%s)", deferred, key,
                sense->asc, sense->ascq, codes[i].text);
      return buf;
    }
  snprintf (buf, size, "%s%s %02X/%02X%s", deferred, key,
            sense->asc, sense->ascq,
            sense->asc >= 0x80 || sense->ascq >= 0x80 ?
            " (vendor specific)" : "");
  return buf;
}

const char *
result_text (enum scsi_result result)
{
  switch (result) {
  case RESULT_GOOD: return "GOOD";
  case RESULT_CHECK_CONDITION: return "CHECK CONDITION";
  case RESULT_CONDITION_MET: return "CONDITION MET";
  case RESULT_BUSY: return "BUSY";
  case RESULT_RESERVATION_CONFLICT: return "RESERVATION CONFLICT";
  case RESULT_TASK_SET_FULL: return "TASK SET FULL";
  case RESULT_ACA_ACTIVE: return "ACA ACTIVE";
  case RESULT_TASK_ABORTED: return "TASK ABORTED";
  case RESULT_LOST: return "connection lost";
  case RESULT_PROTOCOL: return "malformed answer";
  }
  return "unknown status";
}
