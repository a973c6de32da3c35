#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Another initiator with a persistent reservation (SPC-4 6.16), by libiscsi.

usage: reserve.py PORTAL TARGET LUN

Reads lines: "reserve TYPE", "release TYPE", "clear", "register",
"preempt TYPE KEY"; answers each with "done"; "keys" with those of READ KEYS.
TYPE: 1 write exclusive, 3 exclusive access, 5 write exclusive, registrants only.  All in one session: tgt does not
know a registration again after another login.
"""
import ctypes
import sys

KEY = 0x6d70697363736931
RESERVE, RELEASE, CLEAR, PREEMPT, REGISTER_AND_IGNORE = 1, 2, 3, 4, 6


class Basic(ctypes.Structure):
    _fields_ = [("key", ctypes.c_uint64), ("action_key", ctypes.c_uint64),
                ("spec_i_pt", ctypes.c_uint8), ("all_tg_pt", ctypes.c_uint8),
                ("aptpl", ctypes.c_uint8)]


class Keys(ctypes.Structure):
    _fields_ = [("generation", ctypes.c_int), ("additional", ctypes.c_int),
                ("n", ctypes.c_int), ("keys", ctypes.c_uint64 * 1024)]


def main():
    portal, target, lun = sys.argv[1:]
    lib = ctypes.CDLL("libiscsi.so.7")
    lib.iscsi_create_context.restype = ctypes.c_void_p
    lib.iscsi_get_error.restype = ctypes.c_char_p
    lib.iscsi_persistent_reserve_out_sync.restype = ctypes.c_void_p
    ctx = ctypes.c_void_p(lib.iscsi_create_context(b"iqn.2026-11.example.mpiscsi:other-host"))

    def good(ok, what):
        if not ok:
            sys.exit("%s: %s" % (what, lib.iscsi_get_error(ctx).decode()))

    lib.iscsi_set_targetname(ctx, target.encode())
    lib.iscsi_set_session_type(ctx, 2)
    good(lib.iscsi_full_connect_sync(ctx, portal.encode(), int(lun)) == 0, portal)

    def out(action, kind, key, action_key=0):
        params = Basic(key, action_key, 0, 0, 0)
        task = lib.iscsi_persistent_reserve_out_sync(ctx, int(lun), action, 0, kind,
                                                     ctypes.byref(params))
        # The status is the first field of struct scsi_task.
        good(task and ctypes.cast(task, ctypes.POINTER(ctypes.c_int))[0] == 0,
             "PERSISTENT RESERVE OUT, action %d" % action)

    lib.iscsi_persistent_reserve_in_sync.restype = ctypes.c_void_p
    lib.scsi_datain_unmarshall.restype = ctypes.POINTER(Keys)

    def keys():
        task = lib.iscsi_persistent_reserve_in_sync(ctx, int(lun), 0, 8192)
        found = task and lib.scsi_datain_unmarshall(ctypes.c_void_p(task))
        good(found, "READ KEYS")
        return " ".join("0x%x" % found[0].keys[i] for i in range(found[0].n))

    for line in sys.stdin:
        verb, kind, victim = (line.split() + ["0", "0"])[:3]
        if verb == "keys":
            print(keys(), flush=True)
            continue
        out(REGISTER_AND_IGNORE, 0, 0, KEY)
        if verb == "preempt":
            out(PREEMPT, int(kind), KEY, int(victim, 16))
        elif verb != "register":
            out({"reserve": RESERVE, "release": RELEASE, "clear": CLEAR}[verb], int(kind), KEY)
        print("done", flush=True)
    lib.iscsi_logout_sync(ctx)


main()
