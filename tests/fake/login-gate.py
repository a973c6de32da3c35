# SPDX-License-Identifier: BSD-3-Clause
# login-gate.py MODE-FILE LISTEN=TARGET...
# Portals in front of a target's that write down who tries to log in, and when.
#
# MODE-FILE holds one word; a change to "down" or "silent" also resets all
# connections:
#   up      passes everything on; the final Login Response comes HOLD later
#   down    takes a connection, reads the first Login Request, resets after HOLD
#   silent  takes connections and answers nothing
# Each LISTEN is an ADDRESS:PORT as long as its TARGET: where a discovery
# answer says TARGET, LISTEN is put in its place.
#
# One line on standard output per event: SECONDS (monotonic) PORTAL EVENT WHO.
# EVENT is "begin" when a connection is taken, "login" when the Login Request
# is read (WHO is the ISID and the target's name then), "up" when the session
# has reached the full feature phase, "end" when the connection is closed.
import os
import selectors
import socket
import struct
import sys
import time

HOLD = 0.02                     # seconds
TICK = 0.005
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
sel = selectors.DefaultSelector()
links = []
mode = "up"


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


class Link:
    """One connection of the initiator, and in mode "up" one to the target."""
    def __init__(self, portal, sock):
        self.portal, self.sock, self.number = portal, sock, portal.next
        portal.next += 1
        self.who = "connection-%d" % self.number
        self.full, self.due, self.peer = False, None, None
        self.from_client, self.from_target = bytearray(), bytearray()
        self.to_client, self.to_target = bytearray(), bytearray()
        self.held = b""
        self.say("begin")
        sock.setblocking(False)
        if mode == "up":
            self.peer = socket.create_connection(portal.target)
            self.peer.setblocking(False)
            sel.register(self.peer, READ, self)
        sel.register(sock, READ, self)
        links.append(self)

    def say(self, event):
        print("%.4f %s %s #%d %s" % (time.monotonic(), self.portal.name, event, self.number,
                                     self.who), flush=True)

    def close(self, reset=False):
        if self not in links:
            return
        links.remove(self)
        for s in (self.sock, self.peer):
            if s is None:
                continue
            sel.unregister(s)
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        self.say("end")

    def ready(self, sock, mask):
        if mask & READ:
            try:
                data = sock.recv(1 << 18)
            except BlockingIOError:
                data = None
            except OSError:
                data = b""
            if data == b"":
                self.close()
                return
            if data:
                (self.from_client if sock is self.sock else self.from_target).extend(data)
                self.parse()
        self.flush()

    def parse(self):
        while (pdu := whole_pdu(self.from_client)) is not None:
            self.client_said(pdu)
        while (pdu := whole_pdu(self.from_target)) is not None:
            self.target_said(pdu)

    def client_said(self, pdu):
        if pdu[0] & 0x3f == 0x03 and self.who.startswith("connection"):
            keys = dict(k.split(b"=", 1) for k in bytes(pdu[48:]).split(b"\0") if b"=" in k)
            self.who = "%s/%s" % (pdu[8:14].hex(), keys.get(b"TargetName", b"discovery").decode())
            self.say("login")
            if mode == "down":
                self.due = time.monotonic() + HOLD
        if self.peer:
            self.to_target += pdu

    def target_said(self, pdu):
        if pdu[0] & 0x3f == 0x24:       # Text Response
            for p in portals:
                pdu = pdu.replace(p.target_name, p.name.encode())
        # Login Response, T, to the full feature phase (RFC 7143 11.13)
        if pdu[0] & 0x3f == 0x23 and pdu[1] & 0x83 == 0x83 and pdu[36] == 0:
            self.held, self.due = pdu, time.monotonic() + HOLD
        else:
            self.to_client += pdu

    def flush(self):
        for s, out in ((self.sock, self.to_client), (self.peer, self.to_target)):
            if s is None:
                continue
            try:
                if out:
                    del out[:s.send(out)]
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
            sel.modify(s, READ | WRITE if out else READ, self)

    def timer(self, now):
        if self.due is None or now < self.due:
            return
        self.due = None
        if not self.held:
            self.close(reset=True)
            return
        # Said before the initiator can know: what follows comes after it.
        self.full = True
        self.say("up")
        self.to_client += self.held
        self.held = b""
        self.flush()


def whole_pdu(buf):
    if len(buf) < 48:
        return None
    n = 48 + 4 * buf[4] + (int.from_bytes(buf[5:8], "big") + 3 & ~3)
    if len(buf) < n:
        return None
    pdu = bytes(buf[:n])
    del buf[:n]
    return pdu


class Portal:
    def __init__(self, arg):
        self.name, target = arg.split("=")
        if len(self.name) != len(target):
            sys.exit("login-gate: %s: the two must be of one length" % arg)
        self.target, self.target_name = address(target), target.encode()
        self.next = 1
        self.sock = socket.create_server(address(self.name), backlog=128)
        self.sock.setblocking(False)
        sel.register(self.sock, READ, self)

    def ready(self, _sock, _mask):
        try:
            Link(self, self.sock.accept()[0])
        except BlockingIOError:
            pass


portals = [Portal(a) for a in sys.argv[2:]]
print("ready", flush=True)
while True:
    for key, mask in sel.select(TICK):
        if key.data in links or key.data in portals:
            key.data.ready(key.fileobj, mask)
    if os.path.exists(sys.argv[1]):
        with open(sys.argv[1]) as f:
            wanted = f.read().strip()
        if wanted and wanted != mode:
            mode = wanted
            print("%.4f - mode %s" % (time.monotonic(), mode), flush=True)
            if mode != "up":
                for link in list(links):
                    link.close(reset=True)
            else:               # who waits on a silent one has lost that time
                for link in list(links):
                    if link.peer is None:
                        link.close(reset=True)
    for link in list(links):
        link.timer(time.monotonic())
