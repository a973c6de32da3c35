/* SPDX-License-Identifier: BSD-3-Clause */
/* REPORT and SET TARGET PORT GROUPS.  See alua.h. */
#include <string.h>

#include "base/bytes.h"
#include "scsi/alua.h"

#define HEADER 4                /* RETURN DATA LENGTH */
#define EXTENDED_HEADER 8
#define DESCRIPTOR 8            /* then 4 bytes for each of its ports */

static enum alua_state
state_of (uint8_t byte)
{
  switch (byte & 0x0f) {
  case ALUA_OPTIMIZED: case ALUA_NON_OPTIMIZED: case ALUA_STANDBY:
  case ALUA_LBA_DEPENDENT: case ALUA_OFFLINE: case ALUA_TRANSITIONING:
    return byte & 0x0f;
  default:
    return ALUA_UNAVAILABLE;
  }
}

/* No group is in the list twice (SPC-4 6.37): of those that are, the first. */
static bool
is_known (const struct alua_report *report, uint16_t id)
{
  for (unsigned i = 0; i < report->nr_groups; ++i)
    if (report->groups[i].id == id)
      return true;
  return false;
}

bool
parse_port_groups (struct alua_report *report, const uint8_t *buf, size_t len)
{
  size_t pos = HEADER, end;

  memset (report, 0, sizeof *report);
  if (len < HEADER)
    return false;
  report->length = get_be32 (buf);
  if (report->length <= UINT32_MAX - HEADER)
    report->length += HEADER;
  end = report->length < len ? report->length : len;
  report->cut = report->length > len;

  /* RETURN DATA FORMAT; in a descriptor these bits are reserved, and 0. */
  if (end > HEADER && (buf[HEADER] & 0x70) == 0x10) {
    if (end > 5)
      report->transition_time = buf[5];
    pos = EXTENDED_HEADER;
  }
  /* State and group are the first 4 bytes of a descriptor. */
  for (; pos + 4 <= end; pos += DESCRIPTOR + 4 * (size_t) buf[pos + 7]) {
    const uint8_t *d = buf + pos;
    const uint16_t id = get_be16 (d + 2);

    if (report->nr_groups == ALUA_MAX_GROUPS) {
      report->cut = true;
      break;
    }
    if (!is_known (report, id))
      report->groups[report->nr_groups++] = (struct alua_group) {
        .id = id, .state = state_of (d[0]), .preferred = d[0] & 0x80,
      };
    if (pos + DESCRIPTOR > end) {
      report->cut = true;
      break;
    }
  }
  return true;
}

int
cdb_report_port_groups (uint8_t cdb[16], bool extended, uint32_t alloc)
{
  memset (cdb, 0, 16);
  cdb[0] = 0xa3;                /* MAINTENANCE IN */
  cdb[1] = (extended ? 1 << 5 : 0) | 0x0a;
  put_be32 (cdb + 6, alloc);
  return 12;
}

int
cdb_set_port_groups (uint8_t cdb[16], uint32_t param_len)
{
  memset (cdb, 0, 16);
  cdb[0] = 0xa4;                /* MAINTENANCE OUT */
  cdb[1] = 0x0a;
  put_be32 (cdb + 6, param_len);
  return 12;
}

void
set_port_group_parameters (uint8_t buf[SET_PORT_GROUP_PARAMETERS],
                           uint16_t group)
{
  memset (buf, 0, SET_PORT_GROUP_PARAMETERS);
  buf[4] = ALUA_OPTIMIZED;
  put_be16 (buf + 6, group);
}

const char *
alua_state_text (enum alua_state state)
{
  switch (state) {
  case ALUA_OPTIMIZED: return "active/optimized";
  case ALUA_NON_OPTIMIZED: return "active/non-optimized";
  case ALUA_STANDBY: return "standby";
  case ALUA_UNAVAILABLE: break;
  case ALUA_LBA_DEPENDENT: return "lba-dependent";
  case ALUA_OFFLINE: return "offline";
  case ALUA_TRANSITIONING: return "transitioning";
  }
  return "unavailable";
}
