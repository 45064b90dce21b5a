"""Which addresses may be connected to: the operator's own, a child's port, or any that is public and https."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from arbstr_core.types import AddressRefused

Origin = tuple[str, str, int]
"""(scheme, host in lower case, port)"""

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = "127.0.0.1"
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""RFC 8215; the standard library of Python 3.11 takes it for public"""
_EMBEDDING = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b::/96"))


def origin_of(url: str) -> Origin:
    """The origin of a URL; raises AddressRefused for anything but http and https with a host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused(f"{url!r} is not a URL") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise AddressRefused(f"{url!r} is not an http or https URL")
    return (parts.scheme, parts.hostname.lower(), port or _PORTS[parts.scheme])


def origins_in(table: Any) -> Iterator[Origin]:
    """The origin of every URL written anywhere in a configuration table."""
    if isinstance(table, dict):
        for value in table.values():
            yield from origins_in(value)
    elif isinstance(table, list | tuple):
        for value in table:
            yield from origins_in(value)
    elif isinstance(table, str) and table.startswith(("http://", "https://", "ws://", "wss://")):
        try:
            # A websocket begins as a request over HTTP (RFC 6455, 4.1), and is asked for as one.
            yield origin_of(f"http{table[2:]}" if table.startswith("ws") else table)
        except AddressRefused:
            return


def is_public(address: str) -> bool:
    """True for an address on the public internet: neither private, loopback, link-local, shared nor mapped to one."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or _embedded(ip)
        if inner is not None:
            return is_public(str(inner))
        if ip in _LOCAL_NAT64:
            return False
    return ip.is_global and not ip.is_multicast


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address in an "IPv4-compatible" one (RFC 4291, 2.5.5.1) or one for NAT64 (RFC 6052)."""
    if any(ip in network for network in _EMBEDDING):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


class Guard:
    """What one plugin may connect to, by what the operator wrote and what the kernel gave out, never by claims."""

    def __init__(self, own: frozenset[Origin]) -> None:
        self._own = own
        self._ports: set[int] = set()

    def port(self) -> int:
        """A free loopback port; from now on this plugin may connect to it."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((_LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        self._ports.add(port)
        return port

    def trusts(self, url: str) -> bool:
        """True for the operator's own addresses and children; False for one that must prove to be public.

        Raises AddressRefused for anything else: another scheme, or http to an address nobody wrote down.
        """
        origin = origin_of(url)
        if origin in self._own or (origin[:2] == ("http", _LOOPBACK) and origin[2] in self._ports):
            return True
        if origin[0] != "https":
            raise AddressRefused(f"{url!r} is refused: it stands in no table of config.toml, and it is not https")
        return False


def require_public(host: str, address: str) -> None:
    """Raise AddressRefused unless `address`, which `host` led to, is public."""
    if not is_public(address):
        raise AddressRefused(f"{host} is refused: it leads to {address}, which is not a public address")
