#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A target whose answers are hostile: sense data, statuses, residuals, tags,
# rejects, NOP-In without end, rubbish, silence.
# shellcheck source=../functions-evil.sh
. "$(dirname "$0")/../functions-evil.sh"

play answers "$@"
