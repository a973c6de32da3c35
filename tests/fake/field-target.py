#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A target as people have them: right in the main, odd in one thing that is said
with an option.  Small: one thread per connection, one command at a time, no
digests, a disk in memory (shared by all portals).

  field-target.py --listen 127.0.0.1:0 [--listen ...] [--residual-lies] ...

Prints "listening ADDR" for each portal, then "ready"; then a line for what tests
want to know."""
import argparse, os, socket, struct, sys, threading, time

p = argparse.ArgumentParser()
p.add_argument("--listen", action="append", required=True)
p.add_argument("--name", default="iqn.2026-11.example.mpiscsi:field")
p.add_argument("--tell", action="append", default=[], metavar="NAME[=ADDR;ADDR]",
               help="what SendTargets answers; default: --name at --listen")
p.add_argument("--size", type=int, default=32 << 20)
p.add_argument("--luns", default="1", help="numbers")
p.add_argument("--form", choices=["peripheral", "flat", "extended"], default="peripheral",
               help="in which LUNs are told, and the only one that is taken")
p.add_argument("--no-report-luns", action="store_true", help="refused, but by the well-known LUN")
p.add_argument("--no-wlun", action="store_true")
p.add_argument("--residual-lies", action="store_true", help="INQUIRY: residual is what came")
p.add_argument("--inquiry-bytes", type=int, default=96)
p.add_argument("--no-rc16", action="store_true")
p.add_argument("--rc10-last", type=lambda x: int(x, 0))
p.add_argument("--vendor", default="FIELD")
p.add_argument("--product", default="DISK")
p.add_argument("--device-type", type=int, default=0)
p.add_argument("--wwid", default="6000144000000000")
p.add_argument("--most-bytes", type=int, help="larger reads and writes: ILLEGAL REQUEST")
p.add_argument("--thin", action="store_true")
p.add_argument("--refuse-status", type=int, metavar="N", help="the Nth GET LBA STATUS is refused")
p.add_argument("--login-status", type=lambda x: int(x, 16), metavar="CCDD")
p.add_argument("--status-times", type=int, default=1 << 30, help="so often, then logins are good")
p.add_argument("--redirect", help="each login here goes to ADDR")
p.add_argument("--ask-logout", type=int, metavar="N", help="with the Nth I/O: Asynchronous Message 1")
p.add_argument("--authmethod", help="answered, whatever was asked")
p.add_argument("--banner", help="no iSCSI: says this")
a = p.parse_args()

disk = bytearray(a.size)
lock = threading.Lock()
count = {}


def say(*words):
    print(*words, flush=True)


def tick(what):
    with lock:
        count[what] = count.get(what, 0) + 1
        return count[what]


def lun_field(n):
    if a.form == "extended":
        return struct.pack(">B", 0xd2) + n.to_bytes(3, "big") + bytes(4)
    return struct.pack(">H6x", 0x4000 | n if a.form == "flat" else n)


luns = [int(x) for x in a.luns.split(",")]
fields = {lun_field(n): n for n in luns}
WLUN = b"\xc1\x01" + bytes(6)


class Check(Exception):
    pass


def check(key, asc, ascq=0):
    raise Check(bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0]))


def scsi(field, cdb, out):
    op = cdb[0]
    if op == 0xa0:
        if a.no_report_luns and (field != WLUN or a.no_wlun):
            check(5, 0x20)
        data = b"".join(fields)
        return struct.pack(">I4x", len(data)) + data
    n = fields.get(field)
    if n is None:
        if op == 0x12 and not cdb[1] & 1 and a.form != "extended":
            return bytes([0x7f]) + bytes(a.inquiry_bytes - 1)
        check(5, 0x25)
    if op == 0x12 and cdb[1] & 1:
        if cdb[2] == 0:
            return bytes([0, 0, 0, 4, 0, 0x83, 0xb0, 0xb2])
        if cdb[2] == 0x83:
            w = bytearray(bytes.fromhex(a.wwid))
            w[-1] = (w[-1] + n) & 0xff
            return bytes([0, 0x83, 0, 4 + len(w), 1, 3, 0, len(w)]) + bytes(w)
        if cdb[2] == 0xb0:
            return struct.pack(">BBH16xIIII28x", 0, 0xb0, 60, 0xffffffff, 1, 128, 0)
        if cdb[2] == 0xb2:
            return bytes([0, 0xb2, 0, 4, 0, 0xe4 if a.thin else 0, 2 if a.thin else 0, 0])
        check(5, 0x24)
    if op == 0x12:
        return (bytes([a.device_type, 0, 6, 2, a.inquiry_bytes - 5, 0, 0, 2]) + a.vendor.encode().ljust(8)[:8] +
                a.product.encode().ljust(16)[:16] + b"0001").ljust(a.inquiry_bytes, b"\0")[:a.inquiry_bytes]
    if op == 0x00:
        return b""
    if op == 0x25:
        last = a.size // 512 - 1 if a.rc10_last is None else a.rc10_last
        return struct.pack(">II", last, 512)
    if op == 0x9e and cdb[1] & 31 == 0x10 and not a.no_rc16:
        return struct.pack(">QIBBH16x", a.size // 512 - 1, 512, 0, 0, 0xc000 if a.thin else 0)
    if op == 0x9e and cdb[1] & 31 == 0x12 and a.thin:
        lba = int.from_bytes(cdb[2:10], "big")
        i = tick("status")
        say("status", lba)
        if i == a.refuse_status:
            check(5, 0x24)
        with lock:
            run = 128 - lba % 128
            mapped = any(disk[lba * 512:(lba + run) * 512])
        return struct.pack(">I4xQIB3x", 20, lba, run, 0 if mapped else 1)
    if op == 0x1a:
        return bytes([3, 0, 0x10, 0])
    if op in (0x28, 0x88, 0x2a, 0x8a):
        long = op in (0x88, 0x8a)
        lba = int.from_bytes(cdb[2:10] if long else cdb[2:6], "big")
        n = int.from_bytes(cdb[10:14] if long else cdb[7:9], "big") * 512
        if a.most_bytes and n > a.most_bytes:
            say("refused", n)
            check(5, 0x24)
        with lock:
            if op in (0x28, 0x88):
                return bytes(disk[lba * 512:lba * 512 + n])
            disk[lba * 512:lba * 512 + n] = out
        return b""
    if op in (0x35, 0x91):
        return b""
    check(5, 0x20)


class Connection(threading.Thread):
    def __init__(self, s, portal):
        super().__init__(daemon=True)
        self.s, self.portal, self.statsn, self.expcmdsn = s, portal, 1, 0
        self.name, self.discovery, self.tsih = "", False, 0
        self.full, self.seen = False, []

    def take(self, n):
        b = b""
        while len(b) < n:
            more = self.s.recv(n - len(b))
            if not more:
                raise EOFError
            b += more
        return b

    def send(self, bhs, data=b"", sn=True):
        bhs[5:8] = len(data).to_bytes(3, "big")
        struct.pack_into(">III", bhs, 24, self.statsn, self.expcmdsn, (self.expcmdsn + 32) & 0xffffffff)
        self.statsn += sn
        self.s.sendall(bytes(bhs) + data + bytes(-len(data) % 4))

    def answer(self, pdu, op, flags):
        bhs = bytearray(48)
        bhs[0], bhs[1] = op, flags
        bhs[16:20] = pdu[16:20]
        return bhs

    def login(self, pdu, data):
        bhs = self.answer(pdu, 0x23, pdu[1] & 0x8f)
        bhs[8:16] = pdu[8:16]
        keys = dict(x.split(b"=", 1) for x in data.split(b"\0") if b"=" in x)
        keys = {k.decode(): v.decode(errors="replace") for k, v in keys.items()}
        if not self.name:
            self.discovery = keys.get("SessionType") == "Discovery"
            self.name = keys.get("InitiatorName", "?")
            self.expcmdsn = struct.unpack_from(">I", pdu, 24)[0]
            say("login", "discovery" if self.discovery else keys.get("TargetName"), "at", self.portal)
        text = ""
        status = 0
        if not self.discovery:
            if a.redirect:
                status, text = 0x0101, "TargetAddress=%s\0" % a.redirect
            elif a.login_status and tick("login") <= a.status_times:
                status = a.login_status
            elif keys.get("TargetName", a.name).lower() != a.name.lower():
                status = 0x0203
        if status:
            struct.pack_into(">H", bhs, 36, status)
            bhs[1] = 0
            self.send(bhs, text.encode())
            raise EOFError
        fixed = {"HeaderDigest": "None", "DataDigest": "None", "MaxConnections": "1", "InitialR2T": "Yes",
                 "ImmediateData": "Yes", "DataPDUInOrder": "Yes", "DataSequenceInOrder": "Yes",
                 "ErrorRecoveryLevel": "0", "MaxOutstandingR2T": "1", "DefaultTime2Wait": "2",
                 "DefaultTime2Retain": "0", "IFMarker": "No", "OFMarker": "No", "MaxBurstLength": "262144",
                 "FirstBurstLength": "65536", "MaxRecvDataSegmentLength": "262144", "AuthMethod": a.authmethod or "None"}
        if not self.discovery and not self.seen:
            text += "TargetPortalGroupTag=1\0"
        for k in keys:
            if k in fixed and k not in self.seen:
                text += "%s=%s\0" % (k, fixed[k])
            self.seen.append(k)
        if pdu[1] & 0x83 == 0x83:
            bhs[14:16] = b"\0\1"
            self.full = True
        self.send(bhs, text.encode())

    def text(self, pdu, data):
        out = ""
        tell = a.tell or ["%s=%s" % (a.name, ";".join(a.listen))]
        for t in tell:
            name, _, addrs = t.partition("=")
            out += "TargetName=%s\0" % name
            for x in filter(None, addrs.split(";")):
                out += "TargetAddress=%s\0" % (x if "," in x else x + ",1")
        bhs = self.answer(pdu, 0x24, 0x80)
        bhs[20:24] = b"\xff" * 4
        self.send(bhs, out.encode())

    def write_data(self, pdu, data, edtl):
        out, r2tsn = data, 0
        while len(out) < edtl:
            n = min(262144, edtl - len(out))
            r2t = self.answer(pdu, 0x31, 0x80)
            r2t[8:16] = pdu[8:16]
            struct.pack_into(">I", r2t, 20, 7)
            struct.pack_into(">III", r2t, 36, r2tsn, len(out), n)
            self.send(r2t, sn=False)
            r2tsn += 1
            end = len(out) + n
            while len(out) < end:
                b = self.take(48)
                d = int.from_bytes(b[5:8], "big")
                more = self.take(d + -d % 4)[:d]
                if b[0] & 0x3f == 5 and b[16:20] == pdu[16:20]:
                    out += more
                else:
                    self.later.append((b, more))
        return out

    def command(self, pdu, data):
        edtl = struct.unpack_from(">I", pdu, 20)[0]
        cdb, read = pdu[32:48], pdu[1] & 0x40
        out = self.write_data(pdu, data, edtl) if pdu[1] & 0x20 else b""
        if cdb[0] in (0x28, 0x88, 0x2a, 0x8a) and a.ask_logout and tick("io") == a.ask_logout:
            bhs = bytearray(48)
            bhs[0], bhs[1], bhs[16:20] = 0x32, 0x80, b"\xff" * 4
            bhs[36] = 1
            struct.pack_into(">H", bhs, 42, 3)
            self.send(bhs)
        status, sense, got = 0, b"", b""
        try:
            got = scsi(bytes(pdu[8:16]), cdb, out)
        except Check as c:
            status, sense = 2, struct.pack(">H", len(c.args[0])) + c.args[0]
        got = got[:edtl] if read else b""
        for at in range(0, len(got), 65536):
            part = got[at:at + 65536]
            bhs = self.answer(pdu, 0x25, 0x80 if at + len(part) == len(got) else 0)
            bhs[20:24] = b"\xff" * 4
            struct.pack_into(">II", bhs, 36, at // 65536, at)
            self.send(bhs, part, sn=False)
        bhs = self.answer(pdu, 0x21, 0x80)
        bhs[3] = status
        moved = len(got) if read else len(out) if not status else 0
        if (read or out) and moved < edtl:
            bhs[1] |= 2
            lies = a.residual_lies and cdb[0] == 0x12 and got
            struct.pack_into(">I", bhs, 44, len(got) if lies else edtl - moved)
        self.send(bhs, sense)

    def pdu(self, b, data):
        op = b[0] & 0x3f
        if not b[0] & 0x40 and op not in (5, 0x10):
            self.expcmdsn = (struct.unpack_from(">I", b, 24)[0] + 1) & 0xffffffff
        if op == 3:
            self.login(b, data)
        elif op == 4:
            self.text(b, data)
        elif op == 1:
            self.command(b, data)
        elif op == 0 and b[16:20] != b"\xff" * 4:
            bhs = self.answer(b, 0x20, 0x80)
            bhs[20:24] = b"\xff" * 4
            self.send(bhs, data)
        elif op == 2:
            self.send(self.answer(b, 0x22, 0x80))
        elif op == 6:
            say("logout at", self.portal)
            self.send(self.answer(b, 0x26, 0x80))
            raise EOFError

    def run(self):
        self.later = []
        try:
            if a.banner:
                self.s.sendall(a.banner.encode().decode("unicode_escape").encode("latin-1"))
                self.s.recv(4096)
                return
            while True:
                if self.later:
                    b, data = self.later.pop(0)
                else:
                    b = bytearray(self.take(48))
                    n = int.from_bytes(b[5:8], "big")
                    data = self.take(n + -n % 4)[:n]
                self.pdu(b, data)
        except (EOFError, OSError):
            pass
        finally:
            self.s.close()


def accept(l, portal):
    while True:
        s, _ = l.accept()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Connection(s, portal).start()


for i, x in enumerate(a.listen):
    host, _, port = x.rpartition(":")
    v6 = host.startswith("[")
    l = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0][4])
    l.listen(64)
    a.listen[i] = "%s:%d" % (host, l.getsockname()[1])
    say("listening", a.listen[i])
    threading.Thread(target=accept, args=(l, a.listen[i]), daemon=True).start()
say("ready")
while True:
    time.sleep(3600)
