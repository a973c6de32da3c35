#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A portal in front of a tgt portal that tells of further ones.

tgtd answers SendTargets with the address it was asked on and no other.  Most
targets list all portals of a target; this relay adds them, so that a test can
see that an initiator uses what it is told (RFC 7143, appendix C).

usage: discovery-proxy.py LISTEN BACKEND ADDRESS...
LISTEN, BACKEND: ip:port.  ADDRESS: ip:port[,tpgt], told instead of what the
back end says.  Sessions that are not for discovery are passed through.
"""
import asyncio
import sys

LOGIN, TEXT_RESPONSE = 0x03, 0x24


async def read_pdu(reader):
    """One PDU: header (with AHS) and data without padding.  No digests: the
    discovery session of an initiator has not agreed on any before login."""
    head = await reader.readexactly(48)
    ahs, length = head[4] * 4, int.from_bytes(head[5:8], "big")
    head += await reader.readexactly(ahs)
    data = await reader.readexactly((length + 3) & ~3)
    return head, data[:length]


def pdu(head, data):
    head = head[:5] + len(data).to_bytes(3, "big") + head[8:]
    return head + data + bytes(-len(data) % 4)


async def relay(reader, writer, change=None):
    try:
        while True:
            if change:
                head, data = await read_pdu(reader)
                if head[0] & 0x3F == TEXT_RESPONSE and data:
                    data = change(data)
                block = pdu(head, data)
            else:
                block = await reader.read(65536)
                if not block:
                    break
            writer.write(block)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def serve(reader, writer, backend, addresses):
    def tell(data):
        out = []
        for word in data.split(b"\0"):
            if word.startswith(b"TargetName="):
                out.append(word)
                out += [b"TargetAddress=" + a.encode() for a in addresses]
        return b"\0".join(out) + b"\0"

    try:
        up_reader, up_writer = await asyncio.open_connection(*backend)
    except OSError:
        writer.transport.abort()
        return
    try:
        head, data = await read_pdu(reader)
        discovery = head[0] & 0x3F == LOGIN and b"SessionType=Discovery" in data
        if discovery:
            # Only None is offered, so that nothing is digested.  Not left
            # out: libiscsi takes the lack of an answer for a yes.
            data = b"\0".join(w.split(b"=")[0] + b"=None"
                              if w.startswith((b"HeaderDigest", b"DataDigest"))
                              else w for w in data.split(b"\0"))
        up_writer.write(pdu(head, data))
    except (OSError, asyncio.IncompleteReadError):
        writer.close()
        up_writer.close()
        return
    await asyncio.gather(relay(reader, up_writer),
                         relay(up_reader, writer, tell if discovery else None))


def endpoint(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


async def main(listen, backend, *addresses):
    server = await asyncio.start_server(
        lambda r, w: serve(r, w, endpoint(backend), addresses), *endpoint(listen))
    print("listening", flush=True)
    async with server:
        await server.serve_forever()

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
