"""A server on port 8000 that takes connections and does not serve: unwell_server.py reset|silent|dribble."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if sys.argv[1] == "reset":
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()
        return
    for byte in ANSWER if sys.argv[1] == "dribble" else b"":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)
    await asyncio.sleep(3600)


async def main() -> None:
    server = await asyncio.start_server(talk, "", 8000, backlog=512)
    await server.serve_forever()


asyncio.run(main())
