"""TCP or Unix-socket echo on Python's asyncio, with TLS if there is a certificate.

    asyncio_echo.py PORT|PATH [streams|protocol] [asyncio|uvloop] [CERTIFICATE KEY]

PORT 0 = any; prints `port N` or `path PATH`, runs until SIGTERM.
"""

import asyncio
import ssl
import sys

BACKLOG = 4096


class EchoProtocol(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main_unix(path, mode):
    if mode == "streams":
        server = await asyncio.start_unix_server(echo, path, backlog=BACKLOG)
    else:
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(EchoProtocol, path, backlog=BACKLOG)
    print(f"path {path}", flush=True)
    async with server:
        await server.serve_forever()


async def main(port, mode, context):
    if mode == "streams":
        server = await asyncio.start_server(echo, "127.0.0.1", port, backlog=BACKLOG, ssl=context)
    else:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(EchoProtocol, "127.0.0.1", port, backlog=BACKLOG, ssl=context)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    port, mode, loop = (sys.argv[1:4] + ["0", "streams", "asyncio"][len(sys.argv) - 1:])[:3]
    if mode not in ("streams", "protocol") or loop not in ("asyncio", "uvloop"):
        sys.exit(__doc__)
    if loop == "uvloop":
        import uvloop

        uvloop.install()
    if port.startswith("/"):
        asyncio.run(main_unix(port, mode))
        sys.exit()
    context = None
    if len(sys.argv) > 5:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[4], sys.argv[5])
    asyncio.run(main(int(port), mode, context))
