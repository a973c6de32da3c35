#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What the README tells a user to do, in a Debian 12 that has nothing else.
TEST_TIMEOUT=1500
plain_build=1                   # it has builds of its own
# shellcheck source=../functions.sh
. "$(dirname "$0")/../functions.sh"
requires_root
requires debootstrap --version

exec "$testsdir/fresh" bookworm
