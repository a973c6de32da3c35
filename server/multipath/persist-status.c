/* SPDX-License-Identifier: BSD-3-Clause */
/* What is asked for, and how it ended, in mpathpersist's terms. */
#include <config.h>

#include "multipath/persist.h"

bool
persist_is_register (const struct persist_request *r)
{
  return !r->in &&
    (r->action == PR_REGISTER || r->action == PR_REGISTER_IGNORE);
}

bool
persist_is_for_all (const struct persist_request *r)
{
  return persist_is_register (r) || (!r->in && r->action == PR_RELEASE);
}

enum persist_status
persist_status_of (enum scsi_result result, const struct sense *sense)
{
  switch (result) {
  case RESULT_GOOD: case RESULT_CONDITION_MET:
    return PERSIST_DONE;
  case RESULT_RESERVATION_CONFLICT:
    return PERSIST_CONFLICT;
  case RESULT_CHECK_CONDITION:
    break;
  default:
    return PERSIST_OTHER;
  }
  switch (sense->key) {
  case SENSE_RECOVERED_ERROR: return PERSIST_DONE;
  case SENSE_NOT_READY: return PERSIST_NOT_READY;
  case SENSE_MEDIUM_ERROR: return PERSIST_MEDIUM;
  case SENSE_HARDWARE_ERROR: return PERSIST_HARDWARE;
  case SENSE_ILLEGAL_REQUEST:
    return sense->asc == 0x20 ? PERSIST_INVALID : PERSIST_ILLEGAL;
  case SENSE_UNIT_ATTENTION: return PERSIST_ATTENTION;
  case SENSE_ABORTED_COMMAND: return PERSIST_ABORTED;
  default: return PERSIST_OTHER;
  }
}
