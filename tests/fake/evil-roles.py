# SPDX-License-Identifier: BSD-3-Clause
# What evil.py expects of each role of fake-iscsi-target: see role () there.
BAD = "the target breaks the protocol: "

SILENT = dict(io=("r4k", "w4k"), rounds=1, long=1)
# No checker, so that there is silence, and then a NOP-Out.
QUIET = dict(options={"path-checker": "none"}, after=None,
             io=("r4k", "pause", "r4k", "w4k"), rounds=1, long=2)
MUTE = dict(options={"login-timeout": "1.5"}, long=1)
THIN = dict(facts=["--thin", "--lbprz"], io=("extents", "r64k", "extents"))
# The server has logged in twice when it serves; then there is a reset.
RELOGIN = dict(fake=["--evil", "reset:6:1"], after="2",
               io=("r4k", "r4k", "r4k", "r4k", "relogin", "r4k", "w64k", "r64k"))
DISCOVERY = dict(options={"discovery": "on", "target": None}, modes=("alone",))
# The disk that is meant, where a broken page 83h makes another name.
ONE = {"wwid": "3600fa4e0000000000000000000000001"}
READ = dict(alone="error")
WRITE = dict(alone="error", after="0")


def refused(name, log, **how):
    return role(name, "error: .*" + log, start=False, **how)


def unfit(name, log, **how):
    return role(name, "error: .*" + log, start=False, pairlog=log, **how)


def harmless(name, **how):
    return role(name, start=None, alone="ok", **how)


NO_LUN = "no LUN to serve was found"

GROUPS = {
    "login": [
        refused("login-bad-text", BAD + "MaxRecvDataSegmentLength=:"),
        refused("login-negative", BAD + "MaxRecvDataSegmentLength=-1:"),
        refused("login-zero", BAD + "MaxRecvDataSegmentLength=0:"),
        refused("login-huge-dsl", BAD + "Login Response with 16777215 bytes"),
        refused("login-status", "login failed: .*7F7Fh"),
        refused("login-unavailable", "login failed: .*unavailable"),
        refused("login-endless", "login failed"),
        refused("login-silent", "login: no answer within", **MUTE),
        refused("login-wrong-itt", BAD + "Login Response for task"),
        refused("login-wrong-stage", "login failed"),
        # Unless asked for a proof: test-discovery-chap.sh.
        harmless("login-unproved"),
        harmless("login-proof-form"),
        harmless("login-proof-zero"),
        harmless("login-proof-hidden"),
        refused("login-disconnect", "connection closed by the target"),
        refused("login-redirect-loop", "redirected more than 8 times"),
        refused("login-redirect-rubbish", r"redirected to '\[:::\]:99999999,-1'"),
        refused("login-redirect-empty", "login failed: .*moved"),
        refused("login-datain", BAD + "a login is answered with PDU type 25h"),
        refused("login-r2t", BAD + "a login is answered with PDU type 31h"),
        harmless("text-continuation", **DISCOVERY),
        refused("text-endless", BAD + "Text Responses of more than", **DISCOVERY),
        role("text-bad", "discovery: ignoring portal '\[::1:3260,1'", start=None,
             alone="ok", **DISCOVERY),
        refused("text-empty", "discovery found no target", **DISCOVERY),
        role("text-flood", "more than 1024 portals of targets", start=None, alone="ok",
             **DISCOVERY),
        refused("text-datain", BAD + "Data-In for what is not a read", **DISCOVERY),
        refused("ahs", BAD + "Data-In with an additional header segment of 8 bytes"),
        refused("ahs-lying", BAD + "Data-In with an additional header segment of 1020"),
        harmless("statsn"),
        refused("window-closed", "command timeout", long=1),
    ],
    "facts": [
        unfit("inquiry-short", "", modes=("alone",)),
        refused("inquiry-empty", NO_LUN),
        unfit("facts-long", BAD + "Data-In of 12304 bytes at 0 for a read of 8208"),
        refused("facts-short", NO_LUN),
        unfit("vpd-wrong-page", "it has no identity"),
        harmless("vpd-lying"),
        harmless("vpd83-short", pairoptions=ONE),
        harmless("vpd83-lying", pairoptions=ONE),
        harmless("vpd83-none", pairoptions=ONE),
        harmless("vpdb0-short"),
        harmless("vpdb0-rubbish"),
        refused("report-luns-short", NO_LUN),
        harmless("report-luns-lying"),
        refused("report-luns-odd", NO_LUN),
        harmless("mode-sense-short"),
        harmless("mode-sense-lying"),
        unfit("rc16-short", "its size is 0"),
        unfit("rc16-empty", "its size is 0"),
        unfit("rc16-block-0", "its block size is 0 bytes"),
        unfit("rc16-huge", "its size, 18446744073709551615 blocks"),
        harmless("ndob-lying", facts=["--thin", "--lbprz"]),
        harmless("lba-status-short", **THIN),
        harmless("lba-status-lying", **THIN),
        harmless("lba-status-zero", **THIN),
        harmless("lba-status-backwards", **THIN),
        role("capacity-shrink", "8192 blocks|shrunk", **RELOGIN),
        role("capacity-grow", **RELOGIN),
        role("wwid-change", "another disk answers here now: WWID", alone="error",
             pairlog="another disk answers here now: WWID", **RELOGIN),
        role("block-size-change", "the block size is 4096 bytes now, was 512",
             alone="error", pairlog="the block size is 4096 bytes now", **RELOGIN),
    ],
    "answers": [
        role("sense-0", "giving up on a command after", **READ),
        role("sense-1", "giving up on a command after", **READ),
        # "Unrecovered read error" is the disk's word, and not the path's.
        role("sense-lying", "I/O error, LBA", pair="any", **READ),
        role("sense-rubbish", "giving up on a command after", **READ),
        # Cut, as sense data may be (SPC-4 4.5.1): what came counts.
        role("sense-descriptors", "I/O error|giving up on a command", pair="any", **READ),
        role("status-rubbish", LOST, **READ),
        role("response-failure", BAD + "response 01h, target failure", **READ),
        role("unknown-itt", BAD + "Data-In for what is not a read", **READ),
        role("wrong-itt", LOST + "(command|ping) timeout", alone="error", **SILENT),
        harmless("double-answer", after=None),
        role("short-write", LOST + "short transfer", **WRITE),
        role("residual-lying", LOST + "short transfer", **READ),
        harmless("residual-overflow", after=None),
        role("bad-opcode", LOST + BAD + "a PDU of type 2fh", **READ),
        role("reject", LOST + "the target rejects a PDU of type 01h: protocol error", **READ),
        harmless("nop-flood", after=None),
        role("nop-storm"),
        role("async-rubbish", LOST + "asynchronous message 119", **READ),
        harmless("async-lying", after=None),
        role("rubbish", LOST + BAD, **READ),
        role("silent", LOST + "(command|ping) timeout", alone="error", **SILENT),
        role("deaf", LOST + "command timeout", alone="error", **SILENT),
        role("disconnect", LOST + "connection closed by the target", **READ),
        role("reset", LOST + "connection reset by the target", **READ),
        role("half-pdu", LOST + "connection closed by the target", **READ),
        role("datain-for-nop", BAD + "Data-In for what is not a read", **QUIET),
        role("r2t-for-nop", BAD + "R2T for what is not a write", **QUIET),
        harmless("datain-for-logout", after=None),
    ],
    "data": [
        role("datain-beyond", BAD + "Data-In of 4096 bytes at", **READ),
        role("datain-far", BAD + "Data-In of 4096 bytes at 4294963200", **READ),
        role("datain-more", BAD + "Data-In of", **READ),
        role("datain-overlap", BAD + "Data-In at 0, when 512 was next", **READ),
        role("datain-for-write", BAD + "Data-In for what is not a read", **WRITE),
        role("datain-none-for-write", BAD + "Data-In for what is not a read", **WRITE),
        role("datain-hole", BAD + "Data-In at [0-9]*, when 512 was next", **READ),
        role("datain-after", BAD + "Data-In for what is not a read"),
        role("datain-check", "giving up on a command after", **READ),
        role("datain-huge-dsl", LOST + BAD + "Data-In with 16777215 bytes", alone="error", io=("r4k", "r64k", "r300k")),
        role("r2t-for-read", BAD + "R2T for what is not a write", **READ),
        role("r2t-huge", BAD + "R2T for 4294963200 bytes", **WRITE),
        role("r2t-beyond", BAD + "R2T for 65536 bytes", **WRITE),
        harmless("r2t-zero", after=None),
        role("r2t-unknown", BAD + "R2T for what is not a write", **WRITE),
        role("r2t-sent", BAD + "R2T for data that was asked for before", **WRITE),
        role("r2t-again", BAD + "R2T for data that was asked for before", **WRITE),
        # The target's word is the disk's: what it dropped is dropped.
        role("early-answer", BAD + "a write was answered before", **WRITE),
        role("short-read", LOST + "short transfer with GOOD status", **READ),
        role("short-read-silent", LOST + "short transfer with GOOD status", **READ),
        role("empty-read", LOST + "short transfer with GOOD status", **READ),
    ],
}
