/* SPDX-License-Identifier: BSD-3-Clause */
/* CRC32C (Castagnoli), iSCSI's digest (RFC 7143 13.1, RFC 3385). */
#ifndef MPISCSI_CRC32C_H
#define MPISCSI_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#define CRC32C_START 0xffffffff
#define CRC32C_SIZE 4

/* Goes on with CRC; that of nothing is CRC32C_START. */
extern uint32_t crc32c_update (uint32_t crc, const void *data, size_t size);
/* As it is on the wire: the complement, the lowest byte first. */
extern void crc32c_put (uint8_t *to, uint32_t crc);

/* For the test: by table, whatever the processor can. */
extern uint32_t crc32c_by_table (uint32_t crc, const void *data, size_t size);

#endif
