"""UDP echo on Python's asyncio.

    asyncio_udp_echo.py PORT [asyncio|uvloop]

PORT 0 = any; prints `port N`, runs until SIGTERM.
"""

import asyncio
import sys


class EchoProtocol(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


async def main(port):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(EchoProtocol, local_addr=("127.0.0.1", port))
    print(f"port {transport.get_extra_info('sockname')[1]}", flush=True)
    await loop.create_future()


if __name__ == "__main__":
    port, loop = (sys.argv[1:] + ["0", "asyncio"][len(sys.argv) - 1:])[:2]
    if loop not in ("asyncio", "uvloop"):
        sys.exit(__doc__)
    if loop == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(main(int(port)))
