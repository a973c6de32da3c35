#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Verified I/O over four portals; each carries its share.
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
# shellcheck disable=SC2034
paths=4
# shellcheck source=test-portals.inc
. "$testsdir/failover/test-portals.inc"
