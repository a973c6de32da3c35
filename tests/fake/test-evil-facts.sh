#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A target that lies about its disk: INQUIRY, VPD pages, REPORT LUNS, READ
# CAPACITY, MODE SENSE, GET LBA STATUS cut short or too long; another size or
# another disk after a login.
# shellcheck source=../functions-evil.sh
. "$(dirname "$0")/../functions-evil.sh"

play facts "$@"
