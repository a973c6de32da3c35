# SPDX-License-Identifier: BSD-3-Clause
# late-portal.py LISTEN-ADDRESS:PORT TO-ADDRESS:PORT FIRST FILE
# A portal that works for its first FIRST connections, then takes connections
# but says nothing on them until FILE exists; then it works again.
import os
import select
import socket
import sys
import threading
import time


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


listen, to = address(sys.argv[1]), address(sys.argv[2])
first, go = int(sys.argv[3]), sys.argv[4]


def serve(a, number):
    while number > first and not os.path.exists(go):
        # Until then, or until the other side has enough of it.
        if select.select([a], [], [], 0.05)[0] and not a.recv(1, socket.MSG_PEEK):
            a.close()
            return
        time.sleep(0.05)
    b = socket.create_connection(to)
    try:
        while True:
            for s in select.select([a, b], [], [])[0]:
                data = s.recv(1 << 18)
                if not data:
                    return
                (b if s is a else a).sendall(data)
    except OSError:
        pass
    finally:
        a.close()
        b.close()


sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(listen)
sock.listen(16)
print("listening", flush=True)
number = 0
while True:
    conn = sock.accept()[0]
    number += 1
    print("connection", number, flush=True)
    threading.Thread(target=serve, args=(conn, number), daemon=True).start()
