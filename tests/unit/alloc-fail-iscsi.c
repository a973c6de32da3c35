/* SPDX-License-Identifier: BSD-3-Clause */
/* What libiscsi needs memory for, and tells when there is none: ALLOC_LIBISCSI
 * of alloc-fail.h. */
#include <config.h>

#include <stddef.h>
#include <stdint.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include "alloc-fail.h"

#define WRAP(type, name, none, arguments, ...)                          \
  ALLOC_FAIL_WRAP (ALLOC_LIBISCSI, type, name, none, arguments, __VA_ARGS__)

WRAP (struct iscsi_context *, iscsi_create_context, NULL,
      (const char *name), name)
WRAP (int, iscsi_connect_async, -1,
      (struct iscsi_context *ctx, const char *portal,
       iscsi_command_cb cb, void *opaque), ctx, portal, cb, opaque)
WRAP (int, iscsi_login_async, -1,
      (struct iscsi_context *ctx, iscsi_command_cb cb, void *opaque),
      ctx, cb, opaque)
WRAP (int, iscsi_logout_async, -1,
      (struct iscsi_context *ctx, iscsi_command_cb cb, void *opaque),
      ctx, cb, opaque)
WRAP (int, iscsi_discovery_async, -1,
      (struct iscsi_context *ctx, iscsi_command_cb cb, void *opaque),
      ctx, cb, opaque)
WRAP (int, iscsi_nop_out_async, -1,
      (struct iscsi_context *ctx, iscsi_command_cb cb,
       unsigned char *data, int len, void *opaque),
      ctx, cb, data, len, opaque)
WRAP (int, iscsi_task_mgmt_lun_reset_async, -1,
      (struct iscsi_context *ctx, uint32_t lun, iscsi_command_cb cb,
       void *opaque), ctx, lun, cb, opaque)
WRAP (int, iscsi_scsi_command_async, -1,
      (struct iscsi_context *ctx, int lun, struct scsi_task *task,
       iscsi_command_cb cb, struct iscsi_data *data, void *opaque),
      ctx, lun, task, cb, data, opaque)
