#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# A target that is hostile at login and in discovery: lengths of 0, -1 and 16 MiB,
# rubbish, answers of another kind, redirection in circles, silence.
# shellcheck source=../functions-evil.sh
. "$(dirname "$0")/../functions-evil.sh"

play login "$@"
