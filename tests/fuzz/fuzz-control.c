/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer target: requests of the control socket.
 *
 *   clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -I. -Iserver \
 *     tests/fuzz/fuzz-control.c server/control/control-request.c -ljansson
 *   ./a.out -max_total_time=60 -max_len=4096 NEWDIR tests/fuzz/corpus-control
 */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/control-request.h"
#include "must.h"

static void
check_name (const char *s)
{
  MUST (memchr (s, 0, CONTROL_NAME) != NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct control_request req;
  char err[100];

  memset (err, 'x', sizeof err);
  if (control_parse ((const char *) data, size, &req, err,
                     sizeof err) == 0) {
    MUST (req.command < NR_CONTROL_COMMANDS);
    MUST (req.what < NR_CONTROL_WHATS);
    check_name (req.map);
    check_name (req.path);
    check_name (req.portal);
    /* What a verb acts on was given. */
    if (req.command == CONTROL_FAIL || req.command == CONTROL_REINSTATE)
      MUST (req.path[0]);
    if (req.command == CONTROL_ADD || req.command == CONTROL_DEL)
      MUST (req.portal[0]);
    if (req.command == CONTROL_DISABLEQUEUEING ||
        req.command == CONTROL_RESTOREQUEUEING)
      MUST (req.map[0]);
  }
  else {
    /* One line that would not hurt a terminal. */
    MUST (memchr (err, 0, sizeof err) != NULL && err[0]);
    for (const char *s = err; *s; ++s)
      MUST ((unsigned char) *s >= ' ' && *s != 0x7f);
  }
  return 0;
}
