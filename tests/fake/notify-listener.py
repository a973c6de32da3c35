# SPDX-License-Identifier: BSD-3-Clause
# A service manager's end of NOTIFY_SOCKET, for test-service.sh:
#   notify-listener.py SOCKET [URI]
# prints "PID LINE" for each line of each message, PID being the sender's as
# the kernel says (that is what NotifyAccess=main looks at).  At READY=1 it
# reads and writes through URI at once, and prints "io good" or "io ERROR".
import socket
import struct
import sys

name, uri = sys.argv[1], sys.argv[2:]
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
sock.bind("\0" + name[1:] if name[0] == "@" else name)
print("listening", flush=True)


def try_io():
    import nbd
    try:
        h = nbd.NBD()
        h.connect_uri(uri[0])
        data = bytes([0x5a]) * 4096
        h.pwrite(data, 8192)
        return "good" if h.pread(4096, 8192) == data else "other data"
    except nbd.Error as e:
        return str(e)


while True:
    text, anc, _, _ = sock.recvmsg(4096, socket.CMSG_SPACE(12))
    pid = struct.unpack("iII", anc[0][2])[0]
    for line in text.decode().splitlines():
        print(pid, line, flush=True)
        if line == "READY=1" and uri:
            print("io", try_io(), flush=True)
