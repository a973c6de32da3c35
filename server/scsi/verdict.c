/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose fault is it?  From the end of one command to what is to be done.
 *
 * The rule of dm-mpath: whatever is not plainly the command's or the
 * medium's own error is the path's, and is tried elsewhere.  So the default
 * of nearly every switch below is VERDICT_PATH.
 *
 * errno: only those that NBD has and clients understand (EIO, ENOSPC, EPERM,
 * EINVAL, ENOTSUP); anything else would reach the client as EINVAL.
 */
#include <errno.h>

#include "scsi/scsi.h"

/* Milliseconds.  Short against any deadline of a command, long against a
 * round trip, so that a retry is neither a stall nor a storm. */
#define DELAY_FULL 10           /* others of ours end within this time */
#define DELAY_BUSY VERDICT_DELAY_MAX

static struct verdict
plain (enum verdict_kind kind)
{
  return (struct verdict) { .kind = kind };
}

static struct verdict
fail (int error)
{
  return (struct verdict) { .kind = VERDICT_FAIL, .error = error };
}

static struct verdict
later (unsigned delay_ms)
{
  return (struct verdict) { .kind = VERDICT_RETRY_LATER,
                            .delay_ms = delay_ms };
}

/* SPC-5 table F.2, 04h: what passes by itself is waited for.  The others need
 * somebody (02, 03, 11, 1C, 1E..23), or are states of this port only. */
static struct verdict
not_ready (uint8_t asc, uint8_t ascq)
{
  struct verdict v;

  if (asc != 0x04)
    return plain (VERDICT_PATH);
  switch (ascq) {
  case 0x01:                    /* becoming ready */
  case 0x04 ... 0x09:           /* format ... self-test in progress */
  case 0x0d:                    /* structural check */
  case 0x0e:                    /* security session in progress */
  case 0x13:                    /* SA creation in progress */
  case 0x14:                    /* space allocation in progress */
  case 0x1a:                    /* START STOP UNIT in progress */
  case 0x1b:                    /* sanitize in progress */
  case 0x1d:                    /* configuration in progress */
  case 0x24:                    /* depopulation in progress */
  case 0x25:                    /* depopulation restoration in progress */
    return later (DELAY_BUSY);
  case 0x0a:                    /* asymmetric access state transition */
    v = later (DELAY_BUSY);
    v.actions = ACTION_CHECK_ALUA;
    return v;
  case 0x0b:                    /* standby */
  case 0x0c:                    /* unavailable */
    v = plain (VERDICT_PATH);
    v.actions = ACTION_CHECK_ALUA;
    return v;
  default:
    return plain (VERDICT_PATH);
  }
}

static struct verdict
medium_error (uint8_t asc)
{
  switch (asc) {
  case 0x11:                    /* unrecovered read error */
  case 0x13:                    /* address mark not found */
  case 0x14:                    /* recorded entity not found */
    return fail (EIO);
  default:
    return plain (VERDICT_RETRY);
  }
}

static struct verdict
illegal_request (uint8_t asc, uint8_t ascq)
{
  switch (asc) {
  case 0x20:
    switch (ascq) {
    case 0x01 ... 0x03:         /* "access denied" of all sorts */
    case 0x08 ... 0x0b:
      return fail (EPERM);
    default:                    /* 00: invalid operation code */
      return fail (ENOTSUP);
    }
  case 0x22:                    /* old name of 20/00, 24/00 and 26/00 */
    return fail (ENOTSUP);
  case 0x21:
    /* We never send a request beyond the size we know, so the disk has
     * shrunk.  ENOSPC would make qemu stop the guest to wait for room. */
    return fail (EIO);
  case 0x24:                    /* invalid field in CDB */
  case 0x26:                    /* invalid field in parameter list */
    return fail (EINVAL);
  case 0x27:                    /* write protected */
    return fail (EPERM);
  default:                      /* 25/00, LUN not supported, and others */
    return plain (VERDICT_PATH);
  }
}

static struct verdict
data_protect (uint8_t asc, uint8_t ascq)
{
  switch (asc) {
  case 0x27:
    if (ascq == 0x07)           /* thin provisioned, and the pool is full */
      return fail (ENOSPC);
    return fail (EPERM);        /* write protected */
  case 0x20:                    /* access denied */
  case 0x74:                    /* security: locked, not authorized */
    return fail (EPERM);
  default:
    return fail (EIO);
  }
}

static unsigned
attention_actions (uint8_t asc, uint8_t ascq)
{
  switch (asc) {
  case 0x04:                    /* some arrays say it so, and not as NOT READY */
    return ascq >= 0x0a && ascq <= 0x0c ? ACTION_CHECK_ALUA : 0;
  case 0x28:
    if (ascq == 0x00)           /* medium may have changed: another disk? */
      return ACTION_CHECK_CAPACITY | ACTION_CHECK_IDENTITY;
    return 0;
  case 0x29:
    /* 00..04: power on and resets, cached writes may be gone; but not by 03,
     * which is what somebody's task management has done (SPC-4 5.14).  05, 06:
     * transceiver modes.  07: only our nexus was lost, the cache was not. */
    return ascq == 0x03 ? ACTION_TASKS_GONE | ACTION_CHECK_ALUA
      : ascq <= 0x04
      ? ACTION_TASKS_GONE | ACTION_TARGET_RESET | ACTION_CHECK_ALUA
      : ascq == 0x07 ? ACTION_TASKS_GONE : 0;
  case 0x2f:                    /* commands cleared, by another initiator or else */
    return ACTION_TASKS_GONE;
  case 0x2a:
    switch (ascq) {
    case 0x01:                  /* mode parameters: WP, WCE */
    case 0x09:
      return ACTION_CHECK_CAPACITY;
    case 0x03:                  /* reservations preempted; tgt: and keys */
    case 0x05:                  /* registrations preempted */
      return ACTION_CHECK_REGISTRATION;
    case 0x06:
    case 0x07:
      return ACTION_CHECK_ALUA;
    default:
      return 0;
    }
  case 0x38:                    /* 07: thin provisioning soft threshold */
    return ascq == 0x07 ? ACTION_THIN_THRESHOLD : 0;
  case 0x3f:
    switch (ascq) {
    case 0x03:                  /* inquiry data */
    case 0x05:                  /* device identifier */
    case 0x0e:                  /* reported LUNs data */
      return ACTION_CHECK_IDENTITY;
    default:
      return 0;
    }
  default:
    return 0;
  }
}

/* SPC-4 4.5.6: the status is of this command, which was not executed, but
 * the sense data is of one that was answered before.  If that was a write
 * which failed on its way out of the cache, its data is lost. */
static struct verdict
deferred (const struct sense *sense)
{
  struct verdict v = plain (VERDICT_RETRY);

  switch (sense->key) {
  case SENSE_NO_SENSE:
  case SENSE_RECOVERED_ERROR:
  case SENSE_COMPLETED:
    break;
  case SENSE_UNIT_ATTENTION:
    v.actions = attention_actions (sense->asc, sense->ascq);
    break;
  default:
    v.actions = ACTION_DATA_LOST;
  }
  return v;
}

static struct verdict
check_condition (const struct sense *sense)
{
  struct verdict v;

  if (!sense || !sense->valid)
    return plain (VERDICT_RETRY);
  if (sense->deferred)
    return deferred (sense);

  switch (sense->key) {
  case SENSE_RECOVERED_ERROR:   /* SPC-4 table 48: completed successfully */
    return plain (VERDICT_DONE);
  case SENSE_NO_SENSE:
  case SENSE_COMPLETED:         /* "may occur for a successful command" is
                                 * not enough to believe in the data */
    return plain (VERDICT_RETRY);
  case SENSE_NOT_READY:
    return not_ready (sense->asc, sense->ascq);
  case SENSE_MEDIUM_ERROR:
    return medium_error (sense->asc);
  case SENSE_ILLEGAL_REQUEST:
    return illegal_request (sense->asc, sense->ascq);
  case SENSE_UNIT_ATTENTION:
    v = plain (VERDICT_RETRY);
    v.actions = attention_actions (sense->asc, sense->ascq);
    return v;
  case SENSE_DATA_PROTECT:
    return data_protect (sense->asc, sense->ascq);
  case SENSE_ABORTED_COMMAND:
    return plain (VERDICT_RETRY);
  case SENSE_HARDWARE_ERROR:
  case SENSE_BLANK_CHECK:
  case SENSE_COPY_ABORTED:
  case SENSE_VOLUME_OVERFLOW:
  case SENSE_MISCOMPARE:
    return fail (EIO);
  default:                      /* vendor specific, reserved */
    return plain (VERDICT_PATH);
  }
}

struct verdict
verdict_of (enum scsi_result result, const struct sense *sense)
{
  struct verdict v;

  switch (result) {
  case RESULT_GOOD:
  case RESULT_CONDITION_MET:    /* PRE-FETCH: all of it is in the cache */
    return plain (VERDICT_DONE);
  case RESULT_CHECK_CONDITION:
    return check_condition (sense);
  case RESULT_RESERVATION_CONFLICT:
    return fail (EPERM);
  case RESULT_TASK_ABORTED:
    return plain (VERDICT_RETRY);
  case RESULT_BUSY:
  case RESULT_ACA_ACTIVE:
    return later (DELAY_BUSY);
  case RESULT_TASK_SET_FULL:
    v = later (DELAY_FULL);
    v.actions = ACTION_LOWER_DEPTH;
    return v;
  case RESULT_LOST:
  case RESULT_PROTOCOL:
    return plain (VERDICT_PATH);
  }
  /* A status that SAM-5 does not have (obsolete ones too): nonsense. */
  return plain (VERDICT_PATH);
}

/* Of a UNIT ATTENTION there are a few in a row: one for each thing that has
 * happened. */
#define AT_ONCE 4

unsigned
verdict_delay (const struct verdict *v, unsigned retries)
{
  unsigned delay = 0;

  if (retries > AT_ONCE)
    delay = retries - AT_ONCE > 6 ? VERDICT_DELAY_MAX
      : 1u << (retries - AT_ONCE);
  if (v->kind == VERDICT_RETRY_LATER && delay < v->delay_ms)
    delay = v->delay_ms;
  return delay < VERDICT_DELAY_MAX ? delay : VERDICT_DELAY_MAX;
}
