#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# An iSCSI target that knows no CHAP at all: relays to a real one, but answers
# a login that offers CHAP with "authentication failure" (RFC 7143 11.13.5,
# class 2 detail 1).  For test-stale-groups.sh.
#
#   picky-login.py ADDRESS:PORT...
#
# Prints "ready ADDRESS:PORT...", a listener for each target, then "refused"
# for each login that it refused.
import asyncio
import sys


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.transport.abort()


def refusal(login):
    answer = bytearray(48)
    answer[0] = 0x23
    answer[8:14] = login[8:14]          # ISID
    answer[16:20] = login[16:20]        # Initiator Task Tag
    answer[24:28] = login[28:32]        # StatSN: the ExpStatSN
    answer[28:32] = answer[32:36] = login[24:28]
    answer[36], answer[37] = 2, 1
    return bytes(answer)


async def serve(target, reader, writer):
    try:
        login = await reader.readexactly(48)
        length = int.from_bytes(login[5:8], "big")
        text = await reader.readexactly((length + 3) // 4 * 4)
        if login[0] & 0x3f == 0x03 and b"AuthMethod=CHAP" in text:
            print("refused", flush=True)
            writer.write(refusal(login))
            await writer.drain()
            writer.close()
            return
        host, port = target.rsplit(":", 1)
        r, w = await asyncio.open_connection(host, int(port))
    except (OSError, asyncio.IncompleteReadError):
        writer.transport.abort()
        return
    w.write(login + text)
    await asyncio.gather(copy(reader, w), copy(r, writer))


async def main():
    servers, names = [], []
    for target in sys.argv[1:]:
        s = await asyncio.start_server(
            lambda r, w, t=target: serve(t, r, w), "127.0.0.1", 0)
        servers.append(s)
        names.append("%s:%d" % s.sockets[0].getsockname()[:2])
    print("ready", *names, flush=True)
    await asyncio.gather(*(s.serve_forever() for s in servers))

asyncio.run(main())
