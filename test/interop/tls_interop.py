#!/usr/bin/python3
"""Weft's TLS against other ends: OpenSSL's s_client and s_server, and Python's asyncio, each as client and as server.

    tls_interop.py --peer PROGRAM        (PROGRAM is tls_peer)
"""

import argparse
import asyncio
import contextlib
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest

LIMIT = 30  # seconds, for any one step
SIZES = (1, 1024, 16_384, 3_000_000)
PEER = ""


class Certificates:
    """A CA, and what it issued: `server` for localhost and 127.0.0.1, `wrong` for other.test, `client`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.ca, ca_key = self.folder / "ca.pem", self.folder / "ca.key"
        self._openssl("req", "-x509", *self._new_key(ca_key), "-subj", "/CN=Test CA", "-days", "2", "-out", self.ca,
                      "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
        self.server = self._issue("server", "DNS:localhost,IP:127.0.0.1", self.ca, ca_key)
        self.wrong = self._issue("wrong", "DNS:other.test", self.ca, ca_key)
        self.client = self._issue("client", "DNS:client", self.ca, ca_key)

    def _issue(self, name, names, ca, ca_key):
        certificate, key, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        self._openssl("req", *self._new_key(key), "-subj", f"/CN={name}", "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-days", "2", "-extfile", extensions,
                      "-set_serial", str(100 + len(name)), "-out", certificate)  # fmt: skip
        return str(certificate), str(key)

    @staticmethod
    def _new_key(path):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, stderr=subprocess.DEVNULL)


@contextlib.asynccontextmanager
async def running(*command, stdin=asyncio.subprocess.DEVNULL):
    """The process; killed in the end if it has not ended by itself."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=stdin, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def line_with(process, pattern):
    """The match of the first line of its output that has one."""
    seen = b""
    async with asyncio.timeout(LIMIT):
        while line := await process.stdout.readline():
            seen += line
            if found := re.search(pattern, line.decode()):
                return found
    raise AssertionError(f"no line with {pattern!r} in {seen!r}")


@contextlib.asynccontextmanager
async def weft_server(files, mode=""):
    async with running(PEER, "server", *files.server, files.ca, mode) as process:
        yield int((await line_with(process, r"^port (\d+)"))[1])


async def weft_client(files, port, size, *mode):
    """What tls_peer says in the end."""
    async with running(PEER, "client", port, files.ca, size, *mode) as process:
        async with asyncio.timeout(LIMIT):
            output, _ = await process.communicate()
    lines = output.decode().splitlines()
    return lines[-1] if lines else "(nothing)"


def pattern_of(size):
    return bytes(i * 2654435761 >> 24 & 255 for i in range(size))


class TlsInterop(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.files = Certificates(folder.name)

    def client_context(self):
        context = ssl.create_default_context(cafile=str(self.files.ca))
        context.set_alpn_protocols(["echo"])
        return context

    def server_context(self, pair=None, mutual=False):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.files.ca))
        context.load_cert_chain(*(pair or self.files.server))
        context.set_alpn_protocols(["echo"])
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    async def exchange(self, reader, writer, size):
        sent = pattern_of(size)

        async def write_all():
            writer.write(sent)
            await writer.drain()

        writing = asyncio.create_task(write_all())
        async with asyncio.timeout(LIMIT):
            self.assertEqual(await reader.readexactly(size), sent)
            await writing

    # asyncio as the client

    async def test_asyncio_client(self):
        async with weft_server(self.files) as port:
            for size in SIZES:
                with self.subTest(size=size):
                    reader, writer = await asyncio.open_connection("localhost", port, ssl=self.client_context())
                    self.assertEqual(writer.get_extra_info("ssl_object").selected_alpn_protocol(), "echo")
                    await self.exchange(reader, writer, size)
                    writer.close()
                    async with asyncio.timeout(LIMIT):
                        await writer.wait_closed()

    async def test_asyncio_client_of_tls_1_2(self):
        context = self.client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with weft_server(self.files) as port:
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            self.assertEqual(writer.get_extra_info("ssl_object").version(), "TLSv1.2")
            await self.exchange(reader, writer, 100_000)
            writer.close()
            await writer.wait_closed()

    async def test_asyncio_client_upgrades(self):
        async with weft_server(self.files, "starttls") as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"STARTTLS\n")
            self.assertEqual(await reader.readline(), b"READY\n")
            # Python's StreamWriter.start_tls() of 3.11 does this, and leaves its reader with the old transport.
            loop, protocol = asyncio.get_running_loop(), writer.transport.get_protocol()
            transport = await loop.start_tls(
                writer.transport, protocol, self.client_context(), server_hostname="localhost"
            )
            reader._transport = writer._transport = transport
            await self.exchange(reader, writer, 200_000)
            writer.close()

    async def test_asyncio_client_without_its_certificate(self):
        async with weft_server(self.files, "mtls") as port:
            context = self.client_context()
            context.load_cert_chain(*self.files.client)
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            await self.exchange(reader, writer, 1000)
            writer.close()
            await writer.wait_closed()
            with self.assertRaises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                reader, writer = await asyncio.open_connection("localhost", port, ssl=self.client_context())
                async with asyncio.timeout(LIMIT):
                    await reader.readexactly(1)

    # Python's blocking sockets, which can offer a session under another name

    def visit(self, port, name, session=None, newest=None):
        """A session to resume, and whether `session` was; the connection's error if there is one."""
        context = self.plain_context
        context.maximum_version = newest or ssl.TLSVersion.MAXIMUM_SUPPORTED
        with socket.create_connection(("127.0.0.1", port), LIMIT) as plain:
            with context.wrap_socket(plain, server_hostname=name, session=session) as connection:
                connection.sendall(b"hello")
                if connection.recv(5) != b"hello":
                    raise ConnectionError("no echo")
                return connection.session, connection.session_reused

    async def test_a_session_belongs_to_the_name_it_was_made_with(self):
        refused = (ssl.SSLError, ConnectionError)
        for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(newest=newest.name):
                self.plain_context = ssl.create_default_context(cafile=str(self.files.ca))
                self.plain_context.check_hostname = False
                async with weft_server(self.files, "names") as port:
                    session, _ = await asyncio.to_thread(self.visit, port, "localhost", None, newest)
                    _, reused = await asyncio.to_thread(self.visit, port, "localhost", session, newest)
                    self.assertTrue(reused)
                    with self.assertRaises(refused):
                        await asyncio.to_thread(self.visit, port, "strict.test", None, newest)
                    if newest == ssl.TLSVersion.TLSv1_3:
                        with self.assertRaises(refused):
                            await asyncio.to_thread(self.visit, port, "strict.test", session, newest)
                    else:
                        # To OpenSSL the name of a resumed TLS 1.2 connection is the session's.
                        await asyncio.to_thread(self.visit, port, "strict.test", session, newest)
                    self.plain_context.load_cert_chain(*self.files.client)
                    await asyncio.to_thread(self.visit, port, "strict.test", None, newest)

    async def test_a_name_may_ask_for_a_newer_version(self):
        self.plain_context = ssl.create_default_context(cafile=str(self.files.ca))
        self.plain_context.check_hostname = False
        async with weft_server(self.files, "names") as port:
            await asyncio.to_thread(self.visit, port, "new.test")
            with self.assertRaisesRegex(ssl.SSLError, "(?i)protocol version"):
                await asyncio.to_thread(self.visit, port, "new.test", None, ssl.TLSVersion.TLSv1_2)
            await asyncio.to_thread(self.visit, port, "localhost", None, ssl.TLSVersion.TLSv1_2)

    # asyncio as the server

    @contextlib.asynccontextmanager
    async def asyncio_server(self, context, upgrade=False):
        problems = []

        async def echo(reader, writer):
            try:
                if upgrade:
                    assert await reader.readline() == b"STARTTLS\n"
                    writer.write(b"READY\n")
                    loop, protocol = asyncio.get_running_loop(), writer.transport.get_protocol()
                    protocol._over_ssl = True
                    transport = await loop.start_tls(writer.transport, protocol, context, server_side=True)
                    reader._transport = writer._transport = transport
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
                writer.close()
                await writer.wait_closed()
            except Exception as error:
                problems.append(error)

        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=None if upgrade else context)
        async with server:
            yield server.sockets[0].getsockname()[1]
        self.assertEqual(problems, [])

    async def test_asyncio_server(self):
        async with self.asyncio_server(self.server_context()) as port:
            for size in SIZES:
                with self.subTest(size=size):
                    said = await weft_client(self.files, port, size)
                    self.assertRegex(said, r"^ok TLSv1\.3 TLS_\w+ echo$")

    async def test_asyncio_server_that_upgrades(self):
        async with self.asyncio_server(self.server_context(), upgrade=True) as port:
            self.assertRegex(await weft_client(self.files, port, 200_000, "starttls"), r"^ok TLSv1\.3 ")

    async def test_asyncio_server_that_wants_a_certificate(self):
        async with self.asyncio_server(self.server_context(mutual=True)) as port:
            said = await weft_client(self.files, port, 1000, "mtls", *self.files.client)
            self.assertRegex(said, r"^ok TLSv1\.3 ")

    async def test_asyncio_server_of_another_name(self):
        async with self.asyncio_server(self.server_context(self.files.wrong)) as port:
            said = await weft_client(self.files, port, 1000)
            self.assertRegex(said, r"^failed weft::TlsCertificateError: .*hostname mismatch")

    # OpenSSL's tools

    async def test_s_client(self):
        async with weft_server(self.files) as port:
            for version in ("-tls1_2", "-tls1_3"):
                with self.subTest(version=version):
                    async with running(
                        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", version,
                        "-CAfile", self.files.ca, "-verify_return_error", "-alpn", "echo", "-quiet", "-no_ign_eof",
                        stdin=asyncio.subprocess.PIPE,
                    ) as client:  # fmt: skip
                        client.stdin.write(b"hello from s_client\n")
                        await line_with(client, "^hello from s_client$")
                        client.stdin.close()
                        async with asyncio.timeout(LIMIT):
                            self.assertEqual(await client.wait(), 0)

    async def test_s_server(self):
        for version in ("-tls1_2", "-tls1_3"):
            with self.subTest(version=version):
                # -rev sends each line back turned round; a palindrome stays what it is.
                async with running(
                    "openssl", "s_server", "-accept", "127.0.0.1:0", version, "-cert", self.files.server[0],
                    "-key", self.files.server[1], "-rev", "-alpn", "echo", "-naccept", "1",
                ) as server:  # fmt: skip
                    port = int((await line_with(server, r"^ACCEPT .*:(\d+)$"))[1])
                    said = await weft_client(self.files, port, "line")
                    self.assertRegex(said, r"^ok TLSv1\.[23] \S+ echo$")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the program tls_peer")
    arguments, rest = parser.parse_known_args()
    global PEER
    PEER = arguments.peer
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
