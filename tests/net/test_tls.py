"""Calls over TLS: to whom the certificate says, or not at all."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from arbstr_core.api import Endpoint, Outbound, Reply, Secret
from arbstr_core.net import Guard, UpstreamPools, origins_in
from arbstr_core.types import ConnectFailed

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
RUNNERS = [asyncio.run, uvloop.run]
Send = Callable[[str], Awaitable[Reply]]


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Signs certificates; `file` is its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
        mark = x509.BasicConstraints(ca=True, path_length=None)
        # RFC 5280, 4.2.1: Python 3.13 insists on each of these.
        subject = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._own = (
            self._builder(self._name, self._key.public_key())
            .add_extension(mark, critical=True)
            .add_extension(subject, critical=False)
            .add_extension(_SIGNS, critical=True)
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def server(self, name: str) -> ssl.SSLContext:
        """A server's context, for `name` and 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = self._builder(subject, key.public_key()).add_extension(names, critical=False)
        made = made.add_extension(issuer, critical=False)
        pem = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        pem += key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self._folder / f"{name}.pem"
        file.write_bytes(pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(days=1),
            not_valid_after=now + datetime.timedelta(days=1),
        )


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that this machine trusts."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


@dataclass
class Server:
    """What a server saw."""

    connections: int = 0
    alpn: str | None = None
    sni: str | None = None
    port: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.alpn = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                writer.write(WHOLE)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            # Saying goodbye in TLS would take longer than the test.
            writer.transport.abort()


@asynccontextmanager
async def sending(server: Server, context: ssl.SSLContext) -> AsyncIterator[Send]:
    def named(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        server.sni = name

    context.sni_callback = named
    listening = await asyncio.start_server(server, "127.0.0.1", 0, ssl=context)
    async with listening, UpstreamPools(connect_seconds=30) as pools:
        server.port = listening.sockets[0].getsockname()[1]

        async def send(host: str) -> Reply:
            url = f"https://{host}:{server.port}/v1/chat/completions"
            client = pools.client(Guard(frozenset(origins_in({"url": url}))))
            return await client.send(Outbound(endpoint=Endpoint.CHAT, headers={}, body=b"{}").to(url, Secret("k")))

        yield send


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_certificate_that_names_the_host(run: Callable[..., None], host: str, authority: Authority) -> None:
    server = Server()

    async def story() -> None:
        async with sending(server, authority.server("localhost")) as send:
            for _ in range(3):
                reply = await send(host)
                assert await reply.read(100) == b"{}"
                await reply.aclose()

    run(story())
    # HTTP/1.1 alone is spoken, one connection serves all, and it is told which name is meant.
    assert (server.alpn, server.connections) == ("http/1.1", 1)
    assert server.sni == (host if host == "localhost" else None)


@pytest.mark.parametrize("run", RUNNERS)
def test_a_certificate_for_somebody_else(run: Callable[..., None], authority: Authority) -> None:
    server = Server()

    async def story() -> None:
        async with sending(server, authority.server("other.example")) as send:
            with pytest.raises(ConnectFailed, match=r"(?i)certificate"):
                await send("localhost")

    run(story())
    assert server.connections == 0


@pytest.mark.parametrize("run", RUNNERS)
def test_a_certificate_that_nobody_here_trusts(
    run: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trusted").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path / "trusted").file))

    async def story() -> None:
        async with sending(Server(), Authority(tmp_path).server("localhost")) as send:
            with pytest.raises(ConnectFailed, match=r"(?i)certificate"):
                await send("localhost")

    run(story())


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_a_server_that_speaks_no_tls(run: Callable[..., None], says: bytes) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)
        writer.close()

    async def story() -> None:
        listening = await asyncio.start_server(plain, "127.0.0.1", 0)
        async with listening, UpstreamPools(connect_seconds=30) as pools:
            url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
            client = pools.client(Guard(frozenset(origins_in({"url": url}))))
            with pytest.raises(ConnectFailed):
                await client.send(Outbound(endpoint=Endpoint.CHAT, headers={}, body=b"{}").to(url))

    run(story())


@pytest.mark.parametrize("run", RUNNERS)
def test_a_handshake_that_never_ends(run: Callable[..., None]) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.transport.abort()

    async def story() -> None:
        listening = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with listening, UpstreamPools(connect_seconds=0.2) as pools:
            url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
            client = pools.client(Guard(frozenset(origins_in({"url": url}))))
            with pytest.raises(ConnectFailed, match="no connection within"):
                await client.send(Outbound(endpoint=Endpoint.CHAT, headers={}, body=b"{}").to(url))

    run(story())
