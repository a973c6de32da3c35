/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of `mpiscsi persist` share. */
#ifndef MPISCSI_CMD_PERSIST_H
#define MPISCSI_CMD_PERSIST_H

#include <stdbool.h>
#include <stddef.h>

/* cmd-persist-print.c: what PERSISTENT RESERVE IN answered to ACTION, in hex,
 * as mpathpersist prints it.  false: it is malformed. */
extern bool persist_print (const char *action, const char *hex);

/* cmd-nbd-device.c */
enum nbd_device {
  NBD_NO_DEVICE,                /* it is no /dev/nbdN */
  NBD_NO_CLIENT,                /* it is one, but whose is not known */
  NBD_EXPORT,                   /* EXPORT is the name it has; "": the default */
};
/* Which export is behind a device of the kernel's NBD client? */
extern enum nbd_device nbd_device_export (const char *device, char *export,
                                          size_t size);

#endif /* MPISCSI_CMD_PERSIST_H */
